"""Resuming an integration, which wants a check without errors first."""

from contextlib import suppress

from app.ledger.integrations import NotAnswered, StoredIntegration, VersionChanged
from app.operations.callers import Caller
from app.operations.checking import CheckFailed, look_at
from app.operations.context import Context


async def resume(
    context: Context, who: Caller, integration_id: str, *, force: bool
) -> StoredIntegration:
    """Let an integration send if its check finds no error; `force` leaves the check out.

    It also opens a gate that is closed, held or blocked.

    Raises:
        UnknownIntegration: there is none.
        NotAnswered: nobody has said whom it sends and subscribes; `force` does not answer that.
        CheckFailed: it stays as it is.
    """
    async with context.auditor.changing(who, "integration.resume", integration_id):
        return await let_send(context, integration_id, force=force)


async def let_send(
    context: Context, integration_id: str, *, force: bool, version: int | None = None
) -> StoredIntegration:
    """Resume, as a part of an operation that is written down already.

    What is checked is what sends: if somebody changes it meanwhile, it is checked again.

    Raises:
        VersionChanged: it is not, or no longer, of this `version`.
        UnknownIntegration, NotAnswered, CheckFailed: as `resume`.
    """
    while True:
        stored = await context.integrations.get(integration_id)
        if version is not None and version != stored.version:
            raise VersionChanged(stored.version)
        if stored.unanswered:
            raise NotAnswered(integration_id)
        if not force and (errors := (await look_at(context, stored)).errors):
            raise CheckFailed(errors)
        with suppress(VersionChanged):
            resumed = await context.integrations.resume(
                integration_id, now=context.clock(), version=stored.version
            )
            context.wake()
            return resumed
