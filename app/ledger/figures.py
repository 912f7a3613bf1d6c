"""The ledger's figures for monitoring, cheap at any size."""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import select

from app.ledger import counts
from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, integrations
from app.ledger.sources import lasting_of_all
from app.ledger.submissions import received_first
from app.telemetry.metrics import IntegrationFigures

_SHARE = 20  # counting takes at most one part in this many of the time


class LedgerFigures:
    """Counts when asked; the longer a count took, the longer it is shown before the next."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._again_at = 0.0
        self._found: Sequence[IntegrationFigures] = ()

    async def read(self, now: float) -> Sequence[IntegrationFigures]:
        """Return the figures of every integration; `now` is in unix seconds.

        Raises:
            Exception: one of `database.UNAVAILABLE`.
        """
        started = self._clock()
        if started >= self._again_at:
            self._found = await count_waiting(self._database, now)
            took = self._clock() - started
            self._again_at = self._clock() + _SHARE * took
        return self._found


async def count_waiting(database: Database, now: float) -> list[IntegrationFigures]:
    """Count pending and dead submissions of each integration, and say what was found to drift.

    Deleted integrations are left out.
    """
    column = integrations.c
    oldest = received_first(column.id).label("oldest")
    query = select(column.id, column.paused, column.gate, oldest).order_by(column.id)
    async with database.read() as connection:
        standing = await counts.by_place(connection)
        found = (await connection.execute(query)).all()
    drifting = await lasting_of_all(database)
    return [
        IntegrationFigures(
            integration_id=each.id,
            pending=standing.get((each.id, SubmissionStatus.PENDING), 0),
            dead=standing.get((each.id, SubmissionStatus.DEAD), 0),
            oldest_pending_seconds=0.0 if each.oldest is None else max(now - each.oldest, 0.0),
            paused=each.paused,
            gate=each.gate,
            drift=drifting.get(each.id, {}).keys(),
        )
        for each in found
    ]
