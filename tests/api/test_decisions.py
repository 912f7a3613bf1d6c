"""What was decided, as the API shows it: by submission, by person, by hour; and the guard."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Service
from tests.waiting import wait_for

ANN = {"email": "ann@example.com", "opt_in": "yes", "country_code": "DE", "outcome": "Bold"}


def settled(service: Service, body: Any) -> list[dict[str, Any]]:
    """Post a webhook, and return its submissions when all have settled."""
    return [service.wait(each) for each in service.post(body).json()["submissions"]]


def test_what_was_decided_stands_beside_what_would_be_now(service: Callable[[], Service]) -> None:
    """As decided then under the rules of then; as it would be now under the changed ones."""
    running = service()
    running.create_integration()
    (found,) = settled(running, [ANN])
    assert found["decision"]["outcome"] == "delivered"
    basis = found["decision"]["basis"]
    assert basis["opt_in"] == {
        "answer": "yes",
        "attribute": "opt_in",
        "label": "yes",
        "believed": True,
    }
    assert (basis["region"], basis["email_status"]) == ("eu", "subscribed")
    running.client.patch("/integrations/spring-quiz", json={"policy": {"collect": "non_eu"}})
    again = running.client.get(f"/submissions/{found['id']}").json()
    assert again["decision"] == found["decision"]
    assert again["plan"]["reason"] == "region_not_collected"
    decisions = running.client.get("/decisions", params={"contact": ANN["email"]}).json()
    assert decisions == {"decisions": [found["decision"]]}
    hours = running.client.get("/stats/hourly", params={"integration": "spring-quiz"}).json()
    counted = {each["outcome"]: each for each in hours["hours"]}
    assert counted["received"]["count"] == counted["delivered"]["count"] == 1
    assert (counted["delivered"]["region"], counted["delivered"]["answer"]) == ("eu", "yes")
    running.client.post("/erasures", json={"email": ANN["email"]}).raise_for_status()
    decisions = running.client.get("/decisions", params={"contact": ANN["email"]}).json()
    assert decisions == {"decisions": []}


def test_silence_subscribes_nobody_where_the_opt_in_went_missing(
    service: Callable[[], Service],
) -> None:
    """Jebbit renames the attribute: from the fiftieth on nobody is subscribed by silence, people
    are sent all the same, the check tells; turned off, a replay subscribes."""
    running = service()
    running.create_integration()
    settled(running, [ANN])
    running.client.post("/integrations/spring-quiz/pause").raise_for_status()
    renamed = [
        {"email": f"p{each}@example.com", "newsletter": "yes", "country_code": "US"}
        for each in range(50)
    ]
    answer = running.post(renamed)
    running.client.post("/integrations/spring-quiz/resume").raise_for_status()
    sent = [running.wait(each) for each in answer.json()["submissions"]]
    assert {each["status"] for each in sent} == {"delivered"}
    assert {each["decision"]["basis"]["email_status"] for each in sent} == {None}
    assert {each["warnings"][0]["code"] for each in sent} == {"opt_in_missing"}
    findings = running.client.post("/integrations/spring-quiz/check").json()["findings"]
    assert any("used to be there" in str(each) for each in findings)
    running.client.patch("/integrations/spring-quiz", json={"policy": {"opt_in_guard": False}})
    replayed = sent[0]["id"]
    running.client.post(f"/submissions/{replayed}/replay").raise_for_status()

    def subscribed() -> bool:
        shown = running.client.get(f"/submissions/{replayed}").json()
        return bool(
            shown["status"] == "delivered"
            and shown["decision"]["basis"]["email_status"] == "subscribed"
        )

    wait_for(subscribed)


@pytest.mark.parametrize("contact", ["nobody", "+49", ""])
def test_decisions_are_found_by_address_alone(shared: Service, contact: str) -> None:
    """What is neither an email address nor a phone number is refused."""
    answer: httpx.Response = shared.client.get("/decisions", params={"contact": contact})
    assert answer.status_code == 422


def test_counts_by_hour_take_times_and_names_as_other_lists_do(shared, quiz) -> None:
    """A span or a pasted time; of an integration of which nothing is known there is no empty list,
    of a deleted one what is left."""
    shared.post([ANN], quiz)

    def hours(**query: str) -> list[str]:
        answer = shared.client.get("/stats/hourly", params={"integration": quiz, **query})
        assert answer.status_code == 200, answer.text
        return [each["outcome"] for each in answer.json()["hours"]]

    for since in ("1h", "7d", "2020-01-01", "2020-01-01T00:00:00 00:00"):
        assert hours(since=since) == ["received"], since
    assert hours(since="2100-01-01") == []
    unknown = shared.client.get("/stats/hourly", params={"integration": "nobody"})
    assert unknown.status_code == 404
    assert "No integration has the id 'nobody'" in unknown.json()["detail"]
    shared.client.delete(f"/integrations/{quiz}?force=true").raise_for_status()
    assert hours() == ["received"]


def test_refused_webhooks_are_shown(shared, quiz) -> None:
    """When and why, nothing of what they held; those of an unknown integration nowhere."""
    assert shared.post([ANN], quiz, secret="another-secret").status_code == 401

    def told() -> bool:
        shown = shared.client.get(f"/integrations/{quiz}/refused-webhooks").json()
        return len(shown["refused"]) == 1

    wait_for(told)
    shown = shared.client.get(f"/integrations/{quiz}/refused-webhooks")
    assert ANN["email"] not in shown.text
