"""The dense grid: some 100,000 plans, the same ones in every run, each judged by the oracle.

Planes are full products of what acts together: places with answers and policies, ways into the
URL with what is named there, times with waits and replays, refusals, spellings, lists.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from itertools import product
from typing import Any, NamedTuple

from tests.rules.code_under_test import Rules
from tests.rules.oracle import (
    DAY,
    EU,
    EXPRESS,
    Item,
    JsonObject,
    Law,
    Source,
    When,
    World,
    judge,
    load,
)
from tests.rules.situations import (
    ABSENT,
    ADA,
    HOUR,
    MAPPING,
    MOBILE,
    NAMES,
    NOW,
    URL_FORMS,
    Pairs,
    beside,
    camel,
    config,
    enveloped,
    flat,
    wide,
)

ASKED_NOW = When(received_at=NOW, now=NOW)
LAW = Law()


class Asked(NamedTuple):
    """Under what a submission is planned."""

    source: "Prepared"
    when: When = ASKED_NOW
    law: Law = LAW


class Prepared:
    """An integration: its body, and the oracle's reading of it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.source = Source(body)


Rows = Iterator[tuple[str, Sequence[Asked]]]  # a webhook, and under what it is planned


def prepare(**sections: Any) -> Prepared:
    return Prepared(config(**sections))


def pairs(**attributes: Any) -> Pairs:
    """Return a person's attributes, with an address for both channels."""
    known = {"email": ADA, "phone_number": MOBILE, **attributes}
    return [(key, value) for key, value in known.items() if value is not ABSENT]


def each(**choices: Sequence[Any]) -> list[dict[str, Any]]:
    """Return every combination of the choices, by name."""
    return [dict(zip(choices, chosen, strict=True)) for chosen in product(*choices.values())]


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


OWN_REGIONS = ("us", "eu", None)
AS_ASKED = {"opt_in": "opted_in_or_null"}
NULL_IS_CONSENT = {"eu": {"null_is_consent": True}}
POLICIES: tuple[Mapping[str, Any], ...] = (
    {},
    {**AS_ASKED, "resubscribe": "never", "on_opt_out": "leave"},
    {"opt_in": "opted_in_only"},
    NULL_IS_CONSENT,
    {"eu": {"auto_subscribe": False, "opt_in": "opted_in_only"}},
    {"auto_subscribe": False, "eu": {"auto_subscribe": True}},
    {"collect": "eu"},
    {"collect": "non_eu"},
    {"resubscribe": "never", "eu": {"resubscribe": "explicit_opt_in", "null_is_consent": True}},
)
ANSWERS = (ABSENT, None, "", "yes", True, "no", False, "maybe", "opted out", "✓")
COUNTRIES = (
    *(ABSENT, None, "US", " us ", "DE", "fr", "GB", "UK", "EL", "RE", "EU", "NO"),
    *("CA", "ch", "BR", "JE", "GI", "XX", "AP", "QQ", "D"),
    *("Germany", "United States", "Canada", "undefined", 276, ["US"]),
)


def places() -> Rows:
    """Where somebody is, by all that may say so, with every answer and policy."""
    asked = [
        Asked(prepare(jebbit={"attributes": NAMES, "region": own}, policy=policy))
        for own, policy in product(OWN_REGIONS, POLICIES)
    ]
    regions = (ABSENT, "us", "eu-west-1", "apac")
    for number, (country, region, answer) in enumerate(product(COUNTRIES, regions, ANSWERS)):
        sms = ANSWERS[(number * 7 + number // 10) % len(ANSWERS)]
        person = pairs(country_code=country, aws_region=region, opt_in=answer, sms_opt_in=sms)
        yield (flat(person) if number % 2 else enveloped(person)), asked


def _trusting(*names: str) -> dict[str, Any]:
    return {"attributes": NAMES, "trusted_url_params": list(names)}


IN_THE_URL = {
    "email": "victim@example.com",
    "opt_in": "true",
    "sms_opt_in": "true",
    "country_code": "US",
    "phone_number": MOBILE,
    "experience_date": utc(NOW),
}


def urls() -> Rows:
    """Every way into the page's URL, for every key that decides."""
    base = [
        Asked(prepare(jebbit={"attributes": NAMES, "region": own}, policy=policy))
        for own, policy in product(("us", None), ({}, AS_ASKED, NULL_IS_CONSENT))
    ]
    trusting = {
        name: Asked(prepare(jebbit=_trusting(name.replace("_", " ").title())))
        for name in IN_THE_URL
    }
    answers = ((True, "yes"), (None, ABSENT), ("no", "no"), ("maybe", "hm"))
    countries = ("US", ABSENT, "DE", "CA", "QQ", "US", ABSENT)
    shapes: tuple[Callable[[Pairs], str], ...] = (
        *(flat, enveloped),
        lambda person: beside(person, "url_params", "page_url"),
    )
    for number, (form, name, (email, sms)) in enumerate(product(URL_FORMS, IN_THE_URL, answers)):
        given = {
            "opt_in": email,
            "sms_opt_in": sms,
            "country_code": countries[number % len(countries)],
            "experience_date": utc(NOW - HOUR),
        }
        if name != "opt_in" or email is not None:
            given[name] = IN_THE_URL[name] if email is True or name not in given else given[name]
        person = pairs(**given) + URL_FORMS[form](name, IN_THE_URL[name])
        yield shapes[number % 3](person), [*base, trusting[name]]


DATES: tuple[Callable[[float], Pairs], ...] = (
    lambda _: [],
    lambda at: [("experience_date", utc(at - HOUR))],
    lambda _: [("experience_date", utc(NOW - 10 * DAY))],
    lambda at: [("experience_date", utc(at - DAY))],
    lambda at: [("experience_date", utc(at - DAY - 1))],
    lambda at: [("experience_date", utc(at + 10 * HOUR))],
    lambda at: [("experience_date", utc(at + 90 * DAY))],
    lambda at: [("experience_date", int(at - HOUR))],
    lambda at: [("experience_date", str(int(at - 2 * DAY) * 1000))],
    lambda _: [("experience_date", "yesterday")],
    lambda at: [("experience_date", None), ("Experience Date", utc(at - 400 * DAY))],
    lambda at: [("experience_date", utc(at)), ("Experience-Date", utc(at - 400 * DAY))],
)
BOTH_ANSWERS = (
    *(("yes", "yes"), ("yes", ABSENT), (ABSENT, "yes"), ("yes", "no"), ("no", "yes")),
    *((None, None), ("no", "no"), ("maybe", "yes")),
)


def times() -> Rows:
    """When an answer was given, how long it waited, and whether it goes out again or too late."""
    whens = [
        When(NOW, NOW + wait, delivered, stale)
        for wait in (0, HOUR, DAY - HOUR, DAY, DAY + 1, 30 * DAY)
        for delivered, stale in product((False, True), repeat=2)
    ]
    policies = ({}, {"resubscribe": "never"}, {**AS_ASKED, "eu": {"resubscribe": "never"}})
    sources = [prepare(policy=policy) for policy in policies]
    asked = [Asked(source, when) for source, when in product(sources, whens)]
    for dates, (email, sms), country in product(DATES, BOTH_ANSWERS, ("US", "DE")):
        person = pairs(opt_in=email, sms_opt_in=sms, country_code=country) + dates(NOW)
        yield flat(person), asked


def refusals() -> Rows:
    """A no that was given elsewhere, before or after."""
    ago = (None, *(NOW - HOUR + delta for delta in (-1, 0, 1)), NOW + HOUR)
    whens = [
        When(NOW, NOW + HOUR, stale=stale, email_refused_at=email, sms_refused_at=sms)
        for email, sms, stale in product(ago, ago, (False, True))
    ]
    sources = [prepare(), prepare(policy={**NULL_IS_CONSENT, **AS_ASKED})]
    asked = [Asked(source, when) for source, when in product(sources, whens)]
    for (email, sms), dates, country in product(BOTH_ANSWERS, DATES[:3], ("US", "DE", "CA")):
        person = pairs(opt_in=email, sms_opt_in=sms, country_code=country) + dates(NOW)
        yield flat(person), asked


KEY_PAIRS = (
    *(("{}", "{}"), ("opt_in", "Opt In"), ("Opt In", "opt_in"), ("OPT-IN", "opt\u00a0in")),
    *(("Opt\u200b In", "opt_in"), ("opt\u2013in", "opt_in"), (wide("opt_in"), "opt  in")),
    *((" opt_in ", "OPT__IN"), ("opt_in", "opt\u2011in"), ("opt\u3000in", "opt\ufeff_in")),
)
SPELLED = (ABSENT, None, " ", "yes", True, "no", False, "maybe", 0)


def _spelled(pattern: str, name: str) -> str:
    return (
        pattern.replace("{}", "opt_in")
        if name == "opt_in"
        else f"SMS {pattern}".replace("{}", "opt in")
    )


def spellings() -> Rows:
    """One name under two keys, or under one that is written twice, with every two answers."""
    sources = [
        prepare(jebbit={"attributes": NAMES, "region": own}, policy=policy)
        for own, policy in (("us", {}), ("us", AS_ASKED), ("eu", {}), ("eu", NULL_IS_CONSENT))
    ]
    asked = [Asked(source) for source in sources]
    choices = product(KEY_PAIRS, ("opt_in", "sms_opt_in"), SPELLED, SPELLED)
    for number, ((first, second), name, one, two) in enumerate(choices):
        keys = (_spelled(first, name), _spelled(second, name))
        said = [pair for pair in zip(keys, (one, two), strict=True) if pair[1] is not ABSENT]
        yield flat(pairs() + said), asked
        if number % 2 and len(said) == 2 and keys[0] != keys[1]:
            yield beside(said[:1] + pairs() + said[1:], keys[1]), asked
        elif number % 3 == 0 and len(said) == 2:
            inner = flat(said[:1] + pairs())
            yield f'{{"data":{inner},{flat(said[1:])[1:]}', asked


ALIKE: tuple[Callable[[str, Any], Pairs], ...] = (
    lambda name, value: [(camel(name), value)],
    lambda name, value: [(name.replace("_", "."), value)],
    lambda name, value: [(f"{name.upper()}?", value)],
    lambda name, value: [("answers", {name: value})],
    lambda name, value: [("answers", [{"more": [{camel(name): value}]}])],
    lambda name, value: [(camel(name), value), ("url_params", f"{camel(name)}=no")],
    lambda name, value: [("url_params", {"a": {name: value}})],
    lambda name, value: [(camel(name), value), (name.replace("_", ":"), "hm")],
    lambda name, value: [("answers", json.dumps([{"more": {camel(name): value}}]))],
    lambda name, value: [("answers", [{"name": name, "value": value}])],
    lambda name, value: [("answers", [["email", ADA], [camel(name), value]])],
    lambda name, value: [("answers", json.dumps(json.dumps({name: value})))],
    lambda name, value: [("answers", "\ufeff" + json.dumps([{camel(name): value}]))],
)
OPTING: tuple[Callable[[Any], Pairs], ...] = (
    *(
        (lambda value, key=key: [(key, value)])
        for key in (
            *("opt_out", "emailOptOut", "email_opt_in", "Unsubscribe", "sms_opt_out", "subscribe"),
            "email_and_sms_opt_out",
        )
    ),
    lambda value: [("email_opt_out", "maybe"), ("email_opt_out", value)],
    lambda value: [("answers", {"opt_out": value})],
    lambda value: [("opt_out", f"{value}, unsubscribe me")],
    lambda value: [("answers", [["email_opt_out", value]])],
    lambda value: [("answers", json.dumps({"questions": [{"id": "optOut", "said": value}]}))],
    lambda value: [("answers", '{"opt_out": %s, "opt_out": "hm"}' % json.dumps(value))],  # noqa: UP031
)
INNER = ({"value": "no"}, {"boxes": [{"ticked": True}, None]}, '"no"')
HINTS: tuple[Pairs, ...] = (
    [("countryCode", "DE")],
    [("countryCode", "US")],
    [("ip_country", "France")],
    [("place", {"country": "CA"})],
    [("answers", [{"name": "country_code", "value": "DE"}])],
    [("answers", [{"id": "country", "label": "Where?", "value": "US"}])],
    [("awsRegion", "eu-west-1")],
    [("awsRegion", "us-east-1")],
    [("experienceDate", utc(NOW - 400 * DAY))],
    [("answers", {"experience_date": utc(NOW - 400 * DAY)})],
    [("answers", [{"name": "experience_date", "value": utc(NOW - 400 * DAY)}])],
    [("visit", json.dumps({"url_params": {"opt_in": "yes"}}))],
    [("visit", {"more": json.dumps({"url_params": {"country_code": "US"}})})],
)


OWN = (ABSENT, None, "yes", "no", "maybe", ["yes", {"value": "no"}])


def _alike_sources() -> list[Prepared]:
    sources = [
        prepare(jebbit={"attributes": NAMES, "region": own}, policy=policy)
        for own, policy in (("us", {}), ("us", AS_ASKED), ("eu", NULL_IS_CONSENT))
    ]
    return [*sources, prepare(jebbit=_trusting("optIn", "smsOptIn"))]


def alike() -> Rows:
    """What stands under keys that plainly mean an opt-in and are no spelling of its name."""
    asked = [Asked(source) for source in _alike_sources()]
    said = (*SPELLED[1:], ["yes", "no"], *INNER)
    for form, name, one, two in product(ALIKE, ("opt_in", "sms_opt_in"), OWN, said):
        yield flat(pairs(**{name: one}) + form(name, two)), asked
    for opting, name, one, two in product(
        OPTING, ("opt_in", "sms_opt_in"), OWN, (*said, "opted out")
    ):
        yield flat(pairs(**{name: one}) + opting(two)), asked


def hinted() -> Rows:
    """What hints at a place, a date or a page under keys that are no spelling of their names."""
    asked = [Asked(source) for source in _alike_sources()]
    for hint, one, country in product(HINTS, OWN, (ABSENT, "US")):
        yield flat(pairs(opt_in=one, sms_opt_in=one, country_code=country) + hint), asked


def guarded() -> Rows:
    """Silence, and answers, where the source stopped sending the opt-in."""
    deals = {"attribute": "deals", "field": "weekly", "type": "list"}
    sources = [
        prepare(
            jebbit={"attributes": NAMES, "region": own},
            mapping=[*MAPPING, deals if need == "" else {**deals, "lists_need": need}],
            policy={**policy, **guard},
        )
        for own, need, policy, guard in product(
            *(("us", "eu"), ("", "yes", None), (NULL_IS_CONSENT, AS_ASKED)),
            ({}, {"opt_in_guard": True}, {"opt_in_guard": False}),
        )
    ]
    whens = [When(NOW, NOW, stale=stale, opt_in_missing=True) for stale in (False, True)]
    asked = [Asked(source, when) for source, when in product(sources, whens)]
    for email, sms, country in product(ANSWERS[:8], (ABSENT, "yes", "no"), (ABSENT, "US", "CA")):
        person = pairs(opt_in=email, sms_opt_in=sms, country_code=country, deals="yes")
        yield flat(person), asked


COUNTRY_KEYS = (
    *(("country_code", "Country Code"), ("Country-Code", "country_code")),
    *(("country_code", "country_code"), ("country\u00a0code", "COUNTRY CODE")),
)
SPELLED_COUNTRIES = (ABSENT, None, "", "US", "DE", "CA", "Foo", 7)


def country_spellings() -> Rows:
    """The country under two keys, or one that is written twice."""
    sources = [
        prepare(jebbit={"attributes": NAMES, "region": own}, policy=policy)
        for own, policy in (("us", {}), ("us", AS_ASKED), ("eu", {}), (None, NULL_IS_CONSENT))
    ]
    asked = [Asked(source) for source in sources]
    twice = product(COUNTRY_KEYS, SPELLED_COUNTRIES, SPELLED_COUNTRIES, (ABSENT, "yes"))
    for keys, one, two, answer in twice:
        said = [pair for pair in zip(keys, (one, two), strict=True) if pair[1] is not ABSENT]
        yield flat(pairs(opt_in=answer) + said), asked


LABELS = (
    {"true": [], "false": []},
    {"true": ["Yes, sign me up", "I\u2019d love to"], "false": ["Not now", "No \u2013 thanks"]},
    {"true": ["NO", "off &amp; on"], "false": ["yes"]},
    {"true": ["maybe", "null"], "false": ["YES please"]},
)
WORDS = (
    *("true", "1", "yes", "y", "on", "opted_in", "opted-in", "opt-in", "opt in", "subscribed"),
    *(
        "subscribe",
        "checked",
        "t",
        "✓",
        " YES ",
        "Opted  In",
        "yes\u00a0",
        "ye\u200bs",
        wide("YES"),
    ),
    *("false", "0", "no", "n", "off", "opted_out", "opt-out", "opted out", "unsubscribed"),
    *(
        "unsubscribe",
        "unchecked",
        "f",
        "NO",
        "opt\u2011out",
        "Opted\u00a0Out",
        wide("no"),
        "n\u200bo",
    ),
    *("null", "none", "NULL", "", "  ", "\u00a0", None, ABSENT),
    *("yes, sign me up", "I'd love to", "i\u2019d  love to", "not now", "no - thanks"),
    *("no \u2014 thanks", "off & on", "off &AMP; on", "yes please", "maybe", "nope", "2", "yesno"),
    *(True, False, 1, 0, 1.0, 2, -1, [], ["no", "YES"], ["no", [False, 0]], ["no", "hm"], [None]),
    *([True, {}], {}, {"yes": True}, '["yes"]', '["no"]', "&#121;es", "n&#111;", "не", "ja"),
)


def words() -> Rows:
    """Every word and value that may be an answer, under several customers' labels."""
    asked = [
        Asked(
            prepare(
                jebbit={"attributes": NAMES, "region": own, "opt_in_labels": labels}, policy=policy
            )
        )
        for own, labels, policy in product(("us", "eu"), LABELS, ({}, AS_ASKED))
    ]
    for said in WORDS:
        yield flat(pairs(opt_in=said, sms_opt_in=said)), asked


DENIED: tuple[Pairs, ...] = (
    [("deals", "yes"), ("Deals", "no")],
    [("deals", "yes"), ("de.als", False)],
    [("deals", "yes"), ("answers", json.dumps({"deals": "no"}))],
    [("deals", ["yes", {"value": "no"}])],
    [("answers", {"deals": "no"})],
)


def lists() -> Rows:
    """A list that a person may join, by what they said of the channel."""
    rules = each(
        lists_need=("yes", "not_no", None, ABSENT),
        default=(ABSENT, True),
        attribute=("deals", None),
    )
    rules = [rule for rule in rules if rule["attribute"] or rule["default"] is True]
    sources = [
        prepare(
            mapping=[*MAPPING, {k: v for k, v in rule.items() if v is not ABSENT}], policy=policy
        )
        for rule in ({"field": "weekly", "type": "list", **rule} for rule in rules)
        for policy in ({}, {"eu": {"opt_in": "opted_in_or_null"}})
    ]
    ago = (NOW - HOUR, NOW)
    whens = (
        *(ASKED_NOW, When(NOW, NOW, stale=True)),
        *(When(NOW, NOW, email_refused_at=at) for at in ago),
    )
    asked = [Asked(source, when) for source, when in product(sources, whens)]
    for deals, answer, country in product((ABSENT, True, "yes", "no", "hm"), ANSWERS, ("US", "DE")):
        yield flat(pairs(deals=deals, opt_in=answer, country_code=country)), asked
    for deals in DENIED:
        yield flat(deals + pairs(opt_in="yes", country_code="US")), asked
    for answer in ANSWERS:  # what a stranger may have written
        yield flat(pairs(deals=True, opt_in=answer, url_params="opt_in=no")), asked
        yield flat(pairs(deals=True, opt_in=answer, page_url="https://x.example/?deals=1")), asked


def jurisdictions() -> Rows:
    """Other sets of countries that are protected, by EU rules or by an express yes."""
    laws = [
        Law(eu, express)
        for eu in (EU, frozenset(("DE", "FR")), frozenset(("US",)), frozenset(), frozenset(("GB",)))
        for express in (EXPRESS, frozenset(), frozenset(("US", "JP")), frozenset(("DE",)))
    ]
    sources = [
        prepare(jebbit={"attributes": NAMES, "region": own}, policy=policy)
        for own, policy in product(OWN_REGIONS, ({}, NULL_IS_CONSENT))
    ]
    asked = [Asked(source, law=law) for source, law in product(sources, laws)]
    countries = (
        "US",
        "DE",
        "FR",
        "GB",
        "UK",
        "EL",
        "GR",
        "CA",
        "CH",
        "JP",
        "EU",
        "Canada",
        "XX",
        ABSENT,
    )
    for country, answer in product(countries, (ABSENT, "yes", "no")):
        yield flat(pairs(country_code=country, opt_in=answer, sms_opt_in=answer)), asked


PHONE_TEXTS = (
    MOBILE,
    "+44 7400 123456",
    "+49 1512 3456789",
    "+49 30 123456",
    "+1 900 555 1234",
    "12",
    ABSENT,
)


def channels() -> Rows:
    """Channels of other names, one channel alone, and numbers that take no text message."""
    mail = {"attribute": "Email", "field": "channels.mail.address"}
    text = {"attribute": "phone number", "field": "channels.text.address"}
    sms = {"channel": "text", "program": "alerts"}
    named = {"email_channel": "mail", "sms": sms}
    settings: tuple[dict[str, Any], ...] = (
        {},
        {"cordial": named, "mapping": [mail, text]},
        {"cordial": named, "mapping": [mail]},
        {"cordial": named, "mapping": [text]},
        {"cordial": {"sms": {"program": None}}},
        {"cordial": {"sms": None}, "mapping": MAPPING[:1]},
        {"jebbit": {"attributes": {"sms_opt_in": "opt_in"}}},
    )
    asked = [Asked(prepare(**{"jebbit": {"attributes": NAMES}, **each})) for each in settings]
    asked += [Asked(one.source, When(NOW, NOW, stale=True)) for one in asked]
    said = (ABSENT, "yes", "no", "maybe")
    emails = (ADA, "ada", "a" * 32, ABSENT)
    for phone, email, one, two, country in product(PHONE_TEXTS, emails, said, said, ("US", "DE")):
        person = pairs(
            email=email, phone_number=phone, opt_in=one, sms_opt_in=two, country_code=country
        )
        yield flat(person), asked


def campaigns() -> Rows:
    """Campaigns to include or exclude, and sessions that were not finished."""
    limits = (
        {"include": ["Spring QUIZ"]},
        {"exclude": ["autumn"]},
        {"include": ["7"], "exclude": ["autumn"]},
    )
    asked = [
        Asked(prepare(jebbit={"attributes": NAMES, "campaigns": limit}, policy=policy))
        for limit, policy in product(limits, ({}, AS_ASKED))
    ]
    urls: tuple[Pairs, ...] = (
        *([], [("url_params", "campaign_name=Spring+quiz")]),
        *([("page_url", "https://x.example/?campaign_id=7")], [("url_params", "is_completed=1")]),
    )
    for name, number, done, url in product(
        ("Spring quiz", "Autumn", ABSENT), (7, "8", ABSENT), (True, False, ABSENT), urls
    ):
        person = pairs(campaign_name=name, campaign_id=number, is_completed=done, opt_in="yes")
        yield flat(person + url), asked
    for more in UNFINISHED:
        yield flat(pairs(opt_in="yes", campaign_name="Spring quiz") + more), asked


UNFINISHED: tuple[Pairs, ...] = (
    *([("campaignName", "Autumn")], [("campaign_id", 7.0)], [("isCompleted", False)]),
    *([("a", {"campaign_name": "autumn"})], [("a", [{"id": "Campaign ID", "value": "autumn"}])]),
    *([("campaign_id", '"autumn"')], [("campaign_id", '["autumn"]')], [("phone.isValid", True)]),
)
PLANES: tuple[Callable[[], Rows], ...] = (
    *(places, urls, times, refusals, spellings, country_spellings, words, lists),
    *(jurisdictions, channels, campaigns, alike, hinted, guarded),
)


STRIDE = 37  # in no step with the size of any choice


def scattered(plane: Callable[[], Rows]) -> Callable[[], Rows]:
    """Return the plane with its rows far apart first: what one shows is met soon."""

    @wraps(plane)
    def rows() -> Rows:
        every = list(plane())
        for start in range(STRIDE):
            yield from every[start::STRIDE]

    return rows


class Judged(NamedTuple):
    """One plan of the grid, and what the oracle says of it."""

    plane: str
    text: str
    asked: Asked
    body: Mapping[str, Any] | None
    worlds: Sequence[World]
    breaches: list[str]


def part(plane: Callable[[], Rows]) -> Callable[[], Rows]:
    """Return the plane with every webhook under a part of what it is planned under.

    The part is another one for each webhook: any two values that meet in the plane still do.
    """
    share = 3 if plane in (urls, alike, hinted) else 7  # in those few webhooks are of one form

    @wraps(plane)
    def rows() -> Rows:
        for number, (text, every) in enumerate(plane()):
            # A step more after each dozen: else one that fits a choice's size would miss pairs.
            yield text, every[-(number + number // 12) % share :: share]

    return rows


def judged(rules: Rules, planes: Sequence[Callable[[], Rows]] = PLANES) -> Iterator[Judged]:
    """Plan and judge every situation of some planes."""
    integrations: dict[Prepared, Any] = {}
    for plane in planes:
        for text, every in plane():
            if not every:
                continue
            submission, item = rules.read(text), Item(_only(load(text)))
            for asked in every:
                prepared, when, law = asked
                if prepared not in integrations:
                    integrations[prepared] = rules.integration(prepared.body)
                body = rules.plan(submission, integrations[prepared], when, law)
                found = judge(item, prepared.source, when, body, law)
                yield Judged(plane.__name__, text, asked, body, *found)


def _only(document: Any) -> Any:
    return document if isinstance(document, JsonObject) else document[0]
