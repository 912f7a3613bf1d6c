"""What the law makes of an item, by each of its readings."""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

from tests.rules.oracle.items import Item
from tests.rules.oracle.readings import (
    DAY,
    LAW,
    Law,
    Place,
    Reading,
    read_given,
    read_opt_in,
    read_place,
)
from tests.rules.oracle.source import Source

SUB, UNSUB = "subscribed", "unsubscribed"


class When(NamedTuple):
    """The time of a plan, and what the ledger knows of the contact."""

    received_at: float
    now: float
    delivered_before: bool = False
    stale: bool = False
    email_refused_at: float | None = None
    sms_refused_at: float | None = None
    opt_in_missing: bool = False  # the source used to send the opt-in and does not any more


class World(NamedTuple):
    """One reading of an item, and what the law makes of it."""

    hard: bool
    place: Place
    email_answer: str
    sms_answer: str
    given: float
    skip: bool  # whoever it is of, nothing is sent
    email: str | None
    sms: str | None
    forceable: tuple[bool, bool]  # whether email's, and SMS's, `subscribed` may be forced
    may_join: dict[str, bool]  # by the list's field


class Worlds(tuple[World, ...]):
    """The worlds of an item: known by who they are, as equal ones are made once."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


Said = tuple[tuple[Place, str, str, bool], ...]


def worlds(item: Item, source: Source, when: When, law: Law = LAW) -> Worlds:
    """Return what the law says by each reading of an item."""
    key = ("read", source.key, law, when.received_at)
    hidden, said, times = item.once(key, lambda: _read(item, source, when, law))
    return _worlds(source, when, hidden, said, times)


def _read(
    item: Item, source: Source, when: When, law: Law
) -> tuple[tuple[str, ...], Said, Reading]:
    """Return which lists a stranger may have asked for, what was said, and when."""
    trusted = source.trusted
    said = tuple(
        (place, email, sms, one and two and three)
        for (place, one), (email, two), (sms, three) in product(
            read_place(item, source, law),
            read_opt_in(item, source.opt_in, source),
            read_opt_in(item, source.sms_opt_in, source),
        )
    )
    joined_by = source.joined_by.items()
    hidden = tuple(field for field, name in joined_by if item.group(name, trusted).hidden)
    dated = item.group(source.occurred_at, trusted)
    hinted = not dated.spoken and any(
        each.value not in (None, "") for each in item.alike(source.occurred_at, trusted)
    )
    return hidden, said, read_given(dated, when.received_at, hinted)


@lru_cache(maxsize=50_000)
def _worlds(
    source: Source, when: When, hidden: tuple[str, ...], said: Said, times: Reading
) -> Worlds:
    return Worlds(
        _decide(source, when, hidden, hard and also_hard, place, email, sms, given)
        for (place, email, sms, hard), (given, also_hard) in product(said, times)
    )


def _decide(
    source: Source,
    when: When,
    hidden: tuple[str, ...],
    hard: bool,
    place: Place,
    email: str,
    sms: str,
    given: float,
) -> World:
    terms = source.elsewhere if place.region == "non_eu" else source.in_eu
    refused_email, refused_sms = when.email_refused_at, when.sms_refused_at
    statuses: list[str | None] = [None, None]
    forceable = [False, False]
    silenced = email == "null" and when.opt_in_missing and source.opt_in_guard
    fresh = given >= when.now - DAY and not when.delivered_before and not when.stale
    for number, (answer, refused) in enumerate(((email, refused_email), (sms, refused_sms))):
        if answer == "no" and terms.on_opt_out == "unsubscribe":
            statuses[number] = UNSUB
        elif answer == "yes" and terms.auto_subscribe and not when.stale:
            if refused is None or given > refused:
                statuses[number] = SUB
                forceable[number] = terms.resubscribe == "explicit_opt_in" and fresh
        elif answer == "null" and number == 0 and terms.auto_subscribe and not when.stale:
            at_home = place.region == "non_eu" or terms.null_is_consent
            sure = not (place.express or place.doubtful or silenced)
            if at_home and sure and refused is None:
                statuses[number] = SUB
    if not source.program:
        statuses[1] = None
    may_join = {
        field: need is None
        or (
            field not in hidden
            and (email == "yes" or (need == "not_no" and email == "null" and not silenced))
        )
        for field, need in source.lists.items()
    }
    skip = (
        (source.collect != "both" and place.region != source.collect)
        or (terms.opt_in != "everyone" and email in ("no", "unclear"))
        or (terms.opt_in == "opted_in_only" and email != "yes")
        or (when.stale and email != "no" and sms != "no")
    )
    return World(
        hard, place, email, sms, given, skip, *statuses, (forceable[0], forceable[1]), may_join
    )
