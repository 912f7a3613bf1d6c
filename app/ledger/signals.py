"""Signals: when one process accepts a submission, another one claims it at once.

Without them nothing is lost, only late: the worker looks by itself every second.

PostgreSQL has LISTEN and NOTIFY. SQLite has no signals between processes, but it tells a connection
whether another one has committed (`PRAGMA data_version`): that reads shared memory, takes
microseconds, needs no transaction and waits for no writer. A socket or a file would spare the
polling, but somebody has to find it, make it, permit it and clean it up after a crash.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing

import structlog
from sqlalchemy import func, select

from app.ledger.address import Postgresql, SqliteFile
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.holders import BEAT_SECONDS, Holder
from app.ledger.postgresql import LIMITS, connect
from app.ledger.transaction import Transaction
from app.telemetry.logs import place_of

log = structlog.get_logger("signals")

_CHANNEL = "submissions_due"
_LOOK_SECONDS = 0.05  # between two looks at SQLite's version
_ANSWER_SECONDS = 5.0  # for its answer
# The server is to notice within seconds that our machine is gone, and let our lock go. By default
# it would repeat for a quarter of an hour what it has told us since, as it does at each webhook.
_MISSED = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "4000",  # ms
}
_AGAIN_SECONDS = 1.0  # between two tries to reach a ledger that is away


_NOTIFY = select(func.pg_notify(_CHANNEL, ""))


async def announce_due(transaction: Transaction, database: Database) -> None:
    """Tell all workers that something is due, once this transaction commits."""
    if database.has_sessions:  # on SQLite the commit is the signal
        await transaction.rows(_NOTIFY)


async def listen(database: Database, holder: Holder, wake: Callable[[], None]) -> None:
    """Call `wake` whenever another process may have made something due; run until cancelled.

    On PostgreSQL, others see by the session on which we listen that the holder lives.

    If the ledger goes away, try again, and call `wake` when it is back: we heard no signal
    meanwhile. Through a pooler nobody can listen: there the worker's own look each second counts.
    """
    address = database.address
    if isinstance(address, Postgresql) and address.pooled:
        return
    while True:
        try:
            if isinstance(address, Postgresql):
                await _follow_postgresql(address, holder, wake)
            else:
                await _follow_sqlite(address, wake)
        except UNAVAILABLE as error:
            log.warning("ledger_unavailable", error=place_of(error))
        await asyncio.sleep(_AGAIN_SECONDS)


async def _follow_sqlite(address: SqliteFile, wake: Callable[[], None]) -> None:
    with closing(sqlite3.connect(address.path)) as connection:
        seen = _version(connection)
        wake()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if (version := _version(connection)) != seen:
                seen = version
                wake()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


async def _follow_postgresql(address: Postgresql, holder: Holder, wake: Callable[[], None]) -> None:
    """Listen on a session of our own: the others are reset when they are given back."""
    session = await connect(address, {**LIMITS, **_MISSED}, _ANSWER_SECONDS)
    try:
        lost = asyncio.Event()
        session.add_termination_listener(lambda _: lost.set())
        await session.add_listener(_CHANNEL, lambda *_: wake())
        await holder.begin(session)
        wake()
        while not lost.is_set():
            await _wait(lost, BEAT_SECONDS)
            await holder.beat(session)
    finally:
        holder.lose()
        session.terminate()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
