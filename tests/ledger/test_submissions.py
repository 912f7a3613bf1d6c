"""Submissions are found, listed, counted and put back in line."""

import pytest
from sqlalchemy import update

from app.ledger.claims import Attempt, Settlement, settle
from app.ledger.listing import newest
from app.ledger.schema import SubmissionStatus, submissions
from app.ledger.submissions import (
    Filter,
    NotReplayable,
    UnknownSubmission,
    count,
    find,
    replay,
)
from tests.ledger.conftest import NOW, UNREADABLE, item

PENDING, DEAD = SubmissionStatus.PENDING, SubmissionStatus.DEAD
SKIPPED, DELIVERED = SubmissionStatus.SKIPPED, SubmissionStatus.DELIVERED


async def settle_next(ledger, status, **more):
    """Claim the one that is due and settle it."""
    (mine,) = await ledger.claim()
    await settle(ledger.database, [Settlement(mine, status, **more)], NOW)
    return mine.id


# --- Finding --------------------------------------------------------------------------------


async def test_a_submission_is_found_with_its_history(ledger):
    """What it holds, where it stands, and each attempt in order."""
    accepted = await ledger.accept(item("ann", "1", occurred_at=NOW - 60))
    tries = [Attempt(NOW + each, 1.5, 500, "unavailable", "HTTP 500") for each in range(2)]
    for each in tries:
        await settle_next(ledger, PENDING, attempt=each)
    last = Attempt(NOW + 9, 2.5, 200, "delivered")
    await settle_next(
        ledger, DELIVERED, attempt=last, cordial_contact_id="c1", warnings=[{"code": "w"}]
    )
    found = await find(ledger.database, accepted.ids[0])
    assert found.attempts == [*tries, last]
    assert (found.id, found.integration_id, found.status) == (
        accepted.ids[0],
        "spring-quiz",
        DELIVERED,
    )
    assert (found.received_at, found.occurred_at, found.settled_at) == (NOW, NOW - 60, NOW)
    assert found.payload == item("ann", "1").payload
    assert (found.cordial_contact_id, list(found.warnings)) == ("c1", [{"code": "w"}])


@pytest.mark.parametrize("name", ["0" * 32, "", "nowhere", "0" * 31 + "\0", "Z" * 32])
async def test_an_unknown_id_is_told(ledger, name):
    """Whatever it looks like."""
    with pytest.raises(UnknownSubmission):
        await find(ledger.database, name)
    with pytest.raises(UnknownSubmission):
        await replay(ledger.database, name, force=False, now=NOW)


FILTERS = {
    "none": ({}, "65432 1"),
    "integration": ({"integration_id": "autumn-quiz"}, "6"),
    "status": ({"status": SKIPPED}, "2"),
    "reason": ({"reason": "unreadable"}, "4"),
    "contact": ({"contact_keys": ["ann"]}, "3 1"),
    "contact_by_phone": ({"contact_keys": ["phone"]}, "5"),
    "contacts": ({"contact_keys": ["bob", "phone"]}, "5 2"),
    "nobody": ({"contact_keys": []}, ""),
    "since": ({"since": NOW + 4}, "654"),
    "until": ({"until": NOW + 2}, "1"),
    "all_together": ({"contact_keys": ["ann"], "since": NOW + 2, "status": PENDING}, "3"),
}


@pytest.mark.parametrize(("wanted", "found"), FILTERS.values(), ids=FILTERS)
async def test_submissions_are_listed_newest_first_by_filter(ledger, wanted, found):
    """Each filter narrows, all together they narrow further; `until` itself is left out."""
    await ledger.create("Autumn quiz")
    ids = {}
    arrivals = [
        ("1", item("ann", "1"), "spring-quiz"),
        ("2", item("bob", "2"), "spring-quiz"),
        ("3", item("ann", "3"), "spring-quiz"),
        ("4", UNREADABLE, "spring-quiz"),
        ("5", item("cay", "5", phone_key="phone"), "spring-quiz"),
        ("6", item("dan", "6"), "autumn-quiz"),
    ]
    for place, (word, one, integration) in enumerate(arrivals, 1):
        accepted = await ledger.accept(one, integration_id=integration, received_at=NOW + place)
        ids[accepted.ids[0]] = word
    skipped = [each for each in await ledger.claim(NOW + 9) if ids[each.id] == "2"]
    await settle(ledger.database, [Settlement(skipped[0], SKIPPED, reason="opted_out")], NOW)
    listed = await newest(ledger.database, Filter(**wanted), limit=10, before=None)
    assert [ids[each.id] for each in listed] == list(found.replace(" ", ""))


async def test_pages_follow_each_other_without_gap_or_overlap(ledger):
    """Also while new ones arrive: a page goes on from where the last one ended."""
    accepted = await ledger.accept(*(item(None, str(each)) for each in range(7)))
    listed, before = [], None
    while page := await newest(ledger.database, Filter(), limit=3, before=before):
        listed += [each.id for each in page]
        before = page[-1].seq
        await ledger.accept(item(None, "later"))
    assert listed == accepted.ids[::-1]


async def test_counts_are_by_integration_and_status(ledger):
    """With the age of the oldest that waits, where one does."""
    await ledger.create("Autumn quiz")
    assert await count(ledger.database, NOW) == []
    await ledger.accept(item("ann", "1"), item("bob", "2"), UNREADABLE)
    await ledger.deliver((await ledger.claim())[:1])
    await ledger.accept(item("cay", "3"), test=True, integration_id="autumn-quiz")
    autumn, spring = await count(ledger.database, NOW + 90)
    assert (autumn.integration_id, autumn.by_status) == ("autumn-quiz", {"test": 1})
    assert autumn.oldest_pending_seconds is None
    assert spring.by_status == {"delivered": 1, "pending": 1, "dead": 1}
    assert spring.oldest_pending_seconds == 90


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
