"""What the law makes of an item, by each of its readings."""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

from tests.rules.oracle.items import Item, all_said
from tests.rules.oracle.readings import (
    DAY,
    LAW,
    Law,
    Place,
    Reading,
    answer_of,
    certain,
    read_given,
    read_opt_in,
    read_place,
    time_of,
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
    barred, said, times = item.once(key, lambda: _read(item, source, when, law))
    return _worlds(source, when, barred, said, times)


def _read(item: Item, source: Source, when: When, law: Law) -> tuple["Barred", Said, Reading]:
    """Return which lists may not be joined and why, what was said, and when."""
    trusted = source.trusted
    said = tuple(
        (place, email, sms, one and two and three)
        for (place, one), (email, two), (sms, three) in product(
            read_place(item, source, law),
            read_opt_in(item, source.opt_in, source),
            read_opt_in(item, source.sms_opt_in, source) if source.sms_opt_in else certain("null"),
        )
    )
    joined_by = source.joined_by.items()
    hidden = tuple(field for field, name in joined_by if item.group(name, trusted).hidden)
    denied = tuple(field for field, name in joined_by if _denied(item, name, source))
    silent = tuple(field for field, name in joined_by if not item.group(name, trusted).spoken)
    dated = item.group(source.occurred_at, trusted)
    hinted = not dated.spoken and any(
        each.value not in (None, "") for each in item.alike(source.occurred_at, trusted)
    )
    if source.occurred_at and not dated.spoken:
        beside = [e for each in item.beside(source.occurred_at) for e in all_said(each)]
        hinted = hinted or any(time_of(each) is not None for each in beside)
    return (hidden, denied, silent), said, read_given(dated, when.received_at, hinted)


def _denied(item: Item, name: str | None, source: Source) -> bool:
    """Say whether a no, in any form, stands where a list's own answer does."""
    if not name:
        return False
    own = item.group(name, source.trusted).values
    if "no" in {answer_of(e, source.labels) for each in own for e in all_said(each)}:
        return True
    alike = [each.value for each in item.alike(name, source.trusted) if not each.written_twice]
    said = [{answer_of(e, source.labels) for e in all_said(each)} for each in alike]
    return any("no" in each and "yes" not in each for each in said)


# The lists that a stranger may have asked for, those that are denied, those that nobody asked for.
Barred = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@lru_cache(maxsize=50_000)
def _worlds(source: Source, when: When, barred: Barred, said: Said, times: Reading) -> Worlds:
    return Worlds(
        _decide(source, when, barred, hard and also_hard, place, email, sms, given)
        for (place, email, sms, hard), (given, also_hard) in product(said, times)
    )


def _decide(
    source: Source,
    when: When,
    barred: Barred,
    hard: bool,
    place: Place,
    email: str,
    sms: str,
    given: float,
) -> World:
    terms = source.elsewhere if place.region == "non_eu" else source.in_eu
    refused_email, refused_sms = when.email_refused_at, when.sms_refused_at
    hidden, denied, silent = barred
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
        field: field not in denied
        and (
            need is None
            or (
                field not in hidden
                and (
                    refused_email is None
                    or (given > refused_email and (email == "yes" or field not in silent))
                )
                and (email == "yes" or (need == "not_no" and email == "null" and not silenced))
            )
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
