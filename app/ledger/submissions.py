"""Submissions as operators see them: find, list, count, replay."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger import counts
from app.ledger.claims import Attempt
from app.ledger.counts import Span
from app.ledger.database import Database
from app.ledger.schema import (
    SubmissionStatus,
    attempts,
    contacts,
    integrations,
    ready_at,
    submissions,
)

_ID = re.compile(r"[0-9a-f]{32}")


class UnknownSubmission(Exception):
    """No submission has this id."""


class NotDiscardable(Exception):
    """The submission is settled, so there is nothing to end; the message says as what."""


class NotReplayable(Exception):
    """The submission cannot be sent again; the message says why, and what the caller can do."""


@dataclass(frozen=True, slots=True)
class StoredSubmission:
    """A submission as it is now; times are unix seconds, `payload` is None once it is wiped."""

    seq: int
    id: str
    integration_id: str
    status: SubmissionStatus
    reason: str | None
    test: bool
    received_at: float
    occurred_at: float | None
    settled_at: float | None
    payload: bytes | None
    warnings: Sequence[Mapping[str, Any]]
    cordial_contact_id: str | None
    delivered_before: bool = False
    attempts: Sequence[Attempt] = field(default=())


@dataclass(frozen=True, slots=True)
class Filter:
    """Which submissions to take; None means all. `contact_keys`, `ids`: any of them."""

    integration_id: str | None = None
    status: SubmissionStatus | None = None
    reason: str | None = None
    contact_keys: Sequence[str] | None = None
    since: float | None = None
    until: float | None = None
    ids: Sequence[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return all of the filter but its time as conditions on the table of submissions."""
        column = submissions.c
        equal = {
            column.integration_id: self.integration_id,
            column.status: self.status,
            column.reason: self.reason,
        }
        conditions = [each == value for each, value in equal.items() if value is not None]
        if self.contact_keys is not None:
            keys = self.contact_keys
            conditions.append(or_(column.contact_key.in_(keys), column.phone_key.in_(keys)))
        if self.ids is not None:
            conditions.append(column.id.in_(self.ids))
        return conditions


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many matching submissions were put back in line, and how many were refused."""

    replayed: int
    refused: int


@dataclass(frozen=True, slots=True)
class Counts:
    """An integration's submissions by status, and the age of the oldest pending one."""

    integration_id: str
    by_status: Mapping[str, int]
    oldest_pending_seconds: float | None


async def find(database: Database, submission_id: str) -> StoredSubmission:
    """Return one submission with its attempts.

    Raises:
        UnknownSubmission: there is none.
    """
    async with database.read() as connection:
        row = await _row(connection, submission_id)
        tries = await connection.execute(
            select(attempts).where(attempts.c.submission_seq == row.seq).order_by(attempts.c.id)
        )
        history = [
            Attempt(each.at, each.ms, each.http_status, each.outcome, each.error) for each in tries
        ]
    return stored_of(row, history)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a submission to plan it again; `payload` is None if it is wiped or huge."""

    id: str
    received_at: float
    payload: bytes | None
    delivered_before: bool


async def payloads(
    database: Database, integration_id: str, *, limit: int
) -> list[tuple[float, bytes]]:
    """Return the payloads of an integration's newest submissions, with the time of each receipt.

    Only payloads that are still kept and of usual size: the sum stays small enough to hold.
    """
    found = await _newest_kept(database, integration_id, limit, _USUAL)
    return [(each.received_at, each.payload) for each in found if each.payload is not None]


async def newest_kept(database: Database, integration_id: str, *, limit: int) -> list[Kept]:
    """Return an integration's newest submissions, tests left out, as far as they are kept."""
    return await _newest_kept(database, integration_id, limit, submissions.c.test.is_(False))


async def readable(database: Database, seqs: Sequence[int]) -> Set[int]:
    """Return those of some submissions whose payload is kept, and of usual size."""
    wanted = select(submissions.c.seq).where(submissions.c.seq.in_(seqs), _USUAL)
    async with database.read() as connection:
        return frozenset(await connection.scalars(wanted))


async def newest_readable(database: Database, integration_id: str, *, limit: int) -> list[Kept]:
    """Return an integration's newest submissions that have a payload of usual size, tests too."""
    return await _newest_kept(database, integration_id, limit, _USUAL)


async def _newest_kept(
    database: Database, integration_id: str, limit: int, also: ColumnElement[bool]
) -> list[Kept]:
    column = submissions.c
    payload = case((_USUAL, column.payload), else_=None).label("payload")
    found: list[int] = []
    async with database.read() as connection:
        for status in SubmissionStatus:  # of each in the order of the index
            wanted = (
                select(column.seq)
                .where(column.integration_id == integration_id, column.status == status, also)
                .order_by(column.seq.desc())
                .limit(limit)
            )
            found += await connection.scalars(wanted)
        newest = sorted(found, reverse=True)[:limit]
        rows: list[Any] = []
        for start in range(0, len(newest), _AT_ONCE):  # payloads of the newest alone
            kept = (
                select(column.seq, column.id, column.status, column.received_at)
                .add_columns(column.delivered_before, payload)
                .where(column.seq.in_(newest[start : start + _AT_ONCE]))
                .order_by(column.seq.desc())
            )
            rows += (await connection.execute(kept)).all()
    return [
        Kept(
            row.id,
            row.received_at,
            row.payload,
            bool(row.delivered_before) or row.status == SubmissionStatus.DELIVERED,
        )
        for row in rows
    ]


_AT_ONCE = 100  # rows with their payloads that are read before others have their turn
LONGEST_READ = 65_536  # bytes of a payload, where many are read
_USUAL = func.length(submissions.c.payload) <= LONGEST_READ


async def replay(
    database: Database, submission_id: str, *, force: bool, now: float, dry_run: bool = False
) -> None:
    """Put a submission back in line, with a fresh schedule of tries.

    Args:
        database: the ledger.
        submission_id: which.
        force: replay it even if a newer one of the contact was delivered; it overwrites that one.
        now: unix seconds.
        dry_run: only find out whether it can be replayed.

    Raises:
        UnknownSubmission: there is none.
        NotReplayable: it is pending, a test, wiped or older than one that was delivered, or its
            integration was deleted.
    """
    async with database.write() as connection:
        row = await _row(connection, submission_id)
        turn = await _lock_contact(connection, database, row)
        row = await _row(
            connection, submission_id
        )  # read again, now that nobody else can change it
        _refuse_replay(row)
        if turn is None:
            raise NotReplayable("Its integration was deleted; create one of that name first.")
        if not force and (turn.delivered_seq or 0) > row.seq:
            raise NotReplayable(
                "A newer submission of this contact was delivered; sending this one would put "
                "older answers over newer ones. Add force=true to do that."
            )
        if dry_run:
            return
        await connection.execute(
            update(submissions)
            .where(submissions.c.seq == row.seq)
            .values(
                status=SubmissionStatus.PENDING,
                reason=None,
                settled_at=None,
                tries=0,
                forced=force,
                delivered_before=row.delivered_before or row.status == SubmissionStatus.DELIVERED,
            )
        )
        await connection.execute(
            update(contacts)
            .where(
                contacts.c.integration_id == row.integration_id,
                contacts.c.contact_key == row.contact_key,
            )
            .values(due_at=func.coalesce(contacts.c.due_at, ready_at(now)))
        )


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
    replayed = refused = 0
    async for submission_id in _oldest_first(database, wanted, _replayable()):
        try:
            await replay(database, submission_id, force=force, now=now, dry_run=dry_run)
            replayed += 1
        except (NotReplayable, UnknownSubmission):
            refused += 1
    return Replayed(replayed, refused)


async def _oldest_first(
    database: Database, wanted: Filter, also: ColumnElement[bool]
) -> AsyncIterator[str]:
    """Yield the ids of those that match, a batch at a time: they may be changed meanwhile."""
    after = 0
    while True:
        async with database.read() as connection:
            span = await counts.within(connection, Span(wanted.since, wanted.until))
            found = await connection.execute(
                select(submissions.c.seq, submissions.c.id)
                .where(*wanted.conditions(), *span, submissions.c.seq > after, also)
                .order_by(submissions.c.seq)
                .limit(_AT_ONCE)
            )
            batch = found.all()
        if not batch:
            return
        for _, submission_id in batch:
            yield submission_id
        after = batch[-1].seq


_AT_ONCE = 500

DISCARDED = "discarded"


async def discard(database: Database, submission_id: str, *, now: float) -> None:
    """End a dead or pending submission for good: it counts as skipped, and is kept as those are.

    A delivery under way finds its lease gone and settles nothing. A replay brings it back while its
    payload is kept.

    Raises:
        UnknownSubmission: there is none.
        NotDiscardable: it is neither dead nor pending.
    """
    async with database.write() as connection:
        row = await _row(connection, submission_id)
        await _lock_contact(connection, database, row)
        row = await _row(connection, submission_id)
        if row.status not in _DISCARDABLE:
            raise NotDiscardable(f"It is {row.status}; only dead and pending ones are discarded.")
        await connection.execute(
            update(submissions)
            .where(submissions.c.seq == row.seq)
            .values(status=SubmissionStatus.SKIPPED, reason=DISCARDED, settled_at=now)
        )
        if row.status == SubmissionStatus.PENDING:
            await connection.execute(
                update(contacts)
                .where(
                    contacts.c.integration_id == row.integration_id,
                    contacts.c.contact_key == row.contact_key,
                )
                .values(lease=None, due_at=ready_at(now))
            )


async def discard_all(database: Database, wanted: Filter, *, dry_run: bool, now: float) -> int:
    """Discard every dead or pending submission that matches; return how many.

    With `dry_run`, only count.
    """
    discarded = 0
    not_settled = submissions.c.status.in_(_DISCARDABLE)
    async for submission_id in _oldest_first(database, wanted, not_settled):
        with suppress(NotDiscardable, UnknownSubmission):  # settled or erased meanwhile
            if not dry_run:
                await discard(database, submission_id, now=now)
            discarded += 1
    return discarded


_DISCARDABLE = (SubmissionStatus.DEAD, SubmissionStatus.PENDING)


def _replayable() -> ColumnElement[bool]:
    return and_(
        submissions.c.status.not_in((SubmissionStatus.PENDING, SubmissionStatus.TEST)),
        submissions.c.payload.is_not(None),
    )


def _refuse_replay(row: Row[tuple[Any, ...]]) -> None:
    if row.status == SubmissionStatus.PENDING:
        raise NotReplayable("It is pending already; it will be sent when its turn comes.")
    if row.test:
        raise NotReplayable("It came as a test webhook; those are never sent.")
    if row.payload is None:
        raise NotReplayable("Its payload was wiped, there is nothing left to send.")


async def _lock_contact(
    connection: AsyncConnection, database: Database, row: Row[tuple[Any, ...]]
) -> Row[tuple[Any, ...]] | None:
    """Return the submission's contact, locked; None if the integration is gone."""
    known = select(integrations.c.id).where(integrations.c.id == row.integration_id)
    if await connection.scalar(known.with_for_update(read=True, key_share=True)) is None:
        return None
    key = {"integration_id": row.integration_id, "contact_key": row.contact_key}
    await connection.execute(database.insert_or_ignore(contacts), key)
    found = await connection.execute(select(contacts).filter_by(**key).with_for_update())
    return found.one()


async def count(database: Database, now: float) -> list[Counts]:
    """Count submissions by integration and status."""
    by_integration: dict[str, dict[str, int]] = {}
    since: dict[str, float] = {}
    async with database.read() as connection:
        for (integration_id, status), number in (await counts.by_place(connection)).items():
            by_integration.setdefault(integration_id, {})[status] = number
            if status is SubmissionStatus.PENDING:
                oldest = select(received_first(literal(integration_id)))
                since[integration_id] = await connection.scalar(oldest) or now
    return [
        Counts(each, statuses, now - since[each] if each in since else None)
        for each, statuses in sorted(by_integration.items())
    ]


def received_first(integration_id: ColumnElement[str]) -> ScalarSelect[float]:
    """Return a query: when the first of an integration's pending submissions was received."""
    column = submissions.c
    return (
        select(column.received_at)
        .where(column.integration_id == integration_id, column.status == SubmissionStatus.PENDING)
        .order_by(column.seq)
        .limit(1)
        .scalar_subquery()
    )


async def _row(connection: AsyncConnection, submission_id: str) -> Row[tuple[Any, ...]]:
    if not _ID.fullmatch(submission_id):
        raise UnknownSubmission(submission_id)
    query = select(submissions).where(submissions.c.id == submission_id)
    found = (await connection.execute(query)).one_or_none()
    if found is None:
        raise UnknownSubmission(submission_id)
    return found


def stored_of(row: Row[tuple[Any, ...]], history: Sequence[Attempt]) -> StoredSubmission:
    """Return a row of the table of submissions as a value, with these attempts."""
    return StoredSubmission(
        seq=row.seq,
        id=row.id,
        integration_id=row.integration_id,
        status=SubmissionStatus(row.status),
        reason=row.reason,
        test=row.test,
        received_at=row.received_at,
        occurred_at=row.occurred_at,
        settled_at=row.settled_at,
        payload=row.payload,
        warnings=row.warnings or (),
        cordial_contact_id=row.cordial_contact_id,
        delivered_before=bool(row.delivered_before),
        attempts=history,
    )
