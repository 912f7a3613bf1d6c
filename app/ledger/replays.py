"""Replays and discards: what people decide of submissions that are settled, or still wait.

Many are changed a batch at a time, a commit for each: others write in between.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    and_,
    bindparam,
    func,
    null,
    select,
    update,
)

from app.ledger import counts
from app.ledger.counts import Span
from app.ledger.database import Database
from app.ledger.schema import (
    SubmissionStatus,
    contacts,
    integrations,
    ready_at,
    submissions,
)
from app.ledger.submissions import Filter, find
from app.ledger.transaction import Transaction, among

DISCARDED: Final = "discarded"
"""The reason of a submission that a person has ended."""

_AT_ONCE: Final = 200  # submissions that are changed in one commit
_PAUSE_SECONDS: Final = 0.02  # between two: a writer that waits for SQLite polls, it has no queue
_DISCARDABLE: Final = (SubmissionStatus.DEAD, SubmissionStatus.PENDING)


class NotDiscardable(Exception):
    """The submission is settled, so there is nothing to end; the message says as what."""


class NotReplayable(Exception):
    """The submission cannot be sent again; the message says why, and what the caller can do."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many matching submissions were put back in line, and how many were refused."""

    replayed: int
    refused: int


class _Row(NamedTuple):
    """What decides whether a submission may be put back in line, or ended."""

    seq: int
    integration_id: str
    contact_key: str
    status: str
    test: bool
    kept: bool  # its payload
    delivered_before: bool


async def replay(database: Database, submission_id: str, *, force: bool, now: float) -> None:
    """Put a submission back in line, with a fresh schedule of tries.

    Args:
        database: the ledger.
        submission_id: which.
        force: replay it even if a newer one of the contact was delivered; it overwrites that one.
        now: unix seconds.

    Raises:
        UnknownSubmission: there is none.
        NotReplayable: it is pending, a test, wiped or older than one that was delivered, or its
            integration was deleted.
    """
    seq = (await find(database, submission_id)).seq
    refusals = await _put_back(database, [seq], force=force, now=now)
    if refusal := refusals[seq]:
        raise NotReplayable(refusal)


async def replay_all(
    database: Database, wanted: Filter, *, force: bool, dry_run: bool, now: float
) -> Replayed:
    """Put every matching submission back in line, the oldest first.

    Args:
        database: the ledger.
        wanted: which; pending ones and tests are left out.
        force: replay also those whose contact got a newer one delivered.
        dry_run: only count.
        now: unix seconds.
    """
    column = submissions.c
    replayable = and_(
        column.status.not_in((SubmissionStatus.PENDING, SubmissionStatus.TEST)),
        column.payload.is_not(None),
    )
    found = replayed = 0
    async for seqs in _oldest_first(database, wanted, replayable):
        refusals = await _put_back(database, seqs, force=force, now=now, dry_run=dry_run)
        found += len(seqs)
        replayed += list(refusals.values()).count(None)
    return Replayed(replayed, found - replayed)


async def discard(database: Database, submission_id: str, *, now: float) -> None:
    """End a dead or pending submission for good: it counts as skipped, and is kept as those are.

    A delivery under way finds its lease gone and settles nothing. A replay brings it back while its
    payload is kept.

    Raises:
        UnknownSubmission: there is none.
        NotDiscardable: it is neither dead nor pending.
    """
    seq = (await find(database, submission_id)).seq
    if refusal := (await _end(database, [seq], now))[seq]:
        raise NotDiscardable(refusal)


async def discard_all(database: Database, wanted: Filter, *, dry_run: bool, now: float) -> int:
    """Discard every dead or pending submission that matches; return how many.

    With `dry_run`, only count.
    """
    discarded = 0
    not_settled = submissions.c.status.in_(_DISCARDABLE)
    async for seqs in _oldest_first(database, wanted, not_settled):
        refusals = dict.fromkeys(seqs) if dry_run else await _end(database, seqs, now)
        discarded += list(refusals.values()).count(None)
    return discarded


async def _oldest_first(
    database: Database, wanted: Filter, also: ColumnElement[bool]
) -> AsyncIterator[Sequence[int]]:
    """Yield the numbers of those that match, a batch at a time: they may be changed meanwhile."""
    column, after = submissions.c, 0
    while True:
        async with database.read() as connection:
            span = await counts.within(connection, Span(wanted.since, wanted.until))
            matching = (
                select(column.seq)
                .where(*wanted.conditions(), *span, column.seq > after, also)
                .order_by(column.seq)
                .limit(_AT_ONCE)
            )
            batch = (await connection.scalars(matching)).all()
        if not batch:
            return
        yield batch
        after = batch[-1]
        await asyncio.sleep(_PAUSE_SECONDS)


# --- One transaction ------------------------------------------------------------------------

_OF: BindParameter[str] = bindparam("of")  # an integration
_ROWS = select(
    submissions.c.seq,
    submissions.c.integration_id,
    submissions.c.contact_key,
    submissions.c.status,
    submissions.c.test,
    submissions.c.payload.is_not(None),
    submissions.c.delivered_before,
).where(among(submissions.c.seq, "seqs"))
# Locked, so that nobody deletes it before our commit.
_INTEGRATION = (
    select(integrations.c.id)
    .where(integrations.c.id == _OF)
    .with_for_update(read=True, key_share=True)
)
_MINE = (contacts.c.integration_id == _OF) & among(contacts.c.contact_key, "keys")
_CONTACTS = (
    select(contacts.c.contact_key, contacts.c.delivered_seq)
    .where(_MINE)
    .order_by(contacts.c.contact_key)
    .with_for_update()
)
_REPLAYED = (
    update(submissions)
    .where(among(submissions.c.seq, "seqs"))
    .values(
        status=SubmissionStatus.PENDING.value,
        reason=null(),
        settled_at=null(),
        tries=0,
        forced=bindparam("force", type_=Boolean()),
        delivered_before=submissions.c.delivered_before
        | (submissions.c.status == SubmissionStatus.DELIVERED.value),
    )
)
_DUE = (
    update(contacts)
    .where(_MINE)
    .values(due_at=func.coalesce(contacts.c.due_at, bindparam("ready")))
)
_ENDED = (
    update(submissions)
    .where(among(submissions.c.seq, "seqs"))
    .values(status=SubmissionStatus.SKIPPED.value, reason=DISCARDED, settled_at=bindparam("at"))
)
_FREED = update(contacts).where(_MINE).values(lease=null(), due_at=bindparam("ready"))

_Turns = Mapping[tuple[str, str], int]
"""By integration and contact, the number of the newest submission that was delivered, else 0."""

Refusals = dict[int, str | None]
"""Why a submission is not changed, by its number; None where nothing speaks against it."""


async def _put_back(
    database: Database,
    seqs: Sequence[int],
    *,
    force: bool,
    now: float,
    dry_run: bool = False,
) -> Refusals:
    def refusal(row: _Row, turns: _Turns) -> str | None:
        if row.status == SubmissionStatus.PENDING:
            return "It is pending already; it will be sent when its turn comes."
        if row.test:
            return "It came as a test webhook; those are never sent."
        if not row.kept:
            return "Its payload was wiped, there is nothing left to send."
        newest = turns.get((row.integration_id, row.contact_key))
        if newest is None:
            return "Its integration was deleted; create one of that name first."
        if newest > row.seq and not force:
            return (
                "A newer submission of this contact was delivered; sending this one would put "
                "older answers over newer ones. Add force=true to do that."
            )
        return None

    async def put_back(transaction: Transaction) -> Refusals:
        rows, refusals = await _judge(transaction, database, seqs, refusal, dry_run=dry_run)
        if rows and not dry_run:
            await transaction.change(_REPLAYED, seqs=[row.seq for row in rows], force=force)
            for of, keys in _contacts_of(rows).items():
                await transaction.change(_DUE, of=of, keys=keys, ready=ready_at(now))
        return refusals

    return await database.transact(put_back)


async def _end(database: Database, seqs: Sequence[int], now: float) -> Refusals:
    def refusal(row: _Row, _: _Turns) -> str | None:
        if row.status in _DISCARDABLE:
            return None
        return f"It is {row.status}; only dead and pending ones are discarded."

    async def end(transaction: Transaction) -> Refusals:
        rows, refusals = await _judge(transaction, database, seqs, refusal)
        if rows:
            await transaction.change(_ENDED, seqs=[row.seq for row in rows], at=now)
        pending = [row for row in rows if row.status == SubmissionStatus.PENDING]
        for of, keys in _contacts_of(pending).items():
            await transaction.change(_FREED, of=of, keys=keys, ready=ready_at(now))
        return refusals

    return await database.transact(end)


async def _judge(
    transaction: Transaction,
    database: Database,
    seqs: Sequence[int],
    refusal: Callable[[_Row, _Turns], str | None],
    *,
    dry_run: bool = False,
) -> tuple[Sequence[_Row], Refusals]:
    """Return the submissions that may be changed, their contacts locked, and why others may not.

    One that is gone meanwhile is in neither.
    """
    add = None if dry_run else database.insert_or_ignore(contacts)
    turns = await _lock(transaction, add, await _rows(transaction, seqs))
    rows = await _rows(transaction, seqs)  # again, now that nobody else can change them
    refusals = {row.seq: refusal(row, turns) for row in rows}
    return [row for row in rows if refusals[row.seq] is None], refusals


async def _rows(transaction: Transaction, seqs: Sequence[int]) -> Sequence[_Row]:
    found: Sequence[Any] = await transaction.rows(_ROWS, seqs=list(seqs))
    return [_Row(*row) for row in found]


async def _lock(transaction: Transaction, add: Any, rows: Sequence[_Row]) -> _Turns:
    """Lock the contacts, in the order in which all lock them; an integration may be gone.

    A contact that has no row gets one by the statement `add`; if that is None, none is made.
    """
    turns: dict[tuple[str, str], int] = {}
    for of, keys in sorted(_contacts_of(rows).items()):
        if not await transaction.rows(_INTEGRATION, of=of):
            continue
        turns |= {(of, key): 0 for key in keys}
        if add is not None:
            named = ("integration_id", "contact_key")
            await transaction.each(add, named, [(of, key) for key in keys])
        for key, newest in await transaction.rows(_CONTACTS, of=of, keys=keys):
            turns[of, key] = newest or 0
    return turns


def _contacts_of(rows: Sequence[_Row]) -> Mapping[str, list[str]]:
    """Return the keys of the contacts by their integration."""
    by_integration = defaultdict[str, set[str]](set)
    for row in rows:
        by_integration[row.integration_id].add(row.contact_key)
    return {of: sorted(keys) for of, keys in by_integration.items()}
