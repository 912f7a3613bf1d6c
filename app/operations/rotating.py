"""Rotating an integration's webhook secrets: add the new one, then remove the old one."""

from collections.abc import Callable

from app.ledger.integrations import StoredIntegration, document_of
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import invalid_at
from app.operations.strength import weakness
from app.rules.integration import MOST_SECRETS, Integration

_NAMED_BY = 4  # of a secret's last characters


class UnknownSecret(Exception):
    """No webhook secret of the integration ends like this."""


class AmbiguousSecret(Exception):
    """Several webhook secrets of the integration end like this."""


class LastSecret(Exception):
    """Without its last webhook secret the integration could take no webhook."""


async def add_secret(
    context: Context, who: Caller, integration_id: str, added: str
) -> StoredIntegration:
    """Add a webhook secret; one that is there already is not added twice.

    Raises:
        UnknownIntegration: there is none.
        Invalid: the secret protects nothing, or there are too many.
    """
    async with context.auditor.changing(who, "integration.add_secret", integration_id):
        await context.integrations.get(integration_id)
        if detail := weakness(added):
            raise invalid_at("secret", detail)
        return await keep_secret(context, integration_id, added)


async def keep_secret(context: Context, integration_id: str, added: str) -> StoredIntegration:
    """Add a webhook secret, as a part of an operation that is written down already."""

    def add(secrets: list[str]) -> list[str]:
        if added in secrets:
            return secrets
        if len(secrets) >= MOST_SECRETS:
            detail = f"There are {MOST_SECRETS} already; remove those that are no longer used."
            raise invalid_at("secret", detail)
        return [*secrets, added]

    return await _change_secrets(context, integration_id, add)


async def remove_secret(
    context: Context, who: Caller, integration_id: str, last4: str
) -> StoredIntegration:
    """Remove the webhook secret that ends in these four characters.

    Raises:
        UnknownIntegration: there is none.
        UnknownSecret, AmbiguousSecret, LastSecret: nothing is removed.
    """

    def remove(secrets: list[str]) -> list[str]:
        kept = [each for each in secrets if each[-_NAMED_BY:] != last4]
        if len(kept) == len(secrets):
            raise UnknownSecret(last4)
        if len(kept) < len(secrets) - 1:
            raise AmbiguousSecret(last4)
        if not kept:
            raise LastSecret
        return kept

    async with context.auditor.changing(who, "integration.remove_secret", integration_id):
        return await _change_secrets(context, integration_id, remove)


async def _change_secrets(
    context: Context, integration_id: str, change: Callable[[list[str]], list[str]]
) -> StoredIntegration:
    def changed(before: Integration) -> Integration:
        document = document_of(before)
        document["jebbit"]["webhook_secrets"] = change(document["jebbit"]["webhook_secrets"])
        return Integration.model_validate(document)

    return await context.integrations.change(integration_id, changed, now=context.clock())
