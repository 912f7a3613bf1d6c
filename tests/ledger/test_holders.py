"""What a dead worker of a SQLite ledger had under way goes on at once; a living one keeps it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.ledger import holders
from app.ledger.claims import claim
from tests.ledger.conftest import NOW, item

LIVES = """
import asyncio, sys
from app.ledger.database import Database
from app.ledger.holders import alive

async def live():
    async with alive(Database(sys.argv[1])) as holder:
        print(holder.name, flush=True)
        await asyncio.sleep(60)

asyncio.run(live())
"""


async def held(ledger, name):
    """Let a holder claim what is due."""
    return await claim(ledger.database, NOW, 10, holder=name)


@pytest.fixture
def worker(database_url):
    """Start a process that lives until it is ended; give it and its name."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVES, database_url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_a_killed_worker_held_is_due_at_once(ledger, worker):
    """Not while it lives, nor while it is only stopped; once, and its lock is gone then."""
    process, name = worker
    await ledger.accept(*(item(each, "1") for each in ("ann", "bob")))
    assert len(await held(ledger, name)) == 2
    async with holders.alive(ledger.database) as mine:
        assert await mine.take_over(ledger.database, NOW) == 0
        process.send_signal(signal.SIGSTOP)
        assert await mine.take_over(ledger.database, NOW) == 0
        assert await ledger.claim() == []
        process.kill()
        process.wait()
        assert await mine.take_over(ledger.database, NOW) == 2
        assert await mine.take_over(ledger.database, NOW) == 0
        assert len(await ledger.claim()) == 2
        assert [each.name for each in folder(ledger).iterdir()] == [mine.name]
    assert list(folder(ledger).iterdir()) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_only_what_the_dead_one_held_is_given_back(ledger):
    """Neither what another holds, nor what waits for its next try."""
    await ledger.accept(item("ann", "1"))
    assert len(await held(ledger, "aaaaaaaaaaaa")) == 1
    await ledger.accept(item("bob", "1"), item("cem", "1"))
    assert len(await held(ledger, "bbbbbbbbbbbb")) == 2
    await ledger.run(
        f"UPDATE contacts SET lease = NULL, due_at = {NOW + 30} WHERE contact_key = 'cem'"
    )
    assert await holders.give_back(ledger.database, "bbbbbbbbbbbb", NOW) == 1
    assert [each.contact_key for each in await ledger.claim()] == ["bob"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_on_postgresql_leases_run_out(ledger):
    """A worker that lost its connection may still be sending: nobody can tell that it is dead."""
    await ledger.accept(item("ann", "1"))
    async with holders.alive(ledger.database) as gone:
        assert len(await held(ledger, gone.name)) == 1
    async with holders.alive(ledger.database) as mine:
        assert await mine.take_over(ledger.database, NOW) == 0
    assert await ledger.claim() == []


def folder(ledger) -> Path:
    path = ledger.database.address.path
    return path.with_name(f"{path.name}-workers")
