"""Real processes: how they end, how they die, and that nothing is lost either way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.ledger.database import Database
from app.ledger.schema import contacts
from app.sandbox.faults import Fault
from tests.conftest import OPS_TOKEN, SECRET_KEY, engines, integration_body, post_webhook
from tests.delivery.conftest import person
from tests.processes import Program
from tests.waiting import wait_for

WITH_TOKEN = {"authorization": f"Bearer {OPS_TOKEN}"}


@pytest.fixture
def deploy(
    tmp_path: Path, database_url: str, sandbox_server: Any, forked: Callable[..., Program]
) -> Callable[..., Program]:
    """Start a command on the test's ledger, allowed to send to the sandbox."""

    def start(command: str, **more: str) -> Program:
        settings = {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(tmp_path),
            "SECRET_KEY": SECRET_KEY,
            "OPS_TOKEN": OPS_TOKEN,
            "CORDIAL_EXTRA_HOSTS": sandbox_server.host,
            "LOG_LEVEL": "WARNING",
        }
        return forked(command, **{**settings, **more})

    return start


def create(url: str, account_url: str, **overrides: Any) -> None:
    body = integration_body(account_url, **overrides)
    answer = httpx.post(f"{url}/integrations?force=true", json=body, headers=WITH_TOKEN)
    assert answer.status_code == 201, answer.text


def accepted(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    return list(answer.json()["submissions"])


def statuses(url: str, ids: list[str]) -> set[str]:
    with httpx.Client(base_url=url, headers=WITH_TOKEN, verify=False) as client:
        listed = client.get("/submissions?limit=200").json()["submissions"]
    found = {each["id"]: each["status"] for each in listed}
    return {found[each] for each in ids}


def in_ledger(url: str, statement: Any) -> list[Any]:
    """Execute a statement in the ledger, past the service; return the rows."""

    async def run() -> list[Any]:
        database = Database(url)
        async with database.write() as connection:
            found = await connection.execute(statement)
            rows = list(found) if found.returns_rows else []
        await database.close()
        return rows

    return asyncio.run(run())


@pytest.mark.parametrize("database_url", engines(), indirect=True)
def test_a_service_killed_loses_nothing_and_one_told_to_end_leaves_nothing_open(
    deploy, database_url, sandbox_server
):
    """Killed between 202 and delivery: what waited and what was under way are delivered after a
    restart. Told to end: what is under way is finished, no contact stays leased, and it exits 0.
    """
    process = deploy("serve")
    process.until_ready()
    url = process.url
    create(url, sandbox_server.url, name="Paused quiz", state="paused")
    create(url, sandbox_server.url)
    sandbox_server.sandbox.faults = [Fault(kind="slow", seconds=0.5)]
    waiting = accepted(post_webhook(url, [person(f"w{each}") for each in range(20)], "paused-quiz"))
    under_way = accepted(post_webhook(url, [person(f"u{each}") for each in range(5)]))
    wait_for(lambda: len(sandbox_server.bodies()) == 5)
    process.kill()
    sandbox_server.sandbox.faults = []

    process = deploy("serve")
    process.until_ready()
    url = process.url
    assert statuses(url, waiting) == {"pending"}
    wait_for(lambda: statuses(url, under_way) == {"delivered"})  # long before the leases end
    httpx.post(
        f"{url}/integrations/paused-quiz/resume?force=true", headers=WITH_TOKEN
    ).raise_for_status()
    wait_for(lambda: statuses(url, waiting + under_way) == {"delivered"})
    assert len(sandbox_server.sandbox.contacts) == 25
    sandbox_server.sandbox.journal.clear()
    sandbox_server.sandbox.faults = [Fault(kind="slow", seconds=0.4)]
    accepted(post_webhook(url, [person(f"late{each}") for each in range(5)]))
    wait_for(lambda: len(sandbox_server.bodies()) == 5)
    assert process.end() == 0
    assert len(sandbox_server.sandbox.contacts) == 30
    rows = in_ledger(database_url, select(contacts.c.lease, contacts.c.delivered_seq))
    assert [row.lease for row in rows] == [None] * 30
    assert all(row.delivered_seq for row in rows)


def test_a_worker_delivers_what_a_service_without_one_accepted(
    deploy, service, database_url, sandbox_server
):
    """Two processes, one ledger; told to end, the worker exits 0."""
    front = service(database_url=database_url, run_worker=False)
    front.create_integration()
    before = accepted(front.post([person("ann"), person("bob")]))
    process = deploy("worker")
    assert {front.wait(each, timeout=30)["status"] for each in before} == {"delivered"}
    (later,) = accepted(front.post(person("cay")))
    assert front.wait(later)["status"] == "delivered"
    assert len(sandbox_server.bodies()) == 3
    assert process.end() == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_replica_takes_over_what_another_that_was_killed_had_under_way(
    deploy, tmp_path, sandbox_server
):
    """On another machine too, long before the leases end."""
    doomed, survivor = (
        deploy("serve", DATA_DIR=str(tmp_path / each), RUN_WORKER=run_worker)
        for each, run_worker in (("one", "true"), ("two", "false"))
    )
    for each in (doomed, survivor):
        each.until_ready()
    create(doomed.url, sandbox_server.url)
    sandbox_server.sandbox.faults = [Fault(kind="slow", seconds=0.5)]
    under_way = accepted(post_webhook(doomed.url, [person(f"u{each}") for each in range(5)]))
    wait_for(lambda: len(sandbox_server.bodies()) == 5)
    other = deploy("worker", DATA_DIR=str(tmp_path / "three"))
    doomed.kill()
    sandbox_server.sandbox.faults = []
    wait_for(lambda: statuses(survivor.url, under_way) == {"delivered"}, timeout=30)
    assert len(sandbox_server.sandbox.contacts) == 5
    assert other.end() == 0
