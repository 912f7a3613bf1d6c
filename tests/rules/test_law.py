"""The law: nobody is subscribed whom the rules do not allow, whatever comes in.

Situations are drawn near the edge of what is allowed, where a breach would show: somebody who is
nearly subscribed, and one or two things that speak against it. Each is judged by the oracle.

`make test JOBS=0 ARGS="tests/rules/test_law.py -s"` prints the reach table.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.rules.code_under_test import Rules
from tests.rules.grid import ALIKE, ASKED_NOW, COUNTRIES, HINTS, LAW, OPTING, WORDS, utc
from tests.rules.oracle import (
    DAY,
    EU,
    EXPRESS,
    Item,
    Law,
    Source,
    When,
    fold_key,
    judge,
    load,
)
from tests.rules.reach import Reach
from tests.rules.situations import (
    ABSENT,
    ADA,
    HOUR,
    MOBILE,
    NOW,
    URL_FORMS,
    Pairs,
    beside,
    enveloped,
    flat,
    write,
)
from tests.thorough import thorough

RESERVED = {"channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID", "attributes"}
PERSONAL = {"ip_address", "user_agent", "page_url", "url_params"}
EXAMPLES = 1_000 if thorough() else 200  # of a round
ROUNDS = 24  # at most, until all is reached; under the profile `many` all of them
CELL = 2  # examples of each place, channel and answer, at least
CIRCUMSTANCE = 3

# --- what comes in: each choice is one draw from a table, so that many situations are tried

LABELS = ("Yes, sign me up", "Not now", "yes", "NO")
YES, NO, NULL = ("yes", True, "true", "1"), ("no", False, "Opted Out"), (None, "", "null", ABSENT)
SAID = (*YES * 3, *NO * 2, *NULL * 3, "maybe", "hm", *LABELS, *WORDS)
LIKELY: dict[str, tuple[Any, ...]] = {
    "email": (*[ADA] * 12, " Ada@Example.COM ", "ada", "a" * 32, "", ABSENT),
    "phone_number": (*[MOBILE] * 6, "+49 30 123456", "617-555-0123", "12", 6175550123, "", ABSENT),
    "opt_in": SAID,
    "sms_opt_in": SAID,
    "country_code": (
        *["US"] * 8,
        *["DE"] * 6,
        *["CA"] * 4,
        *["QQ"] * 3,
        *[ABSENT] * 20,
        *COUNTRIES,
    ),
    "aws_region": (*[ABSENT] * 14, "us", "eu", " EU ", "eu-west-1", "us-east-1", "apac", 7, ""),
    "experience_date": (
        *[ABSENT] * 4,
        *(utc(NOW), utc(NOW - HOUR), utc(NOW - 3 * DAY), utc(NOW - 400 * DAY), utc(NOW + 9 * DAY)),
        *(int(NOW), "2025-06-15", "soon", ""),
    ),
    "is_completed": (*[ABSENT] * 24, True, "true", False),
    "campaign_name": ("Spring quiz", "Autumn", ABSENT),
    "deals": (True, "yes", "no", ABSENT),
    "age": (34, "34", "old", "", ABSENT),
    "colors": (["red", "blue"], "red|blue", [["red"]], {"red": True}, [], ABSENT),
    "outcome": ("Explorer", {"q1": "a"}, True, None, ABSENT),
    "ip_address": ("192.0.2.1", ABSENT),
}
WAYS_IN = list(URL_FORMS.values())
TWISTS = [
    (),
    *product(("url", "url", "key", "any", "alike", "opting", "hint"), repeat=1),
    *product(("url", "key", "any", "alike", "opting"), repeat=2),
]
DECIDES = (
    *("opt_in", "opt_in", "sms_opt_in", "sms_opt_in", "email", "country_code", "experience_date"),
    "phone_number",
)
SPELLINGS = (
    *[str] * 8,
    lambda key: key.replace("_", " ").title(),
    lambda key: key.replace("_", "-").upper(),
    lambda key: key.replace("_", "\N{NO-BREAK SPACE}"),
    lambda key: key.replace("_", "\N{EN DASH}"),
    lambda key: f" {key.replace('_', '  ')}",
    lambda key: key[:2] + "\N{ZERO WIDTH SPACE}" + key[2:],
    lambda key: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in key),
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
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
    [*LIKELY, "Email", "Opt In", "Page URL", "url_params", "data", "", *sorted(RESERVED)]
) | st.text(max_size=8)


CHOICES = 48  # of one situation, at most
Choose = Callable[[Sequence[Any]], Any]


def chooser(draw: st.DrawFn) -> Choose:
    """Return what chooses, all by one draw: a draw each costs more than to plan and to judge."""
    drawn = draw(st.binary(min_size=2 * CHOICES, max_size=2 * CHOICES))
    numbers = iter(struct.unpack(f"<{CHOICES}H", drawn))
    return lambda choices: choices[next(numbers) % len(choices)]


def webhook(draw: st.DrawFn, choose: Choose) -> str:
    """Return the body of a webhook: a person nearly as they often are, and what speaks against."""
    spell = choose(SPELLINGS)
    pairs = [(spell(key), value) for key, choices in LIKELY.items() for value in [choose(choices)]]
    pairs = [pair for pair in pairs if pair[1] is not ABSENT]
    for twist in choose(TWISTS):
        key = choose(DECIDES)
        value = choose([each for each in LIKELY[key] if each is not ABSENT])
        if twist == "url":
            pairs += choose(WAYS_IN)(key, str(value))
        elif twist == "key":
            pairs.insert(choose((0, len(pairs))), (choose(SPELLINGS)(key), value))
        elif twist == "alike":
            pairs += choose(ALIKE)(key, value)
        elif twist == "opting":
            pairs += choose(OPTING)(value)
        elif twist == "hint":
            pairs += choose(HINTS)
        else:
            pairs.append((draw(keys), draw(values)))
    return envelope(choose, pairs)


OUTSIDE = [["page_url"], *(["page_url", name] for name in ("opt_in", "Opt In", "country_code"))]


def envelope(choose: Choose, pairs: Pairs) -> str:
    """Return a webhook of these pairs, in one of the forms that Jebbit may use."""
    form = choose(("flat", "flat", "list", "envelope", "beside", "event"))
    if form == "beside" and pairs:
        written = [key for key, _ in pairs]
        return beside(pairs, *(choose(written) for _ in range(choose(range(3)))))
    if form == "event":
        away = choose(OUTSIDE)
        outside = [pair for pair in pairs if pair[0] in away]
        inside = [pair for pair in pairs if pair not in outside]
        return write({"data": inside or {}, "event": outside or {}})
    if form == "list":
        return f"[{flat(pairs)}]"
    return enveloped(pairs) if form == "envelope" else flat(pairs)


def tables(**choices: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return every combination of the choices, by name."""
    return [dict(zip(choices, each, strict=True)) for each in product(*choices.values())]


RULES = (*["everyone"] * 3, "opted_in_or_null", "opted_in_only")
POLICIES = tables(
    collect=(*["both"] * 20, "eu", "non_eu"),
    opt_in=RULES,
    auto_subscribe=(True, True, True, False),
    resubscribe=("never", "explicit_opt_in", "explicit_opt_in"),
    on_opt_out=("leave", "unsubscribe"),
    opt_in_field=("jebbit_opt_in",),
    opt_in_guard=(True, False),
)
EU_POLICIES = tables(
    opt_in=(*RULES, None),
    auto_subscribe=(True, True, None, None, False),
    resubscribe=("never", "explicit_opt_in", None),
    on_opt_out=("leave", "unsubscribe", None),
    null_is_consent=(*[True] * 5, False),
)
ATTRIBUTES = tables(
    opt_in=(*["opt_in"] * 8, "Opt In", "outcome", None),
    sms_opt_in=(*["sms_opt_in"] * 8, "opt_in", None),
    country=(*["country_code"] * 6, None),
    region=("aws_region", "AWS Region", None),
)
SOURCES = tables(
    webhook_secrets=(["jebbit-secret-0001"],),
    region=("us", "eu", None, None),
    campaigns=(*[{}] * 12, {"include": ["spring QUIZ"]}, {"exclude": ["Autumn"]}),
    opt_in_labels=(
        *({"true": [], "false": []}, {"true": [LABELS[0]], "false": [LABELS[1]]}),
        *({"true": ["NO"], "false": ["yes"]}, {"true": ["maybe", "null"], "false": ["YES please"]}),
    ),
    trusted_url_params=(*[[]] * 5, ["email"], ["Opt In"], ["country-code", "SMS opt in"]),
    default_phone_country=("US", "DE"),
)
SMS = tables(
    channel=("sms", "sms", "text"),
    program=("main", "main", "main", None),
    keyword=("join", None),
    suppress_doi=(True, False),
    address_format=("digits", "e164"),
)
ACCOUNTS = tables(
    account_url=("https://admin.cordial.io",),
    api_key=("cordial-key-0001",),
    email_channel=("email", "email", "mail"),
    sms=SMS,
    identify_by=([], ["customer_id"]),
    suppress_triggers=(True, False),
)
DEFAULTS = {"string": "1", "number": 7, "date": "2024-05-01", "array": "a|b", "list": True}
FIELD_RULES = [
    {"attribute": attribute, "type": kind, **separator, **default}
    for attribute in ("age", "colors", "Outcome", "opt_in", "country_code")
    for kind in DEFAULTS
    for separator in (({}, {"separator": "|"}) if kind in ("string", "array") else ({},))
    for default in ({}, {"default": DEFAULTS[kind]})
]
LIST_RULES = [
    {"attribute": "deals", "type": "list", "field": "weekly", **need, **default}
    for need in ({}, {"lists_need": "yes"}, {"lists_need": "not_no"}, {"lists_need": None})
    for default in ({}, {"default": True})
]


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """A whole integration as its API would take it, no two rules for one field."""
    return configuration(chooser(draw))


def configuration(choose: Choose) -> dict[str, Any]:
    account = choose(ACCOUNTS)
    email = {"attribute": "email", "field": f"channels.{account['email_channel']}.address"}
    sms = {"attribute": "phone_number", "field": f"channels.{account['sms']['channel']}.address"}
    return {
        "name": "Spring quiz",
        "cordial": account,
        "jebbit": choose(SOURCES) | {"attributes": choose(ATTRIBUTES)},
        "mapping": [
            *choose(([email, sms], [email, sms], [email, sms], [email], [sms])),
            *(choose(FIELD_RULES) | {"field": f"field_{number}"} for number in range(2)),
            *choose(([], [choose(LIST_RULES)])),
        ],
        "unmapped": choose(("ignore", "known")),
        "policy": choose(POLICIES) | {"eu": choose((None, *[choose(EU_POLICIES)] * 3))},
    }


WHENS = [
    When(NOW, NOW + wait, delivered, stale, email, sms, missing)
    for wait, delivered, stale, email, sms, missing in product(
        (0, 0, HOUR, DAY + 1),
        (False, False, False, True),
        (False, False, False, True),
        (None, None, None, NOW - 2 * HOUR, NOW),
        (None, None, None, NOW - 2 * HOUR, NOW),
        (False, False, False, True),
    )
]
LAWS = [
    *[Law()] * 8,
    *(
        Law(eu, express)
        for eu in (EU, frozenset(("DE", "FR")), frozenset(("US",)))
        for express in (EXPRESS, frozenset(), frozenset(("US", "JP")))
    ),
]
ACCOUNT: dict[str, Any] = {
    **dict.fromkeys([*PERSONAL, *RESERVED, "Page URL", "outcome", "opt_in", "", "name"], "string"),
    "age": "number",
    "colors": "array",
    "field_0": "string",
}


@dataclass(frozen=True)
class Situation:
    """A webhook, an integration, and what is planned for them."""

    text: str
    config: dict[str, Any]
    when: When = ASKED_NOW
    law: Law = LAW

    @property
    def item(self) -> Item:
        document = load(self.text)
        return Item(document[0] if self.text.startswith("[") else document)

    def plan(self, account: Any = None) -> Mapping[str, Any] | None:
        """Plan it; an item that is not readable is kept for a person, and nothing is sent."""
        submission = RULES_AS_THEY_ARE.read(self.text)
        if submission is None:
            return None
        integration = RULES_AS_THEY_ARE.integration(self.config)
        return RULES_AS_THEY_ARE.plan(submission, integration, self.when, self.law, account)

    @property
    def is_readable(self) -> bool:
        return RULES_AS_THEY_ARE.read(self.text) is not None


RULES_AS_THEY_ARE = Rules()


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """A webhook, an integration, the time, and where which law holds."""
    choose = chooser(draw)
    config = configuration(choose)
    return Situation(webhook(draw, choose), config, choose(WHENS), choose(LAWS))


law = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
also = settings(law, max_examples=EXAMPLES // 2)

# --- the law


def test_the_law() -> None:
    """No webhook and no configuration subscribes, forces, joins or unsubscribes where a reading
    forbids it, nor leaves out what all readings demand; and the situations that matter are tried.
    """
    reach = Reach()

    @law
    @given(situations())
    def holds(situation: Situation) -> None:
        source, when = Source(situation.config), situation.when
        body = situation.plan()
        worlds, breaches = judge(situation.item, source, when, body, situation.law)
        assert not breaches or not situation.is_readable, (
            f"{body}\n{situation.text}\n{situation.config}\n{when}"
        )
        reach.note(source, when, worlds, body)

    for number in range(ROUNDS):
        # A seed for each: where hypothesis sees a CI it would draw the same ones every time.
        seed(number)(holds)()
        if not thorough() and not reach.missing(CELL, CIRCUMSTANCE):
            break
    print(f"\n{reach.table()}")
    assert not reach.missing(CELL, CIRCUMSTANCE)


@also
@given(situations())
def test_a_plan_can_be_sent(situation: Situation) -> None:
    """Any JSON object gets a plan, always the same one; its body is JSON, names an address, and
    carries Cordial's reserved keys only with the meaning they have there."""
    body = situation.plan()
    assert situation.plan() == body
    if body is None:
        return
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    cordial = situation.config["cordial"]
    channels: Any = body["channels"]
    assert channels
    assert channels.keys() <= {cordial["email_channel"], cordial["sms"]["channel"]}
    assert all(channel["address"] for channel in channels.values())
    assert body["suppressTriggers"] is cordial["suppress_triggers"]
    assert body.get("forceSubscribe", True) is True
    keys = [] if situation.when.stale else cordial["identify_by"]  # nothing mapped is sent then
    assert body.get("identifyBy", []) == keys
    assert not body.keys() & {"cID", "attributes"}


@also
@given(situations())
def test_only_what_is_meant_flows(situation: Situation) -> None:
    """Absent, null and blank attributes without a default are not sent, nor what no rule names;
    personal and technical keys never flow unmapped."""
    item = situation.item
    named = {rule["field"]: rule for rule in situation.config["mapping"]}
    body = situation.plan(ACCOUNT) or {}
    for field in body.keys() - RESERVED - {"jebbit_opt_in"}:
        said = item.group(named.get(field, {}).get("attribute", field), frozenset()).spoken
        assert said or "default" in named[field]
        if field not in named:
            assert situation.config["unmapped"] == "known"
            assert field in ACCOUNT
            assert fold_key(field) not in PERSONAL
            assert not all(isinstance(each, dict) for each in said)


@also
@given(st.dictionaries(st.text(), values, min_size=1), configurations())
def test_arbitrary_objects_get_a_plan(attributes: dict[str, Any], config: dict[str, Any]) -> None:
    """Whatever JSON object is signed, a decision is made of it."""
    Situation(json.dumps({"data": attributes}), config).plan()
