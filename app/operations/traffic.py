"""How much came in, by hour and outcome."""

from collections.abc import Sequence

from app.ledger import counts
from app.ledger.counts import HourCount
from app.operations.context import Context


async def by_hour(context: Context, since: float) -> Sequence[HourCount]:
    """Count what was received from the hour of a time (unix seconds), by integration and status."""
    return await counts.by_hour(context.database, since)
