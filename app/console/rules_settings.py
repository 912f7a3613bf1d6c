"""What the editor of rules consists of: each setting with its words, by its place."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, cast, get_args

from app.rules.mapping import TooLong
from app.rules.values import FieldType

Options = Sequence[tuple[str, str]]


class Setting(NamedTuple):
    """One input: the place in the configuration that it sets, which is its name too, and its label.

    `offers` says what is offered beside it: attributes that came in, or fields of the account.
    """

    place: str
    label: str
    kind: Literal["choice", "text", "number", "lines"] = "text"
    options: Options = ()
    hint: str = ""
    offers: Literal["", "seen", "fields"] = ""


class Pair(NamedTuple):
    """A choice that EU people may have otherwise: the name within `policy` and `policy.eu`."""

    name: str
    label: str
    options: Options


COLLECT: Final = Setting(
    "policy.collect",
    "Collect people",
    "choice",
    (("both", "everywhere"), ("non_eu", "outside the EU alone"), ("eu", "in the EU alone")),
)
PAIRS: Final = (
    Pair(
        "opt_in",
        "Send",
        (
            ("opted_in_only", "who said yes"),
            ("opted_in_or_null", "who said yes, or nothing"),
            ("everyone", "everyone, also who said no"),
        ),
    ),
    Pair("auto_subscribe", "Subscribe", (("yes", "whose answer allows it"), ("no", "nobody"))),
    Pair(
        "on_opt_out",
        "Who said no is",
        (("leave", "left as they are"), ("unsubscribe", "unsubscribed")),
    ),
    Pair(
        "resubscribe",
        "Who unsubscribed once is subscribed again",
        (("never", "never"), ("explicit_opt_in", "by a fresh yes")),
    ),
)
AS_ELSEWHERE: Final = ("", "as elsewhere")
NULL_IS_CONSENT: Final = Setting(
    "policy.eu.null_is_consent",
    "No answer in the EU is",
    "choice",
    (("no", "no consent"), ("yes", "consent, given elsewhere")),
)
ANSWER: Final = (
    Setting("policy.opt_in_field", "Field that gets the answer", offers="fields"),
    Setting(
        "policy.opt_in_guard",
        "If the source stops sending the opt-in",
        "choice",
        (("yes", "subscribe nobody by silence"), ("no", "take it for no answer")),
    ),
)
SMS: Final = (
    Setting("jebbit.attributes.sms_opt_in", "SMS opt-in attribute", offers="seen"),
    Setting("cordial.sms.program", "Program", hint="Without it nobody is subscribed to SMS."),
    Setting("cordial.sms.keyword", "Join keyword"),
    Setting("cordial.sms.channel", "Channel"),
    Setting(
        "cordial.sms.suppress_doi",
        "Cordial asks back by text",
        "choice",
        (("no", "yes, whether the person means it"), ("yes", "no, the opt-in is enough")),
    ),
    Setting(
        "cordial.sms.address_format",
        "Numbers are sent as",
        "choice",
        (("digits", "digits, 15555550123"), ("e164", "E.164, +15555550123")),
    ),
)
LABELS: Final = (
    Setting("jebbit.opt_in_labels.true", "Words that mean yes", "lines", hint="One a line."),
    Setting("jebbit.opt_in_labels.false", "Words that mean no", "lines", hint="One a line."),
)
CAMPAIGNS: Final = (
    Setting("jebbit.campaigns.include", "Campaigns that count alone", "lines", hint="Id or name."),
    Setting("jebbit.campaigns.exclude", "Campaigns that do not count", "lines", hint="Id or name."),
)
NAMES: Final = tuple(
    Setting(f"jebbit.attributes.{name}", label, offers="seen")
    for name, label in (
        ("opt_in", "Email opt-in"),
        ("country", "Country"),
        ("region", "Region"),
        ("session", "Session"),
        ("occurred_at", "Date"),
        ("campaign_id", "Campaign's id"),
        ("campaign_name", "Campaign's name"),
    )
)
ORIGIN: Final = (
    Setting(
        "jebbit.region",
        "Who names no country is",
        "choice",
        (("us", "outside the EU"), ("eu", "in the EU"), ("", "unknown: under EU rules")),
    ),
    Setting("jebbit.default_phone_country", "Phone numbers without + are of", hint="Such as US."),
    Setting(
        "jebbit.trusted_url_params",
        "URL parameters that are believed",
        "lines",
        hint="Anybody can write them. Name only what you alone put into links.",
    ),
)
SENDING: Final = (
    Setting(
        "unmapped",
        "Attributes without a rule",
        "choice",
        (("ignore", "are not sent"), ("known", "are sent if the account has a field of that name")),
    ),
    Setting(
        "cordial.on_rejected_field",
        "If Cordial refuses a field",
        "choice",
        (("drop", "send the contact without it"), ("dead", "give the contact up")),
    ),
    Setting(
        "cordial.suppress_triggers",
        "Cordial's automations",
        "choice",
        (("yes", "do not fire"), ("no", "fire, for backfills too")),
    ),
    Setting("cordial.requests_per_second", "Most requests a second", "number"),
    Setting("cordial.email_channel", "Email channel"),
    Setting("cordial.identify_by", "Find contacts also by", "lines", hint="One field a line."),
)


def _of_pair(pair: Pair) -> Sequence[Setting]:
    return (
        Setting(f"policy.{pair.name}", pair.label, "choice", pair.options),
        Setting(f"policy.eu.{pair.name}", pair.label, "choice", (AS_ELSEWHERE, *pair.options)),
    )


SETTINGS: Final[Mapping[str, Setting]] = {
    each.place: each
    for each in (
        *(COLLECT, *(one for pair in PAIRS for one in _of_pair(pair)), NULL_IS_CONSENT),
        *(*ANSWER, *SMS, *LABELS, *CAMPAIGNS, *NAMES, *ORIGIN, *SENDING),
    )
}
"""Every setting of the form, by its place. The mapping has rows; the account and secrets a page."""

TYPES: Final = get_args(FieldType)


def field_type(text: str) -> FieldType:
    """Return the type that a form names; what is none counts as the usual one."""
    return cast(FieldType, text) if text in TYPES else "string"


KINDS: Final = tuple((each, each) for each in TYPES)
LISTS_NEED: Final = (
    ("not_no", "joining needs no no"),
    ("yes", "joining needs a yes"),
    ("none", "joining needs no answer"),
)
TOO_LONG: Final = tuple(zip(get_args(TooLong), ("sent as it is", "cut"), strict=True))
