"""Metrics count what happened, once, under labels that stay few; request ids tie it together."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, text

from app.ledger.database import Database
from app.ledger.figures import LedgerFigures, count_waiting
from app.ledger.integrations import Integrations
from app.ledger.schema import submissions
from app.ledger.vault import Vault
from app.rules.integration import Integration
from app.sandbox.faults import Fault
from app.telemetry import logs
from app.telemetry.metrics import IntegrationFigures, Metrics
from tests.conftest import SECRET_KEY, integration_body
from tests.waiting import wait_for

NOW = 1_700_000_000.0


def scrape(running: Any) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Return what a service shows: values by name and labels."""
    answer = running.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            name = sample.name.removeprefix("jebbit_sync_")
            found.setdefault(name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(running: Any, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    wanted = labels.items()
    return sum(each for having, each in scrape(running)[name].items() if set(wanted) <= having)


class Lines:
    """The log lines of the service so far, as machines read them."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._found: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._found += map(json.loads, self._capsys.readouterr().err.splitlines())
        return iter(self._found)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Log as JSON; gives what was logged."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    logs.configure("json", "INFO")
    yield Lines(capsys)
    root.handlers, root.level = before, level
    structlog.reset_defaults()


# --- The route ----------------------------------------------------------------------------------


def test_metrics_need_the_token(service):
    """They name integrations and tell of the business."""
    import httpx

    running = service(run_worker=False)
    assert httpx.get(f"{running.url}/metrics").status_code == 401
    assert running.client.get("/metrics").status_code == 200


def test_what_has_not_happened_is_zero_from_the_start(service):
    """An alert on an increase sees the first time too."""
    running = service(run_worker=False)
    running.create_integration()
    for outcome in ("accepted", "invalid_signature", "not_stored"):
        assert scrape(running)["webhooks_total"][
            frozenset({("integration", "spring-quiz"), ("outcome", outcome)})
        ] == 0  # fmt: skip


# --- Webhooks -----------------------------------------------------------------------------------

BODIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "accepted": ({"email": "ann@example.com"}, {}),
    "test": ({"email": "ann@example.com"}, {"headers": {"x-jebbit-test": "1"}}),
    "unreadable": (b"no json", {}),
    "invalid_signature": ({"email": "ann@example.com"}, {"secret": "another"}),
    "too_large": (b" " * 2000, {}),
    "unknown_integration": ({}, {"integration": "ann-example-com"}),
}


@pytest.mark.parametrize("outcome", BODIES)
def test_each_webhook_is_counted_once_and_told_in_one_line(service, lines, outcome):
    """However it was answered, with its request's id, its size and its time."""
    running = service(run_worker=False, webhook_max_bytes=1024)
    running.create_integration()
    body, how = BODIES[outcome]
    answer = running.post(body, **how)
    where = "(unknown)" if outcome == "unknown_integration" else "spring-quiz"
    assert value(running, "webhooks_total", outcome=outcome) == 1
    assert value(running, "webhooks_total", outcome=outcome, integration=where) == 1
    assert value(running, "webhooks_total") == 1
    assert value(running, "webhook_duration_seconds_count", integration=where) == 1
    [line] = [each for each in lines if each["event"] == "webhook"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["outcome"], line["integration"]) == (outcome, where)
    assert line["http_status"] == answer.status_code
    assert line["ms"] >= 0
    assert "ann" not in json.dumps(line)
    read = outcome not in ("too_large", "unknown_integration")  # refused by the head
    assert (line["bytes"] is not None) == read


def test_a_repeat_is_a_duplicate_and_a_batch_goes_by_its_best(service):
    """Each item is counted under what became of it."""
    running = service(run_worker=False)
    running.create_integration()
    assert running.post([{"email": "ann@example.com"}, 5]).status_code == 202
    assert running.post({"email": "ann@example.com"}).json()["duplicates"] == 1
    assert running.post([6]).json()["unreadable"] == 1
    counted = {name: value(running, "webhooks_total", outcome=name) for name in BODIES}
    assert (counted["accepted"], counted["unreadable"]) == (1, 1)
    assert value(running, "webhooks_total", outcome="duplicate") == 1
    received = {
        name: value(running, "submissions_received_total", outcome=name)
        for name in ("pending", "duplicate", "unreadable")
    }
    assert received == {"pending": 1, "duplicate": 1, "unreadable": 2}
    assert value(running, "submissions_settled_total", outcome="dead", reason="unreadable") == 2
    assert value(running, "pending_submissions") == 1
    assert value(running, "dead_submissions") == 2


def test_what_cannot_be_stored_is_counted_as_such(service, postgresql_url, postgresql_server):
    """So are the ledger's absence and its return; the scrape itself does not fail."""
    running = service(database_url=postgresql_url, run_worker=False)
    running.create_integration()
    running.post({"email": "ann@example.com"})
    assert value(running, "ledger_up") == 1
    name = postgresql_url.partition("?")[0].rpartition("/")[2]
    postgresql_server.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false;")
    postgresql_server.psql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"
    )
    try:
        assert running.post({"email": "bob@example.com"}).status_code == 503
        wait_for(lambda: value(running, "ledger_up") == 0)
        assert value(running, "webhooks_total", outcome="not_stored") == 1
        assert "pending_submissions" not in scrape(running)
    finally:
        postgresql_server.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true;")
    wait_for(lambda: value(running, "ledger_up") == 1)


# --- Deliveries ---------------------------------------------------------------------------------


def test_each_try_is_counted_and_told_with_the_webhook_s_request_id(service, sandbox_server, lines):
    """From the caller's id to the last attempt's line: first in vain, then delivered."""
    running = service(retry_delays_seconds=(0.01,))
    running.create_integration()
    sandbox_server.sandbox.faults = [Fault(kind="html_502", times=3)]
    answer = running.post({"email": "ann@example.com"}, headers={"X-Request-ID": "from-jebbit-1"})
    assert answer.headers["x-request-id"] == "from-jebbit-1"
    [submission] = answer.json()["submissions"]
    assert running.wait(submission)["status"] == "delivered"
    first, last = [each for each in lines if each["event"] == "attempt"]
    assert first["request_id"] == last["request_id"] == "from-jebbit-1"
    assert (first["n"], first["of"], first["status"]) == (1, 2, "pending")
    assert (first["cause"], first["http_status"]) == ("unavailable", 502)
    assert (last["n"], last["of"], last["status"]) == (2, 2, "delivered")
    assert first["submission"] == last["submission"] == submission
    assert re.fullmatch(r"[0-9a-f]{8}", last["contact"])
    attempts = {name: value(running, "attempts_total", outcome=name)
                for name in ("unavailable", "delivered")}  # fmt: skip
    assert attempts == {"unavailable": 1, "delivered": 1}
    failed = {"status_class": "5xx", "error_class": "unavailable"}
    assert value(running, "cordial_requests_total", **failed) == 3
    well = {"status_class": "2xx", "error_class": "none"}
    assert value(running, "cordial_requests_total", **well) == 1
    assert value(running, "delivery_lag_seconds_count") == 1
    assert value(running, "submissions_settled_total") == 1


def test_a_refusal_shows_as_a_gate_and_spends_no_attempt(service, sandbox_server):
    """One state at a time is 1; what waits is pending, and its age grows."""
    running = service()
    running.create_integration()
    sandbox_server.sandbox.faults = [Fault(kind="unauthorized")]
    running.post({"email": "ann@example.com"})
    wait_for(lambda: value(running, "gate_state", state="blocked") == 1)
    assert value(running, "gate_state") == 1
    assert value(running, "pending_submissions") == 1
    assert wait_for(lambda: value(running, "oldest_pending_age_seconds")) < 60
    assert "attempts_total" not in scrape(running) or value(running, "attempts_total") == 0
    refused = {"status_class": "4xx", "error_class": "access_refused"}
    assert value(running, "cordial_requests_total", **refused) == 1


# --- Request ids --------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "x" * 128, "Root=1-67891233-abcdef012345678912345678"])
def test_a_caller_s_request_id_is_taken(service, given):
    """One to 128 visible characters."""
    running = service(run_worker=False)
    assert running.client.get("/readyz", headers={"x-request-id": given}).headers[
        "x-request-id"
    ] == given  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [b"", b"x" * 129, b"two words", b"tab\there", b"\xc3\xa4", b"ann@example.com"],
    ids=["empty", "long", "space", "tab", "not_ascii", "address"],
)
def test_an_unusable_request_id_is_replaced(service, given):
    """What could break or fill a log line, or is a person's address, does not come in."""
    running = service(run_worker=False)
    answer = running.client.get("/no-such-page", headers=[(b"x-request-id", given)])
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


# --- Figures of the ledger ----------------------------------------------------------------------


async def fill(database: Database, name: str, rows: list[dict[str, Any]]) -> None:
    """Store an integration and submissions of these statuses."""
    body = integration_body("https://admin.cordial.io", name=name)
    del body["state"]
    new = Integration.model_validate(body)
    vault = Vault([SECRET_KEY])
    stored = await Integrations(database, vault).create(new, paused_reason=None, now=NOW)
    usual = {"integration_id": stored.id, "test": False, "tries": 0, "forced": False}
    values = [{"id": f"{name[0]}{number:031d}", **usual, **row} for number, row in enumerate(rows)]
    async with database.write() as connection:
        await connection.execute(insert(submissions), values)


async def test_the_ledger_s_figures_are_exact(database):
    """By integration, on both engines; what was delivered counts nowhere."""
    pending = [{"status": "pending", "received_at": NOW - age} for age in (50, 40, 30)]
    settled = [{"status": "delivered", "received_at": NOW - 999}] * 5
    dead = [{"status": "dead", "received_at": NOW - 500}] * 2
    await fill(database, "quiz", [*settled, *pending, *dead])
    await fill(database, "idle", settled)
    assert await count_waiting(database, NOW) == [
        IntegrationFigures("idle", 0, 0, 0.0, False, "open"),
        IntegrationFigures("quiz", 3, 2, 50.0, False, "open"),
    ]


async def test_counting_is_by_an_index_alone(database):
    """On both engines no table of submissions is read through, however large it is."""
    rows = [{"status": "delivered", "received_at": NOW}] * 3000
    await fill(database, "quiz", [*rows, {"status": "pending", "received_at": NOW}])
    statements: list[str] = []

    from sqlalchemy import event

    @event.listens_for(database._engine.sync_engine, "before_cursor_execute")
    def keep(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    await count_waiting(database, NOW)
    [(statement, parameters)] = [each for each in statements if "submissions" in each[0]]
    async with database.write() as connection:
        if not database.is_sqlite:
            await connection.execute(text("ANALYZE"))
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        found = await connection.exec_driver_sql(explain + statement, tuple(parameters))
        plan = "\n".join(str(row) for row in found)
    assert "SCAN submissions" not in plan
    assert "Seq Scan on submissions" not in plan
    assert "submissions_by_status" in plan


async def test_counting_takes_a_small_share_of_the_time(database):
    """What was slow to count is not counted again at once: 20 times as long it is shown again."""
    await fill(database, "quiz", [{"status": "pending", "received_at": NOW}])
    moments = iter([0.0, 2.0, 2.0, 41.9, 42.0, 42.0, 42.0])
    figures = LedgerFigures(database, clock=lambda: next(moments))
    [first] = await figures.read(NOW)
    [again] = await figures.read(NOW + 40)
    [later] = await figures.read(NOW + 41)
    assert [each.oldest_pending_seconds for each in (first, again, later)] == [0.0, 0.0, 41.0]


def test_many_metrics_live_in_one_process():
    """Each service counts for itself, also from several threads."""
    one, other = Metrics(), Metrics()
    threads = [
        threading.Thread(target=lambda: [one.attempt("quiz", "delivered") for _ in range(1000)])
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    counted = b'jebbit_sync_attempts_total{integration="quiz",outcome="delivered"} 4000.0'
    assert counted in one.expose(())
    assert b"quiz" not in other.expose(())
