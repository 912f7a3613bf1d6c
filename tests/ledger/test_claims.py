"""A claim leases a contact: its submissions go out one at a time, in order, sent by one holder."""

import asyncio
import re
import threading
from collections import Counter

import asyncpg
import pytest
from sqlalchemy import select, update

from app.ledger.claims import (
    LEASE_SECONDS,
    Attempt,
    Settlement,
    claim,
    renew,
    settle,
)
from app.ledger.integrations import Gate
from app.ledger.retention import prune_receipts
from app.ledger.schema import GateState, SubmissionStatus, attempts, receipts, submissions
from app.ledger.transaction import _Prepared
from tests.ledger.conftest import NOW, arrival, item

PENDING, DELIVERED = SubmissionStatus.PENDING, SubmissionStatus.DELIVERED


def contents(claims):
    """Return the items' contents, sorted by contact: what was claimed, in the tests' words."""
    return sorted(f"{each.contact_key} {each.payload.decode()[-3]}" for each in claims)


# --- Order ----------------------------------------------------------------------------------


async def test_a_contact_s_submissions_go_out_one_at_a_time_in_order(ledger):
    """The second waits until the first is settled, the third until the second is."""
    await ledger.accept(item("ann", "1"), item("ann", "2"), item("bob", "1"))
    await ledger.accept(item("ann", "3"))
    first = await ledger.claim()
    assert contents(first) == ["ann 1", "bob 1"], "contacts do not wait for each other"
    assert await ledger.claim() == []
    await ledger.deliver(first)
    second = await ledger.claim()
    assert contents(second) == ["ann 2"]
    await ledger.accept(item("ann", "4"))
    assert await ledger.claim() == [], "what arrives while one is under way waits behind it"
    for number in "34":
        await ledger.deliver(second)
        second = await ledger.claim()
        assert contents(second) == [f"ann {number}"]
    await ledger.deliver(second)
    assert await ledger.claim() == []
    assert await ledger.rows("status") == ["delivered"] * 5
    assert (await ledger.contact("ann")).due_at is None


async def test_a_backlog_on_one_contact_does_not_hold_up_another(ledger):
    """5,000 submissions wait for ann; bob, who came last, goes out in the same claim."""
    for batch in range(5):
        await ledger.accept(*(item("ann", f"{batch} {each}") for each in range(1000)))
    await ledger.accept(item("bob", "1"))
    claims = await ledger.claim(limit=2)
    assert [each.contact_key for each in claims] == ["ann", "bob"]
    await ledger.deliver(claims)
    assert [each.contact_key for each in await ledger.claim(limit=2)] == ["ann"]


async def test_those_due_longest_go_first(ledger):
    """With room for few, the contacts go in the order in which they became due."""
    for place, contact in enumerate(["cay", "ann", "bob"]):
        await ledger.accept(item(contact, "1"), received_at=NOW + place)
    taken = [(await ledger.claim(NOW + 5, limit=1))[0].contact_key for _ in range(3)]
    assert taken == ["cay", "ann", "bob"]


# --- Leases ---------------------------------------------------------------------------------


async def test_a_lease_that_ran_out_goes_to_another_and_the_old_one_settles_nothing(ledger):
    """A worker that died loses nothing, and one that was only slow overwrites nothing."""
    await ledger.accept(item("ann", "1"))
    (old,) = await ledger.claim(NOW)
    assert await ledger.claim(NOW + LEASE_SECONDS - 1) == []
    (new,) = await ledger.claim(NOW + LEASE_SECONDS)
    assert new.id == old.id
    assert new.lease != old.lease
    assert await ledger.deliver([old]) == [False]
    assert await ledger.rows("status") == ["pending"]
    assert await ledger.deliver([new]) == [True]
    assert await ledger.deliver([new]) == [False], "settled is settled"
    assert await ledger.rows("status") == ["delivered"]


@pytest.mark.parametrize("old_first", [True, False])
async def test_an_old_lease_settled_in_one_go_with_the_new_one_settles_nothing(ledger, old_first):
    """Both may meet in one commit of one process; the holder alone is heard."""
    await ledger.accept(item("ann", "1"))
    (old,) = await ledger.claim(NOW)
    (new,) = await ledger.claim(NOW + LEASE_SECONDS)
    both = [
        Settlement(old, SubmissionStatus.DEAD, reason="rejected"),
        Settlement(new, DELIVERED),
    ]
    held = await settle(ledger.database, both if old_first else both[::-1], NOW + 61)
    assert held == ([False, True] if old_first else [True, False])
    assert await ledger.rows("status", "reason") == [("delivered", None)]


async def test_a_renewed_lease_lasts_longer(ledger):
    """From the moment of renewal; one that is another's by now is not renewed."""
    await ledger.accept(item("ann", "1"), item("bob", "1"))
    ann, bob = await ledger.claim(NOW)
    assert await renew(ledger.database, [ann], NOW + 40) == {ann.token}
    (again,) = await ledger.claim(NOW + 70)
    assert again.id == bob.id
    assert await renew(ledger.database, [ann, bob], NOW + 70) == {ann.token}
    assert await ledger.deliver([ann, bob], NOW + 71) == [True, False]


async def test_a_claim_given_back_can_be_claimed_at_once(ledger):
    """As a worker does that is told to stop; no attempt is counted."""
    await ledger.accept(item("ann", "1"))
    (given,) = await ledger.claim()
    assert await settle(ledger.database, [Settlement(given, PENDING)], NOW) == [True]
    (taken,) = await ledger.claim()
    assert (taken.id, taken.tries) == (given.id, 0)
    assert (await ledger.contact("ann")).lease == taken.lease


async def test_what_is_settled_after_the_integration_was_deleted_changes_nothing(ledger):
    """The submission stays dead, as the deletion left it."""
    await ledger.accept(item("ann", "1"))
    claims = await ledger.claim()
    await ledger.integrations.delete("spring-quiz", force=True, now=NOW)
    assert await ledger.deliver(claims) == [False]
    assert await renew(ledger.database, claims, NOW) == set()
    assert await ledger.rows("status", "reason") == [("dead", "integration_deleted")]


async def test_claimers_at_work_at_once_share_the_work(ledger, another_database):
    """Many contacts, several processes: each is claimed once, and none is left."""
    await ledger.accept(*(item(f"c{each}", "1") for each in range(60)))
    databases = [await another_database() for _ in range(3)]
    seen: Counter[int] = Counter()
    for _ in range(10):
        taken = await asyncio.gather(*(claim(each, NOW, 5) for each in databases))
        seen.update(each.seq for claims in taken for each in claims)
        if len(seen) == 60:
            break
    assert len(seen) == 60
    assert set(seen.values()) == {1}


async def test_accepting_while_settling_leaves_nobody_behind(ledger, another_database):
    """A contact with something pending is always due, whichever of the two came first."""
    other = await another_database()
    for number in range(10):
        await ledger.accept(item("ann", f"{number}a"))
        claims = await ledger.claim()
        accepted = ledger.accept(item("ann", f"{number}b"))
        delivered = settle(other, [Settlement(each, DELIVERED) for each in claims], NOW)
        await asyncio.gather(accepted, delivered)
        (late,) = await ledger.claim()
        await ledger.deliver([late])
    assert set(await ledger.rows("status")) == {"delivered"}


# --- Retries --------------------------------------------------------------------------------


async def test_a_retry_waits_for_its_time_and_the_contact_s_next_with_it(ledger):
    """The attempt is counted and kept; what came later does not overtake."""
    await ledger.accept(item("ann", "1"), item("ann", "2"))
    (first,) = await ledger.claim()
    spent = Attempt(NOW, 12.5, 503, "unavailable", "HTTP 503")
    retry = Settlement(first, PENDING, due_at=NOW + 30, attempt=spent)
    assert await settle(ledger.database, [retry], NOW) == [True]
    assert await ledger.claim(NOW + 29) == []
    (again,) = await ledger.claim(NOW + 30)
    assert (again.id, again.tries) == (first.id, 1)
    async with ledger.database.read() as connection:
        kept = (await connection.execute(select(attempts))).one()
    assert (kept.at, kept.ms, kept.http_status, kept.outcome, kept.error) == (
        NOW,
        12.5,
        503,
        "unavailable",
        "HTTP 503",
    )


async def test_an_outcome_is_kept_whole(ledger):
    """Reason, warnings, contact id and the time of settling."""
    await ledger.accept(item("ann", "1"), item("bob", "1"))
    ann, bob = await ledger.claim()
    settled = [
        Settlement(ann, DELIVERED, warnings=[{"code": "w"}], cordial_contact_id="c1"),
        Settlement(bob, SubmissionStatus.SKIPPED, reason="opted_out"),
    ]
    await settle(ledger.database, settled, NOW + 5)
    columns = ("status", "reason", "settled_at", "warnings", "cordial_contact_id", "tries")
    assert await ledger.rows(*columns) == [
        ("delivered", None, NOW + 5, [{"code": "w"}], "c1", 0),
        ("skipped", "opted_out", NOW + 5, None, None, 0),
    ]


async def test_what_was_delivered_last_is_known_to_the_next(ledger):
    """The latest answers delivered, not the last ones, tell what is stale."""
    occurred = [NOW + 10, NOW - 10, None, NOW]
    await ledger.accept(
        *(item("ann", str(place), occurred_at=at) for place, at in enumerate(occurred))
    )
    known = []
    for _ in occurred:
        claims = await ledger.claim()
        known.append(claims[0].delivered_occurred_at)
        await ledger.deliver(claims)
    assert known == [None, NOW + 10, NOW + 10, NOW + 10]
    assert (await ledger.contact("ann")).delivered_seq == claims[0].seq


async def test_a_submission_found_to_be_another_s_queues_behind_that_one_in_order(ledger):
    """A mended mapping reads another address: by receipt it comes before bob's later one."""
    await ledger.accept(item("ann", "1"), item("ann", "2"), item("bob", "3"))
    ann, bob = await ledger.claim()
    rekeyed = Settlement(ann, PENDING, rekeyed=("bob", "phone"))
    given_back = Settlement(bob, PENDING)
    assert await settle(ledger.database, [rekeyed, given_back], NOW) == [True, True]
    claims = await ledger.claim()
    assert contents(claims) == ["ann 2", "bob 1"]
    assert await ledger.rows("phone_key") == ["phone", None, None]
    await ledger.deliver(claims)
    assert contents(await ledger.claim()) == ["bob 3"]


async def test_a_submission_found_to_be_a_stranger_s_gets_a_line_of_its_own(ledger):
    """The contact need not be known before."""
    await ledger.accept(item("ann", "1"))
    claims = await ledger.claim()
    rekeyed = [Settlement(each, PENDING, rekeyed=("new", None)) for each in claims]
    await settle(ledger.database, rekeyed, NOW)
    (mine,) = await ledger.claim()
    assert mine.contact_key == "new"
    assert (await ledger.contact("ann")).due_at is None


async def test_a_contact_left_with_nothing_is_no_longer_called_due(ledger):
    """An erasure may take what was pending away; the claim then puts the contact to rest."""
    await ledger.accept(item("ann", "1"), item("bob", "1"))
    await ledger.run(
        update(submissions).where(submissions.c.contact_key == "ann").values(status="dead")
    )
    assert contents(await ledger.claim()) == ["bob 1"]
    ann = await ledger.contact("ann")
    assert (ann.due_at, ann.lease) == (None, None)


# --- Gates and turns ------------------------------------------------------------------------


async def test_a_paused_integration_is_not_claimed_from(ledger):
    """Its webhooks are accepted; sending waits until it is resumed."""
    await ledger.integrations.pause("spring-quiz", reason="r", now=NOW)
    await ledger.accept(item("ann", "1"))
    assert await ledger.claim() == []
    await ledger.integrations.resume("spring-quiz", now=NOW)
    (mine,) = await ledger.claim()
    assert (mine.probe, mine.troubled) == (False, False)


async def set_gate(ledger, state, failures=5, until=NOW + 100):
    gate = Gate(state, "why", NOW, until, failures)
    await ledger.integrations.turn_gate("spring-quiz", lambda _: gate, now=NOW)


async def test_a_held_gate_lets_all_by_when_the_wait_is_over(ledger):
    """Before, nothing; then everything, without a probe."""
    await ledger.accept(item("ann", "1"), item("bob", "1"))
    await set_gate(ledger, GateState.HELD, failures=2)
    assert await ledger.claim(NOW + 99) == []
    claims = await ledger.claim(NOW + 100)
    assert [(each.probe, each.troubled) for each in claims] == [(False, True)] * 2
    gate = (await ledger.integrations.get("spring-quiz")).gate
    assert (gate.state, gate.until, gate.failures) == (GateState.OPEN, None, 2)


@pytest.mark.parametrize("state", [GateState.CLOSED, GateState.BLOCKED])
async def test_a_shut_gate_lets_one_probe_by_when_its_time_has_come(ledger, state):
    """One at a time; a probe that never tells makes room for the next after a lease."""
    await ledger.accept(*(item(each, "1") for each in ("ann", "bob", "cay")))
    await set_gate(ledger, state)
    assert await ledger.claim(NOW + 99) == []
    (probe,) = await ledger.claim(NOW + 100)
    assert (probe.probe, probe.troubled) == (True, True)
    assert await ledger.claim(NOW + 100) == []
    assert await ledger.claim(NOW + 159) == []
    assert len(await ledger.claim(NOW + 160)) == 1
    assert (await ledger.integrations.get("spring-quiz")).gate.state is state


@pytest.mark.parametrize("state", [GateState.CLOSED, GateState.BLOCKED])
async def test_of_two_claimers_at_once_one_gets_the_probe(ledger, another_database, state):
    """Cordial is asked once, however many replicas there are."""
    databases = [await another_database() for _ in range(3)]
    await ledger.accept(*(item(each, "1") for each in ("ann", "bob", "cay", "dan", "eve")))
    for later in range(5):
        await set_gate(ledger, state, until=NOW + 100 * later)
        taken = await asyncio.gather(*(claim(each, NOW + 100 * later, 5) for each in databases))
        assert sum(len(each) for each in taken) == 1


async def test_a_backlog_of_one_integration_leaves_room_for_another(ledger):
    """A claim for ten takes from both."""
    await ledger.create("Autumn quiz")
    for integration in ("spring-quiz", "autumn-quiz"):
        many = (item(f"c{each}", "1") for each in range(30))
        await ledger.accept(*many, integration_id=integration)
    taken = Counter(each.integration_id for each in await ledger.claim(limit=10))
    assert taken == {"spring-quiz": 5, "autumn-quiz": 5}


async def test_integrations_take_turns_also_with_room_for_one(ledger):
    """A busy worker claims one by one as sends end; one backlog must not take every turn."""
    await ledger.create("Autumn quiz")
    for integration in ("spring-quiz", "autumn-quiz"):
        many = (item(f"c{each}", "1") for each in range(30))
        await ledger.accept(*many, integration_id=integration)
    taken: Counter[str] = Counter()
    for tick in range(40):
        claims = await ledger.claim(NOW + tick, limit=1)
        taken.update(each.integration_id for each in claims)
        await ledger.deliver(claims, NOW + tick)
    assert min(taken["spring-quiz"], taken["autumn-quiz"]) >= 5


# --- Housekeeping and speed -----------------------------------------------------------------


async def test_signatures_are_forgotten_when_they_are_too_old_to_be_shown(ledger):
    """Not before: until then they tell a repeat."""
    same = arrival(item(None, "A"), fingerprint="f", expires_at=NOW + 300)
    await ledger.accept(item(None, "A"), fingerprint="f", expires_at=NOW + 300)
    await prune_receipts(ledger.database, NOW + 300)
    async with ledger.database.read() as connection:
        assert len((await connection.execute(select(receipts))).all()) == 1
    assert (await ledger.accept(*same.items, fingerprint="f")).duplicates == 1
    await prune_receipts(ledger.database, NOW + 301)
    assert (await ledger.accept(*same.items, fingerprint="f")).pending == 1


# What every submission waits for is found by these, never by going through what is pending.
QUICK = {
    "submissions": {"submissions_pkey", "submissions_by_contact", "submissions_by_session"},
    "contacts": {"contacts_pkey", "contacts_due", "contacts_by_texted"},
    "receipts": {"receipts_pkey"},
}


def used(plan):
    """Yield the tables that an engine goes through for a statement, each with its index."""
    for table, primary, index in re.findall(
        r"(?:SEARCH|SCAN) (\w+)(?: USING (?:[^'(]*?(PRIMARY KEY)|[^'(]*?INDEX (\w+)))?", plan
    ):
        yield table, index or (f"{table}_pkey" if primary else "every row")
    for index, table in re.findall(r"Scan (?:Backward )?using (\w+) on (\w+)", plan):
        yield table, index
    for table in re.findall(r"Seq Scan on (\w+)", plan):
        yield table, "every row"


def sought(plan):
    """Yield what PostgreSQL uses of a table's indexes to look for single rows, and what not."""
    for index, table, condition in re.findall(
        r"Scan (?:Backward )?using (\w+) on (\w+) [^\n]*\n *(Index Cond: \(+\w+)?", plan
    ):
        # Any index that holds the numbers will do: it is looked into at each of them.
        by_number = condition.endswith("(seq")
        yield table, f"{table}_pkey" if by_number else index if condition else "every row"
    for table in re.findall(r"Seq Scan on (\w+)", plan):
        yield table, "every row"


async def find_gone_through(ledger, monkeypatch):
    """Let a burst come, and return what its statements find by none of the quick indexes."""
    await ledger.create("Autumn quiz")  # so that claims ask what it knows of their contacts
    for batch in range(20):
        many = (item(f"c{batch}-{each}", "1", f"s{batch}-{each}") for each in range(500))
        await ledger.accept(*many)
    asked = {}
    places, arrange = _Prepared.places, _Prepared.arrange

    async def thread_of(transaction):
        return threading.get_ident()

    ours = await ledger.database.transact(thread_of)  # a service of another test may go on

    def note(prepared, values):
        if threading.get_ident() == ours:
            asked.setdefault(prepared.text, values)

    def noted(prepared, values):
        given = places(prepared, values)
        note(prepared, given)
        return given

    def noted_each(prepared, names, rows):
        given = arrange(prepared, names, rows)
        note(prepared, given[0])
        return given

    monkeypatch.setattr(_Prepared, "places", noted)
    monkeypatch.setattr(_Prepared, "arrange", noted_each)
    await ledger.accept(*(item(f"c1-{each}", "2", f"s{each}") for each in range(50)))
    claims = await ledger.claim(limit=50)
    await renew(ledger.database, claims, NOW)
    await ledger.deliver(claims)
    explain = "EXPLAIN QUERY PLAN " if ledger.database.is_sqlite else "EXPLAIN "
    seen, slow = set(), []
    for question, values in asked.items():
        if question.startswith("INSERT"):
            continue

        async def ask(transaction, question=question, values=values):
            connection = transaction._connection
            if ledger.database.is_sqlite:
                return connection.execute(explain + question, values).fetchall()
            return await connection.fetch(explain + question, *values)

        plan = "\n".join(str(row[-1]) for row in await ledger.database.transact(ask)) + "\n"
        for table, index in used(plan) if ledger.database.is_sqlite else sought(plan):
            seen.add(table)
            if index not in QUICK.get(table, {index}):
                slow.append((table, index, question, plan))
    assert seen >= set(QUICK)
    return slow


async def test_a_backlog_is_never_gone_through(ledger, monkeypatch):
    """Whatever part of it is asked for."""
    assert await find_gone_through(ledger, monkeypatch) == []


@pytest.fixture
async def tables(database_url):
    """The tables of a backlog on PostgreSQL, which does not count them by itself: `tables(sql)`."""
    session = await asyncpg.connect(database_url)

    async def each(statement):
        for name in QUICK:
            await session.execute(statement.format(name))

    await each("TRUNCATE {} CASCADE")
    await each("ALTER TABLE {} SET (autovacuum_enabled = off, vacuum_truncate = off)")
    yield each
    await each("ALTER TABLE {} RESET (autovacuum_enabled, vacuum_truncate)")
    await session.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("counted", [None, "false", "ctid::text LIKE '%,7)'"])
async def test_nor_where_postgresql_takes_it_to_be_small(ledger, tables, monkeypatch, counted):
    """In a first burst, and in one after a quiet time: it counts again only after a minute."""
    if counted:
        await ledger.accept(*(item(f"old-{each}", "1", f"old-{each}") for each in range(4000)))
        await tables(f"DELETE FROM {{}} WHERE NOT ({counted})")
        await tables("VACUUM ANALYZE {}")
    assert await find_gone_through(ledger, monkeypatch) == []
