"""The edges of policy and plan: the last second that still counts, and the first that does not."""

from typing import Any

import pytest

from app.jebbit.submission import Submission, parse
from app.rules.contact import Identity
from app.rules.integration import Integration
from app.rules.jurisdictions import DEFAULT_JURISDICTIONS
from app.rules.plan import Circumstances, Skip, Upsert, facts, plan, would_map
from app.rules.policy import (
    NO_REFUSALS,
    OptInReading,
    Refusals,
    Region,
    RegionReading,
    SkipReason,
    believed,
    email_status,
    may_force,
    may_join,
    read_countries,
    read_opt_in,
    read_region,
    refusals_of,
    refuse_session,
)
from app.rules.values import Answer
from tests.rules.test_policy import some_terms
from tests.table import table

YES, NULL, NO, UNCLEAR = Answer.YES, Answer.NULL, Answer.NO, Answer.UNCLEAR
NOW, DAY = 1_750_000_000.0, 24 * 3600.0
ANN = {"email": "ann@example.com", "country_code": "US"}
PHONE = {"phone": "+1 617 555 0123"}
MAPPING = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone", "field": "channels.sms.address"},
]


def reading(answer: Answer = YES, at: float = NOW, **more: Any) -> OptInReading:
    return OptInReading(answer, "opt_in", None, more.pop("doubt", None), at, at, **more)


def region_of(given: dict[str, Any], integration: Integration, **more: Any) -> RegionReading:
    return read_region(Submission(given), integration.jebbit, DEFAULT_JURISDICTIONS, **more)


def decided(integration: Integration, given: dict[str, Any], **more: Any) -> Any:
    how = {"received_at": NOW, "now": NOW, **more}
    return plan(Submission(given), integration, **how)


def asked(made: Any) -> tuple[Any, Any]:
    assert isinstance(made, Upsert)
    statuses = made.evidence.statuses
    return statuses.email, statuses.sms


def codes(made: Any) -> list[str]:
    return [each.code for each in made.warnings]


# --- What a yes is worth, and until when


@pytest.mark.parametrize(("age", "forces"), [(0.0, True), (DAY, True), (DAY + 1, False)])
def test_a_yes_forces_for_a_day(age, forces):
    held = some_terms(resubscribe="explicit_opt_in")
    assert may_force(held, [reading(at=NOW - age)], NOW) is forces


def test_an_answer_without_a_time_is_older_than_any():
    silent = OptInReading(YES)
    assert (silent.given_from, silent.given_until, silent.alike) == (0.0, 0.0, False)


@pytest.mark.parametrize(
    ("said_no", "status"), [(NOW - 1, "subscribed"), (NOW, None), (NOW + 1, None)]
)
def test_only_a_yes_that_is_newer_than_the_no_counts(said_no, status):
    """Of the same second, nobody knows which was last."""
    made = email_status(reading(), some_terms(), RegionReading(Region.NON_EU, "country"), said_no)
    assert made == status


@pytest.mark.parametrize("reading_of", [{"doubtful": True}, {"express": True}])
def test_silence_is_no_consent_of_a_doubtful_country_whatever_the_customer_says(reading_of):
    held = some_terms(null_is_consent=True)
    where = RegionReading(Region.EU, "country", **reading_of)
    assert email_status(reading(NULL), held, where, None) is None


@table(
    ("need", "answer", "doubt", "joins"),
    [
        *((None, each, doubt, True) for each in Answer for doubt in (None, "in the URL")),
        *(("yes", each, None, each is YES) for each in Answer),
        *(("not_no", each, None, each in (YES, NULL)) for each in Answer),
        *((need, each, "in the URL", False) for need in ("yes", "not_no") for each in Answer),
    ],
)
def test_who_may_be_put_on_a_list(need, answer, doubt, joins):
    assert may_join(need, reading(answer, doubt=doubt)) is joins


# --- A no, and since when


@pytest.mark.parametrize("answer", Answer)
@pytest.mark.parametrize("doubt", [None, "in the URL"])
def test_a_refusal_is_a_no_that_is_believed(answer, doubt):
    assert reading(answer, doubt=doubt).is_refusal is (answer is NO and doubt is None)


def test_a_no_is_remembered_for_its_own_channel():
    at = {"at": NOW - 5}
    assert refusals_of(reading(), reading(NULL)) == NO_REFUSALS
    assert refusals_of(reading(NO, **at), reading()) == Refusals(email=NOW - 5)
    assert refusals_of(reading(), reading(NO, **at)) == Refusals(sms=NOW - 5)
    assert refusals_of(reading(NO), reading(NO, **at)) == Refusals(NOW, NOW - 5)
    assert refusals_of(reading(NO, doubt="in the URL"), reading(NO)) == Refusals(sms=NOW)
    assert refusals_of(reading(NO), reading(NO, doubt="in the URL")) == Refusals(email=NOW)


def test_the_latest_time_of_a_no_counts_and_the_earliest_of_a_yes(make_integration):
    """Where two spellings of the date differ."""
    dates = {"experience_date": NOW - 100, "Experience Date": NOW - 50}
    integration = make_integration(mapping=MAPPING)
    made = facts(Submission({**ANN, "opt_in": "no", **dates}), integration, NOW)
    assert made.refusals == Refusals(email=NOW - 50)
    assert made.occurred_at == NOW - 100
    assert (made.answers[0].given_from, made.answers[0].given_until) == (NOW - 100, NOW - 50)
    assert decided(integration, {**ANN, "opt_in": "no"}).evidence.refusals == Refusals(email=NOW)


def test_without_a_date_an_answer_is_of_its_receipt(make_integration):
    """With a blank one too; with one that is not understood, of any time before it."""
    integration = make_integration(mapping=MAPPING)
    for given, times in (
        ({}, (NOW, NOW)),
        ({"experience_date": ""}, (NOW, NOW)),
        ({"experience_date": "some day"}, (0.0, NOW)),
        ({"experienceDate": "2020-01-01"}, (0.0, NOW)),
        ({"experienceDate": "2020-01-01", "experience_date": NOW - 5}, (NOW - 5, NOW - 5)),
        ({"answers": {"experience_date": 1}}, (0.0, NOW)),
        ({"answers": [["experience_date", "2020-01-01"]]}, (0.0, NOW)),
        ({"answers": [["experience_date", "of the party", 2, ""]]}, (NOW, NOW)),
        ({"experienceDate": ""}, (NOW, NOW)),
        ({"experience_date": "", "url_params": "experience_date="}, (0.0, NOW)),
    ):
        answer = facts(Submission({**ANN, **given}), integration, NOW).answers[0]
        assert (answer.given_from, answer.given_until) == times, given


@pytest.mark.parametrize(
    ("date", "first", "last"),
    [
        ("2025-06-14", NOW - 140_800, NOW - 54_400.001),
        ("2025-06-14 UTC", NOW - 140_800, NOW - 54_400.001),
        ("2025-06-15", NOW - 54_400, NOW),  # never later than received
        ("2025-06-14 12:00", NOW - 97_600, NOW - 97_540.001),
        ("2025-06-14 12:00:00", NOW - 97_600, NOW - 97_600),
        (NOW - 97_600, NOW - 97_600, NOW - 97_600),
        ("9999-12-31", 0.0, NOW),
    ],
)
def test_a_day_is_as_long_as_a_day(make_integration, date, first, last):
    """Of a date without a time of day, a yes counts as of its first moment, a no as of its last."""
    made = facts(
        Submission({**ANN, "opt_in": "no", "experience_date": date}), make_integration(), NOW
    )
    answer = made.answers[0]
    assert (answer.given_from, answer.given_until) == (first, pytest.approx(last, abs=1e-6))
    assert made.refusals.email == answer.given_until
    assert made.occurred_at == (first or None)


@pytest.mark.parametrize(
    ("given", "trusted", "asked"),
    [
        ({}, [], ["loyalty_id", "shop_id"]),
        ({"page_url": "https://shop.example/?uid=c-1"}, [], ["shop_id"]),
        ({"page_url": "https://shop.example/?uid=c-1"}, ["uid"], ["loyalty_id", "shop_id"]),
        ({"url_params": "shop_id=s-1"}, [], ["loyalty_id"]),
        ({"url_params": "shop_id=s-1&UID=2"}, [], []),
        ({"url_params": "email=x"}, ["email"], ["loyalty_id", "shop_id"]),
        ({"url_params": "outcome=x&uid=c-1"}, [], ["shop_id"]),
        ({"uid": None, "url_params": "uid=c-1"}, [], ["loyalty_id", "shop_id"]),
    ],
)
def test_nobody_is_looked_for_by_what_stands_in_the_url(make_integration, given, trusted, asked):
    """Anybody could write another person's key there; also where it flows unmapped."""
    integration = make_integration(
        cordial={"identify_by": ["loyalty_id", "shop_id", "member"]},
        jebbit={"trusted_url_params": trusted},
        mapping=[
            *MAPPING,
            {"attribute": "uid", "field": "loyalty_id"},
            {"attribute": "outcome", "field": "quiz_outcome"},
            {"attribute": "card", "field": "member"},
        ],
        unmapped="known",
    )
    keys = {"uid": "c-1", "shop_id": "s-1", "outcome": "Bold", "card": "m-1"}
    made = decided(integration, {**ANN, **keys, **given}, account_attributes={"shop_id": "string"})
    assert made.body["identifyBy"] == [*asked, "member"]
    assert {each.field for each in made.warnings} == {"loyalty_id", "shop_id"} - {*asked}
    for each in made.warnings:
        assert each.code == "identify_by_not_believed"
        assert each.attribute in each.detail
        assert each.field in each.detail
    sent = made.body.get("loyalty_id"), made.body["shop_id"], made.body["quiz_outcome"]
    assert sent == ({**keys, **given}["uid"], "s-1", "Bold")


@pytest.mark.parametrize(
    ("given", "sent", "asked"),
    [
        ({"uid": "c-1"}, "c-1", True),
        ({}, "none", False),
        ({"uid": None}, "none", False),
        ({"uid": " "}, "none", False),
        ({"uid": "undefined"}, "none", False),
        ({"uid": "{{uid}}"}, "none", False),
    ],
)
def test_nobody_is_looked_for_by_a_default(make_integration, given, sent, asked):
    """Many share it: Cordial would give the first of them the address of each other one."""
    integration = make_integration(
        cordial={"identify_by": ["loyalty_id"]},
        mapping=[*MAPPING, {"attribute": "uid", "field": "loyalty_id", "default": "none"}],
    )
    made = decided(integration, {**ANN, **given})
    assert made.body["loyalty_id"] == sent
    assert made.body.get("identifyBy") == (["loyalty_id"] if asked else None)
    told = [each for each in made.warnings if each.code == "identify_by_default"]
    assert [(each.attribute, each.field) for each in told] == [("uid", "loyalty_id")] * (not asked)
    assert all(each.detail.startswith("loyalty_id has its rule's default") for each in told)


def test_nobody_is_looked_for_by_a_constant(make_integration):
    """All share it."""
    integration = make_integration(
        cordial={"identify_by": ["signup_source"]},
        mapping=[*MAPPING, {"field": "signup_source", "default": "jebbit"}],
    )
    assert "identifyBy" not in decided(integration, ANN).body


def test_nobody_is_looked_for_by_an_answer(make_integration):
    """Everybody who says the same shares it: in the opt-in's own field, or on a list."""
    integration = make_integration(
        cordial={"identify_by": ["answered", "weekly", "known", "loyalty_id"]},
        policy={"opt_in_field": "answered"},
        mapping=[
            *MAPPING,
            {"attribute": "news", "field": "weekly", "type": "list"},
            {"attribute": "uid", "field": "loyalty_id"},
        ],
        unmapped="known",
    )
    given = {**ANN, "opt_in": "yes", "news": "yes", "known": True, "uid": "c-1"}
    made = decided(integration, given, account_attributes={"known": "list"})
    assert made.body["answered"] == "yes"
    assert made.body["weekly"] is made.body["known"] is True
    assert made.body["identifyBy"] == ["loyalty_id"]
    told = [(each.code, each.attribute, each.field) for each in made.warnings]
    assert told == [
        ("identify_by_answer", "opt_in", "answered"),
        ("identify_by_answer", "news", "weekly"),
        ("identify_by_answer", "known", "known"),
    ]


def test_nobody_is_looked_for_by_a_copy_of_an_answer(make_integration):
    """Nor where a rule writes it to another field, however the name is spelled."""
    integration = make_integration(
        cordial={"identify_by": ["mails", "texts", "left", "loyalty_id"]},
        jebbit={"attributes": {"opt_in": "news please", "sms_opt_in": "sms_ok"}},
        mapping=[
            *MAPPING,
            {"attribute": "News Please", "field": "mails"},
            {"attribute": "smsOk", "field": "texts"},
            {"attribute": "email_opt_out", "field": "left"},
            {"attribute": "uid", "field": "loyalty_id"},
        ],
    )
    answers = {"news please": "yes", "smsOk": "yes", "email_opt_out": "no"}
    made = decided(integration, {**ANN, **answers, "uid": "c-1"})
    assert made.body["identifyBy"] == ["loyalty_id"]
    told = [(each.code, each.field) for each in made.warnings]
    assert told == [("identify_by_answer", each) for each in ("mails", "texts", "left")]
    assert all(each.detail.startswith(f"{each.field} holds a yes or no") for each in made.warnings)


@pytest.mark.parametrize("part", ["city", "loc.lat"])
@pytest.mark.parametrize("whole", [True, False])
def test_nobody_is_looked_for_by_a_place_of_which_a_part_stands_in_the_url(
    make_integration, part, whole
):
    """It is as little to be believed as its part."""
    field = f"home.{part}"
    key = "home" if whole else field
    integration = make_integration(
        cordial={"identify_by": [key]},
        mapping=[*MAPPING, {"attribute": "where", "field": field, "type": "geo"}],
    )
    given = {**ANN, "where": "41.9"}
    assert decided(integration, given).body["identifyBy"] == [key]
    made = decided(integration, {**given, "page_url": "https://shop.example/?where=41.9"})
    assert "identifyBy" not in made.body
    assert [each.code for each in made.warnings] == ["identify_by_not_believed"]


def test_an_older_no_looks_for_its_person_by_the_address_alone(make_integration):
    """Nothing else is sent of it; the answer in its field is everybody's."""
    integration = make_integration(
        cordial={"identify_by": ["answered", "loyalty_id"]},
        policy={"opt_in": "everyone", "on_opt_out": "unsubscribe", "opt_in_field": "answered"},
        mapping=[*MAPPING, {"attribute": "uid", "field": "loyalty_id"}],
    )
    made = decided(integration, {**ANN, "opt_in": "no", "uid": "c-1"}, stale=True)
    assert made.body["answered"] == "no"
    assert "identifyBy" not in made.body


@pytest.mark.parametrize("refused_at", [None, NOW + 1])
def test_the_opt_in_field_is_filled_by_the_answer_alone(make_integration, refused_at):
    """No attribute of its name flows into it: a yes from before a no would."""
    integration = make_integration(policy={"opt_in_field": "opt_in"}, unmapped="known")
    given, known = {**ANN, "opt_in": "TRUE", "x": "y"}, {"opt_in": "string", "x": "string"}
    refusals = Refusals(email=refused_at)
    made = decided(integration, given, refusals=refusals, account_attributes=known)
    assert made.body["x"] == "y"
    assert made.body.get("opt_in") == (None if refused_at else "yes")


@table(
    ("given", "answer"),
    [
        *(({key: "no"}, UNCLEAR) for key in ("opt_in", "emailOptIn", "subscribe")),
        *(({key: "yes"}, UNCLEAR) for key in ("opt_out", "unsubscribe", "Email Opt-Out")),
        ({"a": {"name": "opt_in", "value": "no"}}, UNCLEAR),
        ({"a": {"opt_out": True}}, UNCLEAR),
        ({"sms_ok": "no", "sms_opt_out": "yes"}, NULL),
        ({"opt_in": "yes", "opt_out": "no", "outcome": "no"}, NULL),
        ({}, NULL),
    ],
)
def test_a_no_is_heard_where_no_opt_in_is_named(make_integration, given, answer):
    """The customer says that nobody is asked; somebody was, and answered."""
    names = {"opt_in": None, "sms_opt_in": "sms_ok"}
    integration = make_integration(jebbit={"attributes": names})
    said, _ = facts(Submission({**ANN, **given}), integration, NOW).answers
    assert said.answer is answer
    assert said.trusted
    assert (said.given_from, said.given_until) == (NOW, NOW)
    if answer is UNCLEAR:
        assert said.alike
        assert said.attribute
        assert said.value in ("no", "yes", True)


@pytest.mark.parametrize("email", [None, ""])
@pytest.mark.parametrize("sms", [None, ""])
def test_what_is_said_where_no_opt_in_is_named_is_of_email(make_integration, email, sms):
    """A blank name is none, and no name of the other channel."""
    integration = make_integration(jebbit={"attributes": {"opt_in": email, "sms_opt_in": sms}})
    for key, answer in (("email_opt_out", UNCLEAR), ("sms_opt_out", NULL)):
        said, of_texts = facts(Submission({**ANN, key: "yes"}), integration, NOW).answers
        assert said.answer is answer
        assert of_texts.answer is NULL


@pytest.mark.parametrize(("ahead", "occurred"), [(0, NOW), (1, NOW), (DAY, NOW), (DAY + 1, None)])
def test_clocks_may_differ_by_a_day(make_integration, ahead, occurred):
    """A time within it is that of the receipt at the latest; one further ahead is none."""
    given = Submission({**ANN, "experience_date": NOW + ahead})
    assert facts(given, make_integration(), NOW).occurred_at == occurred


# --- Where somebody is


def test_what_the_url_holds_is_not_believed(make_integration):
    source = make_integration().jebbit
    given = Submission({"opt_in": "yes", "outcome": "Bold", "url_params": "opt_in=yes"})
    assert believed(given.find("opt_in"), source) is None
    found = given.find("outcome")
    assert believed(found, source) is found
    assert found is not None
    assert believed(None, source) is None


def test_a_blank_country_is_none_named(make_integration):
    assert list(read_countries(Submission({"country_code": " "}), make_integration().jebbit)) == []


def test_countries_that_were_read_already_are_not_read_again(make_integration):
    made = region_of({"country_code": "US"}, make_integration(), countries=["FR"])
    assert (made.region, made.value) == (Region.EU, "FR")


def test_without_names_for_them_country_and_region_are_the_integrations_own(make_integration):
    """What stands under usual names of a country leaves doubt all the same."""
    integration = make_integration(jebbit={"attributes": {"country": None, "region": None}})
    given = {"country_code": "DE", "aws_region": "eu", "awsRegion": "eu"}
    assert list(read_countries(Submission(given), integration.jebbit)) == []
    for held, doubtful in ((given, True), ({"aws_region": "eu", "awsRegion": "eu"}, False)):
        made = region_of(held, integration)
        told = (made.region, made.decided_by, made.doubtful)
        assert told == (Region.NON_EU, "integration", doubtful)
    made = region_of(
        {"aws_region": "eu", "country_code": "DE"},
        make_integration(jebbit={"attributes": {"country": "land"}}),
    )
    assert (made.decided_by, made.doubtful) == ("region", True)
    made = region_of(
        {"country_code": "DE"}, make_integration(jebbit={"attributes": {"country": "land"}})
    )
    assert (made.decided_by, made.doubtful) == ("integration", True)


@pytest.mark.parametrize(
    ("countries", "region", "value", "doubtful"),
    [
        (["US"], Region.NON_EU, "US", False),
        (["US", "NZ", "AU", "MX", "JP", "CL"], Region.NON_EU, "AU", True),
        (["US", "AU"], Region.NON_EU, "AU", True),
        (["US", "FR", "AU", "DE"], Region.EU, "DE", True),
        (["US", None], Region.NON_EU, "US", True),
        (["US", "US"], Region.NON_EU, "US", False),
    ],
)
def test_of_several_countries_the_strictest_counts(
    make_integration, countries, region, value, doubtful
):
    """Of those the first by name; two different ones leave doubt."""
    made = region_of({}, make_integration(), countries=countries)
    assert (made.region, made.value, made.doubtful) == (region, value, doubtful)


@pytest.mark.parametrize(
    ("given", "region", "by", "doubtful"),
    [
        ({"aws_region": "eu-west-1"}, Region.EU, "region", False),
        ({"aws_region": "us", "AWS Region": "mars"}, Region.NON_EU, "region", True),
        ({"aws_region": ""}, Region.NON_EU, "integration", False),
        ({"aws_region": "mars"}, Region.NON_EU, "integration", True),
        ({"aws_region": "", "url_params": "aws_region="}, Region.NON_EU, "integration", True),
        ({"aws_region": "eu", "url_params": "aws_region=eu"}, Region.NON_EU, "integration", True),
        ({"aws_region": "us", "awsRegion": "eu-west-1"}, Region.NON_EU, "region", True),
        ({"aws_region": "us", "awsRegion": "us-east-1"}, Region.NON_EU, "region", False),
        ({"aws_region": "us", "awsRegion": ""}, Region.NON_EU, "region", False),
        ({"aws_region": "", "place": {"AWS region": "mars"}}, Region.NON_EU, "integration", True),
    ],
)
def test_a_region_that_is_not_understood_or_not_believed_leaves_doubt(
    make_integration, given, region, by, doubtful
):
    made = region_of(given, make_integration(jebbit={"region": "us"}))
    assert (made.region, made.decided_by, made.doubtful) == (region, by, doubtful)
    assert made.value == (given["aws_region"] if by == "region" else "us")


def test_where_nothing_says_it_the_doubt_stays(make_integration):
    integration = make_integration(jebbit={"region": None})
    for given, doubtful in (({}, False), ({"country_code": "Elbonia"}, True)):
        made = region_of(given, integration)
        assert (made.region, made.decided_by, made.doubtful) == (
            Region.UNKNOWN,
            "nothing",
            doubtful,
        )


@pytest.mark.parametrize(
    ("country", "doubtful"),
    [("EU", True), ("DE", True), ("CA", True), ("Elbonia", True), ("US", False)],
)
def test_a_key_that_only_seems_to_hold_the_country_leaves_doubt(
    make_integration, country, doubtful
):
    """Where people of that country, or of one that is not understood, are asked for a yes."""
    integration = make_integration(jebbit={"region": "us"})
    for given in (
        {"countryCode": country},
        {"place": {"country": country}},
        *(
            {f"{of}country": country}
            for of in ("", "ip_", "geo_", "user_", "shipping_", "billing_")
        ),
        *({"country_name": country}, {"country_code": None, "Country": country}),
    ):
        made = region_of(given, integration)
        assert (made.region, made.doubtful) == (Region.NON_EU, doubtful), given
    for given in ({"ip_country": country}, {"place": {"country": country}}):
        assert not region_of({"country_code": "US", **given}, integration).doubtful, given


@table(
    ("given", "doubtful"),
    [
        *(
            ({key: country}, doubtful)
            for key in (
                "country_of_residence",
                "Home Country",
                "deliveryCountryCode",
                "Your country",
            )
            for country, doubtful in (("Germany", True), ("CA", True), ("US", False), ("hm", False))
        ),
        ({"answers": {"country_of_residence": "France"}}, True),
        ({"home_country": ["US", "DE"]}, True),
        ({"home_country": "Germany", "country_code": "US"}, False),
        ({"country_music": "no", "likes_country_music": "Germany", "countryside": "FR"}, False),
    ],
)
def test_any_key_that_names_a_country_leaves_doubt(make_integration, given, doubtful):
    """Where nothing that was agreed on names one; what is no country leaves none."""
    made = region_of(given, make_integration(jebbit={"region": "us"}))
    assert (made.region, made.doubtful) == (Region.NON_EU, doubtful)


# --- What was answered, and in which campaign


def test_of_several_objections_the_first_is_told(make_integration):
    given = Submission({"opt_in": "yes", "optIn": "no", "opt.in": "no"})
    made = read_opt_in(given, "opt_in", make_integration().jebbit, (NOW, NOW))
    assert (made.answer, made.attribute, made.alike) == (UNCLEAR, "optIn", True)


BOTH = {
    "attributes": {"sms_opt_in": "sms_ok"},
    "opt_in_labels": {
        "true": ["ja", "no worries, sign me up"],
        "false": ["no thanks", "unsubscribe-from-news"],
    },
}
OUT = ("opt_out", "optOut", "opted_out", "email_opt_out", "Unsubscribe", "unsubscribed_from_mail")


@table(
    ("given", "refusals"),
    [
        ({"opt_out": "yes"}, Refusals(NOW, NOW)),
        ({"email_opt_out": "yes"}, Refusals(NOW, None)),
        ({"sms_opt_out": "yes", "sms_ok": "yes"}, Refusals(None, NOW)),
        ({"smsOk": "no", "sms_ok": "yes"}, Refusals(None, NOW)),
        ({"unsubscribed_at": "2026-03-04"}, Refusals(NOW, NOW)),
        ({"opt_out": "no", "smsOk": "yes", "email_opt_in": "no", "sms_ok": None}, Refusals()),
        ({"opt_out": "yes", "url_params": "opt_out=yes"}, Refusals()),
        *(
            ({"opt_in": said}, Refusals(NOW, None))
            for said in ("No, thank you", "I don't want emails", ["Not now"], {"value": "no"})
        ),
        ({"optIn": "Not now", "sms_ok": "Stop it"}, Refusals(NOW, NOW)),
        ({"opt_in": "Maybe", "sms_ok": "Notify me"}, Refusals()),
        ({"opt_in": "No worries, sign me up"}, Refusals()),  # a label of the customer's for yes
        ({"a": {"name": "opt_in", "value": "no"}, "opt_in": "yes"}, Refusals(NOW, None)),
        ({"opt_in": "yes", "opt_out": "yes", "url_params": "opt_in=yes"}, Refusals(NOW, NOW)),
    ],
)
def test_an_opt_out_under_any_name_counts_as_the_newest_no(make_integration, given, refusals):
    """Of its channel, or of both; not if it may come from the page's URL."""
    integration = make_integration(jebbit=BOTH)
    assert facts(Submission({**ANN, **given}), integration, NOW).refusals == refusals


def test_an_older_opt_out_under_any_name_is_not_sent(make_integration):
    """It is no no that could unsubscribe; what it leaves of older answers the ledger knows."""
    made = decided(make_integration(), {**ANN, "opt_in": "yes", "opt_out": "yes"}, stale=True)
    assert made.reason is SkipReason.OPT_IN_UNCLEAR
    everyone = make_integration(policy={"opt_in": "everyone", "opt_in_field": "answered"})
    made = decided(everyone, {**ANN, "opt_in": "yes", "opt_out": "yes"}, stale=True)
    assert made.reason is SkipReason.STALE


@table(
    ("given", "answer"),
    [
        *(({key: True}, UNCLEAR) for key in (*OUT, "opt_out_1")),
        *(({key: "yes", "opt_in": "yes"}, UNCLEAR) for key in OUT),
        *(({key: said}, NULL) for key in OUT for said in ("no", False, None, "", "hm", 2, {})),
        *(({key: "no", "opt_in": "yes"}, YES) for key in OUT),
        *(
            ({"email_opt_out": said, "opt_in": own}, UNCLEAR)
            for said in (
                "opted out",
                "Unsubscribed",
                "Unsubscribe.",
                "Please opt me out",
                "opt_me_out",
                "I opt-out",
                "My unsubscription, please",
            )
            for own in ("yes", None)
        ),
        ({"opt_out": "Unsubscribe me from news and/or offers"}, UNCLEAR),
        *(
            ({"opt_out": said, "opt_in": own}, UNCLEAR)
            for said in (
                *("STOP", "StopAll", "Cancel", "END", "Quit", "Unsubscribe-from-news"),
                *("I don't want emails", "I don\u2019t want emails", "I dont want emails"),
                *("Do not email me", "Remove me, please", "No more emails", "Take me off the list"),
                *(["Please stop"], {"value": "Never again"}),
            )
            for own in ("yes", None)
        ),
        *(
            ({"opt_out": said, "opt_in": "yes"}, YES)
            for said in (
                "No, keep me",
                "Keep me subscribed",
                "nonstop offers",
                "weekend",
                "stop.co",
            )
        ),
        *(
            ({"unsubscribe": said, "opt_in": "yes"}, YES)
            for said in ("x.example/unsubscribe", "unsubscribe@x.example", "unsubscribe.x.example")
        ),
        *(
            ({"opt_out": said, "opt_in": own}, UNCLEAR)
            for said in ("Yes, unsubscribe me", "✓ unsubscribe", "YES! I do", "X", "Ja, abmelden")
            for own in ("yes", None)
        ),
        *(({"opt_out": said}, NULL) for said in ("yesterday I did", "yess, no", "Jan", "xx")),
        ({"opt_out": ["no"]}, NULL),
        ({"unsubscribe": "https://x.example/unsubscribe"}, NULL),  # what every mail has
        *(({key: True}, NULL) for key in ("sms_opt_out", "textOptOut", "push-opt-out", "sms_ok")),
        *(({key: "no"}, UNCLEAR) for key in ("email_opt_in", "subscribe", "opt_in_2", "optInto")),
        ({"email_opt_in": "No thanks"}, UNCLEAR),
        *(
            ({key: said}, UNCLEAR)
            for key in ("email_opt_in", "subscribe", "opting_in")
            for said in (
                *("No, thank you", "Not now", "Nope", "I don\u2019t want emails", "Please stop"),
                *("Do not email me", "Unsubscribe me", "Opt me out", ["I'd rather not"]),
                *("Please, no", "Opt-out, please", "not_now"),
            )
        ),
        *(({"email_opt_in": said}, NULL) for said in ("yes", "hm", None, "", "Don't miss out")),
        ({"email_opt_in": "Keep me posted, no spam"}, NULL),
        *(
            ({"email_opt_in": said}, NULL)
            for said in ("November", "Nothing but news", "Stopover", "Ino")
        ),
        ({"email_opt_in": "Not now", "opt_in": "yes"}, YES),
        *(
            ({key: "yes", "opt_in": own}, UNCLEAR)
            for key in ("opt_me_out", "Opting out", "do_not_email", "Don't contact me", "dontMail")
            for own in ("yes", None)
        ),
        *(({key: "no"}, NULL) for key in ("opt_me_out", "do_not_email")),
        *(({key: "yes"}, NULL) for key in ("do_not_call", "dont_text_me", "do_not_bend")),
        *(
            ({key: when}, UNCLEAR)
            for key in ("unsubscribed_at", "opt_out_date")
            for when in ("2026-03-04 10:00:00 UTC", "2026-03-04", 1_772_600_000)
        ),
        ({"unsubscribed_at": "2026-03-04", "opt_in": "yes"}, YES),
        ({"subscribed_at": "2026-03-04"}, NULL),
        ({"email_opt_in": "no", "opt_in": "yes"}, YES),
        ({"email_opt_in": "no", "opt_in": "no"}, NO),
        ({"opt_out": True, "opt_in": "hm"}, UNCLEAR),
        ({"sms_opt_in": "no"}, NULL),
        ({"smsOk": "no"}, NULL),
        ({"a": {"opt_out": "yes"}}, UNCLEAR),
        ({"a": '{"b": [{"emailOptOut": 1}]}'}, UNCLEAR),
        ({"a": ["email_opt_out", "yes"]}, UNCLEAR),
        ({"a": ["sms_ok", "no"], "b": {"id": "sms_opt_out", "c": True}}, NULL),
        *(({"a": [{"name": name, "value": "no"}]}, UNCLEAR) for name in ("opt_in", "optIn")),
        ({"a": {"name": "opt_in", "value": "no"}, "opt_in": "yes"}, UNCLEAR),
        ({"a": {"name": "opt_in", "value": "yes"}, "opt_in": "yes"}, YES),
        ({"a": {"name": "opt_in", "value": "yes"}}, UNCLEAR),
        ({"a": {"name": "opt_in", "value": None}}, NULL),
        ({"a": {"name": "opt_in"}}, NULL),
        ({"a": ["opt_in", "no"]}, UNCLEAR),
        ({"a": '[["opt_in", "no"]]'}, UNCLEAR),
        ({"a": '{"opt_in": "no"'}, NULL),
        ({"a": ' {"opt_in": "no"} '}, NO),
        ({"a": {"b": '{"opt_in": "no"}'}}, NO),
        ({"$metadata": {"opt_in": "no"}}, NULL),
        ({"$metadata": {"opt_in": "yes"}, "a": {"opt_in": "no"}}, NO),
        ({"a": "the [opt_in] is no"}, NULL),
    ],
)
def test_what_only_seems_to_speak_against_an_answer_makes_it_unclear(
    make_integration, given, answer
):
    """It subscribes nobody and unsubscribes nobody."""
    source = make_integration(jebbit=BOTH).jebbit
    assert read_opt_in(Submission(given), "opt_in", source, (NOW, NOW)).answer is answer


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        *(
            ({key: True, "sms_ok": "yes"}, UNCLEAR)
            for key in ("opt_out", "smsOptOut", "text_opt_out")
        ),
        *(({key: True, "sms_ok": "yes"}, YES) for key in ("email_opt_out", "newsletterOptOut")),
        ({"opt_in": "no", "sms_ok": "yes"}, YES),
    ],
)
def test_an_opt_out_that_tells_of_its_channel_is_about_that_channel(
    make_integration, given, answer
):
    source = make_integration(jebbit=BOTH).jebbit
    assert read_opt_in(Submission(given), "sms_ok", source, (NOW, NOW)).answer is answer


def test_what_is_written_twice_does_not_stand_together(make_integration):
    """A word for an answer is no name of the other value; but each is looked through."""
    source = make_integration(jebbit=BOTH).jebbit
    for given, answer in (
        ('"opt_in": "opt-out", "opt_in": "yes"', YES),
        ('"a": {"sms_opt_out": true}, "a": 1', UNCLEAR),
    ):
        [item] = parse(f'{{"sms_ok": "yes", {given}}}'.encode())
        assert read_opt_in(item.submission, "sms_ok", source, (NOW, NOW)).answer is answer


def test_an_opt_in_of_both_channels_is_that_of_email(make_integration):
    """What is said of texts alone does not make it unclear."""
    source = make_integration(jebbit={"attributes": {"sms_opt_in": "opt_in"}}).jebbit
    for key, answer in (("email_opt_out", UNCLEAR), ("sms_opt_out", YES)):
        given = Submission({"opt_in": "yes", key: True})
        assert read_opt_in(given, "opt_in", source, (NOW, NOW)).answer is answer


@pytest.mark.parametrize(
    ("campaigns", "given", "refused"),
    [
        ({"include": ["spring"]}, {"campaign_name": "Spring"}, None),
        ({"include": ["spring"]}, {"campaign_id": ["7"], "campaign_name": "Spring"}, None),
        ({"exclude": ["spring"]}, {"campaign_id": ["7"]}, SkipReason.CAMPAIGN_UNKNOWN),
        ({"exclude": ["spring"]}, {"campaign_id": "7"}, None),
    ],
)
def test_a_campaign_that_cannot_be_read_may_be_an_excluded_one(
    make_integration, campaigns, given, refused
):
    integration = make_integration(jebbit={"campaigns": campaigns})
    assert refuse_session(Submission(given), integration.jebbit) is refused


def test_a_campaign_has_its_name_alone_where_no_attribute_has_its_id(make_integration):
    attributes = {"campaign_id": None}
    integration = make_integration(
        jebbit={"campaigns": {"include": ["spring"]}, "attributes": attributes}
    )
    given = Submission({"campaign_id": "spring", "campaign_name": "Autumn"})
    refused = refuse_session(given, integration.jebbit)
    assert refused is SkipReason.CAMPAIGN_NOT_INCLUDED


# --- The plan


def test_a_plan_is_told_of_nothing_unless_it_is(make_integration):
    told = decided(make_integration(mapping=MAPPING), {**ANN, "opt_in": "yes"})
    assert told.evidence.circumstances == Circumstances(NOW, False, False, NO_REFUSALS, False)
    assert Circumstances(NOW) == Circumstances(NOW, False, False, NO_REFUSALS, False)


def test_an_identity_that_was_read_already_is_not_read_again(make_integration):
    integration = make_integration(mapping=MAPPING)
    given = {**ANN, "opt_in": "yes"}
    known = decided(integration, {**given, "email": "bob@example.com"}).evidence.identity
    made = decided(integration, given, identity=known)
    assert made.body["channels"]["email"]["address"] == "bob@example.com"
    assert isinstance(known, Identity)


def test_only_a_doubted_address_says_how_to_believe_it(make_integration):
    integration = make_integration(mapping=MAPPING)
    made = decided(integration, {**ANN, "url_params": "email=ann@example.com"})
    assert made.reason is SkipReason.UNTRUSTED_IDENTITY
    assert made.detail == (
        f"The address may come from the page's URL: {made.evidence.identity.doubt}. List the "
        "attribute in jebbit.trusted_url_params to believe it, then replay."
    )
    for given in ({}, {**ANN, "opt_in": "no"}):
        made = decided(integration, given)
        assert isinstance(made, Skip)
        assert made.detail is None


def test_a_person_known_by_phone_alone_gets_no_email_status(make_integration):
    integration = make_integration(mapping=MAPPING, cordial={"sms": {"program": "main"}})
    assert asked(decided(integration, {**PHONE, "opt_in": "yes", "country_code": "US"})) == (
        None,
        None,
    )


FORCING = {"resubscribe": "explicit_opt_in", "on_opt_out": "unsubscribe", "opt_in": "everyone"}
OF_BOTH = {
    "mapping": MAPPING,
    "cordial": {"sms": {"program": "main"}},
    "jebbit": {"attributes": {"sms_opt_in": "sms"}},
    "policy": {**FORCING, "opt_in_field": "opt_in_status"},
}


@pytest.mark.parametrize(
    ("said", "statuses"),
    [
        ({"opt_in": "no", "sms": "yes"}, ("unsubscribed", None)),
        ({"opt_in": "yes", "sms": "no"}, (None, "unsubscribed")),
        ({"opt_in": "no", "sms": "no"}, ("unsubscribed", "unsubscribed")),
    ],
)
def test_of_older_answers_only_the_no_is_sent(make_integration, said, statuses):
    """Nothing is forced, mapped or subscribed by them, and a warning says so."""
    integration = make_integration(**OF_BOTH)
    made = decided(integration, {**ANN, **PHONE, **said}, stale=True)
    assert asked(made) == statuses
    assert made.evidence.statuses.force is False
    assert made.evidence.mapping is None
    assert made.body.get("opt_in_status") == ("no" if said["opt_in"] == "no" else None)
    [warning] = made.warnings
    assert warning.code == "stale_no"
    assert warning.detail == (
        "Newer answers of this contact were delivered already. Of this older submission only the "
        "no was sent."
    )
    assert decided(integration, {**ANN, "opt_in": "yes"}, stale=True).reason is SkipReason.STALE


@pytest.mark.parametrize(
    ("said", "refused_at", "joined"),
    [
        ({"opt_in": "yes", "news": "yes"}, None, {"weekly", "silently"}),
        ({"opt_in": "yes", "news": "yes"}, NOW - 1, {"weekly", "silently"}),
        ({"opt_in": "yes", "news": "yes"}, NOW, set()),
        ({"news": "yes"}, None, {"weekly", "silently"}),
        ({"news": "yes"}, NOW - 1, {"weekly"}),
        ({"news": "yes"}, NOW, set()),
        ({"news": "{{news}}"}, NOW - 1, set()),
        ({"news": "null"}, NOW - 1, set()),
        ({"news": "null"}, None, {"weekly", "silently"}),
        ({"opt_in": "yes", "news": "yes", "experience_date": NOW - 50}, NOW - 1, set()),
    ],
)
def test_after_a_no_only_a_later_yes_joins_a_list(make_integration, said, refused_at, joined):
    """To the list or to email; what the customer asks for everybody takes none."""
    lists = [
        {"attribute": "news", "field": "weekly", "type": "list", "default": True},
        {"field": "silently", "type": "list", "default": True},
        {"field": "always", "type": "list", "default": True, "lists_need": None},
    ]
    integration = make_integration(mapping=[*MAPPING, *lists])
    made = decided(integration, {**ANN, **said}, refusals=Refusals(email=refused_at))
    assert {each for each in ("weekly", "silently", "always") if made.body.get(each)} == {
        *joined,
        "always",
    }


def test_a_phone_that_gets_no_texts_is_told(make_integration):
    integration = make_integration(**OF_BOTH)
    fixed = {**ANN, "phone": "+49 30 123456"}
    made = decided(integration, {**fixed, "opt_in": "yes", "sms": "yes"})
    assert asked(made) == ("subscribed", None)
    [warning] = made.warnings
    assert warning.detail == (
        "The phone number is of a kind that gets no texts (a fixed line, a premium or a free "
        "number); its SMS status was left alone."
    )
    assert made.evidence.statuses.force is True, "by the email's own yes"
    for said in ("no", None):  # nothing is left alone that was not asked for
        made = decided(integration, {**fixed, "opt_in": "yes", "sms": said})
        assert codes(made) == []
        assert made.evidence.statuses.force is True


@pytest.mark.parametrize(
    ("said", "on_opt_out", "by_another", "told"),
    [
        ({"sms": "no"}, "unsubscribe", True, True),
        ({"sms": "yes"}, "unsubscribe", True, False),
        ({}, "unsubscribe", True, False),
        ({"sms": "no"}, "leave", True, False),
        ({"sms": "no"}, "unsubscribe", False, False),
        ({"sms": "no", **PHONE}, "unsubscribe", True, False),  # Cordial is told
    ],
)
def test_a_no_to_texts_that_cordial_cannot_be_told_is_told_to_a_person(
    make_integration, said, on_opt_out, by_another, told
):
    """It comes without a number, and the contact gets texts by one."""
    policy = {**OF_BOTH["policy"], "on_opt_out": on_opt_out}
    integration = make_integration(**{**OF_BOTH, "policy": policy})
    given = {**ANN, "opt_in": "yes", **said}
    made = decided(integration, given, texts_of_another=by_another)
    assert ("texts_not_ended" in codes(made)) is told


def test_without_a_program_nothing_is_asked_of_sms(make_integration):
    """Nor does its yes matter to what is forced."""
    integration = make_integration(**{**OF_BOTH, "cordial": {"sms": {"program": None}}})
    made = decided(integration, {**ANN, **PHONE, "opt_in": None, "sms": "yes"})
    assert asked(made) == ("subscribed", None)
    assert "programs" not in made.body["channels"]["sms"]


LISTS = [
    *MAPPING,
    {"attribute": "news", "field": "weekly_deals", "type": "list"},
    {"attribute": "club", "field": "club", "type": "list", "lists_need": None},
]


@pytest.mark.parametrize(
    ("guard", "said", "email", "warned", "lists"),
    [
        (True, {}, None, True, {"club"}),
        (False, {}, "subscribed", False, {"club", "weekly_deals"}),
        (True, {"opt_in": "yes"}, "subscribed", False, {"club", "weekly_deals"}),
    ],
)
def test_where_the_opt_in_went_missing_silence_does_nothing(
    make_integration, guard, said, email, warned, lists
):
    """Neither subscribes nor puts on a list that needs more than silence."""
    integration = make_integration(mapping=LISTS, policy={"opt_in_guard": guard})
    given = {**ANN, **said, "news": True, "club": True}
    made = decided(integration, given, opt_in_missing=True)
    assert asked(made)[0] == email
    found = [each for each in made.warnings if each.code == "opt_in_missing"]
    assert bool(found) is warned
    for each in found:
        assert each.detail == (
            "The source used to send the opt-in attribute and does not any more, so silence "
            "subscribes nobody. Name the attribute as Jebbit sends it (jebbit.attributes.opt_in), "
            "or set policy.opt_in_guard to false if nobody is asked any more; then replay."
        )
    assert {name for name in ("club", "weekly_deals") if made.body.get(name) is True} == lists


def test_where_silence_subscribes_nobody_anyway_nothing_is_said_of_the_guard(make_integration):
    integration = make_integration(mapping=MAPPING, policy={"auto_subscribe": False})
    made = decided(integration, ANN, opt_in_missing=True)
    assert (asked(made)[0], codes(made)) == (None, [])


def test_a_list_that_the_url_asks_for_is_not_joined(make_integration):
    """Unless the rule needs nothing."""
    integration = make_integration(mapping=LISTS)
    given = {**ANN, "opt_in": "yes", "news": True, "club": True, "url_params": "news=1&club=1"}
    made = decided(integration, given)
    assert "weekly_deals" not in made.body
    assert made.body["club"] is True


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ({"opt_in": "yes"}, True),
        ({"opt_in": "yes", "experience_date": NOW - 5}, False),
        ({"news": "yes"}, True),
        ({"news": "yes", "experience_date": NOW - 5}, False),
        ({}, False),
        ({"news": ""}, False),
    ],
)
def test_after_a_no_only_what_is_said_later_joins_a_list(make_integration, given, joined):
    """To email or to the list itself; not a rule's default."""
    rule = {"attribute": "news", "field": "weekly_deals", "type": "list", "default": True}
    integration = make_integration(mapping=[*MAPPING, rule])
    refused = Refusals(email=NOW - 2)
    made = decided(integration, {**ANN, **given}, refusals=refused)
    assert (made.body.get("weekly_deals") is True) is joined
    assert decided(integration, {**ANN, **given}).body["weekly_deals"] is True


@pytest.mark.parametrize("unmapped", ["known", "ignore"])
def test_a_skip_tells_what_would_have_flowed(make_integration, unmapped):
    """Unmapped attributes only where the integration lets them."""
    integration = make_integration(mapping=MAPPING, unmapped=unmapped)
    given = Submission({**ANN, "opt_in": "no", "outcome": "Bold"})
    made = plan(given, integration, received_at=NOW, now=NOW)
    known = {"outcome": "string"}
    found = would_map(given, integration, made.evidence, known).fields
    assert ("outcome" in found) is (unmapped == "known")
