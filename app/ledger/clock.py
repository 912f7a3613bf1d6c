"""The ledger's time: due times and leases are compared by it, in whatever process.

A process counts on by its monotonic clock, so that setting the wall clock changes nothing. Where it
counts from, all processes of a ledger must agree: one whose clock is a minute ahead would take the
others' claims for abandoned, and send what they are sending.
"""

import time
from pathlib import Path

from sqlalchemy import delete, func, or_, select, text

from app.ledger.database import Database
from app.ledger.schema import clocks

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SET_RIGHT = 1.5 * 3600  # seconds; a clock set by more was wrong before, and is believed


async def zero_at(database: Database) -> float:
    """Return the unix time at which, for this ledger, this machine's monotonic clock was zero."""
    if database.is_sqlite:
        return await _agreed_on_this_machine(database)
    async with database.read() as connection:
        now = text("SELECT EXTRACT(EPOCH FROM clock_timestamp())::double precision")
        return float(await connection.scalar(now) or 0.0) - time.monotonic()


async def _agreed_on_this_machine(database: Database) -> float:
    """Return what the first process since the machine started has found, by the wall clock.

    Its processes share the monotonic clock, and so setting the wall clock by an hour later does not
    matter. Where the system does not tell one start from another, each goes by the wall clock.
    """
    mine = time.time() - time.monotonic()
    if (boot := _this_start()) is None:
        return mine
    async with database.write() as connection:
        off = func.abs(clocks.c.zero_at - mine) > _SET_RIGHT
        await connection.execute(delete(clocks).where(or_(clocks.c.boot != boot, off)))
        row = {"boot": boot, "zero_at": mine}
        await connection.execute(database.insert_or_ignore(clocks), row)
        return float(await connection.scalar(select(clocks.c.zero_at)) or mine)


def _this_start() -> str | None:
    """Return what tells this start of the machine from others, where the system says it."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else None
