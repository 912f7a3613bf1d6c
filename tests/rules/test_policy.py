"""The policy's tables, row by row."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from app.jebbit.submission import Submission, parse
from app.rules.integration import JebbitSource, Policy
from app.rules.jurisdictions import DEFAULT_JURISDICTIONS, EU_COUNTRIES, Jurisdictions
from app.rules.policy import (
    OptInReading,
    Region,
    RegionReading,
    Terms,
    email_status,
    may_force,
    read_countries,
    read_opt_in,
    read_region,
    refuse_opt_in,
    refuse_region,
    refuse_session,
    sms_status,
    terms,
)
from app.rules.values import Answer
from tests.table import table

Make = Callable[..., Any]
YES, NULL, NO, UNCLEAR = Answer.YES, Answer.NULL, Answer.NO, Answer.UNCLEAR
EU, NON_EU, UNKNOWN = Region.EU, Region.NON_EU, Region.UNKNOWN


def a_policy(**given: Any) -> Policy:
    return Policy.model_validate(
        {"collect": "both", "opt_in": "opted_in_or_null", "auto_subscribe": True, **given}
    )


def some_terms(**given: Any) -> Terms:
    usual = {
        "opt_in": "everyone",
        "auto_subscribe": True,
        "resubscribe": "never",
        "on_opt_out": "leave",
        "null_is_consent": False,
    }
    return Terms(**(usual | given))


# --- region


def test_the_protected_countries() -> None:
    """The 27 of the EU, the three others of the EEA, and the UK are there; neighbours are not."""
    eu = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split()
    assert len(eu) == 27
    assert EU_COUNTRIES.issuperset([*eu, "IS", "LI", "NO", "GB"])
    assert EU_COUNTRIES.isdisjoint(["CH", "US", "CA", "TR", "UA", "RS", "RU", "AU", "GL"])


@table(
    ("value", "code"),
    [
        *(("DE", "DE"), ("de", "DE"), (" De ", "DE"), ("us", "US"), ("UK", "GB"), ("EL", "GR")),
        *(("Germany", "DE"), ("DEU", "DE"), ("united  kingdom", "GB"), ("EU", "EU")),
        *(("XX", None), ("ZZ", None), ("", None), ("D", None), ("D3", None), ("--", None)),
        *((None, None), (49, None), (True, None), (["DE"], None), ("ДЕ", None)),
    ],
)
def test_country(make_integration: Make, value: Any, code: str | None) -> None:
    """A country is a code of two letters in any case, or a name known; else none was named."""
    source = make_integration().jebbit
    named = [each for each in read_countries(Submission({"country_code": value}), source) if each]
    assert named == ([code] if code else [])


@table(
    ("given", "integration", "region", "by"),
    [
        ({"country_code": "FR", "aws_region": "us"}, "us", EU, "country"),
        ({"country_code": "US", "aws_region": "eu"}, "eu", NON_EU, "country"),
        ({"country_code": "EU"}, "us", EU, "country"),
        ({"country_code": "", "aws_region": "eu"}, "us", EU, "region"),
        ({"country_code": "??", "aws_region": "us"}, "eu", NON_EU, "region"),
        ({"aws_region": " EU "}, "us", EU, "region"),
        ({"Country Code": "fr"}, "us", EU, "country"),
        ({"AWS Region": "eu"}, "us", EU, "region"),
        ({"aws_region": "asia"}, "eu", EU, "integration"),
        ({"aws_region": None}, "us", NON_EU, "integration"),
        ({}, "eu", EU, "integration"),
        ({}, "us", NON_EU, "integration"),
        ({}, None, UNKNOWN, "nothing"),
        ({"country_code": "??", "aws_region": 1}, None, UNKNOWN, "nothing"),
        ({"country_code": "US", "url_params": "country_code=US"}, "eu", EU, "integration"),
        ({"aws_region": "us", "url_params": "AWS+Region=us"}, None, UNKNOWN, "nothing"),
    ],
)
def test_region(
    make_integration: Make, given: Any, integration: str | None, region: Region, by: str
) -> None:
    """Country, region attribute, integration: the first that speaks, and is believed, decides."""
    source = make_integration(jebbit={"region": integration}).jebbit
    reading = read_region(Submission(given), source, DEFAULT_JURISDICTIONS)
    assert (reading.region, reading.decided_by) == (region, by)


def test_the_protected_countries_are_a_setting(make_integration: Make) -> None:
    """Who is protected is what the setting says, also where it differs from the default."""
    source = make_integration().jebbit

    def region(country: str) -> Region:
        given = Submission({"country_code": country})
        return read_region(given, source, Jurisdictions(eu_countries={"CH", "FR"})).region

    assert [region(each) for each in ("CH", "FR", "DE", "GB")] == [EU, EU, NON_EU, NON_EU]


@pytest.mark.parametrize("region", Region)
def test_strict_unless_known_to_be_elsewhere(region: Region) -> None:
    """EU rules hold for EU people and for those whose region is unknown."""
    assert region.strict == (region != NON_EU)


@pytest.mark.parametrize(
    ("collect", "region", "reason"),
    [
        *(("both", EU, None), ("both", NON_EU, None), ("both", UNKNOWN, None)),
        *(("eu", EU, None), ("eu", NON_EU, "region_not_collected")),
        *(("non_eu", EU, "region_not_collected"), ("non_eu", NON_EU, None)),
        *(("eu", UNKNOWN, "region_unknown"), ("non_eu", UNKNOWN, "region_unknown")),
    ],
)
def test_collect(collect: str, region: Region, reason: str | None) -> None:
    """Who is not collected is skipped, saying why."""
    assert refuse_region(a_policy(collect=collect), region) == reason


# --- opt-in

AUDIENCE = {
    "opted_in_only": (None, "not_opted_in", "opted_out", "opt_in_unclear"),
    "opted_in_or_null": (None, None, "opted_out", "opt_in_unclear"),
    "everyone": (None, None, None, None),
}


@pytest.mark.parametrize("rule", AUDIENCE)
def test_audience(rule: Any) -> None:
    """Each rule sends or skips each answer as the table says."""
    assert tuple(refuse_opt_in(rule, each) for each in (YES, NULL, NO, UNCLEAR)) == AUDIENCE[rule]


@pytest.mark.parametrize(
    ("given", "name", "reading"),
    [
        ({"opt_in": "true"}, "opt_in", (YES, True)),
        ({"Opt In": "true"}, "opt_in", (YES, True)),
        ({"opt_in": ""}, "opt_in", (NULL, True)),
        ({}, "opt_in", (NULL, True)),
        ({"opt_in": "true"}, None, (NULL, True)),
        ({"opt_in": "true", "url_params": "opt_in=true"}, "opt_in", (NULL, False)),
        ({"opt_in": "false", "url_params": "Opt+In=1"}, "opt_in", (NULL, False)),
        ({"opt_in": "true", "url_params": "sms_ok=1"}, "opt_in", (YES, True)),
        ({"sms_ok": "yes", "url_params": "?sms_ok=yes"}, "sms_ok", (YES, True)),
        ({"opt_in": "Sure"}, "opt_in", (YES, True)),
    ],
)
def test_opt_in(make_integration: Make, given: Any, name: str | None, reading: Any) -> None:
    """An answer is read where it was named; one that the URL may have given is null and hidden,
    unless that parameter is trusted."""
    source = make_integration(
        jebbit={"trusted_url_params": ["SMS ok"], "opt_in_labels": {"true": ["sure"]}}
    ).jebbit
    made = read_opt_in(Submission(given), name, source, (0.0, 0.0))
    assert (made.answer, made.trusted) == reading


URL = {"url_params": "optIn=1"}


@table(
    ("given", "answer", "key"),
    [
        ({"optIn": "no"}, NO, "optIn"),
        ({"opt.in": False}, NO, "opt.in"),
        ({"Opt in?": ["no", "off"]}, NO, "Opt in?"),
        ({"OPTIN": "No thanks"}, NO, "OPTIN"),
        ({"\uff2fpt:\u200bIn": 0}, NO, "\uff2fpt:\u200bIn"),
        ({"answers": {"opt_in": "no"}}, NO, "opt_in"),
        ({"answers": [[{"more": {"Opt In": "no"}}]]}, NO, "Opt In"),
        ({"opt_in": {"optIn": "no"}}, UNCLEAR, "opt_in"),  # its own key is there
        ({"optIn": "hm", "opt.in": "no"}, NO, "opt.in"),
        *(({"optIn": said}, UNCLEAR, "optIn") for said in ("yes", True, "hm", "none", [], {}, 2)),
        ({"answers": {"opt_in": "yes"}}, UNCLEAR, "opt_in"),
        ({"optIn": None, "opt.in": "yes"}, UNCLEAR, "opt.in"),
        *(({"optIn": said}, NULL, "opt_in") for said in (None, "", " ")),
        ({"answers": {"opt_in": None}}, NULL, "opt_in"),
        *(({"opt_in": said, "optIn": "no"}, NO, "optIn") for said in (None, "", "null")),
        *(({"opt_in": said, "optIn": "yes"}, UNCLEAR, "optIn") for said in (None, "", "null")),
        ({"opt_in": "yes", "optIn": "no"}, UNCLEAR, "optIn"),
        ({"opt_in": "yes", "answers": {"opt_in": "no"}}, UNCLEAR, "opt_in"),
        *(({"opt_in": "yes", "optIn": said}, YES, "opt_in") for said in ("yes", "hm", "", None)),
        ({"opt_in": "no", "optIn": "yes"}, NO, "opt_in"),
        ({"opt_in": "hm", "optIn": "no"}, UNCLEAR, "opt_in"),
        *(({"optIn": said, **URL}, UNCLEAR, "optIn") for said in ("no", "yes", "", None)),
        ({"optIn": "no", "opt.in": "no", **URL}, NO, "opt.in"),
        ({"url_params": {"opt_in": "no"}}, UNCLEAR, "opt_in"),
        ({"url_params": "opt_in=no", "answers": {"opt_in": "no"}}, UNCLEAR, "opt_in"),
        ({"opt_in": "yes", "optIn": "no", **URL}, UNCLEAR, "optIn"),
        (
            {"sms_opt_in": "no", "opt": {"in": "no"}, "colors": ["no"]},
            NULL,
            "opt_in",
        ),
    ],
)
def test_keys_that_plainly_mean_the_opt_in(
    make_integration: Make, given: Any, answer: Answer, key: str
) -> None:
    """A key of the same letters, or the name within an object, may say no and never yes. It counts
    where the opt-in itself is silent, and its no keeps a yes from being one."""
    source = make_integration(jebbit={"opt_in_labels": {"false": ["no thanks"]}}).jebbit
    made = read_opt_in(Submission(given), "opt_in", source, (1.0, 2.0))
    assert (made.answer, made.attribute, made.trusted) == (answer, key, True)
    assert (made.given_from, made.given_until) == (1.0, 2.0)


FORMS = (
    *('"K": V', '"K": [V]', '"K": ["maybe", V]', '"K": {"value": V}', '"K": {"a": [{"b": V}]}'),
    *('"K": "maybe", "K": V', '"K": V, "K": "maybe"', '"K": ["maybe"], "K": {"value": V}'),
    *('"answers": {"K": "maybe", "K": V}', '"answers": {"K": {"value": V}}'),
    *('"answers": [{"name": "K", "value": V}]', '"answers": [{"name": "K", "value": [[V, 7]]}]'),
    '"answers": [{"name": "K", "value": "maybe", "value": V}]',
    '"answers": [{"name": "box", "name": "K", "value": V}]',
)
OBJECTIONS = [
    *(("", key, said) for key in ("optIn", "email_opt_in", "subscribe") for said in ("no", False)),
    *(("", "optIn", said) for said in ("yes", True)),
    *(("", key, said) for key in ("opt_out", "Unsubscribed") for said in ("yes", True, 1)),
    *(("yes", "optIn", said) for said in ("no", False)),
    *(("yes", key, said) for key in ("email_opt_out", "unsubscribe") for said in ("yes", True)),
    *(("yes", "opt_out", said) for said in ("No, unsubscribe me", "opted out")),
]


@table("form", FORMS)
@table(("own", "key", "said"), OBJECTIONS)
def test_what_speaks_against_an_answer_does_so_in_every_form(
    make_integration: Make, form: str, own: str, key: str, said: Any
) -> None:
    """Within objects and lists, texts that are JSON, and what is written twice."""
    source = make_integration(jebbit={"opt_in_labels": {"false": ["No, unsubscribe me"]}}).jebbit
    written = form.replace("V", json.dumps(said)).replace("K", key)
    quoted = form.replace("V", json.dumps(json.dumps(said))).replace("K", key)
    texts = [f"{around}{{{written}}}" for around in ("", "\ufeff", "\u200b\u00a0 ")]
    texts += [json.dumps(texts[0]), json.dumps(json.dumps(texts[0]))]
    texts += [f'{{"n": {odd}, {written}}}' for odd in ("NaN", "9" * 5_000, '"\\ud83d"')]
    texts.append("[" * 300 + texts[0] + "]" * 300)
    for more in (written, quoted, *(f'"answers": {json.dumps(text)}' for text in texts)):
        (item,) = parse(f'{{"email": "a@example.com", "opt_in": "{own}", {more}}}'.encode())
        assert item.submission is not None
        made = read_opt_in(item.submission, "opt_in", source, (0.0, 0.0))
        assert made.answer in (NO, UNCLEAR), more


@pytest.mark.parametrize(
    "given",
    [
        *(["yes", inner] for inner in ({"value": "no"}, '"no"', '{"a": ["no"]}', [{"b": False}])),
        [{"value": "no"}, True],
        '["yes", {"value": "no"}]',
    ],
)
def test_a_no_within_an_item_leaves_no_yes(make_integration: Make, given: Any) -> None:
    """A list with a yes is none if a no stands within another of its items."""
    source = make_integration().jebbit
    made = read_opt_in(Submission({"opt_in": given}), "opt_in", source, (0.0, 0.0))
    assert (made.answer, made.attribute, made.alike) == (UNCLEAR, "opt_in", False)


@pytest.mark.parametrize(
    ("key", "email", "sms"),
    [
        ("email_opt_out", UNCLEAR, YES),
        ("newsletter_opt_out", UNCLEAR, YES),
        ("sms_opt_out", YES, UNCLEAR),
        ("text_opt_out", YES, UNCLEAR),
        ("call_opt_out", YES, UNCLEAR),
        *((each, UNCLEAR, UNCLEAR) for each in ("opt_out", "email_and_sms_opt_out")),
        *((each, UNCLEAR, UNCLEAR) for each in ("unsubscribe_automatically", "context_opt_out")),
    ],
)
def test_which_channel_an_opt_out_is_about(
    make_integration: Make, key: str, email: Answer, sms: Answer
) -> None:
    """About the one it names alone; about both if it names both or none."""
    source = make_integration(jebbit={"attributes": {"sms_opt_in": "sms_opt_in"}}).jebbit
    given = Submission({"opt_in": "yes", "sms_opt_in": "yes", key: "yes"})
    made = [read_opt_in(given, name, source, (0.0, 0.0)) for name in ("opt_in", "sms_opt_in")]
    assert [each.answer for each in made] == [email, sms]


def test_a_trusted_key_that_means_the_opt_in(make_integration: Make) -> None:
    """A no under it counts if the integration trusts that parameter."""
    source = make_integration(jebbit={"trusted_url_params": ["OptIn"]}).jebbit
    made = read_opt_in(Submission({"optIn": "no", **URL}), "opt_in", source, (0.0, 0.0))
    assert (made.answer, made.alike) == (NO, True)


@pytest.mark.parametrize("name", ["?", "\u2713", ""])
def test_a_name_without_letters_is_like_no_other(make_integration: Make, name: str) -> None:
    """Where the opt-in's name has no letter and no digit, no other key is taken for it."""
    made = read_opt_in(Submission({"!": "no"}), name, make_integration().jebbit, (0.0, 0.0))
    assert made.answer is NULL


@table("region", Region)
@table(
    "named",
    [
        {"opt_in": "opted_in_only"},
        {"auto_subscribe": False},
        {"resubscribe": "explicit_opt_in"},
        {"on_opt_out": "unsubscribe"},
        {"null_is_consent": True},
        {},
    ],
)
def test_eu_overrides_what_it_names(region: Region, named: dict[str, Any]) -> None:
    """For EU and unknown-region people `eu` changes what it names; all else stays, and all stays
    for others."""
    own = {
        "opt_in": "opted_in_or_null",
        "auto_subscribe": True,
        "resubscribe": "never",
        "on_opt_out": "leave",
    }
    held = terms(a_policy(**own, eu=named), region)
    expected = own | {"null_is_consent": False} | (named if region != NON_EU else {})
    assert held == Terms(**expected)
    assert terms(a_policy(**own), region) == Terms(**own, null_is_consent=False)


def test_eu_can_loosen_too() -> None:
    """An override may be the looser one: only the customer can know."""
    policy = a_policy(
        opt_in="opted_in_only",
        auto_subscribe=False,
        resubscribe="explicit_opt_in",
        on_opt_out="unsubscribe",
        eu={
            "opt_in": "opted_in_or_null",
            "auto_subscribe": True,
            "resubscribe": "never",
            "on_opt_out": "leave",
        },
    )
    assert terms(policy, EU) == Terms("opted_in_or_null", True, "never", "leave", False)
    assert terms(policy, NON_EU) == Terms(
        "opted_in_only", False, "explicit_opt_in", "unsubscribe", False
    )


# --- subscribe: columns yes, null, no, unclear; `out` is what on_opt_out says

EMAIL_TABLE = [
    (True, NON_EU, ("subscribed", "subscribed", "out", None)),
    (True, EU, ("subscribed", None, "out", None)),
    (True, UNKNOWN, ("subscribed", None, "out", None)),
    (False, NON_EU, (None, None, "out", None)),
    (False, EU, (None, None, "out", None)),
    (False, UNKNOWN, (None, None, "out", None)),
]
SMS_TABLE = [(True, ("subscribed", None, "out", None)), (False, (None, None, "out", None))]
OUT = [("leave", None), ("unsubscribe", "unsubscribed")]


def _in(region: Region) -> RegionReading:
    return RegionReading(region, "country")


@table(("on_opt_out", "out"), OUT)
@table(("auto", "region", "row"), EMAIL_TABLE)
def test_email_status(
    auto: bool, region: Region, row: Any, on_opt_out: str, out: str | None
) -> None:
    """The email channel gets the status of the table, or none."""
    held = some_terms(auto_subscribe=auto, on_opt_out=on_opt_out)
    made = [
        email_status(OptInReading(each), held, _in(region), None)
        for each in (YES, NULL, NO, UNCLEAR)
    ]
    assert made == [out if cell == "out" else cell for cell in row]


@pytest.mark.parametrize(("on_opt_out", "out"), OUT)
@pytest.mark.parametrize(("auto", "row"), SMS_TABLE)
@pytest.mark.parametrize("null_is_consent", [True, False])
def test_sms_status(
    auto: bool, row: Any, on_opt_out: str, out: str | None, null_is_consent: bool
) -> None:
    """SMS is subscribed by a spoken yes alone, wherever the person is."""
    held = some_terms(auto_subscribe=auto, on_opt_out=on_opt_out, null_is_consent=null_is_consent)
    made = [sms_status(OptInReading(each), held, None) for each in (YES, NULL, NO, UNCLEAR)]
    assert made == [out if cell == "out" else cell for cell in row]


@pytest.mark.parametrize("region", Region)
def test_null_is_consent(region: Region) -> None:
    """Where the customer says so, a null counts as yes: for email, with `auto_subscribe`."""
    loose = some_terms(null_is_consent=True)
    silent = some_terms(null_is_consent=True, auto_subscribe=False)
    assert email_status(OptInReading(NULL), loose, _in(region), None) == "subscribed"
    assert email_status(OptInReading(UNCLEAR), loose, _in(region), None) is None
    assert email_status(OptInReading(NO), loose, _in(region), None) is None
    assert email_status(OptInReading(NULL), silent, _in(region), None) is None


@table(
    "country",
    [
        {"country_code": "Elbonia"},
        {"country_code": ["DE"]},
        {"country_code": "XX"},
        {"country_code": "DE", "url_params": "country_code=DE"},
        {"countryCode": "DE"},
        {"country.code": "Germany", "country_code": None},
        {"country_code": "US", "countrycode": "FR"},
        {"countryCode": "Elbonia"},
        {"country": "CA"},
        {"Country Name": "Switzerland"},
        {"place": {"countryCode": "DE"}},
        {"answers": [{"name": "country_code", "value": "DE"}]},
        {"answers": [["Country", {"code": "CA"}]]},
        {"country_code": "US", "answers": [{"id": "countryCode", "value": ["FR"]}]},
        {"answers": [{"name": "aws_region", "value": "eu-west-1"}]},
    ],
)
def test_silence_is_no_consent_where_the_country_is_in_doubt(country: dict[str, Any]) -> None:
    """A country that is not understood, or that the URL may have given, leaves null alone."""
    source = JebbitSource(webhook_secrets=[SecretStr("s")])
    reading = read_region(Submission(country), source, DEFAULT_JURISDICTIONS)
    assert (reading.region, reading.doubtful) == (Region.NON_EU, True)
    held = some_terms()
    assert email_status(OptInReading(NULL), held, reading, None) is None
    assert email_status(OptInReading(YES), held, reading, None) == "subscribed"


@pytest.mark.parametrize(
    "country",
    [
        {"countryCode": "US"},
        {"country": "US"},
        {"country_code": "US", "country": "DE"},  # an answer of a quiz, perhaps
        {"country_code": "US", "countryCode": ""},
        {"answers": [{"id": "country", "label": "Where from?", "value": "US", "number": 7}]},
        {"countries": "DE"},
        {},
    ],
)
def test_what_hints_at_no_strict_country_is_no_doubt(country: dict[str, Any]) -> None:
    source = JebbitSource(webhook_secrets=[SecretStr("s")])
    reading = read_region(Submission(country), source, DEFAULT_JURISDICTIONS)
    assert (reading.region, reading.doubtful) == (Region.NON_EU, False)


@table("region", Region)
@table("said", Answer)
def test_hidden_answer_changes_nothing(region: Region, said: Answer) -> None:
    """An answer that the URL may have given sets no status, whatever the terms."""
    held = some_terms(on_opt_out="unsubscribe", null_is_consent=True)
    hidden = OptInReading(said, "opt_in", doubt="url_params holds it")
    assert email_status(hidden, held, _in(region), None) is None
    assert sms_status(hidden, held, None) is None


@pytest.mark.parametrize(
    ("answers", "forced"),
    [
        *(([YES], True), ([YES, YES], True), ([YES, NULL], False), ([NULL, YES], False)),
        *(([NULL], False), ([], False), ([NO], False), ([UNCLEAR, YES], False)),
    ],
)
def test_force(answers: list[Answer], forced: bool) -> None:
    """Resubscribing takes a yes behind every status sent as subscribed, and the customer's word."""
    readings = [OptInReading(each) for each in answers]
    assert may_force(some_terms(resubscribe="explicit_opt_in"), readings, 0.0) is forced
    assert may_force(some_terms(resubscribe="never"), readings, 0.0) is False


# --- sessions


@table(
    ("include", "exclude", "given", "reason"),
    [
        ([], [], {}, None),
        ([], [], {"campaign_id": "1"}, None),
        (["1"], [], {"campaign_id": "1"}, None),
        (["1"], [], {"campaign_id": 1}, None),
        (["SPRING quiz"], [], {"campaign_name": " spring  Quiz "}, None),
        (["Spring"], [], {"Campaign Name": "spring"}, None),
        (["1"], [], {"campaign_id": "2", "campaign_name": "1"}, None),
        (["1"], [], {"campaign_id": "2"}, "campaign_not_included"),
        (["1"], [], {"campaign_name": "Spring"}, "campaign_not_included"),
        (["1"], [], {}, "campaign_unknown"),
        (["1"], [], {"campaign_id": "", "campaign_name": None}, "campaign_unknown"),
        ([], ["1"], {"campaign_id": "1", "campaign_name": "Spring"}, "campaign_excluded"),
        ([], ["spring"], {"campaign_id": "1", "campaign_name": "Spring"}, "campaign_excluded"),
        ([], ["1"], {"campaign_id": "11"}, None),
        ([], ["1"], {}, None),
        (["Spring"], ["1"], {"campaign_id": "1", "campaign_name": "Spring"}, "campaign_excluded"),
        *(
            ([], ["1"], {"campaign_id": each}, "campaign_excluded")
            for each in (1.0, '"1"', '["1"]')
        ),
        ([], ["1"], {"campaignId": "1"}, "campaign_excluded"),
        ([], ["1"], {"campaign_id": "1", "campaign_name": ["Spring"]}, "campaign_excluded"),
        ([], ["1"], {"campaign_id": 1.4}, None),
        ([], ["1"], {"campaign": {"campaign_id": "1"}}, "campaign_excluded"),
        (
            [],
            ["spring"],
            {"a": [{"name": "campaign_name", "value": "Spring"}]},
            "campaign_excluded",
        ),
        ([], ["1"], {"a": {"number": "1"}, "campaignId": "2"}, None),
        (["1"], [], {"campaignId": "1"}, "campaign_unknown"),
    ],
)
def test_campaigns(
    make_integration: Make, include: Any, exclude: Any, given: Any, reason: str | None
) -> None:
    """Campaigns count by id or name, case aside; to be excluded outweighs to be included."""
    source = make_integration(jebbit={"campaigns": {"include": include, "exclude": exclude}}).jebbit
    assert refuse_session(Submission(given), source) == reason


@table(
    ("given", "reason"),
    [
        *(({"is_completed": each}, "not_completed") for each in (False, "false", "False", 0, "no")),
        *(({"Is Valid": each}, "not_valid") for each in (False, "false", "0")),
        ({"is_completed": False, "is_valid": False}, "not_completed"),
        *(({"is_completed": each}, None) for each in (True, "true", None, "", "maybe", 1)),
        ({"is_valid": True, "is_completed": True}, None),
        *(({"is_valid": each}, "not_valid") for each in ([True, False], {"email": "no"}, '"no"')),
        *(({"isCompleted": each}, "not_completed") for each in (False, "no", {"value": 0})),
        ({"is_valid": True, "isValid": False}, "not_valid"),
        ({"phone": {"is_valid": False}, "isValid": "maybe"}, None),  # the phone's
    ],
)
def test_sessions_that_do_not_count(make_integration: Make, given: Any, reason: Any) -> None:
    """A session that says it is not completed or not valid is skipped; silence is no refusal."""
    assert refuse_session(Submission(given), make_integration().jebbit) == reason


def test_campaign_speaks_before_completion(make_integration: Make) -> None:
    """A campaign that is not meant is the first reason to be told."""
    source = make_integration(jebbit={"campaigns": {"exclude": ["1"]}}).jebbit
    given = Submission({"campaign_id": "1", "is_completed": False})
    assert refuse_session(given, source) == "campaign_excluded"
