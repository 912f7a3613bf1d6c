"""What a call does not understand it refuses: a slip never changes more than was asked for."""

from datetime import UTC, datetime

import pytest

from app.api.queries import nearest
from tests.api.conftest import ANN, problem

NOW = 1_700_000_000.0
HOUR = 3_600.0


def calls(shared) -> list[tuple[str, str]]:
    found = []
    for path, operations in shared.anyone.get("/openapi.json").json()["paths"].items():
        found += [(each.upper(), path) for each, told in operations.items() if told.get("security")]
    return found


def test_every_call_refuses_a_parameter_that_it_does_not_know(shared, quiz):
    """422 before anything is done, whatever the call; the parameter is named."""
    known = {
        "integration_id": quiz,
        "submission_id": "0" * 32,
        "last4": "cdef",
        "version": "1",
        "jebbit_id": "x",
    }
    for method, path in calls(shared):
        answer = shared.client.request(method, path.format(**known), params={"zzz": "true"})
        told = problem(answer, 422)
        assert [each["place"] for each in told["errors"]] == ["zzz"], (method, path)
        assert told["detail"].startswith("zzz: is no parameter of this call"), (method, path)
    assert shared.client.get(f"/integrations/{quiz}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "near"),
    [
        ("POST", "/submissions/replay?status=dead&dryrun=true", "dry_run"),
        ("POST", "/submissions/replay?status=dead&Confirm=true", "confirm"),
        ("POST", "/submissions/discard?status=dead&dry-run=true", "dry_run"),
        ("POST", "/erasures?dryRun=true", "dry_run"),
        ("GET", "/submissions?state=dead", "status"),
        ("GET", "/submissions?Status=dead", "status"),
        ("GET", "/submissions?integrations=quiz", "integration"),
        ("DELETE", "/integrations/quiz?forced=true", "force"),
        ("POST", "/integrations/quiz/check?createMissing=true", "create_missing"),
    ],
)
def test_the_near_one_is_named(shared, method, path, near):
    """A slip is told as one."""
    answer = shared.client.request(method, path, json=None if method == "GET" else {})
    assert f"Do you mean {near}?" in problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/submissions?status=dead&status=skipped",
        "/submissions?limit=1&limit=1",
        "/erasures?dry_run=true&dry_run=false",
        "/submissions/replay?status=dead&confirm=false&confirm=true",
    ],
)
def test_a_parameter_is_given_once(shared, path):
    """Which of two were meant is not guessed."""
    method = "GET" if path.startswith("/submissions?") else "POST"
    told = problem(shared.client.request(method, path), 422)
    assert "is given several times; give it once." in told["detail"]


def test_strangers_learn_no_parameter(shared):
    """The token comes first."""
    assert shared.anyone.get("/submissions?zzz=1").status_code == 401


def test_an_erasure_is_never_made_by_a_slip(shared, quiz):
    """Counted, with the flag as it is written; refused with any other."""
    person = {"email": "slip@example.com", "opt_in": "yes"}
    [stored] = shared.post(person, quiz).json()["submissions"]
    for query in ("dry_run=true", "dryrun=true", "dry_run=", "dry_run=maybe", "confirm=false"):
        shared.client.post(f"/erasures?{query}", json={"email": person["email"]})
        assert shared.submission(stored)["payload"], query


# --- Many at once -----------------------------------------------------------------------------


def unreadable(shared, quiz, number) -> list[str]:
    bodies = [f'[{{"n": {each}}}, {each}'.encode() for each in range(number)]
    for body in bodies:
        shared.post(body, quiz)
    listed = shared.client.get("/submissions", params={"integration": quiz, "status": "dead"})
    return [each["id"] for each in listed.json()["submissions"]]


@pytest.mark.parametrize("where", ["body", "query"])
@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_many_are_counted_until_somebody_confirms(shared, quiz, verb, where):
    """The filter is the list's, in the body or in the query; without `confirm` nothing changes."""
    ids = unreadable(shared, quiz, 2)
    wanted = {"integration": quiz, "status": "dead", "reason": "unreadable", "since": "1h"}
    given = {"json": wanted} if where == "body" else {}
    path = f"/submissions/{verb}"

    def ask(**flags):
        params = flags if where == "body" else {**wanted, **flags}
        answer = shared.client.post(path, params=params, **given)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    past = "replayed" if verb == "replay" else "discarded"
    for flags in ({}, {"dry_run": "true"}, {"confirm": "false"}):
        counted = ask(**flags)
        assert (counted["dry_run"], counted[past]) == (True, 2)
    assert {shared.submission(each)["status"] for each in ids} == {"dead"}
    done = ask(confirm="true")
    assert (done["dry_run"], done[past]) == (False, 2)
    assert "dead" not in {shared.submission(each)["status"] for each in ids}


@pytest.mark.parametrize(
    ("query", "body", "place"),
    [
        ("confirm=true", None, "Say which ones"),
        ("confirm=true", {}, "Say which ones"),
        ("confirm=true&dry_run=true", {"status": "dead"}, "give one of them"),
        ("dry_run=false", {"status": "dead"}, "give one of them"),
        ("confirm=true&status=dead", {"status": "skipped"}, "in the query and in the body"),
        ("confirm=true", {"status": "pending"}, "status: Pending ones"),
        ("confirm=true", {"status": "test"}, "status: Tests are never sent"),
        ("confirm=true", {"reason": "rejectd"}, "Do you mean rejected?"),
        ("confirm=true", {"status": "dead", "dry_run": True}, "dry_run: Extra inputs"),
        ("confirm=true", {"contact": "ann"}, "ive an email address"),
    ],
)
def test_what_cannot_be_meant_sends_nothing_again(shared, query, body, place):
    """422 says what to write."""
    answer = shared.client.post(f"/submissions/replay?{query}", json=body)
    assert place in problem(answer, 422)["detail"]


def test_a_replay_of_an_unknown_integration_is_refused(shared):
    """404, as the list says: a count of 0 would be taken for an answer."""
    for answer in (
        shared.client.get("/submissions?integration=nobody"),
        shared.client.post("/submissions/replay", json={"integration": "nobody"}),
        shared.client.post("/submissions/discard?integration=nobody&confirm=true"),
    ):
        assert "No integration has the id 'nobody'" in problem(answer, 404)["detail"]


def test_what_a_deleted_integration_left_can_be_found(shared, quiz):
    """Its name still narrows."""
    [stored] = shared.post(ANN, quiz).json()["submissions"]
    shared.client.delete(f"/integrations/{quiz}?force=true").raise_for_status()
    listed = shared.client.get(f"/submissions?integration={quiz}").json()["submissions"]
    assert [(each["id"], each["reason"]) for each in listed] == [(stored, "integration_deleted")]


# --- Times ------------------------------------------------------------------------------------


def written(at: float) -> list[str]:
    """Return the forms of a time, as a query has them when they were pasted unencoded."""
    utc = datetime.fromtimestamp(at, UTC)
    return [
        utc.isoformat(),
        utc.isoformat().replace("+", " "),
        utc.isoformat(timespec="microseconds").replace("+", " "),
        utc.isoformat().replace("T", " "),
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%Y-%m-%dT%H:%M:%S.000Z}",
        f"{utc:%Y-%m-%dt%H:%M:%Sz}",
        f"{utc:%Y-%m-%dT%H:%M:%S}",
        f"{utc:%Y-%m-%dT%H:%M:%S 0000}",
        f"{at:.0f}",
    ]


def test_our_own_times_can_be_pasted(shared, quiz, clock):
    """Also where a query made their plus a space; spans count back from now."""
    clock.fixed = NOW
    [early] = shared.post({"n": 1}, quiz, at=NOW).json()["submissions"]
    clock.fixed = NOW + HOUR
    [late] = shared.post({"n": 2}, quiz, at=NOW + HOUR).json()["submissions"]

    def listed(query: str) -> list[str]:
        answer = shared.client.get(f"/submissions?integration={quiz}&{query}")
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["submissions"]]

    shown = shared.submission(late)["received_at"]
    for since in (shown, *written(NOW + HOUR), "30m"):
        assert listed(f"since={since}") == [late], since
        assert listed(f"until={since}") == [early], since
    for since in ("2h", "7d", "1w", "2023-11-14", "60m"):
        assert listed(f"since={since}") == [late, early], since


def test_the_nearest_name_disregards_case_and_separators():
    """As people mix them up; what is far from all is none of them."""
    known = ["dry_run", "confirm", "force"]
    assert {nearest(each, known) for each in ("dryRun", "dry-run", "DRYRUN", "dry_runs")} == {
        "dry_run"
    }
    assert nearest("limit", known) is None
