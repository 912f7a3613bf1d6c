"""When people last said no, by address: silence and older answers must not overrule it.

A no counts for its address in every integration, because several may feed one account. We remember
it when we accept its webhook, so it holds however long its integration is paused, and again when
the submission settles, by the labels of that time. A no to texts that came without a number counts
for the texts of its email address, whichever number comes later.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, insert, literal, select, update

from app.ledger.database import Database
from app.ledger.schema import refusals
from app.ledger.transaction import Transaction, among
from app.ledger.vault import OF_TEXTS, texts_key
from app.rules.policy import Refusals

_KNOWN = select(refusals.c.address_key, refusals.c.said_at).where(
    among(refusals.c.address_key, "keys")
)
_ADD = insert(refusals).inline()
_OF_ADDED = ("address_key", "said_at")
_RENEW = (
    update(refusals)
    .where(refusals.c.address_key == bindparam("key"))
    .values(said_at=bindparam("at"))
)
_OF_RENEWED = ("at", "key")


def merge(*several: Mapping[str, float]) -> dict[str, float]:
    """Return the newest no of each address."""
    merged: dict[str, float] = {}
    for each in several:
        for key, said_at in each.items():
            merged[key] = max(said_at, merged.get(key, said_at))
    return merged


async def record(transaction: Transaction, said: Mapping[str, float]) -> None:
    """Remember when people said no: unix seconds by address key. The newest of each stays.

    If another process writes the same address at the same moment, PostgreSQL refuses one of the two
    (`asyncpg.UniqueViolationError`): its caller starts again.
    """
    if not said:
        return
    known = dict(await transaction.rows(_KNOWN, keys=sorted(said)))
    new = [(key, at) for key, at in sorted(said.items()) if key not in known]
    if new:
        await transaction.each(_ADD, _OF_ADDED, new)
    newer = [(at, key) for key, at in sorted(said.items()) if at > known.get(key, at)]
    if newer:
        await transaction.each(_RENEW, _OF_RENEWED, newer)


def refused_at(*address_keys: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return, for a statement, when somebody with these address keys last said no."""
    of_addresses = refusals.c.address_key.in_(address_keys)
    return select(func.max(refusals.c.said_at)).where(of_addresses).scalar_subquery()


def texts_refused_at(
    contact_key: ColumnElement[Any], phone_key: ColumnElement[Any]
) -> ColumnElement[Any]:
    """Return, for a statement, when a contact last said no to texts, by `Pseudonyms.refused`."""
    of_texts = literal(OF_TEXTS).concat(func.substr(contact_key, len(OF_TEXTS) + 1))
    return refused_at(phone_key, of_texts)


Addresses = tuple[str | None, str | None]
"""The keys of a person's email address and phone number."""


async def find(database: Database, people: Collection[Addresses]) -> Mapping[Addresses, Refusals]:
    """Return when each of these last said no, to email and to texts."""
    keys = {key for each in people for key in [*each, *_texts(each)] if key}
    wanted = select(refusals.c.address_key, refusals.c.said_at)
    async with database.read() as connection:
        rows = await connection.execute(wanted.where(refusals.c.address_key.in_(keys)))
        said = {row.address_key: row.said_at for row in rows}

    def last(*keys: str | None) -> float | None:
        return max((said[key] for key in keys if key in said), default=None)

    return {each: Refusals(last(each[0]), last(each[1], *_texts(each))) for each in people}


def _texts(addresses: Addresses) -> Sequence[str]:
    email_key, _ = addresses
    return [texts_key(email_key)] if email_key else []
