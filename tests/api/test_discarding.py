"""Giving submissions up: what a person has dealt with leaves the list of the dead."""

import pytest

PERSON = {"email": "ann@example.com", "opt_in": "true"}


def dead(shared, quiz, number=1):
    """Return the ids of submissions that could not be read."""
    bodies = [f'[{{"n": {each}}}, {each}'.encode() for each in range(number)]
    for body in bodies:
        assert shared.post(body, quiz).status_code == 400
    listed = shared.client.get(f"/submissions?integration={quiz}&status=dead").json()
    return [each["id"] for each in listed["submissions"]]


def test_a_dead_one_is_discarded(shared, quiz):
    """It counts as skipped from then on, its payload as long as those are kept."""
    [one] = dead(shared, quiz)
    answer = shared.client.post(f"/submissions/{one}/discard")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["status"], found["reason"]) == ("skipped", "discarded")
    assert found["payload"]
    listed = shared.client.get(f"/submissions?integration={quiz}&status=dead").json()
    assert listed["submissions"] == []


def test_a_settled_one_is_not(shared, quiz):
    """Nothing is left to end, and the answer says so."""
    [one] = dead(shared, quiz)
    shared.client.post(f"/submissions/{one}/discard")
    again = shared.client.post(f"/submissions/{one}/discard")
    assert again.status_code == 409
    assert again.json()["detail"] == "It is skipped; only dead and pending ones are discarded."
    assert shared.client.post(f"/submissions/{'0' * 32}/discard").status_code == 404


def test_many_are_discarded_after_they_were_counted(shared, quiz):
    """By filter; a dry run changes nothing."""
    ids = dead(shared, quiz, 3)
    wanted = {"integration": quiz, "status": "dead", "reason": "unreadable"}
    counted = shared.client.post("/submissions/discard", json=wanted).json()
    assert counted == {"dry_run": True, "discarded": 3}
    assert shared.submission(ids[0])["status"] == "dead"
    assert shared.client.post("/submissions/discard?confirm=true", json=wanted).json() == {
        "dry_run": False,
        "discarded": 3,
    }
    assert {shared.submission(each)["reason"] for each in ids} == {"discarded"}
    refused = shared.client.post("/submissions/discard", json={**wanted, "status": "delivered"})
    assert refused.status_code == 422


@pytest.mark.parametrize("which", [0, 1])
def test_a_pending_one_leaves_the_line(service, which):
    """What waited behind it goes on; what was before it is not held up."""
    running = service()
    running.create_integration(state="paused")
    made = [running.post({**PERSON, "n": each}).json()["submissions"][0] for each in range(3)]
    running.client.post(f"/submissions/{made[which]}/discard").raise_for_status()
    running.client.post("/integrations/spring-quiz/resume?force=true").raise_for_status()
    settled = [running.wait(each) for each in made]
    told = ["discarded" if each == which else None for each in range(3)]
    assert [each["reason"] for each in settled] == told
