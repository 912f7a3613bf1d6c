"""The plan: what is to be done with one submission, and why.

The one function that both preview and delivery ask, at the time of asking, so that what is shown
is what is sent.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from app.jebbit.keys import is_alike, speaks_of_opting
from app.jebbit.submission import Attribute, Submission, is_present, with_inner
from app.rules.contact import Identity, Statuses, contact_body, identify, takes_sms
from app.rules.integration import Integration, JebbitSource, Terms
from app.rules.jurisdictions import DEFAULT_JURISDICTIONS, Jurisdictions
from app.rules.limits import Limits
from app.rules.mapping import ListsNeed, Mapped, MappedField, MayJoin, PlanWarning, Rule
from app.rules.policy import (
    NO_REFUSALS,
    OptInReading,
    Refusals,
    RegionReading,
    SkipReason,
    Status,
    email_status,
    find_believed,
    is_believed,
    may_force,
    may_join,
    read_countries,
    read_opt_in,
    read_region,
    read_silence,
    read_unasked_sms,
    refusals_of,
    refuse_opt_in,
    refuse_region,
    refuse_session,
    sms_status,
    terms,
)
from app.rules.values import (
    Answer,
    FieldType,
    NotConvertible,
    is_unfilled,
    lasts,
    parse_date,
)

_CLOCKS_DIFFER_BY = 24 * 3600.0  # seconds at most: a wrong zone is up to 14 hours


class Circumstances(NamedTuple):
    """What a plan was told beside the submission and the rules; see `plan`."""

    now: float
    delivered_before: bool = False
    stale: bool = False
    refusals: Refusals = NO_REFUSALS
    opt_in_missing: bool = False
    texts_of_another: bool = False


class Evidence(NamedTuple):
    """What a plan rests on, for a person to read.

    `statuses` are those asked of Cordial; of a skip there are none.
    """

    region: RegionReading
    opt_in: OptInReading
    sms_opt_in: OptInReading
    identity: Identity
    circumstances: Circumstances
    statuses: Statuses = Statuses()
    mapping: Mapped | None = None

    @property
    def refusals(self) -> Refusals:
        """When the person says no in this submission, by channel."""
        return refusals_of(self.opt_in, self.sms_opt_in)

    @property
    def mapped(self) -> Sequence[MappedField]:
        """How each field came about; of a skip there are none."""
        return self.mapping.steps if self.mapping else ()


class Upsert(NamedTuple):
    """Send this body to Cordial."""

    body: Mapping[str, JsonValue]
    warnings: Sequence[PlanWarning]
    evidence: Evidence


class Skip(NamedTuple):
    """Send nothing; a rule said no. `detail` says more where the reason alone does not do."""

    reason: SkipReason
    evidence: Evidence
    detail: str | None = None


Plan = Upsert | Skip


def plan(
    submission: Submission,
    integration: Integration,
    *,
    received_at: float,
    now: float,
    delivered_before: bool = False,
    stale: bool = False,
    refusals: Refusals = NO_REFUSALS,
    jurisdictions: Jurisdictions = DEFAULT_JURISDICTIONS,
    account_attributes: Mapping[str, FieldType] | None = None,
    limits: Limits | None = None,
    identity: Identity | None = None,
    opt_in_missing: bool = False,
    texts_of_another: bool = False,
) -> Plan:
    """Decide what Cordial should be told of a submission.

    Args:
        submission: what Jebbit sent.
        integration: the integration as it is now.
        received_at: when the webhook came in, in unix seconds.
        now: when the contact is sent, in unix seconds.
        delivered_before: this submission was delivered once, or answers of its time: its yes
            forces nothing again.
        stale: newer answers of this contact were delivered already.
        refusals: when the person last said no, to any integration.
        jurisdictions: whose people the rules of the EU, and of express consent, protect.
        account_attributes: the attributes the Cordial account has, with their types; they only
            matter where the integration lets unmapped attributes flow.
        limits: what the account's attributes take at most, where that is known.
        identity: what `identify` makes of the same two, where the caller has asked already.
        opt_in_missing: the source used to send the opt-in attribute and does not any more, so a
            null says nothing; it counts unless `policy.opt_in_guard` is off.
        texts_of_another: the contact was subscribed to texts by another phone number than this
            submission has, if it has one.
    """
    source, policy = integration.jebbit, integration.policy
    countries = read_countries(submission, source)
    region = read_region(submission, source, jurisdictions, countries)
    opt_in, sms_opt_in = read_answers(submission, source, received_at)
    identity = identity or identify(submission, integration, countries)
    guarded = opt_in_missing and policy.opt_in_guard
    told = Circumstances(now, delivered_before, stale, refusals, guarded, texts_of_another)
    held = terms(policy, region.region)
    refused = (
        refuse_session(submission, source)
        or (None if identity.known else _refuse_identity(identity))
        or refuse_region(policy, region.region)
        or refuse_opt_in(held.opt_in, opt_in.answer)
        or (
            SkipReason.STALE if stale and not (opt_in.is_refusal or sms_opt_in.is_refusal) else None
        )
    )
    if refused:
        evidence = Evidence(region, opt_in, sms_opt_in, identity, told)
        doubted = refused is SkipReason.UNTRUSTED_IDENTITY
        return Skip(refused, evidence, _doubted(identity) if doubted else None)
    fields: dict[str, JsonValue] = {}
    warnings = [*identity.warnings]
    force_at = None if delivered_before else now
    answers = region, opt_in, sms_opt_in
    statuses = _statuses(integration, identity, held, answers, told, force_at, warnings)
    mapped: Mapped | None = None
    secondary: list[str] = []
    if stale:
        statuses = _only_no(statuses)
        warnings.append(_STALE_NO)
    else:
        known = account_attributes if integration.unmapped == "known" else None
        joins = _lists(opt_in, told, source)
        mapped = integration.fields.apply(submission, joins, known, limits)
        fields.update(mapped.fields)
        warnings += mapped.warnings
        hidden = _unfit_keys(integration, submission, mapped)
        warnings += hidden.values()
        secondary = [key for key in integration.cordial.identify_by if key not in hidden]
    if policy.opt_in_field and _is_told(opt_in, told):
        fields[policy.opt_in_field] = opt_in.answer.value
    evidence = Evidence(region, opt_in, sms_opt_in, identity, told, statuses, mapped)
    sent_to = _sent_to(identity, statuses, told)
    if sent_to != identity and not stale:
        warnings.append(_NOT_TEXTED)
    ends_texts = sms_opt_in.is_refusal and held.on_opt_out == "unsubscribe"
    if ends_texts and told.texts_of_another and not identity.phone:
        warnings.append(_TEXTS_GO_ON)
    body = contact_body(integration, sent_to, statuses, fields, secondary)
    return Upsert(body, warnings, evidence)


def read_answers(
    submission: Submission, source: JebbitSource, received_at: float
) -> tuple[OptInReading, OptInReading]:
    """Read what a person answered to email and to SMS, and when (unix seconds)."""
    given = _given(_dates(submission, source, received_at), received_at)
    return _answers(submission, source, given)


def _answers(
    submission: Submission, source: JebbitSource, given: tuple[float, float]
) -> tuple[OptInReading, OptInReading]:
    names = source.attributes
    if names.opt_in:
        email = read_opt_in(submission, names.opt_in, source, given)
    else:
        email = read_silence(submission, source, given)
    if names.sms_opt_in:
        return email, read_opt_in(submission, names.sms_opt_in, source, given)
    return email, read_unasked_sms(submission, source, given)


def _sent_to(identity: Identity, statuses: Statuses, told: Circumstances) -> Identity:
    """Return the addresses to send: no phone number in the place of another whose status it gets.

    Cordial may keep a status where a number changes. So one of which no status is asked is left out
    if it is older than what was delivered, or if another one agreed to texts. To that one an older
    no is none either.
    """
    reasons = told.stale, told.texts_of_another, statuses.sms is None
    if identity.email and sum(reasons) > 1:
        return identity._replace(phone=None)
    return identity


def _is_told(opt_in: OptInReading, told: Circumstances) -> bool:
    """Whether the answer is written to its field: a no always, a yes if no later no is known."""
    if opt_in.is_refusal:
        return True
    overruled = opt_in.answer is Answer.YES and not opt_in.is_after(told.refusals.email)
    return not (told.stale or overruled)


def _refuse_identity(identity: Identity) -> SkipReason:
    return SkipReason.UNTRUSTED_IDENTITY if identity.doubt else SkipReason.NO_IDENTITY


def _doubted(identity: Identity) -> str:
    return (
        f"The address may come from the page's URL: {identity.doubt}. List the attribute in "
        "jebbit.trusted_url_params to believe it, then replay."
    )


def _unfit_keys(
    integration: Integration, submission: Submission, mapped: Mapped
) -> dict[str, PlanWarning]:
    """Return, with a warning each, the secondary keys that may be somebody else's.

    Cordial must not look for a contact by them, as it would give that one this person's address:
    by what may come from the page's URL, where anybody could write another's key, nor by what many
    share: a rule's default, an answer, being on a list.
    """
    unfit, source = {}, integration.jebbit
    for key in integration.cordial.identify_by:
        if key == integration.policy.opt_in_field:
            unfit[key] = _answer_as_key(source.attributes.opt_in, key)
        for rule in (rule for rule, *_ in mapped.rules if _fills(rule, key)):
            found = submission.find(rule.attribute) if rule.attribute else None
            if found and not is_believed(found, source):
                unfit[key] = _doubted_key(rule)
            elif rule.type == "list" or _is_answer(rule, source):
                unfit[key] = _answer_as_key(rule.attribute, key)
            elif rule.field in mapped.fields and (found is None or is_unfilled(found.value)):
                unfit[key] = _shared_key(rule)
    return unfit


def _fills(rule: Rule, key: str) -> bool:
    """Whether a rule fills a field, or a part of it (`home.city` of `home`)."""
    return key in (rule.field, rule.field.partition(".")[0])


def _is_answer(rule: Rule, source: JebbitSource) -> bool:
    """Whether what a rule copies is somebody's answer to an opt-in or an opt-out."""
    name = rule.attribute
    return name is not None and (
        speaks_of_opting(name) or any(is_alike(name, each) for each in source.opt_in_names)
    )


def _doubted_key(rule: Rule) -> PlanWarning:
    return PlanWarning(
        code="identify_by_not_believed",
        attribute=rule.attribute,
        field=rule.field,
        detail=f"{rule.attribute} may come from the page's URL, so Cordial was not asked to look "
        f"for the contact by {rule.field}. List the attribute in jebbit.trusted_url_params to "
        "believe it, then replay.",
    )


def _shared_key(rule: Rule) -> PlanWarning:
    return PlanWarning(
        code="identify_by_default",
        attribute=rule.attribute,
        field=rule.field,
        detail=f"{rule.field} has its rule's default, which others have too, so Cordial was not "
        "asked to look for the contact by it. Leave the default out.",
    )


def _answer_as_key(attribute: str | None, field: str) -> PlanWarning:
    return PlanWarning(
        code="identify_by_answer",
        attribute=attribute,
        field=field,
        detail=f"{field} holds a yes or no, which others have too, so Cordial was not asked to "
        "look for the contact by it. Take it out of cordial.identify_by.",
    )


def would_map(
    submission: Submission,
    integration: Integration,
    evidence: Evidence,
    account_attributes: Mapping[str, FieldType] | None = None,
) -> Mapped:
    """Return what the mapping makes of a submission that was skipped, had it been sent."""
    known = account_attributes if integration.unmapped == "known" else None
    joins = _lists(evidence.opt_in, evidence.circumstances, integration.jebbit)
    return integration.fields.apply(submission, joins, known)


def _lists(opt_in: OptInReading, told: Circumstances, source: JebbitSource) -> MayJoin:
    """Say which lists the person may be put on: joining one is a kind of subscribing.

    After a no to email only a yes that is later counts, to email or to the list.
    """
    silenced = told.opt_in_missing and opt_in.answer is Answer.NULL
    refused_at = told.refusals.email
    is_later = opt_in.is_after(refused_at)

    def joins(need: ListsNeed, found: Attribute | None) -> bool:
        if need is None:
            return True
        believable = found is None or is_believed(found, source)
        itself = found is not None and not is_unfilled(found.value)
        asked = refused_at is None or opt_in.answer is Answer.YES or itself
        spoken = is_later and asked
        return believable and not silenced and spoken and may_join(need, opt_in)

    return joins


def _statuses(
    integration: Integration,
    identity: Identity,
    held: Terms,
    answers: tuple[RegionReading, OptInReading, OptInReading],
    told: Circumstances,
    force_at: float | None,
    warnings: list[PlanWarning],
) -> Statuses:
    """Decide each channel's status, and whether they are forced; `force_at` None: they are not."""
    region, opt_in, sms_opt_in = answers
    email = sms = None
    subscribed_by: list[OptInReading] = []
    if identity.email:
        email = email_status(opt_in, held, region, told.refusals.email)
        if email is Status.SUBSCRIBED and told.opt_in_missing and opt_in.answer is Answer.NULL:
            email = None
            warnings.append(_OPT_IN_MISSING)
        if email is Status.SUBSCRIBED:
            subscribed_by.append(opt_in)
    if identity.phone and integration.sms.program:
        sms = sms_status(sms_opt_in, held, told.refusals.sms)
        if sms is Status.SUBSCRIBED and not takes_sms(identity.phone):
            sms = None
            warnings.append(_NO_SMS)
        if sms is Status.SUBSCRIBED:
            subscribed_by.append(sms_opt_in)
    force = force_at is not None and may_force(held, subscribed_by, force_at)
    return Statuses(email, sms, force)


def _only_no(statuses: Statuses) -> Statuses:
    """Keep of the statuses what a no may ask for: an old submission subscribes nobody."""
    return Statuses(
        email=statuses.email if statuses.email is Status.UNSUBSCRIBED else None,
        sms=statuses.sms if statuses.sms is Status.UNSUBSCRIBED else None,
    )


_NO_SMS = PlanWarning(
    code="phone_takes_no_sms",
    attribute=None,
    field=None,
    detail="The phone number is of a kind that gets no texts (a fixed line, a premium or a free "
    "number); its SMS status was left alone.",
)
_NOT_TEXTED = PlanWarning(
    code="phone_not_texted",
    attribute=None,
    field=None,
    detail="The contact was subscribed to texts by another phone number. This one has no yes to "
    "them and might get them in its place, so it was not sent.",
)
_TEXTS_GO_ON = PlanWarning(
    code="texts_not_ended",
    attribute=None,
    field=None,
    detail="The person says no to texts without a phone number, so Cordial could not be told of "
    "which. The contact was subscribed to texts earlier: unsubscribe it in Cordial.",
)
_OPT_IN_MISSING = PlanWarning(
    code="opt_in_missing",
    attribute=None,
    field=None,
    detail="The source used to send the opt-in attribute and does not any more, so silence "
    "subscribes nobody. Name the attribute as Jebbit sends it (jebbit.attributes.opt_in), or set "
    "policy.opt_in_guard to false if nobody is asked any more; then replay.",
)
_STALE_NO = PlanWarning(
    code="stale_no",
    attribute=None,
    field=None,
    detail="Newer answers of this contact were delivered already. Of this older submission only "
    "the no was sent.",
)


class Facts(NamedTuple):
    """What the ledger must know of a submission to keep order, tell repeats and remember a no.

    `answers` are those to email and to SMS. `asked` is what `is_asked` says.
    """

    identity: Identity
    session: str | None
    occurred_at: float | None
    refusals: Refusals
    answers: Sequence[OptInReading]
    asked: bool


def facts(submission: Submission, integration: Integration, received_at: float) -> Facts:
    """Read who a submission is of, which session it closed, when it happened and what was answered.

    Times are unix seconds. What may come from the page's URL is not believed: a session or a date
    of somebody else's choice would make repeats or stale answers of what is neither.
    """
    source = integration.jebbit
    session = find_believed(submission, source.attributes.session, source)
    dates = _dates(submission, source, received_at)
    answers = _answers(submission, source, _given(dates, received_at))
    return Facts(
        identity=identify(submission, integration),
        session=str(session.value) if session else None,
        occurred_at=_occurred_at(dates),
        refusals=refusals_of(*answers),
        answers=answers,
        asked=is_asked(submission, source),
    )


def is_asked(submission: Submission, source: JebbitSource) -> bool:
    """Whether the email opt-in is there, blank or not, and not by the page's URL.

    By the URL anybody could make a source seem to ask, or to have stopped asking.
    """
    name = source.attributes.opt_in
    found = submission.find_all(name) if name else ()
    return any(is_believed(each, source) for each in found)


def _occurred_at(dates: Sequence[float] | None) -> float | None:
    """Return when it happened, in unix seconds, never later than received; None if unknown.

    A time far ahead of its receipt is a wrong clock and counts as no time.
    """
    return min(dates) if dates else None


def _given(dates: Sequence[float] | None, received_at: float) -> tuple[float, float]:
    """Return between which times (unix seconds) a person answered.

    A date that is there but not understood, or not believed, leaves it open: a backfill may bring
    answers of any time.
    """
    if dates is None:
        return 0.0, received_at
    return (min(dates), max(dates)) if dates else (received_at, received_at)


def _dates(
    submission: Submission, source: JebbitSource, received_at: float
) -> Sequence[float] | None:
    """Return when it happened by each spelling of the date; None if that is left in doubt.

    Each gives two times: a day may mean its first moment or its last.
    """
    name = source.attributes.occurred_at
    dates: list[float] = []
    for each in submission.find_all(name) if name else ():
        if not is_believed(each, source):
            return None  # even a blank may stand in place of the date that Jebbit knew
        if is_present(each.value):
            if (at := _date(each.value, received_at)) is None:
                return None
            dates += at
    if not dates and name and _hints_at_date(submission, name):
        return None
    return dates


def _hints_at_date(submission: Submission, name: str) -> bool:
    """Whether a key that was not agreed on may hold the date, or a name has a date beside it."""
    if any(each.is_present for each in submission.find_alike(name)):
        return True
    beside = with_inner(submission.find_beside(name))
    return any(_date(each.value, math.inf) for each in beside)


def _date(value: JsonValue, received_at: float) -> tuple[float, float] | None:
    try:
        at = parse_date(value).timestamp()
    except NotConvertible:
        return None
    if at > received_at + _CLOCKS_DIFFER_BY:
        return None
    return min(at, received_at), min(at + lasts(value), received_at)
