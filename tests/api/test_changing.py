"""A change is made to what was looked at, and one of what sends is checked first."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.sandbox.faults import Fault
from tests.api.conftest import problem
from tests.conftest import API_KEY
from tests.waiting import wait_for

WRONG_CASE = {
    "mapping": [
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "outcome", "field": "Quiz_Outcome"},
    ]
}


def test_each_answer_carries_the_version(shared, quiz):
    """In the body, and as the ETag; a change counts it on, pausing does not."""
    path = f"/integrations/{quiz}"
    read = shared.client.get(path)
    version = read.json()["version"]
    assert read.headers["etag"] == f'"{version}"'
    changed = shared.client.patch(path, json={"name": "Another"})
    assert changed.json()["version"] == version + 1
    assert changed.headers["etag"] == f'"{version + 1}"'
    paused = shared.client.post(f"{path}/pause")
    assert paused.headers["etag"] == f'"{version + 1}"'


@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"1", "{}"', "*"])
def test_a_change_to_the_version_looked_at_is_made(shared, quiz, form):
    """However the version is written."""
    path = f"/integrations/{quiz}"
    version = shared.client.get(path).json()["version"]
    headers = {"if-match": form.format(version)}
    assert shared.client.patch(path, json={"unmapped": "known"}, headers=headers).status_code == 200


@pytest.mark.parametrize("form", ['"{}"', "nonsense", '"', '""', '"-1"', "²", "9" * 400])
def test_a_change_to_what_was_changed_since_is_refused(shared, quiz, form):
    """412 names the version it has now; nothing of the change is made."""
    path = f"/integrations/{quiz}"
    version = shared.client.get(path).json()["version"]
    shared.client.patch(path, json={"name": "Another"})
    headers = {"if-match": form.format(version).encode()}
    answer = shared.client.patch(path, json={"name": "Mine"}, headers=headers)
    assert f"version {version + 1} now" in problem(answer, 412)["detail"]
    assert shared.client.get(path).json()["name"] == "Another"


def test_what_sends_is_checked_before_it_is_changed(shared, create, sandbox_server):
    """As by resume: 409 names the places, and nothing is changed, unless by force."""
    path = f"/integrations/{create()}"
    before = shared.client.get(path).json()
    told = problem(shared.client.patch(path, json=WRONG_CASE), 409)
    assert [each["place"] for each in told["errors"]] == ["mapping.1"]
    assert "Write quiz_outcome." in told["detail"]
    wrong_key = {"cordial": {"api_key": "a-wrong-key-of-cordial"}}
    told = problem(shared.client.patch(path, json=wrong_key), 409)
    assert [each["place"] for each in told["errors"]] == ["cordial.api_key"]
    assert shared.client.get(path).json() == before
    assert shared.client.patch(f"{path}?force=true", json=WRONG_CASE).status_code == 200


def test_what_is_changed_while_it_is_checked_is_checked_again(shared, create, sandbox_server):
    """It may be changed unchecked while it is paused, so a resume that looks on looks anew."""
    path = f"/integrations/{create(state='paused')}"
    sandbox = sandbox_server.sandbox
    sandbox.faults.append(Fault(kind="slow", times=1, seconds=1.0))
    with ThreadPoolExecutor(1) as colleague:
        resumed = colleague.submit(shared.client.post, f"{path}/resume")
        wait_for(lambda: sandbox.journal.after(0), 10, "the check asks Cordial")
        assert shared.client.patch(path, json=WRONG_CASE).status_code == 200
        told = problem(resumed.result(), 409)
    assert [each["place"] for each in told["errors"]] == ["mapping.1"]
    assert shared.client.get(path).json()["state"] == "paused"


def test_what_does_not_send_is_changed_unchecked(shared, create, sandbox_server):
    """A draft may be wrong: resuming checks it."""
    path = f"/integrations/{create(state='paused')}"
    assert shared.client.patch(path, json=WRONG_CASE).status_code == 200
    assert len(sandbox_server.sandbox.journal) == 0
    problem(shared.client.post(f"{path}/resume"), 409)


@pytest.mark.parametrize(
    "patch",
    [{}, {"name": "Another"}, {"jebbit": {"webhook_secrets": ["whsec-another-fedcba98"]}}],
    ids=["nothing", "name", "webhook secret"],
)
def test_what_changes_nothing_that_is_sent_is_not_checked(shared, create, sandbox_server, patch):
    """A webhook secret can be rotated while Cordial is down."""
    path = f"/integrations/{create()}"
    assert shared.client.patch(path, json=patch).status_code == 200
    assert len(sandbox_server.sandbox.journal) == 0


@pytest.mark.parametrize("state", ["active", "paused"])
@pytest.mark.parametrize(
    "key", [{}, {"api_key": f"****{API_KEY[-4:]}"}], ids=["left out", "masked"]
)
def test_a_key_does_not_follow_the_account_to_another_host(
    shared, create, sandbox_server, state, key
):
    """Whoever may change the address could else have the key sent to a host of their own."""
    path = f"/integrations/{create(state=state)}"
    moved = {"cordial": {"account_url": "https://usw2.admin.cordial.io", **key}}
    told = problem(shared.client.patch(path, json=moved), 422)
    assert [each["place"] for each in told["errors"]] == ["cordial.api_key"]
    assert len(sandbox_server.sandbox.journal) == 0


def test_an_account_moves_with_a_key_given_anew(shared, create):
    """And the same host written in another way is no move."""
    path = f"/integrations/{create(state='paused')}"
    for patch in (
        {"account_url": "https://admin.cordial.io", "api_key": "a-key-of-that-account"},
        {"account_url": "https://api.cordial.com/v2/"},
    ):
        answer = shared.client.patch(path, json={"cordial": patch})
        assert answer.status_code == 200, answer.text
