"""What the tests of the ledger share: a ledger with an integration, and short words to fill it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from sqlalchemy import select, text

from app.ledger.accepting import Accepted, Arrival, NewSubmission, accept
from app.ledger.claims import Claim, Settlement, claim, settle
from app.ledger.database import Database
from app.ledger.integrations import Integrations, StoredIntegration
from app.ledger.schema import SubmissionStatus, contacts, submissions
from app.ledger.vault import Vault
from app.rules.integration import Integration
from tests.conftest import SECRET_KEY, integration_body

NOW = 1_700_000_000.0
_numbers = count(1)


def new_integration(**overrides: Any) -> Integration:
    """Return an integration of the tests' usual body."""
    body = integration_body("https://admin.cordial.io", **overrides)
    del body["state"]
    return Integration.model_validate(body)


def item(contact: str | None, content: str, session: str | None = None, **more: Any) -> Any:
    """Return a readable item; the digests are plain words here, equal where the input is."""
    return NewSubmission(
        payload=json.dumps({"email": contact, "content": content}).encode(),
        readable=True,
        contact_key=contact,
        content=content,
        session_key=f"{session} {content}" if session else None,
        **more,
    )


UNREADABLE = NewSubmission(b"42", readable=False)


def arrival(*items: NewSubmission, **more: Any) -> Arrival:
    """Return a webhook with these items, by default under a signature of its own."""
    usual = {
        "integration_id": "spring-quiz",
        "fingerprint": f"signature {next(_numbers)}",
        "expires_at": NOW + 300,
        "received_at": NOW,
        "test": False,
    }
    return Arrival(items=items, **{**usual, **more})


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

SOMEBODY_WAITS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_POLL = 0.01  # s


@dataclass
class Ledger:
    """A ledger with the integration `spring-quiz`."""

    database: Database
    integrations: Integrations

    async def create(self, name: str, **overrides: Any) -> StoredIntegration:
        """Create another integration that sends."""
        new = new_integration(name=name, **overrides)
        return await self.integrations.create(new, paused_reason=None, now=NOW)

    async def accept(self, *items: NewSubmission, **more: Any) -> Accepted:
        """Accept one webhook with these items."""
        (accepted,) = await accept(self.database, [arrival(*items, **more)])
        assert isinstance(accepted, Accepted)
        return accepted

    async def claim(self, now: float = NOW, limit: int = 10) -> list[Claim]:
        """Claim what is due."""
        return await claim(self.database, now, limit)

    async def deliver(self, claims: Sequence[Claim], now: float = NOW) -> list[bool]:
        """Settle claims as delivered."""
        delivered = [Settlement(each, SubmissionStatus.DELIVERED) for each in claims]
        return await settle(self.database, delivered, now)

    async def rows(self, *columns: str) -> list[Any]:
        """Return these columns of all submissions, in order of receipt."""
        async with self.database.read() as connection:
            wanted = [submissions.c[name] for name in columns]
            found = await connection.execute(select(*wanted).order_by(submissions.c.seq))
            return [row[0] if len(columns) == 1 else tuple(row) for row in found]

    async def contact(self, key: str) -> Any:
        """Return a contact's row, or None."""
        async with self.database.read() as connection:
            found = await connection.execute(select(contacts).filter_by(contact_key=key))
            return found.one_or_none()

    async def run(self, statement: Any) -> None:
        """Execute a statement."""
        async with self.database.write() as connection:
            await connection.execute(text(statement) if isinstance(statement, str) else statement)


async def settle_next(ledger: Ledger, status: SubmissionStatus, **more: Any) -> str:
    """Claim the one that is due and settle it."""
    (mine,) = await ledger.claim()
    await settle(ledger.database, [Settlement(mine, status, **more)], NOW)
    return mine.id


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    made = Ledger(database, Integrations(database, Vault([SECRET_KEY])))
    await made.create("Spring quiz")
    return made


@pytest.fixture
async def another_database(
    database_url: str, database: Database
) -> AsyncIterator[Callable[[], Awaitable[Database]]]:
    """Open the same ledger once more, as another process would."""
    opened: list[Database] = []

    async def open_one() -> Database:
        opened.append(Database(database_url))
        await opened[-1].migrations()
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()


async def until(ledger: Ledger, question: str) -> None:
    """Return once the answer to a question is yes, or a number."""
    async with asyncio.timeout(10):
        while True:
            async with ledger.database.read() as connection:
                if await connection.scalar(text(question)):
                    return
            await asyncio.sleep(_POLL)
