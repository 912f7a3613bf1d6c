"""What we set up at Jebbit through its API, and the credentials we are to remember."""

import json
from dataclasses import asdict, dataclass, replace

from sqlalchemy import delete, insert, select, update

from app.jebbit.credentials import ApiCredentials
from app.ledger.database import Database
from app.ledger.integrations import UnknownIntegration
from app.ledger.schema import integrations, jebbit_registrations
from app.ledger.vault import Vault

_table = jebbit_registrations


@dataclass(frozen=True, slots=True)
class Registration:
    """An integration's counterpart at Jebbit; `created_at` is in unix seconds."""

    integration_id: str
    jebbit_id: str
    credentials: ApiCredentials | None
    created_at: float


class RegisteredMeanwhile(Exception):
    """Somebody else registered the integration meanwhile, as Jebbit's `jebbit_id`."""

    def __init__(self, jebbit_id: str) -> None:
        super().__init__(jebbit_id)
        self.jebbit_id = jebbit_id


class Registrations:
    """The registrations in a ledger; each is deleted together with its integration."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def get(self, integration_id: str) -> Registration | None:
        """Return an integration's registration; None if there is none."""
        wanted = select(_table).where(_table.c.integration_id == integration_id)
        async with self._database.read() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            return None
        credentials = self._opened(row.credentials) if row.credentials is not None else None
        return Registration(row.integration_id, row.jebbit_id, credentials, row.created_at)

    async def keep(self, registration: Registration, *, before: str | None = None) -> None:
        """Store a registration; it replaces the one that was looked at, Jebbit's id `before`.

        Raises:
            UnknownIntegration: its integration is gone.
            RegisteredMeanwhile: another one is there by now.
        """
        its = _table.c.integration_id == registration.integration_id
        row = asdict(replace(registration, credentials=None))
        if registration.credentials is not None:
            row["credentials"] = self._sealed(registration.credentials)
        owner = select(integrations.c.id).where(integrations.c.id == registration.integration_id)
        async with self._database.write() as connection:
            # The lock makes two callers take turns, and keeps the integration from being deleted.
            if await connection.scalar(owner.with_for_update()) is None:
                raise UnknownIntegration(registration.integration_id)
            there = await connection.scalar(select(_table.c.jebbit_id).where(its))
            if there not in (None, before, registration.jebbit_id):
                raise RegisteredMeanwhile(there)
            await connection.execute(delete(_table).where(its))
            await connection.execute(insert(_table), row)

    async def forget_credentials(self, integration_id: str) -> None:
        """Delete the credentials; the registration stays."""
        its = _table.c.integration_id == integration_id
        async with self._database.write() as connection:
            await connection.execute(update(_table).where(its).values(credentials=None))

    def _sealed(self, credentials: ApiCredentials) -> bytes:
        return self._vault.encrypt(json.dumps(asdict(credentials)).encode())

    def _opened(self, token: bytes) -> ApiCredentials:
        return ApiCredentials(**json.loads(self._vault.decrypt(token)))
