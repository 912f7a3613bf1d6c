"""Resuming an integration, which wants a check without errors first."""

from collections.abc import Sequence

from app.cordial.preflight import Finding
from app.ledger.integrations import StoredIntegration
from app.operations.callers import Caller
from app.operations.checking import look_at, said
from app.operations.context import Context
from app.operations.invalid import WrongPlace


class CheckFailed(Exception):
    """The check finds errors, so nothing is sent; `places` are those."""

    def __init__(self, errors: Sequence[Finding]) -> None:
        self.places = [WrongPlace(each.place, said(each)) for each in errors]
        super().__init__(" ".join(f"{each.place}: {each.detail}" for each in self.places))


async def resume(
    context: Context, who: Caller, integration_id: str, *, force: bool
) -> StoredIntegration:
    """Let an integration send if its check finds no error; `force` leaves the check out.

    It also opens a gate that is closed, held or blocked.

    Raises:
        UnknownIntegration: there is none.
        CheckFailed: it stays as it is.
    """
    async with context.auditor.changing(who, "integration.resume", integration_id):
        return await let_send(context, integration_id, force=force)


async def let_send(context: Context, integration_id: str, *, force: bool) -> StoredIntegration:
    """Resume, as a part of an operation that is written down already."""
    if not force:
        stored = await context.integrations.get(integration_id)
        if errors := (await look_at(context, stored)).errors:
            raise CheckFailed(errors)
    resumed = await context.integrations.resume(integration_id, now=context.clock())
    context.wake()
    return resumed
