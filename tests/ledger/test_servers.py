"""The ledger on servers as customers have them: TLS, a plain role, a pooler in between."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import count

import asyncpg
import pytest
from sqlalchemy import select, text

from app.ledger.accepting import accept
from app.ledger.claims import claim
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.fitness import Unfit
from app.ledger.holders import Holder
from app.ledger.integrations import Integrations
from app.ledger.postgresql import NEEDED
from app.ledger.schema import data_keys, receipts
from app.ledger.signals import listen
from app.ledger.vault import Vault
from tests.conftest import SECRET_KEY
from tests.ledger.conftest import NOW, arrival, item, new_integration
from tests.servers import AS_WRITTEN, Postgresql, either, pgbouncer, postgresql, program, standby

pytestmark = [
    pytest.mark.skipif(
        not program("initdb"), reason="NOT TESTED: Debian's postgresql is not installed"
    ),
]
_numbers = count(1)
needs_pgbouncer = pytest.mark.skipif(
    not program("pgbouncer"), reason="NOT TESTED: pgbouncer is not installed"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgresql]:
    """A PostgreSQL with TLS; a plain role `app` has a database `ours` with the tables."""
    with postgresql() as running:
        running.run("ALTER ROLE app CONNECTION LIMIT 60", "CREATE DATABASE ours OWNER app")
        yield running


async def stored(url: str, *, pooled: bool = False) -> int:
    """Start a ledger there, and take in, read and claim as the service does; return how much."""
    database = Database(url, pooled=pooled)
    try:
        await database.migrate()
        integrations = Integrations(database, Vault([SECRET_KEY]))
        with suppress(Exception):
            await integrations.create(new_integration(), paused_reason=None, now=NOW)
        await integrations.recent("spring-quiz")
        one, two = [arrival(item(f"contact {next(_numbers)}", "x")) for _ in range(2)]
        both = await asyncio.gather(accept(database, [one]), accept(database, [two]))
        await claim(database, NOW + 10, 2)
        return sum(each.pending for [each] in both)
    finally:
        await database.close()


USABLE = {
    "plain": "postgresql://app:{p}@127.0.0.1:{port}/ours",
    "postgres": "postgres://app:{p}@127.0.0.1:{port}/ours",
    "another driver": "postgresql+psycopg2://app:{p}@127.0.0.1:{port}/ours",
    "words": "host=127.0.0.1 port={port} dbname=ours user=app password='pass word@1%'",
    "in the query": "postgresql:///ours?host=127.0.0.1&port={port}&user=app&password={p}",
    "no TLS": "postgresql://app:{p}@127.0.0.1:{port}/ours?sslmode=disable",
    "require": "postgresql://app:{p}@127.0.0.1:{port}/ours?sslmode=require",
    "JDBC": "postgresql://app:{p}@127.0.0.1:{port}/ours?ssl=true",
    "verify-ca": "postgresql://app:{p}@localhost:{port}/ours?sslmode=verify-ca&sslrootcert={ca}",
    "verify-full": "postgresql://app:{p}@127.0.0.1:{port}/ours?sslmode=verify-full&sslrootcert={ca}",
    "session": "postgresql://app:{p}@127.0.0.1:{port}/ours?application_name=x&connect_timeout=3"
    "&options=-cstatement_timeout%3D9s&keepalives_idle=20&channel_binding=prefer",
    "first host away": "postgresql://app:{p}@127.0.0.1:1,127.0.0.1:{port}/ours",
    "the one that writes": "postgresql://app:{p}@127.0.0.1:{port}/ours?target_session_attrs=read-write",
}


def written(form: str, server: Postgresql) -> str:
    return form.format(p=AS_WRITTEN, port=server.port, ca=server.folder / "certificate.pem")


@pytest.mark.parametrize("form", USABLE.values(), ids=USABLE)
async def test_each_form_stores_a_webhook(server, form):
    """By the fast way and by SQLAlchemy's: both are made from the same address."""
    assert await stored(written(form, server)) == 2


REFUSED = {
    "another name": ("localhost:{port}/ours?sslmode=verify-full&sslrootcert={ca}", "CERTIFICATE"),
    "not trusted": ("127.0.0.1:{port}/ours?sslrootcert=system", "CERTIFICATE_VERIFY_FAILED"),
    "only copies": ("127.0.0.1:{port}/none?target_session_attrs=primary", "none"),
}


@pytest.mark.parametrize(("rest", "says"), REFUSED.values(), ids=REFUSED)
async def test_a_server_that_is_not_the_one_meant_is_not_used(server, rest, says):
    """It is unavailable, with a reason of one line first."""
    database = Database(written("postgresql://app:{p}@" + rest, server))
    with pytest.raises(UNAVAILABLE, match=says):
        await database.migrate()
    await database.close()


async def test_a_plain_role_with_a_schema_of_its_own_and_six_connections_is_enough(server):
    """No superuser; nothing is made in public; never more sessions than we say we need."""
    server.run("CREATE DATABASE shared")
    server.run(
        f"CREATE ROLE six LOGIN PASSWORD 'six' CONNECTION LIMIT {NEEDED}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "CREATE SCHEMA ledger AUTHORIZATION six",
        "CREATE TABLE public.alembic_version (version_num varchar(32))",
        "INSERT INTO public.alembic_version VALUES ('0009')",
        database="shared",
    )
    url = (
        f"postgresql://six:six@127.0.0.1:{server.port}/shared?options=-csearch_path%3Dledger,public"
    )
    assert await stored(url) == 2
    database = Database(url)
    many = [accept(database, [arrival(item(f"c{each}", "x"))]) for each in range(40)]
    reads = [database.migrations() for _ in range(40)]
    await asyncio.gather(*many, *reads)
    async with database.read() as connection:
        schemas = text("SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = 'six'")
        assert list(await connection.scalars(schemas)) == ["ledger"]
    await database.close()


UNFIT: dict[str, tuple[list[str], str]] = {
    "no schema": (["DROP SCHEMA public"], "CREATE SCHEMA ledger AUTHORIZATION poor"),
    "no right to create": (["REVOKE CREATE ON SCHEMA public FROM PUBLIC"], "GRANT USAGE, CREATE"),
    "few connections": (["ALTER ROLE poor CONNECTION LIMIT 4"], "each process needs 6"),
    "only reads": (
        ["ALTER ROLE poor SET default_transaction_read_only = on"],
        "The server only reads",
    ),
    "another's table": (
        ["GRANT ALL ON SCHEMA public TO poor", "CREATE TABLE contacts (id int)"],
        "contacts.*another application",
    ),
}


@pytest.mark.parametrize(("before", "says"), UNFIT.values(), ids=UNFIT)
async def test_what_is_missing_is_named_at_the_start(server, before, says):
    """In one line, with the statement that mends it."""
    server.run("DROP DATABASE IF EXISTS poor", "DROP ROLE IF EXISTS poor")
    server.run("CREATE ROLE poor LOGIN PASSWORD 'poor'", "CREATE DATABASE poor")
    server.run(*before, database="poor")
    database = Database(f"postgresql://poor:poor@127.0.0.1:{server.port}/poor")
    with pytest.raises(Unfit, match=says) as refused:
        await database.migrate()
    assert "\n" not in str(refused.value)
    await database.close()


async def test_a_role_that_may_not_write_is_told_which_tables(server):
    """The tables are another role's; it may only read."""
    await stored(server.url("ours"))
    server.run("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    server.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database="ours")
    database = Database(f"postgresql://reader:reader@127.0.0.1:{server.port}/ours")
    with pytest.raises(Unfit, match=r"reader lacks DELETE on attempts, .*GRANT SELECT, INSERT"):
        await database.migrate()
    await database.close()


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_pooler_is_found_at_the_start_and_works_when_it_is_named(server, mode):
    """As Debian has it, it refuses our settings of a session; told to ignore them, it lies."""
    server.run(f"CREATE DATABASE behind_{mode} OWNER app")
    usual = [f"pool_mode = {mode}", "default_pool_size = 4"]
    ignores = [
        "ignore_startup_parameters = idle_in_transaction_session_timeout,lock_timeout,"
        "enable_seqscan,enable_bitmapscan,enable_hashjoin,enable_mergejoin,plan_cache_mode"
    ]
    for lines in (usual, usual + ignores):
        with pgbouncer(server, *lines) as bouncer:
            url = f"postgresql://app:{AS_WRITTEN}@127.0.0.1:{bouncer.port}/behind_{mode}"
            database = Database(url)
            with pytest.raises(Unfit, match="DATABASE_POOLER=transaction"):
                await database.migrate()
            await database.close()
            assert await stored(url, pooled=True) == 2


@needs_pgbouncer
async def test_through_a_pooler_many_share_few_sessions(server):
    """Limits hold in each transaction, and nobody's statements or settings meet another's."""
    server.run("CREATE DATABASE shared_sessions OWNER app")
    with pgbouncer(server, "pool_mode = transaction", "default_pool_size = 2") as bouncer:
        options = "options=-csearch_path%3Dpublic&application_name=x"
        url = f"postgresql://app:{AS_WRITTEN}@127.0.0.1:{bouncer.port}/shared_sessions?{options}"
        replicas = [Database(url, pooled=True) for _ in range(3)]
        await replicas[0].migrate()
        vault = Vault([SECRET_KEY])
        await Integrations(replicas[0], vault).create(
            new_integration(), paused_reason=None, now=NOW
        )

        async def work(database: Database, name: str) -> int:
            done = 0
            for each in range(20):
                [one] = await accept(database, [arrival(item(f"{name}{each}", "x"))])
                done += one.pending
                await Integrations(database, vault).get("spring-quiz")
            return done

        done = await asyncio.gather(
            *(work(each, f"{place}-{n}-") for place, each in enumerate(replicas) for n in range(3))
        )
        assert sum(done) == 3 * 3 * 20
        async with replicas[1].read() as connection:
            assert await connection.scalar(text("SHOW lock_timeout")) == "5s"
        session = await asyncpg.connect(server.url("shared_sessions"))
        assert await session.fetchval("SELECT count(*) FROM submissions") == 180
        await session.close()
        for database in replicas:
            await database.close()


@pytest.mark.parametrize("way", ["fast", "slow"])
@pytest.mark.parametrize(
    "end",
    [
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
    ],
    ids=["only reads", "ended"],
)
async def test_sessions_that_became_useless_are_given_up(server, way, end):
    """One error, then the next is well: no session is kept that can no longer write."""
    server.run("DROP DATABASE IF EXISTS turns", "CREATE DATABASE turns OWNER app")
    database = Database(server.url("turns"))
    await database.migrate()

    async def fast() -> None:
        await database.transact(lambda transaction: transaction.change(receipts.delete()))

    async def slow() -> None:
        async with database.write() as connection:
            await connection.execute(text("DELETE FROM receipts"))

    write = {"fast": fast, "slow": slow}[way]
    await asyncio.gather(write(), write())
    server.run(end, "SELECT pg_reload_conf()")
    with suppress(*UNAVAILABLE):
        await write()
    server.run("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    with suppress(*UNAVAILABLE):
        await write()
    await write()
    await database.close()


@pytest.fixture
async def two_servers() -> AsyncIterator[tuple[Database, Postgresql, Postgresql]]:
    """A ledger on a primary of its own, whose copy may take over."""
    with postgresql() as first:
        first.run("CREATE DATABASE ours OWNER app")
        with standby(first) as second:
            database = Database(either(first, second, "ours"))
            await database.migrate()
            yield database, first, second
            await database.close()


async def test_after_a_failover_nobody_reads_what_the_old_primary_has(two_servers):
    """Within seconds, also by a session that is never idle: the old one answers, and is behind."""
    database, first, second = two_servers

    async def names() -> list[str]:
        async with database.read() as connection:
            return list(await connection.scalars(select(data_keys.c.name)))

    assert await names() == []
    first.demote()
    second.run("SELECT pg_promote()")
    second.run("INSERT INTO data_keys VALUES ('new', '')", database="ours")
    async with asyncio.timeout(10):
        found: list[str] = []
        while found != ["new"]:
            await asyncio.sleep(0.02)
            found = await names()


class Asking(Holder):
    """A holder that asks for how long its session may leave the server without an answer (ms)."""

    unanswered: list[int]

    async def begin(self, session: asyncpg.Connection) -> None:
        told = "SELECT setting::int FROM pg_settings WHERE name = $1"
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
        idle, interval, number, unanswered = [
            await session.fetchval(told, f"tcp_{name}") for name in names
        ]
        self.unanswered = [(idle + interval * number) * 1000, unanswered]
        await super().begin(session)


async def test_a_worker_whose_machine_is_gone_is_known_to_be_within_seconds(server):
    """Whether the server last heard of it, or had told it something: webhooks come in all along."""
    await stored(url := server.url("ours"))
    database, heard = Database(url), asyncio.Event()
    listening = asyncio.create_task(listen(database, holder := Asking(), heard.set))
    async with asyncio.timeout(10):
        await heard.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await database.close()
    assert all(0 < each < 5_000 for each in holder.unanswered)
