"""What is in the ledger, as lists show it: the newest that match, how many, and what they wait for.

Each query reads few rows or one index, also among millions of submissions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, cast, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, contacts, submissions
from app.ledger.submissions import Filter, StoredSubmission, stored_of

MOST_REASONS: Final = 5_000
"""So many of the newest of an integration and status are looked at for their reasons."""

_REASONED = (SubmissionStatus.DEAD, SubmissionStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a pending submission waits for.

    `due_at` (unix seconds) is when its contact's next one may be sent, `sending` whether one is
    being sent now. `behind` is the id of an earlier one of the same contact that goes first.
    """

    due_at: float | None
    sending: bool
    behind: str | None


# A list does not show payloads, and each may have a megabyte.
_WITHOUT_PAYLOAD = [
    null().label("payload") if column.name == "payload" else column for column in submissions.c
]


async def newest(
    database: Database, wanted: Filter, *, limit: int, before: int | None
) -> list[StoredSubmission]:
    """Return submissions, newest first, without attempts and payloads; `before` is a seq."""
    async with database.read() as connection:
        before_that = [] if before is None else [submissions.c.seq < before]
        found: list[Any] = []
        for each in await _indexed(connection, wanted):
            query = select(*_WITHOUT_PAYLOAD).where(*each.conditions(), *before_that)
            query = query.order_by(submissions.c.seq.desc()).limit(limit)
            found += (await connection.execute(query)).all()
    found.sort(key=lambda row: -row.seq)
    return [stored_of(row, ()) for row in found[:limit]]


async def has_any(database: Database, integration_id: str) -> bool:
    """Return whether any submission is of this integration, which may be deleted."""
    query = select(submissions.c.seq).where(submissions.c.integration_id == integration_id).limit(1)
    async with database.read() as connection:
        return await connection.scalar(query) is not None


async def count_by_status(
    database: Database, wanted: Filter
) -> Mapping[tuple[str, SubmissionStatus], int]:
    """Count submissions by integration and status; of the filter only time and contact count.

    If the clock jumped, a few may count on the other side of a bound of time.
    """
    column = submissions.c
    async with database.read() as connection:
        if wanted.contact_keys is None:  # by the order of receipt, so the index has all of it
            conditions = await _order_within(connection, wanted)
        else:
            only = Filter(None, None, None, wanted.contact_keys, wanted.since, wanted.until)
            conditions = only.conditions()
        rows = await connection.execute(
            select(column.integration_id, column.status, func.count())
            .where(*conditions)
            .group_by(column.integration_id, column.status)
        )
        return {(each, SubmissionStatus(status)): number for each, status, number in rows}


async def count_by_reason(database: Database, wanted: Filter) -> Counter[str]:
    """Count what matches by reason; a reason that is asked for is left out of account.

    Of each integration and status the newest `MOST_REASONS` are counted.
    """
    if wanted.status is not None and wanted.status not in _REASONED:
        return Counter()
    counted = Counter[str]()
    statuses = _REASONED if wanted.status is None else (wanted.status,)
    async with database.read() as connection:
        bounds = await _order_within(connection, wanted)
        for status in statuses:
            asked = replace(wanted, status=status, reason=None)
            for each in await _indexed(connection, asked):
                newest_of_it = (
                    select(submissions.c.reason)
                    .where(*each.conditions(), *bounds)
                    .order_by(submissions.c.seq.desc())
                    .limit(MOST_REASONS)
                    .subquery()
                )
                reason = newest_of_it.c.reason
                rows = await connection.execute(select(reason, func.count()).group_by(reason))
                counted.update({name: number for name, number in rows if name})
    return counted


async def waits(database: Database, seqs: Sequence[int]) -> Mapping[int, Wait]:
    """Return what each of these pending submissions waits for, by seq."""
    earlier = submissions.alias("earlier")
    first = (
        select(earlier.c.id)
        .where(
            earlier.c.contact_key == submissions.c.contact_key,
            earlier.c.integration_id == submissions.c.integration_id,
            earlier.c.status == SubmissionStatus.PENDING,
            earlier.c.seq < submissions.c.seq,
        )
        .order_by(earlier.c.seq)
        .limit(1)
        .scalar_subquery()
    )
    of_contact = (contacts.c.integration_id == submissions.c.integration_id) & (
        contacts.c.contact_key == submissions.c.contact_key
    )
    query = (
        select(submissions.c.seq, contacts.c.due_at, contacts.c.lease, first)
        .join(contacts, of_contact)
        .where(submissions.c.seq.in_(seqs), submissions.c.status == SubmissionStatus.PENDING)
    )
    async with database.read() as connection:
        return {
            seq: Wait(due_at, lease is not None, behind)
            for seq, due_at, lease, behind in await connection.execute(query)
        }


async def of_same_contact(database: Database, seq: int, *, limit: int) -> list[StoredSubmission]:
    """Return the newest other submissions of a submission's contact, in its integration."""
    own = submissions.alias("own")
    query = (
        select(*_WITHOUT_PAYLOAD)
        .join(
            own,
            (own.c.contact_key == submissions.c.contact_key)
            & (own.c.integration_id == submissions.c.integration_id),
        )
        .where(own.c.seq == seq, submissions.c.seq != seq)
        .order_by(submissions.c.seq.desc())
        .limit(limit)
    )
    async with database.read() as connection:
        return [stored_of(row, ()) for row in await connection.execute(query)]


async def _indexed(connection: AsyncConnection, wanted: Filter) -> list[Filter]:
    """Return filters that together ask for the same, each of which an index can answer.

    The index of statuses begins with the integration: one that names a status alone is asked of
    each integration.
    """
    named = wanted.integration_id is not None or wanted.contact_keys is not None
    if named or wanted.ids is not None or (wanted.status is None and wanted.reason is None):
        return [wanted]
    statuses = _REASONED if wanted.status is None else (wanted.status,)
    known = await _known_integrations(connection)
    return [
        replace(wanted, integration_id=each, status=status) for each in known for status in statuses
    ]


async def _known_integrations(connection: AsyncConnection) -> list[str]:
    """Return the integrations that have submissions, also deleted ones, a step for each."""
    found: list[str] = []
    column = submissions.c.integration_id
    while True:
        query = select(func.min(column))
        if found:
            query = query.where(column > found[-1])
        following = await connection.scalar(query)
        if following is None:
            return found
        found.append(following)


@dataclass(frozen=True, slots=True)
class Latest:
    """When an integration last received something, and last delivered something (unix seconds)."""

    received_at: float | None
    delivered_at: float | None


async def latest(database: Database) -> Mapping[str, Latest]:
    """Return when each integration that has submissions last received and delivered one."""
    column, found = submissions.c, dict[str, Latest]()
    async with database.read() as connection:
        for integration_id in await _known_integrations(connection):
            newest_of = {}
            for status in SubmissionStatus:
                query = (
                    select(column.received_at, column.settled_at)
                    .where(column.integration_id == integration_id, column.status == status)
                    .order_by(column.seq.desc())
                    .limit(1)
                )
                if row := (await connection.execute(query)).one_or_none():
                    newest_of[status] = row
            delivered = newest_of.get(SubmissionStatus.DELIVERED)
            found[integration_id] = Latest(
                max((row.received_at for row in newest_of.values()), default=None),
                delivered.settled_at if delivered else None,
            )
    return found


@dataclass(frozen=True, slots=True)
class HourCount:
    """So many submissions of an integration and status were received in the hour that began `at`.

    `at` is in unix seconds.
    """

    at: float
    integration_id: str
    status: SubmissionStatus
    number: int


async def by_hour(database: Database, since: float) -> list[HourCount]:
    """Count submissions by the hour of their receipt, since a time (unix seconds)."""
    column = submissions.c
    hours = column.received_at / _HOUR
    hour = cast(hours, Integer) if database.is_sqlite else func.floor(hours)
    async with database.read() as connection:
        first = await _first_since(connection, since - _CLOCKS_JUMP_BY)
        rows = await connection.execute(
            select(hour, column.integration_id, column.status, func.count())
            .where(column.seq >= first, column.received_at >= since)
            .group_by(hour, column.integration_id, column.status)
        )
        return [
            HourCount(float(at) * _HOUR, integration_id, SubmissionStatus(status), number)
            for at, integration_id, status, number in rows
        ]


_HOUR = 3_600.0
_CLOCKS_JUMP_BY = 86_400.0  # seconds at most, in the order of receipt


async def _order_within(connection: AsyncConnection, wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the filter's time as conditions on the order of receipt, which indexes have."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(submissions.c.seq >= await _first_since(connection, wanted.since))
    if wanted.until is not None:
        conditions.append(submissions.c.seq < await _first_since(connection, wanted.until))
    return conditions


async def _first_since(connection: AsyncConnection, at: float) -> int:
    """Return the seq of the first submission received at a time or later, by halving."""
    column = submissions.c
    ends = select(func.min(column.seq)), select(func.max(column.seq))
    found = (await connection.execute(select(*(each.scalar_subquery() for each in ends)))).one()
    low, high = found[0] or 0, (found[1] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(column.seq, column.received_at).where(column.seq >= middle)
        row = (await connection.execute(query.order_by(column.seq).limit(1))).one_or_none()
        if row is None or row.received_at >= at:
            high = middle
        else:
            low = row.seq + 1
    return low
