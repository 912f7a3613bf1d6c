"""Deleting: old payloads and signatures, and everything about a person who asks for it."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import and_, case, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.schema import (
    DeadReason,
    SubmissionStatus,
    attempts,
    contacts,
    receipts,
    refusals,
    submissions,
)

_BATCH = 500  # rows in one transaction: other writers do not wait long
_PAUSE_SECONDS = 0.05  # between two: a writer that waits for SQLite polls, it has no queue
ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long we keep payloads after a submission is settled, in seconds.

    Payloads of dead submissions stay until a person has dealt with them.
    """

    delivered: float
    skipped: float  # also of test webhooks


async def prune_receipts(database: Database, now: float) -> None:
    """Delete signatures that are too old to be accepted again."""
    key = tuple_(receipts.c.integration_id, receipts.c.fingerprint)
    past = select(receipts.c.integration_id, receipts.c.fingerprint)
    batch = past.where(receipts.c.expires_at < now).limit(_BATCH)
    while True:
        async with database.write() as connection:
            done = await connection.execute(delete(receipts).where(key.in_(batch)))
        if done.rowcount < _BATCH:
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def wipe_payloads(database: Database, retention: Retention, now: float) -> int:
    """Wipe payloads whose time is over; return how many. The rows stay."""
    column = submissions.c
    past = or_(
        and_(
            column.status == SubmissionStatus.DELIVERED,
            column.settled_at < now - retention.delivered,
        ),
        and_(
            column.status.in_((SubmissionStatus.SKIPPED, SubmissionStatus.TEST)),
            column.settled_at < now - retention.skipped,
        ),
    )
    wiped = 0
    while True:
        batch = select(column.seq).where(column.payload.is_not(None), past).limit(_BATCH)
        async with database.write() as connection:
            done = await connection.execute(
                update(submissions).where(column.seq.in_(batch)).values(payload=None)
            )
        wiped += done.rowcount
        if done.rowcount < _BATCH:
            return wiped
        await asyncio.sleep(_PAUSE_SECONDS)


async def erase(
    database: Database, keys: Collection[str], texts: Collection[str], now: float
) -> int:
    """Wipe what we know of a person: payloads, keys, messages; return how many submissions.

    Pending submissions are not sent any more. A delivery under way finds its lease gone and settles
    nothing.

    Args:
        database: the ledger.
        keys: the contact keys of the person's address.
        texts: the address itself, in every form that an unreadable payload may hold.
        now: unix seconds.
    """
    async with database.write() as connection:
        known = await connection.execute(
            select(submissions.c.contact_key).where(submissions.c.phone_key.in_(keys))
        )
        # A phone number leads to the person whose email came with it.
        own = {*keys, *(row.contact_key for row in known)}
        await connection.execute(
            select(contacts.c.contact_key)
            .where(contacts.c.contact_key.in_(own))
            .order_by(contacts.c.integration_id, contacts.c.contact_key)
            .with_for_update()
        )
        mine = or_(submissions.c.contact_key.in_(own), submissions.c.phone_key.in_(own))
        seqs = set(await connection.scalars(select(submissions.c.seq).where(mine)))
        seqs |= await _unreadable_with(connection, texts)
        for start in range(0, len(seqs), _BATCH):
            await _wipe(connection, sorted(seqs)[start : start + _BATCH], now)
        await connection.execute(delete(contacts).where(contacts.c.contact_key.in_(own)))
        await connection.execute(delete(refusals).where(refusals.c.address_key.in_(own)))
    return len(seqs)


async def _unreadable_with(connection: AsyncConnection, texts: Collection[str]) -> set[int]:
    """Return the seqs of unreadable payloads that contain one of the texts."""
    wanted = [text.lower().encode() for text in texts]
    rows = await connection.execute(
        select(submissions.c.seq, submissions.c.payload).where(
            submissions.c.status == SubmissionStatus.DEAD,
            submissions.c.reason == DeadReason.UNREADABLE,
            submissions.c.payload.is_not(None),
        )
    )
    return {seq for seq, payload in rows if any(text in payload.lower() for text in wanted)}


async def _wipe(connection: AsyncConnection, seqs: Collection[int], now: float) -> None:
    column = submissions.c
    pending = column.status == SubmissionStatus.PENDING
    await connection.execute(
        update(attempts).where(attempts.c.submission_seq.in_(seqs)).values(error=None)
    )
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
