"""The ledger's figures for monitoring, cheap at any size.

We count pending and dead submissions only, never delivered ones. The index `submissions_by_status`
finds them without reading the rest, and its first pending entry is the oldest.
"""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import ScalarSelect, func, select

from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, integrations, submissions
from app.ledger.sources import lasting_of_all
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
    columns = (integrations.c.id, integrations.c.paused, integrations.c.gate)
    query = select(
        *columns,
        _count(SubmissionStatus.PENDING),
        _count(SubmissionStatus.DEAD),
        _oldest_pending(),
    ).order_by(integrations.c.id)
    async with database.read() as connection:
        found = await connection.execute(query)
    drifting = await lasting_of_all(database)
    return [
        IntegrationFigures(
            integration_id=name,
            pending=pending,
            dead=dead,
            oldest_pending_seconds=max(now - oldest, 0.0) if oldest is not None else 0.0,
            paused=paused,
            gate=gate,
            drift=drifting.get(name, {}).keys(),
        )
        for name, paused, gate, pending, dead, oldest in found
    ]


def _count(status: SubmissionStatus) -> ScalarSelect[int]:
    mine = submissions.c.integration_id == integrations.c.id
    counted = select(func.count()).where(mine, submissions.c.status == status)
    return counted.correlate(integrations).scalar_subquery()


def _oldest_pending() -> ScalarSelect[float]:
    mine = submissions.c.integration_id == integrations.c.id
    return (
        select(submissions.c.received_at)
        .where(mine, submissions.c.status == SubmissionStatus.PENDING)
        .order_by(submissions.c.seq)
        .limit(1)
        .correlate(integrations)
        .scalar_subquery()
    )
