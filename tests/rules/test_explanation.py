"""A plan's explanation: it tells of that very plan, in order, in words that a marketer reads."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jebbit.submission import Submission, parse
from app.rules.explanation import Explained, explain_plan, without_answers
from app.rules.integration import Integration
from app.rules.plan import Plan, Skip, Upsert, plan
from app.rules.policy import Refusals
from tests.rules.situations import ADA, MOBILE, NOW, config
from tests.rules.test_cases import CASES, SITUATIONS, history, load


def explained(attributes: Mapping[str, Any], **more: Any) -> tuple[Plan, Explained]:
    """Plan a submission and explain the plan."""
    integration = Integration.model_validate(config(**more))
    submission = Submission(attributes)
    made = plan(submission, integration, received_at=NOW, now=NOW)
    return made, explain_plan(made, submission, integration)


def sentence(told: Explained, subject: str) -> str:
    """Return the sentence of the step about a subject."""
    return next(each.sentence for each in told.steps if each.subject == subject)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_golden_case_is_explained(situation: str) -> None:
    """The steps of each golden case end as its plan ends, and each is a whole sentence."""
    integration = Integration.model_validate(load(situation, "integration"))
    (item,) = parse((CASES / situation / "submission.json").read_bytes())
    assert item.submission is not None
    account = load(situation, "account_attributes")
    made = plan(item.submission, integration, **history(situation), account_attributes=account)
    told = explain_plan(made, item.submission, integration, account)
    agrees(made, told, integration)


def agrees(made: Plan, told: Explained, integration: Integration) -> None:
    """Hold the steps against the plan."""
    *before, last = told.steps
    assert not any(each.stops for each in before)
    assert all(each.sentence.endswith((".", "!")) for each in told.steps), told.steps
    results = {each.subject: each.result for each in told.steps}
    if isinstance(made, Skip):
        assert last.stops
        assert last.result == made.reason
        return
    assert last.subject == "result"
    channels: Any = made.body["channels"]
    email = channels.get(integration.cordial.email_channel, {})
    assert results.get("email", "left") == email.get("subscribeStatus", "left")
    programs = channels.get(integration.sms.channel, {}).get("programs", {})
    asked = [each["subscribeStatus"] for each in programs.values()]
    assert results.get("sms", "left") == (asked[0] if asked else "left")
    assert results.get("force") in (
        ("forced",) if "forceSubscribe" in made.body else (None, "not_forced")
    )


ANSWERS = st.sampled_from(["yes", "no", None, "", "perhaps", ["no", "no"], True])
TERMS = st.fixed_dictionaries(
    {
        "collect": st.sampled_from(["both", "eu", "non_eu"]),
        "opt_in": st.sampled_from(["everyone", "opted_in_only", "opted_in_or_null"]),
        "auto_subscribe": st.booleans(),
        "on_opt_out": st.sampled_from(["leave", "unsubscribe"]),
        "resubscribe": st.sampled_from(["never", "explicit_opt_in"]),
        "eu": st.sampled_from([None, {"null_is_consent": True}, {"auto_subscribe": False}]),
    }
)
ITEMS = st.fixed_dictionaries(
    {"email": st.sampled_from([ADA, "none"])},
    optional={
        "opt_in": ANSWERS,
        "Opt In": ANSWERS,
        "sms_opt_in": ANSWERS,
        "phone_number": st.sampled_from([MOBILE, "+49 30 901820", "1"]),
        "country_code": st.sampled_from(["DE", "US", "CH", "Narnia", None]),
        "aws_region": st.sampled_from(["eu", "us", "x"]),
        "is_completed": st.sampled_from([True, False, "no"]),
        "url_params": st.sampled_from([{"opt_in": "yes"}, {"email": "x"}, {"country_code": "US"}]),
    },
)


@given(
    item=ITEMS,
    policy=TERMS,
    said=st.sampled_from([None, NOW - 1, NOW + 1]),
    stale=st.booleans(),
    again=st.booleans(),
)
def test_an_explanation_tells_of_its_plan(
    item: dict[str, Any], policy: dict[str, Any], said: float | None, stale: bool, again: bool
) -> None:
    """Whatever came in and whatever went before, the steps end and say what the plan says."""
    integration = Integration.model_validate(config(policy=policy))
    submission = Submission(item)
    made = plan(
        submission,
        integration,
        received_at=NOW,
        now=NOW,
        refusals=Refusals(said, said),
        stale=stale,
        delivered_before=again,
    )
    agrees(made, explain_plan(made, submission, integration), integration)


def test_the_region_is_told_with_what_decided_it() -> None:
    """The sentence names the key as sent, its value, and the rules that hold from it."""
    _, told = explained({"email": ADA, "Country Code": "DE"}, policy={"eu": {}})
    assert (
        sentence(told, "region")
        == "Region: EU, because Country Code is DE. EU rules hold: policy.eu."
    )


def test_absent_reads_otherwise_than_null() -> None:
    """No such attribute, null and blank give one answer, and three sentences."""
    cases: list[dict[str, Any]] = [{}, {"opt_in": None}, {"opt_in": ""}]
    said = [sentence(explained({"email": ADA, **each})[1], "opt_in") for each in cases]
    assert said == [
        "Email opt-in: none, because the submission has no attribute opt_in: nobody was asked "
        "there.",
        "Email opt-in: none, because opt_in is null: nothing was answered.",
        "Email opt-in: none, because opt_in is blank: nothing was answered.",
    ]
    absent = next(each for each in explained({"email": ADA})[1].steps if each.subject == "opt_in")
    assert absent.read[0].key is None


def test_what_is_not_believed_is_told_with_the_reason() -> None:
    """An opt-in that stands in the page's URL is shown, and why nothing follows from it."""
    _, told = explained({"email": ADA, "opt_in": "yes", "url_params": {"opt_in": "yes"}})
    (read,) = next(each for each in told.steps if each.subject == "opt_in").read
    assert (read.key, read.value, read.believed) == ("opt_in", "yes", False)
    assert "URL" in (read.why or "")


def test_a_skip_tells_what_would_have_been_mapped() -> None:
    """A person who opted out is skipped; the fields that would have gone are shown."""
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "outcome", "field": "quiz_outcome"},
    ]
    made, told = explained(
        {"email": ADA, "opt_in": "no", "outcome": "Rose"},
        mapping=mapping,
        policy={"opt_in": "opted_in_only"},
    )
    assert isinstance(made, Skip)
    assert [step.subject for step in told.steps][-1] == "audience"
    assert [(each.field, each.value) for each in told.would_map] == [("quiz_outcome", "Rose")]


def test_steps_can_be_shown_without_answers() -> None:
    """Who may not see what people answered sees each decision, and no value or address."""
    made, told = explained(
        {"email": ADA, "opt_in": "Certainly", "country_code": "DE", "outcome": "Rose"}
    )
    assert isinstance(made, Upsert)
    shown = json.dumps([each._asdict() for each in without_answers(told.steps)], default=str)
    assert not any(each in shown for each in (ADA, "Certainly", '"DE"', "Rose"))


@pytest.mark.parametrize(("said", "word"), [("no", "no"), ("yes", "neither yes nor no")])
def test_a_key_that_only_means_the_opt_in_is_told(said: str, word: str) -> None:
    """Who reads why somebody was not subscribed learns which key to name."""
    _, told = explained({"email": ADA, "optIn": said})
    step = next(each for each in told.steps if each.subject == "opt_in")
    assert step.sentence.startswith(f"Email opt-in: {word}, because optIn is {said}.")
    assert "where opt_in should" in step.sentence
    assert [(each.key, each.value, each.believed) for each in step.read] == [
        (None, None, True),
        ("optIn", said, False),
    ]
