"""What a measurement needs: the service as its users start it, databases, stub, baselines."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from app.serving import free_port
from app.settings import Settings
from tests.faults.load import SECRET
from tests.faults.processes import until
from tests.faults.stage import TOKEN
from tests.postgresql import postgresql_running
from tests.processes import ROOT, children_of

LATENCY = 0.02  # s, the stub's
SECRET_KEY = "a-secret-key-of-the-bench-0123456789"
_ENDING = 60.0  # s, for a process told to end


@dataclass(frozen=True)
class Process:
    """A running process, and the port it serves on."""

    popen: "subprocess.Popen[bytes]"
    port: int

    def get(self, path: str) -> Any:
        """Return what it answers, from JSON."""
        with httpx.Client(verify=False, timeout=60) as http:
            return http.get(f"http://127.0.0.1:{self.port}{path}").json()

    def cpu(self) -> float:
        """Return the seconds of CPU that it and its children have taken so far."""
        return sum(map(_cpu, self._family))

    def memory(self) -> dict[str, float]:
        """Return the resident memory of it and its children, now and at most, in MB."""
        each = [_memory(pid) for pid in self._family]
        return {name: sum(one[name] for one in each) for name in each[0]}

    @property
    def _family(self) -> list[int]:
        return [self.popen.pid, *children_of(self.popen.pid)]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = {
        name: value.split()[0]
        for name, _, value in (x.partition(":") for x in lines)
        if name in ("VmRSS", "VmHWM")
    }
    return {name: int(value) / 1024 for name, value in kilobytes.items()}


@contextmanager
def process(arguments: list[str], folder: Path, port: int, **env: str) -> Iterator[Process]:
    """Run `python -m ARGUMENTS` and yield it when it serves; its output goes to a file."""
    clean = {key: value for key, value in os.environ.items() if key.lower() not in _SETTINGS}
    with (folder / f"{arguments[0]}-{port}.log").open("wb") as log:
        popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**clean, "PYTHONPATH": str(ROOT), **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: _answers(popen, port, log.name), f"{arguments} serves")
        yield Process(popen, port)
    finally:
        popen.terminate()
        try:
            popen.wait(_ENDING)
        finally:
            popen.kill()  # nothing, where it has ended


_SETTINGS = frozenset(Settings.model_fields)


def _answers(popen: "subprocess.Popen[bytes]", port: int, log: str) -> bool:
    assert popen.poll() is None, Path(log).read_text()[-2000:]
    with suppress(httpx.TransportError):
        with httpx.Client(verify=False) as http:  # reading certificates would cost 25 ms
            http.get(f"http://127.0.0.1:{port}/healthz", timeout=5)
        return True
    return False


# --- The service ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ledger:
    """A database, and a folder for what else the service keeps."""

    url: str
    folder: Path
    stub: Process

    @property
    def env(self) -> dict[str, str]:
        """The settings of a service on this ledger: what has to be given, else the defaults.

        It is one process, as the baselines are.
        """
        return {
            "PROCESSES": "1",
            "DATABASE_URL": self.url,
            "SECRET_KEY": SECRET_KEY,
            "OPS_TOKEN": TOKEN,
            "DATA_DIR": str(self.folder),
            "LOG_FORMAT": "json",
            "CORDIAL_EXTRA_HOSTS": f"127.0.0.1:{self.stub.port}",
        }


class Service:
    """A serving process, spoken to by its API."""

    def __init__(self, running: Process, ledger: Ledger) -> None:
        self.process = running
        self.url = f"http://127.0.0.1:{running.port}"
        self._stub = ledger.stub
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=60,
            verify=False,
        )

    def close(self) -> None:
        """Speak to it no more."""
        self._http.close()

    def create(self, name: str) -> None:
        """Create an integration with the stub; it is paused."""
        answer = self._http.post(
            "/integrations?force=true", json=integration(name, self._stub.port)
        )
        assert answer.status_code == 201, answer.text

    def pause(self, name: str) -> None:
        """Let an integration wait."""
        self._http.post(f"/integrations/{name}/pause").raise_for_status()

    def resume(self, name: str) -> None:
        """Let it deliver; the stub knows no attributes, so that it would not pass the check."""
        self._http.post(f"/integrations/{name}/resume?force=true").raise_for_status()


def integration(name: str, port: int) -> dict[str, Any]:
    """Return an integration whose mapping takes all there is in a submission."""
    plain = ["first_name", "outcome", *(f"question_{n}" for n in range(1, 9))]
    return {
        "name": name,
        "cordial": {"account_url": f"http://127.0.0.1:{port}", "api_key": "key-of-the-bench"},
        "jebbit": {"webhook_secrets": [SECRET]},
        "mapping": [
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "phone_number", "field": "channels.sms.address"},
            {"attribute": "experience_date", "field": "quiz_date", "type": "date"},
            {"attribute": "favorite_colors", "field": "colors", "type": "array", "separator": "|"},
            *({"attribute": each, "field": each} for each in plain),
        ],
        "policy": {"collect": "both", "opt_in": "opted_in_or_null", "auto_subscribe": True},
    }


@contextmanager
def serve(ledger: Ledger, program: str = "app", **settings: str) -> Iterator[Service]:
    """Run `python -m app serve` on a ledger, or another program that is the service."""
    port = free_port()
    env = {**ledger.env, "PORT": str(port), **settings}
    with (
        process([program, "serve"], ledger.folder, port, **env) as running,
        closing(Service(running, ledger)) as service,
    ):
        yield service


@contextmanager
def worker(ledger: Ledger, **settings: str) -> Iterator[Process]:
    """Run `python -m app worker` on a ledger."""
    port = free_port()
    env = {**ledger.env, "WORKER_PORT": str(port), **settings}
    with process(["app", "worker"], ledger.folder, port, **env) as running:
        yield running


@contextmanager
def stub(folder: Path) -> Iterator[Process]:
    """Run a Cordial that takes its time and costs nothing."""
    port = free_port()
    with process(["tests.load.stub", str(port), str(LATENCY)], folder, port) as running:
        yield running


@contextmanager
def bare(kind: str, folder: Path, *numbers: int) -> Iterator[Process]:
    """Run a bare endpoint: `fastapi`, `starlette`, or `through` with the port of the stub."""
    port = free_port()
    arguments = ["tests.load.bare", kind, str(port), *map(str, numbers)]
    with process(arguments, folder, port) as running:
        yield running


# --- Databases ------------------------------------------------------------------------------


@contextmanager
def databases(engine: str, folder: Path) -> Iterator[Callable[[], str]]:
    """Yield what makes another database and returns its `DATABASE_URL`.

    PostgreSQL is one that starts as it comes, so that a commit is on disk before it returns.
    """
    numbers = count(1)
    if engine == "sqlite":
        yield lambda: f"sqlite:///{folder / f'ledger-{next(numbers)}.db'}"
        return
    with postgresql_running(folder) as server:

        def make() -> str:
            name = f"bench_{next(numbers)}"
            server.psql(f"CREATE DATABASE {name};")
            return str(server.get_uri(database=name))

        yield make
