"""One integration's page: whether it sends, what is wrong, and what can be done."""

import re
import sqlite3
from contextlib import closing
from itertools import count

import httpx
import pytest

from app.ledger.schema import GateState
from tests.conftest import WEBHOOK_SECRET
from tests.console.stage import staged
from tests.console.test_pages import text_of
from tests.jebbit_api.stand_in import CLIENT_ID, CLIENT_SECRET, running_stand_in
from tests.waiting import wait_for

_numbers = count(1)


@pytest.fixture
def made(stage):
    """An integration of the test's own, and its page's address."""
    quiz = stage.create(f"Own {next(_numbers)}")
    yield quiz
    stage.ops.delete(f"/integrations/{quiz}?force=true")


def page_of(client, quiz, **how):
    answer = client.get(f"/console/integrations/{quiz}", **how)
    assert answer.status_code == 200, answer.text
    return text_of(answer.text)


def test_it_says_whether_it_sends_and_whom(stage, admin, viewer):
    """In words, answer by answer; secrets as their last four characters."""
    for client in (admin, viewer):
        said = page_of(client, "spring-quiz")
        assert "Spring quiz Sending" in said
        assert "No answer sent, subscribed sent, left as it is sent, left as it is" in said
        assert "Yes sent, subscribed sent, subscribed sent, subscribed" in said
        assert "No not sent not sent not sent" in said
        assert f"{stage.url}/webhooks/jebbit/spring-quiz" in said
        assert f"****{WEBHOOK_SECRET[-4:]}" in said
        assert WEBHOOK_SECRET not in said


def test_a_viewer_is_offered_no_change(viewer):
    """Neither buttons nor the words of unclear answers."""
    answer = viewer.get("/console/integrations/spring-quiz")
    assert answer.text.count("<form") == 3  # find, sign out, and the help
    assert "maybe later" not in answer.text
    for action in ("check", "pause", "resume", "secrets", "secrets/remove", "test", "backfill"):
        assert viewer.post(f"/console/integrations/spring-quiz/{action}").status_code == 403


def test_what_the_source_sends_is_listed(admin):
    """Used keys are marked, with what they fill."""
    answer = admin.get("/console/integrations/spring-quiz").text
    assert "<mark>outcome</mark>" in answer
    assert "“maybe later”" in answer


def test_the_last_refused_webhooks_are_listed(stage, admin, made):
    """With the reason in words, without their content."""
    assert "Refused webhooks None." in page_of(admin, made)
    stage.refuse({"email": "kai@example.com"}, made)
    wait_for(lambda: "the signature is wrong" in page_of(admin, made))
    assert "kai@" not in page_of(admin, made)


def test_a_check_shows_what_it_found_and_where(admin):
    """Each finding with its place, which leads to the field on the page."""
    answer = admin.post("/console/integrations/strict/check")
    assert answer.status_code == 200
    said = text_of(answer.text)
    assert "What the check found" in said
    assert "Cordial has quiz_outcome" in said
    assert '<a href="#rule-1">mapping.1</a>' in answer.text
    assert 'id="rule-1"' in answer.text
    assert "Create in Cordial what is missing" not in said  # nothing is


def test_what_the_check_misses_in_cordial_is_created_from_there(stage, admin, made):
    """By a button, of which a finding that makes calls says nothing."""
    rules = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "outcome", "field": "not_there_yet"},
    ]
    stage.ops.patch(f"/integrations/{made}?force=true", json={"mapping": rules})
    path = f"/console/integrations/{made}/check"
    said = text_of(admin.post(path).text)
    assert "Cordial has no attribute not_there_yet" in said
    assert "Create in Cordial what is missing, and check again" in said
    assert "create_missing" not in said
    said = text_of(admin.post(path, data={"create_missing": "yes"}).text)
    assert "Cordial has no attribute not_there_yet" not in said


def test_a_check_without_findings_says_so(stage, admin, made):
    """Nothing is wrong."""
    assert "What the check found" in text_of(admin.post(f"/console/integrations/{made}/check").text)


def test_it_is_paused_and_resumed(admin, made):
    """Each leads back to the page, which says what was done."""
    for action, said in (("pause", "It is paused."), ("resume", "It sends again.")):
        done = admin.post(f"/console/integrations/{made}/{action}")
        assert done.status_code == 303
        assert said in text_of(admin.get(done.headers["location"]).text)


def test_it_is_not_resumed_with_errors_unless_a_person_insists(stage, admin):
    """The findings are shown, with a way to do it all the same."""
    quiz = stage.create(
        "Wrong",
        state="paused",
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "no_such_field"},
        ],
    )
    refused = admin.post(f"/console/integrations/{quiz}/resume")
    assert refused.status_code == 409
    assert "no_such_field" in refused.text
    assert "Resume although there are errors" in refused.text
    assert "Paused" in page_of(admin, quiz)
    forced = admin.post(f"/console/integrations/{quiz}/resume", data={"force": "yes"})
    assert forced.status_code == 303
    assert "Sending" in page_of(admin, quiz)
    stage.ops.delete(f"/integrations/{quiz}?force=true")


def test_secrets_are_rotated(admin, made):
    """Added, then the old one removed; what is wrong is told in its place."""
    path = f"/console/integrations/{made}/secrets"
    new = "another-secret-of-jebbit-4711"
    assert "needs at least 16 characters" in admin.post(path, data={"secret": "short"}).text
    assert "needs at least 16" in admin.post(path).text
    for copied in (f"\u200b{new}", "schlüssel-von-jebbit-4711"):
        refused = admin.post(path, data={"secret": copied})
        assert refused.status_code == 422
        assert "secret: must be plain ASCII" in refused.text
        assert copied not in refused.text
    assert admin.post(path, data={"secret": new}).status_code == 303
    said = page_of(admin, made)
    assert "****4711" in said
    assert new not in said
    old = WEBHOOK_SECRET[-4:]
    assert admin.post(f"{path}/remove", data={"named": "none"}).status_code == 404
    assert admin.post(f"{path}/remove", data={"named": old}).status_code == 303
    last = admin.post(f"{path}/remove", data={"named": "4711"})
    assert "This is the last webhook secret" in last.text


@pytest.mark.parametrize("state", GateState)
def test_every_state_of_the_gate_has_words(stage, admin, made, state):
    """The page and the overview say it, and the cause."""
    with closing(sqlite3.connect(stage.ledger)) as ledger, ledger:
        change = "UPDATE integrations SET gate = ?, gate_reason = ?, gate_until = ? WHERE id = ?"
        ledger.execute(change, (state.value, "The cause of it.", 4e9, made))
    said = page_of(admin, made)
    assert ("The cause of it." in said) == (state is not GateState.OPEN)
    assert admin.get("/console").status_code == 200


def test_jebbit_is_asked_for_a_test_and_a_backfill(tmp_path):
    """By remembered credentials or ones given; a backfill wants a confirmation."""
    with (
        running_stand_in() as jebbit,
        staged(tmp_path, run_worker=False, jebbit_api_url=jebbit.url) as stage,
    ):
        quiz = stage.create("Spring quiz")
        page = f"/console/integrations/{quiz}"
        with stage.visit() as admin:
            assert "Not registered from here" in page_of(admin, quiz)
            assert admin.post(f"{page}/test").status_code == 409
            credentials = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            made = stage.ops.post(f"/integrations/{quiz}/jebbit/register", json=credentials)
            assert made.status_code == 201, made.text
            assert "no credentials are kept" in page_of(admin, quiz)
            assert "no credentials are remembered" in admin.post(f"{page}/test").text
            done = admin.post(f"{page}/test", data=credentials)
            assert "Jebbit was asked for a test webhook" in admin.get(done.headers["location"]).text
            asked = admin.post(f"{page}/backfill", data=credentials)
            assert "Let Jebbit send everything" in asked.text
            assert jebbit.backfills == []
            done = admin.post(f"{page}/backfill", data={**credentials, "sure": "yes"})
            assert "all that it has collected" in admin.get(done.headers["location"]).text
            assert len(jebbit.backfills) == 1
            spaced = {name: f" {each}\n" for name, each in credentials.items()}
            assert admin.post(f"{page}/test", data={**spaced, "business_id": " "}).is_redirect
            copied = admin.post(f"{page}/test", data={**credentials, "business_id": "biz\u20131"})
            assert copied.status_code == 422
            assert "business_id: holds a space or a sign that is not ASCII" in copied.text
            wrong = {**credentials, "client_secret": "wrong"}
            refused = admin.post(f"{page}/test", data=wrong)
            assert refused.status_code == 422
            assert CLIENT_SECRET not in refused.text


@pytest.mark.parametrize("name", ["nobody", "%00", "é", "x" * 300])
def test_an_unknown_integration_is_told(admin, name):
    """As a page, whatever is asked of it."""
    path = f"/console/integrations/{name}"
    assert "There is no such integration" in admin.get(path).text
    for action in ("check", "pause", "resume"):
        assert admin.post(f"{path}/{action}").status_code == 404


def test_it_is_renewed_without_reading_all_payloads(admin):
    """What a live page asks for again lacks only what it does not renew."""
    answer = admin.get("/console/integrations/spring-quiz", headers={"x-refresh": "1"})
    assert 'id="state"' in answer.text
    assert "What the source sends" not in answer.text


def test_links_stay_under_a_proxys_prefix(tmp_path):
    """Each address begins with the path under which a proxy shows us, taken off by it or not."""
    with staged(tmp_path, run_worker=False, public_url="https://example.com/a/sync") as stage:
        stage.create("Strict")
        (waiting,) = stage.post({"email": "ann@example.com"}, "strict")
        for prefix in ("", "/a/sync"):
            headers = {"origin": "https://example.com"}
            with httpx.Client(base_url=stage.url + prefix, headers=headers) as client:
                assert client.get("/").headers["location"] == "/a/sync/console"
                asked = client.get("/console/submissions?status=dead").headers["location"]
                wanted = "%2Fa%2Fsync%2Fconsole%2Fsubmissions%3Fstatus%3Ddead"
                assert asked == f"/a/sync/console/sign-in?next={wanted}"
                signed_in = client.post("/console/sign-in", data={"token": stage.token})
                assert signed_in.headers["location"] == "/a/sync/console"
                assert "Path=/a/sync/console" in signed_in.headers["set-cookie"]
                kept = f"console_session={signed_in.cookies['console_session']}"
                for path in ("", "/submissions", f"/submissions/{waiting}", "/integrations/strict"):
                    page = client.get(f"/console{path}", headers={"cookie": kept})
                    assert page.status_code == 200
                    links = re.findall(r'(?:href|src|action|data-cookies)="(/[^"]*)"', page.text)
                    assert links
                    assert all(each.startswith("/a/sync/") for each in links)
