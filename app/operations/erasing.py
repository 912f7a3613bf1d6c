"""Erasing a person from the ledger."""

from app.ledger import retention
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.people import NoAddress, by_email, by_phone


async def erase(context: Context, who: Caller, *, email: str | None, phone: str | None) -> int:
    """Wipe a person's payloads and keys; return of how many submissions.

    What is pending is not sent any more. Cordial is not told.

    Raises:
        NoAddress: neither is given, or one of them is no address. Each must be readable by
            itself: one that is not must not be passed over because of the other.
    """
    async with context.auditor.changing(who, "person.erase"):
        return await _erase(context, email, phone)


async def _erase(context: Context, email: str | None, phone: str | None) -> int:
    known = [] if email is None else [await by_email(context, email)]
    if phone is not None:
        known.append(await by_phone(context, phone))
    if not known:
        raise NoAddress
    keys = [key for each in known for key in each.keys]
    texts = [text for each in known for text in each.texts]
    return await retention.erase(context.database, keys, texts, context.clock())
