"""Accepting webhooks: we commit what is new before we tell anyone that we have it."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Double,
    String,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)

from app.ledger import sources, tallies
from app.ledger.database import Database
from app.ledger.notices import announce_dead
from app.ledger.refusals import merge, record
from app.ledger.schema import (
    DeadReason,
    SubmissionStatus,
    contacts,
    integrations,
    ready_at,
    receipts,
    submissions,
)
from app.ledger.signals import announce_due
from app.ledger.sources import Kinds, Sighting
from app.ledger.tallies import Tally
from app.ledger.transaction import Row, Transaction, among
from app.rules.values import Answer

_INTEGRATION: BindParameter[str] = bindparam("integration")
# PostgreSQL locks the integration: nobody deletes it before our commit.
_HELD = (
    select(integrations.c.id)
    .where(integrations.c.id == _INTEGRATION)
    .with_for_update(read=True, key_share=True)
    .cte("held")
)
# All replicas lock contacts in this order, so they do not deadlock.
_TURNS = (
    select(contacts.c.contact_key, contacts.c.newest_content, contacts.c.due_at)
    .where(contacts.c.integration_id == _INTEGRATION, among(contacts.c.contact_key, "keys"))
    .order_by(contacts.c.contact_key)
    .with_for_update()
    .cte("turns")
)
_NO_NUMBER: ColumnElement[int] = cast(null(), BigInteger())
_NO_MORE: Sequence[ColumnElement[Any]] = (
    cast(null(), String()),
    cast(null(), Double()),
    _NO_NUMBER,
)
_SOURCE = sources.KEPT.cte("source")
# What we know of a group's integration, signatures, sessions, contacts and source. It is one
# statement, because on PostgreSQL each one is a round trip; the first column says which part a row
# belongs to.
_LOOK = union_all(
    select(literal_column("'held'"), _HELD.c.id, *_NO_MORE),
    select(literal_column("'seen'"), receipts.c.fingerprint, *_NO_MORE).where(
        receipts.c.integration_id == _INTEGRATION, among(receipts.c.fingerprint, "fingerprints")
    ),
    select(literal_column("'seen'"), submissions.c.session_key, *_NO_MORE).where(
        # `|| ''` hides the column from the planner and leaves it the session's index only. Without
        # statistics PostgreSQL would read all submissions of the integration.
        submissions.c.integration_id.concat("") == _INTEGRATION,
        among(submissions.c.session_key, "sessions"),
    ),
    select(literal_column("'turn'"), *_TURNS.c, _NO_NUMBER),
    select(literal_column("'source'"), *_SOURCE.c),
)
_ADD_RECEIPTS = insert(receipts).inline()
_OF_RECEIPT = ("integration_id", "fingerprint", "expires_at")
_ADD_SUBMISSIONS = insert(submissions).inline()
_ADD_CONTACTS = insert(contacts).inline()
_OF_CONTACT = ("integration_id", "contact_key", "due_at", "newest_content")
_TURN_CONTACTS = (
    update(contacts)
    .where(contacts.c.integration_id == _INTEGRATION, contacts.c.contact_key == bindparam("key"))
    .values(
        due_at=func.coalesce(contacts.c.due_at, bindparam("due", type_=Double())),
        newest_content=bindparam("content"),
    )
)
_OF_TURN = ("due", "content", "integration", "key")

_RACES = 5  # how often a group starts again after another process stored the same first


class IntegrationGone(Exception):
    """Somebody deleted the integration while its webhook was on the way."""


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """One item of a webhook, as the ledger takes it.

    `content` and `session_key` are keyed digests. An unreadable item has neither, and no contact.
    The session's key digests the content too, so it alone tells whether the content is a repeat.
    `refused` tells when it says no (unix seconds), by the key of the address. `kinds` tells which
    keys it has, with the kind of each value; `asked` whether the opt-in attribute is among them.
    `phone` and `words` are of its phone number and answers, see `Sighting`.
    """

    payload: bytes
    readable: bool
    contact_key: str | None = None
    phone_key: str | None = None
    content: str | None = None
    session_key: str | None = None
    occurred_at: float | None = None
    refused: Mapping[str, float] = field(default_factory=dict)
    kinds: Kinds = ()
    asked: bool = False
    phone: bool | None = None
    words: Sequence[tuple[str, Answer]] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One signed webhook.

    Equal `fingerprint`s mean that somebody sent the same signature again. After `expires_at` (unix
    seconds) the signature is too old anyway. `version` is that of the integration it was read by.
    """

    integration_id: str
    fingerprint: str
    expires_at: float
    received_at: float
    test: bool
    items: Sequence[NewSubmission]
    request_id: str | None = None
    traceparent: str | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a webhook: ids of what was stored, in order, and the counts."""

    ids: Sequence[str] = ()
    pending: int = 0
    duplicates: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class _Turn:
    """A contact's row as it will be: its newest content, and since when it is due."""

    newest_content: str | None
    due_at: float | None
    exists: bool
    queued: bool = False  # this group adds a submission to its line


class _Row(NamedTuple):
    """A submission's row as we insert it; the table explains the columns."""

    id: str
    integration_id: str
    status: str
    reason: str | None
    test: bool
    contact_key: str
    phone_key: str | None
    session_key: str | None
    received_at: float
    occurred_at: float | None
    settled_at: float | None
    tries: int
    forced: bool
    payload: bytes
    request_id: str | None
    traceparent: str | None


_PENDING = SubmissionStatus.PENDING.value, None
_TEST = SubmissionStatus.TEST.value, None
_UNREADABLE = SubmissionStatus.DEAD.value, DeadReason.UNREADABLE.value


async def accept(
    database: Database, arrivals: Sequence[Arrival]
) -> Sequence[Accepted | IntegrationGone]:
    """Store a group of webhooks in one transaction; it is durable when this returns.

    Raises:
        Exception: one of `database.UNAVAILABLE`; nothing of the group is stored.
    """
    by_integration: dict[str, list[int]] = defaultdict(list)
    for place, arrival in enumerate(arrivals):
        by_integration[arrival.integration_id].append(place)

    async def store(transaction: Transaction) -> Sequence[Accepted | IntegrationGone]:
        results: dict[int, Accepted | IntegrationGone] = {}
        counted = Counter[Tally]()
        for integration_id in sorted(by_integration):
            places = by_integration[integration_id]
            mine = [arrivals[place] for place in places]
            accepted = await _accept_for(transaction, database, integration_id, mine)
            results.update(zip(places, accepted, strict=True))
            counted.update(_tallies(mine, accepted))
        await tallies.count(transaction, database, counted)
        if any(isinstance(each, Accepted) and each.pending for each in results.values()):
            await announce_due(transaction, database)
        return [results[place] for place in range(len(arrivals))]

    for _ in range(_RACES):
        # On PostgreSQL another replica may commit the same signature, session or contact between
        # our look and our insert. Start again: now we see it.
        with suppress(asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
            return await database.transact(store)
    return await database.transact(store)


async def _accept_for(
    transaction: Transaction,
    database: Database,
    integration_id: str,
    arrivals: Sequence[Arrival],
) -> Sequence[Accepted | IntegrationGone]:
    """Look up what we know, decide what is new, write it."""
    known = await _look(transaction, integration_id, arrivals)
    if known is None:
        return [IntegrationGone() for _ in arrivals]
    seen, turns, source = known
    rows: list[_Row] = []
    shown: list[Row] = []
    results: list[Accepted | IntegrationGone] = []
    seen_now: list[Sighting] = []
    for arrival in arrivals:
        if arrival.fingerprint in seen:
            results.append(Accepted(duplicates=sum(item.readable for item in arrival.items)))
            continue
        seen.add(arrival.fingerprint)
        shown.append((integration_id, arrival.fingerprint, arrival.expires_at))
        results.append(_take(arrival, seen, turns, rows, seen_now))
    # Repeats are among them: they say the same no as the first time, so they change nothing.
    taken = [item.refused for each in arrivals if not each.test for item in each.items]
    await record(transaction, merge(*filter(None, taken)))
    await _write(transaction, integration_id, shown, rows, turns)
    await sources.see(transaction, database, integration_id, seen_now, source)
    dead = [row.received_at for row in rows if row.status == SubmissionStatus.DEAD]
    if dead:
        await announce_dead(transaction, database, integration_id, len(dead), max(dead))
    return results


def _take(
    arrival: Arrival,
    seen: set[str],
    turns: dict[str, _Turn],
    rows: list[_Row],
    seen_now: list[Sighting],
) -> Accepted:
    """Add rows for the new items of a webhook, and count what became of each item."""
    new: list[_Row] = []
    for item in arrival.items:
        if item.readable and not arrival.test and _is_repeat(item, seen, turns):
            continue
        row = _row(arrival, item)
        new.append(row)
        if row.status == SubmissionStatus.PENDING:
            seen_now.append(_sighting(arrival, item))
            _queue(row, item, turns)
            if item.session_key:
                seen.add(item.session_key)
    rows += new
    return Accepted(
        ids=[row.id for row in new],
        pending=sum(row.status == SubmissionStatus.PENDING for row in new),
        duplicates=len(arrival.items) - len(new),
        unreadable=sum(row.status == SubmissionStatus.DEAD for row in new),
    )


def _sighting(arrival: Arrival, item: NewSubmission) -> Sighting:
    seen = item.kinds, item.asked, item.phone, item.words
    return Sighting(arrival.received_at, *seen, arrival.version)


def _tallies(
    arrivals: Sequence[Arrival], results: Sequence[Accepted | IntegrationGone]
) -> Counter[Tally]:
    """Count what came in, by hour; what is pending is counted again when it settles."""
    counted = Counter[Tally]()
    for arrival, result in zip(arrivals, results, strict=True):
        if isinstance(result, IntegrationGone):
            continue
        of = tallies.hour_of(arrival.received_at), arrival.integration_id
        tests = len(result.ids) - result.pending - result.unreadable
        for outcome, reason, number in (
            (tallies.RECEIVED, "", result.pending),
            (tallies.DUPLICATE, "", result.duplicates),
            (SubmissionStatus.TEST.value, "", tests),
            (SubmissionStatus.DEAD.value, DeadReason.UNREADABLE.value, result.unreadable),
        ):
            if number:
                counted[Tally(*of, outcome, reason)] += number
    return counted


def _is_repeat(item: NewSubmission, seen: set[str], turns: dict[str, _Turn]) -> bool:
    """Whether we have the same session and content or, without a session, newest content."""
    if item.session_key is not None:
        return item.session_key in seen
    turn = turns.get(item.contact_key or "")
    return turn is not None and turn.newest_content == item.content


def _queue(row: _Row, item: NewSubmission, turns: dict[str, _Turn]) -> None:
    """Put a submission in line behind the others of its contact."""
    turn = turns.get(row.contact_key)
    if turn is None:
        turn = turns[row.contact_key] = _Turn(None, None, exists=False)
    turn.queued, turn.newest_content = True, item.content
    if turn.due_at is None:
        turn.due_at = ready_at(row.received_at)


def _row(arrival: Arrival, item: NewSubmission) -> _Row:
    identifier, test = new_id(arrival.received_at), arrival.test
    status, reason = (_TEST if test else _PENDING) if item.readable else _UNREADABLE
    return _Row(
        id=identifier,
        integration_id=arrival.integration_id,
        status=status,
        reason=reason,
        test=test,
        # Without a contact, it gets a line of its own.
        contact_key=item.contact_key or identifier,
        phone_key=item.phone_key,
        session_key=None if test else item.session_key,
        received_at=arrival.received_at,
        occurred_at=item.occurred_at,
        settled_at=None if status == SubmissionStatus.PENDING else arrival.received_at,
        tries=0,
        forced=False,
        payload=item.payload,
        request_id=arrival.request_id,
        traceparent=arrival.traceparent,
    )


def new_id(now: float) -> str:
    """Return a submission's id: 32 hex digits that begin with the time."""
    return f"{int(now * 1000):012x}{secrets.token_hex(10)}"


async def _look(
    transaction: Transaction, integration_id: str, arrivals: Sequence[Arrival]
) -> tuple[set[str], dict[str, _Turn], Row | None] | None:
    """Return which signatures and sessions we have, the contacts and what is kept of the source.

    Contacts are locked: if a delivery settles at the same moment, one of us sees what the other
    wrote, so no contact has a pending submission and nothing due. None if the integration is gone.
    """
    items = [item for arrival in arrivals if not arrival.test for item in arrival.items]
    found = await transaction.rows(
        _LOOK,
        integration=integration_id,
        fingerprints=[arrival.fingerprint for arrival in arrivals],
        sessions=list({item.session_key for item in items} - {None}),
        keys=list({item.contact_key for item in items} - {None}),
    )
    held, seen, turns, source = False, set[str](), dict[str, _Turn](), None
    for what, key, *more in found:
        if what == "turn":
            newest_content, due_at, _ = more
            turns[key] = _Turn(newest_content, due_at, exists=True)
        elif what == "seen":
            seen.add(key)
        elif what == "source":
            source = (key, *more)
        else:
            held = True
    return (seen, turns, source) if held else None


async def _write(
    transaction: Transaction,
    integration_id: str,
    shown: Sequence[Row],
    rows: Sequence[_Row],
    turns: Mapping[str, _Turn],
) -> None:
    if shown:
        await transaction.each(_ADD_RECEIPTS, _OF_RECEIPT, shown)
    if not rows:
        return
    await transaction.each(_ADD_SUBMISSIONS, _Row._fields, rows)
    queued = sorted((key, turn) for key, turn in turns.items() if turn.queued)
    new = [
        (integration_id, key, turn.due_at, turn.newest_content)
        for key, turn in queued
        if not turn.exists
    ]
    if new:
        await transaction.each(_ADD_CONTACTS, _OF_CONTACT, new)
    known = [
        (turn.due_at, turn.newest_content, integration_id, key)
        for key, turn in queued
        if turn.exists
    ]
    if known:
        await transaction.each(_TURN_CONTACTS, _OF_TURN, known)
