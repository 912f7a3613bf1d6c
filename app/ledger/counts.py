"""How many submissions stand where, by the hour of their receipt: exact, and cheap at any size.

Triggers keep the table `submission_counts`. Each of its rows also tells between which submissions,
in the order of receipt, those lie that it counts. So a span of time becomes a range of that order,
which every index ends with.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, submission_counts, submissions

_HOUR: Final = 3_600.0
_DAY: Final = 24
_BY_HOUR: Final = 40 * _DAY
"""So many of the last hours are counted one by one; what came before them, by day."""

LAST_PLACE: Final = 2**63 - 1

_counts = submission_counts.c
_number = cast(func.sum(_counts.number), BigInteger).label("number")


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time of receipt in unix seconds, `until` not included; None: no bound."""

    since: float | None = None
    until: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the span as conditions on the table of submissions."""
        received_at = submissions.c.received_at
        since = [] if self.since is None else [received_at >= self.since]
        return since if self.until is None else [*since, received_at < self.until]


@dataclass(frozen=True, slots=True)
class HourCount:
    """So many submissions of an integration and status were received in the hour that began `at`.

    `at` is in unix seconds.
    """

    at: float
    integration_id: str
    status: SubmissionStatus
    number: int


Place = tuple[str, SubmissionStatus]
"""An integration and a status."""


async def by_place(connection: AsyncConnection) -> Mapping[Place, int]:
    """Count all submissions by integration and status; what there is none of is left out."""
    counted = await _counted(connection, [_counts.integration_id, _counts.status])
    return {(each, SubmissionStatus(status)): number for each, status, number in counted}


async def by_reason(connection: AsyncConnection, span: Span) -> Counter[tuple[Place, str]]:
    """Count submissions of a span by integration, status and reason; a blank stands for none."""
    counted = Counter[tuple[Place, str]]()
    grouped = [_counts.integration_id, _counts.status, _counts.reason]
    start, end = await _whole(connection, span)
    found = list(await _counted(connection, grouped, *_hours(start, end)))
    for edge in _edges(span, start, end):
        found += await _looked_at(connection, edge)
    for integration_id, status, reason, number in found:
        counted[(integration_id, SubmissionStatus(status)), reason] += number
    return counted


async def by_hour(database: Database, since: float) -> list[HourCount]:
    """Count submissions by the hour of their receipt, from the hour of a time (unix seconds)."""
    grouped = [_counts.hour, _counts.integration_id, _counts.status]
    async with database.read() as connection:
        rows = await _counted(connection, grouped, _counts.hour >= since // _HOUR)
    return [
        HourCount(hour * _HOUR, integration_id, SubmissionStatus(status), number)
        for hour, integration_id, status, number in rows
    ]


async def within(connection: AsyncConnection, span: Span) -> list[ColumnElement[bool]]:
    """Return a span as conditions on submissions that an index in the order of receipt can use."""
    if span == Span():
        return []
    first, last = await places(connection, span)
    return [*span.conditions(), submissions.c.seq >= first, submissions.c.seq <= last]


async def places(connection: AsyncConnection, span: Span) -> tuple[int, int]:
    """Return between which places in the order of receipt, both included, a span lies.

    Whatever order they came in, nothing of the span is left out.
    """
    if span == Span():
        return 0, LAST_PLACE
    bounds = select(func.min(_counts.first_seq), func.max(_counts.last_seq))
    hours = await _around(connection, span)
    first, last = (await connection.execute(bounds.where(*hours))).one()
    return (first, last) if first is not None else (LAST_PLACE, 0)


async def _counted(
    connection: AsyncConnection,
    grouped: list[Any],
    *conditions: ColumnElement[bool],
) -> list[Any]:
    query: Select[Any] = select(*grouped, _number).where(*conditions).group_by(*grouped)
    return list(await connection.execute(query.having(func.sum(_counts.number) > 0)))


async def _looked_at(connection: AsyncConnection, edge: Span) -> list[Any]:
    """Count the submissions of a part of an hour, or of a day long past."""
    column = submissions.c
    grouped = column.integration_id, column.status, func.coalesce(column.reason, "")
    conditions = await within(connection, edge)
    query = select(*grouped, func.count()).where(*conditions).group_by(*grouped)
    return list(await connection.execute(query))


async def _by_day_before(connection: AsyncConnection) -> int:
    """Return the hour before which those of a day may be added up."""
    return _by_day_from(await connection.scalar(select(func.max(_counts.hour))) or 0)


def _by_day_from(newest: int) -> int:
    return (newest - _BY_HOUR) // _DAY * _DAY


def _up(at: float) -> int:
    return -int(-at // _HOUR)


async def _whole(connection: AsyncConnection, span: Span) -> tuple[int | None, int | None]:
    """Return from which to before which hour the counts are all of the span, and no others."""
    by_day = await _by_day_before(connection)
    start = None if span.since is None else _up(span.since)
    if start is not None and start < by_day:
        start = -(-start // _DAY) * _DAY
    end = None if span.until is None else int(span.until // _HOUR)
    if end is not None and end < by_day:
        end = end // _DAY * _DAY
    if start is not None and end is not None:
        end = max(start, end)
    return start, end


def _hours(start: int | None, end: int | None) -> Iterator[ColumnElement[bool]]:
    if start is not None:
        yield _counts.hour >= start
    if end is not None:
        yield _counts.hour < end


def _edges(span: Span, start: int | None, end: int | None) -> Iterator[Span]:
    """Yield what of the span lies before and after its whole hours."""
    whole = Span(
        None if start is None else start * _HOUR,
        None if end is None else end * _HOUR,
    )
    if span.since is not None and span.until is not None and start == end:
        yield span
        return
    if span.since is not None and whole.since is not None and span.since < whole.since:
        yield Span(span.since, whole.since)
    if span.until is not None and whole.until is not None and whole.until < span.until:
        yield Span(whole.until, span.until)


async def _around(connection: AsyncConnection, span: Span) -> list[ColumnElement[bool]]:
    """Return conditions for all counts that may hold something of the span."""
    conditions: list[ColumnElement[bool]] = []
    if span.since is not None:
        first = int(span.since // _HOUR)
        if first < await _by_day_before(connection):
            first = first // _DAY * _DAY
        conditions.append(_counts.hour >= first)
    if span.until is not None:
        conditions.append(_counts.hour < _up(span.until))
    return conditions


# --- Adding up --------------------------------------------------------------------------------

_PAUSE_SECONDS: Final = 0.02  # between two days: others write meanwhile
_LOOSE = "part <> 0 OR hour > CAST(:day AS integer) AND hour < CAST(:day AS integer) + 24"
_ADD = """
INSERT INTO submission_counts
  (integration_id, status, reason, hour, part, number, first_seq, last_seq)
SELECT integration_id, status, reason,
  CASE WHEN hour > CAST(:day AS integer) AND hour < CAST(:day AS integer) + 24
    THEN CAST(:day AS integer) ELSE hour END AS of_day,
  0, sum(number), min(first_seq), max(last_seq)
FROM {loose} GROUP BY integration_id, status, reason, of_day
ORDER BY integration_id, status, reason, of_day
ON CONFLICT (integration_id, status, reason, hour, part) DO UPDATE SET
  number = submission_counts.number + excluded.number,
  first_seq = {least}(submission_counts.first_seq, excluded.first_seq),
  last_seq = {greatest}(submission_counts.last_seq, excluded.last_seq)
"""
# SQLite has one writer at a time: what is added up is what is deleted then.
_ON_SQLITE = (
    _ADD.format(loose=f"submission_counts WHERE {_LOOSE}", least="min", greatest="max"),
    f"DELETE FROM submission_counts WHERE {_LOOSE}",
)
# On PostgreSQL others count meanwhile, in parts that this statement does not see.
_ON_POSTGRESQL = (
    f"""
    WITH loose AS MATERIALIZED (
      SELECT integration_id, status, reason, hour, part FROM submission_counts
      WHERE {_LOOSE} FOR UPDATE SKIP LOCKED
    ), gone AS (
      DELETE FROM submission_counts USING loose
      WHERE (submission_counts.integration_id, submission_counts.status, submission_counts.reason,
        submission_counts.hour, submission_counts.part)
        = (loose.integration_id, loose.status, loose.reason, loose.hour, loose.part)
      RETURNING submission_counts.*
    )
    """
    + _ADD.format(loose="gone", least="least", greatest="greatest"),
)
_NEVER: Final = -(10**6)
_EMPTY = "DELETE FROM submission_counts WHERE part = 0 AND number = 0 AND hour < :newest"


async def add_up(database: Database, now: float) -> None:
    """Add up what transactions counted in parts of their own, and hours that are long past by day.

    Counts are exact before, meanwhile and afterwards. `now` is in unix seconds.
    """
    statements = _ON_SQLITE if database.is_sqlite else _ON_POSTGRESQL
    newest = select(func.max(_counts.hour))
    oldest = select(func.min(_counts.hour)).where(_counts.hour % _DAY > 0)
    while True:
        async with database.write() as connection:
            last = await connection.scalar(newest) or 0
            # What readers take for hours must not be days: they know the newest hour alone.
            by_day = _by_day_from(min(last, int(now // _HOUR)))
            past = await connection.scalar(oldest.where(_counts.hour < by_day))
            day = _NEVER if past is None else past // _DAY * _DAY
            for each in statements:
                await connection.execute(text(each), {"day": day})
            await connection.execute(text(_EMPTY), {"newest": last})
        if past is None:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
