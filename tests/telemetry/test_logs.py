"""Logs are read by machines and never hold a person's data or a secret."""

import contextvars
import io
import json
import logging
import socket
import sys
import time
from contextlib import closing
from typing import Any

import httpx
import pytest
import structlog

from app.jebbit.signature import HEADER, TEST_HEADER, sign
from app.sandbox.faults import Fault
from app.telemetry import logs
from tests.conftest import integration_body
from tests.waiting import wait_for

# --- Form ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("logging_restored")
def test_json_lines_are_one_object_each(capsys):
    """Our own lines and those of libraries alike: time, level and event, on one line."""
    logs.configure("json", "INFO")
    structlog.get_logger("x").info("webhook", integration="quiz", text="two\nlines", accepted=1)
    structlog.get_logger("x").debug("not asked for")
    logging.getLogger("library").warning("from a %s", "library")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert "not asked for" not in [line["event"] for line in lines]
    first, second = (line for line in lines if line["event"] in ("webhook", "from a library"))
    assert first.pop("timestamp").endswith("Z")
    assert (
        first.items()
        >= {
            "event": "webhook",
            "level": "info",
            "integration": "quiz",
            "text": "two\nlines",
            "accepted": 1,
        }.items()
    )
    assert (second["event"], second["level"]) == ("from a library", "warning")


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_the_level_is_held(capsys, level):
    """By our own lines and by those of libraries."""
    logs.configure("console", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger("x"), name)(f"ours-{name}")
        getattr(logging.getLogger("library"), name)(f"theirs-{name}")
    lines = capsys.readouterr().err
    for name in ("debug", "info", "warning", "error"):
        shown = getattr(logging, name.upper()) >= getattr(logging, level)
        assert (f"ours-{name}" in lines, f"theirs-{name}" in lines) == (shown, shown)


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("name_it", [True, False])
def test_a_line_carries_its_request_s_id(capsys, name_it):
    """Ours and those of libraries, unless the line names one itself: an attempt's is another's."""
    logs.configure("json", "INFO")

    def write() -> None:
        if name_it:
            logs.name_request("of-the-task")
        structlog.get_logger("x").info("ours")
        logging.getLogger("library").warning("theirs")
        structlog.get_logger("x").info("attempt", request_id="of-the-webhook")

    contextvars.Context().run(write)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    named = "of-the-task" if name_it else None
    assert [line.get("request_id") for line in lines] == [named, named, "of-the-webhook"]


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_whatever_a_line_holds_is_written(capsys, log_format):
    """Half of a surrogate pair is no UTF-8, and an object no JSON."""
    logs.configure(log_format, "INFO")
    structlog.get_logger("x").warning("webhook", text="half \ud800", thing=object())
    [line] = capsys.readouterr().err.splitlines()
    assert "half" in line
    assert "object at" in line


@pytest.mark.usefixtures("logging_restored")
def test_a_log_that_takes_nothing_stops_nothing(monkeypatch):
    """A webhook that is stored must be answered so, whatever becomes of its line."""
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    logs.configure("json", "INFO")
    structlog.get_logger("x").info("webhook")


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("held", ["in_a_variable", "in_the_message"])
def test_the_traceback_of_a_defect_tells_no_value(capsys, log_format, held):
    """uvicorn logs what an application raises: where it happened is enough."""
    logs.configure(log_format, "INFO")

    def fails() -> None:
        address = "marker" + "@" + "example.com"
        raise ValueError(address if held == "in_the_message" else "no")

    try:
        fails()
    except ValueError:
        logging.getLogger("library").exception("Exception in ASGI application")
    lines = capsys.readouterr().err
    assert "ValueError" in lines
    assert "marker@example.com" not in lines


# --- Privacy ------------------------------------------------------------------------------------

EMAIL = "marker.person@example.com"
PHONE = "(212) 555-0187"
ANSWER = "MarkerAnswer"
API_KEY = "marker-cordial-key-5151"
SECRET = "marker-webhook-secret-6262"
TOKEN = "marker-ops-token-7373"
KEY = "marker-secret-key-8484-0123456789abcdef"
MARKERS = ["marker", "212) 555", "2125550187", "555-0187"]


def test_no_line_of_a_whole_run_holds_personal_data_or_a_secret(forked, sandbox_server):
    """With LOG_LEVEL=DEBUG, through delivery, refusals, failures and requests that go wrong."""
    service = forked(
        "serve",
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="json",
        SECRET_KEY=KEY,
        OPS_TOKEN=TOKEN,
        CORDIAL_EXTRA_HOSTS=sandbox_server.host,
        RETRY_DELAYS_SECONDS="0.01",
        WEBHOOK_MAX_BYTES="2048",
        NOTIFY_URL="http://127.0.0.1:1/marker-hook",
    )
    service.until_ready()
    with httpx.Client(base_url=service.url, verify=False) as client:
        signatures = drive(client, sandbox_server)
    break_off(service.url)
    assert service.end() == 0
    text = service.said()
    lower = text.lower()
    for marker in [*MARKERS, *signatures]:
        assert marker.lower() not in lower, [line for line in lower.splitlines() if marker in line]
    lines = [
        line
        for line in text.splitlines()
        if not line.startswith(("Docs:", "Console:", "OPS", "SECRET"))
    ]
    events = {str(json.loads(line)["event"]) for line in lines}
    assert {"webhook", "attempt", "gate", "Application startup complete."} <= events


def break_off(url: str) -> None:
    """Send what is no HTTP, and a webhook that ends in the middle."""
    head = f"POST /webhooks/jebbit/quiz?{ANSWER} HTTP/1.1\r\nHost: marker\r\nContent-Length: 99"
    port = int(url.rpartition(":")[2])
    for sent in (f"{EMAIL} {PHONE}\r\n\r\n", f"{head}\r\n\r\n{EMAIL}"):
        with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as one:
            one.sendall(sent.encode())
            one.shutdown(socket.SHUT_WR)
            while one.recv(4096):
                pass


def drive(client: httpx.Client, sandbox_server: Any) -> list[str]:
    """Send markers every way there is; gives the signatures used."""
    sandbox_server.sandbox.account.api_keys[API_KEY] = None
    ops = {"Authorization": f"Bearer {TOKEN}"}
    signatures: list[str] = []

    def post(body: Any, secret: str = SECRET, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        header = sign(body=content, secret=secret, at=int(time.time()))
        signatures.append(header.partition("v1=")[2])
        return client.post(
            "/webhooks/jebbit/quiz", content=content, headers={HEADER: header, **headers}
        )

    body = integration_body(
        sandbox_server.url,
        name="Quiz",
        cordial={"api_key": API_KEY, "on_rejected_field": "dead"},
        jebbit={"webhook_secrets": [SECRET]},
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "phone", "field": "channels.sms.address"},
            {"attribute": "outcome", "field": "quiz_outcome"},
            {"attribute": "age", "field": "age", "type": "number"},
            {"attribute": "bad", "field": "no_such_field"},
        ],
    )
    assert client.post("/integrations?force=true", json=body, headers=ops).status_code == 201
    number = iter(range(100))

    def settled(**more: Any) -> str:
        person = {
            "email": EMAIL,
            "phone": PHONE,
            "outcome": ANSWER,
            "age": ANSWER,
            "n": next(number),
        }
        [submission] = post({**person, **more}).json()["submissions"]

        def status() -> str:
            shown = client.get(f"/submissions/{submission}", headers=ops).json()
            return "" if shown["status"] == "pending" and not shown["attempts"] else shown["status"]

        return str(wait_for(status))

    faults = sandbox_server.sandbox
    assert settled() == "delivered"
    assert settled(opt_in="false") == "skipped"
    assert settled(bad=ANSWER) == "dead"
    for kind, times in {"reset_after_write": 1, "success_false": 1, "server_error": 3}.items():
        faults.faults = [Fault(kind=kind, times=times)]
        settled()
    assert post({"email": EMAIL, "phone": PHONE}, **{TEST_HEADER: ANSWER}).status_code == 202
    assert post(b'{"email": "%b"' % EMAIL.encode()).status_code == 400
    assert post([EMAIL, {"email": EMAIL}]).status_code == 202
    assert post({"email": EMAIL}, secret="marker-wrong-secret").status_code == 401
    client.post("/webhooks/jebbit/quiz", content=b"{}", headers={HEADER: "marker-garbage"})
    client.post("/webhooks/jebbit/marker-no-such-integration", json={"email": EMAIL})
    named = {"email": EMAIL, "url_params": {"email": EMAIL, "phone": PHONE}, "answer": ANSWER}
    assert post([{"data": named, "event": {"name": ANSWER}}] * 2).status_code == 202
    assert post({"email": ANSWER, "phone": EMAIL, EMAIL: PHONE}).status_code == 202
    assert post(EMAIL.encode() + b"\xff\xfe").status_code == 400
    assert post({"email": EMAIL, "answer": ANSWER * 200}).status_code == 413
    assert post([{}, {"email": None}], **{"X-Request-ID": EMAIL}).status_code == 202
    for path in (f"/submissions?contact={EMAIL}", f"/submissions?contact={PHONE}", "/marker-path"):
        client.get(path, headers=ops)
    for method, path, json_body in (
        ("POST", "/submissions/replay", {"integration": "quiz", "status": "dead"}),
        ("POST", "/submissions/marker/replay", None),
        ("POST", "/erasures", {"email": EMAIL, "phone": PHONE}),
        ("POST", "/erasures", {"email": ANSWER}),
        ("POST", "/integrations/quiz/webhook-secrets", {"secret": "marker-secret-of-later"}),
        ("PATCH", "/integrations/quiz", {"mapping": [{"attribute": EMAIL, "field": 5}]}),
        ("PATCH", "/integrations/quiz", {"cordial": {"account_url": "http://marker.example"}}),
        ("POST", "/integrations/quiz/check", None),
        ("DELETE", "/webhooks/jebbit/marker", None),
    ):
        client.request(method, path, json=json_body, headers=ops)
    client.get("/integrations", headers={"Authorization": f"Bearer {TOKEN}x"})
    client.post("/integrations", json={"name": EMAIL, "cordial": {"api_key": API_KEY}}, headers=ops)
    client.post("/integrations/quiz/preview", json={"email": EMAIL, "n": ANSWER}, headers=ops)
    faults.faults = [Fault(kind="unauthorized")]
    [blocked] = post({"email": EMAIL, "n": "last"}).json()["submissions"]
    state = "/integrations/quiz"
    wait_for(lambda: client.get(state, headers=ops).json()["state"] == "blocked")
    assert client.get(f"/submissions/{blocked}", headers=ops).json()["status"] == "pending"
    return signatures
