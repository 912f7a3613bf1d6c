"""Which workers are alive: what a dead one held goes on at once.

A worker's name begins each lease that it takes. By two things others see that it is dead:

- On the same machine, by a lock on a file of its own. However its process ends, the kernel lets the
  lock go.
- On PostgreSQL, by a lock of the session on which it listens. A worker can lose its session and
  live: then it begins no request any more, and cuts short those that are under way. Others wait for
  as long as that takes. With its next session it has another name.

Where it has neither, as through a pooler, its leases run out.
"""

import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from asyncpg import InterfaceError
from sqlalchemy import BindParameter, bindparam, delete, func, select, update

from app.ledger.address import SqliteFile
from app.ledger.clock import this_start
from app.ledger.database import Database
from app.ledger.postgresql import READS_ONLY
from app.ledger.schema import contacts, integrations, ready_at, workers
from app.ledger.transaction import Transaction, among

BEAT_SECONDS = 0.5
"""How often a worker makes sure of its session."""

SURE_SECONDS = 2.5
"""For so long after a session answered, its worker may send."""

GONE_SECONDS = 3.0
"""So long after its lock was found free, what a session's worker held is taken over."""

_LOCKS = 0x4A43 << 48  # where nobody else's advisory locks on the same PostgreSQL are
_PROCESS_DIGITS, _SESSION_DIGITS = 8, 4  # of a name, hexadecimal
_NAME_DIGITS = _PROCESS_DIGITS + _SESSION_DIGITS

_OF: BindParameter[str] = bindparam("of")
_INTEGRATIONS = select(integrations.c.id).order_by(integrations.c.id)
# Integration by integration, found by the index of what is due: leases lie ahead of now. All lock
# contacts in this order, so they do not deadlock; `|| ''` hides it from planners, which might read
# all contacts in the order of their keys.
_HELD = (
    select(contacts.c.contact_key)
    .where(
        contacts.c.integration_id == _OF,
        contacts.c.due_at > bindparam("now"),
        contacts.c.lease.like(bindparam("held")),
    )
    .order_by(contacts.c.contact_key.concat(""))
    .with_for_update()
)
_GIVE_BACK = (
    update(contacts)
    .where(contacts.c.integration_id == _OF, among(contacts.c.contact_key, "keys"))
    .values(lease=None, due_at=bindparam("ready"))
)
# A session's number is never used again, so a lock that was free once stays free.
_FREE = func.pg_try_advisory_xact_lock(workers.c.number)
_SESSIONS = select(workers.c.number, _FREE)
_TAKE = select(workers.c.number).where(workers.c.number == bindparam("number"), _FREE)
_FORGET = delete(workers).where(workers.c.number == bindparam("number"))


class Holder:
    """A worker that lives; `name` begins each lease that it takes."""

    def __init__(
        self, file: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the file that this process has locked, if it has, and a steady clock (s)."""
        self._file = file
        self._process = file.name if file else secrets.token_hex(_PROCESS_DIGITS // 2)
        self._without_session = self._process + "0" * _SESSION_DIGITS
        self.name = self._without_session
        self._clock = clock
        self._sessions = count(1)
        self._sure_until: dict[str, float] = {}
        self._gone_at: dict[int, float] = {}

    # --- Being alive --------------------------------------------------------------------------

    async def begin(self, session: Any) -> None:
        """Be known by a new session on PostgreSQL from now on.

        Raises:
            Exception: one of `UNAVAILABLE`; the session is of no use.
        """
        name = f"{self._process}{next(self._sessions) % 16**_SESSION_DIGITS:0{_SESSION_DIGITS}x}"
        asked_at = self._clock()
        # First the lock, then the row: a row without a lock is that of a dead one.
        if not await session.fetchval("SELECT pg_try_advisory_lock($1)", _number(name)):
            raise InterfaceError("the number of a new session is in use")
        await session.execute("INSERT INTO workers (number) VALUES ($1)", _number(name))
        self.name = name
        self._sure_until[name] = asked_at + SURE_SECONDS

    async def beat(self, session: Any) -> None:
        """Make sure that the session lives, on a server that still leads.

        Raises:
            Exception: one of `UNAVAILABLE`; the session is lost.
        """
        asked_at = self._clock()
        if await session.fetchval(READS_ONLY) != "off":
            raise InterfaceError("the server takes no writes any more")
        self._sure_until[self.name] = asked_at + SURE_SECONDS

    def lose(self) -> None:
        """Be known by no session; what is leased from now on runs out by time."""
        self.name = self._without_session

    def is_sure(self, lease: str) -> bool:
        """Say whether nobody else can have taken a lease of ours because we look dead."""
        return self._clock() < self._sure_until.get(lease[:_NAME_DIGITS], float("inf"))

    # --- Seeing who is dead -------------------------------------------------------------------

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
        if database.has_sessions:
            for number in await self._long_gone(database):
                taken += await _inherit(database, number, now)
        return taken

    def _others(self) -> Iterator[Path]:
        if self._file is not None:
            for file in sorted(self._file.parent.glob("[0-9a-f]*")):
                if file != self._file:
                    yield file

    async def _long_gone(self, database: Database) -> list[int]:
        """Return the sessions of which nobody can be sure any more."""
        rows = await database.transact(lambda transaction: transaction.rows(_SESSIONS))
        now = self._clock()
        self._gone_at = {
            number: self._gone_at.get(number, now)
            for number, is_free in rows
            if is_free or number in self._gone_at  # else another worker is looking just now
        }
        return [number for number, at in self._gone_at.items() if now >= at + GONE_SECONDS]


@asynccontextmanager
async def alive(database: Database, data_dir: Path) -> AsyncIterator[Holder]:
    """Give a holder that others take for alive until the block, or this process, ends."""
    file = _file(database, data_dir)
    with ExitStack() as locks:
        if file is not None:
            try:
                locks.enter_context(_locked(file))
            except OSError:  # nothing can be written there, or nothing locked
                if database.is_sqlite:
                    raise
                file = None
        yield Holder(file)


def _file(database: Database, data_dir: Path) -> Path | None:
    """Return the file to lock, whose name is the process's; None if there can be none.

    Other machines may see the same folder, and not our locks: each has a folder of its own.
    """
    address, process = database.address, secrets.token_hex(_PROCESS_DIGITS // 2)
    if isinstance(address, SqliteFile):
        return address.path.with_name(f"{address.path.name}-workers") / process
    return data_dir / f"workers-{start}" / process if (start := this_start()) else None


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the lock of a file until the block, or this process, ends; then the file is gone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(PermissionError):  # as where a mount decides
        file.parent.chmod(0o700)  # a version before took from its owner the right to enter
    # It gets its name once it is locked: nobody ever finds it without a lock while we live.
    made = file.with_name(f".{file.name}")
    descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        made.rename(file)
        yield
        file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def _dead(file: Path) -> Iterator[bool]:
    """Say whether the worker of a lock is dead; until the block ends, nobody else finds it so."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except (FileNotFoundError, PermissionError):  # gone, or another user's: not for us to tell
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
    return await database.transact(lambda transaction: _give_back(transaction, holder, now))


async def _inherit(database: Database, number: int, now: float) -> int:
    """Make due at once what the worker of a lost session has leased; return how many contacts."""

    async def inherit(transaction: Transaction) -> int:
        if not await transaction.rows(_TAKE, number=number):
            return 0  # another worker is at it, or was
        await transaction.change(_FORGET, number=number)
        return await _give_back(transaction, _name(number), now)

    return await database.transact(inherit)


async def _give_back(transaction: Transaction, holder: str, now: float) -> int:
    given_back = 0
    for (of,) in await transaction.rows(_INTEGRATIONS):
        held = await transaction.rows(_HELD, of=of, now=now, held=f"{holder}%")
        if keys := [key for (key,) in held]:
            given_back += await transaction.change(
                _GIVE_BACK, of=of, keys=keys, ready=ready_at(now)
            )
    return given_back


def _number(name: str) -> int:
    return _LOCKS | int(name, 16)


def _name(number: int) -> str:
    return f"{number ^ _LOCKS:0{_NAME_DIGITS}x}"
