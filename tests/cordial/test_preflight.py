"""The check of an integration against its account."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.cordial.preflight import legal_notes
from app.rules.integration import Integration
from app.sandbox.account import Attribute, Validators
from app.sandbox.faults import Fault, GivenAnswer
from tests.conftest import integration_body
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
    assert found(answer, "warning").keys() == {"webhook_url"}
    assert "PUBLIC_URL is not set" in found(answer)["webhook_url"]


def test_a_public_address_is_no_guess(service: Make) -> None:
    """Then nothing is warned of, and the integration says so."""
    running = service(public_url="https://sync.example.com")
    assert not running.create_integration()["webhook_url_guessed"]
    assert not found(check(running), "warning")


def test_a_guessed_address_is_marked(service: Make) -> None:
    """In each answer that shows it."""
    running = service()
    assert running.create_integration()["webhook_url_guessed"]
    [listed] = running.client.get("/integrations").json()
    assert listed["webhook_url_guessed"]


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
        (
            {"attribute": "a", "field": "comment", "default": "x" * 129},
            "has 129 characters, and Cordial takes 128",
        ),
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
            {"attribute": "e", "field": "home2.city", "type": "geo"},
        )
    )
    answer = check(running, "?create_missing=true")
    assert found(answer, "error").keys() == {"mapping.3", "mapping.4"}
    assert "vip is a list" in found(answer, "error")["mapping.4"]
    notes = found(answer, "note")
    assert "Created the number attribute shoe_size" in notes["mapping.1"]
    assert "Created the list sneakers" in notes["mapping.2"]
    assert "Shall it be indexed?" in notes["mapping.1"]
    assert "indexed" not in notes["mapping.2"] + notes["mapping.5"]
    assert sandbox_server.sandbox.account.attributes["shoe_size"].type == "number"
    assert not sandbox_server.sandbox.account.attributes["shoe_size"].index
    assert "sneakers" in sandbox_server.sandbox.account.lists


@pytest.mark.parametrize("index", [True, False])
def test_an_index_is_made_as_asked(service: Make, sandbox_server: Any, index: bool) -> None:
    """Who said so is not asked again."""
    running = service()
    running.create_integration(mapping=mapped({"attribute": "a", "field": "tier"}))
    findings = check(running, f"?create_missing=true&index={index}")["findings"]
    [made] = [each for each in findings if "Created" in each["problem"]]
    assert "the string attribute tier" in made["problem"]
    assert "?" not in made["remedy"]
    assert sandbox_server.sandbox.account.attributes["tier"].index is index


@pytest.mark.parametrize("names", ["dashes", "underscores"])
def test_a_list_that_cordial_does_not_create_is_an_error(
    service: Make, sandbox_server: Any, names: str
) -> None:
    """With Cordial's words; whether underscores may be is not known."""
    sandbox_server.sandbox.switches.list_names = names
    rule = {"attribute": "a", "field": "best_sellers", "type": "list"}
    running = service()
    running.create_integration(mapping=mapped(rule))
    answer = check(running, "?create_missing=true")
    assert answer["ok"] is (names == "underscores")
    assert answer["ok"] or "letters, numbers, and dashes" in str(answer["findings"])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/accountcontactattributes", "does not show it"),
        ("/accountlists", "does not show it"),
    ],
)
def test_created_is_said_of_what_is_there(
    service: Make, sandbox_server: Any, path: str, said: str
) -> None:
    """A 2xx alone is not believed."""
    kind = "string" if "attributes" in path else "list"
    running = service()
    running.create_integration(mapping=mapped({"attribute": "a", "field": "tier", "type": kind}))
    taken = Fault(kind="answer", answer=GivenAnswer(status=200, body={"success": True}))
    sandbox_server.sandbox.faults = [
        taken.model_copy(update={"path": path, "holding": "tier", "times": 1})
    ]
    answer = check(running, "?create_missing=true")
    assert not answer["ok"]
    assert said in str(answer["findings"])
    assert "Created" not in str(answer["findings"])


def test_a_refusal_to_create_in_a_2xx_is_told(service: Make, sandbox_server: Any) -> None:
    """`success: false` is a no."""
    running = service()
    running.create_integration(mapping=mapped({"attribute": "a", "field": "tier"}))
    body = {"success": False, "message": "Too many attributes"}
    sandbox_server.sandbox.faults = [
        Fault(
            kind="answer",
            answer=GivenAnswer(status=200, body=body),
            path="/accountcontactattributes",
            holding="tier",
        )
    ]
    errors = str(check(running, "?create_missing=true")["findings"])
    assert "Could not create the string attribute tier: Too many attributes" in errors


def test_an_attribute_of_a_type_not_known_here_exists(service: Make, sandbox_server: Any) -> None:
    """Nothing says that it is missing, and nothing creates it; whether it fits, a person sees."""
    shown = [
        {"key": "quiz_outcome", "type": "Richtext"},
        {"key": "age", "type": "NUMBER"},
    ]
    sandbox_server.sandbox.faults = [
        Fault(
            kind="answer",
            answer=GivenAnswer(status=200, body=shown),
            path="/accountcontactattributes",
        )
    ]
    running = service()
    age = {"attribute": "age", "field": "age", "type": "number"}
    running.create_integration(mapping=mapped({"attribute": "o", "field": "quiz_outcome"}, age))
    answer = check(running, "?create_missing=true")
    assert answer["ok"]
    assert "of type Richtext, which is not known here" in found(answer, "warning")["mapping.1"]
    assert "mapping.2" not in found(answer)
    posts = [each for each in sandbox_server.sandbox.journal if each.method == "POST"]
    assert [each.path for each in posts] == ["/v2/contacts"]


@pytest.mark.parametrize("shown", [[None], {"error": True, "message": "no"}, "nothing"], ids=str)
def test_an_answer_that_is_no_list_is_no_empty_account(
    service: Make, sandbox_server: Any, shown: Any
) -> None:
    """Nothing is said to be missing, and nothing is created."""
    sandbox_server.sandbox.faults = [
        Fault(kind="answer", answer=GivenAnswer(status=200, body=shown), path=path)
        for path in ("/accountcontactattributes", "/accountlists")
    ]
    running = service()
    rule = {"attribute": "a", "field": "tier", "type": "list"}
    running.create_integration(mapping=mapped(rule, {"attribute": "b", "field": "b"}))
    answer = check(running, "?create_missing=true")
    assert "has no" not in str(answer["findings"])
    assert "Created" not in str(answer["findings"])
    warned = [each["problem"] for each in answer["findings"] if each["level"] == "warning"]
    assert len([each for each in warned if "does not work" in each]) == 2


def test_half_a_place_is_warned_of(service: Make) -> None:
    """A latitude without its longitude."""
    running = service()
    lat = {"attribute": "lat", "field": "home.loc.lat", "type": "geo"}
    running.create_integration(mapping=mapped(lat))
    assert "home.loc.lon is not" in found(check(running), "warning")["mapping.1"]


@pytest.mark.parametrize("coordinates", ["number", "any"])
def test_coordinates_arrive_as_numbers(
    service: Make, sandbox_server: Any, coordinates: str
) -> None:
    """Whether Cordial takes text as well or not."""
    sandbox_server.sandbox.switches.geo_coordinates = coordinates
    running = service()
    parts = [
        {"attribute": part, "field": f"home.loc.{part}", "type": "geo"} for part in ("lat", "lon")
    ]
    running.create_integration(mapping=mapped(*parts))
    assert "mapping.1" not in found(check(running))
    sent = {"email": "ann@example.com", "opt_in": "true", "lat": "59.9", "lon": "10.75"}
    [one] = running.post(sent).json()["submissions"]
    assert running.wait(one)["status"] == "delivered"
    held = sandbox_server.contact("ann@example.com").attributes
    assert held == {"home.loc.lat": 59.9, "home.loc.lon": 10.75}


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


@pytest.mark.parametrize("flags", ["checked", "ignored"])
def test_check_leaves_no_contact(service: Make, sandbox_server: Any, flags: str) -> None:
    """The check writes nobody, whatever Cordial makes of a flag; it tells what was answered."""
    sandbox_server.sandbox.switches.flags = flags
    running = service()
    running.create_integration()
    answer = check(running)
    assert (
        "refused an impossible one as it should (422: " in found(answer, "note")["cordial.api_key"]
    )
    assert len(sandbox_server.sandbox.contacts) == 0
    [probe] = sandbox_server.bodies()
    assert "address" not in str(probe)


def given(status: int, body: Any = None, **more: Any) -> Fault:
    """Return an answer to each write of a contact."""
    answer = GivenAnswer(status=status, body=body, **more)
    return Fault(kind="answer", answer=answer, path="/contacts")


@pytest.mark.parametrize(
    ("answer", "place", "said"),
    [
        (given(402, {"message": "pay"}), "cordial.account_url", "402: pay"),
        (given(405, {"message": "not here"}), "cordial.account_url", "405: not here"),
        (given(410, {"message": "gone"}), "cordial.account_url", "410: gone"),
        (given(404, {"error": True, "errorKey": "RECORD_NOT_FOUND"}), "cordial.account_url", "404"),
        (given(200, {"success": False, "message": "no"}), "cordial.account_url", "200: no"),
        (given(200, {"errors": ["no"]}), "cordial.account_url", "200: no"),
        (given(204), "cordial.account_url", "answered 204 with nothing"),
        (given(422, text="<html>"), "cordial.account_url", "422"),
        (given(400, text=""), "cordial.account_url", "400"),
        (
            given(429, {"error": "slow"}, headers={"retry-after": "7"}),
            "cordial.requests_per_second",
            "in 7 s",
        ),
        (given(429), "cordial.requests_per_second", "asks to wait"),
        (given(503, headers={"retry-after": "9"}), "cordial.requests_per_second", "in 9 s"),
        (
            given(500, {"error": "an error has occurred"}),
            "cordial.account_url",
            "500: an error has",
        ),
        (given(502, text="<html>"), "cordial.account_url", "502"),
        (given(307, headers={"location": "https://example.com/"}), "cordial.api_key", "307"),
    ],
    ids=lambda value: str(value.answer.status) if isinstance(value, Fault) else "",
)
def test_what_is_no_refusal_of_the_write_is_told_as_what_it_is(
    service: Make, sandbox_server: Any, answer: Fault, place: str, said: str
) -> None:
    """None of them says that the key may write contacts."""
    sandbox_server.sandbox.faults = [answer]
    running = service()
    running.create_integration()
    told = check(running)
    assert not told["ok"]
    assert said in found(told, "error")[place]


def test_a_refusal_in_other_words_is_doubted(service: Make, sandbox_server: Any) -> None:
    """A 422 may be about the account; the words are told."""
    sandbox_server.sandbox.faults = [given(422, {"error": True, "message": "account suspended"})]
    running = service()
    running.create_integration()
    told = check(running)
    assert "422: account suspended" in found(told, "warning")["cordial.api_key"]


def test_the_second_form_is_tried_where_the_first_is_taken(
    service: Make, sandbox_server: Any
) -> None:
    """An account that looks at no flag may look at the channels."""
    first = given(200, {"success": True})
    sandbox_server.sandbox.faults = [first.model_copy(update={"times": 1})]
    running = service()
    running.create_integration()
    assert "refused an impossible one" in found(check(running), "note")["cordial.api_key"]
    one, two = sandbox_server.bodies()
    assert one != two


def test_an_account_that_takes_everything_is_doubted(service: Make, sandbox_server: Any) -> None:
    """Whether the key may write is not known then."""
    sandbox_server.sandbox.faults = [given(200, {"success": True})]
    running = service()
    running.create_integration()
    told = check(running)
    assert told["ok"]
    assert "cannot have done" in found(told, "warning")["cordial.api_key"]


MADE = "604f30250000000000000001"


@pytest.mark.parametrize(
    ("shown", "removed", "said"),
    [
        ({"cID": MADE, "channels": {}}, True, "which was removed"),
        ({"cID": MADE, "channels": {"email": {"address": "a@b.c"}}}, False, "has an address"),
        ({"error": True, "errorKey": "RECORD_NOT_FOUND"}, True, "does not know"),
        ({"cID": MADE}, False, "has an address"),
    ],
)
def test_a_contact_that_comes_back_is_an_error_and_removed(
    service: Make, sandbox_server: Any, shown: Any, removed: bool, said: str
) -> None:
    """But one that has an address, or may have, is a person and stays."""
    status = 404 if "error" in shown else 200
    path = f"/contacts/{MADE}"
    asked = Fault(kind="answer", answer=GivenAnswer(status=status, body=shown), path=path, times=1)
    gone = Fault(kind="answer", answer=GivenAnswer(status=200, body={"success": True}), path=path)
    made = given(201, {"success": True, "cID": MADE})
    sandbox_server.sandbox.faults = [asked, gone, made]
    running = service()
    running.create_integration()
    told = check(running)
    assert not told["ok"]
    assert MADE in found(told, "error")["cordial.account_url"]
    assert said in found(told, "error")["cordial.account_url"]
    methods = [each.method for each in sandbox_server.sandbox.journal if each.path.endswith(path)]
    assert methods == (["GET", "DELETE"] if removed else ["GET"])
    assert len(sandbox_server.bodies()) == 1


def test_one_that_may_not_be_removed_is_named(service: Make, sandbox_server: Any) -> None:
    """So that a person can."""
    sandbox_server.sandbox.account.api_keys = {"sandbox-key": ["POST contacts"]}
    sandbox_server.sandbox.faults = [given(201, {"success": True, "cID": MADE})]
    running = service()
    running.create_integration()
    told = found(check(running), "error")["cordial.account_url"]
    assert f"{MADE}, and it was not removed" in told


def test_an_integration_that_is_to_send_at_once_is_checked(
    service: Make, sandbox_server: Any
) -> None:
    """409 and nothing is stored; by force it is created as it is."""
    running = service()
    wrong = integration_body(
        running.account_url, mapping=mapped({"attribute": "a", "field": "First_Name"})
    )
    refused = running.client.post("/integrations", json=wrong)
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["place"] == "mapping.1"
    assert running.client.get("/integrations").json() == []
    paused = running.client.post("/integrations", json={**wrong, "name": "P", "state": "paused"})
    assert paused.status_code == 201
    forced = running.client.post("/integrations?force=true", json=wrong)
    assert (forced.status_code, forced.json()["state"]) == (201, "active")
    right = integration_body(running.account_url, name="Right")
    assert running.client.post("/integrations", json=right).status_code == 201


def test_the_account_is_shown(service: Make, sandbox_server: Any) -> None:
    """Its attributes with their limits, its lists; what it told lately, until it is asked anew."""
    running = service()
    running.create_integration()
    path = "/integrations/spring-quiz/account"
    shown = running.client.get(path).json()
    by_key = {each["key"]: each for each in shown["attributes"]}
    assert by_key["comment"] == {
        "key": "comment",
        "type": "string",
        "longest": 128,
        "items": None,
        "required": False,
    }
    assert (by_key["colors"]["type"], by_key["colors"]["items"]) == ("array", 25)
    assert (shown["lists"], shown["problems"]) == (["vip", "weekly_deals"], [])
    sandbox_server.sandbox.account.lists.append("late")
    asked = len(sandbox_server.sandbox.journal)
    assert running.client.get(path).json()["lists"] == ["vip", "weekly_deals"]
    assert len(sandbox_server.sandbox.journal) == asked
    fresh = running.client.get(f"{path}?refresh=true").json()
    assert fresh["lists"] == ["late", "vip", "weekly_deals"]
    assert running.client.get("/integrations/nothing/account").status_code == 404


def test_what_the_account_does_not_tell_is_null(service: Make, sandbox_server: Any) -> None:
    """With the reason; and it is asked again the next time."""
    sandbox_server.sandbox.account.api_keys = {"sandbox-key": ["GET accountlists"]}
    running = service()
    running.create_integration()
    shown = running.client.get("/integrations/spring-quiz/account").json()
    assert (shown["attributes"], shown["lists"]) == (None, ["vip", "weekly_deals"])
    assert "GET accountcontactattributes" in shown["problems"][0]
    sandbox_server.sandbox.account.api_keys = {"sandbox-key": None}
    assert running.client.get("/integrations/spring-quiz/account").json()["attributes"]


@pytest.mark.parametrize("too_long", ["warn", "cut"])
def test_too_long_a_value_is_told_before_it_is_sent(
    service: Make, sandbox_server: Any, too_long: str
) -> None:
    """In a preview and on what is delivered; cut, it arrives."""
    running = service()
    rules = [
        {"attribute": "text", "field": "comment", "too_long": too_long},
        {"attribute": "all", "field": "colors", "type": "array", "too_long": too_long},
    ]
    running.create_integration(mapping=mapped(*rules))
    sent = {
        "email": "ann@example.com",
        "opt_in": "true",
        "text": "x" * 130,
        "all": [str(each) for each in range(30)],
    }
    [shown] = running.client.post("/integrations/spring-quiz/preview", json=sent).json()[
        "submissions"
    ]
    assert [(each["code"], each["field"]) for each in shown["warnings"]] == [
        ("too_long", "comment"),
        ("too_long", "colors"),
    ]
    assert "130 characters" in shown["warnings"][0]["detail"]
    assert "x" * 130 not in str(shown["warnings"])
    body = shown["request"]["body"]
    is_cut = too_long == "cut"
    assert (len(body["comment"]), len(body["colors"])) == ((128, 25) if is_cut else (130, 30))
    [one] = running.post(sent).json()["submissions"]
    settled = running.wait(one)
    assert settled["status"] == "delivered"
    codes = [each["code"] for each in settled["warnings"]]
    assert codes == (["too_long"] * 2 if is_cut else ["too_long"] * 2 + ["field_rejected"])
    held = sandbox_server.contact("ann@example.com").attributes
    assert held["colors"] == [str(each) for each in range(5, 30)]
    assert held.get("comment") == ("x" * 128 if is_cut else None)


def test_a_cut_needs_no_check_before(service: Make, sandbox_server: Any) -> None:
    """The worker asks for the limits itself; where Cordial does not tell, nothing is cut."""
    running = service()
    rule = {"attribute": "text", "field": "comment", "too_long": "cut"}
    running.create_integration(mapping=mapped(rule))
    sent = {"email": "ann@example.com", "opt_in": "true", "text": "x" * 130}
    [one] = running.post(sent).json()["submissions"]
    assert running.wait(one)["status"] == "delivered"
    assert sandbox_server.contact("ann@example.com").attributes == {"comment": "x" * 128}
    sandbox_server.sandbox.account.api_keys = {"sandbox-key": ["POST contacts"]}
    running.create_integration(name="Other", mapping=mapped(rule), cordial={"api_key": "other-key"})
    sandbox_server.sandbox.account.api_keys = {"other-key": ["POST contacts"]}
    [two] = running.post({**sent, "email": "bob@example.com"}, "other").json()["submissions"]
    settled = running.wait(two)
    assert settled["status"] == "delivered"
    assert [each["code"] for each in settled["warnings"]] == ["field_rejected"]


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


EVERYONE = {"opt_in": "everyone", "opt_in_field": "opt_in_status"}
OUT = {"on_opt_out": "unsubscribe"}


@pytest.mark.parametrize(
    ("policy", "noted"),
    [
        (OUT, True),
        (OUT | EVERYONE, False),
        (EVERYONE | {"eu": OUT | {"opt_in": "opted_in_or_null"}}, True),
        (EVERYONE | {"eu": OUT | {"opt_in": "opted_in_or_null"}, "collect": "non_eu"}, False),
        (OUT | {"eu": {"opt_in": "everyone"}, "opt_in_field": "opt_in_status"}, True),
        (OUT | {"eu": {"opt_in": "everyone"}, "opt_in_field": "o", "collect": "eu"}, False),
        ({}, False),
    ],
)
def test_a_no_that_unsubscribes_nobody_is_noted(policy: Any, noted: bool) -> None:
    """Who says no to email is only unsubscribed where they are sent."""
    usual = {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True}
    integration = Integration.model_validate(
        {
            "name": "Spring quiz",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "k"},
            "policy": usual | policy,
        }
    )
    assert ("policy.on_opt_out" in [each.place for each in legal_notes(integration)]) is noted


@pytest.mark.parametrize(
    ("policy", "program", "name", "noted"),
    [
        ({}, "main", "sms_opt_in", True),
        (EVERYONE, "main", "sms_opt_in", False),
        ({}, None, "sms_opt_in", False),
        ({}, "main", None, False),
    ],
)
def test_a_yes_to_texts_that_is_not_heard_is_noted(
    policy: Any, program: str | None, name: str | None, noted: bool
) -> None:
    """Who says no to email is not sent, whatever they say to texts."""
    usual = {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True}
    account = {"account_url": "https://admin.cordial.io", "api_key": "k"}
    integration = Integration.model_validate(
        {
            "name": "Spring quiz",
            "cordial": account | {"sms": {"program": program}},
            "jebbit": {"attributes": {"sms_opt_in": name}},
            "policy": usual | policy,
        }
    )
    noticed = [each.place for each in legal_notes(integration)]
    assert ("jebbit.attributes.sms_opt_in" in noticed) is noted


def test_strictest_choice_has_no_notes() -> None:
    """Only people who opted in, nobody brought back: nothing to point out."""
    integration = Integration.model_validate(
        {
            "name": "Spring quiz",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "k"},
            "jebbit": {"webhook_secrets": ["s"], "region": None},
            "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True},
        }
    )
    assert legal_notes(integration) == []


@pytest.mark.parametrize(("region", "noted"), [("us", True), ("eu", False), (None, False)])
def test_people_without_a_country_are_noted(region: Any, noted: bool) -> None:
    """`us` takes them for people outside the EU."""
    integration = Integration.model_validate(
        {
            "name": "Spring quiz",
            "cordial": {"account_url": "https://admin.cordial.io", "api_key": "k"},
            "jebbit": {"webhook_secrets": ["s"], "region": region},
            "policy": {"collect": "both", "opt_in": "opted_in_only", "auto_subscribe": True},
        }
    )
    notes = {each.place: each for each in legal_notes(integration)}
    assert ("jebbit.region" in notes) is noted
    assert not noted or "outside the EU" in notes["jebbit.region"].problem
