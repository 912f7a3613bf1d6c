"""The key of the ledger's secrets changes, and nothing else does."""

import asyncio

import pytest
from sqlalchemy import text

from app.jebbit.credentials import ApiCredentials
from app.ledger.database import Database
from app.ledger.integrations import Integrations
from app.ledger.registrations import Registration, Registrations
from app.ledger.rotation import rotate
from app.ledger.vault import Vault, WrongSecretKey
from tests.ledger.conftest import NOW, new_integration

OLD, NEW = "the-old-key-of-at-least-32-characters", "the-new-key-of-at-least-32-characters"
CREDENTIALS = ApiCredentials("client", "the-client-secret")


async def fill(database: Database, vault: Vault) -> None:
    """Write one of everything that is encrypted, and an integration without a registration."""
    await database.pseudonyms(vault)
    integrations, registrations = Integrations(database, vault), Registrations(database, vault)
    for name in ("Spring quiz", "Summer quiz"):
        await integrations.create(new_integration(name=name), paused_reason=None, now=NOW)
    await registrations.keep(Registration("spring-quiz", "jebbit1", CREDENTIALS, NOW))
    await registrations.keep(Registration("summer-quiz", "jebbit2", None, NOW))


async def everything(database: Database, keys: list[str]) -> object:
    """Read all that is encrypted, and the key of a contact."""
    vault = Vault(keys)
    pseudonyms = await database.pseudonyms(vault)
    registration = await Registrations(database, vault).get("spring-quiz")
    stored = await Integrations(database, vault).list()
    return stored, registration, pseudonyms.email("ann@example.com")


async def tokens(database: Database) -> list[bytes]:
    """Read all that is encrypted, as it is."""
    queries = (
        "SELECT secrets FROM integrations ORDER BY id",
        "SELECT value FROM data_keys",
        "SELECT credentials FROM jebbit_registrations WHERE credentials IS NOT NULL",
    )
    async with database.read() as connection:
        return [row[0] for each in queries for row in await connection.execute(text(each))]


async def test_after_rotation_the_new_key_alone_reads_everything(database):
    """Integrations, Jebbit's credentials and the contacts' keys are what they were."""
    await fill(database, Vault([OLD]))
    before = await everything(database, [OLD])
    with pytest.raises(WrongSecretKey):
        await everything(database, [NEW])

    counts = await rotate(database, Vault([NEW, OLD]))
    assert counts == {"integrations": 2, "data_keys": 1, "jebbit_registrations": 1}
    assert await everything(database, [NEW]) == before
    for token in await tokens(database):
        with pytest.raises(WrongSecretKey):
            Vault([OLD]).decrypt(token)


async def test_a_rotation_that_cannot_read_one_secret_changes_none(database):
    """All or nothing, and it says what is missing."""
    await fill(database, Vault([OLD]))
    await rotate(database, Vault([NEW, OLD]))
    await Integrations(database, Vault([OLD])).create(
        new_integration(name="Winter quiz"), paused_reason=None, now=NOW
    )
    before = await tokens(database)
    with pytest.raises(WrongSecretKey, match="add the old one to it, after a comma"):
        await rotate(database, Vault([NEW]))
    assert await tokens(database) == before


def test_the_command_rotates_and_says_so(command, sqlite_url):
    """The new key alone is refused in one line; with both it counts; then the new one serves."""

    async def filled():
        database = Database(sqlite_url)
        await database.migrate()
        await fill(database, Vault([OLD]))
        await database.close()

    def rotated(secret_key):
        return command("rotate-secrets", DATABASE_URL=sqlite_url, SECRET_KEY=secret_key)

    asyncio.run(filled())
    refused = rotated(NEW)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("SECRET_KEY is not the one this ledger was written with")
    assert refused.err.count("\n") == 1

    done = rotated(f"{NEW},{OLD}")
    assert done.code == 0, done.err
    assert "2 in integrations, 1 in data_keys, 1 in jebbit_registrations" in done.out
    assert "can be dropped" in done.out
    assert rotated(NEW).code == 0
    assert rotated(OLD).code == 2
