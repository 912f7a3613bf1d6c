"""Changing the key that encrypts the ledger's secrets."""

from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.schema import data_keys, integrations, jebbit_registrations
from app.ledger.vault import Vault

# Everything the vault encrypts: the table and its column.
_ENCRYPTED: tuple[tuple[Table, str], ...] = (
    (integrations, "secrets"),
    (data_keys, "value"),
    (jebbit_registrations, "credentials"),
)


async def rotate(database: Database, vault: Vault) -> dict[str, int]:
    """Encrypt all secrets again with the vault's newest key, in one transaction.

    The secrets do not change, so running processes that know both keys notice nothing.

    Returns:
        How many there are, by table.

    Raises:
        WrongSecretKey: none of the vault's keys fits one of them; nothing is changed.
    """
    async with database.write() as connection:
        return {
            table.name: await _rotate_column(connection, vault, table, column)
            for table, column in _ENCRYPTED
        }


async def _rotate_column(
    connection: AsyncConnection, vault: Vault, table: Table, column: str
) -> int:
    (key,), secret = table.primary_key.columns, table.c[column]
    # The lock keeps a change that comes between our read and our write from being lost.
    query = select(key, secret).where(secret.is_not(None)).with_for_update()
    rows = (await connection.execute(query)).all()
    for name, token in rows:
        changed = update(table).where(key == name).values({column: vault.rotate(token)})
        await connection.execute(changed)
    return len(rows)
