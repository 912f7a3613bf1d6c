"""The composition root of everything but the web: the parts that receive, operate and deliver.

A process that only delivers, and a command beside the service, load no web framework.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from app import __version__
from app.children import Parent
from app.delivery.accounts import Accounts
from app.delivery.notifier import Notifier
from app.delivery.sending import Sender
from app.delivery.worker import SteadyClock, Worker
from app.ending import on_signals
from app.jebbit_api.client import JebbitApi
from app.ledger import holders
from app.ledger.clock import zero_at
from app.ledger.database import Database
from app.ledger.integrations import Integrations
from app.ledger.readiness import Readiness
from app.ledger.registrations import Registrations
from app.ledger.retention import Retention
from app.ledger.standing import end_standing
from app.ledger.vault import Vault
from app.operations.auditing import Auditor
from app.operations.callers import Tokens
from app.operations.context import Context
from app.operations.sessions import Sessions
from app.operations.slowdown import Slowdown
from app.pool import Pool, client_on, open_pool
from app.settings import Secrets, Settings, load_secrets, traces_exporter
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces, open_traces

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The service's parts, on an open and migrated ledger."""

    context: Context
    readiness: Readiness
    worker: Worker
    metrics: Metrics
    traces: Traces


@asynccontextmanager
async def open_parts(
    settings: Settings,
    secrets: Secrets,
    clock: Callable[[], float] = time.time,
    wake: Callable[[], None] | None = None,
) -> AsyncIterator[Parts]:
    """Open the ledger and the connections to Cordial, and close both at the end.

    Webhooks and the ops API read `clock`; delivery has a steady clock of its own. `wake` is called
    when something is due, instead of our worker.
    """
    database = open_database(settings)
    vault = Vault(secrets.secret_keys)
    tokens = Tokens(secrets.ops_tokens)
    counted, traces = Metrics(__version__), open_traces(traces_exporter())
    try:
        await database.migrate()
        pseudonyms = await database.pseudonyms(vault)
        stored = Integrations(database, vault)
        steady = SteadyClock(await zero_at(database))
        async with (
            open_pool(settings.delivery_concurrency, settings.routes) as pool,
            client_on(pool) as http,
            holders.alive(database, settings.data_dir) as holder,
        ):
            accounts = _accounts(settings, pool, counted)
            sender = Sender(
                accounts,
                pseudonyms,
                jurisdictions=settings.jurisdictions,
                delays=settings.retry_delays_seconds,
                clock=steady,
            )
            worker = Worker(
                database,
                stored,
                sender,
                concurrency=settings.delivery_concurrency,
                retention=Retention(
                    delivered=settings.retention_days * _DAY,
                    skipped=settings.skipped_retention_days * _DAY,
                    decisions=settings.decision_retention_days * _DAY,
                ),
                clock=steady,
                metrics=counted,
                traces=traces,
                lease_seconds=settings.lease_seconds,
                longest_send=settings.cordial_timeout_seconds,
                holder=holder,
            )
            context = Context(
                database,
                stored,
                Registrations(database, vault),
                pseudonyms,
                accounts,
                JebbitApi(http, settings.jebbit_api_url),
                tokens,
                Sessions(vault, tokens, clock),
                Slowdown(),
                Auditor(database, clock),
                jurisdictions=settings.jurisdictions,
                public_url=settings.public_url,
                clock=clock,
                wake=wake or worker.wake,
            )
            async with (
                _beside(end_standing(database)),
                _notifying(settings, database, http, steady),
            ):
                yield Parts(context, Readiness(database, vault), worker, counted, traces)
    finally:
        await database.close()
        await asyncio.to_thread(traces.close)  # it may wait for the collector


@asynccontextmanager
async def _notifying(
    settings: Settings, database: Database, http: httpx.AsyncClient, clock: Callable[[], float]
) -> AsyncIterator[None]:
    """Post notices to NOTIFY_URL, if it is set, until the block ends."""
    if settings.notify_url is None:
        yield
        return
    ops_url = (settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")
    url = settings.notify_url.get_secret_value()
    async with _beside(Notifier(database, http, url, ops_url, clock).run()):
        yield


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have this done until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def open_database(settings: Settings) -> Database:
    """Return the ledger's database; it is reached when it is first used."""
    return Database(settings.database_url, pooled=settings.database_pooler is not None)


@asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[tuple[Database, Vault]]:
    """Open only the ledger, for a command that works beside the service.

    Raises:
        MissingSecret, WrongSecretKey: as `create_app`.
    """
    database, vault = open_database(settings), Vault(load_secrets(settings).secret_keys)
    try:
        await database.migrate()
        await database.pseudonyms(vault)  # raises if SECRET_KEY is not the ledger's
        yield database, vault
    finally:
        await database.close()


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Open what operations need, for a command that works beside the service.

    Raises:
        MissingSecret, WrongSecretKey: as `create_app`.
    """
    nobody = Tokens([])
    async with (
        open_ledger(settings) as (database, vault),
        open_pool(1, settings.routes) as pool,
        client_on(pool) as http,
    ):
        yield Context(
            database,
            Integrations(database, vault),
            Registrations(database, vault),
            await database.pseudonyms(vault),
            _accounts(settings, pool, Metrics(__version__)),
            JebbitApi(http, settings.jebbit_api_url),
            nobody,
            Sessions(vault, nobody, time.time),
            Slowdown(),
            Auditor(database, time.time),
            jurisdictions=settings.jurisdictions,
            public_url=settings.public_url,
            clock=time.time,
            wake=_nobody,
        )


def _nobody() -> None:
    """Wake no worker: this process has none, and those of other processes poll."""


def _accounts(settings: Settings, pool: Pool, metrics: Metrics) -> Accounts:
    return Accounts(
        pool,
        routes=pool.routes,
        timeout=settings.cordial_timeout_seconds,
        extra_hosts=settings.cordial_extra_hosts,
        metrics=metrics,
    )


async def run_worker(settings: Settings) -> None:
    """Deliver, without serving, until a signal asks to end; then finish what is under way.

    Raises:
        MissingSecret, WrongSecretKey: as `create_app`.
    """
    async with open_parts(settings, load_secrets(settings)) as parts:
        await _run(parts.worker)


async def run_child(settings: Settings, parent: Parent) -> None:
    """Deliver as `run_worker` does, for the process that has started this one, and end with it."""
    async with (
        open_parts(settings, load_secrets(settings)) as parts,
        parent.told(parts.worker.wake, parts.metrics, parts.worker.stalled),
    ):
        await _run(parts.worker)


async def _run(worker: Worker) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    # Not earlier: nothing is under way while the ledger opens, which may take long.
    with on_signals(lambda: loop.call_soon_threadsafe(stop.set)):
        running = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        worker.stop()
        await running
        stopping.cancel()
