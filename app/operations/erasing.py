"""Erasing a person from the ledger."""

from app.ledger import audit, erasure
from app.ledger.audit import AuditEntry
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.people import NoAddress, by_email, by_phone
from app.rules.contact import national_digits
from app.rules.mentions import Mentions

_ERASE = "person.erase"
_SHOWN = 20


async def erase(
    context: Context, who: Caller, *, email: str | None, phone: str | None, dry_run: bool = False
) -> int:
    """Wipe a person's payloads and keys; return how many submissions that concerns.

    What is pending is not sent any more. Others' submissions that mention an address are cleared of
    it. Cordial is not told. With `dry_run`, only count.

    Raises:
        NoAddress: neither is given, or one of them is no address. Each must be readable by
            itself: one that is not must not be passed over because of the other.
    """
    if dry_run:
        return await _erase(context, email, phone, dry_run=True)
    async with context.auditor.changing(who, _ERASE):
        return await _erase(context, email, phone, dry_run=False)


async def newest(context: Context) -> list[AuditEntry]:
    """Return who erased somebody, and when; not whom."""
    return await audit.newest_of(context.database, _ERASE, _SHOWN)


async def _erase(context: Context, email: str | None, phone: str | None, *, dry_run: bool) -> int:
    known = [] if email is None else [await by_email(context, email)]
    if phone is not None:
        known.append(await by_phone(context, phone))
    if not known:
        raise NoAddress
    numbers = [number for each in known for number in each.numbers]
    mentions = Mentions(
        [address for each in known for address in each.emails],
        [*numbers, *map(national_digits, numbers)],
    )
    person = erasure.Person(
        [key for each in known for key in each.keys], mentions.stand_in, mentions.removed_from
    )
    return await erasure.erase(context.database, person, context.clock(), dry_run=dry_run)
