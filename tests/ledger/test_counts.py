"""What is counted by triggers is what is there, whoever wrote it and however long ago."""

import asyncio
import random
from collections import Counter

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from app.ledger import counts, versions
from app.ledger.accepting import new_id
from app.ledger.claims import Settlement, claim, settle
from app.ledger.counts import Span, add_up
from app.ledger.database import Database
from app.ledger.erasure import Person, erase
from app.ledger.listing import newest
from app.ledger.replays import discard_all, replay_all
from app.ledger.schema import SubmissionStatus, submission_counts, submissions
from app.ledger.submissions import Filter, count
from tests.ledger.conftest import NOW, UNREADABLE, item

DAY = 86_400.0
STATUSES = [*SubmissionStatus]
REASONS = {"skipped": ["opted_out", "erased"], "dead": ["rejected", "unavailable"]}


EVER = Span()


async def counted(database, span=EVER):
    async with database.read() as connection:
        return +(await counts.by_reason(connection, span))


async def there(database, span=EVER):
    """Count the rows themselves."""
    column = submissions.c
    grouped = column.integration_id, column.status, func.coalesce(column.reason, "")
    query = select(*grouped, func.count()).where(*span.conditions()).group_by(*grouped)
    async with database.read() as connection:
        rows = await connection.execute(query)
        return Counter({((each, status), reason): n for each, status, reason, n in rows})


def rows(chance, times):
    """Return submissions received at these times, in this order, of every status."""
    for number, at in enumerate(times):
        status = chance.choice(STATUSES)
        yield {
            "id": new_id(at),
            "integration_id": chance.choice(["spring-quiz", "autumn-quiz"]),
            "status": status,
            "reason": chance.choice(REASONS.get(status, [None])),
            "contact_key": str(number % 7),
            "received_at": at,
            "settled_at": at,
            "test": status == "test",
            "tries": 0,
            "forced": False,
            "payload": b"{}",
        }


async def test_counts_are_exact_after_all_that_befalls_a_submission(ledger):
    """Delivered, skipped, dead, tests, a replay, a discard, an erasure, a deleted integration."""
    database = ledger.database
    await ledger.create("Autumn quiz")

    async def compare():
        assert await counted(database) == await there(database)

    await ledger.accept(*(item(f"{n}", "x") for n in range(12)), UNREADABLE)
    await ledger.accept(item("t", "x"), test=True)
    await ledger.accept(item("a", "x"), item("b", "x"), integration_id="autumn-quiz")
    await compare()
    claims = await claim(database, NOW, 14)
    outcomes = [SubmissionStatus.DELIVERED, SubmissionStatus.SKIPPED, SubmissionStatus.DEAD]
    settled = [
        Settlement(each, outcomes[n % 3], reason=REASONS.get(outcomes[n % 3], [None])[0])
        for n, each in enumerate(claims)
    ]
    await settle(database, settled, NOW)
    await compare()
    await replay_all(database, Filter(), force=False, dry_run=False, now=NOW)
    await compare()
    person = Person(["1", "2"], lambda _: False, lambda kept: kept)
    assert await erase(database, person, NOW) == 2
    await compare()
    assert await discard_all(database, Filter(integration_id="autumn-quiz"), dry_run=False, now=NOW)
    await compare()
    await add_up(database, NOW)
    await ledger.integrations.delete("spring-quiz", force=True, now=NOW)
    await compare()
    [autumn, spring] = await count(database, NOW)
    assert (autumn.by_status, sum(spring.by_status.values())) == ({"skipped": 2}, 14)


async def test_counts_are_exact_whoever_writes(database):
    """Statements of a person with a client, for many rows at once."""
    column, chance = submissions.c, random.Random(5)
    many = list(rows(chance, [NOW + n * 600 for n in range(60)]))
    for statement in (
        insert(submissions).values(many),
        update(submissions).where(column.seq % 2 == 0).values(status="dead", reason="rejected"),
        update(submissions).where(column.seq % 3 == 0).values(reason=None),
        update(submissions).where(column.seq % 5 == 0).values(received_at=NOW - DAY),
        update(submissions).where(column.seq % 7 == 0).values(integration_id="winter-quiz"),
        delete(submissions).where(column.seq % 4 == 0),
        delete(submissions),
    ):
        async with database.write() as connection:
            await connection.execute(statement)
        assert await counted(database) == await there(database)
        await add_up(database, NOW + DAY)
        assert await counted(database) == await there(database)


@pytest.mark.parametrize("at", [0.0, 5e-324, -1.0, 1e300])
async def test_no_time_is_refused(database, at):
    """Whatever clock it came from."""
    async with database.write() as connection:
        await connection.execute(insert(submissions), list(rows(random.Random(1), [NOW])))
        await connection.execute(update(submissions).values(received_at=at))
    assert await counted(database) == await there(database)


async def test_what_is_undone_counts_for_nothing(database):
    """A transaction that fails leaves the counts as they were."""

    async def half():
        async with database.write() as connection:
            await connection.execute(insert(submissions), list(rows(random.Random(1), [NOW])))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await half()
    assert await counted(database) == Counter()


ORDERS = {"in order": sorted, "in any order": lambda times: times}


@pytest.mark.parametrize("arrange", ORDERS.values(), ids=ORDERS)
async def test_any_span_of_time_is_counted_and_listed_exactly(database, arrange):
    """Also parts of hours, days long past that are added up, and clocks that were set."""
    chance = random.Random(seed := random.randrange(10**6))
    times = [NOW - chance.choice([1, 60]) * DAY * chance.random() for _ in range(120)]
    for part in (times[:60], times[60:]):
        async with database.write() as connection:
            await connection.execute(insert(submissions), list(rows(chance, arrange(part))))
        await add_up(database, NOW)
    edges = [None, *chance.sample(times, 3), NOW - 40 * DAY, NOW // 3600 * 3600, NOW - 99 * DAY]
    edges += [edges[1] + 1, edges[2] // DAY * DAY]
    pairs = [(a, b) for a in edges for b in edges if not (a and b and a > b)]
    for since, until in chance.sample(pairs, 12):
        span = Span(since, until)
        assert await counted(database, span) == await there(database, span), (seed, span)
    for _ in range(6):
        one, other = sorted(chance.sample(times, 2))
        wanted = Filter(
            chance.choice([None, "spring-quiz"]),
            chance.choice([None, SubmissionStatus.SKIPPED, SubmissionStatus.DELIVERED]),
            chance.choice([None, "opted_out"]),
            since=chance.choice([None, one]),
            until=chance.choice([None, other]),
        )
        async with database.read() as connection:
            query = select(submissions.c.seq).order_by(submissions.c.seq.desc()).limit(20)
            span = Span(wanted.since, wanted.until).conditions()
            expected = await connection.scalars(query.where(*wanted.conditions(), *span))
            listed = await newest(database, wanted, limit=20, before=None)
            assert [each.seq for each in listed] == list(expected), (seed, wanted)


async def test_what_is_added_up_takes_few_rows(database):
    """By hour for 40 days, then by day; nothing is kept of hours of which nothing is left."""
    at = [NOW - 50 * DAY + n * 3600 for n in range(24)]
    async with database.write() as connection:
        for each in (*at, NOW):
            await connection.execute(insert(submissions), list(rows(random.Random(2), [each])))
    await add_up(database, NOW)
    async with database.read() as connection:
        kept = (await connection.execute(select(submission_counts))).all()
    assert {each.part for each in kept} == {0}
    assert len(kept) <= 3
    async with database.write() as connection:
        await connection.execute(delete(submissions).where(submissions.c.received_at < NOW))
    await add_up(database, NOW)
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(submission_counts)) == 1


async def test_replicas_add_up_at_once_while_others_count(database, another_database):
    """Nothing is counted twice or not at all, and nobody waits for a writer at work."""
    chance, other = random.Random(3), await another_database()

    async def write():
        for each in rows(chance, [NOW + n for n in range(40)]):
            async with database.write() as connection:
                await connection.execute(insert(submissions), each)

    async def sum_up():
        for _ in range(8):
            await add_up(other, NOW)

    await asyncio.gather(write(), sum_up(), sum_up())
    assert await counted(database) == await there(database)


async def test_what_was_there_before_is_counted_once(database_url):
    """Also what the version before writes between the two steps, and while we count."""
    database = Database(database_url)
    await database.migrate()
    chance = random.Random(4)

    def step(revision):
        from alembic import command
        from alembic.config import Config

        def run(connection):
            config = Config()
            config.set_main_option("script_location", str(versions._MIGRATIONS))
            config.attributes["connection"] = connection
            command.downgrade(config, revision)

        return run

    async with database.write() as connection:
        await connection.run_sync(step("0006"))
        await connection.execute(insert(submissions), list(rows(chance, [NOW] * 40)))
    async with database.write() as connection:
        await connection.run_sync(versions.upgrade)
        assert await connection.run_sync(versions.current) == 7
    async with database.write() as connection:
        column = submissions.c
        await connection.execute(insert(submissions), list(rows(chance, [NOW + 7200] * 10)))
        await connection.execute(update(submissions).where(column.seq < 9).values(status="dead"))
        await connection.execute(delete(submissions).where(column.seq.between(20, 25)))
    await database.migrate()
    assert await counted(database) == await there(database)
    await database.close()


@pytest.mark.parametrize("path", ["nowhere", '"$user", public'])
async def test_who_looks_elsewhere_is_counted_too(postgresql_url, path):
    """A person's client has another search_path."""
    database = Database(postgresql_url)
    await database.migrate()
    async with database.write() as connection:
        await connection.execute(text(f"SET LOCAL search_path = {path}"))
        await connection.execute(
            text(
                "INSERT INTO public.submissions (id, integration_id, status, test, received_at,"
                " tries, forced) VALUES ('a', 'spring-quiz', 'pending', false, 0, 0, false)"
            )
        )
    assert sum((await counted(database)).values()) == 1
    await database.close()
