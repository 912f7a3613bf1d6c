"""The ledger's time, by which every process compares due times and leases.

A process counts on by its monotonic clock, so setting the wall clock changes nothing. All processes
of a ledger must count from the same zero: one whose clock is a minute ahead would take the others'
claims for abandoned, and send what they are sending.
"""

import time
from pathlib import Path

from sqlalchemy import delete, func, or_, select, text

from app.ledger.database import Database
from app.ledger.schema import clocks

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SET_RIGHT = 1.5 * 3600  # seconds; if somebody sets the clock by more, it was wrong before


async def zero_at(database: Database) -> float:
    """Return the unix time at which this machine's monotonic clock was zero, for this ledger."""
    if database.is_sqlite:
        return await _agreed_on_this_machine(database)
    async with database.read() as connection:
        now = text("SELECT EXTRACT(EPOCH FROM clock_timestamp())::double precision")
        return float(await connection.scalar(now) or 0.0) - time.monotonic()


async def _agreed_on_this_machine(database: Database) -> float:
    """Return the zero that the first process found by the wall clock, after the machine started.

    All processes of a machine share the monotonic clock, so setting the wall clock by an hour later
    does not matter. If the system does not tell its starts apart, each process goes by the wall
    clock.
    """
    mine = time.time() - time.monotonic()
    if (boot := this_start()) is None:
        return mine
    async with database.write() as connection:
        off = func.abs(clocks.c.zero_at - mine) > _SET_RIGHT
        await connection.execute(delete(clocks).where(or_(clocks.c.boot != boot, off)))
        row = {"boot": boot, "zero_at": mine}
        await connection.execute(database.insert_or_ignore(clocks), row)
        return float(await connection.scalar(select(clocks.c.zero_at)) or mine)


def this_start() -> str | None:
    """Return the id of this start of the machine; None if the system has none."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else None
