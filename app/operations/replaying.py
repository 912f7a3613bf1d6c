"""Sending submissions again, by the integration as it is now."""

from app.ledger import submissions as ledger
from app.ledger.submissions import Filter, Replayed
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.submissions import Explained, get


async def replay(context: Context, who: Caller, submission_id: str, *, force: bool) -> Explained:
    """Put a submission back in line, with a fresh schedule of tries.

    Raises:
        UnknownSubmission: there is none.
        NotReplayable: the message says why; `force` lifts one of the reasons.
    """
    async with context.auditor.changing(who, "submission.replay", submission_id):
        await ledger.replay(context.database, submission_id, force=force, now=context.clock())
    context.wake()
    return await get(context, who, submission_id)


async def replay_all(
    context: Context, who: Caller, wanted: Filter, *, force: bool, dry_run: bool
) -> Replayed:
    """Put all submissions that match back in line, the oldest first; `dry_run` only counts."""
    operation = "submissions.replay.dry_run" if dry_run else "submissions.replay"
    async with context.auditor.changing(who, operation, wanted.integration_id):
        done = await ledger.replay_all(
            context.database, wanted, force=force, dry_run=dry_run, now=context.clock()
        )
    context.wake()
    return done
