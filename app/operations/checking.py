"""Checking an integration against its Cordial account."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from app.cordial.account import BadAccountUrl
from app.cordial.client import CordialClient
from app.cordial.findings import Finding, errors_in, in_order
from app.cordial.preflight import Missing, check
from app.delivery.gate import succeeded
from app.egress import exit_address
from app.ledger.integrations import StoredIntegration
from app.ledger.schema import GateState
from app.operations import attributes
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import WrongPlace
from app.operations.strength import weak_secrets
from app.rules.integration import Integration


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    findings: Sequence[Finding]

    @property
    def errors(self) -> Sequence[Finding]:
        """The findings that would send contacts wrong."""
        return errors_in(self.findings)

    @property
    def ok(self) -> bool:
        """Whether nothing is an error."""
        return not self.errors


class CheckFailed(Exception):
    """The check finds errors, so the call changes nothing; `places` lists them."""

    def __init__(self, errors: Sequence[Finding]) -> None:
        self.places = [WrongPlace(each.place, said(each)) for each in errors]
        super().__init__(" ".join(f"{each.place}: {each.detail}" for each in self.places))


def said(finding: Finding) -> str:
    """Return what is wrong and what to do, in one text."""
    return f"{finding.problem} {finding.remedy}"


async def check_integration(
    context: Context,
    who: Caller,
    integration_id: str,
    *,
    create_missing: bool,
    index: bool | None = None,
) -> Checked:
    """Check an integration, and open a blocked gate if nothing is an error.

    Args:
        context: the service's parts.
        who: asks for it.
        integration_id: which.
        create_missing: create the attributes and lists that Cordial does not have.
        index: whether those attributes are indexed; None where the caller does not say.

    Raises:
        UnknownIntegration: there is none.
    """
    async with context.auditor.changing(who, "integration.check", integration_id):
        stored = await context.integrations.get(integration_id)
        of_account = await look_at(context, stored, Missing(create_missing, index))
        of_source = await attributes.findings_of(context, stored)
        checked = Checked(in_order([*of_account.findings, *of_source]))
        if checked.ok and stored.gate.state is GateState.BLOCKED:
            await context.integrations.turn_gate(
                stored.id,
                succeeded,
                now=context.clock(),
                asked=stored,
                opens="a check found no errors",
            )
            context.wake()
    return checked


async def look_at(
    context: Context, stored: StoredIntegration, missing: Missing | None = None
) -> Checked:
    """Check an integration and change nothing of it; see `cordial.preflight.check`."""
    try:
        client = context.accounts.asking(stored)
    except BadAccountUrl as error:
        return _bad_account(error)
    findings = await _check(context, client, stored.integration, missing)
    way = await _way_out(context, stored)
    found = [*findings, *way, *_address(context), *weak_secrets(stored.integration)]
    return Checked(in_order(found))


async def _check(
    context: Context,
    client: CordialClient,
    integration: Integration,
    missing: Missing | None = None,
) -> Sequence[Finding]:
    """Check against the account, and keep what it tells of itself."""
    report = await check(client, integration, missing)
    if report.account is not None:
        context.accounts.learn(integration, report.account)
    return report.findings


def _address(context: Context) -> list[Finding]:
    """Say if the address to paste into Jebbit is guessed."""
    if context.public_url is not None:
        return []
    problem = (
        "PUBLIC_URL is not set, so webhook_url is guessed from the address that the caller used; "
        "Jebbit may not reach that one."
    )
    remedy = "Set PUBLIC_URL to the https:// address under which the outside reaches this service."
    return [Finding("warning", "webhook_url", problem, remedy)]


async def _way_out(context: Context, stored: StoredIntegration) -> list[Finding]:
    """Say by which way Cordial is reached, if there is a choice."""
    routes, address = context.accounts.routes, httpx.URL(context.accounts.base(stored))
    if routes.straight:
        return []
    proxy = routes.to_cordial(address)
    if proxy is None:
        said = f"Cordial is reached without a proxy: no setting names one for {address.host}."
        remedy = "Look at NO_PROXY and CORDIAL_PROXY_URL if it should be."
        return [Finding("note", "cordial.account_url", said, remedy)]
    port = address.port or (443 if address.scheme == "https" else 80)
    seen = await exit_address(proxy, address.host, port)
    sees = f"Cordial sees {seen}, as the proxy says." if seen else "It does not say what it shows."
    return [
        Finding(
            "note",
            "cordial.account_url",
            f"Cordial is reached through the proxy {proxy.name} ({proxy.setting}). {sees}",
            "The allow list of the key in Cordial needs the proxy's outbound address.",
        )
    ]


async def refuse_live(context: Context, before: StoredIntegration, after: Integration) -> None:
    """Check what an integration that sends is to become, as `resume` would.

    What cannot do harm is not checked: a name, and the webhook secrets, which must be changed also
    while Cordial is down.

    Raises:
        CheckFailed: it finds errors.
    """
    if before.state == "active" and not _sends_the_same(before.integration, after):
        await refuse_wrong(context, before.id, after)


async def refuse_wrong(context: Context, integration_id: str, integration: Integration) -> None:
    """Check what an integration is to be before it sends.

    Raises:
        CheckFailed: it finds errors.
    """
    try:
        client = context.accounts.client_of(integration_id, integration)
    except BadAccountUrl as error:
        raise CheckFailed(_bad_account(error).errors) from None
    if errors := Checked(await _check(context, client, integration)).errors:
        raise CheckFailed(errors)


def _sends_the_same(before: Integration, after: Integration) -> bool:
    kept = {"webhook_secrets": before.jebbit.webhook_secrets}
    jebbit = after.jebbit.model_copy(update=kept)
    return after.model_copy(update={"name": before.name, "jebbit": jebbit}) == before


def _bad_account(error: BadAccountUrl) -> Checked:
    remedy = "Change cordial.account_url, or list the host in CORDIAL_EXTRA_HOSTS."
    return Checked([Finding("error", "cordial.account_url", str(error), remedy)])
