"""The check of an integration against its Cordial account, before anybody is sent."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from app.cordial.client import AccountAttribute, CordialClient
from app.cordial.errors import AccessRefused, CordialError, ProxyRefuses
from app.rules.integration import Integration
from app.rules.mapping import Rule
from app.rules.policy import Region, terms
from app.rules.values import Answer, FieldType, convert

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the check found.

    An error keeps contacts from being right, a warning may, a note is to be known. `place` is in
    the configuration.
    """

    level: Level
    place: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Account:
    """What an account tells of itself; None where the key may not ask."""

    attributes: Mapping[str, AccountAttribute] | None
    lists: Set[str] | None


async def check(
    client: CordialClient, integration: Integration, *, create_missing: bool = False
) -> list[Finding]:
    """Check an integration against the account itself.

    Args:
        client: for the integration's account.
        integration: what is configured.
        create_missing: create the attributes and lists that do not exist, and say so.
    """
    findings = await _write_access(client)
    if errors_in(findings):
        return [*findings, *legal_notes(integration)]
    account, unread = await _read_account(client, integration)
    created = await _create_missing(client, integration, account) if create_missing else []
    if created:
        account, _ = await _read_account(client, integration)
    found = [*findings, *unread, *created, *examine(integration, account)]
    return in_order([*found, *legal_notes(integration)])


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with the errors first and the notes last."""
    return sorted(findings, key=lambda each: _ORDER.index(each.level))


_ORDER: tuple[Level, ...] = ("error", "warning", "note")


def errors_in(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that keep an integration from going live."""
    return [each for each in findings if each.level == "error"]


async def _write_access(client: CordialClient) -> list[Finding]:
    try:
        await client.may_write_contacts()
    except ProxyRefuses as error:
        remedy = "Mend it at the proxy, or in the setting that is named. Cordial was not asked."
        return [Finding("error", "cordial.account_url", error.message, remedy)]
    except AccessRefused as error:
        return [
            Finding(
                "error",
                "cordial.api_key",
                error.message,
                "In Cordial under Settings > API keys: compare the key; add this machine's "
                "outbound IP address to the key's allow list; allow POST contacts. Compare "
                "cordial.account_url with the address you see when logged in.",
            )
        ]
    except CordialError as error:
        return [
            Finding(
                "error",
                "cordial.account_url",
                f"Cordial does not answer as it should: {error.message}",
                "Check that this machine reaches Cordial over HTTPS, then try again.",
            )
        ]
    return []


async def _read_account(
    client: CordialClient, integration: Integration
) -> tuple[Account, list[Finding]]:
    attributes: Mapping[str, AccountAttribute] | None = None
    lists: Set[str] | None = None
    findings = []
    try:
        attributes = {each.key: each for each in await client.attributes()}
    except CordialError as error:
        # Where unmapped attributes may flow, each sending asks for those that the account has.
        needed = integration.unmapped == "known"
        level: Level = "error" if needed else "warning"
        findings.append(_cannot_read(level, "GET accountcontactattributes", error))
    try:
        lists = await client.lists()
    except CordialError as error:
        findings.append(_cannot_read("warning", "GET accountlists", error))
    return Account(attributes, lists), findings


def _cannot_read(level: Level, permission: str, error: CordialError) -> Finding:
    return Finding(
        level,
        "cordial.api_key",
        f"{permission} does not work, so what it tells was not checked: {error.message}",
        f"Allow the key {permission}, then check again.",
    )


async def _create_missing(
    client: CordialClient, integration: Integration, account: Account
) -> list[Finding]:
    """Create what the mapping names and the account lacks.

    But nothing that it has in another case, or as a list where an attribute is meant.
    """
    findings = []
    for place, name, kind in _wanted(integration):
        existing = account.lists if kind == "list" else account.attributes
        both = {*(account.lists or ()), *(account.attributes or ())}
        if existing is None or name in both or _near(name, existing):
            continue
        what = f"the list {name}" if kind == "list" else f"the {kind} attribute {name}"
        try:
            if kind == "list":
                await client.create_list(name)
            else:
                await client.create_attribute(name, kind)
            findings.append(Finding("note", place, f"Created {what}.", "Nothing."))
        except CordialError as error:
            problem = f"Could not create {what}: {error.message}"
            findings.append(Finding("error", place, problem, "Create it in Cordial."))
    return findings


def _wanted(integration: Integration) -> Iterator[tuple[str, str, FieldType]]:
    """Yield place, name and type of each attribute and list the configuration writes."""
    seen = set()
    for number, rule in enumerate(integration.mapping):
        name = rule.field.partition(".")[0]
        if rule.channel is None and name not in seen:
            seen.add(name)
            yield f"mapping.{number}", name, rule.type
    if integration.policy.opt_in_field:
        yield "policy.opt_in_field", integration.policy.opt_in_field, "string"


def examine(integration: Integration, account: Account) -> list[Finding]:
    """Compare the configuration with what the account has. Pure."""
    findings = [
        finding
        for place, name, kind in _wanted(integration)
        for finding in _examine_field(place, name, kind, account)
    ]
    findings += _examine_lengths(integration, account)
    findings += _examine_required(integration, account)
    findings += _examine_sms(integration)
    findings += _examine_keys(integration, account)
    return findings


def _examine_field(place: str, name: str, kind: FieldType, account: Account) -> Iterator[Finding]:
    existing = account.lists if kind == "list" else account.attributes
    if existing is None:
        return
    if name not in existing:
        yield _missing(place, name, kind, existing, account)
        return
    if name in (account.attributes or {}) and name in (account.lists or ()):
        problem = f"Cordial has both an attribute and a list {name}; which one is meant is unclear."
        yield Finding("warning", place, problem, "Rename one of them in Cordial.")
    if kind != "list" and account.attributes:
        yield from _examine_type(place, account.attributes[name], kind)


def _missing(
    place: str,
    name: str,
    kind: FieldType,
    existing: Set[str] | Mapping[str, object],
    account: Account,
) -> Finding:
    what = "list" if kind == "list" else "attribute"
    if near := _near(name, existing):
        problem = f"Cordial has {near}, the mapping says {name}; case counts."
        return Finding("error", place, problem, f"Write {near}.")
    other = account.attributes if kind == "list" else account.lists
    if other and name in other:
        is_ = "an attribute" if kind == "list" else "a list"
        problem = f"In Cordial {name} is {is_}, the mapping's type is {kind}."
        return Finding("error", place, problem, "Change the rule's type, or its field.")
    alike = get_close_matches(name, list(existing), n=1, cutoff=0.8)
    meant = f" Is {alike[0]} meant?" if alike else ""
    return Finding(
        "error",
        place,
        f"Cordial has no {what} {name}.{meant}",
        f"Create the {what} in Cordial, check with create_missing=true, or mend the name.",
    )


def _near(name: str, existing: Set[str] | Mapping[str, object]) -> str | None:
    """Return what is the same but for case, spaces, underscores and hyphens."""
    return {_plain(each): each for each in existing}.get(_plain(name))


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "").replace("-", "")


def _examine_type(place: str, attribute: AccountAttribute, kind: FieldType) -> Iterator[Finding]:
    name = attribute.key
    if attribute.type != kind:
        yield Finding(
            "error",
            place,
            f"In Cordial {name} is of type {attribute.type}, the mapping sends {kind}.",
            f'Set the rule\'s type to "{attribute.type}", or map to another field.',
        )


def _examine_lengths(integration: Integration, account: Account) -> Iterator[Finding]:
    """Say what is longer than Cordial takes, and what may be."""
    limits = {each.key: each.longest for each in (account.attributes or {}).values()}
    for number, rule in enumerate(integration.mapping):
        longest = limits.get(rule.field)
        if longest is None:
            continue
        if _size(rule) > longest:
            yield Finding(
                "error",
                f"mapping.{number}.default",
                f"The default is over the maximum {longest:g} of {rule.field}.",
                "Shorten the default, or raise the maximum in Cordial.",
            )
        if rule.type == "string" and rule.attribute is not None:
            yield Finding(
                "note",
                f"mapping.{number}",
                f"{rule.field} takes at most {longest:g} characters.",
                "A longer answer is refused; raise the maximum in Cordial if answers are free "
                "text.",
            )
    status = integration.policy.opt_in_field or ""
    longest = limits.get(status)
    if longest is not None and longest < max(map(len, Answer)):
        yield Finding(
            "error",
            "policy.opt_in_field",
            f"{status} takes at most {longest:g} characters; {', '.join(Answer)} are sent.",
            "Raise the maximum in Cordial.",
        )


def _size(rule: Rule) -> float:
    """Return the size of a rule's default as Cordial limits it: characters, or the number."""
    default = None if rule.default is None else convert(rule.default, rule.type, rule.separator)
    if isinstance(default, str):
        return len(default)
    return default if isinstance(default, int | float) else 0


def _examine_required(integration: Integration, account: Account) -> Iterator[Finding]:
    """Cordial refuses a contact that lacks a required attribute."""
    rules = {rule.field.partition(".")[0]: rule for rule in integration.mapping}
    for attribute in (account.attributes or {}).values():
        rule = rules.get(attribute.key)
        by_default = rule is not None and rule.default is not None
        filled = by_default or attribute.key == integration.policy.opt_in_field
        if not attribute.required or filled:
            continue
        may_flow = rule is not None or integration.unmapped == "known"
        level: Level = "warning" if may_flow else "error"
        how = "sometimes absent" if may_flow else "not mapped"
        yield Finding(
            level,
            "mapping",
            f"Cordial requires {attribute.key}, which is {how}; it may refuse the contact.",
            "Map it with a default, or make it optional in Cordial.",
        )


def _examine_sms(integration: Integration) -> Iterator[Finding]:
    """Channels, programs and keywords cannot be read by REST; what can be told is completeness."""
    sms, named = integration.sms, integration.jebbit.attributes.sms_opt_in
    mapped = integration.phone_attribute is not None
    if named and not sms.program:
        yield Finding(
            "warning",
            "cordial.sms.program",
            "An SMS opt-in is named but no program: nobody is subscribed to SMS.",
            "Set cordial.sms.program and keyword as in Cordial's SMS settings.",
        )
    if sms.program and not named:
        yield Finding(
            "warning",
            "jebbit.attributes.sms_opt_in",
            "An SMS program is set but no SMS opt-in: nobody is subscribed to SMS.",
            "Name the attribute of the SMS box. Consent to email is none to SMS.",
        )
    if sms.program and not mapped:
        yield Finding(
            "warning",
            "mapping",
            f"An SMS program is set but no rule for channels.{sms.channel}.address.",
            "Map the attribute that holds the phone number.",
        )
    if sms.program:
        keyword = f" and the keyword {sms.keyword}" if sms.keyword else ""
        yield Finding(
            "note",
            "cordial.sms",
            f"Cordial does not tell whether the channel {sms.channel}, the program {sms.program}"
            f"{keyword} exist.",
            "Compare them with Cordial's SMS settings; case counts.",
        )


def _examine_keys(integration: Integration, account: Account) -> Iterator[Finding]:
    known = {"email", "cID", "phone"} | set(account.attributes or ())
    for number, key in enumerate(integration.cordial.identify_by):
        if account.attributes is not None and key not in known and not key.startswith("channels."):
            yield Finding(
                "error",
                f"cordial.identify_by.{number}",
                f"Cordial has no attribute {key} to find contacts by.",
                "Name a unique attribute of the account, or a channel's address.",
            )


def legal_notes(integration: Integration) -> list[Finding]:
    """Say which choices somebody should have made knowingly. Pure."""
    policy, cordial = integration.policy, integration.cordial
    strict, other = terms(policy, Region.EU), terms(policy, Region.NON_EU)
    collects_eu = policy.collect != "non_eu"
    made = [
        (
            collects_eu and strict.opt_in != "opted_in_only",
            "policy.opt_in",
            f"EU people are sent without a yes ({strict.opt_in}); they are not subscribed by it.",
            'If that is not wanted: policy.eu.opt_in = "opted_in_only".',
        ),
        (
            collects_eu and strict.null_is_consent and strict.auto_subscribe,
            "policy.eu.null_is_consent",
            "EU people who said nothing are subscribed, as if they had consented.",
            "Be sure that consent was given elsewhere, or remove it.",
        ),
        (
            policy.collect != "eu" and other.auto_subscribe and other.opt_in != "opted_in_only",
            "policy.auto_subscribe",
            "Outside the EU people who were asked nothing are subscribed to email.",
            'If that is not wanted: policy.opt_in = "opted_in_only".',
        ),
        (
            "explicit_opt_in" in (strict.resubscribe, other.resubscribe),
            "policy.resubscribe",
            "People who unsubscribed are subscribed again when they opt in.",
            "The box must say so: bringing them back unasked breaks CAN-SPAM.",
        ),
        (
            not cordial.suppress_triggers,
            "cordial.suppress_triggers",
            "Cordial's automations fire on the attributes sent, for backfills too.",
            "Set it to true before a backfill.",
        ),
        (
            cordial.sms is not None and cordial.sms.suppress_doi,
            "cordial.sms.suppress_doi",
            "People are subscribed to SMS without Cordial's confirming text.",
            "Be sure that the box and its text satisfy the law where they live.",
        ),
    ]
    notes = [Finding("note", place, problem, do) for holds, place, problem, do in made if holds]
    return [*_list_notes(integration), *notes]


def _list_notes(integration: Integration) -> Iterator[Finding]:
    """Say which lists people join who did not ask for it: that is a kind of subscribing."""
    names = integration.jebbit.attributes
    for number, rule in enumerate(integration.mapping):
        if rule.type != "list" or rule.attribute == names.opt_in:
            continue
        if rule.lists_need is None:
            yield Finding(
                "warning",
                f"mapping.{number}.lists_need",
                f"People join {rule.field} whatever their opt-in says, a no too.",
                'Set lists_need to "yes" or "not_no", unless the list is no mailing list.',
            )
        elif rule.lists_need == "not_no" and rule.default is not None:
            yield Finding(
                "warning",
                f"mapping.{number}.default",
                f"People who were asked nothing join {rule.field}, in the EU too.",
                'If that is not wanted: lists_need = "yes".',
            )
