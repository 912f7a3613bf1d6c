"""A process stands still for seconds, at any moment, and the other replica goes on without it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx

from tests.faults.load import post, submission
from tests.faults.processes import Process, until
from tests.faults.scenarios.databases import behind_pgbouncer, with_standby
from tests.faults.scenarios.registry import scenario
from tests.faults.stage import Stage
from tests.processes import children_of

_FROZEN_SECONDS = 12.0
_WELL_SECONDS = 10.0  # in which the other one takes webhooks again
_COMES_SECONDS = 30.0  # in which it comes to the statement in which it is to be stopped
_CONTACTS = [f"c{each}" for each in range(6)]
_SHORT = {"kind": "slow", "seconds": 0.05}

# What each kind of process adds in a transaction in which it has locked contacts already.
_ADDS = {"receives": "receipts", "delivers": "attempts"}


class _Webhooks:
    """Posts webhooks, each with the next submission of every contact."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._http = httpx.Client(timeout=30)
        self._number = 0
        self.answers: list[int] = []

    def post(self, to: Process, counts: Callable[[], bool] = lambda: True) -> int:
        """Post one; its submissions are accepted if the answer says so while it `counts`."""
        numbers = [(contact, self._number) for contact in _CONTACTS]
        self._number += 1
        answer = post(self._http, to.url, [submission(*each) for each in numbers])
        assert answer.status_code in (202, 503), answer.text
        if answer.status_code == 202 and counts():
            self._stage.accepted.update(numbers)
        return answer.status_code

    @contextmanager
    def posted_to(self, to: Process) -> Iterator[Callable[[], None]]:
        """Post them to a replica meanwhile, until what this gives is called.

        What it is in the middle of then has no answer that counts. In the end it has answered.
        """
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                try:
                    self.post(to, lambda: not stop.is_set())
                except httpx.TransportError as error:
                    failed.append(error)
                stop.wait(0.1)

        failed: list[Exception] = []
        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield stop.set
        finally:
            stop.set()
            thread.join(60)
        assert not failed, failed


class _Server:
    """A look from outside at the sessions of one replica."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name

    def _run(self, ask: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            session = await asyncpg.connect(self._url)
            try:
                return await ask(session)
            finally:
                await session.close()

        return asyncio.run(run())

    def stands(self) -> bool:
        """Whether a session of it stands in the middle of a statement, with locks."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'"
            " AND wait_event = 'ClientRead' AND backend_xid IS NOT NULL"
        )
        return bool(self._run(lambda session: session.fetchval(query, self._name)))

    def stop_in_a_statement(self, pid: int, table: str) -> None:
        """Stop a process of it between the description of an INSERT and its execution.

        Its sessions end, so that the next ones have no statement described yet. Meanwhile the table
        is locked against writers, and a description waits for that.
        """

        async def stop(session: Any) -> None:
            ours = "FROM pg_stat_activity WHERE application_name = $1"
            waits = f"SELECT count(*) {ours} AND wait_event_type = 'Lock' AND query LIKE $2"
            await session.execute("BEGIN")
            await session.execute(f"LOCK TABLE {table} IN SHARE MODE")
            await session.fetch(f"SELECT pg_terminate_backend(pid) {ours}", self._name)
            async with asyncio.timeout(_COMES_SECONDS):
                while not await session.fetchval(waits, self._name, f"%INSERT INTO {table} %"):
                    await session.execute("SELECT pg_stat_clear_snapshot()")
            os.kill(pid, signal.SIGSTOP)
            await session.execute("COMMIT")

        self._run(stop)
        until(self.stands, "it stands in the middle of a statement", 5)


@contextmanager
def _going_on(pid: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _play(stage: Stage, scale: int, server_url: str) -> None:
    """Stop the process that receives, and the one that delivers, anywhere and in a statement."""
    one, other = _begin(stage)
    server, webhooks = _Server(server_url, "one"), _Webhooks(stage)
    longest = 0.0
    for _ in range(scale):
        for kind, table in _ADDS.items():
            for in_a_statement in (False, True):
                until(lambda: stage.delivers(one), "it delivers")
                pid = one.pid if kind == "receives" else children_of(one.pid)[0]
                with webhooks.posted_to(one) as stop, _going_on(pid):
                    if in_a_statement:
                        server.stop_in_a_statement(pid, table)
                    else:
                        time.sleep(stage.chance.uniform(0.2, 1.5))
                        os.kill(pid, signal.SIGSTOP)
                    stop()
                    longest = max(longest, _goes_on(webhooks, other))
                until(lambda: webhooks.post(one) == 202, "it takes webhooks again")
    stage.settle()
    stage.notes.append(f"the other took webhooks again after {longest:.1f} s at most")


def _begin(stage: Stage) -> tuple[Process, Process]:
    """Start two replicas of two processes, whose sessions are called `one` and `other`."""
    stage.settings["PROCESSES"] = "2"
    stage.sandbox.start()
    url = stage.settings["DATABASE_URL"]
    named = url + ("&" if "?" in url else "?") + "application_name="
    one, other = (stage.replica(DATABASE_URL=named + name) for name in ("one", "other"))
    stage.create()
    stage.faults(_SHORT)
    return one, other


def _goes_on(webhooks: _Webhooks, other: Process) -> float:
    """Post to the other one while the first is stopped; return its longest time without a 202."""
    began = well_at = time.monotonic()
    longest = 0.0
    while time.monotonic() < began + _FROZEN_SECONDS:
        if webhooks.post(other) == 202:
            longest, well_at = max(longest, time.monotonic() - well_at), time.monotonic()
        time.sleep(0.1)
    longest = max(longest, time.monotonic() - well_at)
    assert longest < _WELL_SECONDS, f"no webhook was taken for {longest:.1f} s"
    return longest


@scenario("frozen at any moment", ("postgresql",), 2)
def frozen(stage: Stage, scale: int) -> None:
    """For longer than its lease; the other one takes webhooks for the same contacts meanwhile."""
    _play(stage, scale, stage.settings["DATABASE_URL"])


@scenario("frozen behind pgbouncer", ("postgresql",), 2, ("initdb", "pgbouncer"))
def frozen_behind_pgbouncer(stage: Stage, scale: int) -> None:
    """There each statement is described anew, and a frozen one holds sessions that others share."""
    server, _ = behind_pgbouncer(stage, 10)
    _play(stage, scale, server.url("ours", "postgres"))


@scenario("frozen during a failover", ("postgresql",), 1, ("initdb",))
def frozen_during_a_failover(stage: Stage, scale: int) -> None:
    """It finds itself on the old primary when it goes on, in the middle of a statement."""
    first, second = with_standby(stage)
    one, other = _begin(stage)
    server, webhooks = _Server(first.url("ours", "postgres"), "one"), _Webhooks(stage)
    with webhooks.posted_to(one) as stop, _going_on(one.pid):
        server.stop_in_a_statement(one.pid, _ADDS["receives"])
        stop()
        first.demote()
        second.run("SELECT pg_promote()")
        longest = _goes_on(webhooks, other)
    until(lambda: webhooks.post(one) == 202, "it takes webhooks again", _WELL_SECONDS)
    stage.settle()
    stage.notes.append(f"the other took webhooks again after {longest:.1f} s at most")
