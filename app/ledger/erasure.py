"""Erasing a person: what is theirs is wiped, and what mentions them is cleared of that."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json, to_json
from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Table,
    case,
    delete,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.decisions import parted_from
from app.ledger.schema import (
    SubmissionStatus,
    attempts,
    contacts,
    decisions,
    integrations,
    notices,
    ready_at,
    refusals,
    submissions,
)
from app.ledger.vault import texts_key

ERASED = "erased"
ERASED_NOTE = "Erased with a person's data."
_BATCH = 500  # rows wiped at once
_LOOKED_AT = 500  # payloads looked through at once,
_MOST_BYTES = 4 * 1024 * 1024  # or so many bytes of them: each may have a megabyte
_SPAN = 20_000  # rows gone past at once where hardly one has anything: no statement takes long
_PAUSE_SECONDS = 0.02  # between two looks, so that webhooks and deliveries get their turns


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to erase: the keys of their addresses, and what finds these in a text and in JSON."""

    keys: Sequence[str]
    stand_in: Callable[[str], bool]
    removed_from: Callable[[JsonValue], JsonValue]


async def erase(database: Database, person: Person, now: float, *, dry_run: bool = False) -> int:
    """Wipe what we know of a person; return how many submissions that concerns.

    The submissions of this contact, and those that gave this phone number, lose their payload, keys
    and messages; if pending, they are not sent any more. Other people's submissions that mention
    the address are cleared of it and go on.

    Args:
        database: the ledger.
        person: who.
        now: unix seconds.
        dry_run: only count.
    """
    own = await _own(database, person, now, dry_run=dry_run)
    mentioned = await _clear_payloads(database, person, now, own, dry_run=dry_run)
    if not dry_run:
        for table, column in _WORDS:
            await _clear_words(database, person, table, column)
        await database.forget_deleted()
    return len(own) + mentioned


async def _own(database: Database, person: Person, now: float, *, dry_run: bool) -> set[int]:
    """Wipe the person's own submissions; return their seqs."""
    keys = person.keys
    mine = or_(submissions.c.contact_key.in_(keys), submissions.c.phone_key.in_(keys))
    if dry_run:
        async with database.read() as connection:
            return set(await connection.scalars(select(submissions.c.seq).where(mine)))
    async with database.write() as connection:
        affected = select(submissions.c.contact_key).where(mine)
        # Locked in one order: a delivery either settles before this or finds its lease gone.
        await connection.execute(
            select(contacts.c.contact_key)
            .where(or_(contacts.c.contact_key.in_(keys), contacts.c.contact_key.in_(affected)))
            .order_by(contacts.c.integration_id, contacts.c.contact_key)
            .with_for_update()
        )
        # By a query and not by a list: more people may have typed a number in than a list may hold.
        of_others = contacts.c.contact_key.in_(affected)
        await _take_leases(connection, of_others, now)
        texted = contacts.c.texted_key.in_(keys)
        await connection.execute(update(contacts).where(of_others, texted).values(texted_key=None))
        seqs = set(await connection.scalars(select(submissions.c.seq).where(mine)))
        for start in range(0, len(seqs), _BATCH):
            await _wipe(connection, sorted(seqs)[start : start + _BATCH], now)
        await connection.execute(delete(contacts).where(contacts.c.contact_key.in_(keys)))
        said = [*keys, *map(texts_key, keys)]
        await connection.execute(delete(refusals).where(refusals.c.address_key.in_(said)))
        await connection.execute(delete(decisions).where(parted_from(keys)))
    return seqs


async def _take_leases(connection: AsyncConnection, of: ColumnElement[bool], now: float) -> None:
    """Let what is under way for these contacts settle nothing, and the next of theirs be due."""
    await connection.execute(
        update(contacts)
        .where(of, contacts.c.lease.is_not(None))
        .values(lease=None, due_at=ready_at(now))
    )


async def _wipe(connection: AsyncConnection, seqs: Collection[int], now: float) -> None:
    column = submissions.c
    pending = column.status == SubmissionStatus.PENDING
    await connection.execute(
        update(attempts).where(attempts.c.submission_seq.in_(seqs)).values(error=None)
    )
    await connection.execute(delete(decisions).where(decisions.c.submission_seq.in_(seqs)))
    await connection.execute(
        update(submissions)
        .where(column.seq.in_(seqs))
        .values(
            status=case((pending, SubmissionStatus.SKIPPED), else_=column.status),
            reason=case((pending, ERASED), else_=column.reason),
            settled_at=case((pending, now), else_=column.settled_at),
            contact_key=column.id,
            phone_key=None,
            session_key=None,
            payload=None,
            warnings=None,
            cordial_contact_id=None,
            request_id=None,
            traceparent=None,
        )
    )


async def _clear_payloads(
    database: Database, person: Person, now: float, own: Collection[int], *, dry_run: bool
) -> int:
    """Look through every payload that is left; return how many mention the person.

    The reading is done outside of any transaction that writes.
    """
    found = after = 0
    while True:
        last, batch = await _payloads_after(database, after)
        if last == after:
            return found
        after = last
        left = [row for row in batch if row.seq not in own]
        cleared = await asyncio.to_thread(_cleared, left, person)
        found += len(cleared)
        if cleared and not dry_run:
            await _write_cleared(database, cleared, now)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _payloads_after(database: Database, seq: int) -> tuple[int, Sequence[Any]]:
    """Return the next payloads, and the number up to which that is all; the same: nothing is left.

    Others may wipe some, or all of these, between the look at their sizes and the reading.
    """
    column = submissions.c
    kept = column.payload.is_not(None)
    sizes = select(column.seq, func.length(column.payload)).where(kept)
    payloads = select(column.seq, column.id, column.contact_key, column.payload).where(kept)
    async with database.read() as connection:
        end, found = await _next(connection, column.seq, column.seq > seq, sizes, _LOOKED_AT)
        if end is None:
            return seq, ()
        last, size = seq, 0
        for each, length in found:
            size += length
            if last != seq and size > _MOST_BYTES:
                break
            last = each
        else:
            last = end
        of_batch = payloads.where(column.seq.between(seq + 1, last)).order_by(column.seq)
        return last, (await connection.execute(of_batch)).all()


async def _next(
    connection: AsyncConnection,
    key: ColumnElement[Any],
    left: ColumnElement[bool],
    wanted: Select[Any],
    most: int,
) -> tuple[Any, Sequence[Any]]:
    """Return at most so many of the wanted rows that are left, and the key up to which that is all.

    It looks at a span of rows, whatever they hold; the key is None if none is left.
    """
    span = select(key).where(left).order_by(key).limit(_SPAN).subquery()
    end = await connection.scalar(select(func.max(span.c[0])))
    if end is None:
        return None, ()
    within = wanted.where(left, key <= end).order_by(key).limit(most)
    found = (await connection.execute(within)).all()
    return (found[-1][0] if len(found) == most else end), found


def _cleared(rows: Sequence[Any], person: Person) -> Mapping[int, bytes | None]:
    """Return what becomes of the payloads that mention the person, by seq; None: it is wiped.

    One that belongs to no known contact, or is no JSON, is wiped as a whole: it is theirs.
    """
    cleared: dict[int, bytes | None] = {}
    for row in rows:
        text = row.payload.decode("utf-8", errors="replace")
        if not person.stand_in(text):
            continue
        cleared[row.seq] = None if row.contact_key == row.id else _without(row.payload, person)
    return cleared


def _without(payload: bytes, person: Person) -> bytes | None:
    try:
        document = from_json(payload)
    except ValueError:
        return None
    kept = to_json(person.removed_from(document))
    return None if person.stand_in(kept.decode()) else kept


async def _write_cleared(
    database: Database, cleared: Mapping[int, bytes | None], now: float
) -> None:
    async with database.write() as connection:
        await _wipe(connection, [seq for seq, kept in cleared.items() if kept is None], now)
        for seq, kept in cleared.items():
            if kept is not None:
                still_there = submissions.c.payload.is_not(None)
                await connection.execute(
                    update(submissions)
                    .where(submissions.c.seq == seq, still_there)
                    .values(payload=kept)
                )


# Where somebody's words are kept, Cordial's above all, which may repeat an address.
_WORDS: Sequence[tuple[Table, Column[Any]]] = (
    (attempts, attempts.c.error),
    (submissions, submissions.c.warnings),
    (integrations, integrations.c.gate_reason),
    (integrations, integrations.c.paused_reason),
    (notices, notices.c.detail),
)


async def _clear_words(
    database: Database, person: Person, table: Table, column: Column[Any]
) -> None:
    """Clear the texts of a column that mention the person."""
    [key] = table.primary_key.columns
    wanted = select(key, column).where(column.is_not(None))
    left: ColumnElement[bool] = true()
    while True:
        async with database.read() as connection:
            last, batch = await _next(connection, key, left, wanted, _BATCH)
        if last is None:
            return
        left = key > last
        hit = [each for each, words in batch if person.stand_in(_as_text(words))]
        if hit:
            note = None if column is submissions.c.warnings else ERASED_NOTE
            async with database.write() as connection:
                await connection.execute(
                    update(table).where(key.in_(hit)).values({column.name: note})
                )
        await asyncio.sleep(_PAUSE_SECONDS)


def _as_text(words: Any) -> str:
    return words if isinstance(words, str) else to_json(words).decode()
