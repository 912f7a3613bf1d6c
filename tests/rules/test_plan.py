"""The plan's evidence, and the facts that the ledger orders by; the decisions are golden cases."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from app import rules
from app.jebbit.submission import Submission
from app.rules.contact import identify
from app.rules.jurisdictions import Jurisdictions
from app.rules.plan import Facts, Skip, Upsert, facts

Make = Callable[..., Any]
ADA = "ada@example.com"
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
plan = partial(rules.plan.plan, received_at=NOW.timestamp(), now=NOW.timestamp())


@pytest.fixture
def facts_of(make_integration: Make) -> Callable[..., Facts]:
    """The facts of a submission received at noon."""

    def read(attributes: dict[str, Any], **sections: Any) -> Facts:
        return facts(Submission(attributes), make_integration(**sections), NOW.timestamp())

    return read


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024-05-01 10:20:30", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        ("2024-05-01 10:20:30 UTC", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        ("2024-05-01T10:20:30Z", datetime(2024, 5, 1, 10, 20, 30, tzinfo=UTC)),
        ("2024-05-01T10:20:30.250+0200", datetime(2024, 5, 1, 8, 20, 30, 250_000, tzinfo=UTC)),
        (1700000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1999-01-01", datetime(1999, 1, 1, tzinfo=UTC)),
        *((value, None) for value in (None, "", "yesterday", True, [], {}, 10**30, "2024-13-01")),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_occurred_at(facts_of: Callable[..., Facts], value: Any, at: datetime | None) -> None:
    """The time is read in every form seen, in UTC; what is no time is none, and no failure."""
    found = facts_of({"email": ADA, "experience_date": value}).occurred_at
    assert found == (at.timestamp() if at else None)


@pytest.mark.parametrize(
    ("value", "believed"),
    [
        ("2024-05-01T12:00:00Z", True),
        ("2024-05-02T02:00:00", True),  # a local time of a zone ahead, sent without it
        ("2024-05-03T12:00:00Z", False),
        ("2999-01-01", False),
        ("9999-12-31T23:59:59-14:00", False),
        (4102444800, False),
    ],
)
def test_far_future_is_no_time(facts_of: Callable[..., Facts], value: Any, believed: bool) -> None:
    """A clock far ahead would make all that follows look stale: it counts as no time."""
    assert (facts_of({"experience_date": value}).occurred_at is not None) is believed


@pytest.mark.parametrize(
    ("given", "session"),
    [
        ({"user_session_id": "5f0c"}, "5f0c"),
        ({"User Session ID": "5f0c"}, "5f0c"),
        ({"user_session_id": 42}, "42"),
        ({"user_session_id": ""}, None),
        ({"user_session_id": None}, None),
        ({}, None),
    ],
)
def test_session(facts_of: Callable[..., Facts], given: Any, session: str | None) -> None:
    """The session's id is text, whatever its form, or absent."""
    assert facts_of(given).session == session


def test_facts_by_other_names(facts_of: Callable[..., Facts]) -> None:
    """Session and time are looked up where the integration says, or not at all."""
    given = {"sid": "5f0c", "at": "2024-05-01", "user_session_id": "x", "experience_date": "x"}
    other = facts_of(given, jebbit={"attributes": {"session": "SID", "occurred_at": "At"}})
    assert (other.session, other.occurred_at) == (
        "5f0c",
        datetime(2024, 5, 1, tzinfo=UTC).timestamp(),
    )
    none = facts_of(given, jebbit={"attributes": {"session": None, "occurred_at": None}})
    assert (none.session, none.occurred_at) == (None, None)


def test_facts_know_whose_the_submission_is(facts_of: Callable[..., Facts]) -> None:
    """The contact is the one that the plan would name, also where the plan is to skip."""
    assert facts_of({"email": " Ada@Example.com ", "opt_in": "no"}).identity.email == ADA
    assert facts_of({"email": ADA, "url_params": "email=x"}).identity.email is None


@pytest.mark.parametrize(
    ("given", "trusted", "asked"),
    [
        ({"opt_in": "yes"}, [], True),
        ({"Opt In": None}, [], True),  # there was a box, nobody touched it
        ({}, [], False),
        ({"optin": "yes"}, [], False),
        ({"opt_in": "yes", "url_params": "opt_in=yes"}, [], False),
        ({"opt_in": "", "page_url": "https://shop.example/?opt_in"}, [], False),
        ({"opt_in": "yes", "url_params": "opt_in=yes"}, ["opt_in"], True),
    ],
)
def test_whether_a_source_asks_is_not_the_url_s_to_say(
    facts_of: Callable[..., Facts], given: Any, trusted: list[str], asked: bool
) -> None:
    """Anybody could end the guard over silence by a URL, or make it begin where nobody asks."""
    known = facts_of({"email": ADA, **given}, jebbit={"trusted_url_params": trusted})
    assert known.asked is asked


def test_a_source_without_a_name_for_the_opt_in_does_not_ask(
    facts_of: Callable[..., Facts],
) -> None:
    """There is nothing to look for."""
    assert not facts_of({"opt_in": "yes"}, jebbit={"attributes": {"opt_in": None}}).asked


def test_a_skip_shows_what_it_rests_on(make_integration: Make) -> None:
    """The evidence of a skip says where the person was placed and what they answered."""
    made = plan(
        Submission({"email": ADA, "Opt In": "Nope", "country_code": "fr"}),
        make_integration(jebbit={"opt_in_labels": {"false": ["nope"]}}),
    )
    assert isinstance(made, Skip)
    evidence = made.evidence
    assert made.reason == "opted_out"
    assert (evidence.region.region, evidence.region.decided_by) == ("eu", "country")
    assert (evidence.opt_in.answer, evidence.opt_in.attribute) == ("no", "Opt In")
    assert evidence.mapped == ()


def test_an_upsert_shows_what_it_rests_on(make_integration: Make) -> None:
    """The evidence of an upsert adds how each field came about."""
    made = plan(
        Submission({"email": ADA, "opt_in": "true", "url_params": "opt_in=true", "age": "34"}),
        make_integration(
            mapping=[
                {"attribute": "email", "field": "channels.email.address"},
                {"attribute": "age", "field": "years", "type": "number"},
            ]
        ),
    )
    assert isinstance(made, Upsert)
    opt_in = made.evidence.opt_in
    assert (opt_in.answer, opt_in.value, opt_in.trusted) == ("null", "true", False)
    assert [(each.field, each.value) for each in made.evidence.mapped] == [("years", 34)]


def test_the_protected_countries_are_an_argument(make_integration: Make) -> None:
    """The setting decides whose rules hold, in the plan too."""
    submission, integration = Submission({"email": ADA, "country_code": "CH"}), make_integration()
    made = [
        plan(submission, integration, jurisdictions=Jurisdictions(eu_countries=each))
        for each in ({"CH"}, {"DE"})
    ]
    assert [each.evidence.region.region for each in made] == ["eu", "non_eu"]


def test_account_matters_only_where_unmapped_attributes_flow(make_integration: Make) -> None:
    """What the account knows changes no plan of an integration that ignores what is unmapped."""
    submission = Submission({"email": ADA, "age": 34})
    for unmapped, sent in (("ignore", False), ("known", True)):
        made = plan(
            submission, make_integration(unmapped=unmapped), account_attributes={"age": "number"}
        )
        assert isinstance(made, Upsert)
        assert ("age" in made.body) is sent


def test_an_identity_once_read_is_not_read_again(make_integration: Make) -> None:
    """Who the contact is can be handed on; the plan is the same, for an unusable address too."""
    integration = make_integration()
    for email in (ADA, "ada", None):
        submission = Submission({"email": email, "url_params": "phone_number=1"})
        identity = identify(submission, integration)
        assert plan(submission, integration, identity=identity) == plan(submission, integration)
