"""The ledger's database: SQLite or PostgreSQL behind the same few calls."""

import asyncio
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
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.ledger import fitness, postgresql, versions
from app.ledger.address import Postgresql, SqliteFile, read_address
from app.ledger.postgresql import Sessions
from app.ledger.schema import data_keys
from app.ledger.transaction import (
    PostgresqlTransactions,
    Result,
    SqliteTransactions,
    Work,
)
from app.ledger.vault import Pseudonyms, Vault

_MIGRATION_LOCK = 7_166_214_300  # a number that nobody else on the same PostgreSQL uses
# Writes to a large ledger touch pages all over its indexes. SQLite keeps these pages in memory, and
# copies them from its write-ahead log to the database once for many commits.
_CACHE_KB = 65_536
_WAL_PAGES = 4_000
_BESIDE = ("-wal", "-shm", "-journal")  # the names of SQLite's other files end so
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

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        """Take `DATABASE_URL`, and whether a pooler hands out its sessions by transaction.

        Raises:
            NotUnderstood: the URL cannot be used.
        """
        self.address = read_address(url, pooled=pooled)
        address = self.address
        self.is_sqlite = isinstance(address, SqliteFile)
        # Whether a connection stays ours for as long as we want: a lock of it, a channel it hears.
        self.has_sessions = isinstance(address, Postgresql) and not address.pooled
        self.connections_allowed: int | None = None  # as `migrate` finds them limited
        if isinstance(address, SqliteFile):
            self._engine = _sqlite_engine(address)
        else:
            self._engine = postgresql.engine(address)
        # SQLite has one writer at a time. BEGIN IMMEDIATE waits for its turn now: SQLite could
        # refuse the first write of a transaction that has only read so far.
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        dialect = self._engine.dialect
        self._transactions: SqliteTransactions | PostgresqlTransactions
        if isinstance(address, SqliteFile):
            self._transactions = SqliteTransactions(lambda: _connect_sqlite(address), dialect)
        else:
            self._transactions = PostgresqlTransactions(Sessions(address), dialect)

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

    def insert_or_add(self, table: Any, column: str) -> Any:
        """Return an insert that adds to this column where a row with its primary key exists."""
        return _insert_or_add(self.is_sqlite, table, column)

    async def migrate(self) -> None:
        """Bring the tables to the newest form; several processes may do this at once.

        Raises:
            Unfit: the database cannot hold the ledger as it is; the text says what to do.
        """
        if isinstance(self.address, SqliteFile):
            _keep_private(self.address.path)
            await self._use_wal()
        else:
            self.connections_allowed = await fitness.try_sessions(self.address)
        # This version can work on a newer form too: see the template of the migrations.
        while await self.migrations() == "not_current":
            await self._upgrade()
        if not self.is_sqlite:
            async with self.read() as connection:
                await fitness.try_privileges(connection)

    async def _upgrade(self) -> None:
        with fitness.explained():
            async with self.write() as connection:
                if not self.is_sqlite:  # on SQLite, BEGIN IMMEDIATE is the lock
                    for limit, to in postgresql.MIGRATING.items():
                        await connection.execute(text(f"SET LOCAL {limit} = '{to}'"))
                    lock = text("SELECT pg_advisory_xact_lock(:key)")
                    await connection.execute(lock, {"key": _MIGRATION_LOCK})
                if await connection.run_sync(versions.current) < versions.head():
                    await connection.run_sync(versions.upgrade)

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

    async def migrations(self) -> Literal["ok", "newer", "not_current"]:
        """Say how the form of the tables compares with the form this code was written for."""
        async with self.read() as connection:
            revision = await connection.run_sync(versions.current)
        if revision == versions.head():
            return "ok"
        return "newer" if revision > versions.head() else "not_current"

    async def close(self) -> None:
        """Close every connection."""
        await self._transactions.close()
        await self._engine.dispose()


def _connect_sqlite(address: SqliteFile) -> sqlite3.Connection:
    connection = sqlite3.connect(address.path, timeout=_BUSY_SECONDS, check_same_thread=False)
    _configure_sqlite(connection)
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    return connection


@cache
def _insert_or_ignore(is_sqlite: bool, table: Any) -> Any:
    return _insert(is_sqlite, table).on_conflict_do_nothing()


@cache
def _insert_or_add(is_sqlite: bool, table: Any, column: str) -> Any:
    new = _insert(is_sqlite, table)
    added = {column: table.c[column] + new.excluded[column]}
    return new.on_conflict_do_update(index_elements=table.primary_key.columns, set_=added)


def _insert(is_sqlite: bool, table: Any) -> Any:
    dialect = sqlite_dialect if is_sqlite else postgresql_dialect
    return dialect.insert(table).inline()


def _sqlite_engine(address: SqliteFile) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{address.path}",
        connect_args={"timeout": _BUSY_SECONDS},
        hide_parameters=True,
    )

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
    for suffix in ("", *_BESIDE):
        # Another user's file, which we were allowed to open; or none yet, or no more.
        with suppress(PermissionError, FileNotFoundError):
            file.with_name(file.name + suffix).chmod(0o600)


def _configure_sqlite(connection: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on disk before it returns
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")  # what is wiped is overwritten, not only let go
    cursor.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.close()
