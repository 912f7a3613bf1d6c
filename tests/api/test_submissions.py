"""Ops find any submission, see what became of it and why, and send it again."""

import base64
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.jebbit.signature import TEST_HEADER
from tests.conftest import Service

ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}
BEN = {"email": "ben@example.com", "opt_in": "true", "outcome": "Calm"}
NOW = 1_700_000_000.0
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")


def listed(service: Service, **params: Any) -> list[str]:
    """Return the ids of a list, newest first."""
    answer = service.client.get("/submissions", params=params)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["submissions"]]


def told(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def sent(service: Service, body: Any, quiz: str = "spring-quiz", **options: Any) -> list[str]:
    return list(service.post(body, quiz, **options).json()["submissions"])


# --- List ---------------------------------------------------------------------------------------


def test_a_list_is_narrowed_by_status_reason_and_contact(shared, quiz):
    """Each filter alone and together with others; the newest comes first."""
    people = [ANN, {**BEN, "phone_number": "(212) 555-0123"}, 5]
    shared.client.patch(
        f"/integrations/{quiz}",
        json={
            "mapping": [
                {"attribute": "email", "field": "channels.email.address"},
                {"attribute": "phone_number", "field": "channels.sms.address"},
            ]
        },
    )
    ann, ben, unreadable = sent(shared, people, quiz)
    [test] = sent(shared, ANN, quiz, headers={TEST_HEADER: ""})
    everything = [test, unreadable, ben, ann]
    for params, ids in [
        ({}, everything),
        ({"status": "pending"}, [ben, ann]),
        ({"status": "dead"}, [unreadable]),
        ({"status": "test"}, [test]),
        ({"status": "delivered"}, []),
        ({"reason": "unreadable"}, [unreadable]),
        ({"reason": "rejected"}, []),
        ({"contact": "ann@example.com"}, [test, ann]),
        ({"contact": " ANN@Example.com "}, [test, ann]),
        ({"contact": "ann@example.com", "status": "pending"}, [ann]),
        ({"contact": "ben@example.com"}, [ben]),
        ({"contact": "+12125550123"}, [ben]),
        ({"contact": "212-555-0123"}, [ben]),
        ({"contact": "nobody@example.com"}, []),
    ]:
        assert listed(shared, integration=quiz, **params) == ids, params
    assert set(everything) <= set(listed(shared, limit=500))


def test_a_list_is_narrowed_by_the_time_of_receipt(shared, quiz, clock):
    """`since` is included, `until` is not; a time without a zone is UTC."""
    ids = []
    for n in range(3):
        clock.fixed = NOW + n
        ids += sent(shared, {**ANN, "n": n}, quiz, at=NOW)
    at = [(datetime.fromtimestamp(NOW + n, UTC)).isoformat() for n in range(3)]
    assert listed(shared, integration=quiz, since=at[1]) == [ids[2], ids[1]]
    assert listed(shared, integration=quiz, until=at[1]) == [ids[0]]
    assert listed(shared, integration=quiz, since=at[1], until=at[2]) == [ids[1]]
    assert listed(shared, integration=quiz, since=at[1].removesuffix("+00:00")) == [ids[2], ids[1]]
    there = datetime.fromisoformat(at[1]) + timedelta(hours=2)
    assert listed(
        shared, integration=quiz, since=f"{there:%Y-%m-%dT%H:%M:%S}+02:00", until=at[2]
    ) == [ids[1]]


def test_pages_stay_stable_while_new_ones_arrive(shared, quiz):
    """Following the cursor shows each submission once, whatever comes meanwhile."""
    ids = sent(shared, [{"n": n} for n in range(7)], quiz)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        params = {"integration": quiz, "limit": 3, **({"cursor": cursor} if cursor else {})}
        page = shared.client.get("/submissions", params=params).json()
        seen += [each["id"] for each in page["submissions"]]
        cursor, pages = page["cursor"], pages + 1
        sent(shared, {"late": pages}, quiz)
    assert seen == list(reversed(ids))
    assert pages == 3


def test_the_last_page_has_no_cursor(shared, quiz):
    """Also where it is exactly full."""
    sent(shared, [{"n": n} for n in range(2)], quiz)
    page = shared.client.get("/submissions", params={"integration": quiz, "limit": 2}).json()
    assert (len(page["submissions"]), page["cursor"]) == (2, None)


@pytest.mark.parametrize(
    ("params", "place", "detail"),
    [
        ({"status": "lost"}, "status", "Input should be 'pending'"),
        ({"limit": 0}, "limit", "greater than or equal to 1"),
        ({"limit": 501}, "limit", "less than or equal to 500"),
        ({"since": "yesterday"}, "since", "write it as 2026-11-26T14:00:00Z"),
        ({"since": ""}, "since", "write it as"),
        ({"since": "0d"}, "since", "write it as"),
        ({"since": "1d", "until": "2d"}, "until", "before `since`"),
        ({"reason": "rejectd"}, "reason", "Do you mean rejected?"),
        ({"reason": "lost"}, "reason", "no_identity"),
        ({"integration": "Spring quiz"}, "integration", "match pattern"),
        ({"reason": "a'b"}, "reason", "match pattern"),
        ({"contact": "x" * 321}, "contact", "at most 320"),
        ({"cursor": "x" * 65}, "cursor", "at most 64"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(shared, params, place, detail):
    """422 names it: an empty list would be a lie."""
    answer = shared.client.get("/submissions", params=params)
    assert detail in told(answer, 422)
    assert [each["place"] for each in answer.json()["errors"]] == [place]


@pytest.mark.parametrize("contact", ["", "ann", "ann@", "555", "d41d8cd98f00b204e9800998ecf8427e"])
def test_a_contact_that_is_no_address_is_refused(shared, contact):
    """Else it would match nobody, or everybody without an address."""
    detail = told(shared.client.get("/submissions", params={"contact": contact}), 422)
    assert "ive an email address, or a phone number" in detail


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "====",
        "é",
        *(base64.urlsafe_b64encode(each).decode() for each in (b"-1", b"9" * 30, b"a")),
    ],
)
def test_a_cursor_of_another_make_is_refused(shared, cursor):
    """422, not a crash."""
    answer = shared.client.get("/submissions", params={"cursor": cursor})
    assert told(answer, 422) == "cursor: give it as the page before gave it."


def test_a_time_out_of_this_world_is_no_crash(shared):
    """The first and the last second that can be written are only very early and very late."""
    early, late = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"
    for moment in (early, late):
        answer = shared.client.get("/submissions", params={"since": moment, "until": moment})
        assert answer.status_code in (200, 422), answer.text


# --- Show ---------------------------------------------------------------------------------------


def test_a_delivered_submission_tells_its_whole_story(service, sandbox_server):
    """When it came, each attempt, what was left out, Cordial's contact, and the plan."""
    running = service()
    running.create_integration(
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "quiz_outcome"},
            {"attribute": "age", "field": "age", "type": "number"},
        ]
    )
    payload = {"data": {**ANN, "age": "old", "experience_date": "2023-11-14 22:13:20 UTC"}}
    [submission] = sent(running, payload)
    shown = running.wait(submission)
    assert (shown["id"], shown["integration"]) == (submission, "spring-quiz")
    assert (shown["status"], shown["reason"]) == ("delivered", None)
    assert shown["payload"] == payload
    assert shown["occurred_at"] == "2023-11-14T22:13:20+00:00"
    assert MOMENT.fullmatch(shown["received_at"])
    assert MOMENT.fullmatch(shown["settled_at"])
    [warning] = shown["warnings"]
    assert (warning["attribute"], warning["field"]) == ("age", "age")
    assert "number" in warning["detail"]
    assert shown["cordial_contact_id"] == sandbox_server.contact("ann@example.com").cid
    [attempt] = shown["attempts"]
    assert (attempt["http_status"], attempt["outcome"], attempt["error"]) == (
        201,
        "delivered",
        None,
    )
    assert attempt["ms"] > 0
    assert MOMENT.fullmatch(attempt["at"])
    assert shown["plan"]["request"]["body"] == sandbox_server.bodies()[0]
    fields = {each["field"]: each for each in shown["plan"]["fields"]}
    assert (fields["quiz_outcome"]["source"], fields["quiz_outcome"]["value"]) == ("Bold", "Bold")
    assert (fields["age"]["source"], fields["age"]["value"]) == ("old", None)


def test_a_skipped_submission_says_which_rule_said_no(service, sandbox_server):
    """Nothing was attempted; the plan shows what was read where."""
    running = service()
    running.create_integration(policy={"opt_in": "opted_in_only"})
    [submission] = sent(running, {**ANN, "opt_in": "No"})
    shown = running.wait(submission)
    assert (shown["status"], shown["reason"], shown["attempts"]) == ("skipped", "opted_out", [])
    assert (shown["plan"]["decision"], shown["plan"]["reason"]) == ("skip", "opted_out")
    assert shown["plan"]["opt_in"]["value"] == "No"
    assert sandbox_server.bodies() == []


@pytest.mark.parametrize("name", ["x", "0" * 32, "%00", "é", "0" * 5000, "O" * 32])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/replay")])
def test_an_unknown_submission_is_told(shared, method, path, name):
    """404 says where the known ones are listed."""
    detail = told(shared.client.request(method, f"/submissions/{name}{path}"), 404)
    assert detail.endswith("GET /submissions lists them.")


# --- Replay -------------------------------------------------------------------------------------


def test_a_dead_submission_is_replayed_by_the_rules_of_now(service, sandbox_server):
    """Mend the mapping, replay: the new mapping holds, the history stays."""
    running = service()
    running.create_integration(
        cordial={"on_rejected_field": "dead"},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "outcomes"},
        ],
    )
    [submission] = sent(running, ANN)
    dead = running.wait(submission)
    assert (dead["status"], dead["reason"]) == ("dead", "rejected")
    assert "outcomes" in dead["attempts"][0]["error"]
    mended = [
        dict(rule) for rule in running.client.get("/integrations/spring-quiz").json()["mapping"]
    ]
    mended[1]["field"] = "quiz_outcome"
    assert running.client.patch("/integrations/spring-quiz", json={"mapping": mended}).is_success
    replayed = running.client.post(f"/submissions/{submission}/replay")
    assert replayed.status_code == 202
    assert replayed.json()["id"] == submission
    settled = running.wait(submission)
    assert (settled["status"], settled["reason"]) == ("delivered", None)
    assert [each["outcome"] for each in settled["attempts"]] == ["rejected", "delivered"]
    assert sandbox_server.contact("ann@example.com").attributes["quiz_outcome"] == "Bold"


def test_a_skipped_submission_can_be_replayed_after_the_rule_was_changed(service, sandbox_server):
    """A wrong policy loses nobody."""
    running = service()
    running.create_integration(policy={"opt_in": "opted_in_only"})
    [submission] = sent(running, {"email": "ann@example.com"})
    assert running.wait(submission)["reason"] == "not_opted_in"
    running.client.patch(
        "/integrations/spring-quiz", json={"policy": {"opt_in": "opted_in_or_null"}}
    )
    assert running.client.post(f"/submissions/{submission}/replay").status_code == 202
    assert running.wait(submission)["status"] == "delivered"


def test_older_answers_are_not_put_over_newer_ones_by_chance(service, sandbox_server):
    """409 where a newer one of the contact was delivered; `force` does it all the same."""
    running = service()
    running.create_integration()
    older, newer = (sent(running, {**ANN, "outcome": each})[0] for each in ("Old", "New"))
    for each in (older, newer):
        assert running.wait(each)["status"] == "delivered"
    detail = told(running.client.post(f"/submissions/{older}/replay"), 409)
    assert detail.startswith("A newer submission of this contact was delivered")
    assert "force=true" in detail
    assert running.client.post(f"/submissions/{newer}/replay").status_code == 202
    assert running.wait(newer)["status"] == "delivered"
    assert running.client.post(f"/submissions/{older}/replay?force=true").status_code == 202
    assert running.wait(older)["status"] == "delivered"
    assert sandbox_server.contact("ann@example.com").attributes["quiz_outcome"] == "Old"


def test_what_cannot_be_replayed_says_why(shared, create):
    """Pending, a test, and of a deleted integration: 409 each, in words of its own."""
    quiz = create()
    [pending] = sent(shared, ANN, quiz)
    [test] = sent(shared, ANN, quiz, at=time.time() - 30, headers={TEST_HEADER: ""})
    for submission, words in ((pending, "pending already"), (test, "test webhook")):
        assert words in told(shared.client.post(f"/submissions/{submission}/replay"), 409)
    assert shared.client.delete(f"/integrations/{quiz}?force=true").status_code == 204
    gone = told(shared.client.post(f"/submissions/{pending}/replay"), 409)
    assert gone == "Its integration was deleted; create one of that name first."


@pytest.mark.parametrize("force", ["perhaps", ""])
def test_force_is_yes_or_no(shared, force):
    """422 names the parameter."""
    path = f"/submissions/{'0' * 32}/replay"
    assert "force" in told(shared.client.post(path, params={"force": force}), 422)


# --- Erase --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "who",
    [
        {},
        {"email": None},
        {"email": "", "phone": None},
        {"phone": "555"},
        {"email": "ann@example.com", "phone": "not a number"},
        {"email": "ann", "phone": "+12125550123"},
    ],
)
def test_who_is_to_be_erased_must_be_understood_in_full(shared, quiz, who):
    """One address that is understood does not hide that the other was passed over."""
    [waiting] = sent(shared, ANN, quiz)
    assert "phone number" in told(shared.client.post("/erasures", json=who), 422)
    assert shared.submission(waiting)["status"] == "pending"


def test_a_person_is_erased_by_both_addresses(shared, quiz):
    """Known by email in one submission, by phone in another: both are gone."""
    mapping = [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "phone", "field": "channels.sms.address"},
    ]
    shared.client.patch(f"/integrations/{quiz}", json={"mapping": mapping})
    person = {"email": "cleo@example.com", "phone": "+12125550177"}
    ids = [sent(shared, {name: value}, quiz)[0] for name, value in person.items()]
    erased = shared.client.post("/erasures", json=person)
    assert erased.json() == {"erased": 2}
    assert [shared.submission(each)["payload"] for each in ids] == [None, None]


def test_a_number_is_known_as_it_was_read_when_it_came(shared, create):
    """Also when its integration reads numbers of another country by now, or is gone."""
    mapping = [{"attribute": "phone", "field": "channels.sms.address"}]
    quiz = create(mapping=mapping, jebbit={"default_phone_country": "NZ"})
    number = "021 123 4567"  # as the person writes it
    [made] = sent(shared, {"phone": number}, quiz)

    def known():
        found = shared.client.get("/submissions", params={"contact": number}).json()
        return [each["id"] for each in found["submissions"]]

    assert known() == [made]
    elsewhere = {"jebbit": {"default_phone_country": "DE"}}
    assert shared.client.patch(f"/integrations/{quiz}", json=elsewhere).status_code == 200
    assert known() == [made]
    assert shared.client.delete(f"/integrations/{quiz}?force=true").status_code == 204
    assert known() == [made]
    assert shared.client.post("/erasures", json={"phone": number}).json() == {"erased": 1}
    assert known() == []


# --- Counts -------------------------------------------------------------------------------------


def test_the_counts_add_up(shared, quiz, clock):
    """By status, for each integration, with the age of the oldest that waits."""
    clock.fixed = NOW
    sent(shared, [ANN, BEN, 5], quiz, at=NOW)
    sent(shared, ANN, quiz, at=NOW, headers={TEST_HEADER: ""})
    clock.fixed = NOW + 90
    sent(shared, [ANN, {**BEN, "outcome": "Bold"}], quiz, at=NOW)
    [counted] = [each for each in shared.client.get("/stats").json() if each["integration"] == quiz]
    assert counted["by_status"] == {
        "pending": 3,
        "delivered": 0,
        "skipped": 0,
        "dead": 1,
        "test": 1,
    }
    assert counted["oldest_pending_seconds"] == 90


def test_an_integration_without_pending_ones_has_no_oldest(shared, quiz):
    """null, not 0: nothing waits."""
    shared.post(b"[5]", quiz)
    [counted] = [each for each in shared.client.get("/stats").json() if each["integration"] == quiz]
    assert (counted["by_status"]["dead"], counted["oldest_pending_seconds"]) == (1, None)
