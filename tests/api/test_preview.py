"""A preview shows what delivery would do, and does nothing."""

import pytest

from tests.api.conftest import ANN, problem
from tests.conftest import API_KEY


def test_a_preview_shows_the_exact_request_and_does_nothing(service, sandbox_server):
    """Every envelope, per submission; the body is the one that delivery then sends."""
    running = service()
    running.create_integration()
    path = "/integrations/spring-quiz/preview"
    shown = running.client.post(
        path, json=[{"data": ANN, "event": {"event_number": 0}}, 5, {}, {"n": 1}]
    )
    assert shown.status_code == 200
    [upsert, unreadable, skip] = shown.json()["submissions"]
    assert unreadable is None
    assert (skip["decision"], skip["reason"], skip["request"]) == ("skip", "no_identity", None)
    assert upsert["decision"] == "upsert"
    assert upsert["request"]["method"] == "POST"
    assert upsert["request"]["url"] == f"{sandbox_server.url}/v2/contacts"
    assert upsert["request"]["headers"]["Authorization"] == f"Basic ****{API_KEY[-4:]}:"
    assert upsert["opt_in"] == {
        "answer": "yes",
        "attribute": "opt_in",
        "value": "true",
        "trusted": True,
        "doubt": None,
    }
    assert (running.client.get("/submissions").json()["submissions"], sandbox_server.bodies()) == (
        [],
        [],
    )
    [sent] = running.post(ANN).json()["submissions"]
    assert running.wait(sent)["status"] == "delivered"
    assert sandbox_server.bodies() == [upsert["request"]["body"]]


def test_a_preview_follows_the_integration_as_it_is_now(shared, quiz):
    """Change a rule, look again."""
    path = f"/integrations/{quiz}"
    declined = {**ANN, "opt_in": "false"}
    before = shared.client.post(f"{path}/preview", json=declined).json()["submissions"][0]
    assert (before["decision"], before["reason"]) == ("skip", "opted_out")
    policy = {"opt_in": "everyone", "opt_in_field": "opt_in_status"}
    shared.client.patch(path, json={"policy": policy})
    after = shared.client.post(f"{path}/preview", json=declined).json()["submissions"][0]
    assert after["request"]["body"]["opt_in_status"] == "no"
    assert "subscribeStatus" not in after["request"]["body"]["channels"]["email"]


def test_a_preview_shows_what_speaks_against_silence_where_no_opt_in_is_named(shared, quiz):
    """By the key that it stands under, since there is no name for it."""
    path = f"/integrations/{quiz}"
    attributes = {"attributes": {"opt_in": None}}
    assert shared.client.patch(path, json={"jebbit": attributes}).is_success
    answer = shared.client.post(f"{path}/preview", json={**ANN, "email_opt_out": "yes"})
    assert answer.status_code == 200, answer.text
    [step] = [
        each
        for each in answer.json()["submissions"][0]["steps"]
        if each["place"] == "jebbit.attributes.opt_in"
    ]
    assert step["result"] == "unclear"
    assert step["read"][0]["key"] in step["sentence"]
    assert "names no attribute for it" in step["sentence"]


def test_a_preview_knows_what_the_contact_said_and_agreed_to_before(service, sandbox_server):
    """As delivery does: a no since, texts to another phone number, a no to texts without one."""
    running = service()
    running.create_integration(
        cordial={"sms": {"program": "main"}},
        jebbit={"attributes": {"sms_opt_in": "sms_opt_in"}},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "phone", "field": "channels.sms.address"},
        ],
    )
    person = {"email": "ann@example.com", "country_code": "US"}
    [sent] = running.post({**person, "phone": "415 555 2671", "sms_opt_in": "yes"}).json()[
        "submissions"
    ]
    running.wait(sent)
    [sent] = running.post({**person, "opt_in": "no"}).json()["submissions"]
    running.wait(sent)
    later = {**person, "phone": "415 555 9999", "sms_opt_in": "no"}
    shown = running.client.post("/integrations/spring-quiz/preview", json=later).json()
    body = shown["submissions"][0]["request"]["body"]
    assert body["channels"] == {"email": {"address": "ann@example.com"}}
    [sent] = running.post(later).json()["submissions"]
    assert running.wait(sent)["status"] == "delivered"
    assert sandbox_server.bodies()[-1] == body
    bob = {"email": "bob@example.com", "country_code": "US"}
    [sent] = running.post({**bob, "sms_opt_in": "no"}).json()["submissions"]
    running.wait(sent)
    older = {"experience_date": "2026-01-02 03:04:05 UTC", "phone": "415 555 2672"}
    older |= {**bob, "sms_opt_in": "yes"}
    shown = running.client.post("/integrations/spring-quiz/preview", json=older).json()
    body = shown["submissions"][0]["request"]["body"]
    assert body["channels"]["sms"] == {"address": "14155552672"}


def test_a_preview_tells_what_it_could_not_find_out(service, sandbox_server):
    """Unmapped attributes depend on Cordial: the plan is shown without them, with a note."""
    running = service(run_worker=False)
    running.create_integration(unmapped="known")
    path = "/integrations/spring-quiz/preview"
    told = {**ANN, "first_name": "Ann"}
    known = running.client.post(path, json=told).json()["submissions"][0]
    assert (known["request"]["body"]["first_name"], known["note"]) == ("Ann", None)
    wrong_key = {"cordial": {"api_key": "wrong-key-0000"}}
    patched = running.client.patch("/integrations/spring-quiz?force=true", json=wrong_key)
    assert patched.status_code == 200
    without_them = running.client.post(path, json=told).json()["submissions"][0]
    assert "first_name" not in without_them["request"]["body"]
    assert without_them["note"].startswith(
        "Unmapped attributes are not shown: Cordial answered 401"
    )


@pytest.mark.parametrize("content", [b"{", b"5", b"", b"null", b"\xff"])
def test_a_preview_of_what_cannot_be_read_is_refused(shared, quiz, content):
    """A problem document, whatever bytes were pasted."""
    headers = {"content-type": "application/json"}
    answer = shared.client.post(f"/integrations/{quiz}/preview", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code)
