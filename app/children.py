"""Processes that deliver for one that receives: how it starts, wakes, hears and ends them.

Each is `python -m app deliver`, in a session of its own, so that Ctrl-C reaches the parent alone.
Its standard input is one end of a pair of sockets. On it the parent writes its settings, and then a
byte whenever something may be due; the child writes a line each second that says what it counted.
However the parent ends, the kernel closes its end: the child then finishes what is under way, as it
does on SIGTERM, and ends too (`ending` sees to that from its first line on).
"""

import asyncio
import os
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

import structlog
from pydantic_core import from_json, to_json

from app.delivery.worker import DRAIN_SECONDS
from app.ending import FOR_A_PARENT
from app.ledger.database import Database
from app.ledger.fitness import Unfit
from app.ledger.postgresql import NEEDED
from app.settings import HandedOn, Settings
from app.telemetry.logs import place_of
from app.telemetry.metrics import Metrics

log = structlog.get_logger("children")

Delivering = Literal["yes", "starting", "failing", "elsewhere"]

_WAKE = b"\n"
_GATHER_SECONDS = 0.002  # one byte wakes for all webhooks of this time
_REPORT_SECONDS = 1.0
_REPORT_SHARE = 50  # telling takes at most one part in this many of the time
_LONGEST_REPORT_SECONDS = 10.0  # and yet is done so often
_SILENT_SECONDS, _SILENCES = 15.0, 4  # a child that says nothing for so many of these hangs
_PAUSES = (0.2, 1.0, 3.0, 10.0, 30.0)  # s, before a child is started anew
_AWAY_SECONDS = 3.0  # before one that could not reach the ledger is started anew
_STEADY_SECONDS = 60.0  # who has lived for so long has started well
_MANY_DEATHS = 3  # in a row: another start will not mend it
_ENDING_SECONDS = DRAIN_SECONDS + 5.0  # then it is killed
LEDGER_AWAY = os.EX_TEMPFAIL
"""The exit code of a child that cannot reach the ledger: no fault of its own."""


# --- How many ---------------------------------------------------------------------------------


def how_many(settings: Settings, database: Database) -> int:
    """Return how many processes `serve` has on this ledger, itself included.

    Raises:
        Unfit: PROCESSES asks for more than the ledger's role may open connections for.
    """
    if not settings.run_worker:
        return 1
    wanted = settings.processes or usual()
    # Through a pooler many processes share few of them.
    allowed = database.connections_allowed if database.has_sessions else None
    if wanted == 1 or allowed is None or allowed >= wanted * NEEDED:
        return wanted
    if settings.processes is not None:
        raise Unfit(
            f"The role of DATABASE_URL may open {allowed} connections, and PROCESSES={wanted} needs"
            f" {wanted * NEEDED}: ALTER ROLE ... CONNECTION LIMIT {wanted * NEEDED}, or PROCESSES=1"
        )
    log.warning("one_process", connections=allowed, needs=wanted * NEEDED)
    return 1


def usual() -> int:
    """Return how many processes the cores are for: two, if this process may use two cores."""
    return 2 if _cores() >= 2 else 1


def _cores() -> float:
    may_use = getattr(os, "sched_getaffinity", None)  # not every system has it
    cores = len(may_use(0)) if may_use else os.cpu_count() or 1
    return min([cores, *quotas(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def quotas(groups: Path, own: Path) -> Iterator[float]:
    """Give how many cores each of the control groups allows that a process is in.

    `groups` is where they are mounted (version 2), `own` names the process's own.
    """
    with suppress(OSError):
        names = [each[3:] for each in own.read_text().splitlines() if each.startswith("0::")]
        for name in names:
            inner = groups / name.strip("/")
            for group in (inner, *inner.parents):
                with suppress(OSError, ValueError):
                    quota, period = (group / "cpu.max").read_text().split()
                    yield int(quota) / int(period)  # "max" is no number: no limit
                if group == groups:
                    break


# --- The parent's side ------------------------------------------------------------------------


def keep_standard_places() -> None:
    """Let nothing else take the place of a standard input or output that is closed.

    The event loop would, and no child could be started then.
    """
    for place in (0, 1, 2):
        try:
            os.fstat(place)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it takes the lowest place


class Children:
    """The processes that deliver for this one; `number` may be 0."""

    def __init__(self, number: int, settings: Settings) -> None:
        self.number = number
        self._settings = settings
        self._places = [_Place() for _ in range(number)]
        self._ending = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None
        self._keepers: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def delivering(self, metrics: Metrics) -> AsyncIterator[None]:
        """Have them deliver until the block ends; what they count goes into the metrics."""
        self._keepers = [asyncio.create_task(self._keep(place, metrics)) for place in self._places]
        for keeper in self._keepers:
            keeper.add_done_callback(_tell_of_defect)
        try:
            yield
        finally:
            self._ending.set()
            for keeper in self._keepers:
                keeper.cancel()
            await asyncio.gather(*self._keepers, return_exceptions=True)

    def wake(self) -> None:
        """Let them look for something to claim, soon."""
        if self._waking is None and self.number:
            loop = asyncio.get_running_loop()
            self._waking = loop.call_later(_GATHER_SECONDS, self._wake)

    def _wake(self) -> None:
        self._waking = None
        for child in self._living():
            child.wake()

    def state(self) -> Delivering:
        """Say whether they deliver; `failing` if starting them anew does not help."""
        if any(place.delivers for place in self._places):
            return "yes"
        tried = zip(self._keepers, self._places, strict=True)
        failing = all(keeper.done() or place.deaths >= _MANY_DEATHS for keeper, place in tried)
        return "failing" if failing and not self._ending.is_set() else "starting"

    def stalled(self) -> str | None:
        """Return a message if starting them anew does not help, else None."""
        failing = self.number and self.state() == "failing"
        return "The processes that deliver die again and again." if failing else None

    async def drain(self) -> None:
        """Let them finish what is under way; return when all have ended."""
        self._ending.set()
        for child in self._living():
            child.end()
        if self._keepers:
            _, late = await asyncio.wait(self._keepers, timeout=_ENDING_SECONDS)
            for child in self._living():
                child.kill()
            await asyncio.gather(*late, return_exceptions=True)

    def _living(self) -> "list[_Child]":
        return [place.child for place in self._places if place.child is not None]

    async def _keep(self, place: "_Place", metrics: Metrics) -> None:
        while not self._ending.is_set():
            started = time.monotonic()
            try:
                code = await self._attend(place, metrics)
            except OSError as error:  # the system has no room for another process
                log.error("child_not_started", error=place_of(error))
                code = -1
            if self._ending.is_set():
                return
            if time.monotonic() - started > _STEADY_SECONDS:
                place.deaths = 0
            pause = _AWAY_SECONDS
            if code != LEDGER_AWAY:
                pause = _PAUSES[min(place.deaths, len(_PAUSES) - 1)]
                place.deaths += 1
            metrics.child_ended()
            log.error("child_ended", exit_code=code, deaths=place.deaths, pause=pause)
            # Who told it to end may tell us too, a moment later: then no other is started.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)

    async def _attend(self, place: "_Place", metrics: Metrics) -> int:
        """Start a child and hear what it tells, until it ends; return its exit code."""
        child = await _Child.start(self._settings, metrics)
        place.child = child
        try:
            if not self._ending.is_set():  # as may have happened just now
                await child.ended_or_hangs()
        finally:
            child.end()
            code = await child.gone()
            place.child = None
            metrics.ended(child.pid)
        return code


def _tell_of_defect(keeper: asyncio.Task[None]) -> None:
    if not keeper.cancelled() and (error := keeper.exception()) is not None:
        log.error("defect", error=place_of(error))


class _Place:
    """A child's place: how often one died in it soon after its start, by a fault of its own."""

    def __init__(self) -> None:
        self.child: _Child | None = None
        self.deaths = 0

    @property
    def delivers(self) -> bool:
        """Whether its child has started, and not only to die again."""
        if self.child is None or self.child.heard_at is None:
            return False
        steady = time.monotonic() - self.child.heard_at > _STEADY_SECONDS
        return steady or self.deaths < _MANY_DEATHS


class _Child(asyncio.Protocol):
    """One process that delivers, and the line to it."""

    def __init__(self, process: Process, metrics: Metrics) -> None:
        self._process = process
        self._metrics = metrics
        self._line: Any = None
        self._lost = asyncio.Event()
        self._unfinished = b""  # of what it tells
        self._silences = 0
        self._hangs = False
        self.pid = process.pid
        self.heard_at: float | None = None  # for the first time

    @classmethod
    async def start(cls, settings: Settings, metrics: Metrics) -> Self:
        """Start one; it takes the settings from us, so that they are ours whatever has changed."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", FOR_A_PARENT),
                stdin=theirs.fileno(),
                start_new_session=True,
            )
        child, loop = cls(process, metrics), asyncio.get_running_loop()
        child._line, _ = await loop.create_unix_connection(lambda: child, sock=ours)
        child._line.write(settings.handed_on() + b"\n")
        return child

    def wake(self) -> None:
        """Let it look for something to claim; what it has not read yet wakes it as well."""
        if not self._line.is_closing() and not self._line.get_write_buffer_size():
            self._line.write(_WAKE)

    def data_received(self, data: bytes) -> None:
        """Hear what it has counted, and that it lives."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        if lines:
            told = from_json(lines[-1])
            self._metrics.heard(self.pid, told["counted"])
            self._hangs = told["hangs"]
            self._silences = 0
            if self.heard_at is None:
                self.heard_at = time.monotonic()
                log.info("child_delivers", pid=self.pid)

    def connection_lost(self, error: Exception | None) -> None:
        """Know that it has ended."""
        self._lost.set()

    async def ended_or_hangs(self) -> None:
        """Return when it has ended, or does nothing any more."""
        # Several silences, and not one that is as long: we may have stood still ourselves.
        while self._silences < _SILENCES and not self._hangs:
            self._silences += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _SILENT_SECONDS)
                return

    def end(self) -> None:
        """Tell it to finish what is under way and end."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it at once; what it had under way is sent again."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def gone(self) -> int:
        """Return its exit code when it has ended, at the latest when it had time to finish."""
        try:
            async with asyncio.timeout(_ENDING_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self.kill()
            return await self._process.wait()
        finally:
            self._line.close()


# --- The child's side -------------------------------------------------------------------------


class NoParent(Exception):
    """This process was not started by one that serves."""


class Parent(asyncio.Protocol):
    """The process that has started this one, at the other end of our standard input."""

    def __init__(self) -> None:
        """Take up the line.

        Raises:
            NoParent: there is none.
        """
        try:
            self._line = socket.socket(fileno=os.dup(0))
        except OSError:
            told = f"{FOR_A_PARENT} is for `serve` to start; use `worker` instead"
            raise NoParent(told) from None
        self._wake: Callable[[], None]

    def settings(self) -> Settings:
        """Return the settings that it hands on; end this process if it has gone already."""
        with self._line.makefile("rb") as file:
            told = file.readline()  # what comes after it would only wake us
        if not told.endswith(b"\n"):
            sys.exit(0)
        return HandedOn(**from_json(told))

    def data_received(self, data: bytes) -> None:
        """Wake the worker."""
        self._wake()

    @asynccontextmanager
    async def told(
        self, wake: Callable[[], None], metrics: Metrics, stalled: Callable[[], str | None]
    ) -> AsyncIterator[None]:
        """Tell it until the block ends what we have counted, and let it wake the worker."""
        loop = asyncio.get_running_loop()
        self._wake = wake
        line, _ = await loop.create_unix_connection(lambda: self, sock=self._line)

        def tell() -> None:
            if line.is_closing() or line.get_write_buffer_size():  # it has gone, or stands still
                return
            report = {"hangs": stalled() is not None, "counted": metrics.told()}
            line.write(to_json(report) + b"\n")

        async def go_on() -> None:
            while True:
                started = time.perf_counter()
                tell()
                took = time.perf_counter() - started
                wait = max(_REPORT_SECONDS, _REPORT_SHARE * took)
                await asyncio.sleep(min(wait, _LONGEST_REPORT_SECONDS))

        telling = asyncio.create_task(go_on())
        try:
            yield
        finally:
            telling.cancel()
            tell()
            line.close()
