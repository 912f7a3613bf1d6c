"""The check of an integration against its account."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.cordial.preflight import legal_notes
from app.rules.integration import Integration
from app.sandbox.account import Attribute, Validators
from app.sandbox.faults import Fault
from tests.waiting import wait_for

Make = Callable[..., Any]


def found(answer: dict[str, Any], level: str | None = None) -> dict[str, str]:
    """Return the findings of a level by their place."""
    return {
        each["place"]: f"{each['problem']} {each['remedy']}"
        for each in answer["findings"]
        if level in (None, each["level"])
    }


def check(service: Any, query: str = "") -> dict[str, Any]:
    """Return the check's answer for the usual integration."""
    answer = service.client.post(f"/integrations/spring-quiz/check{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def mapped(*rules: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a mapping of the email and these rules."""
    return [{"attribute": "email", "field": "channels.email.address"}, *rules]


def test_sound_integration_has_no_error(service: Make) -> None:
    """An integration that fits its account passes, with notes alone."""
    running = service()
    running.create_integration()
    answer = check(running)
    assert answer["ok"]
    assert not found(answer, "error")
    assert not found(answer, "warning")


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"attribute": "a", "field": "First_Name"}, "Cordial has first_name"),
        ({"attribute": "a", "field": "firstname"}, "Cordial has first_name"),
        ({"attribute": "a", "field": "shoe_size"}, "no attribute shoe_size"),
        ({"attribute": "a", "field": "age"}, 'Set the rule\'s type to "number"'),
        ({"attribute": "a", "field": "vips", "type": "list"}, "no list vips"),
        ({"attribute": "a", "field": "VIP", "type": "list"}, "Cordial has vip"),
        ({"attribute": "a", "field": "age", "type": "list"}, "age is an attribute"),
        ({"attribute": "a", "field": "vip"}, "vip is a list"),
        ({"attribute": "a", "field": "comment", "default": "x" * 129}, "over the maximum 128"),
    ],
)
def test_field_that_does_not_fit_is_an_error(
    service: Make, rule: dict[str, Any], problem: str
) -> None:
    """A field that Cordial lacks, has in another case or of another type is found by its place."""
    running = service()
    running.create_integration(mapping=mapped(rule))
    answer = check(running)
    assert not answer["ok"]
    errors = found(answer, "error")
    assert problem in "".join(text for place, text in errors.items() if "mapping.1" in place)


@pytest.mark.parametrize("shape", ["array", "object"])
def test_both_published_shapes_are_read(service: Make, sandbox_server: Any, shape: str) -> None:
    """Attributes are read from an array and from an object by key."""
    sandbox_server.sandbox.switches.attributes_shape = shape
    running = service()
    running.create_integration(mapping=mapped({"attribute": "a", "field": "Comment"}))
    assert "Cordial has comment" in found(check(running), "error")["mapping.1"]


def test_required_attribute_is_asked_for(service: Make, sandbox_server: Any) -> None:
    """A required attribute that no rule fills is an error, one without a default a warning."""
    account = sandbox_server.sandbox.account
    required = Attribute(name="Tier", type="string", validators=Validators(required=True))
    account.attributes = {**account.attributes, "tier": required}
    running = service()
    running.create_integration()
    assert "tier, which is not mapped" in found(check(running), "error")["mapping"]
    running.client.patch(
        "/integrations/spring-quiz",
        json={"mapping": mapped({"attribute": "tier", "field": "tier"})},
    ).raise_for_status()
    assert "sometimes absent" in found(check(running), "warning")["mapping"]


def test_required_attribute_is_filled_by_any_default(service: Make, sandbox_server: Any) -> None:
    """Also by one that is 0; where unmapped attributes flow, one that is not mapped may come."""
    account = sandbox_server.sandbox.account
    required = Attribute(name="Visits", type="number", validators=Validators(required=True))
    account.attributes = {**account.attributes, "visits": required}
    rule = {"attribute": "visits", "field": "visits", "type": "number", "default": 0}
    running = service()
    running.create_integration(mapping=mapped(rule))
    assert "mapping" not in found(check(running))
    running.client.patch(
        "/integrations/spring-quiz", json={"mapping": mapped(), "unmapped": "known"}
    ).raise_for_status()
    assert "sometimes absent" in found(check(running), "warning")["mapping"]


@pytest.mark.parametrize(("longest", "error"), [(6, True), (7, False)])
def test_status_field_must_take_the_longest_status(
    service: Make, sandbox_server: Any, longest: int, error: bool
) -> None:
    """`unclear` has seven letters; what is long enough is not worth a note."""
    account = sandbox_server.sandbox.account
    status = Attribute(name="Status", type="string", validators=Validators(max=longest))
    account.attributes = {**account.attributes, "opt_in_status": status}
    running = service()
    running.create_integration(policy={"opt_in_field": "opt_in_status"})
    assert ("policy.opt_in_field" in found(check(running), "error")) is error
    assert ("policy.opt_in_field" in found(check(running))) is error


def test_length_is_noted_where_answers_come_from_people(service: Make) -> None:
    """A constant has one length, which is known: nothing to note."""
    running = service()
    by_people, constant = {"attribute": "a", "field": "comment"}, {"field": "comment"}
    running.create_integration(mapping=mapped(by_people))
    assert "at most 128 characters" in found(check(running), "note")["mapping.1"]
    changed = {"mapping": mapped({**constant, "default": "x" * 128})}
    running.client.patch("/integrations/spring-quiz", json=changed).raise_for_status()
    assert "mapping.1" not in found(check(running))


def test_name_that_is_both_is_a_warning(service: Make, sandbox_server: Any) -> None:
    """A name that is both a list and an attribute is pointed out."""
    sandbox_server.sandbox.account.lists.append("quiz_outcome")
    running = service()
    running.create_integration()
    assert "both an attribute and a list" in found(check(running), "warning")["mapping.1"]


def test_missing_ones_are_created_on_request(service: Make, sandbox_server: Any) -> None:
    """`create_missing` makes what is missing and says so.

    But nothing that is there in another case, or as a list where an attribute is meant.
    """
    running = service()
    running.create_integration(
        mapping=mapped(
            {"attribute": "a", "field": "shoe_size", "type": "number"},
            {"attribute": "b", "field": "sneakers", "type": "list"},
            {"attribute": "c", "field": "First_Name"},
            {"attribute": "d", "field": "vip"},
        )
    )
    answer = check(running, "?create_missing=true")
    assert found(answer, "error").keys() == {"mapping.3", "mapping.4"}
    assert "vip is a list" in found(answer, "error")["mapping.4"]
    notes = found(answer, "note")
    assert "Created the number attribute shoe_size" in notes["mapping.1"]
    assert "Created the list sneakers" in notes["mapping.2"]
    assert sandbox_server.sandbox.account.attributes["shoe_size"].type == "number"
    assert "sneakers" in sandbox_server.sandbox.account.lists


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_names_all_causes(service: Make, sandbox_server: Any, status: int) -> None:
    """A key that may not write names key, allow list, permission and address."""
    account = sandbox_server.sandbox.account
    sandbox_server.sandbox.switches.denied_status = status
    account.api_keys = {"sandbox-key": ["GET contacts"]}
    running = service()
    running.create_integration()
    text = found(check(running), "error")["cordial.api_key"]
    for cause in ("API key", "allow list", "permission", "account URL", "POST contacts"):
        assert cause in text


def test_unreadable_account_is_a_warning(service: Make, sandbox_server: Any) -> None:
    """A key that may write but not ask can be used; what was not checked is said."""
    sandbox_server.sandbox.account.api_keys = {"sandbox-key": ["POST contacts"]}
    running = service()
    running.create_integration()
    answer = check(running)
    assert answer["ok"]
    problems = [each["problem"] for each in answer["findings"] if each["level"] == "warning"]
    for call in ("GET accountcontactattributes", "GET accountlists"):
        [problem] = [each for each in problems if call in each]
        assert f"lacks the permission for this call ({call})" in problem
        assert "POST contacts" not in problem


def test_unreadable_attributes_are_an_error_where_each_sending_asks_for_them(
    service: Make, sandbox_server: Any
) -> None:
    """With `unmapped: known` nothing would be sent; the state says which permission is missing."""
    sandbox_server.sandbox.account.api_keys = {"sandbox-key": ["POST contacts"]}
    running = service()
    running.create_integration(unmapped="known")
    assert "GET accountcontactattributes" in found(check(running), "error")["cordial.api_key"]
    waiting = running.post({"email": "ann@example.com", "opt_in": "true"}).json()["submissions"][0]
    running.wait(waiting, lambda _: gate(running) == "blocked")
    reason = running.client.get("/integrations/spring-quiz").json()["state_reason"]
    assert "(GET accountcontactattributes)" in reason


def test_integration_deleted_during_its_check_is_told(service: Make, sandbox_server: Any) -> None:
    """A check may take long: 404 then, not a defect."""
    running = service()
    running.create_integration(state="paused")
    sandbox_server.sandbox.faults = [Fault(kind="slow", seconds=1, times=1)]
    with ThreadPoolExecutor() as pool:
        resuming = pool.submit(running.client.post, "/integrations/spring-quiz/resume")
        wait_for(lambda: sandbox_server.sandbox.journal)
        running.client.delete("/integrations/spring-quiz").raise_for_status()
        assert resuming.result().status_code == 404


def test_program_without_a_keyword_is_named_alone(service: Make) -> None:
    """A keyword that is not set is not asked about."""
    running = service()
    running.create_integration(cordial={"sms": {"program": "main", "keyword": None}})
    note = found(check(running), "note")["cordial.sms"]
    assert "program main exist" in note
    assert "None" not in note


def test_check_leaves_no_contact(service: Make, sandbox_server: Any) -> None:
    """The check writes nobody."""
    running = service()
    running.create_integration()
    check(running)
    assert len(sandbox_server.sandbox.contacts) == 0


def test_unreachable_host_is_an_error(service: Make) -> None:
    """A host that does not answer is found at the account URL."""
    running = service(cordial_extra_hosts="127.0.0.1:1")
    running.create_integration(cordial={"account_url": "http://127.0.0.1:1"})
    assert "does not answer" in found(check(running), "error")["cordial.account_url"]


def test_resume_asks_the_check(service: Make, sandbox_server: Any) -> None:
    """A paused integration resumes only without errors, unless it is forced."""
    running = service()
    wrong = mapped({"attribute": "a", "field": "First_Name"})
    running.create_integration(state="paused", mapping=wrong)
    refused = running.client.post("/integrations/spring-quiz/resume")
    assert refused.status_code == 409
    assert "Write first_name" in refused.json()["detail"]
    assert refused.json()["errors"][0]["place"] == "mapping.1"
    forced = running.client.post("/integrations/spring-quiz/resume?force=true")
    assert forced.json()["state"] == "active"


def test_passing_check_opens_a_blocked_gate(service: Make, sandbox_server: Any) -> None:
    """What an allow list on Cordial's side had blocked goes on after a passing check."""
    sandbox_server.sandbox.account.allowed_ips = ["192.0.2.0/24"]
    running = service()
    running.create_integration()
    waiting = running.post({"email": "ann@example.com", "opt_in": "true"}).json()["submissions"][0]
    running.wait(waiting, lambda _: gate(running) == "blocked")
    sandbox_server.sandbox.account.allowed_ips = None
    assert check(running)["ok"]
    assert running.wait(waiting)["status"] == "delivered"
    assert gate(running) == "open"


def gate(service: Any) -> str:
    """Return the gate's state as the API tells it."""
    return str(service.client.get("/integrations/spring-quiz").json()["gate"]["state"])


@pytest.mark.parametrize(
    ("policy", "cordial", "place"),
    [
        ({"opt_in": "opted_in_or_null"}, {}, "policy.opt_in"),
        ({"eu": {"null_is_consent": True}}, {}, "policy.eu.null_is_consent"),
        ({"opt_in": "opted_in_or_null", "collect": "non_eu"}, {}, "policy.auto_subscribe"),
        ({"resubscribe": "explicit_opt_in"}, {}, "policy.resubscribe"),
        ({}, {"suppress_triggers": False}, "cordial.suppress_triggers"),
        ({}, {"sms": {"program": "main", "suppress_doi": True}}, "cordial.sms.suppress_doi"),
    ],
)
def test_choices_with_legal_weight_are_noted(policy: Any, cordial: Any, place: str) -> None:
    """Each choice that somebody should have made knowingly is said."""
    integration = Integration.model_validate(
        {
            "name": "Spring quiz",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "k", **cordial},
            "jebbit": {"webhook_secrets": ["s"]},
            "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True}
            | policy,
        }
    )
    assert place in [each.place for each in legal_notes(integration)]


def test_strictest_choice_has_no_notes() -> None:
    """Only people who opted in, nobody brought back: nothing to point out."""
    integration = Integration.model_validate(
        {
            "name": "Spring quiz",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "k"},
            "jebbit": {"webhook_secrets": ["s"]},
            "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True},
        }
    )
    assert legal_notes(integration) == []
