"""Ending submissions that nobody wants sent any more."""

from app.ledger import replays
from app.ledger.schema import SubmissionStatus
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import invalid_at
from app.operations.submissions import Explained, Wanted, filter_of, get


async def discard(context: Context, who: Caller, submission_id: str) -> Explained:
    """End a dead or pending submission: it becomes skipped, with the reason `discarded`.

    Raises:
        UnknownSubmission: there is none.
        NotDiscardable: it is neither dead nor pending.
    """
    async with context.auditor.changing(who, "submission.discard", submission_id):
        await replays.discard(context.database, submission_id, now=context.clock())
    context.wake()
    return await get(context, who, submission_id)


async def discard_all(context: Context, who: Caller, wanted: Wanted, *, dry_run: bool) -> int:
    """End all dead or pending submissions that match; return how many. `dry_run` only counts.

    Raises:
        NoAddress, UnknownIntegration, Invalid: the filter cannot be meant (see `filter_of`).
    """
    if wanted.status not in (None, SubmissionStatus.DEAD, SubmissionStatus.PENDING):
        raise invalid_at("status", "Only dead and pending ones are discarded.")
    operation = "submissions.discard.dry_run" if dry_run else "submissions.discard"
    async with context.auditor.changing(who, operation, wanted.integration_id):
        done = await replays.discard_all(
            context.database,
            await filter_of(context, wanted),
            dry_run=dry_run,
            now=context.clock(),
        )
    context.wake()
    return done
