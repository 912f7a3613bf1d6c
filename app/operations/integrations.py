"""Creating, showing, changing, pausing and deleting integrations."""

from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from app.cordial.account import BadAccountUrl
from app.ledger.integrations import StoredIntegration, document_of
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import invalid_at, invalid_by
from app.operations.masking import unmasked
from app.rules.integration import Integration, merge_patch, slug

_NEW_REASON = "Created paused: look at a preview, then resume."
_PAUSED_REASON = "Paused by a person."


async def list_integrations(context: Context) -> list[StoredIntegration]:
    """Return all integrations by id."""
    return await context.integrations.list()


async def get(context: Context, integration_id: str) -> StoredIntegration:
    """Return one integration as it is now.

    Raises:
        UnknownIntegration: there is none.
    """
    return await context.integrations.get(integration_id)


async def create(
    context: Context, who: Caller, integration: Integration, *, paused: bool
) -> StoredIntegration:
    """Store a new integration under an id made from its name.

    Raises:
        Invalid: its account URL is none.
        NameTaken: another integration has that id.
    """
    async with context.auditor.changing(who, "integration.create", slug(integration.name)):
        _check_account(context, integration)
        reason = _NEW_REASON if paused else None
        return await context.integrations.create(
            integration, paused_reason=reason, now=context.clock()
        )


async def change(
    context: Context, who: Caller, integration_id: str, patch: Mapping[str, JsonValue]
) -> StoredIntegration:
    """Merge a patch (RFC 7396) into an integration; it holds for all that is sent from now on.

    A secret in the patch that is written as it is shown stands for the secret itself. A changed
    Cordial account opens a blocked gate.

    Raises:
        UnknownIntegration: there is none.
        Invalid: with the patch it would be no integration; nothing is changed.
    """

    def patched(before: Integration) -> Integration:
        document = unmasked(merge_patch(document_of(before), patch), before)
        after = Integration.model_validate(document)
        _check_account(context, after)
        return after

    async with context.auditor.changing(who, "integration.change", integration_id):
        try:
            changed = await context.integrations.change(
                integration_id, patched, now=context.clock()
            )
        except ValidationError as error:
            raise invalid_by(error) from None
    context.wake()
    return changed


async def pause(context: Context, who: Caller, integration_id: str) -> StoredIntegration:
    """Stop sending; webhooks are accepted all the same.

    Raises:
        UnknownIntegration: there is none.
    """
    async with context.auditor.changing(who, "integration.pause", integration_id):
        return await context.integrations.pause(
            integration_id, reason=_PAUSED_REASON, now=context.clock()
        )


async def delete(context: Context, who: Caller, integration_id: str, *, force: bool) -> None:
    """Delete an integration; with `force` its pending submissions become dead.

    Raises:
        UnknownIntegration: there is none.
        StillPending: submissions are waiting and `force` is not set.
    """
    async with context.auditor.changing(who, "integration.delete", integration_id):
        await context.integrations.delete(integration_id, force=force, now=context.clock())


def _check_account(context: Context, integration: Integration) -> None:
    url = integration.cordial.account_url
    try:
        context.accounts.address(url)
    except BadAccountUrl as error:
        raise invalid_at("cordial.account_url", str(error)) from None
