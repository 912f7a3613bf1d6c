"""How much of what: by hour and outcome, and the keys that each source sends.

Written in the commits that are there anyway. However many keys a source invents, its row is
bounded: the rest counts as one.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import bindparam, delete, insert, select, update

from app.ledger.database import Database
from app.ledger.notices import announce_drift
from app.ledger.schema import refused_webhooks, sources, tallies
from app.ledger.transaction import Transaction
from app.rules.survey import Kind

RECEIVED: Final = "received"
DUPLICATE: Final = "duplicate"
OTHERS: Final = "(others)"
"""Stands for all keys beyond `MOST_KEYS`, and for those that are no names."""

MOST_KEYS: Final = 200
MISSING_AFTER: Final = 50
"""An opt-in attribute that was there and is in none of so many submissions is missing."""

MOST_REFUSED: Final = 50
_KEPT_HOURS: Final = 400 * 24
_LONGEST_KEY: Final = 100
_NO_NAME: Final = re.compile(r"@|\d{7}")  # perhaps an address
_FORGET_AFTER: Final = 1_000  # submissions without a key that came once or twice


class Tally(NamedTuple):
    """What is counted together. A blank stands for none; `hour` is in hours since 1970.

    `outcome` is the status that a submission settled with, or `received` or `duplicate`.
    """

    hour: int
    integration_id: str
    outcome: str
    reason: str = ""
    region: str = ""
    answer: str = ""
    email: str = ""
    sms: str = ""


class Sighting(NamedTuple):
    """One submission's keys with the kinds of their values; whether the opt-in is among them."""

    at: float
    kinds: Sequence[tuple[str, Kind]]
    asked: bool


@dataclass(frozen=True, slots=True)
class KeySeen:
    """A key that a source sent: how often, when last (unix seconds), and as what."""

    key: str
    times: int
    last_seen: float
    kinds: Sequence[Kind]
    ago: int
    """So many submissions came since without it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a source sent so far; `opt_in_missing` see `is_missing`."""

    submissions: int
    keys: Sequence[KeySeen]
    opt_in_missing: bool


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """A webhook that was refused: when (unix seconds), and why."""

    at: float
    reason: str


def hour_of(at: float) -> int:
    """Return the hour of a time (unix seconds)."""
    return int(at // 3600)


def is_missing(submissions: int | None, asked_last: int | None) -> bool:
    """Whether the opt-in attribute used to be there and is in none of the last submissions."""
    if submissions is None or asked_last is None:
        return False
    return submissions - asked_last >= MISSING_AFTER


_OF_TALLY = tallies.c.hour == bindparam("hour_")
for _name in Tally._fields[1:]:
    _OF_TALLY &= tallies.c[_name] == bindparam(f"{_name}_")
_COUNT = update(tallies).where(_OF_TALLY).values(number=tallies.c.number + bindparam("more"))


async def count(transaction: Transaction, database: Database, counted: Counter[Tally]) -> None:
    """Add to the tallies; all who write lock them in one order."""
    for tally in sorted(counted):
        named = {f"{name}_": value for name, value in tally._asdict().items()}
        if not await transaction.change(_COUNT, **named, more=counted[tally]):
            new = database.insert_or_ignore(tallies)
            await transaction.change(new, **tally._asdict(), number=0)
            await transaction.change(_COUNT, **named, more=counted[tally])


_SOURCE = (
    select(sources.c.submissions, sources.c.asked_last, sources.c.seen_keys)
    .where(sources.c.integration_id == bindparam("of"))
    .with_for_update()
)
_SAW = (
    update(sources)
    .where(sources.c.integration_id == bindparam("of"))
    .values(
        submissions=bindparam("total"),
        asked_last=bindparam("asked"),
        seen_keys=bindparam("document"),
    )
)


async def see(
    transaction: Transaction, database: Database, integration_id: str, new: Sequence[Sighting]
) -> None:
    """Write down which keys came, and tell people when the opt-in attribute goes missing."""
    if not new:
        return
    found = await transaction.rows(_SOURCE, of=integration_id)
    if not found:
        await transaction.change(
            database.insert_or_ignore(sources),
            integration_id=integration_id,
            submissions=0,
            seen_keys="{}",
        )
        found = await transaction.rows(_SOURCE, of=integration_id)
    ((submissions, asked_last, document),) = found
    missing = is_missing(submissions, asked_last)
    keys: dict[str, list[Any]] = from_json(document)
    for each in new:
        submissions += 1
        if each.asked:
            asked_last = submissions
        _note(keys, each, submissions)
    await transaction.change(
        _SAW,
        of=integration_id,
        total=submissions,
        asked=asked_last,
        document=to_json(keys).decode(),
    )
    if is_missing(submissions, asked_last) and not missing:
        await announce_drift(transaction, integration_id, new[-1].at, "opt_in_missing")


def _note(keys: dict[str, list[Any]], seen: Sighting, number: int) -> None:
    """Note a submission's keys: times, last seen, number of that submission, kinds."""
    for key, kind in seen.kinds:
        known = keys.get(key)
        if known is None:
            name = _name_of(key, keys, number)
            known = keys.setdefault(name, [0, seen.at, number, []])
        known[0] += 1
        known[1] = max(known[1], seen.at)
        known[2] = number
        if kind not in known[3]:
            known[3].append(kind)


def _name_of(key: str, keys: dict[str, list[Any]], number: int) -> str:
    if len(key) > _LONGEST_KEY or _NO_NAME.search(key):
        return OTHERS
    if len(keys) < MOST_KEYS:
        return key
    for each, (times, _, last, _) in keys.items():
        if times < 3 and number - last > _FORGET_AFTER:
            del keys[each]
            return key
    return OTHERS


async def source_of(database: Database, integration_id: str) -> Source:
    """Return what an integration's source sent so far, the most frequent key first."""
    async with database.read() as connection:
        found = await connection.execute(
            select(sources).where(sources.c.integration_id == integration_id)
        )
        row = found.one_or_none()
    if row is None:
        return Source(0, [], opt_in_missing=False)
    keys = [
        KeySeen(key, times, at, sorted(kinds), row.submissions - last)
        for key, (times, at, last, kinds) in from_json(row.seen_keys).items()
    ]
    return Source(
        row.submissions,
        sorted(keys, key=lambda each: (-each.times, each.key)),
        is_missing(row.submissions, row.asked_last),
    )


async def missing_opt_ins(database: Database) -> Mapping[str, int]:
    """Return the integrations whose opt-in attribute is missing, and since how many submissions."""
    ago = sources.c.submissions - sources.c.asked_last
    async with database.read() as connection:
        found = await connection.execute(
            select(sources.c.integration_id, ago).where(ago >= MISSING_AFTER)
        )
        return {row[0]: row[1] for row in found}


async def hourly(
    database: Database, integration_id: str | None, since: float
) -> list[tuple[Tally, int]]:
    """Return the tallies since the hour of a time (unix seconds), in order of time."""
    query = select(tallies).where(tallies.c.hour >= hour_of(since))
    if integration_id is not None:
        query = query.where(tallies.c.integration_id == integration_id)
    async with database.read() as connection:
        found = await connection.execute(query.order_by(*tallies.primary_key.columns))
        return [(Tally(*row[:-1]), row[-1]) for row in found]


async def note_refused(
    database: Database, integration_id: str, refused: Sequence[RefusedWebhook]
) -> None:
    """Keep the last refused webhooks of an integration."""
    of_this = refused_webhooks.c.integration_id == integration_id
    async with database.write() as connection:
        await connection.execute(
            insert(refused_webhooks),
            [
                {"integration_id": integration_id, "at": each.at, "reason": each.reason}
                for each in refused
            ],
        )
        kept = (
            select(refused_webhooks.c.id)
            .where(of_this)
            .order_by(refused_webhooks.c.id.desc())
            .limit(MOST_REFUSED)
        )
        await connection.execute(
            delete(refused_webhooks).where(of_this, refused_webhooks.c.id.not_in(kept))
        )


async def refused_of(database: Database, integration_id: str) -> list[RefusedWebhook]:
    """Return the last refused webhooks of an integration, the newest first."""
    column = refused_webhooks.c
    query = select(column.at, column.reason).where(column.integration_id == integration_id)
    async with database.read() as connection:
        found = await connection.execute(query.order_by(column.id.desc()).limit(MOST_REFUSED))
        return [RefusedWebhook(*row) for row in found]


async def prune_tallies(database: Database, now: float) -> None:
    """Delete tallies that are past their time."""
    async with database.write() as connection:
        await connection.execute(delete(tallies).where(tallies.c.hour < hour_of(now) - _KEPT_HOURS))
