"""Sessions on PostgreSQL: how they are opened, kept alive, tested and given up."""

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.ledger.address import Keepalive, Postgresql

FAST, SLOW = 3, 2
"""Sessions for what submissions wait for, and for all else; with LISTEN's that makes `NEEDED`."""

NEEDED = FAST + SLOW + 1
"""How many sessions a process opens at most."""

# A replica that stops in the middle of a transaction would keep its locks and hold up all others:
# PostgreSQL ends its session, and we do where it does not (standing.py). Nobody waits for ever for
# a lock or for a server that does not answer: we refuse the webhook, and Jebbit sends it again.
LIMITS = {"idle_in_transaction_session_timeout": "3s", "lock_timeout": "5s"}
# Changing a large table takes as long as it takes, and others wait for their turn. What we do
# between two statements takes moments, on a busy machine some seconds.
MIGRATING = {"idle_in_transaction_session_timeout": "60s", "lock_timeout": "0"}
# Every query that submissions wait for finds its rows by an index, in the index's order. Without
# statistics, as in a first burst, PostgreSQL would rather sort the whole backlog, and it would keep
# a plan that it made when the tables were empty.
BY_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_custom_plan",
}
# What people look for differs so much that no plan is good for all of it.
_FOR_PEOPLE = {**LIMITS, "plan_cache_mode": "force_custom_plan"}
COMMAND_SECONDS = 60.0
FAST_COMMAND_SECONDS = 8.0
_POOL_SECONDS = 5.0  # to wait for one of the `SLOW`
# A NAT or a firewall forgets connections that say nothing, and tells nobody. Who has said nothing
# for a second is asked before it is trusted with a webhook. A primary that became a replica answers
# on, and falls behind: who only reads is asked each second.
_TRUSTED_SECONDS = 1.0
_ANSWER_SECONDS = 1.5
_AGE_SECONDS = 600.0  # then we connect anew: the name may have moved to another server

READS_ONLY = "SHOW transaction_read_only"
"""What asks a session whether it only reads: `on` on a server that was a primary once."""

_READ_ONLY = "25006"
_USELESS = ("08", "57")  # connection exceptions; the server was told to stop, or us


def is_useless(error: BaseException) -> bool:
    """Say whether an error means that its session is of no more use, and likely all others too.

    A primary that became a replica keeps its sessions, which can only read from then on.
    """
    code = getattr(error, "sqlstate", None)
    if code is not None:
        return code == _READ_ONLY or code[:2] in _USELESS
    gone = (OSError, TimeoutError, asyncio.CancelledError, asyncpg.InterfaceError)
    return isinstance(error, (*gone, asyncpg.InternalClientError))


def is_read_only(error: BaseException) -> bool:
    """Say whether an error means that the server, or this session, takes no writes."""
    return getattr(error, "sqlstate", None) == _READ_ONLY


class _ThroughPooler(asyncpg.Connection):  # type: ignore[misc]
    async def set_type_codec(self, *types: Any, **how: Any) -> None:
        # It asks the server. Outside of a transaction, two steps of a question may go to two.
        async with self.transaction():
            await super().set_type_codec(*types, **how)


async def connect(
    address: Postgresql, settings: Mapping[str, str], command_seconds: float
) -> asyncpg.Connection:
    """Open a session with these settings and the address's own; through a pooler, without any.

    Raises:
        Exception: one of `database.UNAVAILABLE`; or ValueError, if the address cannot be used.
    """
    more: dict[str, Any] = {"server_settings": {**address.settings, **settings}}
    if address.pooled:
        named = {key: address.settings[key] for key in _AT_START if key in address.settings}
        more = {"statement_cache_size": 0, "connection_class": _ThroughPooler}
        more |= {"server_settings": named}
    if (trust := address.trust) is not None:
        more["ssl"] = trust
    connection = await asyncpg.connect(
        _without_trust(address),
        timeout=address.connect_seconds,
        command_timeout=command_seconds,
        **more,
    )
    _keep_alive(connection, address.keepalive)
    return connection


_AT_START = ("application_name", "options")  # what every pooler takes when a session begins


def _without_trust(address: Postgresql) -> str:
    if address.trust is None:
        return address.dsn
    words = {name: each for name, each in address.words.items() if not name.startswith("ssl")}
    return Postgresql(words, {}, None, 0.0, pooled=False).dsn


def _keep_alive(connection: asyncpg.Connection, keepalive: Keepalive | None) -> None:
    """Let the system notice by itself that nobody is at the other end."""
    line = connection._transport.get_extra_info("socket")  # asyncpg has no other way to it
    if keepalive is None or line is None or line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", keepalive.idle),
        ("TCP_KEEPINTVL", keepalive.interval),
        ("TCP_KEEPCNT", keepalive.count),
        ("TCP_USER_TIMEOUT", int(keepalive.unanswered * 1000)),
    ):
        if hasattr(socket, name):  # not every system has them all
            with suppress(OSError):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def leads(connection: Any) -> bool:
    """Say whether a session still answers, and could write; one that does not is given up."""
    try:
        if await connection.fetchval(READS_ONLY, timeout=_ANSWER_SECONDS) == "off":
            return True
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        pass
    connection.terminate()
    return False


class Sessions:
    """The sessions of the fast way, at most `FAST`.

    When one has become useless, the idle ones are given up with it.
    """

    def __init__(self, address: Postgresql) -> None:
        self._address = address
        self._settings = {**LIMITS, **BY_INDEX}
        self._places = asyncio.Semaphore(FAST)
        self._idle: list[tuple[asyncpg.Connection, float]] = []  # with when it was last of use
        self._opened_at: dict[asyncpg.Connection, float] = {}
        self.begin = begin(address, self._settings)

    async def take(self) -> asyncpg.Connection:
        """Return a session that answers; give it back, or drop it."""
        await self._places.acquire()
        try:
            return await self._trusted() or await self._opened()
        except BaseException:
            self._places.release()
            raise

    async def _trusted(self) -> asyncpg.Connection | None:
        while self._idle:
            connection, used_at = self._idle.pop()
            now = time.monotonic()
            if connection.is_closed() or now - self._opened_at[connection] > _AGE_SECONDS:
                self._forget(connection)
            elif now - used_at < _TRUSTED_SECONDS or await self._leads(connection):
                return connection
            else:
                self._forget(connection)
                self._drop_idle()  # they have been silent for longer
        return None

    async def _leads(self, connection: asyncpg.Connection) -> bool:
        """Ask a session that is no longer among the idle ones; one that we leave is closed."""
        try:
            return await leads(connection)
        except BaseException:  # we waited too long, or are told to end
            self._forget(connection)
            raise

    async def _opened(self) -> asyncpg.Connection:
        connection = await connect(self._address, self._settings, FAST_COMMAND_SECONDS)
        self._opened_at[connection] = time.monotonic()
        return connection

    def give_back(self, connection: asyncpg.Connection) -> None:
        """Take back a session whose transaction has ended."""
        self._idle.append((connection, time.monotonic()))
        self._places.release()

    def drop(self, connection: asyncpg.Connection, error: BaseException) -> None:
        """Give up a session after an error, and the idle ones if it says that they are as bad."""
        self._forget(connection)
        if is_useless(error):
            self._drop_idle()
        self._places.release()

    def _drop_idle(self) -> None:
        while self._idle:
            self._forget(self._idle.pop()[0])

    def _forget(self, connection: asyncpg.Connection) -> None:
        self._opened_at.pop(connection, None)
        connection.terminate()

    async def close(self) -> None:
        """Close the idle sessions."""
        while self._idle:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._idle.pop()[0].close(timeout=5)


def begin(address: Postgresql, settings: Mapping[str, str]) -> str:
    """Return what begins a transaction that has these settings.

    Through a pooler a transaction sets them itself: the session was another's before.
    """
    if not address.pooled:
        return "BEGIN"
    given = {**_of_transactions(address), **settings}
    return "; ".join(
        ["BEGIN", *(f"SET LOCAL {name} = {_quoted(to)}" for name, to in given.items())]
    )


def _of_transactions(address: Postgresql) -> dict[str, str]:
    return {name: to for name, to in address.settings.items() if name not in _AT_START}


def _quoted(value: str) -> str:
    if "," in value:  # a list, as of search_path: each of its names is quoted by itself
        return ", ".join(_quoted(each.strip().strip('"')) for each in value.split(","))
    return "'" + value.replace("'", "''") + "'"


def engine(address: Postgresql) -> AsyncEngine:
    """Return SQLAlchemy's engine on the same sessions, at most `SLOW` of them."""

    async def opened(*_: Any, **__: Any) -> asyncpg.Connection:
        return await connect(address, _FOR_PEOPLE, COMMAND_SECONDS)

    without = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
    made = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=opened,
        pool_size=SLOW,
        max_overflow=0,
        pool_timeout=_POOL_SECONDS,
        pool_recycle=int(_AGE_SECONDS),
        hide_parameters=True,
        connect_args=without if address.pooled else {},
    )
    _watch(made)
    if address.pooled:
        given = {**_of_transactions(address), **_FOR_PEOPLE}
        calls = (f"set_config('{name}', {_text(to)}, true)" for name, to in given.items())
        local = f"SELECT {', '.join(calls)}"

        @event.listens_for(made.sync_engine, "begin")
        def set_local(connection: Any) -> None:
            connection.exec_driver_sql(local)

    return made


def _text(value: str) -> str:
    return "'" + value.replace("'", "''").replace("%", "%%") + "'"


def _watch(made: AsyncEngine) -> None:
    """Let the engine test its sessions, and give all of them up when one has become useless."""

    @event.listens_for(made.sync_engine.pool, "checkout")
    def test(session: Any, record: Any, _: Any) -> None:
        now = time.monotonic()
        if now - record.info.setdefault("asked_at", now) < _TRUSTED_SECONDS:
            return
        if not session.run_async(leads):
            raise InvalidatePoolError
        record.info["asked_at"] = now

    @event.listens_for(made.sync_engine, "handle_error")
    def judge(context: Any) -> None:
        if is_useless(context.original_exception):
            context.is_disconnect = True
