"""Setting an integration up step by step; each step is stored, and nothing is sent meanwhile."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import httpx
from pydantic import JsonValue, SecretStr, ValidationError

from app.cordial.access import NOBODYS_KEY, Access, access_of
from app.cordial.account import BadAccountUrl
from app.cordial.attributes import Account
from app.cordial.findings import Finding, in_order
from app.egress import exit_address, own_address
from app.ledger.integrations import StoredIntegration
from app.operations import attributes, checking, integrations, registering
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.integrations import patched
from app.operations.invalid import invalid_at, invalid_by
from app.operations.rotating import keep_secret
from app.operations.strength import weakness
from app.operations.whom import Treated, treated
from app.rules.integration import Integration, JebbitRegion, OptInLabels, OptInRule
from app.rules.policy import Region
from app.rules.values import Answer

_PAUSED: Final = "It is being set up."

# Nobody's choice, so the strictest there is: it subscribes nobody. Nothing is sent by it either.
_UNANSWERED: Final[Mapping[str, JsonValue]] = {
    "collect": "both",
    "opt_in": "opted_in_only",
    "auto_subscribe": False,
}


# --- The account ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountGiven:
    """What the first step asks; without a key the stored one stays."""

    name: str
    account_url: str
    api_key: str | None

    @property
    def address(self) -> str:
        """The account's address, without what a browser shows of the page that is open there."""
        return _OF_A_PAGE.split(self.account_url, maxsplit=1)[0]


_OF_A_PAGE: Final = re.compile(r"[?#]")


async def begin(context: Context, who: Caller, given: AccountGiven) -> StoredIntegration:
    """Store a new integration, paused, of which nobody has said whom it sends.

    Raises:
        Invalid: a name, an address or a key that cannot be.
        NameTaken: another integration has the id that follows from the name.
    """
    try:
        made = Integration.model_validate(
            {
                "name": given.name,
                "cordial": {"account_url": given.address, "api_key": given.api_key or ""},
                "jebbit": {"region": None},
                "policy": _UNANSWERED,
            }
        )
    except ValidationError as error:
        raise invalid_by(error) from None
    return await integrations.begin(context, who, made, reason=_PAUSED)


async def change_account(
    context: Context, who: Caller, integration_id: str, given: AccountGiven, version: int
) -> StoredIntegration:
    """Change what the first step asked.

    `version` is that of the integration that they looked at.

    Raises:
        VersionChanged: somebody else changed it meanwhile.
        UnknownIntegration: there is none.
        Invalid: as `begin`; or the stored key would go to another host unseen.
    """
    cordial: dict[str, JsonValue] = {"account_url": given.address}
    if given.api_key:
        cordial["api_key"] = given.api_key
    patch: dict[str, JsonValue] = {"name": given.name, "cordial": cordial}
    return await integrations.change_seen(context, who, integration_id, patch, version)


@dataclass(frozen=True, slots=True)
class Reached:
    """What Cordial says to an integration's key.

    `address` is the one our calls come from, if it is known; `seen`: Cordial sees that very one, no
    gateway's. `proxy` is the name of the proxy that they go through.
    """

    access: Access
    host: str
    address: str | None = None
    seen: bool = False
    proxy: str | None = None


async def reach(context: Context, stored: StoredIntegration) -> Reached:
    """Ask an integration's account what its key may do, and which address it must allow."""
    accounts = context.accounts
    try:
        url, client = httpx.URL(accounts.base(stored)), accounts.asking(stored)
    except BadAccountUrl as error:
        access = Access(["address"], [], str(error), Account(None, None))
        return Reached(access, stored.integration.cordial.account_url)
    stranger = stored.integration.cordial.model_copy(update={"api_key": SecretStr(NOBODYS_KEY)})
    strange = stored.integration.model_copy(update={"cordial": stranger})
    access = await access_of(client, accounts.client_of(stored.id, strange))
    if access.account.attributes is not None:
        accounts.learn(stored.integration, access.account)
    if "allow_list" not in access.causes:
        return Reached(access, url.host)
    port = url.port or (443 if url.scheme == "https" else 80)
    if proxy := accounts.routes.to_cordial(url):
        leaves = await exit_address(proxy, url.host, port)
        return Reached(access, url.host, leaves, leaves is not None, proxy.name)
    address, seen = await own_address(url.host, port) or (None, False)
    return Reached(access, url.host, address, seen)


# --- Jebbit ---------------------------------------------------------------------------------------


async def use_secret(
    context: Context, who: Caller, integration_id: str, secret: str, version: int
) -> None:
    """Take the shared secret that a person pastes, in place of another one that was pasted.

    One that Jebbit gave when it was registered from here stays beside it. `version` is that of the
    integration that they looked at.

    Raises:
        VersionChanged: somebody else changed it meanwhile.
        UnknownIntegration: there is none.
        Invalid: it protects nothing.
    """
    async with context.auditor.changing(who, "integration.use_secret", integration_id):
        if detail := weakness(secret):
            raise invalid_at("secret", f"The secret {detail}.")
        if await registering.find(context, integration_id) is not None:
            await keep_secret(context, who, integration_id, secret)
            return
        patch: dict[str, JsonValue] = {"jebbit": {"webhook_secrets": [secret]}}
        stored = await context.integrations.get(integration_id)
        after = patched(context, stored.integration, patch)
        if after == stored.integration:  # sent twice
            return
        await context.integrations.change(
            integration_id, lambda _: after, now=context.clock(), version=version, by=who.name
        )


# --- Whom -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """Whom to send of the people of one place, and whether to subscribe whoever may be."""

    send: OptInRule
    subscribe: bool


@dataclass(frozen=True, slots=True)
class SmsChoice:
    """The attribute of the SMS box, and the program and keyword in Cordial."""

    attribute: str
    program: str
    keyword: str | None


class Label(NamedTuple):
    """What the box says in the customer's own words, and whether that is a yes or a no."""

    text: str
    is_yes: bool


@dataclass(frozen=True, slots=True)
class Whom:
    """What a person says of whom to send and subscribe.

    `region` is where somebody counts as from whose country is not told; None: in the EU, by its
    strictness. `elsewhere` and `eu` are None where nobody is collected there. `sms` None: nobody is
    subscribed to SMS. `answer_field` is the Cordial field that gets the answer. `label` tells what
    an answer of the sample means.
    """

    opt_in: str | None
    collect: Literal["both", "eu", "non_eu"]
    region: JebbitRegion | None
    elsewhere: Choice | None
    eu: Choice | None
    sms: SmsChoice | None
    answer_field: str | None
    label: Label | None = None

    def patch(self, labels: OptInLabels) -> dict[str, JsonValue]:
        """Return it as a patch of the configuration; what is not collected is held strictest.

        `labels` are those that the configuration has.
        """
        elsewhere, eu = self.elsewhere or self.eu or _STRICTEST, self.eu or _STRICTEST
        sms = self.sms
        return {
            "cordial": {"sms": {"program": sms.program, "keyword": sms.keyword} if sms else None},
            "jebbit": {
                "region": self.region,
                "attributes": {
                    "opt_in": self.opt_in,
                    "sms_opt_in": sms.attribute if sms else None,
                },
                "opt_in_labels": _with(labels, self.label),
            },
            "policy": {
                "collect": self.collect,
                "opt_in": elsewhere.send,
                "auto_subscribe": elsewhere.subscribe,
                "opt_in_field": self.answer_field,
                "eu": {"opt_in": eu.send, "auto_subscribe": eu.subscribe},
            },
        }


def _with(labels: OptInLabels, label: Label | None) -> dict[str, JsonValue]:
    yes: list[JsonValue] = [*labels.true]
    no: list[JsonValue] = [*labels.false]
    if label is not None:
        (yes if label.is_yes else no).append(label.text)
    return {"true": yes, "false": no}


_STRICTEST: Final = Choice("opted_in_only", subscribe=False)


async def answer_whom(
    context: Context, who: Caller, integration_id: str, whom: Whom, version: int
) -> StoredIntegration:
    """Store what a person says of whom to send and subscribe; from then on it may be resumed.

    `version` is that of the integration that they looked at.

    Raises:
        VersionChanged: somebody else changed it meanwhile.
        UnknownIntegration: there is none.
        Invalid: with it, it would be no integration.
    """
    stored = await context.integrations.get(integration_id)
    patch = whom.patch(stored.integration.jebbit.opt_in_labels)
    return await integrations.change_seen(context, who, integration_id, patch, version)


def outcome(stored: StoredIntegration, choice: Choice, region: Region, answer: Answer) -> Treated:
    """Return what becomes of somebody from there who answers so, by a choice."""
    policy = stored.integration.policy.model_copy(
        update={
            "collect": "both",
            "opt_in": choice.send,
            "auto_subscribe": choice.subscribe,
            "eu": None,
        }
    )
    chosen = stored.integration.model_copy(update={"policy": policy})
    return treated(chosen)[region, answer]


# --- The check ------------------------------------------------------------------------------------


async def findings(context: Context, stored: StoredIntegration) -> Sequence[Finding]:
    """Return what a check of an integration finds, the gravest first; nothing is changed."""
    of_account = await checking.look_at(context, stored)
    of_source = await attributes.findings_of(context, stored)
    return in_order([*of_account.findings, *of_source])
