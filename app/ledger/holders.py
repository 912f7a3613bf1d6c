"""Which workers of a SQLite ledger are alive: what a dead one held goes on at once.

Such a ledger has all its workers on one machine. Each locks a file of its own beside the ledger for
as long as it lives; however its process ends, the kernel lets the lock go. On PostgreSQL a worker
that lost its connection may still be sending, so there its leases have to run out.
"""

import fcntl
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from sqlalchemy import BindParameter, bindparam, select, update

from app.ledger.address import SqliteFile
from app.ledger.database import Database
from app.ledger.schema import contacts, integrations, ready_at
from app.ledger.transaction import Transaction

_OF: BindParameter[str] = bindparam("of")
_INTEGRATIONS = select(integrations.c.id)
# Integration by integration, in the order of the index of what is due: leases lie ahead of now.
_GIVE_BACK = (
    update(contacts)
    .where(
        contacts.c.integration_id == _OF,
        contacts.c.due_at > bindparam("now"),
        contacts.c.lease.like(bindparam("held")),
    )
    .values(lease=None, due_at=bindparam("ready"))
)


class Holder:
    """A worker that lives; `name` begins each lease that it takes."""

    def __init__(self, folder: Path | None) -> None:
        """Take the folder of the locks; None: nobody can tell whether it lives."""
        self.name = secrets.token_hex(6)
        self._folder = folder

    async def take_over(self, database: Database, now: float) -> int:
        """Make due at once what dead workers had under way; return how many contacts.

        Raises:
            Exception: one of `UNAVAILABLE`; it is done the next time.
        """
        taken = 0
        for file in self._others():
            with _dead(file) as is_dead:
                if is_dead:
                    taken += await give_back(database, file.name, now)
                    file.unlink(missing_ok=True)
        return taken

    def _others(self) -> Iterator[Path]:
        if self._folder is not None:
            for file in sorted(self._folder.glob("[0-9a-f]*")):
                if file.name != self.name:
                    yield file


@asynccontextmanager
async def alive(database: Database) -> AsyncIterator[Holder]:
    """Give a holder that others take for alive until the block, or this process, ends."""
    address = database.address
    if not isinstance(address, SqliteFile):
        yield Holder(None)
        return
    folder = address.path.with_name(f"{address.path.name}-workers")
    folder.mkdir(mode=0o700, exist_ok=True)
    holder = Holder(folder)
    # It gets its name once it is locked: nobody ever finds it without a lock while we live.
    made, file = folder / f".{holder.name}", folder / holder.name
    descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        made.rename(file)
        yield holder
        file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def _dead(file: Path) -> Iterator[bool]:
    """Say whether the worker of a lock is dead; until the block ends, nobody else finds it so."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
            return
        yield False
    finally:
        os.close(descriptor)


async def give_back(database: Database, holder: str, now: float) -> int:
    """Make due at once all that a holder has leased; return how many contacts."""

    async def give(transaction: Transaction) -> int:
        return sum(
            [
                await transaction.change(
                    _GIVE_BACK, of=each, now=now, held=f"{holder}%", ready=ready_at(now)
                )
                for (each,) in await transaction.rows(_INTEGRATIONS)
            ]
        )

    return await database.transact(give)
