"""Rules that are being written: what they can name, and what they would do with a submission."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from app.cordial.account import BadAccountUrl
from app.cordial.errors import CordialError
from app.ledger import submissions as ledger
from app.ledger.submissions import StoredSubmission, UnknownSubmission
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.integrations import patched
from app.operations.previewing import Explanation, explain
from app.rules.integration import Integration


@dataclass(frozen=True, slots=True)
class AccountFields:
    """The fields that a Cordial account has, with their types; `problem` if it does not say."""

    fields: Sequence[tuple[str, str]]
    problem: str | None


async def account_fields(context: Context, integration_id: str) -> AccountFields:
    """Ask the account of an integration for its attributes and lists.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    try:
        client = context.accounts.client(stored)
        attributes, lists = await client.attributes(), await client.lists()
    except (CordialError, BadAccountUrl) as error:
        return AccountFields([], str(error))
    found = {each.key: str(each.type) for each in attributes}
    return AccountFields(sorted({**dict.fromkeys(lists, "list"), **found}.items()), None)


async def preview_newest(
    context: Context, who: Caller, integration_id: str, patch: Mapping[str, JsonValue]
) -> tuple[str, Explanation] | None:
    """Explain the newest readable submission as a patch would have it.

    Returns:
        The submission's id and its explanation; None if there is no readable one.

    Raises:
        UnknownIntegration: there is none.
        Invalid: with the patch it would be no integration.
    """
    draft = await _draft(context, integration_id, patch)
    for each in await ledger.newest_kept(context.database, integration_id, limit=20):
        found = await ledger.find(context.database, each.id)
        if (explanation := await _explained(context, who, found, draft)) is not None:
            return each.id, explanation
    return None


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
    draft = await _draft(context, integration_id, patch)
    found = await ledger.find(context.database, submission_id)
    if found.integration_id != integration_id:
        raise UnknownSubmission(submission_id)
    return await _explained(context, who, found, draft)


async def _draft(
    context: Context, integration_id: str, patch: Mapping[str, JsonValue]
) -> Integration:
    stored = await context.integrations.get(integration_id)
    return patched(context, stored.integration, patch)


async def _explained(
    context: Context, who: Caller, found: StoredSubmission, draft: Integration
) -> Explanation | None:
    explanation = await explain(context, found, draft)
    if explanation is None or who.sees_people:
        return explanation
    return explanation.without_answers()
