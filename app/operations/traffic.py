"""How much came in, by hour and outcome."""

from collections.abc import Sequence

from app.ledger import listing
from app.ledger.listing import HourCount
from app.operations.context import Context


async def by_hour(context: Context, since: float) -> Sequence[HourCount]:
    """Count what was received since a time (unix seconds), by hour, integration and status."""
    return await listing.by_hour(context.database, since)
