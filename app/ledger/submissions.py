"""Submissions as operators see them: find, list, count."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger import counts
from app.ledger.claims import Attempt
from app.ledger.database import Database
from app.ledger.schema import (
    SubmissionStatus,
    attempts,
    submissions,
)

_ID = re.compile(r"[0-9a-f]{32}")


class UnknownSubmission(Exception):
    """No submission has this id."""


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
    found = await newest_readable(database, integration_id, limit=limit)
    return [(each.received_at, each.payload) for each in found if each.payload is not None]


def newest_kept(
    database: Database, integration_id: str, *, limit: int
) -> AsyncIterator[Sequence[Kept]]:
    """Yield an integration's newest submissions, tests left out, as far as they are kept.

    A hundred at a time: thousands may be asked for, each with a payload of up to 64 KB.
    """
    return _newest_kept(database, integration_id, limit, submissions.c.test.is_(False))


async def readable(database: Database, seqs: Sequence[int]) -> Set[int]:
    """Return those of some submissions whose payload is kept, and of usual size."""
    wanted = select(submissions.c.seq).where(submissions.c.seq.in_(seqs), _USUAL)
    async with database.read() as connection:
        return frozenset(await connection.scalars(wanted))


async def newest_readable(database: Database, integration_id: str, *, limit: int) -> list[Kept]:
    """Return an integration's newest submissions that have a payload of usual size, tests too."""
    found = _newest_kept(database, integration_id, limit, _USUAL)
    return [each async for some in found for each in some]


async def _newest_kept(
    database: Database, integration_id: str, limit: int, also: ColumnElement[bool]
) -> AsyncIterator[Sequence[Kept]]:
    async with database.read() as connection:
        newest = await _newest(connection, integration_id, limit, also)
    for start in range(0, len(newest), _AT_ONCE):
        async with database.read() as connection:
            kept = await _kept(connection, newest[start : start + _AT_ONCE])
        yield kept


async def _newest(
    connection: AsyncConnection, integration_id: str, limit: int, also: ColumnElement[bool]
) -> Sequence[int]:
    """Return the numbers of an integration's newest submissions, the newest first."""
    column, found = submissions.c, list[int]()
    for status in SubmissionStatus:  # of each in the order of the index
        wanted = (
            select(column.seq)
            .where(column.integration_id == integration_id, column.status == status, also)
            .order_by(column.seq.desc())
            .limit(limit)
        )
        found += await connection.scalars(wanted)
    return sorted(found, reverse=True)[:limit]


async def _kept(connection: AsyncConnection, seqs: Sequence[int]) -> list[Kept]:
    """Return what is kept of submissions, the newest first."""
    column = submissions.c
    payload = case((_USUAL, column.payload), else_=None).label("payload")
    kept = (
        select(column.seq, column.id, column.status, column.received_at)
        .add_columns(column.delivered_before, payload)
        .where(column.seq.in_(seqs))
        .order_by(column.seq.desc())
    )
    return [
        Kept(
            row.id,
            row.received_at,
            row.payload,
            bool(row.delivered_before) or row.status == SubmissionStatus.DELIVERED,
        )
        for row in await connection.execute(kept)
    ]


_AT_ONCE = 100  # rows with their payloads that are read before others have their turn
LONGEST_READ = 65_536  # bytes of a payload, where many are read
_USUAL = func.length(submissions.c.payload) <= LONGEST_READ


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
