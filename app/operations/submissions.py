"""Finding, listing and counting submissions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from app.ledger import decisions, listing
from app.ledger import submissions as ledger
from app.ledger.decisions import Decision
from app.ledger.erasure import ERASED
from app.ledger.integrations import UnknownIntegration
from app.ledger.replays import DISCARDED
from app.ledger.schema import DeadReason, SubmissionStatus
from app.ledger.submissions import Counts, Filter, StoredSubmission
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.deciding import without_labels
from app.operations.invalid import invalid_at
from app.operations.people import by_address
from app.operations.previewing import Explanation, explain
from app.rules.partial import SAID
from app.rules.policy import SkipReason

REASONS: Final[Sequence[str]] = (*SkipReason, ERASED, DISCARDED, *DeadReason)
"""Every reason that a submission may have."""

_HIDDEN = "Only an admin may see this."


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which submissions are meant; None does not narrow.

    `contact` is an email address or a phone number, `ids` are of single submissions. Times are unix
    seconds of the receipt: `since` is included, `until` is not.
    """

    integration_id: str | None = None
    status: SubmissionStatus | None = None
    reason: str | None = None
    contact: str | None = None
    since: float | None = None
    until: float | None = None
    ids: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Submissions, newest first; `next_before` asks for the next page, None: there is none."""

    submissions: Sequence[StoredSubmission]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Explained:
    """A submission with its attempts, and what would be done with it now (see `explain`).

    `decisions` tell what was decided when it settled, the newest first: a replay makes another.
    """

    stored: StoredSubmission
    explanation: Explanation | None
    decisions: Sequence[Decision] = ()


async def list_submissions(
    context: Context, who: Caller, wanted: Wanted, *, limit: int, before: int | None
) -> Page:
    """Return at most `limit` of the submissions that match and were received before `before`.

    They hold what the caller may see.

    Raises:
        NoAddress: `contact` is neither an email address nor a phone number.
    """
    matching = await filter_of(context, wanted)
    found = await listing.newest(context.database, matching, limit=limit + 1, before=before)
    page = found[:limit] if who.sees_people else [*map(_without_words, found[:limit])]
    return Page(page, page[-1].seq if len(found) > limit else None)


async def get(context: Context, who: Caller, submission_id: str) -> Explained:
    """Return all that is known of a submission, and that the caller may see.

    Raises:
        UnknownSubmission: there is none.
    """
    stored = await ledger.find(context.database, submission_id)
    kept = await decisions.of_submission(context.database, stored.seq)
    explained = Explained(stored, await explain(context, stored), kept)
    return explained if who.sees_people else _without_answers(explained)


async def count(context: Context) -> list[Counts]:
    """Count submissions by integration and status."""
    return await ledger.count(context.database, context.clock())


def _without_answers(explained: Explained) -> Explained:
    """Leave out what the person said, and what Cordial may have repeated of it."""
    stored, explanation = explained.stored, explained.explanation
    attempts = [replace(each, error=each.error and _HIDDEN) for each in stored.attempts]
    return Explained(
        replace(_without_words(stored), payload=None, attempts=attempts),
        explanation and explanation.without_answers(),
        [without_labels(each) for each in explained.decisions],
    )


def _without_words(stored: StoredSubmission) -> StoredSubmission:
    """Leave out of warnings what Cordial said: its words may repeat an answer."""
    told = [
        {**each, "detail": str(each.get("detail", "")).partition(SAID)[0]}
        for each in stored.warnings
    ]
    return replace(stored, warnings=told)


async def filter_of(context: Context, wanted: Wanted) -> Filter:
    """Return what is wanted as the ledger takes it.

    Raises:
        NoAddress: `contact` is neither an email address nor a phone number.
        UnknownIntegration: there is none of this id, and nothing is left of one.
        Invalid: no submission can have this reason, or the time ends before it begins. An empty
            list would hide the slip.
    """
    await _refuse_what_cannot_be(context, wanted)
    contact = wanted.contact
    return Filter(
        integration_id=wanted.integration_id,
        status=wanted.status,
        reason=wanted.reason,
        contact_keys=None if contact is None else (await by_address(context, contact)).keys,
        since=wanted.since,
        until=wanted.until,
        ids=wanted.ids,
    )


async def _refuse_what_cannot_be(context: Context, wanted: Wanted) -> None:
    if wanted.reason is not None and wanted.reason not in REASONS:
        near = get_close_matches(wanted.reason, REASONS, 1)
        meant = f"Do you mean {near[0]}?" if near else f"There are {', '.join(REASONS)}."
        raise invalid_at("reason", f"No submission has this reason. {meant}")
    if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until:
        raise invalid_at("until", "It is before `since`, so nothing can match.")
    if wanted.integration_id is not None:
        await refuse_unknown(context, wanted.integration_id)


async def refuse_unknown(context: Context, integration_id: str) -> None:
    """Refuse the id of an integration that there is not, and of which nothing is left.

    Raises:
        UnknownIntegration: it is so.
    """
    try:
        await context.integrations.get(integration_id)
    except UnknownIntegration:
        if not await listing.has_any(context.database, integration_id):
            raise
