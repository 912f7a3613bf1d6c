"""What is in the ledger, as lists show it: the newest that match, how many, and what they wait for.

Each query reads few rows, also among millions of submissions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, null, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger import counts
from app.ledger.counts import LAST_PLACE, Place, Span
from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, contacts, submissions
from app.ledger.submissions import Filter, StoredSubmission, stored_of


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
    span, found = Span(wanted.since, wanted.until), list[Any]()
    any_place = wanted.contact_keys is not None or wanted.ids is not None
    async with database.read() as connection:
        # Of a person's few submissions the order of receipt would only mislead the planner.
        first, last = await counts.places(connection, Span() if any_place else span)
        if before is not None:
            last = min(last, before - 1)
        for each in await _indexed(connection, wanted):
            query = select(*_WITHOUT_PAYLOAD).where(*span.conditions()).limit(limit)
            query = _newest_first(query, each, first, last, is_sqlite=database.is_sqlite)
            found += (await connection.execute(query)).all()
    found.sort(key=lambda row: -row.seq)
    return [stored_of(row, ()) for row in found[:limit]]


def _newest_first(
    query: Select[Any], wanted: Filter, first: int, last: int, *, is_sqlite: bool
) -> Select[Any]:
    """Take what is wanted between two places, the newest first, by the index that has it.

    PostgreSQL would go back through all that came in if it guesses that it soon finds enough. If
    the last two columns of an index are asked as a range, only that index has their order. It reads
    on to where the first of these two ends.
    """
    column = submissions.c
    if is_sqlite or None in (wanted.integration_id, wanted.status) or wanted.contact_keys:
        among = [] if (first, last) == (0, LAST_PLACE) else [column.seq.between(first, last)]
        return query.where(*wanted.conditions(), *among).order_by(column.seq.desc())
    key: ColumnElement[Any] = column.status
    value, others = str(wanted.status), replace(wanted, status=None)
    if wanted.reason is not None:
        key, value, others = column.reason, wanted.reason, replace(wanted, reason=None)
        query = query.where(key.is_not(None))  # as the index has it
    lowest, highest = (tuple_(literal(value), literal(end)) for end in (first, last))
    query = query.where(*others.conditions(), tuple_(key, column.seq).between(lowest, highest))
    return query.order_by(key.desc(), column.seq.desc())


async def has_any(database: Database, integration_id: str) -> bool:
    """Return whether any submission is of this integration, which may be deleted."""
    query = select(submissions.c.seq).where(submissions.c.integration_id == integration_id).limit(1)
    async with database.read() as connection:
        return await connection.scalar(query) is not None


async def count(database: Database, wanted: Filter) -> Counter[tuple[Place, str]]:
    """Count by integration, status and reason; of the filter only time and contact narrow."""
    span, column = Span(wanted.since, wanted.until), submissions.c
    async with database.read() as connection:
        if wanted.contact_keys is None:
            return await counts.by_reason(connection, span)
        only = Filter(contact_keys=wanted.contact_keys)
        grouped = column.integration_id, column.status, func.coalesce(column.reason, "")
        query = select(*grouped, func.count()).where(*only.conditions(), *span.conditions())
        rows = await connection.execute(query.group_by(*grouped))
        return Counter(
            {((each, SubmissionStatus(status)), reason): n for each, status, reason, n in rows}
        )


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

    The indexes begin with integration and status: of what names one of them, or a reason, we ask
    each pair that has such submissions.
    """
    narrow = (wanted.integration_id, wanted.status, wanted.reason) != (None, None, None)
    if not narrow or wanted.contact_keys is not None or wanted.ids is not None:
        return [wanted]
    places = {
        place
        for place, reason in await counts.by_reason(connection, Span())
        if wanted.integration_id in (None, place[0])
        and wanted.status in (None, place[1])
        and wanted.reason in (None, reason)
    }
    return [replace(wanted, integration_id=each, status=status) for each, status in sorted(places)]


@dataclass(frozen=True, slots=True)
class Latest:
    """When an integration last received something, and last delivered something (unix seconds)."""

    received_at: float | None
    delivered_at: float | None


async def latest(database: Database) -> Mapping[str, Latest]:
    """Return when each integration that has submissions last received and delivered one."""
    column, found = submissions.c, dict[str, Latest]()
    async with database.read() as connection:
        for integration_id, status in await counts.by_place(connection):
            query = (
                select(column.received_at, column.settled_at)
                .where(column.integration_id == integration_id, column.status == status)
                .order_by(column.seq.desc())
                .limit(1)
            )
            row = (await connection.execute(query)).one_or_none()
            known = found.get(integration_id, Latest(None, None))
            if row is not None:
                delivered = status is SubmissionStatus.DELIVERED
                found[integration_id] = Latest(
                    max(row.received_at, known.received_at or 0.0),
                    row.settled_at if delivered else known.delivered_at,
                )
    return found
