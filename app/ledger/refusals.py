"""When people last said no, by address: silence and older answers must not overrule it.

A no counts for its address in every integration, because several may feed one account. We remember
it when we accept its webhook, so it holds however long its integration is paused, and again when
the submission settles, by the labels of that time.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import bindparam, insert, select, update

from app.ledger.database import Database
from app.ledger.schema import refusals
from app.ledger.transaction import Transaction, among

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


async def find(database: Database, keys: Collection[str]) -> Mapping[str, float]:
    """Return when people last said no, for those of these address keys that did."""
    wanted = select(refusals.c.address_key, refusals.c.said_at)
    async with database.read() as connection:
        rows = await connection.execute(wanted.where(refusals.c.address_key.in_(keys)))
        return {row.address_key: row.said_at for row in rows}
