"""The worker: order, turns, pace, and how it ends."""

import asyncio
import time
from collections import defaultdict
from itertools import pairwise

import pytest

from app.delivery import worker as module
from app.delivery.worker import LOOK_SECONDS, Worker
from app.ledger.claims import LEASE_SECONDS, claim
from app.ledger.erasure import Person, erase
from app.ledger.holders import Holder
from app.ledger.integrations import Gate
from app.ledger.replays import discard
from app.rules.mentions import Mentions
from tests.conftest import database_url_on, engines
from tests.delivery.conftest import person
from tests.proxies import listening

database_url = database_url_on(engines())


about_leases = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


def by_contact(line):
    """Return the journal's upserts by address, in order of arrival."""
    entries = defaultdict(list)
    for each in line.cordial.sandbox.journal:
        entries[each.email].append(each)
    return entries


@about_leases
@pytest.mark.parametrize("workers", [1, 2])
async def test_each_contact_gets_its_submissions_once_in_order_one_at_a_time(line, workers):
    """However many contacts and workers there are; seen from Cordial's side."""
    line.cordial.sandbox.latency_seconds = 0.002
    await line.create()
    ids = []
    for number in range(6):
        ids += await line.accept(*(person(f"p{each}", outcome=f"{number}") for each in range(25)))
    for _ in range(workers):
        await line.start(concurrency=20)
    assert {one.status for one in await line.settled(*ids)} == {"delivered"}
    entries = by_contact(line)
    assert len(entries) == 25
    for mine in entries.values():
        assert [each.body["quiz_outcome"] for each in mine] == list("012345")
        for before, after in pairwise(mine):
            assert before.ended <= after.started


async def test_a_contact_that_waits_for_a_retry_does_not_hold_up_others(line):
    """Its own later submission waits behind it, and goes out after it."""
    await line.create()
    line.fail("server_error", times=3, email="ann@example.com")
    ids = await line.accept(person(outcome="1"), person(outcome="2"), person("bob"))
    await line.start()
    await line.settled(ids[2])
    await line.tried(ids[0], 1)
    assert await line.quiet() == 4
    assert (await line.find(ids[1])).status == "pending"
    line.later(30)
    await line.settled(*ids)
    assert [each.body["quiz_outcome"] for each in by_contact(line)["ann@example.com"]] == [
        *"111",
        *"12",
    ]


async def test_an_integration_in_trouble_does_not_hold_up_another(line):
    """Each account has its own gate."""
    line.cordial.sandbox.account.api_keys["key-of-autumn"] = ["GET contacts"]
    await line.create()
    await line.create(name="Autumn quiz", cordial={"api_key": "key-of-autumn"})
    blocked = await line.accept(*(person(f"a{each}") for each in range(30)), to="autumn-quiz")
    fine = await line.accept(*(person(f"s{each}") for each in range(10)))
    await line.start(concurrency=4)
    assert {one.status for one in await line.settled(*fine)} == {"delivered"}
    await line.gate("blocked", "autumn-quiz")
    assert {(await line.find(each)).status for each in blocked} == {"pending"}


@pytest.mark.parametrize(
    "said", [b"401 Unauthorized\r\n", b"429 Too Many Requests\r\nretry-after: 3000\r\n"]
)
async def test_what_an_account_says_that_was_left_meanwhile_does_not_stop_the_new_one(line, said):
    """The request was under way when somebody changed account and key."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        asked.set()
        await left.wait()
        writer.write(b"HTTP/1.1 " + said + b"content-length: 2\r\n\r\n{}")

    async with listening(answer) as port:
        await line.create(cordial={"account_url": f"http://127.0.0.1:{port}"})
        ids = await line.accept(person())
        await line.start(extra_hosts=frozenset({f"127.0.0.1:{port}"}))
        await asked.wait()
        await line.change(cordial={"account_url": line.cordial.url})
        left.set()
        (one,) = await line.settled(*ids)
    assert one.status == "delivered"
    assert (await line.gate("open")).gate == Gate()


async def test_a_slow_account_s_backlog_leaves_room_for_another_s(line):
    """All hands are full with one account; the other gets a turn as they come free."""
    line.fail("slow", seconds=0.02)
    ids = {}
    for season in ("autumn", "winter"):
        await line.create(name=f"{season} quiz")
        people = (person(f"{season}{each}") for each in range(15))
        ids[season] = await line.accept(*people, to=f"{season}-quiz")
    await line.start(concurrency=1)
    await line.settled(*ids["autumn"], *ids["winter"])
    first = [each["channels"]["email"]["address"][:6] for each in line.cordial.bodies()][:15]
    assert min(first.count("autumn"), first.count("winter")) >= 1


async def test_what_is_claimed_ahead_is_not_sent_through_a_gate_that_shut_meanwhile(line):
    """Three may be sent at once here, two more are claimed: Cordial is asked three times."""
    await line.create()
    line.fail("unauthorized")
    ids = await line.accept(*(person(f"p{each}") for each in range(10)))
    await line.start(concurrency=4)
    await line.gate("blocked")
    assert await line.quiet() == 3
    assert {(await line.find(each)).status for each in ids} == {"pending"}


async def test_what_waits_too_long_for_its_place_is_claimed_anew(line):
    """The integration was paused meanwhile: nothing more is sent, and nothing is lost."""
    await line.create()
    line.fail("slow", seconds=0.3)
    ids = await line.accept(*(person(f"p{each}") for each in range(10)))
    await line.start(concurrency=4)
    await line.until(lambda: len(line.cordial.bodies()) == 3)
    await line.integrations.pause("spring-quiz", reason="", now=line.clock())
    line.clock.now += 2
    await line.until(lambda: all(each.ended for each in line.cordial.sandbox.journal.after(0)))
    assert await line.quiet() == 3
    await line.integrations.resume("spring-quiz", now=line.clock())
    line.mend()
    line.wake()
    assert {one.status for one in await line.settled(*ids)} == {"delivered"}
    assert len(line.cordial.bodies()) == 10


@about_leases
async def test_no_more_could_be_sent_again_than_may_be_sent_at_once(line, monkeypatch):
    """However slowly outcomes are written: a process killed meanwhile leaves no others in doubt."""
    may_write, write = asyncio.Event(), module.settle

    async def wait_and_write(*settled):
        await may_write.wait()
        return await write(*settled)

    monkeypatch.setattr(module, "settle", wait_and_write)
    await line.create()
    await line.create(name="Autumn quiz")
    ids = await line.accept(*(person(f"s{each}") for each in range(10)))
    ids += await line.accept(*(person(f"a{each}") for each in range(10)), to="autumn-quiz")
    await line.start(concurrency=4)
    try:
        await line.until(lambda: len(line.cordial.bodies()) == 4)
        await line.looked_again()
        assert len(line.cordial.bodies()) == 4
    finally:
        may_write.set()
    assert {one.status for one in await line.settled(*ids)} == {"delivered"}


async def test_requests_are_paced(line):
    """By `requests_per_second`: a burst of as many, then no more than that rate."""
    await line.create(cordial={"requests_per_second": 20})
    ids = await line.accept(*(person(f"p{each}") for each in range(32)))
    began = time.time()
    await line.start()
    await line.settled(*ids)
    for place, at in enumerate(sorted(each.started for each in line.cordial.sandbox.journal)):
        assert at - began >= (place - 20) / 20


@pytest.mark.parametrize("meanwhile", ["no", "rules", "pause"])
async def test_what_waits_long_for_its_turn_is_planned_anew(line, meanwhile):
    """A no that was answered 202 before the request holds, and so does what a person changed."""
    await line.create(cordial={"requests_per_second": 1})
    await line.create(name="Autumn quiz")
    others = [person(f"p{each}") for each in range(3)]  # they take 2 s
    first = await line.accept(*others, person("last"))
    await line.start()
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    line.clock.now += 2
    if meanwhile == "no":
        no = await line.accept({**person("last"), "opt_in": "no"}, to="autumn-quiz")
        await line.settled(*no)
    elif meanwhile == "rules":
        await line.change(policy={"auto_subscribe": False})
    else:
        await line.integrations.pause("spring-quiz", reason="", now=line.clock())
        await line.quiet()
        assert len(line.cordial.bodies()) < 4
        await line.integrations.resume("spring-quiz", now=line.clock())
        line.wake()
    assert {one.status for one in await line.settled(*first)} == {"delivered"}
    asked = {
        body["channels"]["email"]["address"]: body["channels"]["email"].get("subscribeStatus")
        for body in line.cordial.bodies()
    }
    left_alone = {address for address, status in asked.items() if status is None}
    assert ("last@example.com" in left_alone) == (meanwhile != "pause")
    assert meanwhile != "no" or left_alone == {"last@example.com"}


async def test_a_stopped_worker_finishes_what_is_under_way_and_claims_no_more(line):
    """Its answer is settled; what waits is left for others, at once."""
    await line.create()
    line.fail("slow", seconds=0.2)
    (under_way,) = await line.accept(person())
    line.clock.now += 1
    (waiting,) = await line.accept(person("bob"))
    await line.start(concurrency=1)
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    await line.stop()
    assert (await line.find(under_way)).status == "delivered"
    assert (await line.find(waiting)).status == "pending"
    assert len(line.cordial.bodies()) == 1
    assert [each.id for each in await claim(line.database, line.clock(), 5)] == [waiting]


@about_leases
async def test_what_does_not_finish_in_time_is_given_back(line, monkeypatch):
    """Another can take it at once, without waiting for the lease to run out."""
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.05)
    await line.create()
    line.fail("slow", seconds=1, times=1)
    ids = await line.accept(person(outcome="Bold"))
    await line.start()
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    before = time.monotonic()
    await line.stop()
    assert time.monotonic() - before < 0.9
    one = await line.find(ids[0])
    assert (one.status, one.attempts) == ("pending", [])
    await line.start()
    (one,) = await line.settled(*ids)
    assert (one.status, len(one.attempts)) == ("delivered", 1)


async def test_what_cordial_has_is_written_before_the_rest_is_given_back(line, monkeypatch):
    """Its outcome waits behind a slow ledger when the worker ends: nobody sends it again."""
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.05)
    may_write, write, first = asyncio.Event(), module.settle, []

    async def write_slowly(database, settled, now):
        if not first:
            first.append(settled)
            await may_write.wait()
        return await write(database, settled, now)

    monkeypatch.setattr(module, "settle", write_slowly)
    await line.create()
    ids = await line.accept(person())
    await line.start()
    await line.until(lambda: first)
    asyncio.get_running_loop().call_later(0.2, may_write.set)
    await line.stop()
    assert (await line.find(ids[0])).status == "delivered"
    assert await claim(line.database, line.clock(), 5) == []


@about_leases
async def test_a_worker_that_lost_its_lease_sends_nothing_more(line):
    """It was away for too long between two tries: the contact is another's by now."""
    await line.create()
    line.fail("slow", seconds=2)
    ids = await line.accept(person())
    worker = await line.start(answer_within=1.5)
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    line.clock.now += LEASE_SECONDS
    worker.stop()  # else it may be the next to claim it itself
    (other,) = await claim(line.database, line.clock(), 5)
    await line.stop()  # which waits for its end: the first try times out, a second would follow
    assert len(line.cordial.bodies()) == 1
    assert (await line.find(ids[0])).attempts == []
    assert other.id == ids[0]


class Doubtful(Holder):
    """A worker that is sure of its leases until a test says otherwise."""

    sure = True

    def is_sure(self, lease):
        """Return what the test says."""
        return self.sure


@about_leases
async def test_what_may_be_another_s_by_now_is_cut_short_and_given_back(line):
    """Nothing is sent of what waits for its place either; all goes out once we are sure again."""
    await line.create()
    line.fail("slow", seconds=3)
    ids = await line.accept(*(person(f"p{each}") for each in range(5)))
    await line.start(concurrency=4, holder=(holder := Doubtful()))
    await line.until(lambda: len(line.cordial.bodies()) == 3)
    holder.sure = False
    await line.until(lambda: all(each.ended for each in line.cordial.sandbox.journal.after(0)))
    assert all(each.left for each in line.cordial.sandbox.journal)  # we hung up
    await line.looked_again()
    assert len(line.cordial.bodies()) == 3
    assert await line.leased() == 0  # nor is it claimed again and again
    assert [(await line.find(each)).attempts for each in ids] == [[]] * 5
    line.cordial.sandbox.faults = []
    holder.sure = True
    assert {one.status for one in await line.settled(*ids)} == {"delivered"}
    assert len(line.cordial.bodies()) == 8


async def test_what_was_answered_before_is_settled_however_sure_we_are(line, monkeypatch):
    """It is written as what it was, where nobody else has taken the lease."""
    await line.create()
    ids = await line.accept(person())
    holder = Doubtful()
    commit = Worker._commit

    async def later(self, group):
        holder.sure = False
        await asyncio.sleep(3 * LOOK_SECONDS)
        return await commit(self, group)

    monkeypatch.setattr(Worker, "_commit", later)
    await line.start(holder=holder)
    (one,) = await line.settled(*ids)
    assert (one.status, len(one.attempts), len(line.cordial.bodies())) == ("delivered", 1, 1)


@about_leases
async def test_a_lease_is_renewed_while_sending(line):
    """Sending takes twice as long as a lease lasts: another worker does not take it over."""
    await line.create()
    line.fail("slow", seconds=1.8)
    ids = await line.accept(person())
    ticking = asyncio.create_task(tick(line.clock))
    for _ in range(2):
        await line.start(lease_seconds=0.9, longest_send=0.0)
    (one,) = await line.settled(*ids)
    ticking.cancel()
    assert (one.status, len(one.attempts), len(line.cordial.bodies())) == ("delivered", 1, 1)


async def tick(clock):
    """Let a clock that is turned by hand go by itself."""
    zero_at = clock.now - time.monotonic()
    while True:
        clock.now = zero_at + time.monotonic()
        await asyncio.sleep(0.01)


@about_leases
async def test_an_erasure_wins_over_a_delivery_under_way(line):
    """Cordial's answer is written nowhere, and what waited behind it is not sent."""
    await line.create()
    line.fail("slow", seconds=0.3, times=1)
    ids = await line.accept(person(outcome="1"), person(outcome="2"))
    await line.start()
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    key, _ = line.pseudonyms.keys("ann@example.com", None)
    mentions = Mentions(["ann@example.com"], [])
    ann = Person([key], mentions.stand_in, mentions.removed_from)
    assert await erase(line.database, ann, line.clock()) == 2
    await line.until(lambda: line.cordial.sandbox.journal.after(0)[0].ended)
    await line.quiet()
    await line.stop()
    for each in [await line.find(one) for one in ids]:
        assert (each.status, each.reason) == ("skipped", "erased")
        assert (each.payload, each.cordial_contact_id) == (None, None)
    assert len(line.cordial.bodies()) == 1


@pytest.mark.parametrize("meanwhile", ["erased", "discarded"])
async def test_what_waits_long_for_its_turn_is_not_sent_once_it_is_gone(line, meanwhile):
    """Nor is a mention of somebody who was erased."""
    await line.create(cordial={"requests_per_second": 1})
    friend = person("friend", outcome="from ann@example.com")
    others = [person(f"p{each}") for each in range(2)]  # they take a second
    ids = await line.accept(*others, friend, person())
    await line.start()
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    line.clock.now += 2
    if meanwhile == "discarded":
        await discard(line.database, ids[-1], now=line.clock())
    else:
        key, _ = line.pseudonyms.keys("ann@example.com", None)
        mentions = Mentions(["ann@example.com"], [])
        await erase(
            line.database, Person([key], mentions.stand_in, mentions.removed_from), line.clock()
        )
    found = await line.settled(*ids)
    assert found[-1].reason == meanwhile
    await line.quiet()
    sent = [body["channels"]["email"]["address"] for body in line.cordial.bodies()]
    assert "ann@example.com" not in sent
    assert meanwhile != "erased" or "ann@example.com" not in str(line.cordial.bodies())


async def test_a_deleted_integration_is_no_trouble_to_what_is_under_way(line):
    """Nothing is settled twice, and the worker goes on with the others."""
    await line.create()
    await line.create(name="Autumn quiz")
    line.fail("slow", seconds=1, times=1)
    (deleted,) = await line.accept(person())
    await line.start()
    await line.until(lambda: len(line.cordial.bodies()) == 1)
    await line.integrations.delete("spring-quiz", force=True, now=line.clock())
    other = await line.accept(person("bob"), to="autumn-quiz")
    await line.settled(*other)
    await line.stop()  # which waits for the answer
    one = await line.find(deleted)
    assert (one.status, one.reason) == ("dead", "integration_deleted")
