"""What the tests of delivery share: a worker on a real ledger, with a clock that tests turn."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from pydantic_core import to_json
from sqlalchemy import func, select

from app.delivery.accounts import Accounts
from app.delivery.schedule import DELAYS
from app.delivery.sending import Sender
from app.delivery.worker import Worker
from app.jebbit.submission import parse
from app.ledger.accepting import Accepted, Arrival, NewSubmission, accept
from app.ledger.database import Database
from app.ledger.documents import document_of
from app.ledger.holders import Holder
from app.ledger.integrations import Integrations, StoredIntegration
from app.ledger.retention import Retention
from app.ledger.schema import contacts, notices, submissions
from app.ledger.submissions import StoredSubmission, find
from app.ledger.vault import Pseudonyms, Vault
from app.pool import open_pool
from app.rules.integration import Integration, merge_patch
from app.rules.jurisdictions import DEFAULT_JURISDICTIONS
from app.rules.plan import facts
from app.sandbox.faults import Fault
from app.telemetry.metrics import Metrics
from tests.conftest import SECRET_KEY, SandboxServer, integration_body
from tests.waiting import pause

_numbers = count(1)


@dataclass
class Clock:
    """Unix seconds, as turned."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


class Looks(Metrics):
    """Counts how often a worker has begun to look for work, and tells of each."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.begun = asyncio.Event()

    def round(self) -> None:
        """Count one."""
        self.count += 1
        self.begun.set()
        super().round()


@dataclass
class Line:
    """The way from the ledger to the sandbox, with workers that run in this test."""

    database: Database
    integrations: Integrations
    pseudonyms: Pseudonyms
    cordial: SandboxServer
    clock: Clock
    stack: AsyncExitStack
    workers: list[Worker] = field(default_factory=list)
    running: list[asyncio.Task[None]] = field(default_factory=list)
    looks: list[Looks] = field(default_factory=list)

    async def create(self, **overrides: Any) -> StoredIntegration:
        """Create an integration that sends to the sandbox."""
        body = integration_body(self.cordial.url, **overrides)
        paused = "Paused by a person." if body.pop("state") == "paused" else None
        integration = Integration.model_validate(body)
        return await self.integrations.create(integration, paused_reason=paused, now=self.clock())

    async def change(self, integration_id: str = "spring-quiz", **patch: Any) -> None:
        """Change an integration, as PATCH does."""

        def change(before: Integration) -> Integration:
            return Integration.model_validate(merge_patch(document_of(before), patch))

        await self.integrations.change(integration_id, change, now=self.clock())
        self.wake()

    async def accept(self, *bodies: Any, to: str = "spring-quiz") -> list[str]:
        """Accept one webhook of these submissions, as the API does; return their ids."""
        stored = await self.integrations.get(to)
        new = []
        for each in parse(json.dumps(bodies).encode()):
            assert each.submission is not None
            known = facts(each.submission, stored.integration, self.clock())
            keys = self.pseudonyms.keys(known.identity.email, known.identity.phone)
            content = to_json(dict(sorted(each.submission.attributes.items())))
            new.append(
                NewSubmission(
                    payload=each.payload,
                    readable=True,
                    contact_key=keys[0],
                    phone_key=keys[1],
                    content=self.pseudonyms.content(content),
                    occurred_at=known.occurred_at,
                    refused=self.pseudonyms.refused(
                        known.identity.email,
                        known.identity.phone,
                        email_at=known.refusals.email,
                        sms_at=known.refusals.sms,
                    ),
                )
            )
        arrival = Arrival(
            integration_id=to,
            fingerprint=f"signature {next(_numbers)}",
            expires_at=self.clock() + 300,
            received_at=self.clock(),
            test=False,
            items=new,
        )
        (accepted,) = await accept(self.database, [arrival])
        assert isinstance(accepted, Accepted)
        self.wake()
        return accepted.ids

    async def start(
        self,
        *,
        concurrency: int = 50,
        answer_within: float = 10,
        delays: Sequence[float] = DELAYS,
        extra_hosts: frozenset[str] = frozenset(),
        holder: Holder | None = None,
        **lease: float,
    ) -> Worker:
        """Start a worker; the jitter of its schedule is none, its clock is turned by the test.

        `lease` is what the worker takes on leases: `lease_seconds`, `longest_send`.
        """
        http = await self.stack.enter_async_context(open_pool(concurrency))
        hosts = extra_hosts | {self.cordial.host}
        accounts = Accounts(http, timeout=answer_within, extra_hosts=hosts, clock=self.clock)
        sender = Sender(
            accounts,
            self.pseudonyms,
            jurisdictions=DEFAULT_JURISDICTIONS,
            delays=delays,
            clock=self.clock,
            chance=lambda: 0.5,
        )
        worker = Worker(
            self.database,
            self.integrations,
            sender,
            concurrency=concurrency,
            retention=Retention(delivered=1e6, skipped=1e6),
            clock=self.clock,
            metrics=(looks := Looks()),
            holder=holder,
            **lease,
        )
        self.workers.append(worker)
        self.looks.append(looks)
        self.running.append(asyncio.create_task(worker.run()))
        return worker

    def wake(self) -> None:
        """Tell the workers to look."""
        for each in self.workers:
            each.wake()

    def later(self, seconds: float) -> None:
        """Turn the clock on; the workers look what is due then."""
        self.clock.now += seconds
        self.wake()

    async def stop(self) -> None:
        """Stop the workers and wait until they have."""
        for each in self.workers:
            each.stop()
        await asyncio.gather(*self.running)
        self.workers.clear()
        self.running.clear()
        self.looks.clear()

    async def until(self, ready: Callable[[], Any]) -> Any:
        """Return what `ready` gives, or awaits, as soon as it is true."""
        began = time.monotonic()
        while True:
            looked = time.monotonic()
            value = ready()
            value = await value if asyncio.iscoroutine(value) else value
            if value:
                return value
            now = time.monotonic()
            assert now < began + 15, "waited in vain"
            await asyncio.sleep(pause(now - looked, now - began, 0.005))

    async def find(self, submission_id: str) -> StoredSubmission:
        """Return a submission as it stands."""
        return await find(self.database, submission_id)

    async def settled(self, *ids: str) -> list[StoredSubmission]:
        """Return submissions once all of them are settled."""
        await self.statuses(*ids)
        return [await self.find(each) for each in ids]

    async def statuses(self, *ids: str) -> dict[str, str]:
        """Return the statuses of submissions by id, once all of them are settled."""
        these = select(submissions.c.id, submissions.c.status).where(submissions.c.id.in_(ids))

        async def settled() -> dict[str, str]:
            async with self.database.read() as connection:
                found = dict((await connection.execute(these)).all())
            return {} if "pending" in found.values() else found

        return dict(await self.until(settled)) if ids else {}

    async def tried(self, submission_id: str, times: int) -> StoredSubmission:
        """Return a submission once that many attempts were spent on it."""

        async def tried() -> StoredSubmission | None:
            found = await self.find(submission_id)
            return found if len(found.attempts) >= times else None

        return await self.until(tried)  # type: ignore[no-any-return]

    async def gate(self, state: str, integration_id: str = "spring-quiz") -> StoredIntegration:
        """Return the integration once its gate is in this state."""

        async def turned() -> StoredIntegration | None:
            found = await self.integrations.get(integration_id)
            return found if found.gate.state == state else None

        return await self.until(turned)  # type: ignore[no-any-return]

    async def quiet(self) -> int:
        """Return how many requests Cordial got, once nothing is under way and nothing is due.

        For what must not happen, on a machine of any speed: every worker has looked for work after
        this was called, and neither then nor since has anything moved.
        """

        async def unmoved() -> bool:
            before = await self._standing()
            await self.looked_again()
            return before[0] == 0 and await self._standing() == before

        await self.until(unmoved)
        return len(self.cordial.bodies())

    async def looked_again(self) -> None:
        """Return when every worker has begun and ended a look for work."""
        assert self.workers
        # The look that goes on now may have begun before; the next is over when one more begins.
        wanted = [(each, each.count + 2) for each in self.looks]
        async with asyncio.timeout(15):
            for each, many in wanted:
                while each.count < many:
                    each.begun.clear()
                    self.wake()
                    await each.begun.wait()

    async def _standing(self) -> tuple[int, int, int]:
        """Count the contacts under way, the submissions that wait, and what Cordial got."""
        async with self.database.read() as connection:
            waiting = await connection.scalar(
                select(func.count()).select_from(submissions).filter_by(status="pending")
            )
        return await self.leased(), waiting or 0, len(self.cordial.bodies())

    async def leased(self) -> int:
        """Count the contacts under way."""
        these = select(func.count()).select_from(contacts).where(contacts.c.lease.is_not(None))
        async with self.database.read() as connection:
            return await connection.scalar(these) or 0

    async def announced(self) -> list[str]:
        """Return the kinds of the notices that there are, in order."""
        kinds = select(notices.c.kind).order_by(notices.c.id)
        async with self.database.read() as connection:
            return [*await connection.scalars(kinds)]

    def fail(self, kind: str, **more: Any) -> None:
        """Make Cordial fail, until cleared or as often as `times` says."""
        self.cordial.sandbox.faults.append(Fault(kind=kind, **more))

    def mend(self) -> None:
        """Let Cordial work again."""
        self.cordial.sandbox.faults.clear()


@pytest.fixture
async def line(database: Database, sandbox_server: SandboxServer) -> AsyncIterator[Line]:
    vault = Vault([SECRET_KEY])
    async with AsyncExitStack() as stack:
        made = Line(
            database,
            Integrations(database, vault),
            await database.pseudonyms(vault),
            sandbox_server,
            Clock(),
            stack,
        )
        yield made
        await made.stop()


def person(name: str = "ann", **attributes: Any) -> dict[str, Any]:
    """Return a submission of a person who opted in."""
    return {"email": f"{name}@example.com", "opt_in": "true", **attributes}
