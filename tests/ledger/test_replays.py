"""People put submissions back in line, or end them."""

import asyncio

import pytest
from sqlalchemy import update

from app.ledger.claims import Attempt, Settlement, settle
from app.ledger.replays import (
    NotDiscardable,
    NotReplayable,
    Replayed,
    discard,
    discard_all,
    replay,
    replay_all,
)
from app.ledger.schema import SubmissionStatus, submissions
from app.ledger.submissions import Filter, UnknownSubmission, find
from tests.ledger.conftest import NOW, UNREADABLE, item, settle_next

PENDING, DEAD = SubmissionStatus.PENDING, SubmissionStatus.DEAD
SKIPPED, DELIVERED = SubmissionStatus.SKIPPED, SubmissionStatus.DELIVERED

# --- Replay ---------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("status", [DEAD, SKIPPED, DELIVERED])
async def test_what_is_settled_can_be_sent_again(ledger, status, force):
    """Due at once, with a fresh schedule of tries; its history stays."""
    accepted = await ledger.accept(item("ann", "1"))
    spent = Attempt(NOW, 1.0, 422, "rejected", "no")
    await settle_next(ledger, status, reason="rejected", attempt=spent)
    await replay(ledger.database, accepted.ids[0], force=force, now=NOW)
    (mine,) = await ledger.claim()
    assert (mine.id, mine.tries, mine.forced) == (accepted.ids[0], 0, force)
    found = await find(ledger.database, mine.id)
    assert (found.status, found.reason, found.settled_at) == (PENDING, None, None)
    assert found.attempts == [spent]


async def test_an_unreadable_one_can_be_sent_again(ledger):
    """It has no contact; a newer version of this service may read it."""
    accepted = await ledger.accept(UNREADABLE)
    await replay(ledger.database, accepted.ids[0], force=False, now=NOW)
    assert [each.id for each in await ledger.claim()] == accepted.ids


async def test_a_replay_queues_by_its_receipt(ledger):
    """Before what came later and still waits, behind what is under way."""
    first, second = (await ledger.accept(item("ann", "1"), item("ann", "2"))).ids
    await settle_next(ledger, DEAD, reason="rejected")
    (under_way,) = await ledger.claim()
    assert under_way.id == second
    await replay(ledger.database, first, force=False, now=NOW)
    assert await ledger.claim() == []
    await settle(ledger.database, [Settlement(under_way, PENDING)], NOW)
    assert [each.id for each in await ledger.claim()] == [first]


async def test_older_answers_go_over_newer_ones_only_by_force(ledger):
    """The newer of the contact was delivered: refused, unless a person insists."""
    first, _ = (await ledger.accept(item("ann", "1"), item("ann", "2"))).ids
    await settle_next(ledger, DEAD, reason="rejected")
    await settle_next(ledger, DELIVERED)
    with pytest.raises(NotReplayable, match="force"):
        await replay(ledger.database, first, force=False, now=NOW)
    assert (await find(ledger.database, first)).status is DEAD
    await replay(ledger.database, first, force=True, now=NOW)
    (mine,) = await ledger.claim()
    assert (mine.id, mine.forced) == (first, True)


async def test_the_newer_of_another_contact_does_not_count(ledger):
    """Nor does a newer one that was skipped."""
    ann, *_ = (await ledger.accept(item("ann", "1"), item("ann", "2"), item("bob", "3"))).ids
    both = await ledger.claim()
    settled = [
        Settlement(each, DEAD if each.id == ann else DELIVERED, reason=None) for each in both
    ]
    await settle(ledger.database, settled, NOW)
    await settle_next(ledger, SKIPPED, reason="opted_out")
    await replay(ledger.database, ann, force=False, now=NOW)


async def refuse(ledger, accepted, *, match):
    for force in (False, True):
        with pytest.raises(NotReplayable, match=match):
            await replay(ledger.database, accepted.ids[0], force=force, now=NOW)


async def test_what_is_pending_is_not_put_in_line_twice(ledger):
    """Whether it waits or is under way."""
    accepted = await ledger.accept(item("ann", "1"))
    await refuse(ledger, accepted, match="pending")
    await ledger.claim()
    await refuse(ledger, accepted, match="pending")


@pytest.mark.parametrize("one", [item("ann", "1"), UNREADABLE], ids=["readable", "unreadable"])
async def test_a_test_is_never_sent(ledger, one):
    """Not even by force."""
    await refuse(ledger, await ledger.accept(one, test=True), match="test")


async def test_what_was_wiped_cannot_be_sent(ledger):
    """There is nothing left of it."""
    accepted = await ledger.accept(item("ann", "1"))
    await settle_next(ledger, DELIVERED)
    await ledger.run(update(submissions).values(payload=None))
    await refuse(ledger, accepted, match="wiped")


async def test_what_belongs_to_a_deleted_integration_waits_for_a_new_one(ledger):
    """Refused until there is one of that name; then it goes there."""
    accepted = await ledger.accept(item("ann", "1"))
    await ledger.integrations.delete("spring-quiz", force=True, now=NOW)
    await refuse(ledger, accepted, match="deleted")
    await ledger.create("Spring quiz")
    await replay(ledger.database, accepted.ids[0], force=False, now=NOW)
    assert [each.id for each in await ledger.claim()] == accepted.ids


async def test_an_unknown_one_is_told(ledger):
    for change in (
        replay(ledger.database, "0" * 32, force=False, now=NOW),
        discard(ledger.database, "nowhere", now=NOW),
    ):
        with pytest.raises(UnknownSubmission):
            await change


# --- Discard --------------------------------------------------------------------------------


@pytest.mark.parametrize("under_way", [False, True])
async def test_what_is_discarded_is_not_sent(ledger, under_way):
    """Nor does its delivery under way settle anything; what came later goes on."""
    first, second = (await ledger.accept(item("ann", "1"), item("ann", "2"))).ids
    claims = await ledger.claim() if under_way else []
    await discard(ledger.database, first, now=NOW)
    held = await settle(ledger.database, [Settlement(each, DELIVERED) for each in claims], NOW)
    assert not any(held)
    found = await find(ledger.database, first)
    assert (found.status, found.reason, found.settled_at) == (SKIPPED, "discarded", NOW)
    assert [each.id for each in await ledger.claim()] == [second]


async def test_what_is_settled_is_not_discarded(ledger):
    (first,) = (await ledger.accept(item("ann", "1"))).ids
    await settle_next(ledger, DELIVERED)
    with pytest.raises(NotDiscardable, match="delivered"):
        await discard(ledger.database, first, now=NOW)
    assert (await find(ledger.database, first)).status is DELIVERED


# --- Many -----------------------------------------------------------------------------------


async def some_of_each(ledger):
    """Fill a ledger with submissions of every fate, and return their ids."""
    await ledger.create("Autumn quiz")
    ids = [*(await ledger.accept(*(item(f"{n}", "1") for n in range(9)), UNREADABLE)).ids]
    ids += (await ledger.accept(*(item(f"{n}", "2") for n in range(9)))).ids
    ids += (await ledger.accept(item("t", "1"), test=True)).ids
    ids += (await ledger.accept(item("a", "1"), integration_id="autumn-quiz")).ids
    fates = [DEAD, DELIVERED, SKIPPED]
    for turn in range(2):  # some older ones are delivered, and some newer ones
        claims = await ledger.claim(limit=8)
        ended = [Settlement(each, fates[(n + turn) % 3]) for n, each in enumerate(claims)]
        await settle(ledger.database, ended, NOW)
    await ledger.run(update(submissions).where(submissions.c.seq.in_((2, 3))).values(payload=None))
    await ledger.integrations.delete("autumn-quiz", force=True, now=NOW)
    return ids


async def statuses(ledger):
    """Return where each submission stands."""
    return await ledger.rows("id", "status", "reason", "settled_at", "forced", "delivered_before")


@pytest.mark.parametrize("force", [False, True])
async def test_many_are_replayed_as_each_would_be(ledger, force):
    """A dry run tells how many, and changes nothing."""
    await some_of_each(ledger)
    before = await statuses(ledger)
    told = await replay_all(ledger.database, Filter(), force=force, dry_run=True, now=NOW)
    assert await statuses(ledger) == before
    assert told == await replay_all(ledger.database, Filter(), force=force, dry_run=False, now=NOW)
    replayed = [was for was, row in zip(before, await statuses(ledger), strict=True) if row != was]
    assert len(replayed) == told.replayed > 5
    for was in before:
        if was not in replayed:
            with pytest.raises(NotReplayable):
                await replay(ledger.database, was[0], force=force, now=NOW)
    rows = {row[0]: row for row in await statuses(ledger)}
    for identifier, status, *_ in replayed:
        *row, delivered_before = rows[identifier][1:]
        assert row == [PENDING, None, None, force]
        assert bool(delivered_before) == (status == DELIVERED)
        assert (await ledger.contact(await contact_of(ledger, identifier))).due_at is not None


async def contact_of(ledger, identifier):
    return dict(await ledger.rows("id", "contact_key"))[identifier]


async def test_who_only_counts_writes_nothing(ledger):
    """A contact that has no row any more, as after its integration was made anew, gets none."""
    await ledger.accept(item("ann", "1"))
    await settle_next(ledger, SKIPPED, reason="opted_out")
    await ledger.run("DELETE FROM contacts")
    told = await replay_all(ledger.database, Filter(), force=False, dry_run=True, now=NOW)
    assert (told, await ledger.contact("ann")) == (Replayed(1, 0), None)
    done = await replay_all(ledger.database, Filter(), force=False, dry_run=False, now=NOW)
    assert (done, len(await ledger.claim())) == (told, 1)


async def test_many_are_discarded_and_the_rest_stays(ledger):
    """What is dead or pending; a dry run tells how many."""
    await some_of_each(ledger)
    before = await statuses(ledger)
    told = await discard_all(ledger.database, Filter(), dry_run=True, now=NOW)
    assert await statuses(ledger) == before
    assert told == await discard_all(ledger.database, Filter(), dry_run=False, now=NOW) > 5
    for was, row in zip(before, await statuses(ledger), strict=True):
        open_before = was[1] in (DEAD, PENDING)
        assert row[1:4] == ((SKIPPED, "discarded", NOW) if open_before else was[1:4])
    assert await ledger.claim() == []


async def test_many_are_changed_in_few_commits(ledger, monkeypatch):
    """After an outage tens of thousands are replayed, while a person waits."""
    await ledger.accept(*(item(f"{n}", "1") for n in range(450)))
    await discard_all(ledger.database, Filter(), dry_run=False, now=NOW)
    commits = 0
    transact = ledger.database.transact

    async def counting(work):
        nonlocal commits
        commits += 1
        return await transact(work)

    monkeypatch.setattr(ledger.database, "transact", counting)
    for dry_run in (True, False):
        done = await replay_all(ledger.database, Filter(), force=False, dry_run=dry_run, now=NOW)
        assert done == Replayed(450, 0)
    assert await discard_all(ledger.database, Filter(), dry_run=False, now=NOW) == 450
    assert commits <= 3 * 3


async def test_while_many_are_replayed_others_write(ledger):
    """Webhooks come in meanwhile, also of the same contacts; nobody waits for the end."""
    people = [f"{n}" for n in range(60)]
    await ledger.accept(*(item(each, "1") for each in people))
    await discard_all(ledger.database, Filter(), dry_run=False, now=NOW)
    replaying = asyncio.create_task(
        replay_all(ledger.database, Filter(), force=False, dry_run=False, now=NOW)
    )
    await asyncio.gather(*(ledger.accept(item(each, "2")) for each in reversed(people)))
    assert (await replaying).replayed == len(people)
    sent = []
    while claims := await ledger.claim():
        sent += [(each.contact_key, each.seq) for each in claims]
        await ledger.deliver(claims)
    assert len(sent) == 2 * len(people)
    for each in people:
        mine = [seq for key, seq in sent if key == each]
        assert mine == sorted(mine)
