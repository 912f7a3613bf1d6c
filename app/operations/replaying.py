"""Sending submissions again, by the integration as it is now."""

from collections.abc import Mapping

from app.ledger import replays
from app.ledger.replays import Replayed
from app.ledger.schema import SubmissionStatus
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import invalid_at
from app.operations.submissions import Explained, Wanted, filter_of, get


async def replay(context: Context, who: Caller, submission_id: str, *, force: bool) -> Explained:
    """Put a submission back in line, with a fresh schedule of tries.

    Raises:
        UnknownSubmission: there is none.
        NotReplayable: the message says why; `force` lifts one of the reasons.
    """
    async with context.auditor.changing(who, "submission.replay", submission_id):
        await replays.replay(context.database, submission_id, force=force, now=context.clock())
    context.wake()
    return await get(context, who, submission_id)


async def replay_all(
    context: Context, who: Caller, wanted: Wanted, *, force: bool, dry_run: bool
) -> Replayed:
    """Put all submissions that match back in line, the oldest first; `dry_run` only counts.

    Raises:
        NoAddress, UnknownIntegration, Invalid: the filter cannot be meant (see `filter_of`).
    """
    if wanted.status in _NEVER:
        raise invalid_at("status", _NEVER[wanted.status])
    operation = "submissions.replay.dry_run" if dry_run else "submissions.replay"
    async with context.auditor.changing(who, operation, wanted.integration_id):
        done = await replays.replay_all(
            context.database,
            await filter_of(context, wanted),
            force=force,
            dry_run=dry_run,
            now=context.clock(),
        )
    context.wake()
    return done


_NEVER: Mapping[SubmissionStatus | None, str] = {
    SubmissionStatus.PENDING: "Pending ones are sent when their turn comes.",
    SubmissionStatus.TEST: "Tests are never sent.",
}
