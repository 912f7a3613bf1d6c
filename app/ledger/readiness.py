"""Can webhooks be stored now: asked by a write."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import Literal

from sqlalchemy import bindparam, select, update

from app.ledger.address import SqliteFile
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.postgresql import is_read_only
from app.ledger.schema import data_keys
from app.ledger.transaction import Transaction
from app.ledger.vault import Vault, WrongSecretKey

Ledger = Literal["ok", "unreachable", "read_only", "other_key"]

_SECONDS = 3.0
_KNOWN_SECONDS = 1.0  # whoever asks more often is told what was found: anybody may ask

_MINE = data_keys.c.name == bindparam("of")
_KEY = select(data_keys.c.value).where(_MINE)
_SAME = update(data_keys).where(_MINE).values(name=bindparam("to"))


class Readiness:
    """Tries the ledger when asked, at most once a second while it is well."""

    def __init__(
        self, database: Database, vault: Vault, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._well_at = float("-inf")
        self._trying: asyncio.Task[Ledger] | None = None

    async def read(self) -> Ledger:
        """Say whether a write is stored, and whether `SECRET_KEY` is still the ledger's."""
        if self._clock() - self._well_at <= _KNOWN_SECONDS:
            return "ok"
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try())
        return await asyncio.shield(self._trying)

    async def _try(self) -> Ledger:
        try:
            async with asyncio.timeout(_SECONDS):
                kept = await self._write()
        except UNAVAILABLE as error:
            return "read_only" if is_read_only(error) else "unreachable"
        try:
            self._vault.decrypt(kept)
        except WrongSecretKey:
            return "other_key"
        self._well_at = self._clock()
        return "ok"

    async def _write(self) -> bytes:
        """Write a row as it is, and return the key that the vault must be able to read."""
        address = self._database.address
        if isinstance(address, SqliteFile):
            return await asyncio.to_thread(_write_to_file, address)
        return await self._database.transact(_write)  # the way that webhooks take


def _write_to_file(address: SqliteFile) -> bytes:
    """Write without waiting for others: another writer is no reason to be not ready."""
    connection = sqlite3.connect(address.path, timeout=0, isolation_level=None)
    try:
        try:
            connection.execute("UPDATE data_keys SET name = name")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
        [[kept]] = connection.execute("SELECT value FROM data_keys WHERE name = 'pseudonyms'")
        return bytes(kept)
    finally:
        connection.close()


async def _write(transaction: Transaction) -> bytes:
    await transaction.change(_SAME, of="pseudonyms", to="pseudonyms")
    [[kept]] = await transaction.rows(_KEY, of="pseudonyms")
    return bytes(kept)
