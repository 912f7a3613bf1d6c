"""What people agreed to, by region, and what Cordial is asked for them."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.jebbit.submission import read
from app.ledger import submissions as ledger
from app.ledger.integrations import StoredIntegration
from app.operations.context import Context
from app.rules.plan import Plan, Upsert, plan
from app.rules.policy import Region, Status
from app.rules.values import Answer

LOOKED_AT: Final = 500
"""So many of an integration's newest submissions are looked at, as far as they are kept."""

_AT_ONCE = 50  # planned before others have their turn

Asked = Literal["subscribed", "unsubscribed", "left", "not_sent"]


@dataclass(frozen=True, slots=True)
class Consent:
    """How many people of a region gave an answer, and what Cordial is asked for their email.

    `hidden` are answers that may come from the page's URL: they count as none.
    """

    region: Region
    answer: Answer
    hidden: bool
    asked: Asked


async def consents(
    context: Context, integration_id: str | None
) -> tuple[int, Mapping[Consent, int]]:
    """Count region, answer and status asked, among the newest submissions that are kept.

    Args:
        context: the service's parts.
        integration_id: of which integration; None: of all.

    Returns:
        How many submissions were looked at, and the counts, by the rules as they are now.

    Raises:
        UnknownIntegration: there is none.
    """
    found, looked_at = Counter[Consent](), 0
    for stored in await _integrations(context, integration_id):
        kept = await ledger.payloads(context.database, stored.id, limit=LOOKED_AT)
        for start in range(0, len(kept), _AT_ONCE):
            batch = kept[start : start + _AT_ONCE]
            counted = _count(context, stored, batch)
            looked_at += counted.total()
            found.update(counted)
            await asyncio.sleep(0)
    return looked_at, found


async def _integrations(
    context: Context, integration_id: str | None
) -> Sequence[StoredIntegration]:
    if integration_id is None:
        return await context.integrations.list()
    return [await context.integrations.get(integration_id)]


def _count(
    context: Context, stored: StoredIntegration, batch: Sequence[tuple[float, bytes]]
) -> Counter[Consent]:
    counted = Counter[Consent]()
    for received_at, payload in batch:
        submission = read(payload)
        if submission is not None:
            made = plan(
                submission,
                stored.integration,
                received_at=received_at,
                now=context.clock(),
                jurisdictions=context.jurisdictions,
            )
            said = made.evidence.opt_in
            counted[
                Consent(
                    made.evidence.region.region,
                    said.answer,
                    not said.trusted,
                    _asked(made, stored.integration.cordial.email_channel),
                )
            ] += 1
    return counted


def _asked(made: Plan, email_channel: str) -> Asked:
    if not isinstance(made, Upsert):
        return "not_sent"
    channels = made.body.get("channels")
    channel = channels.get(email_channel) if isinstance(channels, dict) else None
    status = channel.get("subscribeStatus") if isinstance(channel, dict) else None
    if status == Status.SUBSCRIBED:
        return "subscribed"
    return "unsubscribed" if status == Status.UNSUBSCRIBED else "left"
