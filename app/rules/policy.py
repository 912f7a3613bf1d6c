"""The opt-in policy: whether a person is sent to Cordial, and whether they may be subscribed.

Everything here closes by default: an answer that is not understood, or that may come from the
page's URL, never changes a subscription.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from app.jebbit.folding import fold, fold_label, letters_of
from app.jebbit.keys import OPTING_OUT
from app.jebbit.submission import Attribute, Submission, is_present, with_inner
from app.rules.integration import JebbitSource, OptInRule, Policy, Terms
from app.rules.jurisdictions import EUROPE, Jurisdictions, country_code
from app.rules.mapping import ListsNeed
from app.rules.values import Answer, Labels, agree, answer, is_date


class Region(StrEnum):
    """Under whose rules a person is."""

    EU = "eu"
    NON_EU = "non_eu"
    UNKNOWN = "unknown"

    strict: bool
    """Whether EU rules hold: for whoever is not known to be elsewhere."""

    def __init__(self, name: str) -> None:
        self.strict = name != "non_eu"


class SkipReason(StrEnum):
    """Why a rule said no."""

    NO_IDENTITY = "no_identity"  # no usable address
    UNTRUSTED_IDENTITY = "untrusted_identity"  # the only address may come from the page's URL
    NOT_COMPLETED = "not_completed"  # is_completed is false
    NOT_VALID = "not_valid"  # is_valid is false
    CAMPAIGN_NOT_INCLUDED = "campaign_not_included"
    CAMPAIGN_EXCLUDED = "campaign_excluded"
    CAMPAIGN_UNKNOWN = "campaign_unknown"  # an include list, and no campaign in the submission
    REGION_NOT_COLLECTED = "region_not_collected"
    REGION_UNKNOWN = "region_unknown"
    NOT_OPTED_IN = "not_opted_in"  # opt-in is null, only people who opted in are wanted
    OPTED_OUT = "opted_out"
    OPT_IN_UNCLEAR = "opt_in_unclear"
    STALE = "stale"  # newer answers of this contact were delivered already


class Status(StrEnum):
    """A subscribeStatus we ask Cordial for; to leave it alone is to ask for none."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"


FRESH_SECONDS: Final = 24 * 3600.0
"""How long a yes may force: one of last week says nothing of an unsubscribe of today."""


class RegionReading(NamedTuple):
    """A person's region and what decided it.

    `doubtful` where the submission names a country or region that may come from the page's URL, or
    that is not understood. It decides nothing, but then nobody consents by saying nothing.
    `express` where the country's law takes no silence for consent.
    """

    region: Region
    decided_by: Literal["country", "region", "integration", "nothing"]
    attribute: str | None = None
    value: JsonValue = None
    doubtful: bool = False
    express: bool = False

    @property
    def silence_may_consent(self) -> bool:
        """Whether somebody who was asked nothing may be subscribed here."""
        return not self.region.strict and self.is_certain

    @property
    def is_certain(self) -> bool:
        """Whether no country is, or may be, one whose law asks for an express yes of everybody."""
        return not (self.doubtful or self.express)


class OptInReading(NamedTuple):
    """What a person answered and where it was read.

    An answer under a key of the page's URL is no answer (`null`), and `doubt` says which reading
    found the key there: whatever the box itself said is hidden behind it, so no status may follow
    from it either. `alike` says that it was read under a key that is no spelling of the configured
    name but plainly means it: such a key can speak against a status, never for one. `opted_out`
    says that a believed no is in it all the same: under such a key or an opt-out's, or in words
    that are no label of a box. The person answered between `given_from` and `given_until` (unix
    seconds), which differ only where the submission leaves that in doubt.
    """

    answer: Answer
    attribute: str | None = None
    value: JsonValue = None
    doubt: str | None = None
    given_from: float = 0.0
    given_until: float = 0.0
    alike: bool = False
    opted_out: bool = False

    @property
    def trusted(self) -> bool:
        """Whether a status may follow from it."""
        return self.doubt is None

    def is_after(self, refused_at: float | None) -> bool:
        """Whether it was surely given after the person's newest no (unix seconds; None: none)."""
        return refused_at is None or self.given_from > refused_at

    @property
    def is_refusal(self) -> bool:
        """Whether the person said no, and can be believed to have."""
        return self.trusted and self.answer is Answer.NO


class Refusals(NamedTuple):
    """When a person's newest believed no was given, for each channel, in unix seconds."""

    email: float | None = None
    sms: float | None = None


NO_REFUSALS: Final = Refusals()


def refusals_of(email: OptInReading, sms: OptInReading) -> Refusals:
    """Return when the person says no, by what is read of one submission."""
    return Refusals(
        email=email.given_until if email.is_refusal or email.opted_out else None,
        sms=sms.given_until if sms.is_refusal or sms.opted_out else None,
    )


def believed(attribute: Attribute | None, source: JebbitSource) -> Attribute | None:
    """Return the attribute if it may speak for the person, else None."""
    return attribute if attribute is None or is_believed(attribute, source) else None


def is_believed(attribute: Attribute, source: JebbitSource) -> bool:
    """Whether a value may speak for the person: not from the URL, or trusted by configuration."""
    return attribute.doubt is None or fold(attribute.key) in source.trusted_keys


def find_believed(
    submission: Submission, name: str | None, source: JebbitSource
) -> Attribute | None:
    """Return the attribute of this name if it is there and may speak for the person."""
    return believed(submission.find(name), source) if name else None


def read_countries(submission: Submission, source: JebbitSource) -> Sequence[str | None]:
    """Return the countries that a submission names, as ISO 3166 alpha-2 (or `EU`).

    There are several where spellings of the attribute's name hold different ones. None stands for
    one that is not understood, or that may come from the page's URL: even a blank there may stand
    in place of what Jebbit knew.
    """
    name = source.attributes.country
    if not name:
        return ()
    countries: list[str | None] = []
    for each in submission.find_all(name):
        if not is_believed(each, source):
            countries.append(None)
        elif is_present(each.value):
            countries.append(country_of(each.value))
    return countries


def _hints_at_strict(
    submission: Submission, name: str | None, jurisdictions: Jurisdictions, *, named: bool
) -> bool:
    """Whether a key that was not agreed on names a country where silence is no consent.

    It decides nothing and leaves doubt: `countryCode`, or where nothing else named one `country`,
    `ip_country`, `country_of_residence`, or a place's `country`.
    """
    names = [name] if name else []
    others = [*submission.find_alike(name)] if name else []
    if not named:
        names += _OF_COUNTRIES
        others += submission.find_like_any(_OF_COUNTRIES)
    beside = [found for each in names for found in submission.find_beside(each)]
    if not named:
        beside += submission.find_matching(_NAMES_A_COUNTRY)
    # Of what stands there much is no country: an id, a label.
    of_beside = {country_of(each.value) for each in with_inner(beside)} - {None}
    return any(map(jurisdictions.ask_for_a_yes, of_beside)) or any(
        is_present(each.value) and jurisdictions.ask_for_a_yes(country_of(each.value))
        for each in others
    )


_OF_COUNTRIES = (
    *("country", "country_code", "country_name", "ip_country", "geo_country", "user_country"),
    *("shipping_country", "billing_country"),
)


# `country_of_residence`, `home_country`; not `country_music`.
_NAMES_A_COUNTRY = re.compile(r"country(?:code|name|iso\d*|of.*|region|residence)?$")


def country_of(value: JsonValue) -> str | None:
    """Return the country that a value names, as ISO 3166 alpha-2 (or `EU`); None if it is none."""
    return country_code(fold_label(value)) if isinstance(value, str) else None


def read_region(
    submission: Submission,
    source: JebbitSource,
    jurisdictions: Jurisdictions,
    countries: Sequence[str | None] | None = None,
) -> RegionReading:
    """Decide a person's region by the first that speaks: country, region attribute, integration.

    Of several that one of them names, the strictest counts. `countries` is what `read_countries`
    makes of the same submission, where the caller has asked already.
    """
    if countries is None:
        countries = read_countries(submission, source)
    named = sorted(filter(None, set(countries)))
    doubtful = None in countries or len(named) > 1
    name = source.attributes.country
    if _hints_at_strict(submission, name, jurisdictions, named=bool(named)):
        doubtful = True
    if named:
        eu = [each for each in named if each in jurisdictions.eu_countries or each == EUROPE]
        express = not jurisdictions.express_consent_countries.isdisjoint(named)
        region = Region.EU if eu else Region.NON_EU
        return RegionReading(region, "country", name, (eu or named)[0], doubtful, express)
    name = source.attributes.region
    spoken = {
        _region_named(each.value) if is_believed(each, source) else None: each
        for each in (submission.find_all(name) if name else ())
        if is_present(each.value) or not is_believed(each, source)
    }
    doubtful = doubtful or None in spoken or _hints_at_eu(submission, name)
    for region in (Region.EU, Region.NON_EU):
        if found := spoken.get(region):
            return RegionReading(region, "region", found.key, found.value, doubtful)
    if source.region is not None:
        region = _REGIONS[source.region]
        return RegionReading(region, "integration", value=source.region, doubtful=doubtful)
    return RegionReading(Region.UNKNOWN, "nothing", doubtful=doubtful)


def _hints_at_eu(submission: Submission, name: str | None) -> bool:
    """Whether a key that was not agreed on names a region where silence may be no consent."""
    if not name:
        return False
    if any(
        _region_named(each.value) is Region.EU for each in with_inner(submission.find_beside(name))
    ):
        return True
    return any(
        each.is_present and _region_named(each.value) is not Region.NON_EU
        for each in submission.find_alike(name)
    )


_REGIONS = {"eu": Region.EU, "us": Region.NON_EU}


def _region_named(value: JsonValue) -> Region | None:
    """Read `eu` or `us`, also as the start of a data centre's name (`eu-west-1`)."""
    if not isinstance(value, str):
        return None
    return _REGIONS.get(fold_label(value).partition("-")[0])


def read_opt_in(
    submission: Submission,
    name: str | None,
    source: JebbitSource,
    given: tuple[float, float],
) -> OptInReading:
    """Read an opt-in attribute; absent, it is null: the experience had no box.

    `given` is between which times (unix seconds) the person answered. Every key of the name is
    read, however it is spelled, so that a blank one hides no other.
    """
    if not name:
        return OptInReading(Answer.NULL, None, None, None, *given)
    found = submission.find_all(name)
    for each in found:
        if not is_believed(each, source):
            opted_out = _opted_out(submission, name, source)
            hidden = each.key, each.value, each.doubt
            return OptInReading(Answer.NULL, *hidden, *given, opted_out=opted_out)
    labels = source.opt_in_labels.labels
    answers = [answer(each.value, labels) for each in found]
    agreed = agree(answers)
    speaker = found[answers.index(agreed)] if found else Attribute(name, None)
    if agreed is Answer.YES and (no := _no_within(found, labels)):  # `["yes", {"value": "no"}]`
        agreed, speaker = Answer.UNCLEAR, no
    objection = None
    if agreed in _MAY_SUBSCRIBE:
        alike = submission.find_alike(name)
        objection = _objection(agreed, alike, source) if alike else None
        objection = objection or _opposed(agreed, submission, name, source)
    agreed, speaker = objection or (agreed, speaker)
    opted_out = agreed is Answer.UNCLEAR and _opted_out(submission, name, source)
    said = speaker.key, speaker.value, None
    return OptInReading(agreed, *said, *given, bool(objection), opted_out)


def read_silence(
    submission: Submission, source: JebbitSource, given: tuple[float, float]
) -> OptInReading:
    """Read the email opt-in where the configuration names none: null, if nothing opposes it.

    `given` is as for `read_opt_in`.
    """
    opposed = _opposed(Answer.NULL, submission, None, source)
    said, speaker = opposed or (Answer.NULL, None)
    if speaker is None:
        return OptInReading(said, None, None, None, *given)
    opted_out = _opted_out(submission, None, source)
    return OptInReading(said, speaker.key, speaker.value, None, *given, True, opted_out)


def read_unasked_sms(
    submission: Submission, source: JebbitSource, given: tuple[float, float]
) -> OptInReading:
    """Read the SMS opt-in where the configuration names none: null, but an opt-out is remembered.

    So is a no under another name that tells of texts. `given` is as for `read_opt_in`.
    """
    ins, outs = _opting(submission, source, of_sms=True)
    noes = [each for each in with_inner(outs) if _is_out(each, source)]
    noes += [
        each
        for each in with_inner(each for each in ins if _OF_PHONE.search(letters_of(each.key)))
        if _declines(each.value, source.opt_in_labels.labels)
    ]
    opted_out = any(is_believed(each, source) for each in noes)
    return OptInReading(Answer.NULL, None, None, None, *given, opted_out=opted_out)


_MAY_SUBSCRIBE = (Answer.YES, Answer.NULL)


def _objection(
    agreed: Answer, alike: Sequence[Attribute], source: JebbitSource
) -> tuple[Answer, Attribute] | None:
    """Return what keys that plainly mean an opt-in say against its answer.

    A no beside silence is a no, and beside a yes unclear. Whatever else they say is no yes, as the
    key is not the one that was agreed on, but no silence either.
    """
    labels = source.opt_in_labels.labels
    if agreed is Answer.YES:
        no = _no_within(alike, labels)
        return (Answer.UNCLEAR, no) if no else None
    for each in alike:
        if answer(each.value, labels) is Answer.NO and is_believed(each, source):
            return Answer.NO, each
    for each in alike:
        if each.is_present or not is_believed(each, source):
            return Answer.UNCLEAR, each
    return None


def _no_within(found: Iterable[Attribute], labels: Labels) -> Attribute | None:
    """Return the first no among some attributes and all that stands within their values."""
    noes = (each for each in with_inner(found) if answer(each.value, labels) is Answer.NO)
    return next(noes, None)


def _opposed(
    agreed: Answer, submission: Submission, name: str | None, source: JebbitSource
) -> tuple[Answer, Attribute] | None:
    """Return what speaks against an answer where nobody agreed on it: `email_opt_out`.

    It may be about something else, so it is no `no` and unsubscribes nobody. But it leaves no
    silence, and an opt-out leaves no yes.
    """
    labels = source.opt_in_labels.labels
    for each in with_inner(submission.find_beside(name) if name else ()):
        said = answer(each.value, labels)
        if said is Answer.NO or (said is not Answer.NULL and agreed is Answer.NULL):
            return Answer.UNCLEAR, each
    ins, outs = _opting(submission, source, of_sms=_is_of_sms(name, source))
    if agreed is Answer.NULL:
        for each in with_inner(ins):
            if _declines(each.value, labels):
                return Answer.UNCLEAR, each
    for each in with_inner(outs):
        if _opts_out(each, labels) or (agreed is Answer.NULL and is_date(each.value)):
            return Answer.UNCLEAR, each
    return None


def _is_of_sms(name: str | None, source: JebbitSource) -> bool:
    names = source.attributes
    return bool(name) and name == names.sms_opt_in != names.opt_in


def _opting(
    submission: Submission, source: JebbitSource, *, of_sms: bool
) -> tuple[Sequence[Attribute], Sequence[Attribute]]:
    """Return the opt-ins and the opt-outs of a channel under names that nobody agreed on."""
    ins: list[Attribute] = []
    outs: list[Attribute] = []
    own_channel, other_channel = (_OF_PHONE, _OF_EMAIL) if of_sms else (_OF_EMAIL, _OF_PHONE)
    for each in submission.find_opting(source.opt_in_names):
        letters = letters_of(each.key)
        if own_channel.search(letters) or not other_channel.search(letters):
            (outs if OPTING_OUT.search(letters) else ins).append(each)
    return ins, outs


def _opted_out(submission: Submission, name: str | None, source: JebbitSource) -> bool:
    """Whether a believed no is in an answer that is none as a whole: it leaves no older yes either.

    Under the opt-in's own name in other words, under or beside one that plainly means it, or under
    an opt-out's. A name that may only mean it does not count.
    """
    labels = source.opt_in_labels.labels
    looks = submission.find_all, submission.find_alike, submission.find_beside
    meant = [each for look in looks for each in look(name)] if name else []
    _, outs = _opting(submission, source, of_sms=_is_of_sms(name, source))
    noes = [each for each in with_inner(meant) if _declines(each.value, labels)]
    noes += [each for each in with_inner(outs) if _is_out(each, source)]
    return any(is_believed(each, source) for each in noes)


def _is_out(found: Attribute, source: JebbitSource) -> bool:
    """Whether a value under an opt-out's name says that, or since when, the person is out."""
    return _opts_out(found, source.opt_in_labels.labels) or is_date(found.value)


def _declines(value: JsonValue, labels: Labels) -> bool:
    """Whether a value under an opt-in's name is a no, or a text that begins as one."""
    if answer(value, labels) is Answer.NO:
        return True
    return isinstance(value, str) and _DECLINES.match(fold_label(value)) is not None


def _opts_out(found: Attribute, labels: Labels) -> bool:
    """Whether a value under an opt-out's name says that the person wants out."""
    said = answer(found.value, labels)
    in_words = isinstance(found.value, str) and _wants_out(found.value, said, labels)
    return said is Answer.YES or in_words


def _wants_out(text: str, said: Answer, labels: Labels) -> bool:
    label, letters = fold_label(text), letters_of(text)
    # `unsubscribe` may be no of an opt-in, and here means it; so does a box's label that says so.
    # In other single words it is part of an address or a name: what every mail has.
    speaks = said is Answer.NO or " " in label
    if _SAYS_OUT.search(letters) if speaks else _SAYS_OUT.fullmatch(letters):
        return True
    if _LEAVES.search(label) if " " in label else label in _STOP_WORDS:
        return True
    return label == "x" or any(_begins_with(label, yes) for yes in (*_YES, *labels.yes))


_YES = ("yes", "✓", "✔", "☑", "✅")


def _begins_with(text: str, word: str) -> bool:
    """Whether a text begins with a word, or with several: `Yes, unsubscribe me`."""
    rest = text.removeprefix(word)
    return rest != text and not rest[:1].isalnum()


_SAYS_OUT = re.compile("opt(?:ed|ing|me|us)?out|unsubscri(?:bed?|bing)?(?:me|us)?")
# What senders of texts must take for an opt-out (CTIA's principles), and how a box may put it.
_STOP_WORDS = frozenset(("stop", "stopall", "cancel", "end", "quit"))
_LEAVES = re.compile(
    r"\b(?:stop|cancel|remove|leave|never|do not|don'?t|no more|no longer|me off|us off)\b"
)
# How a text begins that is no consent: `No thanks`, `I don't want emails`, `Please stop`.
_DECLINES = re.compile(
    r"(?:(?:please|i|i'd|we|would|rather|prefer)[ ,]+)*"
    r"(?:no|not|nope|decline|stop|cancel|remove|unsubscribe|opt(?:ing)?[ -](?:me |us )?out"
    r"|(?:do not|don't|dont)(?! (?:miss|mind|forget)))(?![^\W_])"
)
_OF_PHONE = re.compile("sms|(?<!con)text|phone|mobile|call(?!y)|push|whatsapp")
_OF_EMAIL = re.compile("mail|newsletter")


def terms(policy: Policy, region: Region) -> Terms:
    """Return the terms that hold for a region: the policy's own, with what `eu` overrides."""
    return policy.eu_terms if region.strict else policy.terms


def refuse_session(submission: Submission, source: JebbitSource) -> SkipReason | None:
    """Say why this session does not count at all: its campaign, or that it is not a real one."""
    if refused := _refuse_campaign(submission, source):
        return refused
    labels = source.opt_in_labels.labels
    for name, reason in _MUST_NOT_BE_FALSE:
        if _no_within([*submission.find_all(name), *submission.find_resembling(name)], labels):
            return reason
    return None


# A false is heard wherever it comes from: it subscribes nobody.
_MUST_NOT_BE_FALSE = (
    ("is_completed", SkipReason.NOT_COMPLETED),
    ("is_valid", SkipReason.NOT_VALID),
)


def _refuse_campaign(submission: Submission, source: JebbitSource) -> SkipReason | None:
    """Judge by what is believed; behind what is not, an excluded campaign may be hidden."""
    included, excluded = source.campaigns.included, source.campaigns.excluded
    if not included and not excluded:
        return None
    names = [*filter(None, (source.attributes.campaign_id, source.attributes.campaign_name))]
    named = [each for name in names for each in submission.find_all(name)]
    given = [each for each in named if is_present(each.value)]
    if excluded:
        if excluded & {_campaign(each) for each in given}:
            return SkipReason.CAMPAIGN_EXCLUDED
        unread = any(isinstance(each.value, list | dict) for each in given)  # or written twice
        # A blank may stand in the place of one that is not believed.
        if unread or not all(is_believed(each, source) for each in named):
            return SkipReason.CAMPAIGN_UNKNOWN
        if excluded & {_campaign(each) for each in with_inner(_of_campaigns(submission, names))}:
            return SkipReason.CAMPAIGN_EXCLUDED
    believable = {_campaign(each) for each in given if is_believed(each, source)}
    if not included or believable & included:
        return None
    return SkipReason.CAMPAIGN_NOT_INCLUDED if believable else SkipReason.CAMPAIGN_UNKNOWN


def _of_campaigns(submission: Submission, names: Sequence[str]) -> Iterator[Attribute]:
    """Yield all that may name the campaign: under its names, names like them, and beside them."""
    for name in names:
        yield from submission.find_all(name)
        yield from submission.find_alike(name)
        yield from submission.find_beside(name)


def _campaign(attribute: Attribute) -> str:
    value = attribute.value
    whole = isinstance(value, float) and value.is_integer()
    return fold_label(f"{value:.0f}" if whole else str(value))


def refuse_region(policy: Policy, region: Region) -> SkipReason | None:
    """Say why people of this region are not collected; None where they are."""
    if policy.collect == "both" or policy.collect == region.value:
        return None
    unknown = region is Region.UNKNOWN
    return SkipReason.REGION_UNKNOWN if unknown else SkipReason.REGION_NOT_COLLECTED


def refuse_opt_in(rule: OptInRule, opt_in: Answer) -> SkipReason | None:
    """Say why a person who answered so is not sent; None where they are."""
    return _REFUSED[rule].get(opt_in)


_REFUSED: Mapping[OptInRule, Mapping[Answer, SkipReason]] = {
    "opted_in_only": {
        Answer.NULL: SkipReason.NOT_OPTED_IN,
        Answer.NO: SkipReason.OPTED_OUT,
        Answer.UNCLEAR: SkipReason.OPT_IN_UNCLEAR,
    },
    "opted_in_or_null": {
        Answer.NO: SkipReason.OPTED_OUT,
        Answer.UNCLEAR: SkipReason.OPT_IN_UNCLEAR,
    },
    "everyone": {},
}


def email_status(
    opt_in: OptInReading, terms: Terms, reading: RegionReading, refused_at: float | None
) -> Status | None:
    """Decide the email channel's status; None leaves it as it is in Cordial.

    `refused_at` is when the person last said no to email, to whichever integration: silence never
    overrules that.
    """
    if opt_in.trusted and terms.auto_subscribe and opt_in.answer is Answer.NULL:
        consents = reading.silence_may_consent or (terms.null_is_consent and reading.is_certain)
        return Status.SUBSCRIBED if consents and refused_at is None else None
    return _answered_status(opt_in, terms, refused_at)


def sms_status(opt_in: OptInReading, terms: Terms, refused_at: float | None) -> Status | None:
    """Decide the SMS program's status; None leaves it. Only a spoken answer changes it."""
    return _answered_status(opt_in, terms, refused_at)


def _answered_status(opt_in: OptInReading, terms: Terms, refused_at: float | None) -> Status | None:
    if not opt_in.trusted:
        return None
    if terms.auto_subscribe and opt_in.answer is Answer.YES:
        return Status.SUBSCRIBED if opt_in.is_after(refused_at) else None
    if terms.on_opt_out == "unsubscribe" and opt_in.answer is Answer.NO:
        return Status.UNSUBSCRIBED
    return None


def may_force(terms: Terms, subscribed_by: Sequence[OptInReading], now: float) -> bool:
    """Whether people who had unsubscribed may be subscribed again.

    `forceSubscribe` counts for every channel of the call (Cordial's help pages), so each status
    sent as `subscribed` must rest on a spoken yes, and on one of the last 24 hours.
    """
    if terms.resubscribe != "explicit_opt_in" or not subscribed_by:
        return False
    return all(
        reading.answer is Answer.YES and now - reading.given_from <= FRESH_SECONDS
        for reading in subscribed_by
    )


def may_join(need: ListsNeed, opt_in: OptInReading) -> bool:
    """Whether a person who answered so may be put on a list."""
    match need:
        case None:
            return True
        case "yes":
            return opt_in.trusted and opt_in.answer is Answer.YES
        case "not_no":
            return opt_in.trusted and opt_in.answer in (Answer.YES, Answer.NULL)
