"""How the ledger knows a person: it holds no address outside of payloads, only pseudonyms."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.ledger.changes import phone_countries
from app.ledger.refusals import Addresses
from app.operations.context import Context
from app.rules.contact import Identity, normalize_email, normalize_phone


class NoAddress(Exception):
    """What was given is neither an email address nor a phone number."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person's contact keys, and their addresses: normalized emails, and numbers in E.164."""

    keys: Sequence[str]
    emails: Sequence[str]
    numbers: Sequence[str]


async def by_address(context: Context, address: str) -> Person:
    """Return the person of an email address or phone number.

    Raises:
        NoAddress: it is neither.
    """
    return await _known(context, address, address)


async def by_email(context: Context, email: str) -> Person:
    """Return the person of an email address.

    Raises:
        NoAddress: it is none.
    """
    return await _known(context, email, None)


async def by_phone(context: Context, phone: str) -> Person:
    """Return the person of a phone number.

    Without a country code it is read as each integration would read it, or ever did: what came in
    is known by how it was read then.

    Raises:
        NoAddress: it is none.
    """
    return await _known(context, None, phone)


def address_keys(context: Context, identity: Identity) -> Addresses:
    """Return the keys of a submission's addresses."""
    return (
        context.pseudonyms.email(identity.email) if identity.email else None,
        context.pseudonyms.phone(identity.phone) if identity.phone else None,
    )


async def _known(context: Context, email: str | None, phone: str | None) -> Person:
    numbers = await _numbers(context, phone) if phone else []
    read = map(normalize_email, _as_sent(email) if email else ())
    address = next(filter(None, read), None)
    if not numbers and not address:
        raise NoAddress
    emails = [address] if address else []
    keys = [*map(context.pseudonyms.phone, numbers), *map(context.pseudonyms.email, emails)]
    return Person(keys, emails, numbers)


async def _numbers(context: Context, phone: str) -> list[str]:
    stored = await context.integrations.list()
    regions = {"US", *(each.integration.jebbit.default_phone_country for each in stored)}
    regions |= await phone_countries(context.database)
    read = {normalize_phone(each, [region]) for each in _as_sent(phone) for region in regions}
    return sorted(number for number in read if number)


def _as_sent(address: str) -> Sequence[str]:
    """Return an address as given, and as it was before a query made its plus a space."""
    return [address, address.replace(" ", "+", 1)] if " " in address else [address]
