"""Resuming an integration, which wants a check without errors first."""

from collections.abc import Sequence

from app.cordial.account import BadAccountUrl
from app.cordial.preflight import Finding, check, errors_in
from app.delivery.accounts import Accounts
from app.ledger.integrations import Integrations, StoredIntegration


class CheckFailed(Exception):
    """The check finds errors, so nothing is sent; `errors` are those."""

    def __init__(self, errors: Sequence[Finding]) -> None:
        super().__init__(" ".join(f"{each.place}: {said(each)}" for each in errors))
        self.errors = errors


def said(finding: Finding) -> str:
    """Return what is wrong and what to do, in one text."""
    return f"{finding.problem} {finding.remedy}"


async def check_stored(
    accounts: Accounts, stored: StoredIntegration, *, create_missing: bool = False
) -> list[Finding]:
    """Check an integration against its account; see `cordial.preflight.check`."""
    try:
        client = accounts.client(stored)
    except BadAccountUrl as error:
        remedy = "Change cordial.account_url, or list the host in CORDIAL_EXTRA_HOSTS."
        return [Finding("error", "cordial.account_url", str(error), remedy)]
    return await check(client, stored.integration, create_missing=create_missing)


async def resume(
    integrations: Integrations,
    accounts: Accounts,
    stored: StoredIntegration,
    *,
    force: bool,
    now: float,
) -> StoredIntegration:
    """Let an integration send, after a check without errors; with `force` after none.

    Raises:
        CheckFailed: it stays as it is.
        UnknownIntegration: it is gone.
    """
    errors = [] if force else errors_in(await check_stored(accounts, stored))
    if errors:
        raise CheckFailed(errors)
    return await integrations.resume(stored.id, now=now)
