"""What each source sends: its keys, and what tells whether their meaning has drifted.

Written in the commits that are there anyway. However many keys or answers a source invents, its row
is bounded.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.schema import sources
from app.ledger.transaction import Row, Transaction
from app.rules import drift
from app.rules.drift import DriftKind, Numbers, Spell, Spells, WordSeen
from app.rules.survey import Kind
from app.rules.values import Answer

OTHERS: Final = "(others)"
"""Stands for all keys beyond `MOST_KEYS`, and for those that are no names."""

MOST_KEYS: Final = 200
MOST_WORDS: Final = 30
"""Answers that differ in more words than these are no labels of a box."""

_LONGEST_KEY: Final = 100
_NO_NAME: Final = re.compile(r"@|\d{7}")  # perhaps an address
_FORGET_AFTER: Final = 1_000  # submissions without a key, or answers, that came once or twice
_LEAST_GAP: Final = 60  # a shorter one makes no difference to `drift.judge`
_FADES: Final = 0.9  # of a gap, each time that the key is there again


Kinds = tuple[tuple[str, Kind], ...]
"""The keys of a submission, each with the kind of its value."""


class Sighting(NamedTuple):
    """What is counted of one submission, received `at` (unix seconds).

    `kinds` are its keys with the kinds of their values, `asked` tells whether the opt-in is among
    them. `phone` tells whether its phone number can be used, None without one. `words` are those of
    its answers, see `drift.words_of`. `version` is that of the integration it was read by.
    """

    at: float
    kinds: Kinds
    asked: bool
    phone: bool | None = None
    words: Sequence[tuple[str, Answer]] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class KeySeen:
    """A key that a source sent: how often, when last (unix seconds), and as what."""

    key: str
    times: int
    last_seen: float
    kinds: Sequence[Kind]


@dataclass(frozen=True, slots=True)
class Source:
    """What a source sent so far: so many submissions, with these keys."""

    submissions: int
    keys: Sequence[KeySeen]


KEPT: Final = (
    select(sources.c.seen_keys, sources.c.watched, sources.c.submissions, sources.c.asked_last)
    .where(sources.c.integration_id == bindparam("integration"))
    .with_for_update()
)
"""What is kept of an integration's source, as `see` takes it; locked on PostgreSQL."""
_SAW = (
    update(sources)
    .where(sources.c.integration_id == bindparam("of"))
    .values(
        submissions=bindparam("total"),
        asked_last=bindparam("asked"),
        seen_keys=bindparam("keys"),
        watched=bindparam("watching"),
    )
)
_OF_SAW = ("of", "total", "asked", "keys", "watching")


async def see(
    transaction: Transaction,
    database: Database,
    integration_id: str,
    new: Sequence[Sighting],
    kept: Row | None,
) -> None:
    """Write down what came; `kept` is what the transaction has read of `KEPT`, None if nothing."""
    if not new:
        return
    if kept is None:
        await transaction.change(
            database.insert_or_ignore(sources),
            integration_id=integration_id,
            submissions=0,
            seen_keys="{}",
        )
        (kept,) = await transaction.rows(KEPT, integration=integration_id)
    document, watching, number, asked_last = kept
    submissions = int(number)
    keys: dict[str, list[Any]] = from_json(document)
    watched = _Watched(watching)
    for start in range(0, len(new), _LEAST_GAP):  # among so few, no key is away for long
        some = new[start : start + _LEAST_GAP]
        _note(keys, watched, some, submissions)
        for each in some:
            submissions += 1
            if each.asked:
                asked_last = submissions
            watched.note(each)
    saw = integration_id, submissions, asked_last, to_json(keys).decode(), watched.written()
    await transaction.each(_SAW, _OF_SAW, [saw])


class _Watched:
    """What is kept beside the keys, to tell drift by: a small document.

    It holds the usual gaps of keys that come seldom, and whether the last phone numbers could be
    used. For each word of answer it holds when the word first came, how many answers came before
    it, how often it came, the number of the last answer that had it, and how that was read.
    """

    def __init__(self, document: str | None) -> None:
        kept: dict[str, Any] = from_json(document) if document else {}
        self.gaps: dict[str, int] = kept.get("gaps", {})
        self.phones: str = kept.get("phones", "")
        self.version: int = kept.get("version", 0)
        self.answers: int = kept.get("answers", 0)
        self.words: dict[str, list[Any]] = kept.get("words", {})
        self.crowded_at: int | None = kept.get("crowded_at")  # when a word had no room

    def written(self) -> str:
        return to_json(vars(self)).decode()

    def away(self, key: str, submissions: int, more: int) -> None:
        """Note that a key came again after so many submissions, and so often more at once."""
        gap = max(submissions, int(self.gaps.get(key, 0) * _FADES))
        for _ in range(more):
            gap = max(1, int(gap * _FADES))
        if gap >= _LEAST_GAP:
            self.gaps[key] = gap
        else:
            self.gaps.pop(key, None)

    def note(self, seen: Sighting) -> None:
        """Note a submission's phone number and answers."""
        if seen.version != self.version:  # other rules may read other numbers
            self.version, self.phones = seen.version, ""
        if seen.phone is not None:
            self.phones = (self.phones + "01"[seen.phone])[-drift.PHONES_KEPT :]
        for word, read_as in seen.words:
            self.answers += 1
            known = self.words.get(word)
            if known is None and not self._has_room():
                self.crowded_at = self.answers
                continue
            if known is None:
                known = self.words[word] = [seen.at, self.answers - 1, 0, 0, read_as]
            known[2:] = [known[2] + 1, self.answers, read_as]

    @property
    def has_labels(self) -> bool:
        """Whether the answers are labels of a box: of late all had room."""
        return self.crowded_at is None or self.answers - self.crowded_at > _FORGET_AFTER

    def _has_room(self) -> bool:
        if len(self.words) < MOST_WORDS:
            return True
        for word, (_, _, times, last, _) in self.words.items():
            if times < 3 and self.answers - last > _FORGET_AFTER:
                del self.words[word]
                return True
        return False


def _note(
    keys: dict[str, list[Any]], watched: _Watched, some: Sequence[Sighting], before: int
) -> None:
    """Note the keys of submissions that came after so many others.

    For each key: times, last seen, number of that submission, kinds. Most submissions are of a few
    forms, which are noted together.
    """
    forms = defaultdict[Kinds, list[int]](list)
    for number, each in enumerate(some, before + 1):
        forms[each.kinds].append(number)
    at = max(each.at for each in some)
    for form, numbers in forms.items():
        first, last, times = numbers[0], numbers[-1], len(numbers)
        for key, kind in form:
            known = keys.get(key)
            if known is None:
                name = _name_of(key, keys, watched, first)
                known = keys.setdefault(name, [0, at, first, []])
            elif first - known[2] >= _LEAST_GAP or key in watched.gaps:
                watched.away(key, first - known[2], times - 1)
            known[0] += times
            known[1] = max(known[1], at)
            known[2] = max(known[2], last)
            if kind not in known[3]:
                known[3].append(kind)


def _name_of(key: str, keys: dict[str, list[Any]], watched: _Watched, number: int) -> str:
    if len(key) > _LONGEST_KEY or _NO_NAME.search(key):
        return OTHERS
    if len(keys) < MOST_KEYS:
        return key
    for each, (times, _, last, _) in keys.items():
        if times < 3 and number - last > _FORGET_AFTER:
            del keys[each]
            watched.gaps.pop(each, None)
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
        return Source(0, [])
    keys = [
        KeySeen(key, times, at, sorted(kinds))
        for key, (times, at, _, kinds) in from_json(row.seen_keys).items()
    ]
    return Source(row.submissions, sorted(keys, key=lambda each: (-each.times, each.key)))


async def opt_in_is_missing(database: Database, integration_id: str) -> bool:
    """Whether an integration's source stopped sending the opt-in; it reads one short row."""
    query = select(sources.c.submissions, sources.c.asked_last)
    async with database.read() as connection:
        found = await connection.execute(query.where(sources.c.integration_id == integration_id))
        row = found.one_or_none()
    return row is not None and drift.opt_in_is_missing(*row)


async def lasting_of_all(database: Database) -> Mapping[str, Mapping[DriftKind, float]]:
    """Return what was found to drift of each integration, since when; it reads few short rows."""
    query = select(sources.c.integration_id, sources.c.drift).where(sources.c.drift.is_not(None))
    async with database.read() as connection:
        found = await connection.execute(query)
        return {each: drift.lasting(_spells(kept)) for each, kept in found}


async def lock_spells(connection: AsyncConnection, integration_id: str) -> Spells:
    """Return what was found to drift of an integration, and let nobody else change it."""
    query = select(sources.c.drift).where(sources.c.integration_id == integration_id)
    return _spells(await connection.scalar(query.with_for_update()))


async def keep_spells(connection: AsyncConnection, integration_id: str, spells: Spells) -> None:
    """Keep what is found to drift of an integration."""
    kept = to_json(spells).decode() if spells else None
    await connection.execute(
        update(sources).where(sources.c.integration_id == integration_id).values(drift=kept)
    )


async def numbers_of_all(database: Database) -> Mapping[str, tuple[Numbers, Spells]]:
    """Return what drift is judged by, and what was found before, of each integration."""
    async with database.read() as connection:
        found = await connection.execute(select(sources))
        return {row.integration_id: (_numbers(row), _spells(row.drift)) for row in found}


async def numbers_of(database: Database, integration_id: str) -> Numbers:
    """Return what the drift of an integration is judged by."""
    query = select(sources).where(sources.c.integration_id == integration_id)
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return _numbers(row) if row else Numbers()


def _numbers(row: Any) -> Numbers:
    keys, kept = from_json(row.seen_keys), _Watched(row.watched)
    last_at = max((at for _, at, *_ in keys.values()), default=None)
    others = keys.pop(OTHERS, None)
    return Numbers(
        submissions=row.submissions,
        asked_last=row.asked_last,
        keys={
            key: drift.KeySeen(last, kept.gaps.get(key, 0), times)
            for key, (times, _, last, _) in keys.items()
        },
        crowded_at=others[2] if others else None,
        phones=[each == "1" for each in kept.phones],
        words=[
            WordSeen(word, at, before, Answer(read_as))
            for word, (at, before, _, _, read_as) in kept.words.items()
            if kept.has_labels
        ],
        last_at=last_at,
        lasting=drift.lasting(_spells(row.drift)).keys(),
    )


def _spells(document: str | None) -> Spells:
    kept: dict[str, dict[str, Any]] = from_json(document) if document else {}
    return {
        kind: {about: Spell(*spell) for about, spell in of_kind.items()}
        for kind, of_kind in kept.items()
    }
