"""The ledger goes away, fills up or is locked."""

import asyncio
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import asyncpg

from tests.faults.processes import Process, until
from tests.faults.scenarios.registry import BOTH, BUSY, scenario
from tests.faults.stage import Stage


@scenario("PostgreSQL restarted", ("postgresql",), 5)
def database_restarted(stage: Stage, scale: int) -> None:
    """Ended in immediate mode under load: 503 meanwhile, never 202; goes on by itself after."""
    stage.begin(replicas=2)
    stage.faults(BUSY)
    with stage.load() as load:
        for _ in range(scale):
            load.more(stage.chance.randint(10, 60))
            before = load.refused[503]
            assert stage.database_away is not None
            with stage.database_away():
                until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


@scenario("disk full", ("sqlite",), 3)
def disk_full(stage: Stage, scale: int) -> None:
    """No room left under load: 503 meanwhile, never 202; goes on by itself once there is some."""
    fill = _small_disk(stage)
    stage.begin()
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            before = load.refused[503]
            with fill():
                until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


def _small_disk(stage: Stage) -> Callable[[], AbstractContextManager[None]]:
    """Put the ledger on a tmpfs, and return what fills it for a while.

    Without the right to mount one, what the service may write is bounded instead.
    """
    disk = stage.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=False, capture_output=True
    )
    stage.settings["DATABASE_URL"] = f"sqlite:///{disk / 'ledger.db'}"
    if mounted.returncode != 0:
        return lambda: _bounded(stage.replicas[0], disk)
    stage.after.callback(subprocess.run, ["umount", disk], check=True)
    return lambda: _filled(disk)


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _bounded(process: Process, disk: Path) -> Iterator[None]:
    whole = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    size = max(each.stat().st_size for each in disk.iterdir())
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, whole[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, whole)


@scenario("ledger locked", BOTH, 3)
def database_locked(stage: Stage, scale: int) -> None:
    """Another program holds a lock: 503 meanwhile, never 202; goes on by itself after."""
    stage.begin()
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            before = load.refused[503]
            with _locked(stage):
                until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


@contextmanager
def _locked(stage: Stage) -> Iterator[None]:
    """Lock the ledger against writers."""
    url = stage.settings["DATABASE_URL"]
    if stage.engine == "sqlite":
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with asyncio.Runner() as runner:
        other = runner.run(asyncpg.connect(url))
        runner.run(other.execute("BEGIN; LOCK TABLE submissions"))
        yield
        runner.run(other.close())
