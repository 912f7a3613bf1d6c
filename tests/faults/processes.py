"""The processes of the fault scenarios: each can be killed, frozen and started again."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.processes import ROOT, forks
from tests.waiting import listens, wait_for

PATIENCE = 120.0  # s, for whatever must happen; generous, as the machine may be busy


def until(ready: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return what `ready` gives as soon as it is true."""
    return wait_for(ready, patience, what)


class Process:
    """One process of the service, or the sandbox, with its log in a file.

    It is forked from a clean process that has the program loaded already: a start takes a fraction
    of a second, so that there can be many.
    """

    def __init__(self, command: list[str], env: Mapping[str, str], folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{command[1]}-{port}.log"
        self._arguments = (command, {**env, "PYTHONPATH": str(ROOT)}, folder, self.log)
        self._process: Any = None
        self.frozen = False

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    def start(self) -> "Process":
        """Start it, and return when it serves."""
        self._process = forks.Process(target=_run, args=self._arguments, daemon=True)
        self._process.start()
        until(self.answers, f"{self.log.name} serves")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where it serves."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    @property
    def memory(self) -> float:
        """How much memory it holds, in MB; 0 where the system does not tell."""
        status = Path(f"/proc/{self.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def answers(self) -> bool:
        """Whether it answers at all."""
        try:
            if listens(self.url):
                httpx.get(f"{self.url}/healthz", timeout=5, verify=False)  # http
                return True
        except httpx.TransportError:
            pass
        assert self.alive, f"it ended: {self.log.read_text()[-2000:]}"
        return False

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it meanwhile, as the system may; it is sent no webhooks."""
        self.send(signal.SIGSTOP)
        self.frozen = True
        try:
            yield
        finally:
            self.send(signal.SIGCONT)
            self.frozen = False

    def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        if self.alive:
            self.send(signal.SIGKILL)
            self._process.join(PATIENCE)

    def terminate(self) -> int:
        """Ask it to end (SIGTERM); return its exit code."""
        self.send(signal.SIGTERM)
        self._process.join(PATIENCE)
        return int(self._process.exitcode)


def _run(command: list[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
    """Become the program that a command names."""
    with log.open("ab") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    os.chdir(folder)
    os.environ.update(env)
    module, *arguments = command
    if module != "app":  # it has to be there before the program is loaded
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
    from app.__main__ import main

    sys.argv = ["app", *arguments]
    main()
