"""The check of an integration against its Cordial account, before anybody is sent."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from app.cordial.attributes import Account, AccountAttribute
from app.cordial.client import CordialClient
from app.cordial.errors import CordialError
from app.cordial.fields import Fit, fit
from app.cordial.findings import Finding, Level, in_order
from app.cordial.probe import write_access
from app.rules.integration import Integration
from app.rules.limits import excess
from app.rules.mapping import Rule
from app.rules.policy import Region, terms
from app.rules.values import Answer, FieldType


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found, and what the account told of itself; None if it was not asked."""

    findings: Sequence[Finding]
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """What to do about attributes and lists that the account lacks: create them, or only say so.

    `index`: whether the attributes can be searched by; None where nobody has said.
    """

    create: bool = False
    index: bool | None = None


async def check(
    client: CordialClient, integration: Integration, missing: Missing | None = None
) -> Report:
    """Check an integration against the account itself.

    Args:
        client: for the integration's account.
        integration: what is configured.
        missing: what to do about attributes and lists that do not exist.
    """
    access = await write_access(client)
    if access.level == "error":
        return Report(in_order([access, *legal_notes(integration)]))
    account, unread = await read_account(client, needed=integration.unmapped == "known")
    created: list[Finding] = []
    if missing and missing.create:
        asked = await _create_missing(client, integration, account, missing)
        if asked:
            account, unread = await read_account(client, needed=integration.unmapped == "known")
        created = [_read_back(each, account, missing) for each in asked]
    found = [access, *unread, *created, *examine(integration, account)]
    return Report(in_order([*found, *legal_notes(integration)]), account)


async def read_account(
    client: CordialClient, *, needed: bool = False
) -> tuple[Account, list[Finding]]:
    """Return what the account tells of itself, and a finding for what it does not tell.

    `needed`: unmapped attributes may flow, so each sending asks for those that the account has.
    """
    attributes: Mapping[str, AccountAttribute] | None = None
    lists: Set[str] | None = None
    findings = []
    try:
        attributes = {each.key: each for each in await client.attributes()}
    except CordialError as error:
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """An attribute or a list that Cordial was asked to create, and what it said if it did not."""

    place: str
    name: str
    kind: FieldType
    refusal: str | None = None

    @property
    def what(self) -> str:
        """It in words."""
        if self.kind == "list":
            return f"the list {self.name}"
        return f"the {self.kind} attribute {self.name}"


async def _create_missing(
    client: CordialClient, integration: Integration, account: Account, missing: Missing
) -> list[_Asked]:
    """Ask for what the mapping names and the account lacks.

    But for nothing that it has in another case, or as a list where an attribute is meant.
    """
    asked = []
    for place, name, kind in _wanted(integration):
        if fit(name, kind, account).how == "missing":
            asked.append(await _ask(client, place, name, kind, missing))
    return asked


async def _ask(
    client: CordialClient, place: str, name: str, kind: FieldType, missing: Missing
) -> _Asked:
    try:
        if kind == "list":
            await client.create_list(name)
        else:
            await client.create_attribute(name, kind, index=bool(missing.index))
    except CordialError as error:
        return _Asked(place, name, kind, error.message)
    return _Asked(place, name, kind)


async def create(
    client: CordialClient, name: str, kind: FieldType, *, index: bool | None = None
) -> Report:
    """Create an attribute or a list, unless the account has one of that name or nearly so.

    Args:
        client: for the account.
        name: of the attribute or list.
        kind: its type.
        index: whether the attribute can be searched by; None where nobody has said.

    Returns:
        One finding, and the account as it then is: that it was created is said only if the account
        shows it.
    """
    account, unread = await read_account(client)
    found = fit(name, kind, account)
    if found.how != "missing":
        findings = list(_examine_fit("mapping", name, kind, found)) or unread
        there = Finding("note", "mapping", f"{name} is there already.", "Nothing.")
        return Report(findings or [there], account)
    missing = Missing(create=True, index=index)
    asked = await _ask(client, "mapping", name, kind, missing)
    account, _ = await read_account(client)
    return Report([_read_back(asked, account, missing)], account)


def _read_back(asked: _Asked, account: Account, missing: Missing) -> Finding:
    """Say that something was created only if the account shows it."""
    existing = account.lists if asked.kind == "list" else account.attributes
    if asked.refusal is not None:
        problem = f"Could not create {asked.what}: {asked.refusal}"
        return Finding("error", asked.place, problem, "Create it in Cordial.")
    if existing is None or asked.name not in existing:
        why = "does not show it" if existing is not None else "does not tell what there is"
        problem = f"Cordial was asked to create {asked.what} and said yes, but {why}."
        return Finding("error", asked.place, problem, "Look in Cordial, then check again.")
    if asked.kind in ("list", "geo") or missing.index:  # Cordial indexes geo attributes by itself
        return Finding("note", asked.place, f"Created {asked.what}.", "Nothing.")
    remedy = (
        "Nothing, as you said that it is not to be indexed."
        if missing.index is False
        else "Shall it be indexed? To choose an audience by it, it must be: index it in Cordial; "
        "next time say index=true or index=false."
    )
    return Finding("note", asked.place, f"Created {asked.what}, without an index.", remedy)


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
        for finding in _examine_fit(place, name, kind, fit(name, kind, account))
    ]
    findings += _examine_lengths(integration, account)
    findings += _examine_coordinates(integration)
    findings += _examine_required(integration, account)
    findings += _examine_sms(integration)
    findings += _examine_keys(integration, account)
    return findings


def _examine_fit(place: str, name: str, kind: FieldType, found: Fit) -> Iterator[Finding]:
    """Say what is wrong with a name as an account has it."""
    what = "list" if kind == "list" else "attribute"
    match found.how:
        case "case":
            problem = f"Cordial has {found.meant}, the mapping says {name}; case counts."
            yield Finding("error", place, problem, f"Write {found.meant}.")
        case "other_kind":
            is_ = "an attribute" if kind == "list" else "a list"
            problem = f"In Cordial {name} is {is_}, the mapping's type is {kind}."
            yield Finding("error", place, problem, "Change the rule's type, or its field.")
        case "missing":
            meant = f" Is {found.meant} meant?" if found.meant else ""
            yield Finding(
                "error",
                place,
                f"Cordial has no {what} {name}.{meant}",
                f"Create the {what} in Cordial, check with create_missing=true, or mend the name.",
            )
        case "both":
            problem = f"Cordial has both an attribute and a list {name}; which is meant is unclear."
            yield Finding("warning", place, problem, "Rename one of them in Cordial.")
    if kind != "list" and found.attribute and found.how in ("both", "type", "unknown_type"):
        yield from _examine_type(place, found.attribute, kind)


def _examine_type(place: str, attribute: AccountAttribute, kind: FieldType) -> Iterator[Finding]:
    name = attribute.key
    if attribute.type is None:
        yield Finding(
            "warning",
            place,
            f"In Cordial {name} is of type {attribute.written}, which is not known here; the "
            f"mapping sends {kind}.",
            "Send a test person, and look whether Cordial takes it.",
        )
    elif attribute.type != kind:
        yield Finding(
            "error",
            place,
            f"In Cordial {name} is of type {attribute.type}, the mapping sends {kind}.",
            f'Set the rule\'s type to "{attribute.type}", or map to another field.',
        )


def _examine_lengths(integration: Integration, account: Account) -> Iterator[Finding]:
    """Say what is longer than Cordial takes, and what may be."""
    limits = {key: each.limit for key, each in (account.attributes or {}).items()}
    for number, rule in enumerate(integration.mapping):
        limit = limits.get(rule.field)
        if limit is None:
            continue
        if over := excess(rule.converted_default(), limit):
            yield Finding(
                "warning" if rule.too_long == "cut" else "error",
                f"mapping.{number}.default",
                f"The default {over} for {rule.field}.",
                "Shorten the default, or raise the maximum in Cordial.",
            )
        if rule.attribute is not None and (most := _most(rule, limit.characters, limit.items)):
            yield Finding(
                "note",
                f"mapping.{number}",
                f"{rule.field} takes at most {most}.",
                "A longer answer is cut."
                if rule.too_long == "cut"
                else "A longer answer is sent with a warning, and Cordial may refuse it: "
                'too_long = "cut" cuts it, or raise the maximum in Cordial.',
            )
    status = integration.policy.opt_in_field or ""
    limit = limits.get(status)
    if limit and limit.characters is not None and limit.characters < max(map(len, Answer)):
        yield Finding(
            "error",
            "policy.opt_in_field",
            f"{status} takes at most {limit.characters} characters; {', '.join(Answer)} are sent.",
            "Raise the maximum in Cordial.",
        )


def _most(rule: Rule, characters: int | None, items: int | None) -> str | None:
    """Say what a field takes at most, if that is worth a note."""
    if rule.type == "string" and characters is not None:
        return f"{characters} characters"
    if rule.type != "array" or items is None:
        return None
    return f"{items} items" + (f" of {characters} characters" if characters is not None else "")


def _examine_coordinates(integration: Integration) -> Iterator[Finding]:
    """A place has a latitude and a longitude; half of it is none."""
    fields = {rule.field for rule in integration.mapping}
    for number, rule in enumerate(integration.mapping):
        head, _, part = rule.field.partition(".")
        other = _OTHER_COORDINATE.get(part)
        if other and f"{head}.{other}" not in fields:
            yield Finding(
                "warning",
                f"mapping.{number}",
                f"{rule.field} is mapped and {head}.{other} is not: that is no place.",
                f"Map {head}.{other} too; both are sent as numbers, in degrees.",
            )


_OTHER_COORDINATE = {"loc.lat": "loc.lon", "loc.lon": "loc.lat"}


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
    held = [strict] * collects_eu + [other] * (policy.collect != "eu")
    made = [
        (
            integration.jebbit.region == "us",
            "jebbit.region",
            "People whose country is not known are taken for people outside the EU, as "
            "jebbit.region is us.",
            "If the experience is open to people in the EU: jebbit.region = null takes them for "
            "people in the EU.",
        ),
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
            any(each.on_opt_out == "unsubscribe" and each.opt_in != "everyone" for each in held),
            "policy.on_opt_out",
            "People who say no to email are not sent, so on_opt_out never unsubscribes them: "
            "policy.opt_in is not everyone.",
            'To unsubscribe them: policy.opt_in = "everyone", with policy.opt_in_field.',
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
            bool(cordial.sms and cordial.sms.program and integration.jebbit.attributes.sms_opt_in)
            and any(each.opt_in != "everyone" for each in held),
            "jebbit.attributes.sms_opt_in",
            "Whoever says no to email is not sent, so a yes of theirs to text messages is not "
            "heard: policy.opt_in is not everyone.",
            'If it is to be: policy.opt_in = "everyone", with policy.opt_in_field.',
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
