"""What is kept of a decision: whom it was about is not in it, what it rests on is."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.jebbit.submission import Submission
from app.rules.decision import HIDDEN, Answered, Asked, Basis, asked_of, basis_of
from app.rules.integration import Integration
from app.rules.plan import plan
from tests.rules.situations import ADA, MOBILE, NAMES, NOW, config

YESTERDAY = NOW - 86_400.0


def kept(
    attributes: Mapping[str, Any], body: Mapping[str, Any] | None = None, **more: Any
) -> Basis:
    """Return what is kept of the plan for a person with these attributes."""
    integration = Integration.model_validate(config(**more))
    submission = Submission({"email": ADA, **attributes})
    made = plan(submission, integration, received_at=NOW, now=NOW)
    return basis_of(made, submission, integration, body)


def test_a_decision_is_kept_whole() -> None:
    """The region and the answers with their words, the statuses asked, the campaign, the time."""
    found = kept(
        {
            "phone_number": MOBILE,
            "Country Code": "us",
            "opt_in": "Yes",
            "SMS Opt In": "On",
            "campaign_name": "Spring",
            "experience_date": YESTERDAY,
        }
    )
    assert found == Basis(
        region="non_eu",
        region_by="country",
        region_attribute="country_code",
        region_value="US",
        opt_in=Answered("yes", "opt_in", "Yes", believed=True),
        sms_opt_in=Answered("yes", "SMS Opt In", "On", believed=True),
        email_status="subscribed",
        sms_status="subscribed",
        forced=True,
        campaign="Spring",
        given_at=YESTERDAY,
    )


def test_a_decision_is_kept_as_json_of_plain_values() -> None:
    """Under these names: they stand in the ledger, in the API and in what people read."""
    said = {"opt_in": "no", "url_params": {"sms_opt_in": "1"}, "sms_opt_in": 1}
    assert kept(said, jebbit={"region": None, "attributes": NAMES}).as_json() == {
        "region": "unknown",
        "region_by": "nothing",
        "region_attribute": None,
        "region_value": None,
        "opt_in": {"answer": "no", "attribute": "opt_in", "label": "no", "believed": True},
        "sms_opt_in": {
            "answer": "null",
            "attribute": "sms_opt_in",
            "label": "1",
            "believed": False,
        },
        "email_status": "unsubscribed",
        "sms_status": None,
        "forced": False,
        "campaign": None,
        "given_at": NOW,
    }


def test_a_skip_asks_nothing() -> None:
    """What was answered is kept all the same."""
    found = kept({"opt_in": "no"}, policy={"opt_in": "opted_in_only"})
    assert (found.email_status, found.sms_status, found.forced) == (None, None, False)
    assert found.opt_in.answer == "no"


def test_the_statuses_kept_are_those_that_were_sent_in_the_end() -> None:
    """Cordial may have refused one: then less was sent than planned, perhaps no status at all."""
    yes = {"opt_in": "yes", "country_code": "US"}
    assert kept(yes).email_status == "subscribed"
    assert kept(yes, body={"channels": {}}).email_status is None
    assert kept(yes, body={}).email_status is None
    assert not kept(yes, body={}).forced


def test_a_time_in_doubt_is_none() -> None:
    """A date that is not understood leaves open when the person answered."""
    assert kept({"opt_in": "yes", "experience_date": "once upon a time"}).given_at is None
    assert kept({"opt_in": "yes"}).given_at == NOW


@pytest.mark.parametrize(
    ("attributes", "campaign"),
    [
        ({"campaign_name": "Spring", "campaign_id": "c-1"}, "Spring"),
        ({"campaign_id": "c-1"}, "c-1"),
        ({"campaign_id": 17}, "17"),
        ({"campaign_name": "Spring", "campaign_id": "c-1", "page_url": "?campaign_name=x"}, "c-1"),
        ({}, None),
    ],
)
def test_a_campaign_is_kept_by_its_name_else_its_id(
    attributes: dict[str, Any], campaign: str | None
) -> None:
    """If it is believed: whoever writes the page's URL writes no history."""
    assert kept(attributes).campaign == campaign


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("Count me in", "Count me in"),
        ("x" * 120, "x" * 120),
        ("x" * 121, HIDDEN),
        ("yes, ann@home", HIDDEN),
        ("123456", "123456"),
        ("no. 1234567", HIDDEN),
        (True, "True"),
        (["yes", "no"], "['yes', 'no']"),
        ([ADA], HIDDEN),
        (None, None),
    ],
)
def test_a_label_is_kept_unless_it_may_be_personal(value: Any, label: str | None) -> None:
    """An attribute named by mistake may hold an address: no decision keeps one."""
    assert kept({"opt_in": value}).opt_in.label == label


MAPPING = [{"attribute": "email", "field": "channels.mail.address"}]
INTEGRATION = Integration.model_validate(config(cordial={"email_channel": "mail"}, mapping=MAPPING))
SUBSCRIBED = {"subscribeStatus": "subscribed"}
NOTHING = Asked(None, None, forced=False)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"channels": {"mail": SUBSCRIBED}}, Asked("subscribed", None, forced=False)),
        ({"channels": {"sms": SUBSCRIBED}}, Asked(None, "subscribed", forced=False)),
        (
            {"channels": {"sms": {"address": "1", "programs": {"main": SUBSCRIBED}}}},
            Asked(None, "subscribed", forced=False),
        ),
        (
            {"channels": {"mail": SUBSCRIBED}, "forceSubscribe": True},
            Asked("subscribed", None, forced=True),
        ),
        ({"channels": {"email": SUBSCRIBED}}, NOTHING),  # a channel of another account
        ({"channels": {"mail": {"subscribeStatus": True}}}, NOTHING),
        ({"channels": {"mail": "subscribed", "sms": {"programs": "main"}}}, NOTHING),
        ({"channels": "mail"}, NOTHING),
        ({}, NOTHING),
    ],
)
def test_what_a_body_asks_is_read_of_any_body(body: Mapping[str, Any], asked: Asked) -> None:
    """Of a channel's own status or its programs'; what has another form asks nothing."""
    assert asked_of(body, INTEGRATION) == asked
