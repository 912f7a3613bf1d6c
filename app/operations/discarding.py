"""Ending submissions that nobody wants sent any more."""

from app.ledger import submissions as ledger
from app.ledger.submissions import Filter
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.submissions import Explained, get


async def discard(context: Context, who: Caller, submission_id: str) -> Explained:
    """End a dead or pending submission: it becomes skipped, with the reason `discarded`.

    Raises:
        UnknownSubmission: there is none.
        NotDiscardable: it is neither dead nor pending.
    """
    async with context.auditor.changing(who, "submission.discard", submission_id):
        await ledger.discard(context.database, submission_id, now=context.clock())
    context.wake()
    return await get(context, who, submission_id)


async def discard_all(context: Context, who: Caller, wanted: Filter, *, dry_run: bool) -> int:
    """End all dead or pending submissions that match; return how many. `dry_run` only counts."""
    operation = "submissions.discard.dry_run" if dry_run else "submissions.discard"
    async with context.auditor.changing(who, operation, wanted.integration_id):
        done = await ledger.discard_all(
            context.database, wanted, dry_run=dry_run, now=context.clock()
        )
    context.wake()
    return done
