"""Every change, and every refused token, leaves a row that says who, what, when and from where."""

import pytest
from sqlalchemy import select

from app.ledger.audit import prune_audit
from app.ledger.schema import audit
from app.operations import auditing
from app.operations.auditing import Auditor
from app.operations.callers import Caller, Role

NOW = 1_700_000_000.0
MARIA = Caller("maria", Role.ADMIN, "192.0.2.1")
DAY = 86_400.0


async def rows(database):
    async with database.read() as connection:
        return [each._asdict() for each in await connection.execute(select(audit))]


async def test_a_change_is_written_down_before_it_is_made(database):
    """A crash in between leaves the row that it was begun; then the outcome is added."""
    auditor = Auditor(database, lambda: NOW)
    async with auditor.changing(MARIA, "integration.pause", "spring-quiz"):
        [begun] = await rows(database)
        assert begun["outcome"] == "begun"
    [done] = await rows(database)
    assert done == {
        **begun,
        "at": NOW,
        "name": "maria",
        "role": "admin",
        "operation": "integration.pause",
        "target": "spring-quiz",
        "address": "192.0.2.1",
        "outcome": "done",
        "times": 1,
    }


async def test_a_change_that_fails_says_how(database):
    """And the error goes on to whoever asked."""
    with pytest.raises(KeyError):
        async with Auditor(database, lambda: NOW).changing(MARIA, "integration.pause", "x"):
            raise KeyError("a value")
    [row] = await rows(database)
    assert row["outcome"] == "KeyError"
    assert "a value" not in str(row)


@pytest.mark.parametrize("target", ["\0", "é", "ann@example.com", "x" * 200, "", None])
async def test_only_an_id_is_written_down_as_the_target(database, target):
    """Whatever stands in a path could be an address, or break the ledger."""
    async with Auditor(database, lambda: NOW).changing(MARIA, "integration.pause", target):
        pass
    [row] = await rows(database)
    assert row["target"] is None


async def test_a_flood_of_wrong_tokens_does_not_fill_the_ledger(database, monkeypatch):
    """A row stands for several then; none is left out of the count."""
    monkeypatch.setattr(auditing, "_ROWS_PER_SECOND", 0.0)
    auditor = Auditor(database, lambda: NOW)
    for _ in range(200):
        await auditor.refused("GET /stats", "192.0.2.9", "wrong_token")
    assert len(await rows(database)) == 60
    auditor._rows = 1.0
    await auditor.refused("GET /stats", "192.0.2.9", "wrong_token")
    assert sum(each["times"] for each in await rows(database)) == 201


async def test_what_strangers_caused_is_forgotten_first(database):
    """Wrong tokens after 30 days; who changed what after five years."""
    for age in (31 * DAY, 29 * DAY):
        auditor = Auditor(database, lambda age=age: NOW - age)
        await auditor.refused("GET /stats", "192.0.2.9", "wrong_token")
        await auditor.refused("GET /stats", "192.0.2.9", "not_allowed", MARIA)
    for age in (5 * 365 * DAY + 1, 5 * 365 * DAY - 1):
        async with Auditor(database, lambda age=age: NOW - age).changing(MARIA, "x"):
            pass
    await prune_audit(database, NOW)
    kept = [(each["name"], each["operation"]) for each in await rows(database)]
    assert kept.count((None, "GET /stats")) == 1
    assert kept.count(("maria", "GET /stats")) == 2
    assert kept.count(("maria", "x")) == 1
