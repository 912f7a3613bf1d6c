"""The commands as real processes: `python -m app`, watched from outside."""

import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import httpx

from app.serving import free_port
from app.settings import Settings
from tests.waiting import listens, wait_for

ROOT = Path(__file__).parents[1]


UNTIL_TOLD = ("serve", "serve with a child", "worker", "worker with a port", "sandbox", "demo")
"""The commands that run until they are told to end, in all their forms."""

STARTING_SECONDS = 1.5
"""What a start takes of its own CPU time until the command is up, and some more."""


class Running(Protocol):
    """A process, as `subprocess.Popen` has it."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class Program:
    """A command that runs; `url` is where it serves if it does, `output` the file it writes to."""

    popen: Running
    url: str
    output: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.popen.poll() is None

    def said(self) -> str:
        """Return all that it has written so far."""
        return self.output.read_text()

    def until_ready(self, path: str = "/readyz") -> None:
        """Return when it serves, or fail if it ends instead."""
        wait_for(lambda: self._answers(path) or not self.running, timeout=60)
        assert self.running, self.said()

    def _answers(self, path: str) -> bool:
        if not listens(self.url):
            return False
        try:  # http; reading certificates would cost 25 ms
            return httpx.get(self.url + path, verify=False).is_success
        except httpx.TransportError:
            return False

    def until_handled(self) -> None:
        """Return when it has our handlers; the one for SIGINT is put before that for SIGTERM."""
        wait_for(lambda: catches(self.popen.pid, signal.SIGTERM))

    def until_spent(self, seconds: float) -> None:
        """Return when it has used so much CPU time, or hardly any for a while as it is up."""
        until_spent(self.popen.pid, seconds)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end; return its exit code."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        return self.popen.wait(60)

    def kill(self) -> None:
        """End it without a word, if it runs; return when it has ended."""
        self.popen.kill()
        self.popen.wait()


def start(
    arguments: Sequence[str],
    folder: Path,
    settings: Mapping[str, str],
    under: Sequence[str] = (),
) -> Program:
    """Start a command in a folder, with these settings and no other, as one process.

    `under` is a program with its arguments that starts it, instead of us. Also where root runs the
    tests, permissions hold for it, as they do where it serves.
    """
    environment, output = _surroundings(arguments, folder, settings)
    with output.open("wb") as file:
        popen = subprocess.Popen(
            [*under, *bound_by_permissions(), sys.executable, "-m", "app", *arguments],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return Program(popen, f"http://127.0.0.1:{environment['PORT']}", output)


@cache
def bound_by_permissions() -> list[str]:
    """Return what starts a program that permissions hold for, as they do for all but root."""
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if os.getuid() != 0 or shutil.which(command[0]) is None:
        return []
    tried = subprocess.run([*command, "true"], check=False, capture_output=True)
    return command if tried.returncode == 0 else []


def fork(arguments: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Program:
    """Start a command as `start` does, as a fork of a clean process that has all of it loaded.

    That takes a tenth of the processor time, where a test is not about the start.
    """
    environment, output = _surroundings(arguments, folder, settings)
    output.touch()
    forked = _Fork(target=_run, args=(arguments, folder, environment, output))
    with chdir(ROOT):  # from where the clean process loads, if this is the first fork
        forked.start()
    return Program(forked, f"http://127.0.0.1:{environment['PORT']}", output)


def _surroundings(
    arguments: Sequence[str], folder: Path, settings: Mapping[str, str]
) -> tuple[dict[str, str], Path]:
    port = free_port()
    unset = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.upper() not in unset}
    environment |= {"PYTHONPATH": str(ROOT), "PORT": str(port), "PROCESSES": "1", **settings}
    return environment, folder / f"{arguments[0]}-{port}.log"


forks = multiprocessing.get_context("forkserver")
"""Makes processes that begin with all that `tests/forked.py` loads."""

forks.set_forkserver_preload(["tests.forked"])


class _Fork(forks.Process):  # type: ignore[name-defined, misc]
    """Behaves as `subprocess.Popen` does."""

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.join(timeout)
        assert self.exitcode is not None, f"it still runs after {timeout} s"
        return self.exitcode

    def send_signal(self, sig: int) -> None:
        if self.is_alive():
            os.kill(self.pid, sig)


def _run(arguments: Sequence[str], folder: Path, environment: dict[str, str], output: Path) -> None:
    """Become `python -m app`."""
    with output.open("wb") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["app", *arguments]
    del sys.modules["app.__main__"]  # what it loads stays loaded
    runpy.run_module("app", run_name="__main__", alter_sys=True)


def form_of(command: str) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the settings for one of `UNTIL_TOLD`, on a free port."""
    port = str(free_port())
    name, *more = command.split(maxsplit=1)
    arguments = [name, "--port", port] if name == "sandbox" else [name]
    given = {"worker": {"WORKER_PORT": port}, "serve": {"PROCESSES": "2"}}[name] if more else {}
    return arguments, {"PORT": port, **given}


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and that have not ended."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except FileNotFoundError:  # it has ended itself
        return []


def runs(pid: int) -> bool:
    """Whether a process has not ended yet; nobody needs to have noticed its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until_spent(pid: int, seconds: float) -> None:
    """Return when a process has used so much CPU time, or hardly any for a while as it is up.

    A start gets on by its own CPU time, however busy the machine is.
    """
    before, since = 0.0, time.monotonic()
    while (spent := cpu_seconds(pid)) < seconds:
        if (now := time.monotonic()) - since > _WHILE_SECONDS:
            if spent - before < _HARDLY * _WHILE_SECONDS:
                return
            before, since = spent, now
        time.sleep(0.001)


_WHILE_SECONDS, _HARDLY = 0.3, 0.1  # an idle service uses some hundredths of a core


def cpu_seconds(pid: int) -> float:
    """Return how long a process has run on a CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
