"""Accepting stores each submission once, in order, before anyone is told."""

import asyncio
from dataclasses import replace

import pytest

from app.ledger.accepting import Accepted, IntegrationGone, accept, new_id
from app.ledger.database import UNAVAILABLE
from tests.ledger.conftest import NOW, UNREADABLE, arrival, item


async def test_what_is_new_is_stored_pending_in_order(ledger):
    """Ids come back in the order of the items, which is the order of the rows."""
    accepted = await ledger.accept(
        item("cay", "1", phone_key="p", occurred_at=NOW - 5), item("ann", "2"), item("bob", "3")
    )
    assert (accepted.pending, accepted.duplicates, accepted.unreadable) == (3, 0, 0)
    stored = await ledger.rows("id", "contact_key", "phone_key", "status", "occurred_at", "tries")
    assert stored == [
        (accepted.ids[0], "cay", "p", "pending", NOW - 5, 0),
        (accepted.ids[1], "ann", None, "pending", None, 0),
        (accepted.ids[2], "bob", None, "pending", None, 0),
    ]


# Each word is contact/content or contact/content/session; "-" is no contact. A + is stored.
DUPLICATES = {
    "same_again": ("ann/A+ ann/A", 1),
    "a_b_a_without_sessions": ("ann/A+ ann/B+ ann/A+", 3),
    "only_the_newest_counts": ("ann/A+ ann/B+ ann/B ann/A+ ann/A", 3),
    "same_session_same_content": ("ann/A/s1+ ann/A/s1", 1),
    "same_session_other_content": ("ann/A/s1+ ann/B/s1+", 2),
    "session_repeats_though_not_newest": ("ann/A/s1+ ann/B/s1+ ann/A/s1 ann/B/s1", 2),
    "other_session_same_content": ("ann/A/s1+ ann/A/s2+", 2),
    "other_contact_same_content": ("ann/A+ bob/A+ ann/A bob/A", 2),
    "session_of_nobody": ("-/A/s1+ -/A/s1 -/A/s2+", 2),
    "nobody_without_session_is_never_a_repeat": ("-/A+ -/A+", 2),
}


@pytest.mark.parametrize("grouping", ["one_by_one", "one_group", "one_webhook"])
@pytest.mark.parametrize(("words", "stored"), DUPLICATES.values(), ids=DUPLICATES)
async def test_a_repeat_is_counted_but_not_stored_again(ledger, words, stored, grouping):
    """By session and content or, without a session, by the contact's newest content; wherever
    the two meet: in two commits, in one, or in one webhook."""
    items = []
    for word in words.split():
        contact, content, *session = word.rstrip("+").split("/")
        items.append(item(None if contact == "-" else contact, content, *session))
    if grouping == "one_webhook":
        results = await accept(ledger.database, [arrival(*items)])
    elif grouping == "one_group":
        results = await accept(ledger.database, [arrival(each) for each in items])
    else:
        results = [await ledger.accept(each) for each in items]
    kept = [each.payload for each, word in zip(items, words.split(), strict=True) if "+" in word]
    assert await ledger.rows("payload") == kept
    assert sum(each.pending for each in results) == stored == len(kept)
    assert sum(each.duplicates for each in results) == len(items) - stored


@pytest.mark.parametrize("together", [True, False], ids=["one_group", "two_commits"])
async def test_a_signature_shown_again_stores_nothing(ledger, together):
    """The same signature is the same webhook, whatever it holds, for that integration alone."""
    await ledger.create("Autumn quiz")
    first = arrival(item("ann", "A"), UNREADABLE, item("-", "B"), fingerprint="f")
    elsewhere = replace(first, integration_id="autumn-quiz")
    if together:
        results = await accept(ledger.database, [first, first, elsewhere])
    else:
        results = [(await accept(ledger.database, [each]))[0] for each in (first, first, elsewhere)]
    assert [len(each.ids) for each in results] == [3, 0, 3]
    assert results[1] == Accepted(duplicates=2)


async def test_a_test_webhook_neither_queues_nor_hides_a_real_one(ledger):
    """It is stored as `test`, each time; the real submission after it is new."""
    both = (item("ann", "A"), item("bob", "B", "s1"))
    tests = [await ledger.accept(*both, test=True) for _ in range(2)]
    assert [(len(each.ids), each.pending) for each in tests] == [(2, 0), (2, 0)]
    assert await ledger.claim() == []
    assert await ledger.contact("ann") is None
    assert (await ledger.accept(*both)).pending == 2
    assert (await ledger.accept(*both, test=True)).duplicates == 0
    assert (await ledger.accept(*both)).duplicates == 2
    assert await ledger.rows("status", "test") == [
        *[("test", True)] * 4,
        *[("pending", False)] * 2,
        *[("test", True)] * 2,
    ]


async def test_an_unreadable_item_is_kept_as_dead_beside_its_neighbours(ledger):
    """Nothing that was signed is lost, and one bad item does not hold up the others."""
    accepted = await ledger.accept(item("ann", "A"), UNREADABLE, item("bob", "B"))
    assert (accepted.pending, accepted.unreadable, len(accepted.ids)) == (2, 1, 3)
    assert await ledger.rows("status", "reason") == [
        ("pending", None),
        ("dead", "unreadable"),
        ("pending", None),
    ]
    assert (await ledger.rows("payload"))[1] == b"42"
    assert (await ledger.accept(UNREADABLE)).ids, "kept again: nothing tells what it repeats"


@pytest.mark.parametrize(
    "items",
    [[item("ann", "A", "s")], [item("ann", "A")], [item("-", "A", "s"), item("ann", "B")]],
    ids=["session", "contact", "both"],
)
async def test_of_two_processes_that_accept_the_same_at_once_one_stores_it(
    ledger, another_database, items
):
    """Two replicas get the same submission at the same moment: one row, one duplicate."""
    databases = [await another_database() for _ in range(2)]
    for round_ in range(5):
        mine = [replace(each, content=f"{each.content}{round_}") for each in items]
        mine = [
            replace(each, session_key=each.session_key and f"{each.session_key}{round_}")
            for each in mine
        ]
        answers = await asyncio.gather(*(accept(each, [arrival(*mine)]) for each in databases))
        assert sum(one.pending for (one,) in answers) == len(items)
        assert sum(one.duplicates for (one,) in answers) == len(items)
    assert len(await ledger.rows("id")) == 5 * len(items)


async def test_of_two_processes_shown_one_signature_at_once_one_stores_it(ledger, another_database):
    """A webhook delivered twice at the same moment is stored once."""
    databases = [await another_database() for _ in range(2)]
    same = [arrival(item(None, "A"), fingerprint="f")]
    answers = await asyncio.gather(*(accept(each, same) for each in databases))
    assert sorted(len(one.ids) for (one,) in answers) == [0, 1]


async def test_replicas_that_accept_the_same_contacts_in_any_order_do_not_block_each_other(
    ledger, another_database
):
    """Known contacts in opposite orders, many times at once: all is stored, nobody deadlocks."""
    await ledger.accept(*(item(f"c{each}", "0") for each in range(20)))
    databases = [await another_database() for _ in range(3)]
    webhooks = [
        arrival(*(item(f"c{each}", f"{number}") for each in order))
        for number in range(6)
        for order in (range(20), reversed(range(20)))
    ]
    work = [accept(databases[place % 3], [webhook]) for place, webhook in enumerate(webhooks)]
    answers = await asyncio.gather(*work)
    stored = sum(one.pending for (one,) in answers)
    assert stored + sum(one.duplicates for (one,) in answers) == 12 * 20
    assert len(await ledger.rows("id")) == 20 + stored


async def test_results_come_in_the_order_of_the_webhooks(ledger):
    """Also where integrations are mixed and one of them is not there."""
    await ledger.create("Autumn quiz")
    places = ["spring-quiz", "nowhere", "autumn-quiz", "spring-quiz"]
    arrivals = [
        arrival(*[item(None, f"{place}")] * (place + 1), integration_id=each)
        for place, each in enumerate(places)
    ]
    one, gone, three, four = await accept(ledger.database, arrivals)
    assert isinstance(gone, IntegrationGone)
    assert [each.pending for each in (one, three, four)] == [1, 3, 4]


async def test_an_integration_deleted_meanwhile_is_gone(ledger):
    """Nothing is stored for it."""
    await ledger.integrations.delete("spring-quiz", force=False, now=NOW)
    (gone,) = await accept(ledger.database, [arrival(item("ann", "A"))])
    assert isinstance(gone, IntegrationGone)
    assert await ledger.rows("id") == []


async def test_a_group_that_cannot_be_stored_leaves_nothing_behind(ledger):
    """All of a group or nothing: no caller is told that half of it is safe."""
    broken = replace(arrival(item("bob", "B")), expires_at=None)
    with pytest.raises(UNAVAILABLE):
        await accept(ledger.database, [arrival(item("ann", "A")), broken])
    assert await ledger.rows("id") == []
    assert await ledger.contact("ann") is None


def test_ids_are_in_the_order_of_time():
    """32 hex digits that sort by the millisecond."""
    ids = [new_id(NOW + each / 1000) for each in range(3)]
    assert ids == sorted(ids)
    assert {len(each) for each in ids} == {32}
    assert new_id(NOW) != new_id(NOW)
