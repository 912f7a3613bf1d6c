"""Probes name what is wrong: each state of the process and of its ledger."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic_core import to_json

from app.delivery.accounts import Accounts
from app.delivery.sending import Sender
from app.delivery.worker import STALLED_SECONDS, Worker
from app.ledger.accepting import Arrival, NewSubmission, accept
from app.ledger.database import Database
from app.ledger.integrations import Integrations
from app.ledger.retention import Retention
from app.ledger.rotation import rotate
from app.ledger.submissions import StoredSubmission, find
from app.ledger.vault import Pseudonyms, Vault
from app.main import create_app, create_worker_app
from app.pool import open_pool
from app.rules.integration import Integration
from app.rules.jurisdictions import Jurisdictions
from app.settings import Settings
from app.telemetry.metrics import Metrics
from tests.conftest import OPS_TOKEN, SECRET_KEY, integration_body, signed
from tests.waiting import wait_for


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run an app in this loop; give a client that reaches it."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Callable[..., Settings]:
    """Make settings of a service on a ledger of the test's own."""

    def made(**chosen: Any) -> Settings:
        defaults = {
            "database_url": sqlite_url,
            "data_dir": tmp_path,
            "secret_key": SECRET_KEY,
            "ops_token": OPS_TOKEN,
        }
        return Settings(_env_file=None, **{**defaults, **chosen})

    return made


async def until(holds: Callable[[], Any]) -> None:
    """Return once it holds; the loop goes on meanwhile."""
    await asyncio.to_thread(wait_for, holds)


async def comes(ready: Callable[[], Awaitable[Any]]) -> Any:
    """Return what it gives, as soon as that is true."""
    async with asyncio.timeout(30):
        while True:
            if found := await ready():
                return found
            await asyncio.sleep(0.02)


def execute(url: str, *statements: str) -> None:
    """Change a SQLite ledger behind the service's back."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


WELL = {"ledger": "ok", "migrations": "ok", "draining": "no", "delivering": "yes"}


async def test_what_is_well_is_said_check_by_check(settings):
    """Alive and ready, each check with its word."""
    async with running(create_app(settings())) as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "checks": WELL})


async def test_a_worker_that_died_fails_liveness_alone(settings):
    """503 with what to do; webhooks can be stored, so it stays ready, and it still ends well."""
    async with running(create_app(settings())) as client:
        [worker] = [each for each in asyncio.all_tasks() if is_worker(each)]
        worker.cancel()
        await asyncio.wait([worker])
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert alive.status_code == 503
    assert alive.headers["content-type"] == "application/problem+json"
    assert alive.json()["detail"] == "The worker has died. Restart this process."
    assert (ready.status_code, ready.json()["checks"]["delivering"]) == (200, "failing")


def is_worker(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "Worker.run"


async def test_a_loop_that_does_not_come_round_fails_liveness(settings, sqlite_url):
    """After a minute of the worker's clock; when it comes round again all is well."""
    ahead, metrics = 0.0, Metrics()
    app = create_app(settings(run_worker=False))
    async with (
        running(app) as client,
        worker_on(sqlite_url, lambda: time.time() + ahead, metrics) as worker,
    ):
        app.state.service.stalled = worker.stalled
        assert worker.stalled() is None, "it has not begun"
        path = sqlite_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # what is due cannot be claimed meanwhile
            task = asyncio.create_task(worker.run())
            await until(lambda: b"last_round_timestamp_seconds 0.0" not in metrics.expose(None))
            assert (await client.get("/healthz")).status_code == 200
            ahead = STALLED_SECONDS + 1
            stalled = await client.get("/healthz")
            ready = await client.get("/readyz")
        await until(lambda: worker.stalled() is None)
        again = await client.get("/healthz")
        worker.stop()
        await task
    assert (stalled.status_code, ready.status_code) == (503, 200)
    assert "has not come round for 6" in stalled.json()["detail"]
    assert again.status_code == 200


@asynccontextmanager
async def worker_on(
    url: str, clock: Callable[[], float], metrics: Metrics
) -> AsyncIterator[Worker]:
    """Give a worker that is not running yet, for which something is due."""
    database, vault = Database(url), Vault([SECRET_KEY])
    stored = Integrations(database, vault)
    body = integration_body("https://admin.cordial.io")
    del body["state"]
    await stored.create(Integration.model_validate(body), paused_reason=None, now=clock())
    new = NewSubmission(b"5", readable=True, contact_key="c" * 32)  # dead as soon as it is sent
    await accept(database, [Arrival("spring-quiz", "f", clock() + 300, clock(), False, [new])])
    async with open_pool(1) as http:
        accounts = Accounts(http, timeout=1, extra_hosts=set())
        sender = Sender(accounts, Pseudonyms(b"key"), jurisdictions=Jurisdictions(), clock=clock)
        retention = Retention(delivered=1e6, skipped=1e6)
        yield Worker(
            database,
            stored,
            sender,
            concurrency=1,
            retention=retention,
            clock=clock,
            metrics=metrics,
        )
    await database.close()


async def test_a_process_without_a_worker_has_none_that_could_stall(settings):
    """RUN_WORKER=false is alive."""
    async with running(create_app(settings(run_worker=False))) as client:
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE jebbit_cordial_version SET version_num = '0000'"],
        ["DELETE FROM jebbit_cordial_version"],
        ["DROP TABLE jebbit_cordial_version"],
    ],
    ids=["older", "none", "no table"],
)
async def test_tables_of_an_older_version_are_not_ready(settings, sqlite_url, statements):
    """They are older, as after a backup was put back: a start brings them up."""
    async with running(create_app(settings())) as client:
        execute(sqlite_url, *statements)
        answer = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["checks"] == {**WELL, "migrations": "not_current"}
    assert "start this process anew" in told["detail"]


async def test_a_version_before_works_on_beside_a_newer_one(settings, sqlite_url):
    """Replicas are replaced one by one: it stays ready, and one that starts again leaves be."""
    async with running(create_app(settings())) as client:
        execute(sqlite_url, "UPDATE jebbit_cordial_version SET version_num = '9999'")
        before = await client.get("/readyz")
    async with running(create_app(settings())) as client:
        again = await client.get("/readyz")
    for answer in (before, again):
        assert answer.status_code == 200
        assert answer.json()["checks"]["migrations"] == "newer"


async def test_a_ledger_that_is_away_is_not_ready_and_not_dead(settings, sqlite_url):
    """The check says which of them fails; what cannot be known is not guessed."""
    async with running(create_app(settings())) as client:
        execute(sqlite_url, "ALTER TABLE data_keys RENAME TO gone")
        answer = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 200
    assert answer.status_code == 503
    checks = {**WELL, "ledger": "unreachable", "migrations": "unknown"}
    assert answer.json()["checks"] == checks
    assert answer.json()["detail"] == "The ledger cannot be reached; look at DATABASE_URL."


async def test_a_key_that_is_out_of_date_is_not_ready_and_says_so(settings, sqlite_url):
    """Others rotated it and this one was not restarted: webhooks are 503, to be sent again, and so
    are the pages of people."""
    app = create_app(settings(run_worker=False))
    async with running(app) as client:
        headers = {"Authorization": f"Bearer {OPS_TOKEN}"}
        body = integration_body("https://admin.cordial.io", state="paused")
        made = await client.post("/integrations", json=body, headers=headers)
        assert made.status_code == 201
        await client.post("/console/sign-in", data={"token": OPS_TOKEN})
        newer = Database(sqlite_url)
        other = "another-secret-key-of-the-tests-0123456789"
        await rotate(newer, Vault([other, SECRET_KEY]))
        ready = await client.get("/readyz")
        page = await client.get("/console")
        refused = await client.get("/integrations", headers=headers)
        app.state.service.integrations._recent.clear()  # as after a second
        webhook = await client.post("/webhooks/jebbit/spring-quiz", **signed({"a": 1}))
        await rotate(newer, Vault([SECRET_KEY, other]))
        again = await client.post("/webhooks/jebbit/spring-quiz", **signed({"a": 1}))
        await newer.close()
    assert ready.json()["checks"]["ledger"] == "other_key"
    for answer in (ready, refused, webhook):
        assert answer.status_code == 503
        assert "add the old one to it, after a comma" in answer.json()["detail"]
    assert (refused.headers["retry-after"], webhook.headers["retry-after"]) == ("5", "5")
    assert page.status_code == 503
    assert "add the old one to it, after a comma" in page.text
    assert again.status_code == 202


async def test_a_worker_whose_key_is_out_of_date_waits(settings, sqlite_url, sandbox_server):
    """It gives back what it took, spends no attempt, is not ready; it sends with its key again."""
    database, other = Database(sqlite_url), "another-secret-key-of-the-tests-0123456789"
    await database.migrate()
    body = integration_body(sandbox_server.url)
    del body["state"]
    stored = Integrations(database, Vault([SECRET_KEY]))
    await stored.create(Integration.model_validate(body), paused_reason=None, now=time.time())
    app = create_worker_app(settings(cordial_extra_hosts=sandbox_server.host))
    headers = {"Authorization": f"Bearer {OPS_TOKEN}"}
    async with running(app) as client:

        async def given_back() -> bool:
            told = (await client.get("/metrics", headers=headers)).text
            return 'group_commit_items_count{kind="settlements"} 1.0' in told

        async def settled() -> StoredSubmission | None:
            found = await find(database, accepted.ids[0])
            return None if found.status == "pending" else found

        await rotate(database, Vault([other, SECRET_KEY]))
        new = NewSubmission(
            to_json({"email": "ann@example.com", "opt_in": "true"}), True, contact_key="c" * 32
        )
        now = time.time()
        [accepted] = await accept(
            database, [Arrival("spring-quiz", "f", now + 300, now, False, [new])]
        )
        await comes(given_back)
        waiting = await find(database, accepted.ids[0])
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        bodies_then = len(sandbox_server.bodies())
        await rotate(database, Vault([SECRET_KEY, other]))
        done = await comes(settled)
    await database.close()
    assert (waiting.status, waiting.attempts, bodies_then) == ("pending", [], 0)
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json()["checks"]["ledger"] == "other_key"
    assert "add the old one to it, after a comma" in ready.json()["detail"]
    assert (done.status, len(done.attempts)) == ("delivered", 1)


async def test_a_process_that_is_going_is_alive_and_not_ready(settings):
    """While it finishes what is under way it gets nothing new."""
    app = create_app(settings())
    async with running(app) as client:
        await app.state.drain()
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["checks"] == {**WELL, "draining": "yes"}


async def test_a_worker_of_its_own_shows_probes_and_metrics_alone(settings):
    """It delivers, whatever RUN_WORKER says, and takes neither webhooks nor orders."""
    async with running(create_worker_app(settings(run_worker=False))) as client:
        [_] = [each for each in asyncio.all_tasks() if is_worker(each)]
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        headers = {"Authorization": f"Bearer {OPS_TOKEN}"}
        assert (await client.get("/metrics", headers=headers)).status_code == 200
        assert (await client.get("/integrations", headers=headers)).status_code == 404
        assert (await client.post("/webhooks/jebbit/x")).status_code == 404
