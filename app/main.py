"""The composition root: the one place where things are built and wired."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from app.api import health, integrations, problems, submissions, webhooks
from app.api.state import State
from app.cordial.client import open_http
from app.delivery.accounts import Accounts
from app.delivery.notifier import Notifier
from app.delivery.sending import Sender
from app.delivery.worker import SteadyClock, Worker
from app.ledger.accepting import Accepted, Arrival, IntegrationGone, accept
from app.ledger.database import Database
from app.ledger.group_commit import GroupCommit
from app.ledger.integrations import Integrations
from app.ledger.retention import Retention
from app.ledger.vault import Pseudonyms, Vault
from app.settings import Secrets, Settings, load_secrets

_DAY = 86_400.0
_GROUP_BYTES = 4 * 1024 * 1024  # of payload in one commit
_WAITING_BYTES = 64 * 1024 * 1024  # of payload waiting for one, before webhooks are turned away
_ARRIVAL_BYTES = 512  # what an arrival weighs besides its payload

_DESCRIPTION = """
Receives Jebbit's experience-completion webhooks and keeps Cordial's contacts right.

**When something is wrong**: `GET /stats` for how much is pending or dead, `GET /integrations` for
which integration does not send and why, `GET /submissions?status=dead` for what a person must
look at. `GET /submissions/{id}` explains one; mend the cause, then replay it.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """The service's parts, on an open and migrated ledger."""

    database: Database
    integrations: Integrations
    pseudonyms: Pseudonyms
    accounts: Accounts
    worker: Worker


@asynccontextmanager
async def open_parts(settings: Settings, secrets: Secrets) -> AsyncIterator[Parts]:
    """Open the ledger and the connections to Cordial; both are closed at the end."""
    database = Database(settings.database_url)
    vault = Vault(secrets.secret_keys)
    try:
        await database.migrate()
        pseudonyms = await database.pseudonyms(vault)
        stored = Integrations(database, vault)
        clock = SteadyClock()
        async with open_http(settings.delivery_concurrency) as http:
            accounts = Accounts(
                http,
                timeout=settings.cordial_timeout_seconds,
                extra_hosts=settings.cordial_extra_hosts,
            )
            sender = Sender(
                accounts,
                pseudonyms,
                eu_countries=settings.eu_countries,
                delays=settings.retry_delays_seconds,
                clock=clock,
            )
            worker = Worker(
                database,
                stored,
                sender,
                concurrency=settings.delivery_concurrency,
                retention=Retention(
                    delivered=settings.retention_days * _DAY,
                    skipped=settings.skipped_retention_days * _DAY,
                ),
                clock=clock,
            )
            async with _notifying(settings, database, http, clock):
                yield Parts(database, stored, pseudonyms, accounts, worker)
    finally:
        await database.close()


@asynccontextmanager
async def _notifying(
    settings: Settings, database: Database, http: httpx.AsyncClient, clock: Callable[[], float]
) -> AsyncIterator[None]:
    """Tell of notices meanwhile, where somebody wants to be told."""
    if settings.notify_url is None:
        yield
        return
    ops_url = (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")
    url = settings.notify_url.get_secret_value()
    task = asyncio.create_task(Notifier(database, http, url, ops_url, clock).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def create_app(settings: Settings, clock: Callable[[], float] = time.time) -> FastAPI:
    """Build the service: webhooks, ops API, probes and, unless told otherwise, the worker.

    Raises (when it starts):
        MissingSecret: a secret is not set and cannot be made here.
        WrongSecretKey: the ledger was written with another `SECRET_KEY`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        secrets = load_secrets(settings)
        async with open_parts(settings, secrets) as parts:
            state = _state(settings, secrets, parts, clock)
            app.state.service = state
            delivering = asyncio.create_task(parts.worker.run()) if settings.run_worker else None

            async def drain() -> None:
                state.draining = True
                parts.worker.stop()
                if delivering is not None:
                    await asyncio.shield(delivering)
                await state.accepting.drain()

            app.state.drain = drain
            yield
            await drain()

    app = FastAPI(
        title="Jebbit to Cordial sync",
        description=_DESCRIPTION,
        version="0.1.0",
        lifespan=lifespan,
        swagger_ui_parameters={"persistAuthorization": True},
    )
    problems.install(app)
    for part in (webhooks, integrations, submissions, health):
        app.include_router(part.router)
    problems.describe(app)
    return app


def _state(settings: Settings, secrets: Secrets, parts: Parts, clock: Callable[[], float]) -> State:
    async def commit(group: Sequence[Arrival]) -> Sequence[Accepted | IntegrationGone]:
        return await accept(parts.database, group)

    return State(
        settings=settings,
        ops_token=secrets.ops_token,
        database=parts.database,
        integrations=parts.integrations,
        pseudonyms=parts.pseudonyms,
        accounts=parts.accounts,
        accepting=GroupCommit(
            commit,
            weigh=_weigh,
            group_weight=_GROUP_BYTES,
            waiting_weight=_WAITING_BYTES,
        ),
        wake=parts.worker.wake if settings.run_worker else lambda: None,
        clock=clock,
    )


def _weigh(arrival: Arrival) -> int:
    return _ARRIVAL_BYTES + sum(len(item.payload) for item in arrival.items)


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Deliver, without serving, until `stop` is set.

    Raises:
        MissingSecret, WrongSecretKey: as `create_app`.
    """
    async with open_parts(settings, load_secrets(settings)) as parts:
        running = asyncio.create_task(parts.worker.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        parts.worker.stop()
        await running
        stopping.cancel()
