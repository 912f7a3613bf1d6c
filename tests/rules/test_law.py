"""The law: nobody is subscribed whom the rules do not allow, whatever comes in.

What a person said and where they are is read here a second time, from tables of its own, so that
an error in the policy's reading shows as a difference.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from hypothesis import HealthCheck, Phase, event, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from app.jebbit.submission import Submission
from app.rules.integration import Integration
from app.rules.plan import Plan, Skip, Upsert, plan

RESERVED = {"channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID", "attributes"}
PERSONAL = {"ip_address", "user_agent", "page_url", "url_params"}
EU = set(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE "  # EU
    "IS LI NO "  # EEA
    "GB UK".split()
)
SUB = "subscribed"
WORDS = {
    "yes": {"true", "1", "yes", "y", "on", "opted_in"},
    "no": {"false", "0", "no", "n", "off", "opted_out"},
    "null": {"", "null", "none"},
}

# --- the second reading


@dataclass(frozen=True)
class Person:
    """What the oracle makes of a submission: region, and the answers for email and SMS."""

    region: str
    email: str
    sms: str


def key_of(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def look_up(answers: Mapping[str, Any], name: str | None) -> tuple[str, Any] | None:
    """Return the key and value of a present attribute."""
    if not name:
        return None
    keys = [name] if name in answers else [key for key in answers if key_of(key) == key_of(name)]
    if not keys or answers[keys[0]] is None or str(answers[keys[0]]).strip() == "":
        return None
    return keys[0], answers[keys[0]]


def is_believed(answers: Mapping[str, Any], key: str, config: Mapping[str, Any]) -> bool:
    """Say whether an attribute cannot have come from the page's URL, or may have."""
    _, query = look_up(answers, "url_params") or ("", "")
    names = query if isinstance(query, dict) else [part.split("=")[0] for part in pieces(query)]
    in_url = key_of(key) in {key_of(unquote_plus(name)) for name in names}
    return not in_url or key_of(key) in map(key_of, config["jebbit"]["trusted_url_params"])


def pieces(query: Any) -> list[str]:
    return query.strip().removeprefix("?").split("&") if isinstance(query, str) else []


def said(value: Any, labels: Mapping[str, Any]) -> str:
    """Read an answer: by type, then by word."""
    if isinstance(value, list):
        each = {said(item, labels) for item in value}
        return "yes" if "yes" in each else "no" if each == {"no"} else "unclear"
    if isinstance(value, dict):
        return "unclear"
    if value is None:
        return "null"
    if not isinstance(value, str):  # true == 1, false == 0
        return {1: "yes", 0: "no"}.get(value, "unclear")
    word = " ".join(value.split()).casefold()
    for meaning, own in (("yes", labels["true"]), ("no", labels["false"])):
        if word in (" ".join(label.split()).casefold() for label in own):
            return meaning
    return next((m for m, words in WORDS.items() if word.replace(" ", "_") in words), "unclear")


def answer_to(answers: Mapping[str, Any], name: str | None, config: Mapping[str, Any]) -> str:
    """Return yes, no, null, unclear, or `hidden` where only the URL may have spoken."""
    found = look_up(answers, name)
    if found is None:
        return "null"
    if not is_believed(answers, found[0], config):
        return "hidden"
    return said(found[1], config["jebbit"]["opt_in_labels"])


def place_of(answers: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the region by the first that speaks; a country that is no code says nothing."""
    names = config["jebbit"]["attributes"]
    country, region = (
        str(found[1]).strip().upper()
        if (found := look_up(answers, names[name]))
        and isinstance(found[1], str)
        and is_believed(answers, found[0], config)
        else ""
        for name in ("country", "region")
    )
    if len(country) == 2 and country.isascii() and country.isalpha() and country not in SILENT:
        return "eu" if country in EU | {"EU", "EL"} | EU_TERRITORIES else "non_eu"
    spoken = {"EU": "eu", "US": "non_eu"}
    return spoken.get(region.partition("-")[0]) or spoken.get(
        str(config["jebbit"]["region"]).upper(), "unknown"
    )


SILENT = {"XX", "ZZ", "AP"}  # what IP databases say for "do not know"
EU_TERRITORIES = {"AX", "GF", "GP", "MQ", "YT", "RE", "MF"}  # EU soil with a code of its own


def person(answers: Mapping[str, Any], config: Mapping[str, Any]) -> Person:
    names = config["jebbit"]["attributes"]
    return Person(
        place_of(answers, config),
        answer_to(answers, names["opt_in"], config),
        answer_to(answers, names["sms_opt_in"], config),
    )


# --- what comes in: each choice is one draw from a table, so that many situations are tried

ABSENT = object()
LABELS = ("Yes, sign me up", "Not now", "yes", "NO")
SAID = (
    *(word for words in WORDS.values() for word in words),
    *(*LABELS, " YES ", "Opted  In", "OFF", "maybe", "yes please"),
    *(True, False, None, 1, 0, 1.0, 2, -1),
    *([], ["no", "YES"], ["no", [False, 0]], ["no", "hm"], [None], [True, {}], {}, {"yes": True}),
)
LIKELY: dict[str, tuple[Any, ...]] = {
    "email": (*["ada@example.com"] * 12, " Ada@Example.COM ", "ada", "a" * 32, "", ABSENT),
    "phone_number": (*["617-555-0123"] * 4, "+49 30 1234567", "12", 6175550123, "", ABSENT),
    "opt_in": (*SAID, *[True] * 20, *["no"] * 10, *[ABSENT] * 20),
    "sms_opt_in": (*SAID, *["Yes"] * 20, *["no"] * 10, *[ABSENT] * 20),
    "country_code": (
        *("US", "DE", "fr", " GB ", "UK", "EL", "NO", "CH", "RE", "EU", "XX", "ZZ", "D", "Germany"),
        *["", None, *[ABSENT] * 20],
    ),
    "aws_region": ("us", "eu", " EU ", "eu-west-1", "us-east-1", "apac", 7, "", *[ABSENT] * 6),
    "is_completed": (True, "true", *[ABSENT] * 16, False),
    "campaign_name": ("Spring quiz", "Autumn", ABSENT),
    "age": (34, "34", "old", "", ABSENT),
    "colors": (["red", "blue"], "red|blue", [["red"]], {"red": True}, [], ABSENT),
    "outcome": ("Explorer", {"q1": "a"}, True, None, ABSENT),
    "ip_address": ("192.0.2.1", ABSENT),
    "user_agent": ("Mozilla/5.0", ABSENT),
}
SPELLINGS: tuple[Callable[[str], str], ...] = (
    *(str, str, str),
    lambda key: key.replace("_", " ").title(),
    str.upper,
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=4,
)
keys = st.sampled_from(
    [*LIKELY, "Email", "Opt In", "age", "colors", "outcome", "Page URL", "", *sorted(RESERVED)]
) | st.text(max_size=8)
url_keys = ("email", "Email", "opt_in", "Opt In", "SMS_OPT_IN", "country_code", "aws_region", "L")
url_forms: tuple[Callable[[list[str]], Any], ...] = (
    lambda _: ABSENT,
    lambda names: "&".join(f"{quote_plus(name)}=1" for name in names),
    lambda names: "?" + "&".join(map(quote_plus, names)),
    lambda names: dict.fromkeys(names, "1"),
)
url_params = st.builds(
    lambda form, names: form(names),
    st.sampled_from(url_forms),
    st.lists(st.sampled_from(url_keys), min_size=1, max_size=2) | st.lists(keys, max_size=2),
)


@st.composite
def submissions(draw: st.DrawFn) -> dict[str, Any]:
    """Attributes as they often are, spelled as ids or as display names, and then anything."""
    spell = draw(st.sampled_from(SPELLINGS))
    likely = {spell(key): draw(st.sampled_from(choices)) for key, choices in LIKELY.items()}
    likely |= draw(st.dictionaries(keys, values, max_size=2))
    likely["url_params"] = draw(url_params | st.text(max_size=12))
    return {key: value for key, value in likely.items() if value is not ABSENT}


def tables(**choices: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return every combination of the choices, by name."""
    return [dict(zip(choices, each, strict=True)) for each in product(*choices.values())]


RULES = ("opted_in_only", "opted_in_or_null", "everyone")
POLICIES = tables(
    collect=(*["both"] * 8, "eu", "non_eu"),
    opt_in=RULES,
    auto_subscribe=(True, True, False),
    resubscribe=("never", "explicit_opt_in"),
    on_opt_out=("leave", "unsubscribe"),
    opt_in_field=("jebbit_opt_in",),
)
EU_POLICIES = tables(
    opt_in=(*RULES, None),
    auto_subscribe=(True, None, None, False),
    resubscribe=("never", "explicit_opt_in", None),
    on_opt_out=("leave", "unsubscribe", None),
    null_is_consent=(True, False),
)
ATTRIBUTES = tables(
    opt_in=(*["opt_in"] * 6, "Opt In", "outcome", None),
    sms_opt_in=(*["sms_opt_in"] * 6, "opt_in", None),
    country=(*["country_code"] * 3, None),
    region=("aws_region", "AWS Region", None),
)
SOURCES = tables(
    webhook_secrets=(["jebbit-secret-0001"],),
    region=("us", "eu", None),
    campaigns=(*[{}] * 12, {"include": ["spring QUIZ"]}, {"exclude": ["Autumn"]}),
    opt_in_labels=(
        *({"true": [], "false": []}, {"true": [LABELS[0]], "false": [LABELS[1]]}),
        *({"true": ["NO"], "false": ["yes"]}, {"true": ["maybe", "null"], "false": ["YES please"]}),
    ),
    trusted_url_params=([], [], ["email"], ["Opt In"], ["country_code", "SMS opt in"]),
    default_phone_country=("US", "DE"),
)
SMS = tables(
    program=("main", "main", "main", None),
    keyword=("join", None),
    suppress_doi=(True, False),
    address_format=("digits", "e164"),
)
ACCOUNTS = tables(
    account_url=("https://admin.cordial.io",),
    api_key=("cordial-key-0001",),
    sms=(None, *SMS),
    identify_by=([], ["customer_id"]),
    suppress_triggers=(True, False),
)
DEFAULTS = {"string": "1", "number": 7, "date": "2024-05-01", "array": "a|b", "list": "on"}
FIELD_RULES = [
    {"attribute": attribute, "type": kind, **separator, **default}
    for attribute in ("age", "colors", "Outcome", "opt_in", "country_code")
    for kind in DEFAULTS
    for separator in ({}, {"separator": "|"})
    for default in ({}, {"default": DEFAULTS[kind]})
]


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """A whole integration as its API would take it, no two rules for one field."""

    def choose(choices: Sequence[Any]) -> Any:
        return draw(st.sampled_from(choices))

    return {
        "name": "Spring quiz",
        "cordial": choose(ACCOUNTS),
        "jebbit": choose(SOURCES) | {"attributes": choose(ATTRIBUTES)},
        "mapping": [
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "phone_number", "field": "channels.sms.address"},
            *(choose(FIELD_RULES) | {"field": f"field_{number}"} for number in range(2)),
        ],
        "unmapped": choose(("ignore", "known")),
        "policy": choose(POLICIES) | {"eu": choose((None, choose(EU_POLICIES)))},
    }


ACCOUNT: dict[str, Any] = {
    **dict.fromkeys([*PERSONAL, *RESERVED, "Page URL", "outcome", "opt_in", "", "name"], "string"),
    "age": "number",
    "colors": "array",
    "field_0": "string",
}


@dataclass(frozen=True)
class Situation:
    """A submission, a configuration, and what is planned for them."""

    attributes: dict[str, Any]
    config: dict[str, Any]

    def plan(self) -> Plan:
        return plan(
            Submission(self.attributes),
            Integration.model_validate(self.config),
            account_attributes=ACCOUNT,
        )

    @property
    def person(self) -> Person:
        return person(self.attributes, self.config)

    @property
    def null_is_consent(self) -> bool:
        return bool((self.config["policy"]["eu"] or {}).get("null_is_consent"))


situations = st.builds(Situation, submissions(), configurations())
with_answers_in_the_url = situations.map(
    lambda each: Situation({**each.attributes, "url_params": "Opt+In=1&sms_opt_in=1"}, each.config)
)
law = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


search = settings(
    max_examples=4_000, deadline=None, phases=[Phase.generate], database=None, derandomize=True
)


def body_of(made: Plan) -> Mapping[str, Any]:
    """Return what is sent; the law asks nothing of a skip."""
    event(made.reason if isinstance(made, Skip) else "upsert")
    return {} if isinstance(made, Skip) else made.body


def statuses(body: Mapping[str, Any], who: Person) -> Iterator[tuple[str, str, str]]:
    """Yield channel, the person's answer for it, and the status asked for."""
    channels = body.get("channels", {})
    if status := channels.get("email", {}).get("subscribeStatus"):
        yield "email", who.email, status
    for program in channels.get("sms", {}).get("programs", {}).values():
        yield "sms", who.sms, program["subscribeStatus"]


# --- the law


@law
@given(situations)
def test_eu_and_unknown_people_are_subscribed_by_yes_alone(situation: Situation) -> None:
    """No input and no configuration subscribes an EU or unknown-region person without a yes."""
    who = situation.person
    for channel, said_so, status in statuses(body_of(situation.plan()), who):
        event(f"{who.region} {channel} {said_so} {status}")
        by_null = channel == "email" and said_so == "null" and situation.null_is_consent
        assert status != SUB or who.region == "non_eu" or said_so == "yes" or by_null


@law
@given(situations | with_answers_in_the_url)
def test_no_unclear_and_hidden_answers_never_subscribe(situation: Situation) -> None:
    """Anywhere, a no, an unclear answer or one from the URL subscribes nobody; SMS needs a spoken
    yes; only a no unsubscribes."""
    allowed = {"email": {"yes", "null"}, "sms": {"yes"}}
    for channel, said_so, status in statuses(body_of(situation.plan()), situation.person):
        assert said_so in (allowed[channel] if status == SUB else {"no"})


@law
@given(situations)
def test_force_rests_on_a_yes(situation: Situation) -> None:
    """`forceSubscribe` is sent only where asked for, and where every status sent as subscribed
    rests on a spoken yes."""
    policy = situation.config["policy"]
    body = body_of(situation.plan())
    if "forceSubscribe" in body:
        event("forced")
        answers = {said_so for _, said_so, to in statuses(body, situation.person) if to == SUB}
        assert answers == {"yes"}
        assert "explicit_opt_in" in (policy["resubscribe"], (policy["eu"] or {}).get("resubscribe"))


@law
@given(situations)
def test_readings_agree(situation: Situation) -> None:
    """Region and answers are read as the tables of this file say."""
    evidence, who = situation.plan().evidence, situation.person
    assert evidence.opt_in.answer == ("null" if who.email == "hidden" else who.email)
    assert evidence.sms_opt_in.answer == ("null" if who.sms == "hidden" else who.sms)
    country = look_up(situation.attributes, situation.config["jebbit"]["attributes"]["country"])
    # Names of countries are read as well, which the tables here leave out.
    if country is None or len(str(country[1]).strip()) <= 2:
        assert evidence.region.region == who.region


@law
@given(situations)
def test_a_plan_can_be_sent(situation: Situation) -> None:
    """Any JSON object gets a plan, always the same one; its body is JSON, names an address, and
    carries Cordial's reserved keys only with the meaning they have there."""
    made = situation.plan()
    assert situation.plan() == made
    if isinstance(made, Skip):
        return
    assert json.loads(json.dumps(made.body, allow_nan=False)) == made.body
    cordial = situation.config["cordial"]
    channels: Any = made.body["channels"]
    assert channels
    assert channels.keys() <= {"email", "sms"}
    assert all(channel["address"] for channel in channels.values())
    assert made.body["suppressTriggers"] is cordial["suppress_triggers"]
    assert made.body.get("forceSubscribe", True) is True
    assert made.body.get("identifyBy", []) == cordial["identify_by"]
    assert not made.body.keys() & {"cID", "attributes"}


@law
@given(situations)
def test_only_what_is_meant_flows(situation: Situation) -> None:
    """Absent, null and blank attributes without a default are not sent, nor what no rule names;
    personal and technical keys never flow unmapped."""
    named = {rule["field"]: rule for rule in situation.config["mapping"][2:]}
    for field in body_of(situation.plan()).keys() - RESERVED - {"jebbit_opt_in"}:
        present = look_up(situation.attributes, named.get(field, {}).get("attribute", field))
        assert present or "default" in named[field]
        if field not in named:
            event("unmapped")
            assert situation.config["unmapped"] == "known"
            assert field in ACCOUNT
            assert key_of(field) not in PERSONAL
            assert not isinstance(present[1] if present else None, dict)


@law
@given(st.dictionaries(st.text(), values), configurations())
def test_arbitrary_objects_get_a_plan(attributes: dict[str, Any], config: dict[str, Any]) -> None:
    """Whatever JSON object is signed, a decision is made of it."""
    assert isinstance(Situation(attributes, config).plan(), Upsert | Skip)


# --- that the law is not proven of nothing

Shows = Callable[[Situation, Mapping[str, Any]], bool]


def asks(channel: str, region: str, answer: str, status: str) -> Shows:
    """Return whether a plan asks for a status of a person of that region and answer."""

    def shows(situation: Situation, body: Mapping[str, Any]) -> bool:
        who = situation.person
        return who.region == region and (channel, answer, status) in statuses(body, who)

    return shows


def skipped(situation: Situation) -> str | None:
    made = situation.plan()
    return made.reason if isinstance(made, Skip) else None


REACHED: dict[str, Shows] = {
    "eu_yes": asks("email", "eu", "yes", SUB),
    "eu_null_as_consent": asks("email", "eu", "null", SUB),
    "unknown_yes": asks("email", "unknown", "yes", SUB),
    "non_eu_null": asks("email", "non_eu", "null", SUB),
    "eu_no": asks("email", "eu", "no", "unsubscribed"),
    "eu_sms_yes": asks("sms", "eu", "yes", SUB),
    "non_eu_sms_no": asks("sms", "non_eu", "no", "unsubscribed"),
    "forced": lambda _, body: "forceSubscribe" in body,
    "hidden": lambda situation, body: bool(body) and situation.person.email == "hidden",
    "hidden_address": lambda situation, _: skipped(situation) == "untrusted_identity",
    "unmapped": lambda _, body: bool({"age", "colors", "outcome"} & body.keys()),
}


def test_strategies_reach_what_matters() -> None:
    """The situations that matter do come up among those the law is tried on."""
    missing = dict(REACHED)

    def all_seen(situation: Situation) -> bool:
        body = body_of(situation.plan())
        for name in [name for name, shows in missing.items() if shows(situation, body)]:
            del missing[name]
        return not missing

    with suppress(NoSuchExample):
        find(situations, all_seen, settings=search)
    assert not missing
