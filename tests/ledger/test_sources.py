"""What is counted of what a source sends: exact, bounded, without content."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from app.ledger import sources
from app.ledger.claims import claim
from app.ledger.schema import sources as table
from app.rules.drift import Numbers, word_of
from app.rules.values import Answer
from tests.ledger.conftest import NOW, Ledger, item

DAY = 86_400.0


async def numbers(ledger: Ledger) -> Numbers:
    return await sources.numbers_of(ledger.database, "spring-quiz")


async def test_a_source_that_invents_keys_stays_bounded(ledger: Ledger) -> None:
    """Two hundred keys have their own count, all others share one; usual keys stay counted."""
    usual = [("opt_in", "yes/no"), ("email", "text")]
    for number in range(30):
        invented = [(f"key {number} {each}", "number") for each in range(20)]
        kinds: Any = (*usual, *invented, ("ann@example.com", "text"), ("k" * 500, "text"))
        await ledger.accept(item(f"c{number}", "a", kinds=kinds, asked=True))
    source = await sources.source_of(ledger.database, "spring-quiz")
    assert source.submissions == 30
    assert len(source.keys) <= sources.MOST_KEYS + 1
    counted = {each.key: each.times for each in source.keys}
    assert counted["opt_in"] == 30
    assert sum(counted.values()) == 30 * 24
    assert "ann@example.com" not in counted
    assert (await numbers(ledger)).crowded_at == 30


async def test_an_opt_in_that_goes_missing_guards_those_who_come(ledger: Ledger) -> None:
    """From the fiftieth submission in a row without it, until it is there again."""

    async def guarded() -> set[bool]:
        return {each.opt_in_missing for each in await claim(ledger.database, NOW, 1)}

    await ledger.accept(item("first", "a", asked=True))
    await ledger.accept(*(item(f"c{each}", "a") for each in range(49)))
    assert await guarded() == {False}
    await ledger.accept(item("c49", "a"))
    assert await guarded() == {True}
    await ledger.accept(item("back", "a", asked=True))
    assert await guarded() == {False}
    assert (await numbers(ledger)).asked_last == 52


async def test_the_usual_gap_of_a_key_is_kept_where_it_is_long(ledger: Ledger) -> None:
    """It fades while the key comes often again, and is gone in the end."""
    rare: Any = (("rare", "text"),)
    await ledger.accept(item("first", "a", kinds=rare))
    await ledger.accept(*(item(f"c{each}", "a") for each in range(99)))
    await ledger.accept(item("again", "a", kinds=rare))
    assert (await numbers(ledger)).keys["rare"] == (101, 100, 2)
    await ledger.accept(*(item(f"d{each}", "a", kinds=rare) for each in range(3)))
    assert (await numbers(ledger)).keys["rare"] == (104, 72, 5)
    await ledger.accept(*(item(f"e{each}", "a", kinds=rare) for each in range(3)))
    assert (await numbers(ledger)).keys["rare"] == (107, 0, 8)


async def test_the_last_phone_numbers_are_kept_and_begin_anew_with_other_rules(
    ledger: Ledger,
) -> None:
    """A hundred; what was read by other rules says nothing about these."""
    phones = [item(f"c{each}", "a", phone=each % 2 == 0) for each in range(150)]
    await ledger.accept(*phones, item("none", "a", phone=None), version=1)
    assert (await numbers(ledger)).phones == [True, False] * 50
    await ledger.accept(item("new", "a", phone=True), version=2)
    assert (await numbers(ledger)).phones == [True]


async def test_words_of_answers_are_kept_with_when_they_first_came(ledger: Ledger) -> None:
    """And after how many answers; the reading is the newest."""
    yes, odd = word_of("yes"), word_of("perhaps")
    answers = [item(f"c{each}", "a", words=[(yes, Answer.YES)]) for each in range(5)]
    await ledger.accept(*answers)
    await ledger.accept(item("d", "a", words=[(odd, Answer.UNCLEAR)]), received_at=NOW + DAY)
    await ledger.accept(item("e", "a", words=[(odd, Answer.NO)]), received_at=NOW + 2 * DAY)
    assert (await numbers(ledger)).words == [
        (yes, NOW, 0, Answer.YES),
        (odd, NOW + DAY, 5, Answer.NO),
    ]


async def test_answers_that_are_a_free_text_are_no_words(ledger: Ledger) -> None:
    """However many come, few are kept; and of those nothing is said to be new."""
    free = [item(f"c{each}", "a", words=[(word_of(f"{each}"), "unclear")]) for each in range(100)]
    await ledger.accept(*free)
    assert (await numbers(ledger)).words == []
    async with ledger.database.read() as connection:
        kept = json.loads(await connection.scalar(select(table.c.watched)))
    assert len(kept["words"]) == sources.MOST_WORDS
    yes = [item(f"d{each}", "a", words=[(word_of("0"), "unclear")]) for each in range(1001)]
    await ledger.accept(*yes)
    assert len((await numbers(ledger)).words) == sources.MOST_WORDS


async def test_test_webhooks_and_repeats_count_for_nothing(ledger: Ledger) -> None:
    """Nor do submissions that cannot be read."""
    seen = {"kinds": (("email", "text"),), "asked": True, "phone": False}
    await ledger.accept(item("ann", "a", **seen), test=True)
    assert await numbers(ledger) == Numbers()
    await ledger.accept(item("ann", "a", **seen))
    await ledger.accept(item("ann", "a", **seen))
    assert (await numbers(ledger)).submissions == 1


async def test_a_deleted_integration_leaves_nothing_to_compare_a_new_one_with(
    ledger: Ledger,
) -> None:
    """One of the same name begins anew."""
    await ledger.accept(item("ann", "a", asked=True))
    await ledger.integrations.delete("spring-quiz", force=True, now=NOW)
    assert await numbers(ledger) == Numbers()


@pytest.mark.parametrize("together", [3, 200])
async def test_what_is_kept_does_not_depend_on_how_many_came_at_once(
    ledger: Ledger, together: int
) -> None:
    """Of forms that repeat, and of keys that come seldom."""
    usual: Any = (("opt_in", "yes/no"), ("email", "text"))
    seldom, other = (*usual, ("rare", "text")), (("opt_in", "text"),)
    forms = {5: seldom, 200: seldom, 201: seldom, 202: seldom, 7: other, 220: other, 222: other}
    came = [item(f"c{number}", "a", kinds=forms.get(number, usual)) for number in range(250)]
    await ledger.create("one-by-one")
    for each in came:
        await ledger.accept(each, integration_id="one-by-one")
    while came:
        await ledger.accept(*came[:together])
        del came[:together]
    async with ledger.database.read() as connection:
        kept = select(table.c.seen_keys, table.c.watched).order_by(table.c.integration_id)
        one_by_one, in_groups = await connection.execute(kept)
    assert one_by_one == in_groups
    assert "rare" in json.loads(one_by_one.watched)["gaps"]
