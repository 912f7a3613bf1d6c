"""What is not kept for ever: payloads, what was said of them, and signatures."""

import asyncio
from dataclasses import dataclass

from sqlalchemy import Select, delete, select, tuple_, update

from app.ledger.database import Database
from app.ledger.schema import SubmissionStatus, attempts, receipts, submissions

_BATCH = 500  # rows in one transaction: other writers do not wait long
_PAUSE_SECONDS = 0.05  # between two: a writer that waits for SQLite polls, it has no queue


@dataclass(frozen=True, slots=True)
class Retention:
    """How long we keep payloads after a submission is settled, in seconds.

    Payloads of dead submissions stay until a person has dealt with them. `decisions` is how long we
    keep what was decided.
    """

    delivered: float
    skipped: float  # also of test webhooks
    decisions: float = 1825 * 86_400.0


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
    """Wipe payloads whose time is over, and what was said of them; return how many.

    The rows stay. Cordial's words and our warnings may repeat an answer, so they go with it.
    """
    column, wiped = submissions.c, 0
    for status, kept in (
        (SubmissionStatus.DELIVERED, retention.delivered),
        (SubmissionStatus.SKIPPED, retention.skipped),
        (SubmissionStatus.TEST, retention.skipped),
    ):
        past = (
            select(column.seq)
            .where(column.payload.is_not(None), column.status == status)
            .where(column.settled_at < now - kept)
            .order_by(column.settled_at)  # as the index has it: nothing else is read
            .limit(_BATCH)
        )
        while seqs := await _wipe(database, past):
            wiped += seqs
            if seqs < _BATCH:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
    if wiped:
        await database.forget_deleted()
    return wiped


async def _wipe(database: Database, past: Select[tuple[int]]) -> int:
    async with database.write() as connection:
        seqs = list(await connection.scalars(past))
        if seqs:
            await connection.execute(
                update(submissions)
                .where(submissions.c.seq.in_(seqs))
                .values(payload=None, warnings=None)
            )
            await connection.execute(
                update(attempts).where(attempts.c.submission_seq.in_(seqs)).values(error=None)
            )
    return len(seqs)
