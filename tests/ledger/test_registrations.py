"""What was set up at Jebbit is kept with its integration, credentials only when asked."""

import pytest
from sqlalchemy import text

from app.jebbit.credentials import ApiCredentials
from app.ledger.integrations import UnknownIntegration
from app.ledger.registrations import Registration, Registrations
from app.ledger.vault import Vault
from tests.conftest import SECRET_KEY
from tests.ledger.conftest import NOW

CREDENTIALS = ApiCredentials("client", "the-client-secret", "biz1")


@pytest.fixture
def registrations(ledger):
    return Registrations(ledger.database, Vault([SECRET_KEY]))


async def credentials_column(ledger):
    async with ledger.database.read() as connection:
        return await connection.scalar(text("SELECT credentials FROM jebbit_registrations"))


@pytest.mark.parametrize("credentials", [None, CREDENTIALS], ids=["not remembered", "remembered"])
async def test_a_registration_comes_back_as_it_was_kept(ledger, registrations, credentials):
    """On disk there is at most something encrypted."""
    assert await registrations.get("spring-quiz") is None
    kept = Registration("spring-quiz", "jebbit1", credentials, NOW)
    await registrations.keep(kept)
    assert await registrations.get("spring-quiz") == kept
    stored = await credentials_column(ledger)
    assert (stored is None) == (credentials is None)
    assert b"client" not in (stored or b"")


async def test_a_later_registration_takes_the_place_of_the_earlier(registrations):
    """Credentials remembered for the earlier one go with it."""
    await registrations.keep(Registration("spring-quiz", "jebbit1", CREDENTIALS, NOW))
    later = Registration("spring-quiz", "jebbit2", None, NOW + 1)
    await registrations.keep(later, before="jebbit1")
    assert await registrations.get("spring-quiz") == later


async def test_credentials_can_be_forgotten(ledger, registrations):
    """The registration stays."""
    await registrations.keep(Registration("spring-quiz", "jebbit1", CREDENTIALS, NOW))
    await registrations.forget_credentials("spring-quiz")
    assert await registrations.get("spring-quiz") == Registration(
        "spring-quiz", "jebbit1", None, NOW
    )
    assert await credentials_column(ledger) is None


async def test_a_registration_goes_with_its_integration(ledger, registrations):
    """A later one of the same name does not find it; none is kept for one that is gone."""
    await registrations.keep(Registration("spring-quiz", "jebbit1", CREDENTIALS, NOW))
    await ledger.integrations.delete("spring-quiz", force=False, now=NOW)
    with pytest.raises(UnknownIntegration):
        await registrations.keep(Registration("spring-quiz", "jebbit1", CREDENTIALS, NOW))
    await ledger.create("Spring quiz")
    assert await registrations.get("spring-quiz") is None
