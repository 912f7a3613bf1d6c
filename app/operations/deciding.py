"""What was decided of a person, when, and on what."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.ledger import decisions
from app.ledger.decisions import Alike, Decision
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.people import by_address

MOST: Final = 500


async def decisions_of(context: Context, who: Caller, contact: str) -> Sequence[Decision]:
    """Return the newest decisions about whoever has this email address or phone number.

    Raises:
        NoAddress: it is neither.
    """
    keys = (await by_address(context, contact)).keys
    found = await decisions.of_keys(context.database, keys, MOST)
    return found if who.sees_people else [without_labels(each) for each in found]


async def newest_alike(
    context: Context, integration_id: str | None, since: float, alike: Alike, limit: int
) -> Sequence[str]:
    """Return the ids of the submissions of which the same was decided since a time, the newest."""
    return await decisions.newest_alike(context.database, integration_id, since, alike, limit)


def without_labels(decision: Decision) -> Decision:
    """Return what was decided without the words that the person chose."""
    if decision.basis is None:
        return decision
    basis = {**decision.basis, "region_value": None}
    for name in ("opt_in", "sms_opt_in"):
        answered = basis[name]
        basis[name] = {**answered, "label": None} if isinstance(answered, dict) else None
    return replace(decision, basis=basis)
