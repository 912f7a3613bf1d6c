"""Signals: what one process accepts, another hears of at once, and only then."""

import asyncio

import pytest
from sqlalchemy import text

from app.ledger.holders import Holder
from app.ledger.signals import listen
from tests.ledger.conftest import item


@pytest.fixture
async def heard(database):
    """An event that is set by what is heard; it listens already, on connections of its own."""
    event = asyncio.Event()
    listening = asyncio.create_task(listen(database, Holder(), event.set))
    await asyncio.wait_for(event.wait(), 10)  # the first time, whatever was missed before
    event.clear()
    yield event
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_what_becomes_due_is_heard_of(ledger, heard):
    """Without a look at the ledger, which would come only after a second."""
    await ledger.accept(item("ann", "1"))
    await asyncio.wait_for(heard.wait(), 10)


async def test_a_connection_that_breaks_is_made_again(ledger, heard):
    """What was announced meanwhile was not heard, so that a look is due as well."""
    if ledger.database.is_sqlite:
        pytest.skip("nothing there can break")
    await ledger.run(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )
    await asyncio.wait_for(heard.wait(), 10)
    heard.clear()
    await ledger.accept(item("ann", "1"))
    await asyncio.wait_for(heard.wait(), 10)
