"""The log of a delivery tells on-call the truth: each status, and each change of a gate."""

import json

import pytest

from app.sandbox.faults import Fault, GivenAnswer
from app.telemetry import logs
from tests.waiting import wait_for

ANN = {"email": "ann@example.com", "opt_in": "true"}


@pytest.fixture
def lines(capsys, logging_restored):
    """Read what was logged since the last time."""
    logs.configure("json", "INFO")
    said = []

    def read(event):
        said.extend(json.loads(line) for line in capsys.readouterr().err.splitlines())
        return [each for each in said if each["event"] == event]

    return read


def test_a_refusal_has_its_status_and_shuts_the_gate(service, sandbox_server, lines):
    """401 spends no attempt, and yet somebody who reads the log must see it; so for opening."""
    running = service()
    running.create_integration(cordial={"api_key": "a-wrong-key-of-cordial"})
    [waiting] = running.post(ANN).json()["submissions"]
    [attempt] = wait_for(lambda: lines("attempt"))
    assert (attempt["http_status"], attempt["cause"]) == (401, "access_refused")
    [shut] = wait_for(lambda: lines("gate"))
    assert (shut["level"], shut["state"], shut["was"]) == ("warning", "blocked", "open")
    assert shut["reason"] == "Cordial answered 401"
    mended = {"cordial": {"api_key": "sandbox-key"}}
    assert running.client.patch("/integrations/spring-quiz", json=mended).status_code == 200
    assert running.wait(waiting)["status"] == "delivered"
    _, opened = lines("gate")
    assert (opened["level"], opened["state"], opened["was"]) == ("info", "open", "blocked")
    assert opened["reason"] == "its Cordial account was changed"


@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [(500, {}, "closed"), (503, {"retry-after": "60"}, "held")],
)
def test_why_a_gate_shut_is_told_without_what_a_person_answered(
    service, sandbox_server, lines, status, headers, state
):
    """Cordial's words may repeat it: the log has the status alone, who looks has the whole."""
    body = {"error": True, "message": "Zebedee cannot be saved now"}
    answer = GivenAnswer(status=status, headers=headers, body=body)
    sandbox_server.sandbox.faults = [Fault(kind="answer", answer=answer)]
    running = service()
    running.create_integration()
    running.post([{**ANN, "email": f"{each}@example.com"} for each in range(5)])
    shut, *_ = wait_for(lambda: lines("gate"))
    assert (shut["state"], shut["reason"]) == (state, f"Cordial answered {status}")
    gate = running.client.get("/integrations/spring-quiz").json()["gate"]
    assert gate["reason"] == f"Cordial answered {status}: Zebedee cannot be saved now"
    assert "Zebedee" not in json.dumps(lines("attempt"))


def test_a_plain_500_is_no_change_of_the_gate(service, sandbox_server, lines):
    """The attempt tells of it; `gate state=open` as a warning would say that all is well again."""
    sandbox_server.sandbox.faults = [Fault(kind="server_error", times=3)]
    running = service(retry_delays_seconds="0.01")
    running.create_integration()
    [sent] = running.post(ANN).json()["submissions"]
    assert running.wait(sent)["status"] == "delivered"
    assert [each["http_status"] for each in lines("attempt")] == [500, 201]
    assert lines("gate") == []
