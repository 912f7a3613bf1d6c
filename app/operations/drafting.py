"""Rules that are being written: what they can name, and what they would do with a submission."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from app.cordial.account import BadAccountUrl
from app.cordial.errors import CordialError
from app.ledger import submissions as ledger
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.integrations import patched
from app.operations.previewing import Explanation, explain


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


async def preview_draft(
    context: Context, who: Caller, integration_id: str, patch: Mapping[str, JsonValue]
) -> tuple[str, Explanation] | None:
    """Explain the newest readable submission as a patch would have it.

    Returns:
        The submission's id and its explanation; None if there is no readable one.

    Raises:
        UnknownIntegration: there is none.
        Invalid: with the patch it would be no integration.
    """
    stored = await context.integrations.get(integration_id)
    draft = patched(context, stored.integration, patch)
    for each in await ledger.newest_kept(context.database, stored.id, limit=20):
        found = await ledger.find(context.database, each.id)
        explanation = await explain(context, found, draft)
        if explanation is not None:
            shown = explanation if who.sees_people else explanation.without_answers()
            return each.id, shown
    return None
