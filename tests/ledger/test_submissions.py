"""Submissions are found, listed and counted."""

import pytest

from app.ledger.claims import Attempt, Settlement, settle
from app.ledger.listing import newest
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import (
    Filter,
    UnknownSubmission,
    count,
    find,
    newest_kept,
)
from tests.ledger.conftest import NOW, UNREADABLE, item, settle_next

PENDING, DEAD = SubmissionStatus.PENDING, SubmissionStatus.DEAD
SKIPPED, DELIVERED = SubmissionStatus.SKIPPED, SubmissionStatus.DELIVERED


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


async def test_many_payloads_are_never_held_at_once(ledger):
    """Each may have 64 KB, and thousands are compared: a hundred at a time, the newest first."""
    accepted = await ledger.accept(*(item(f"{each}", "1") for each in range(250)))
    await ledger.accept(item("test", "1"), test=True)
    kept = [some async for some in newest_kept(ledger.database, "spring-quiz", limit=240)]
    assert [len(some) for some in kept] == [100, 100, 40]
    ids = [each.id for some in kept for each in some]
    assert ids == list(reversed(accepted.ids))[:240]
