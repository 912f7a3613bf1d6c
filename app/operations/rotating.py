"""Rotating an integration's webhook secrets: add the new one, then remove the old one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from app.ledger.documents import document_of
from app.ledger.integrations import StoredIntegration
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import invalid_at, invalid_by
from app.operations.strength import weakness
from app.rules.integration import MOST_SECRETS, Integration

_NAMED_BY = 4  # of a secret's last characters
_PRINT = 12  # characters of a fingerprint


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """How a webhook secret is told from others: its end, and a keyed digest of all of it."""

    last4: str
    fingerprint: str


class UnknownSecret(Exception):
    """No webhook secret of the integration ends like this, or has this fingerprint."""


class AmbiguousSecret(Exception):
    """Several webhook secrets of the integration end like this; `fingerprints` are theirs."""

    def __init__(self, last4: str, fingerprints: Sequence[str]) -> None:
        super().__init__(last4)
        self.fingerprints = fingerprints


class LastSecret(Exception):
    """Without its last webhook secret the integration could take no webhook."""


async def add_secret(
    context: Context, who: Caller, integration_id: str, added: str
) -> StoredIntegration:
    """Add a webhook secret; one that is there already is not added twice.

    Raises:
        UnknownIntegration: there is none.
        Invalid: the secret protects nothing or cannot be one, or there are too many.
    """
    async with context.auditor.changing(who, "integration.add_secret", integration_id):
        await context.integrations.get(integration_id)
        if detail := weakness(added):
            raise invalid_at("secret", detail)
        return await keep_secret(context, who, integration_id, added)


async def keep_secret(
    context: Context, who: Caller, integration_id: str, added: str
) -> StoredIntegration:
    """Add a webhook secret, as a part of an operation that is written down already."""

    def add(secrets: list[str]) -> list[str]:
        if added in secrets:
            return secrets
        if len(secrets) >= MOST_SECRETS:
            detail = f"There are {MOST_SECRETS} already; remove those that are no longer used."
            raise invalid_at("secret", detail)
        return [*secrets, added]

    return await _change_secrets(context, who, integration_id, add)


async def secrets_of(context: Context, integration_id: str) -> list[ShownSecret]:
    """Return an integration's webhook secrets as they are shown, the oldest first.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    secrets = [each.get_secret_value() for each in stored.integration.jebbit.webhook_secrets]
    return [ShownSecret(each[-_NAMED_BY:], fingerprint(context, each)) for each in secrets]


def fingerprint(context: Context, secret: str) -> str:
    """Return what tells a secret from another one and reveals nothing of it."""
    return context.pseudonyms.content(b"webhook secret " + secret.encode())[:_PRINT]


async def remove_secret(
    context: Context, who: Caller, integration_id: str, named: str
) -> StoredIntegration:
    """Remove the webhook secret that ends in these four characters or has this fingerprint.

    Raises:
        UnknownIntegration: there is none.
        UnknownSecret, AmbiguousSecret, LastSecret: nothing is removed.
    """

    def remove(secrets: list[str]) -> list[str]:
        prints = {each: fingerprint(context, each) for each in secrets}
        meant = [each for each in prints if named in (each[-_NAMED_BY:], prints[each])]
        if not meant:
            raise UnknownSecret(named)
        if len(meant) > 1:
            raise AmbiguousSecret(named, [prints[each] for each in meant])
        if len(prints) == 1:
            raise LastSecret
        return [each for each in secrets if each not in meant]

    async with context.auditor.changing(who, "integration.remove_secret", integration_id):
        return await _change_secrets(context, who, integration_id, remove)


async def _change_secrets(
    context: Context, who: Caller, integration_id: str, change: Callable[[list[str]], list[str]]
) -> StoredIntegration:
    def changed(before: Integration) -> Integration:
        document = document_of(before)
        document["jebbit"]["webhook_secrets"] = change(document["jebbit"]["webhook_secrets"])
        try:
            return Integration.model_validate(document)
        except ValidationError as error:  # of the one that is added: the others were stored
            raise invalid_at("secret", invalid_by(error).places[0].detail) from None

    return await context.integrations.change(
        integration_id, changed, now=context.clock(), by=who.name
    )
