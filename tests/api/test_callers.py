"""Who calls is known by name and role: that decides what they may do and see, and is kept."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.operations.slowdown import FREE, delay
from app.telemetry import logs
from tests.api.conftest import ANN, problem
from tests.conftest import Service, integration_body
from tests.waiting import wait_for

TOKENS = {
    "maria": ("viewer", "a-token-of-maria-0123456789"),
    "prometheus": ("metrics", "a-token-of-the-scraper-01"),
    "ben": ("admin", "a-token-of-ben-9876543210"),
}
READS = ["/integrations", "/integrations/spring-quiz", "/submissions", "/stats", "/metrics"]
CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "/integrations", {}),
    ("PATCH", "/integrations/spring-quiz", {}),
    ("DELETE", "/integrations/spring-quiz", None),
    ("POST", "/integrations/spring-quiz/pause", None),
    ("POST", "/integrations/spring-quiz/resume", None),
    ("POST", "/integrations/spring-quiz/check", None),
    ("POST", "/integrations/spring-quiz/webhook-secrets", {}),
    ("POST", "/integrations/spring-quiz/jebbit/register", {}),
    ("POST", "/submissions/replay", {}),
    ("POST", "/erasures", {"email": "ann@example.com"}),
]


@pytest.fixture
def running(service: Callable[..., Service]) -> Service:
    """A service with the tokens above, one integration and one submission."""
    named = ",".join(f"{name}:{role}:{token}" for name, (role, token) in TOKENS.items())
    started = service(ops_tokens=named, run_worker=False)
    started.create_integration()
    return started


def by(running: Service, name: str) -> httpx.Client:
    return httpx.Client(
        base_url=running.url, headers={"authorization": f"Bearer {TOKENS[name][1]}"}, verify=False
    )


def audited(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(each) for each in text.splitlines() if each.startswith("{")]
    return [each for each in lines if each["event"] == "audit"]


def test_a_viewer_looks_and_changes_nothing(running):
    """403 names who and why, before the body is looked at; nothing has changed."""
    with by(running, "maria") as viewer:
        before = viewer.get("/integrations").json()
        for path in READS:
            assert viewer.get(path).status_code == 200, path
        for method, path, body in CHANGES:
            told = problem(viewer.request(method, path, json=body), 403)["detail"]
            assert told.startswith("maria has the role viewer"), path
        assert viewer.get("/integrations").json() == before


def test_a_viewer_sees_no_payload_and_no_address(running):
    """But what was decided and why; an admin sees both."""
    person = {**ANN, "country_code": "US", "age": "secret-age"}
    [kept] = running.post(person).json()["submissions"]
    [skipped] = running.post({**person, "email": "b@example.com", "opt_in": "false"}).json()[
        "submissions"
    ]
    with by(running, "maria") as viewer, by(running, "ben") as admin:
        seen = admin.get(f"/submissions/{kept}").json()
        assert seen["payload"] == person
        assert seen["plan"]["request"]["body"]["channels"]["email"]["address"] == ANN["email"]
        shown = viewer.get(f"/submissions/{kept}").json()
        assert (shown["payload"], shown["plan"]["request"]) == (None, None)
        assert shown["plan"]["decision"] == "upsert"
        assert shown["plan"]["opt_in"]["answer"] == "yes"
        assert shown["plan"]["region"]["decided_by"] == "country"
        assert [each["field"] for each in shown["plan"]["fields"]] == [
            each["field"] for each in seen["plan"]["fields"]
        ]
        other = viewer.get(f"/submissions/{skipped}")
        assert other.json()["plan"]["reason"] == "opted_out"
        texts = other.text + json.dumps(shown) + viewer.get("/submissions").text
        for value in ("example.com", "secret-age", "Bold", '"true"', '"US"'):
            assert value not in texts


def test_what_cordial_says_of_a_value_is_not_for_a_viewer(service, sandbox_server):
    """Its message may repeat what the person answered."""
    named = ",".join(f"{name}:{role}:{token}" for name, (role, token) in TOKENS.items())
    running = service(ops_tokens=named)
    running.create_integration(
        cordial={"on_rejected_field": "dead"},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "no_such_field"},
        ],
    )
    [sent] = running.post(ANN).json()["submissions"]
    assert running.wait(sent)["attempts"][0]["error"]
    with by(running, "maria") as viewer:
        [attempt] = viewer.get(f"/submissions/{sent}").json()["attempts"]
    assert attempt["error"] == "Only an admin may see this."
    assert (attempt["outcome"], attempt["http_status"]) == ("rejected", 422)


def test_a_metrics_token_reads_metrics_alone(running):
    """So that it can lie about in a file of Prometheus."""
    with by(running, "prometheus") as scraper:
        assert scraper.get("/metrics").status_code == 200
        for path in READS[:-1]:
            assert "role metrics" in problem(scraper.get(path), 403)["detail"]
        for method, path, body in CHANGES:
            assert scraper.request(method, path, json=body).status_code == 403


def test_a_named_admin_may_do_everything(running):
    """As the one of OPS_TOKEN."""
    with by(running, "ben") as admin:
        assert admin.post("/integrations/spring-quiz/pause").status_code == 200
        assert admin.delete("/integrations/spring-quiz").status_code == 204


def test_changes_are_written_down_with_who_and_what(
    service, sandbox_server, capsys, logging_restored
):
    """Each is a log line, also one that was refused; reading is none. No address of a person."""
    logs.configure("json", "INFO")
    running = service(run_worker=False)
    running.create_integration()
    capsys.readouterr()
    client = running.client
    client.get("/integrations")
    client.post("/integrations/spring-quiz/pause")
    client.patch("/integrations/spring-quiz", json={"policy": {"opt_in": "nonsense"}})
    client.post("/erasures", json={"email": "ann@example.com"})
    client.delete("/integrations/nobody")
    said = wait_for(lambda: capsys.readouterr().err)
    found = [
        (each["name"], each["operation"], each["target"], each["outcome"], each["address"])
        for each in audited(said)
    ]
    assert found == [
        ("ops", "integration.pause", "spring-quiz", "done", "127.0.0.1"),
        ("ops", "integration.change", "spring-quiz", "Invalid", "127.0.0.1"),
        ("ops", "person.erase", None, "done", "127.0.0.1"),
        ("ops", "integration.delete", None, "UnknownIntegration", "127.0.0.1"),
    ]
    assert all(each["request_id"] for each in audited(said))
    assert "ann@example.com" not in said


def test_a_wrong_token_is_written_down_and_the_next_ones_wait(service, capsys, logging_restored):
    """By the caller's address; a right one from there never waits. The token is in no line."""
    logs.configure("json", "INFO")
    running = service(run_worker=False)
    capsys.readouterr()
    with httpx.Client(base_url=running.url, verify=False) as stranger:
        took = []
        for n in range(FREE + 3):
            began = time.monotonic()
            answer = stranger.get("/stats", headers={"authorization": f"Bearer guess-{n}"})
            took.append(time.monotonic() - began)
            problem(answer, 401)
    assert all(took[FREE + n] >= delay(n + 1) for n in range(3))
    assert min(took[:FREE]) < delay(1)
    right = []
    for _ in range(FREE):
        began = time.monotonic()
        assert running.client.get("/stats").status_code == 200
        right.append(time.monotonic() - began)
    assert min(right) < delay(1)
    said = capsys.readouterr().err
    lines = audited(said)
    assert len(lines) == FREE + 3
    assert {
        (each["name"], each["operation"], each["address"], each["outcome"], each["level"])
        for each in lines
    } == {(None, "GET /stats", "127.0.0.1", "wrong_token", "warning")}
    assert "guess" not in said


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::1"), ("ann@example.com", "unknown")],
)
def test_behind_a_proxy_the_callers_own_address_is_written_down(
    running, capsys, logging_restored, forwarded, address
):
    """As a trusted proxy names it (127.0.0.1, others by FORWARDED_ALLOW_IPS); no other text."""
    logs.configure("json", "INFO")
    headers = {"x-forwarded-for": forwarded}
    running.client.post("/integrations/spring-quiz/pause", headers=headers)
    [line] = wait_for(lambda: audited(capsys.readouterr().err))
    assert line["address"] == address


LOOKING = {
    *(  # they want a body, and change nothing
        f"POST /integrations/{{integration_id}}/{each}"
        for each in ("preview", "drafts/preview", "drafts/comparison")
    ),
    "POST /webhooks/jebbit/{integration_id}",  # Jebbit's, by signature
}


def changing(running: Service) -> list[tuple[str, str]]:
    """Return method and path of all operations but those that only read."""
    paths = running.client.get("/openapi.json").json()["paths"]
    every = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    return [
        (method, path)
        for method, path in every
        if method != "GET"
        and not path.startswith("/webhooks")
        and f"{method} {path}" not in LOOKING
    ]


def test_every_call_that_changes_something_is_written_down(running, capsys, logging_restored):
    """Also one that is added tomorrow: by its method, each once, under a name of its own."""
    logs.configure("json", "INFO")
    bodies = {
        "/integrations": {**integration_body("https://admin.cordial.io"), "name": "Another"},
        "/integrations/{integration_id}": {},
        "/integrations/{integration_id}/webhook-secrets": {"secret": "whsec-another-fedcba98"},
        "/erasures": {"email": "ann@example.com"},
    }
    by_filter = {"integration": "spring-quiz", "status": "dead"}
    credentials = {"client_id": "nobody", "client_secret": "a-client-secret-of-nobody"}
    names = set()
    for method, path in changing(running):
        body = bodies.get(path, credentials if "jebbit" in path else by_filter)
        values = {
            "integration_id": "spring-quiz",
            "submission_id": "0" * 32,
            "last4": "zzzz",
            "jebbit_id": "x",
            "version": 1,
        }
        capsys.readouterr()
        answer = running.client.request(
            method,
            path.format(**values),
            json=body if method in ("POST", "PATCH") and "{submission_id}" not in path else None,
        )
        assert answer.status_code != 422 or "jebbit" in path, answer.text
        [line] = wait_for(lambda: audited(capsys.readouterr().err))
        assert (line["name"], line["role"], line["address"]) == ("ops", "admin", "127.0.0.1"), path
        names.add(line["operation"])
        if (method, path) == ("DELETE", "/integrations/{integration_id}"):
            running.create_integration()
    assert len(names) == len(changing(running)) >= 14


def test_no_change_is_open_to_others_than_admins(running):
    """Also one that is added tomorrow; and metrics tokens read nothing else."""
    for name in ("maria", "prometheus"):
        with by(running, name) as other:
            for method, path in changing(running):
                assert other.request(method, path, json={}).status_code == 403, path


def test_a_call_without_a_token_is_no_guess(shared, caplog):
    """A browser that was sent to the address, or a probe: 401, and no line each time."""
    with caplog.at_level(logging.INFO):
        for _ in range(3 * FREE):
            began = time.monotonic()
            problem(shared.anyone.get("/stats"), 401)
            assert time.monotonic() - began < 1
    assert "audit" not in caplog.text


def test_who_did_what_can_be_looked_up(running):
    """By admins: the newest first, by name, operation and time; a stranger's token is there too."""
    with by(running, "ben") as admin, by(running, "maria") as viewer:
        assert admin.post("/integrations/spring-quiz/pause").status_code == 200
        running.client.post("/submissions/replay", json={"status": "dead"})
        httpx.get(f"{running.url}/stats", headers={"authorization": "Bearer wrong"})
        refused, counted, paused, *_ = admin.get("/audit?since=1h").json()
        assert (refused["name"], refused["operation"]) == (None, "GET /stats")
        assert (counted["name"], counted["operation"]) == ("ops", "submissions.replay.dry_run")
        assert (paused["name"], paused["target"], paused["outcome"]) == (
            "ben",
            "spring-quiz",
            "done",
        )
        assert admin.get("/audit?name=ben&limit=1").json() == [paused]
        assert admin.get("/audit?operation=integration.pause").json() == [paused]
        for name in ("name", "operation"):
            problem(admin.get("/audit", params={name: "a\0b"}), 422)
        problem(viewer.get("/audit"), 403)


def test_cordials_words_in_a_warning_are_not_for_a_viewer(service, sandbox_server):
    """In the list and in the whole; an admin reads them."""
    named = ",".join(f"{name}:{role}:{token}" for name, (role, token) in TOKENS.items())
    running = service(ops_tokens=named)
    running.create_integration(
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "no_such_field"},
        ],
    )
    [sent] = running.post(ANN).json()["submissions"]
    assert "Cordial said" in running.wait(sent)["warnings"][0]["detail"]
    with by(running, "maria") as viewer:
        [shown] = viewer.get(f"/submissions/{sent}").json()["warnings"]
        [listed] = viewer.get("/submissions").json()["submissions"]
    assert "Mend the mapping" in shown["detail"]
    assert "Cordial said" not in shown["detail"]
    assert listed["warnings"] == [shown]
