"""Sessions that stand still in the middle of a transaction: they are ended, since others wait.

A replica that is frozen in a transaction keeps its locks. PostgreSQL ends its session by
`idle_in_transaction_session_timeout`, but that does not count in the middle of a statement: asyncpg
first has a new statement described, and then executes it; and rows have to be read. So each process
looks for sessions that stand there. Behind a pooler, where each statement is described anew, they
are taken from others even without a lock.
"""

import asyncio
from datetime import datetime

import structlog
from sqlalchemy import text

from app.ledger.database import UNAVAILABLE, Database
from app.ledger.transaction import Transaction
from app.telemetry.logs import place_of

log = structlog.get_logger("standing")

_LOOK_SECONDS = 1.0

# Those with locks on rows have a transaction id. Who has none may read as slowly as they like. A
# COPY of somebody else's waits for its data by right.
_FIND = text(r"""
SELECT pid, state_change FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
AND state = 'active'
AND (wait_event = 'ClientRead' OR wait_event = 'ClientWrite' AND backend_xid IS NOT NULL)
AND query !~* '^\s*copy\y' AND state_change
< clock_timestamp() - current_setting('idle_in_transaction_session_timeout')::interval
""")
_END = text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = :pid AND state_change = :since AND state = 'active'
""")

Standing = set[tuple[int, datetime]]
"""The sessions that stand still, each since when."""


async def end_standing(database: Database) -> None:
    """End the sessions of whoever stands still in a transaction; run until cancelled."""
    seen: Standing = set()
    while not database.is_sqlite:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            seen = await _look(database, seen)
        except UNAVAILABLE as error:
            log.warning("ledger_unavailable", error=place_of(error))


async def _look(database: Database, before: Standing) -> Standing:
    """Return who stands still, after ending those that did already at the last look.

    One look may meet a session that waits for a moment only, in a statement that takes long.
    """

    async def look(transaction: Transaction) -> Standing:
        standing = {(pid, since) for pid, since in await transaction.rows(_FIND)}
        for pid, since in standing & before:
            await transaction.rows(_END, pid=pid, since=since)
            log.warning("standing_session_ended", since=since.isoformat())
        return standing

    return await database.transact(look)
