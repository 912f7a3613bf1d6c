"""How much was decided, hour by hour, and which webhooks were refused."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from app.ledger import tallies
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.tallies import RefusedWebhook, Tally
from app.operations.context import Context
from app.operations.submissions import refuse_unknown

_FLUSH_SECONDS: Final = 1.0
_LONGEST_REASON: Final = 40


class RefusedLog:
    """The last refused webhooks, written down together: a flood of them costs a write a second."""

    def __init__(self, database: Database) -> None:
        """Take the ledger."""
        self._database = database
        self._new = defaultdict[str, deque[RefusedWebhook]](
            lambda: deque(maxlen=tallies.MOST_REFUSED)
        )

    def note(self, integration_id: str, at: float, reason: str) -> None:
        """Note a refused webhook of one of our integrations: when (unix seconds), and why."""
        self._new[integration_id].append(RefusedWebhook(at, reason[:_LONGEST_REASON]))

    async def flush(self) -> None:
        """Write down what was noted."""
        noted, self._new = self._new, defaultdict(self._new.default_factory)
        for integration_id, refused in noted.items():
            await tallies.note_refused(self._database, integration_id, refused)

    async def run(self) -> None:
        """Write down until cancelled; what the ledger does not take is left out."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            with suppress(*UNAVAILABLE):
                await self.flush()


async def hourly(
    context: Context, integration_id: str | None, since: float
) -> Sequence[tuple[Tally, int]]:
    """Return the counts by hour since a time (unix seconds); `integration_id` None: of all.

    Raises:
        UnknownIntegration: there is none of this id, and nothing is left of one.
    """
    if integration_id is not None:
        await refuse_unknown(context, integration_id)
    return await tallies.hourly(context.database, integration_id, since)


async def decided(
    context: Context, integration_id: str | None, since: float, *, hours: int
) -> Sequence[tuple[Tally, int]]:
    """Return what was decided of people, so many hours taken together: see `tallies.decided`."""
    return await tallies.decided(context.database, integration_id, since, hours=hours)


async def refused_webhooks(context: Context, integration_id: str) -> Sequence[RefusedWebhook]:
    """Return the last refused webhooks of an integration, the newest first.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    return await tallies.refused_of(context.database, stored.id)
