"""The database: its tables by migration, and what a commit promises."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import suppress

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from app.ledger import versions
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.schema import integrations, metadata, ready_at
from app.ledger.versions import VERSION_TABLE

MIGRATE = """
import asyncio, sys
from app.ledger.database import Database
asyncio.run(Database(sys.argv[1]).migrate())
"""


async def tables(database):
    async with database.read() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_a_fresh_database_gets_all_tables_and_keeps_them(database_url):
    """The second start finds everything done."""
    database = Database(database_url)
    for _ in range(2):
        await database.migrate()
        assert await tables(database) == {*metadata.tables, VERSION_TABLE}
    await database.close()


async def test_the_migrations_make_what_the_schema_says(database):
    """No column, index or type differs: who changes the schema must write a migration."""

    def differences(connection):
        ours = {"version_table": VERSION_TABLE}
        return compare_metadata(MigrationContext.configure(connection, opts=ours), metadata)

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_form_of_a_version_before_is_taken_over(database_url):
    """It was kept under alembic's own name: a replica of that version finds its tables newer."""
    database = Database(database_url)
    await database.migrate()
    async with database.write() as connection:
        await connection.execute(text(f"ALTER TABLE {VERSION_TABLE} RENAME TO alembic_version"))
    assert await database.migrations() == "not_current"
    for _ in range(2):
        await database.migrate()
        assert await database.migrations() == "ok"
    async with database.read() as connection:
        former = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert int(former) == versions.head()
    await database.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_is_frozen_while_it_migrates_holds_up_others_for_a_minute(
    database_url, monkeypatch
):
    """Its locks are on whole tables. A statement, and waiting for others, may take any time."""
    given, upgrade = {}, versions.upgrade

    def upgrade_and_ask(connection):
        upgrade(connection)
        for limit in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"):
            given[limit] = connection.scalar(text(f"SHOW {limit}"))

    monkeypatch.setattr(versions, "upgrade", upgrade_and_ask)
    database = Database(database_url)
    await database.migrate()
    await database.close()
    assert given == {
        "idle_in_transaction_session_timeout": "1min",
        "lock_timeout": "0",
        "statement_timeout": "0",
    }


@pytest.mark.parametrize("theirs", ["0001", "9999", "1975ea83b712"])
async def test_another_applications_form_is_left_alone(database_url, theirs):
    """It keeps its own beside ours, whatever it is called there."""
    database = Database(database_url)
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        await connection.execute(text(f"INSERT INTO alembic_version VALUES ('{theirs}')"))
    await database.migrate()
    assert await database.migrations() == "ok"
    assert await tables(database) == {*metadata.tables, VERSION_TABLE, "alembic_version"}
    async with database.read() as connection:
        found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert found == theirs
    await database.close()


async def test_many_that_start_at_once_on_an_empty_database_all_succeed(database_url):
    """One migrates, the others wait; nobody fails."""
    databases = [Database(database_url) for _ in range(4)]
    await asyncio.gather(*(each.migrate() for each in databases))
    assert await tables(databases[0]) >= set(metadata.tables)
    for each in databases:
        await each.close()


def test_a_start_beside_another_that_is_not_done_with_its_first_write_waits(tmp_path):
    """Two processes on a new SQLite file: the second waits some seconds before it gives up."""
    file = tmp_path / "ledger.db"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE first (id INTEGER)")
    say_when = MIGRATE.replace("asyncio.run", "print(flush=True); asyncio.run")
    command = [sys.executable, "-c", say_when, f"sqlite:///{file}"]
    starting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    starting.stdout.readline()
    with suppress(subprocess.TimeoutExpired):
        starting.wait(0.5)
    other.execute("COMMIT")
    other.close()
    _, errors = starting.communicate(timeout=30)
    assert starting.returncode == 0, errors.decode()


def test_processes_that_start_at_once_on_an_empty_database_all_succeed(database_url, forked):
    """As replicas do on their first day."""
    running = [forked("migrate", DATABASE_URL=database_url) for _ in range(4)]
    assert [each.wait() for each in running] == [0] * 4, [each.said() for each in running]


async def test_a_missing_folder_is_made(tmp_path):
    """The first start needs no preparation."""
    database = Database(f"sqlite:///{tmp_path / 'not' / 'there' / 'ledger.db'}")
    await database.migrate()
    await database.migrations()
    await database.close()


async def test_a_start_lets_nobody_else_read_the_ledger_and_keeps_folders_as_they_are(tmp_path):
    """Whatever they are called: a folder that nobody may enter would be of no more use."""
    file, folder = tmp_path / "ledger.db", tmp_path / "ledger.db-workers"
    file.touch(0o644)
    folder.mkdir(0o755)
    database = Database(f"sqlite:///{file}")
    for _ in range(2):  # from then on there is a write-ahead log, too
        await database.migrate()
        async with database.write() as connection:
            await connection.execute(text("SELECT 1"))
        modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
        assert modes.pop(folder.name) == 0o755
        assert set(modes.values()) == {0o600}
    assert len(modes) > 1
    await database.close()


async def test_a_sqlite_commit_is_on_disk_before_it_returns(sqlite_url):
    """Write-ahead log, fully synced: what was answered with 202 survives a power cut."""
    database = Database(sqlite_url)
    await database.migrate()
    async with database.write() as connection:
        pragmas = {
            name: await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    await database.close()


async def test_a_transaction_that_raises_leaves_nothing(database):
    """All or nothing."""
    row = {"id": "a", "config": {}, "secrets": b"", "version": 1, "paused": False}
    row |= {"gate": "open", "failures": 0, "created_at": 0.0, "updated_at": 0.0}

    async def half() -> None:
        async with database.write() as connection:
            await connection.execute(integrations.insert(), row)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await half()
    async with database.read() as connection:
        assert (await connection.execute(integrations.select())).all() == []


async def test_a_database_that_cannot_be_reached_is_unavailable():
    """Callers know it by `UNAVAILABLE`."""
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(UNAVAILABLE):
        await database.migrations()
    await database.close()


def test_what_is_ready_stays_ready_though_the_clock_jumps_back():
    """By up to two hours, and in the order in which it became so."""
    assert ready_at(7200.0 + 5) <= 5
    assert ready_at(1.0) < ready_at(2.0)
