"""Who stands still in a transaction holds up others for seconds, and no longer."""

import asyncio
from contextlib import AsyncExitStack
from itertools import count

import pytest
from sqlalchemy import insert, select

from app.ledger.postgresql import LIMITS, connect
from app.ledger.schema import contacts
from app.ledger.standing import end_standing

_LOCK = "SELECT FROM contacts WHERE contact_key = $1 FOR UPDATE"
_FREE = select(contacts.c.contact_key).with_for_update(skip_locked=True)


async def _idle(session):
    """Stand still between two statements."""


async def _described(session):
    """Stand still when a statement is described, and not yet executed."""
    await session.prepare("SELECT 1 + 1")


async def _unread(session):
    """Stand still with rows on the way that are not read."""
    session._transport.pause_reading()  # asyncpg has no other way
    rows = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
    return asyncio.create_task(session.fetch(rows))


async def _slow(session):
    """Stand for a moment only, again and again."""

    async def go_on():
        for number in count():
            await session.prepare(f"SELECT {number}")
            await asyncio.sleep(0.05)

    return asyncio.create_task(go_on())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_session_of_who_stands_still_in_a_transaction_ends(database):
    """Wherever it stands, as a process does that is frozen, and though nobody waits for its locks,
    as those who only take what is free, or it has none. Who is slow goes on.
    """
    places = {each.__name__: each for each in (_idle, _described, _unread, _slow)}
    rows = [{"integration_id": "quiz", "contact_key": key} for key in places]
    async with database.write() as connection:
        await connection.execute(insert(contacts), rows)
    ending = asyncio.create_task(end_standing(database))
    async with AsyncExitStack() as standing, asyncio.timeout(30):
        standing.callback(ending.cancel)
        for key, stand in places.items():
            session = await connect(database.address, LIMITS, 60)
            standing.callback(session.terminate)
            await session.execute("BEGIN")
            await session.fetch(_LOCK, key)
            task = await stand(session)
            if task is not None:
                standing.callback(task.cancel)
        reader = await connect(database.address, LIMITS, 60)
        standing.callback(reader.terminate)
        await reader.execute("BEGIN")
        await _described(reader)
        free = []
        while len(free) < 3 or not reader.is_closed():
            await asyncio.sleep(0.05)
            async with database.write() as connection:
                free = list(await connection.scalars(_FREE))
        assert not session.is_closed()
        assert not task.done()
    assert sorted(free) == ["_described", "_idle", "_unread"]
