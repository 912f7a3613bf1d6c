"""Integrations are paused, resumed and deleted."""

import pytest

from tests.api.conftest import ANN, problem


def test_pausing_and_resuming_are_told(shared, quiz, sandbox_server):
    """With a reason while paused; both can be said twice."""
    for _ in range(2):
        paused = shared.client.post(f"/integrations/{quiz}/pause").json()
        assert (paused["state"], paused["state_reason"]) == ("paused", "Paused by a person.")
    for _ in range(2):
        resumed = shared.client.post(f"/integrations/{quiz}/resume").json()
        assert (resumed["state"], resumed["state_reason"]) == ("active", None)


def test_what_came_while_paused_is_sent_on_resuming(service, sandbox_server):
    """Webhooks are accepted all the same; sending waits."""
    running = service()
    running.create_integration(state="paused")
    [waiting] = running.post(ANN).json()["submissions"]
    other = running.create_integration(name="Other")["id"]
    [sent] = running.post({**ANN, "email": "ben@example.com"}, other).json()["submissions"]
    assert running.wait(sent)["status"] == "delivered"
    assert running.submission(waiting)["status"] == "pending"
    assert running.client.post("/integrations/spring-quiz/resume").json()["state"] == "active"
    assert running.wait(waiting)["status"] == "delivered"


def test_an_integration_with_pending_submissions_is_not_deleted_by_chance(shared, quiz):
    """409 says how many; with force they become dead and are kept."""
    ids = shared.post([ANN, {**ANN, "email": "b@example.com"}], quiz).json()["submissions"]
    detail = problem(shared.client.delete(f"/integrations/{quiz}"), 409)["detail"]
    assert detail.startswith("2 submissions are pending.")
    assert "?force=true" in detail
    assert shared.client.delete(f"/integrations/{quiz}?force=true").status_code == 204
    assert shared.client.get(f"/integrations/{quiz}").status_code == 404
    kept = [shared.submission(each) for each in ids]
    assert {(each["status"], each["reason"]) for each in kept} == {("dead", "integration_deleted")}
    assert {each["plan"] is None and each["payload"] is not None for each in kept} == {True}


def test_a_deleted_name_can_be_used_again(shared, quiz, create):
    """Nothing of the old one stands in the way."""
    shown = shared.client.get(f"/integrations/{quiz}").json()
    answer = shared.client.delete(f"/integrations/{quiz}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert create(name=shown["name"]) == quiz


@pytest.mark.parametrize("rate", [0.001, 1e-320])
def test_who_asks_the_account_does_not_wait_as_contacts_do(shared, quiz, sandbox_server, rate):
    """However slowly contacts are sent, a check, a look at the account and a change answer."""
    address, slow = f"/integrations/{quiz}", {"cordial": {"requests_per_second": rate}}
    assert shared.client.patch(address, json=slow).status_code == 200
    assert shared.client.post(f"{address}/check").json()["ok"]
    assert shared.client.get(f"{address}/account?refresh=true").status_code == 200
    assert shared.client.post(f"{address}/resume").status_code == 200
    assert shared.client.patch(address, json={"unmapped": "known"}).status_code == 200
