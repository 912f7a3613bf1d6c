"""What is not kept for ever, and what an erasure leaves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.ledger.database import Database
from app.ledger.retention import Retention, wipe_payloads
from app.ledger.schema import submissions
from tests.ledger.conftest import item

Make = Callable[..., Any]
DAY = 86_400.0


async def stored(database: Database, *rows: dict[str, Any]) -> None:
    usual = {
        "integration_id": "spring-quiz",
        "status": "delivered",
        "test": False,
        "received_at": 0.0,
        "settled_at": 0.0,
        "tries": 0,
        "forced": False,
        "payload": b"{}",
    }
    numbered = [{"id": f"{number:032x}", **usual, **row} for number, row in enumerate(rows)]
    async with database.write() as connection:
        await connection.execute(submissions.insert(), numbered)


async def kept(database: Database) -> list[str]:
    async with database.read() as connection:
        rows = await connection.execute(
            text("SELECT status FROM submissions WHERE payload IS NOT NULL ORDER BY seq")
        )
        return [row.status for row in rows]


async def test_payloads_are_wiped_by_their_own_time(database: Database) -> None:
    """Delivered and skipped each have their time; pending and dead keep their payload."""
    rows = [{"status": each} for each in ("delivered", "skipped", "test", "dead", "pending")]
    await stored(database, *rows)
    retention = Retention(delivered=30 * DAY, skipped=7 * DAY)
    assert await wipe_payloads(database, retention, 6 * DAY) == 0
    assert await wipe_payloads(database, retention, 8 * DAY) == 2
    assert await kept(database) == ["delivered", "dead", "pending"]
    assert await wipe_payloads(database, retention, 31 * DAY) == 1
    assert await kept(database) == ["dead", "pending"]


async def test_more_than_a_batch_is_wiped(database: Database) -> None:
    """A backlog of payloads is wiped whole, batch by batch."""
    await stored(database, *({} for _ in range(1_203)))
    assert await wipe_payloads(database, Retention(DAY, DAY), 2 * DAY) == 1_203


async def test_wiping_lets_webhooks_by(ledger, another_database) -> None:
    """Another process stores a webhook between two batches, long before all are wiped."""
    await stored(ledger.database, *({} for _ in range(5_000)))
    other = await another_database()
    wiping = asyncio.create_task(wipe_payloads(other, Retention(DAY, DAY), 2 * DAY))
    for number in range(3):
        await ledger.accept(item("ann", str(number)))
    assert not wiping.done()
    assert await wiping == 5_000


def test_skipped_payload_is_wiped_at_once_where_told(service: Make) -> None:
    """With no retention for skipped ones nothing of them is kept, but the row."""
    running = service(skipped_retention_days=0)
    running.create_integration()
    made = running.post({"email": "ann@example.com", "opt_in": "false"}).json()["submissions"][0]
    found = running.wait(made)
    assert (found["status"], found["reason"]) == ("skipped", "opted_out")
    assert found["payload"] is None
    refused = running.client.post(f"/submissions/{made}/replay")
    assert refused.status_code == 409
    assert "wiped" in refused.json()["detail"]


PERSON = {"email": "ann@example.com", "phone_number": "+1 555 555 0101", "opt_in": "true"}


@pytest.fixture
def running(service: Make) -> Any:
    """A service whose integration is paused, so that what comes in waits."""
    made = service()
    phone = {"attribute": "phone_number", "field": "channels.sms.address"}
    made.create_integration(
        state="paused", mapping=[{"attribute": "email", "field": "channels.email.address"}, phone]
    )
    return made


@pytest.mark.parametrize("who", [{"email": " Ann@Example.com"}, {"phone": "(555) 555-0101"}])
def test_erased_person_is_gone(running: Any, who: Any) -> None:
    """By email or phone: payload, keys and messages are gone, and nothing is sent any more."""
    made = running.post(PERSON).json()["submissions"][0]
    other = running.post({"email": "bob@example.com"}).json()["submissions"][0]
    assert running.client.post("/erasures", json=who).json() == {"erased": 1}
    found = running.submission(made)
    assert (found["status"], found["reason"], found["payload"]) == ("skipped", "erased", None)
    assert running.submission(other)["status"] == "pending"
    by_address = running.client.get("/submissions", params={"contact": "ann@example.com"})
    assert by_address.json()["submissions"] == []


def test_erasure_finds_what_could_not_be_read(running: Any) -> None:
    """An address in a body that is no JSON is found, too."""
    assert running.post(b'{"email": "ann@example.com", ').status_code == 400
    assert running.client.post("/erasures", json={"email": "ann@example.com"}).json() == {
        "erased": 1
    }


def test_erasure_needs_an_address(running: Any) -> None:
    """What is no address is refused with what to give."""
    refused = running.client.post("/erasures", json={"email": "ann"})
    assert refused.status_code == 422
    assert "email address" in refused.json()["detail"]


def test_replay_of_many(running: Any) -> None:
    """By filter, counted first; each goes through the rules as they are then."""
    running.client.post("/integrations/spring-quiz/resume?force=true").raise_for_status()
    bodies = [{"email": f"p{number}@example.com", "opt_in": "no"} for number in range(3)]
    made = running.post(bodies).json()["submissions"]
    assert {running.wait(each)["reason"] for each in made} == {"opted_out"}
    running.client.patch(
        "/integrations/spring-quiz",
        json={"policy": {"opt_in": "everyone", "opt_in_field": "opt_in_status"}},
    ).raise_for_status()
    wanted = {"integration": "spring-quiz", "status": "skipped", "reason": "opted_out"}
    counted = running.client.post("/submissions/replay", json=wanted).json()
    assert counted == {"dry_run": True, "replayed": 3, "refused": 0}
    assert running.submission(made[0])["status"] == "skipped"
    done = running.client.post("/submissions/replay?confirm=true", json=wanted).json()
    assert done == {"dry_run": False, "replayed": 3, "refused": 0}
    assert {running.wait(each)["status"] for each in made} == {"delivered"}
