"""The opt-in policy: whether a person is sent to Cordial, and whether they may be subscribed.

Everything here closes by default: an answer that is not understood, or that may come from the
page's URL, never changes a subscription.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from app.jebbit.submission import Attribute, Submission, fold
from app.rules.integration import JebbitSource, OptInRule, Policy, Terms
from app.rules.values import Answer, answer, fold_label

# The EU, the EEA and the UK, and the parts of the EU that have a country code of their own
# (Aland, French Guiana, Guadeloupe, Martinique, Mayotte, Reunion, Saint Martin).
EU_COUNTRIES = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK "
    "IS LI NO GB AX GF GP MQ YT RE MF".split()
)

# Besides ISO 3166 alpha-2: codes that the EU itself uses for two members, what IP databases say
# where they know no more than "Europe", and the names a form's country box is likely to show.
_COUNTRY_NAMES = {
    "UK": "GB",
    "EL": "GR",
    "EU": "EU",
    **{
        name: code
        for code, names in {
            "AT": ("AUT", "AUSTRIA"),
            "BE": ("BEL", "BELGIUM"),
            "BG": ("BGR", "BULGARIA"),
            "CY": ("CYP", "CYPRUS"),
            "CZ": ("CZE", "CZECHIA", "CZECH REPUBLIC"),
            "DE": ("DEU", "GERMANY"),
            "DK": ("DNK", "DENMARK"),
            "EE": ("EST", "ESTONIA"),
            "ES": ("ESP", "SPAIN"),
            "FI": ("FIN", "FINLAND"),
            "FR": ("FRA", "FRANCE"),
            "GB": ("GBR", "UNITED KINGDOM", "GREAT BRITAIN", "ENGLAND", "SCOTLAND", "WALES"),
            "GR": ("GRC", "GREECE"),
            "HR": ("HRV", "CROATIA"),
            "HU": ("HUN", "HUNGARY"),
            "IE": ("IRL", "IRELAND"),
            "IS": ("ISL", "ICELAND"),
            "IT": ("ITA", "ITALY"),
            "LI": ("LIE", "LIECHTENSTEIN"),
            "LT": ("LTU", "LITHUANIA"),
            "LU": ("LUX", "LUXEMBOURG"),
            "LV": ("LVA", "LATVIA"),
            "MT": ("MLT", "MALTA"),
            "NL": ("NLD", "NETHERLANDS", "THE NETHERLANDS"),
            "NO": ("NOR", "NORWAY"),
            "PL": ("POL", "POLAND"),
            "PT": ("PRT", "PORTUGAL"),
            "RO": ("ROU", "ROMANIA"),
            "SE": ("SWE", "SWEDEN"),
            "SI": ("SVN", "SLOVENIA"),
            "SK": ("SVK", "SLOVAKIA"),
            "AU": ("AUS", "AUSTRALIA"),
            "CA": ("CAN", "CANADA"),
            "MX": ("MEX", "MEXICO"),
            "NZ": ("NZL", "NEW ZEALAND"),
            "US": ("USA", "UNITED STATES", "UNITED STATES OF AMERICA"),
        }.items()
        for name in names
    },
}
_NO_COUNTRY = frozenset(("XX", "ZZ", "AP"))  # "unknown" and "Asia/Pacific" of IP databases


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


@dataclass(slots=True)
class RegionReading:
    """A person's region and what decided it.

    `doubtful` where the submission names a country that may come from the page's URL, or that is
    not understood: it decides nothing, but then nobody is taken for consenting by saying nothing.
    """

    region: Region
    decided_by: Literal["country", "region", "integration", "nothing"]
    attribute: str | None = None
    value: JsonValue = None
    doubtful: bool = False


@dataclass(slots=True)
class OptInReading:
    """What a person answered and where it was read.

    An answer under a key of the page's URL is no answer (`null`), and `trusted` is False: whatever
    the box itself said is hidden behind it, so no status may follow from it either.
    """

    answer: Answer
    attribute: str | None = None
    value: JsonValue = None
    trusted: bool = True


def believed(attribute: Attribute | None, source: JebbitSource) -> Attribute | None:
    """Return the attribute if it may speak for the person, else None."""
    if attribute is None or attribute.trusted:
        return attribute
    return attribute if fold(attribute.key) in source.trusted_keys else None


def _find(submission: Submission, name: str | None) -> Attribute | None:
    return submission.find(name) if name else None


def read_country(submission: Submission, source: JebbitSource) -> str | None:
    """Return the country a submission names, as ISO 3166 alpha-2 (or `EU`), if it names one."""
    name = source.attributes.country
    found = believed(submission.find(name), source) if name else None
    value = found.value if found else None
    if not isinstance(value, str):
        return None
    text = value.upper() if value.isalpha() else " ".join(value.split()).upper()
    code = _COUNTRY_NAMES.get(text, text)
    known = len(code) == 2 and code.isascii() and code.isalpha() and code not in _NO_COUNTRY
    return code if known else None


def read_region(
    submission: Submission, source: JebbitSource, eu_countries: Set[str]
) -> RegionReading:
    """Decide a person's region by the first that speaks: country, region attribute, integration."""
    if country := read_country(submission, source):
        eu = country in eu_countries or country == "EU"
        region = Region.EU if eu else Region.NON_EU
        return RegionReading(region, "country", source.attributes.country, country)
    doubtful = _find(submission, source.attributes.country) is not None
    found = believed(_find(submission, source.attributes.region), source)
    if found and (named := _region_named(found.value)):
        return RegionReading(named, "region", found.key, found.value, doubtful)
    if source.region is not None:
        region = _REGIONS[source.region]
        return RegionReading(region, "integration", value=source.region, doubtful=doubtful)
    return RegionReading(Region.UNKNOWN, "nothing", doubtful=doubtful)


_REGIONS = {"eu": Region.EU, "us": Region.NON_EU}


def _region_named(value: JsonValue) -> Region | None:
    """Read `eu` or `us`, also as the start of a data centre's name (`eu-west-1`)."""
    return _REGIONS.get(value.strip().lower().partition("-")[0]) if isinstance(value, str) else None


def read_opt_in(submission: Submission, name: str | None, source: JebbitSource) -> OptInReading:
    """Read an opt-in attribute; absent, it is null: the experience had no box."""
    if name is None:
        return _NOT_ASKED
    found = submission.find(name)
    if found is None:
        return OptInReading(Answer.NULL, name)
    if believed(found, source) is None:
        return OptInReading(Answer.NULL, found.key, found.value, trusted=False)
    return OptInReading(answer(found.value, source.opt_in_labels.labels), found.key, found.value)


_NOT_ASKED = OptInReading(Answer.NULL)


def terms(policy: Policy, region: Region) -> Terms:
    """Return the terms that hold for a region: the policy's own, with what `eu` overrides."""
    return policy.eu_terms if region.strict else policy.terms


def refuse_session(submission: Submission, source: JebbitSource) -> SkipReason | None:
    """Say why this session does not count at all: its campaign, or that it is not a real one."""
    campaigns = source.campaigns
    if (campaigns.included or campaigns.excluded) and (
        refused := _refuse_campaign(submission, source)
    ):
        return refused
    for name, reason in _MUST_NOT_BE_FALSE:
        value = submission.look_up(name)[1]
        if value is not None and answer(value, source.opt_in_labels.labels) is Answer.NO:
            return reason
    return None


_MUST_NOT_BE_FALSE = (
    ("is_completed", SkipReason.NOT_COMPLETED),
    ("is_valid", SkipReason.NOT_VALID),
)


def _refuse_campaign(submission: Submission, source: JebbitSource) -> SkipReason | None:
    included, excluded = source.campaigns.included, source.campaigns.excluded
    names = (source.attributes.campaign_id, source.attributes.campaign_name)
    found = (_find(submission, name) for name in names)
    given = {fold_label(str(each.value)) for each in found if each}
    if given & excluded:
        return SkipReason.CAMPAIGN_EXCLUDED
    if not included or given & included:
        return None
    return SkipReason.CAMPAIGN_NOT_INCLUDED if given else SkipReason.CAMPAIGN_UNKNOWN


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


def email_status(opt_in: OptInReading, terms: Terms, reading: RegionReading) -> Status | None:
    """Decide the email channel's status; None leaves it as it is in Cordial."""
    if opt_in.trusted and terms.auto_subscribe and opt_in.answer is Answer.NULL:
        elsewhere = not reading.region.strict and not reading.doubtful
        return Status.SUBSCRIBED if elsewhere or terms.null_is_consent else None
    return _answered_status(opt_in, terms)


def sms_status(opt_in: OptInReading, terms: Terms) -> Status | None:
    """Decide the SMS program's status; None leaves it. Only a spoken answer changes it."""
    return _answered_status(opt_in, terms)


def _answered_status(opt_in: OptInReading, terms: Terms) -> Status | None:
    if not opt_in.trusted:
        return None
    if terms.auto_subscribe and opt_in.answer is Answer.YES:
        return Status.SUBSCRIBED
    if terms.on_opt_out == "unsubscribe" and opt_in.answer is Answer.NO:
        return Status.UNSUBSCRIBED
    return None


def may_force(terms: Terms, subscribed_by: list[OptInReading]) -> bool:
    """Whether people who had unsubscribed may be subscribed again.

    `forceSubscribe` counts for every channel of the call (Cordial's help pages), so each status
    sent as `subscribed` must rest on a spoken yes.
    """
    if terms.resubscribe != "explicit_opt_in" or not subscribed_by:
        return False
    return all(reading.answer is Answer.YES for reading in subscribed_by)
