"""How much of what: by hour and outcome, and the last refused webhooks.

Tallies are written in the commits that are there anyway.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, cast, delete, func, insert, select, text

from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, refused_webhooks, tallies
from app.ledger.transaction import Transaction
from app.turns import in_turns

RECEIVED: Final = "received"
DUPLICATE: Final = "duplicate"
MOST_REFUSED: Final = 50
_KEPT_HOURS: Final = 400 * 24


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


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """A webhook that was refused: when (unix seconds), and why."""

    at: float
    reason: str


def hour_of(at: float) -> int:
    """Return the hour of a time (unix seconds)."""
    return int(at // 3600)


_COUNTED: Final = (*Tally._fields, "number")


async def count(transaction: Transaction, database: Database, counted: Counter[Tally]) -> None:
    """Add to the tallies; all who write lock them in one order."""
    if counted:
        rows = [(*tally, number) for tally, number in sorted(counted.items())]
        await transaction.each(database.insert_or_add(tallies, "number"), _COUNTED, rows)


async def hourly(
    database: Database, integration_id: str | None, since: float
) -> list[tuple[Tally, int]]:
    """Return the tallies since the hour of a time (unix seconds), in order of time."""
    query = select(tallies).where(tallies.c.hour >= hour_of(since))
    if integration_id is not None:
        query = query.where(tallies.c.integration_id == integration_id)
    async with database.read() as connection:
        found = await connection.execute(query.order_by(*tallies.primary_key.columns))
        return [(Tally(*row[:-1]), row[-1]) async for row in in_turns(found)]


async def received_in(
    database: Database, integration_id: str, hours: Sequence[int]
) -> Mapping[int, int]:
    """Count what an integration received in each of these hours since 1970."""
    column = tallies.c
    query = select(column.hour, func.sum(column.number)).where(
        column.hour.in_(hours), column.integration_id == integration_id, column.outcome == RECEIVED
    )
    async with database.read() as connection:
        found = await connection.execute(query.group_by(column.hour))
        return {hour: int(number) for hour, number in found}


async def decided(
    database: Database, integration_id: str | None, since: float, *, hours: int
) -> list[tuple[Tally, int]]:
    """Return what was decided of people since the hour of a time, so many hours taken together.

    Integration and reason are left blank: few rows are left of a year.
    """
    column, first = tallies.c, hour_of(since)
    begins = column.hour - (column.hour - first) % hours
    grouped = begins, column.outcome, column.region, column.answer, column.email
    query = select(*grouped, cast(func.sum(column.number), BigInteger)).where(
        column.hour >= first, column.outcome.in_(_DECIDED), column.region != ""
    )
    if integration_id is not None:
        query = query.where(column.integration_id == integration_id)
    async with database.read() as connection:
        found = await connection.execute(query.group_by(*grouped).order_by(*grouped))
        return [
            (Tally(hour, "", outcome, "", region, answer, email), number)
            for hour, outcome, region, answer, email, number in found
        ]


_DECIDED: Final = (
    SubmissionStatus.DELIVERED.value,
    SubmissionStatus.SKIPPED.value,
    SubmissionStatus.DEAD.value,
)


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


_PAUSE_SECONDS: Final = 0.02  # between two days: others write meanwhile
_BY_HOUR: Final = 40 * 24  # the last hours are told apart; what came before them, by day only
_PAST = "hour > CAST(:day AS integer) AND hour < CAST(:day AS integer) + 24"
_KEY = "hour, integration_id, outcome, reason, region, answer, email, sms"
_ADD = f"""
INSERT INTO tallies ({_KEY}, number)
SELECT hour - hour % 24 AS of_day, {_KEY.partition(", ")[2]}, sum(number)
FROM {{past}} GROUP BY of_day, {_KEY.partition(", ")[2]}
ON CONFLICT ({_KEY}) DO UPDATE SET number = tallies.number + excluded.number
"""
_ON_SQLITE = _ADD.format(past=f"tallies WHERE {_PAST}"), f"DELETE FROM tallies WHERE {_PAST}"
_ON_POSTGRESQL = (
    f"WITH past AS (DELETE FROM tallies WHERE {_PAST} RETURNING *) {_ADD.format(past='past')}",
)


async def prune_tallies(database: Database, now: float) -> None:
    """Delete tallies that are past their time, and add up by day what is 40 days old."""
    kept, by_day = hour_of(now) - _KEPT_HOURS, (hour_of(now) - _BY_HOUR) // 24 * 24
    loose = select(func.min(tallies.c.hour)).where(tallies.c.hour < by_day, tallies.c.hour % 24 > 0)
    async with database.write() as connection:
        await connection.execute(delete(tallies).where(tallies.c.hour < kept))
    while True:
        async with database.write() as connection:
            oldest = await connection.scalar(loose)
            if oldest is None:
                return
            for each in _ON_SQLITE if database.is_sqlite else _ON_POSTGRESQL:
                await connection.execute(text(each), {"day": oldest // 24 * 24})
        await asyncio.sleep(_PAUSE_SECONDS)
