"""Notices: messages for people, written in the same commit as the event they tell of."""

import re
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    ColumnElement,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.schema import notices
from app.ledger.transaction import Transaction

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
DIGEST_SECONDS = 900.0  # between two messages about dead submissions of one integration
_LEASE_SECONDS = 60.0
_KEPT_SECONDS = 7 * 86_400.0
# A replica of version 0.1.0 fails at a kind it does not know, and tells nothing then. The kinds
# that are newer than that are due so many seconds later, in our count of time alone.
_ASIDE = 1e10


class NoticeKind(StrEnum):
    """What happened."""

    CREATED = "created"
    RESUMED = "resumed"
    BLOCKED = "blocked"
    OPENED = "opened"
    DEAD = "dead"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to send: so many `events` of its kind since `created_at` (unix seconds)."""

    id: int
    integration_id: str
    kind: NoticeKind
    detail: str | None
    events: int
    created_at: float


_ASIDE_KINDS = (NoticeKind.DRIFT,)
_SET_ASIDE = case((notices.c.kind.in_(_ASIDE_KINDS), _ASIDE), else_=0.0)


def _due(now: float) -> ColumnElement[bool]:
    """Return whether a notice is due, and of a kind that this version knows."""
    aside = notices.c.due_at.between(_ASIDE, now + _ASIDE)
    return or_(notices.c.due_at <= now, aside) & notices.c.kind.in_(list(NoticeKind))


async def announce(
    connection: AsyncConnection,
    kind: NoticeKind,
    integration_id: str,
    now: float,
    detail: str | None = None,
) -> None:
    """Write a notice, in the transaction of the event; its detail becomes one line of text.

    A detail names attributes as an integration does, which may hold any character. PostgreSQL's
    text holds no zero: the refusal would keep all that is told after it from being told.
    """
    row = {
        "integration_id": integration_id,
        "kind": kind,
        "detail": None if detail is None else _CONTROL.sub(" ", detail),
        "events": 1,
        "created_at": now,
        "due_at": now + (_ASIDE if kind in _ASIDE_KINDS else 0.0),
    }
    await connection.execute(insert(notices), row)


_DEAD_OF_THIS = (notices.c.integration_id == bindparam("of")) & (notices.c.kind == NoticeKind.DEAD)
_LAST_TOLD = select(func.max(notices.c.told_at)).where(_DEAD_OF_THIS)
_COUNT_DEAD = (
    update(notices)
    .where(_DEAD_OF_THIS, notices.c.due_at.is_not(None))
    .values(events=notices.c.events + bindparam("more"))
)


async def announce_dead(
    transaction: Transaction, database: Database, integration_id: str, number: int, now: float
) -> None:
    """Tell people of dead submissions: of the first at once, then at most every 15 minutes."""
    ((told_at,),) = await transaction.rows(_LAST_TOLD, of=integration_id)
    await transaction.change(
        database.insert_or_ignore(notices),
        integration_id=integration_id,
        kind=NoticeKind.DEAD.value,
        events=0,
        created_at=now,
        due_at=now if told_at is None else max(now, told_at + DIGEST_SECONDS),
    )
    await transaction.change(_COUNT_DEAD, of=integration_id, more=number)


async def claim_notices(database: Database, now: float, limit: int = 10) -> list[Notice]:
    """Take the notices that are due; one that is not settled is due again after a minute."""
    async with database.read() as connection:
        if not await connection.scalar(select(exists().where(_due(now)))):
            return []
    async with database.write() as connection:
        found = await connection.execute(
            select(notices)
            .where(_due(now))
            .order_by(notices.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        due = [
            Notice(
                each.id,
                each.integration_id,
                NoticeKind(each.kind),
                each.detail,
                each.events,
                each.created_at,
            )
            for each in found
        ]
        if due:
            await connection.execute(
                update(notices)
                .where(notices.c.id.in_([each.id for each in due]))
                .values(due_at=now + _LEASE_SECONDS + _SET_ASIDE)
            )
    return due


async def settle_notice(database: Database, notice: Notice, *, told: bool, now: float) -> None:
    """Mark a notice as sent or, if nobody took it within a day, as given up."""
    async with database.write() as connection:
        await connection.execute(
            update(notices)
            .where(notices.c.id == notice.id)
            .values(due_at=None, told_at=now if told else None)
        )


async def prune_notices(database: Database, now: float) -> None:
    """Delete notices that are older than a week."""
    async with database.write() as connection:
        await connection.execute(delete(notices).where(notices.c.created_at < now - _KEPT_SECONDS))
