"""Decisions as they were made: written in the commit that settles, kept longer than the payload."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json, to_json
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    bindparam,
    delete,
    insert,
    or_,
    select,
    union,
    update,
)

from app.ledger.database import Database
from app.ledger.schema import decisions, submissions
from app.ledger.transaction import Transaction

_BATCH = 500  # rows in one transaction: other writers do not wait long
_PAUSE_SECONDS = 0.05
_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a submission when it settled, in unix seconds; it holds no address.

    `version` is the integration's. `basis` holds region, answers, statuses asked, campaign and when
    the person answered; None if the submission was given up before anything was planned.
    """

    submission_id: str
    integration_id: str
    version: int
    decided_at: float
    outcome: str
    reason: str | None
    basis: Mapping[str, JsonValue] | None


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision to be written: its contact's keys, and the rest as `Decision` has it."""

    contact_key: str
    phone_key: str | None
    submission_seq: int
    decided: Decision


_ADD = insert(decisions).inline()
_OF_ADDED = (
    "contact_key",
    "phone_key",
    "submission_seq",
    "submission_id",
    "integration_id",
    "version",
    "decided_at",
    "outcome",
    "reason",
    "basis",
)


async def write(transaction: Transaction, made: Sequence[NewDecision]) -> None:
    """Write decisions."""
    rows = [
        (
            new.contact_key,
            new.phone_key,
            new.submission_seq,
            new.decided.submission_id,
            new.decided.integration_id,
            new.decided.version,
            new.decided.decided_at,
            new.decided.outcome,
            new.decided.reason,
            None if new.decided.basis is None else to_json(new.decided.basis).decode(),
        )
        for new in made
    ]
    if rows:
        await transaction.each(_ADD, _OF_ADDED, rows)


async def of_keys(database: Database, keys: Collection[str], limit: int) -> list[Decision]:
    """Return the newest decisions about a contact, by the keys of their addresses."""
    return await _find(database, decisions.c.id.in_(_ids_of(keys)), limit)


def _ids_of(keys: Collection[str]) -> CompoundSelect[tuple[int]]:
    # First the submissions, which are few: PostgreSQL without statistics may begin with the rest.
    theirs = select(submissions.c.seq).where(submissions.c.contact_key.in_(keys))
    mine = theirs.cte("mine").prefix_with("MATERIALIZED")
    column = decisions.c
    return union(
        select(column.id).where(
            column.submission_seq.in_(select(mine.c.seq)), column.contact_key.in_(keys)
        ),
        select(column.id).where(parted_from(keys)),
    )


def parted_from(keys: Collection[str]) -> ColumnElement[bool]:
    """Return what is true of decisions about these keys whose submissions have others."""
    return or_(decisions.c.former_key.in_(keys), decisions.c.phone_key.in_(keys))


_PART = (
    update(decisions)
    .where(decisions.c.submission_seq == bindparam("row"))
    .values(former_key=decisions.c.contact_key)
)


async def part(transaction: Transaction, seq: int) -> None:
    """Keep what was decided with the contact it was about: the submission becomes another's."""
    await transaction.change(_PART, row=seq)


async def of_submission(database: Database, seq: int) -> list[Decision]:
    """Return the decisions about a submission, the newest first: a replay makes another one."""
    return await _find(database, decisions.c.submission_seq == seq, _BATCH)


@dataclass(frozen=True, slots=True)
class Alike:
    """Decisions of one kind: people of a region who gave an answer, and what followed from it.

    `sent` is false of those that were skipped. `asked` is the status asked for their email.
    """

    region: str
    answer: str
    sent: bool
    asked: str | None


async def newest_alike(
    database: Database, integration_id: str | None, since: float, alike: Alike, limit: int
) -> list[str]:
    """Return the submissions of the newest decisions of a kind, as ids, the newest first.

    The newest 20,000 of all integrations are looked at, and taken from a time on (unix seconds);
    `integration_id` None: of any.
    """
    # Narrowed only afterwards: to find few among millions, no index would help.
    newest = select(decisions).order_by(decisions.c.id.desc()).limit(_LOOKED_AT).subquery()
    found = newest.c
    skipped = found.outcome == "skipped"
    parts = [("region", alike.region), ("email_status", alike.asked)]
    written = [*starmap(_written, parts), _written("opt_in", {"answer": alike.answer}).rstrip("}")]
    query = select(found.submission_id).where(
        found.decided_at >= since,
        ~skipped if alike.sent else skipped,
        *(found.basis.contains(each, autoescape=True) for each in written),
    )
    if integration_id is not None:
        query = query.where(found.integration_id == integration_id)
    async with database.read() as connection:
        ids = await connection.scalars(query.order_by(found.id.desc()).limit(limit))
        return list(dict.fromkeys(ids))


def _written(name: str, value: JsonValue) -> str:
    """Return a part of a basis as it is written: what a person wrote never looks like it."""
    return to_json({name: value}).decode()[1:-1]


async def _find(database: Database, mine: Any, limit: int) -> list[Decision]:
    query = select(decisions).where(mine).order_by(decisions.c.id.desc()).limit(limit)
    async with database.read() as connection:
        return [
            Decision(
                row.submission_id,
                row.integration_id,
                row.version,
                row.decided_at,
                row.outcome,
                row.reason,
                None if row.basis is None else from_json(row.basis),
            )
            for row in await connection.execute(query)
        ]


async def prune_decisions(database: Database, before: float) -> int:
    """Delete decisions that were made before a time (unix seconds); return how many."""
    pruned = 0
    while True:
        oldest = select(decisions.c.id, decisions.c.decided_at).order_by(decisions.c.id)
        async with database.write() as connection:
            found = (await connection.execute(oldest.limit(_BATCH))).all()
            past = [row.id for row in found if row.decided_at < before]
            await connection.execute(delete(decisions).where(decisions.c.id.in_(past)))
        pruned += len(past)
        if len(past) < _BATCH:
            return pruned
        await asyncio.sleep(_PAUSE_SECONDS)
