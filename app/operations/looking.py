"""What people look at beside a submission or a list: counts, waits, what else is of the person."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import JsonValue

from app.jebbit.submission import read
from app.ledger import listing
from app.ledger.integrations import UnknownIntegration
from app.ledger.listing import Wait
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import StoredSubmission
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.submissions import Wanted, filter_of
from app.rules.survey import survey

_NEIGHBOURS = 20


@dataclass(frozen=True, slots=True)
class Facets:
    """How many submissions each choice of a filter would show, the other choices staying.

    `total` is how many match.
    """

    total: int
    statuses: Mapping[SubmissionStatus, int]
    integrations: Mapping[str, int]
    reasons: Mapping[str, int]


async def facets(context: Context, wanted: Wanted) -> Facets:
    """Count what matches, and what each other choice would match.

    Raises:
        NoAddress: `contact` is neither an email address nor a phone number.
    """
    matching = await filter_of(context, wanted)
    counted = await listing.count(context.database, matching)
    statuses, integrations = Counter[SubmissionStatus](), Counter[str]()
    reasons = Counter[str]()
    for ((integration_id, status), reason), number in counted.items():
        of_integration = wanted.integration_id in (None, integration_id)
        of_status = wanted.status in (None, status)
        if of_integration:
            statuses[status] += number
        if of_status:
            integrations[integration_id] += number
        if of_integration and of_status and reason:
            reasons[reason] += number
    chosen = statuses[wanted.status] if wanted.status else statuses.total()
    if wanted.reason:
        chosen = reasons[wanted.reason]
    if wanted.ids is not None:
        chosen = len(wanted.ids)
    return Facets(chosen, statuses, integrations, reasons)


async def waits(context: Context, submissions: Sequence[StoredSubmission]) -> Mapping[str, Wait]:
    """Return what the pending ones among these wait for, by id."""
    pending = {each.seq: each.id for each in submissions if each.status == "pending"}
    if not pending:
        return {}
    found = await listing.waits(context.database, list(pending))
    return {pending[seq]: wait for seq, wait in found.items()}


async def others_of_contact(context: Context, stored: StoredSubmission) -> list[StoredSubmission]:
    """Return the newest other submissions of the same contact, in the same integration."""
    return await listing.of_same_contact(context.database, stored.seq, limit=_NEIGHBOURS)


@dataclass(frozen=True, slots=True)
class Used:
    """An attribute of a submission, and the places of the configuration that name it."""

    key: str
    value: JsonValue
    used_by: Sequence[str]


async def attributes_of(
    context: Context, who: Caller, stored: StoredSubmission
) -> Sequence[Used] | None:
    """Return a submission's attributes and what uses them; None if there are none to be seen.

    That is so when its payload was wiped or cannot be read, and for a viewer.
    """
    submission = read(stored.payload) if stored.payload is not None else None
    if submission is None or not who.sees_people:
        return None
    places: Mapping[str, Sequence[str]] = {}
    with suppress(UnknownIntegration):
        integration = await context.integrations.get(stored.integration_id)
        seen = survey([(stored.received_at, submission)], integration.integration)
        places = {each.key: each.used_by for each in seen.attributes}
    attributes = submission.attributes.items()
    return [Used(key, value, places.get(key, ())) for key, value in attributes]
