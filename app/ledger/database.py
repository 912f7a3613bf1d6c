"""The ledger's database: SQLite or PostgreSQL behind the same few calls."""

import asyncio
import glob
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import asyncpg
from sqlalchemy import Connection, event, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.ledger.schema import data_keys
from app.ledger.transaction import (
    PostgresqlTransactions,
    Result,
    SqliteTransactions,
    Work,
)
from app.ledger.vault import Pseudonyms, Vault

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_166_214_300  # a number that nobody else on the same PostgreSQL uses
# A replica that stops in the middle of a transaction would keep its locks and hold up all others:
# PostgreSQL ends its session. Nobody waits for ever for a lock or for a server that does not
# answer: we refuse the webhook, and Jebbit sends it again.
_LIMITS = {"idle_in_transaction_session_timeout": "3s", "lock_timeout": "5s"}
_COMMAND_SECONDS = 60.0
# Every query that submissions wait for finds its rows by an index, in the index's order. Without
# statistics, as in a first burst, PostgreSQL would rather sort the whole backlog, and it would keep
# a plan that it made when the tables were empty.
_BY_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_custom_plan",
}
# Writes to a large ledger touch pages all over its indexes. SQLite keeps these pages in memory, and
# copies them from its write-ahead log to the database once for many commits.
_CACHE_KB = 65_536
_WAL_PAGES = 4_000
_BUSY_SECONDS = 5.0  # how long a writer waits for another process before it gives up

UNAVAILABLE: tuple[type[Exception], ...] = (
    DBAPIError,
    PoolTimeout,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was closed while the process stood still
    OSError,
    TimeoutError,
)
"""What a call raises while the ledger cannot be reached or cannot store."""


def failure_event(error: Exception) -> str:
    """Return the log event for an error that a loop survives."""
    return "ledger_unavailable" if isinstance(error, UNAVAILABLE) else "defect"


_EMPTYINGS = 20
_EMPTYING_PAUSE_SECONDS = 0.05


class Database:
    """Connections to the ledger, and its kinds of transaction: `transact`, `write` and `read`."""

    def __init__(self, url: str) -> None:
        self.url = async_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        # SQLite has one writer at a time. BEGIN IMMEDIATE waits for its turn now: SQLite could
        # refuse the first write of a transaction that has only read so far.
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        dialect = self._engine.dialect
        self._transactions = (
            SqliteTransactions(self._connect_sqlite, dialect)
            if self.is_sqlite
            else PostgresqlTransactions(self._connect_postgresql, dialect)
        )

    async def transact(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once it is durably committed: the fast way to write.

        Raises:
            Exception: one of `UNAVAILABLE`, or whatever `work` raises; nothing is stored then.
        """
        return await self._transactions.run(work)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that writes; it is durably committed when the block ends."""
        async with self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads; on SQLite it sees one snapshot."""
        async with self._engine.connect() as connection:
            yield connection

    def insert_or_ignore(self, table: Any) -> Any:
        """Return an insert that does nothing if a row with one of its keys exists."""
        return _insert_or_ignore(self.is_sqlite, table)

    async def migrate(self) -> None:
        """Bring the tables to the newest form; several processes may do this at once."""
        if self.is_sqlite and self.url.database and self.url.database != ":memory:":
            _keep_private(Path(self.url.database))
            await self._use_wal()
        with suppress(DBAPIError):  # before the first start there are no tables to read
            # This version can work on a newer form too: see the template of the migrations.
            if await self.migrations() != "not_current":
                return
        async with self.write() as connection:
            if not self.is_sqlite:  # on SQLite, BEGIN IMMEDIATE is the lock
                for limit in _LIMITS:  # changing a large table takes longer
                    await connection.execute(text(f"SET LOCAL {limit} = 0"))
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                await connection.execute(lock, {"key": _MIGRATION_LOCK})
            await connection.run_sync(_upgrade)

    async def _use_wal(self) -> None:
        """Let readers and a writer work at the same time; SQLite stores this in the file.

        While another process makes the file's first write, SQLite refuses at once instead of
        waiting, so we try again.
        """
        give_up = time.monotonic() + _BUSY_SECONDS
        async with self._engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            while True:
                try:
                    await driver.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
                    return
                except sqlite3.OperationalError:
                    if time.monotonic() > give_up:
                        raise
                    await asyncio.sleep(0.02)

    async def pseudonyms(self, vault: Vault) -> Pseudonyms:
        """Return the ledger's pseudonyms; the first start makes their key.

        Raises:
            WrongSecretKey: the ledger was written with another `SECRET_KEY`.
        """
        async with self.write() as connection:
            fresh = {"name": "pseudonyms", "value": vault.encrypt(secrets.token_bytes(32))}
            await connection.execute(self.insert_or_ignore(data_keys), fresh)
            kept = await connection.scalar(
                select(data_keys.c.value).where(data_keys.c.name == "pseudonyms")
            )
        return Pseudonyms(vault.decrypt(kept or b""))

    async def forget_deleted(self) -> None:
        """Let nothing of what was deleted stay on disk beside the tables, if that can be told.

        SQLite's write-ahead log holds earlier forms of its pages until it is emptied. A reader at
        work can keep us from that; the next time will do. PostgreSQL's VACUUM is the server's.
        """
        if not self.is_sqlite:
            return
        async with self._engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            for _ in range(_EMPTYINGS):
                cursor = await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
                busy, *_rest = await cursor.fetchone()
                if not busy:
                    return
                await asyncio.sleep(_EMPTYING_PAUSE_SECONDS)

    async def ping(self) -> None:
        """Raise if the ledger cannot be reached."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def migrations(self) -> Literal["ok", "newer", "not_current"]:
        """Say how the form of the tables compares with the form this code was written for."""
        async with self.read() as connection:
            found = list(await connection.scalars(text("SELECT version_num FROM alembic_version")))
        revision = int(found[0]) if len(found) == 1 and found[0].isdigit() else 0
        if revision == _head():
            return "ok"
        return "newer" if revision > _head() else "not_current"

    async def close(self) -> None:
        """Close every connection."""
        await self._transactions.close()
        await self._engine.dispose()

    def _connect_sqlite(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.url.database or ":memory:",
            timeout=_BUSY_SECONDS,
            check_same_thread=False,
        )
        _configure_sqlite(connection)
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        return connection

    async def _connect_postgresql(self) -> asyncpg.Connection:
        _, address = self._engine.dialect.create_connect_args(self.url)
        settings = {**_LIMITS, **_BY_INDEX}
        return await asyncpg.connect(
            **address, command_timeout=_COMMAND_SECONDS, server_settings=settings
        )


@cache
def _insert_or_ignore(is_sqlite: bool, table: Any) -> Any:
    dialect = sqlite if is_sqlite else postgresql
    return dialect.insert(table).on_conflict_do_nothing().inline()


def async_url(url: str) -> URL:
    """Return `DATABASE_URL` with the driver used here.

    Raises:
        ValueError: neither SQLite nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("no database URL; use sqlite:///path or postgresql://...") from None
    backend = parsed.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise ValueError(f"{backend} is not known here; use sqlite:///path or postgresql://...")
    return parsed.set(drivername=_DRIVERS[backend])


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": _BUSY_SECONDS}, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(dbapi_connection: Any, _: object) -> None:
        _configure_sqlite(dbapi_connection)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _keep_private(file: Path) -> None:
    """Make the ledger's file and folder, or let nobody else read the file that is there.

    SQLite gives its write-ahead log the permissions of the file. A folder that is there already may
    be shared on purpose, so it stays as it is.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600, exist_ok=True)
    for each in (file, *file.parent.glob(f"{glob.escape(file.name)}-*")):
        with suppress(PermissionError):  # another user's file, which we were allowed to open
            each.chmod(0o600)


def _configure_sqlite(connection: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on disk before it returns
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is wiped is overwritten, not only let go
    cursor.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.close()


def _postgresql_engine(url: URL) -> AsyncEngine:
    # The pool tests a connection before it hands it out: its server may have gone.
    return create_async_engine(
        url,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=10,
        hide_parameters=True,
        connect_args={"command_timeout": _COMMAND_SECONDS, "server_settings": _LIMITS},
    )


def _upgrade(connection: Connection) -> None:
    from alembic import (
        command,
    )  # takes a quarter of the start to load, and most starts do not need it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@cache
def _head() -> int:
    """Return the newest revision: a growing number that begins the name of its file."""
    return max(int(each.name[:4]) for each in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
