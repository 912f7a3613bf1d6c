"""Rules that are being written: what they can name, and what they would do with a submission."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from app.jebbit.submission import parse
from app.ledger import listing
from app.ledger import submissions as ledger
from app.ledger.integrations import StoredIntegration
from app.ledger.submissions import Filter, StoredSubmission, UnknownSubmission
from app.operations.callers import Caller
from app.operations.comparing import Outcome, outcome_of
from app.operations.context import Context
from app.operations.integrations import patched
from app.operations.previewing import Explanation, explain, explain_new

_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Trial:
    """A submission by the rules as they are, and as a draft has them."""

    before: Explanation
    after: Explanation
    was: Outcome
    is_: Outcome


async def samples(context: Context, integration_id: str) -> Sequence[StoredSubmission]:
    """Return the newest submissions that can be tried, tests too, without their payloads."""
    wanted = Filter(integration_id=integration_id)
    found = await listing.newest(context.database, wanted, limit=_SAMPLES, before=None)
    kept = await ledger.readable(context.database, [each.seq for each in found])
    return [each for each in found if each.seq in kept]


async def try_stored(
    context: Context, integration_id: str, patch: Mapping[str, JsonValue], submission_id: str
) -> Trial | None:
    """Try a draft on a stored submission of an integration.

    Returns:
        None if its payload was wiped or cannot be read.

    Raises:
        UnknownIntegration: there is none.
        UnknownSubmission: the integration has none of this id.
        Invalid: with the patch it would be no integration.
    """
    stored, draft = await _drafted(context, integration_id, patch)
    found = await _of_integration(context, integration_id, submission_id)
    before, after = await explain(context, found), await explain(context, found, draft.integration)
    return _trial(stored, draft, before, after) if before and after else None


async def try_body(
    context: Context, integration_id: str, patch: Mapping[str, JsonValue], body: bytes
) -> Sequence[Trial]:
    """Try a draft on what is readable of a Jebbit body; nothing is stored or sent.

    Raises:
        UnknownIntegration: there is none.
        Invalid: with the patch it would be no integration.
        UnreadableBody, TooManyItems: it is no body of Jebbit's.
    """
    stored, draft = await _drafted(context, integration_id, patch)
    read = [each.submission for each in parse(body) if each.submission]
    return [
        _trial(
            stored,
            draft,
            await explain_new(context, stored, each),
            await explain_new(context, draft, each),
        )
        for each in read
    ]


async def preview_stored(
    context: Context,
    who: Caller,
    integration_id: str,
    patch: Mapping[str, JsonValue],
    submission_id: str,
) -> Explanation | None:
    """Explain a stored submission of an integration as a patch would have it.

    Returns:
        None if its payload was wiped or cannot be read.

    Raises:
        UnknownIntegration: there is none.
        UnknownSubmission: the integration has none of this id.
        Invalid: with the patch it would be no integration.
    """
    _, draft = await _drafted(context, integration_id, patch)
    found = await _of_integration(context, integration_id, submission_id)
    explanation = await explain(context, found, draft.integration)
    if explanation is None or who.sees_people:
        return explanation
    return explanation.without_answers()


async def _drafted(
    context: Context, integration_id: str, patch: Mapping[str, JsonValue]
) -> tuple[StoredIntegration, StoredIntegration]:
    stored = await context.integrations.get(integration_id)
    return stored, replace(stored, integration=patched(context, stored.integration, patch))


async def _of_integration(
    context: Context, integration_id: str, submission_id: str
) -> StoredSubmission:
    found = await ledger.find(context.database, submission_id)
    if found.integration_id != integration_id:
        raise UnknownSubmission(submission_id)
    return found


def _trial(
    stored: StoredIntegration, draft: StoredIntegration, before: Explanation, after: Explanation
) -> Trial:
    return Trial(
        before,
        after,
        outcome_of(before.plan, stored.integration),
        outcome_of(after.plan, draft.integration),
    )
