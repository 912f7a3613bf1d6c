"""What a dead worker had under way goes on; a living one keeps it."""

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, text

from app.delivery.worker import LOOK_SECONDS
from app.ledger import holders
from app.ledger.claims import claim
from app.ledger.database import UNAVAILABLE
from app.ledger.holders import GONE_SECONDS, SURE_SECONDS, Holder
from app.ledger.postgresql import LIMITS, connect
from app.ledger.schema import workers
from tests.ledger.conftest import NOW, SOMEBODY_WAITS, item, on_postgresql, until
from tests.processes import bound_by_permissions

LIVES = """
import asyncio, sys
from pathlib import Path
from app.ledger.database import Database
from app.ledger.holders import alive
from app.ledger.signals import listen

async def live():
    database = Database(sys.argv[1])
    async with alive(database, Path(sys.argv[2])) as holder:
        without = holder.name
        listening = asyncio.create_task(listen(database, holder, lambda: None))
        while database.has_sessions and holder.name == without:
            await asyncio.sleep(0.01)
        print(holder.name, flush=True)
        await asyncio.sleep(60)

asyncio.run(live())
"""


TAKES_OVER = """
import asyncio, sys
from pathlib import Path
from app.ledger.database import Database
from app.ledger.holders import alive

async def take_over():
    database = Database(sys.argv[1])
    async with alive(database, Path(sys.argv[2])) as holder:
        print(await holder.take_over(database, float(sys.argv[3])))
    await database.close()

asyncio.run(take_over())
"""


@pytest.fixture
def worker(database_url, tmp_path):
    """Start a process that lives until it is ended, on this machine; give it and its name."""
    yield from living(database_url, tmp_path)


@pytest.fixture
def remote(database_url, tmp_path):
    """Start one that seems to be on another machine: it has its locks elsewhere."""
    yield from living(database_url, tmp_path / "elsewhere")


def living(database_url, data_dir):
    process = subprocess.Popen(
        [sys.executable, "-c", LIVES, database_url, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


class Clock:
    """Steady seconds, as turned."""

    now = 0.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def session_of(database, holder):
    """Let a holder be known by a session, until the block ends; give the session."""
    session = await connect(database.address, LIMITS, 5)
    await holder.begin(session)
    try:
        yield session
    finally:
        holder.lose()
        session.terminate()


async def held(ledger, name):
    """Let a holder claim what is due."""
    return await claim(ledger.database, NOW, 10, holder=name)


async def test_what_a_killed_worker_of_this_machine_held_is_due_at_once(ledger, worker, tmp_path):
    """Not while it lives, nor while it is only stopped; once, and its lock is gone then."""
    process, name = worker
    await ledger.accept(*(item(each, "1") for each in ("ann", "bob")))
    assert len(await held(ledger, name)) == 2
    async with holders.alive(ledger.database, tmp_path) as mine:
        assert await mine.take_over(ledger.database, NOW) == 0
        process.send_signal(signal.SIGSTOP)
        assert await mine.take_over(ledger.database, NOW) == 0
        assert await ledger.claim() == []
        process.kill()
        process.wait()
        assert await mine.take_over(ledger.database, NOW) == 2
        assert await mine.take_over(ledger.database, NOW) == 0
        assert len(await ledger.claim()) == 2
        assert [each.name for each in folder(ledger, tmp_path).iterdir()] == [mine.name[:8]]
    assert list(folder(ledger, tmp_path).iterdir()) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_lock_that_is_not_ours_to_open_keeps_us_from_no_other(ledger, worker, tmp_path):
    """As one that root left behind."""
    process, name = worker
    await ledger.accept(item("ann", "1"))
    assert len(await held(ledger, name)) == 1
    process.kill()
    process.wait()
    (folder(ledger, tmp_path) / "0").touch(0o000)
    command = [*bound_by_permissions(), sys.executable, "-c", TAKES_OVER]
    arguments = [f"sqlite:///{ledger.database.address.path}", str(tmp_path), str(NOW)]
    taking = await asyncio.create_subprocess_exec(*command, *arguments, stdout=subprocess.PIPE)
    assert await taking.communicate() == (b"1\n", None)


async def test_the_folder_of_the_locks_is_its_owners_to_enter(ledger, tmp_path):
    """A version before could leave it so that nobody but root could."""
    for _ in range(2):
        async with holders.alive(ledger.database, tmp_path):
            place = folder(ledger, tmp_path)
            assert place.stat().st_mode & 0o777 == 0o700
        place.chmod(0o600)


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


async def test_a_folder_that_cannot_be_written_keeps_postgresql_from_nothing(ledger, tmp_path):
    """There sessions tell who lives; SQLite's ledger is in that folder itself."""
    if ledger.database.is_sqlite:
        pytest.skip("nothing works there then")
    (tmp_path / "file").write_text("")
    async with holders.alive(ledger.database, tmp_path / "file") as mine:
        assert await mine.take_over(ledger.database, NOW) == 0


# --- PostgreSQL: across machines ------------------------------------------------------------


@on_postgresql
async def test_what_a_killed_worker_of_another_machine_held_is_due_in_a_moment(ledger, remote):
    """Not before it could not have sent any more, had it only lost its session."""
    process, name = remote
    await ledger.accept(*(item(each, "1") for each in ("ann", "bob")))
    assert len(await held(ledger, name)) == 2
    mine = Holder(clock=(clock := Clock()))
    for clock.now in (0.0, 100.0, 200.0):
        assert await mine.take_over(ledger.database, NOW) == 0
    process.kill()
    process.wait()
    await until_free(ledger)
    assert await mine.take_over(ledger.database, NOW) == 0
    clock.now += GONE_SECONDS - 0.01
    assert await mine.take_over(ledger.database, NOW) == 0
    assert await ledger.claim() == []
    clock.now += 0.01
    assert await mine.take_over(ledger.database, NOW) == 2
    assert await mine.take_over(ledger.database, NOW) == 0
    assert len(await ledger.claim()) == 2
    assert await listed(ledger) == []


@on_postgresql
async def test_many_may_look_who_is_dead(ledger):
    """What one finds does not keep another from finding it, and they count the contacts once."""
    await ledger.accept(item("ann", "1"))
    gone = Holder()
    async with session_of(ledger.database, gone):
        assert len(await held(ledger, gone.name)) == 1
    await until_free(ledger)
    clock = Clock()
    lookers = [Holder(clock=clock) for _ in range(5)]
    taken = []
    while clock.now < 2 * GONE_SECONDS:
        found = await asyncio.gather(*(each.take_over(ledger.database, NOW) for each in lookers))
        taken.append(sum(found))
        clock.now += GONE_SECONDS / 4
    assert sum(taken) == 1
    assert taken.index(1) >= 4


@on_postgresql
async def test_who_takes_over_locks_contacts_in_the_order_of_all_others(ledger):
    """Else a webhook of the same contacts and the taking over would wait for each other."""
    for name, later in (("bob", 0), ("ann", 1)):
        await ledger.accept(item(name, "1"))
        assert len(await claim(ledger.database, NOW + later, 10, holder="aaaaaaaaaaaa")) == 1
    lock = "SELECT 1 FROM contacts WHERE contact_key = '{}' FOR UPDATE"
    async with ledger.database.write() as webhook:
        await webhook.execute(text(lock.format("ann")))
        taking = asyncio.create_task(holders.give_back(ledger.database, "aaaaaaaaaaaa", NOW + 1))
        await until(ledger, SOMEBODY_WAITS)
        await webhook.execute(text(lock.format("bob")))
    assert await taking == 2


@on_postgresql
async def test_a_worker_without_its_session_is_sure_of_nothing_before_others_take_over(ledger):
    """It is sure for a moment after its session answered; later it may be sure again of that one.

    What it leases with its next session, or without any, is another matter.
    """
    holder = Holder(clock=(clock := Clock()))
    async with session_of(ledger.database, holder) as session:
        first = holder.name
        lease = first + "0123456789abcdef"
        clock.now += SURE_SECONDS
        assert not holder.is_sure(lease)
        await holder.beat(session)
        clock.now += SURE_SECONDS - 0.01
        assert holder.is_sure(lease)
    clock.now += 0.01
    assert holder.is_sure(holder.name + "0123456789abcdef")
    async with session_of(ledger.database, holder):
        assert holder.name != first
        assert holder.is_sure(holder.name + "0123456789abcdef")
        assert not holder.is_sure(lease)
    assert holder.is_sure("0123456789abcdef")  # a lease without a name
    assert SURE_SECONDS + LOOK_SECONDS < GONE_SECONDS


@on_postgresql
async def test_a_session_on_a_server_that_leads_no_more_proves_nothing(ledger):
    """Others look at the new leader, which knows nothing of this session's lock."""
    holder = Holder()
    async with session_of(ledger.database, holder) as session:
        await session.execute("SET default_transaction_read_only = on")
        with pytest.raises(UNAVAILABLE):
            await holder.beat(session)


async def until_free(ledger):
    """Return once PostgreSQL has noticed that a session has ended."""
    await until(
        ledger,
        "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )


async def listed(ledger):
    async with ledger.database.read() as connection:
        return (await connection.execute(select(workers))).all()


def folder(ledger, data_dir: Path) -> Path:
    if ledger.database.is_sqlite:
        path = ledger.database.address.path
        return path.with_name(f"{path.name}-workers")
    (made,) = data_dir.glob("workers-*")
    return made
