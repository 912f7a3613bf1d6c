"""The composition root: the one place that builds the service's parts and wires them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from app import __version__
from app.api import (
    audit,
    decisions,
    describing,
    docs,
    drafts,
    health,
    integrations,
    metrics,
    problems,
    refusals,
    registration,
    submissions,
    webhooks,
)
from app.api.bodies import Arriving
from app.api.limits import BodyLimit
from app.api.prefix import UnderPrefix
from app.api.requests import RequestIds
from app.api.state import State
from app.children import Children, Delivering, Parent
from app.console import routes as console
from app.console.state import Console
from app.delivery.accounts import Accounts
from app.delivery.notifier import Notifier
from app.delivery.sending import Sender
from app.delivery.worker import SteadyClock, Worker
from app.ending import on_signals
from app.jebbit_api.client import JebbitApi
from app.ledger import holders
from app.ledger.accepting import Accepted, Arrival, IntegrationGone, accept
from app.ledger.clock import zero_at
from app.ledger.database import Database
from app.ledger.figures import LedgerFigures
from app.ledger.group_commit import GroupCommit
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
from app.operations.tallying import RefusedLog
from app.pool import Pool, client_on, open_pool
from app.settings import Secrets, Settings, load_secrets, traces_exporter
from app.telemetry.logs import place_of
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces, open_traces

log = structlog.get_logger("main")

_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
_DAY = 86_400.0
_GROUP_BYTES = 4 * 1024 * 1024  # the most payload in one commit
_WAITING_BYTES = 64 * 1024 * 1024  # more payload waiting for a commit: webhooks get 503
_STORE_SECONDS = 8.0  # a commit that takes longer: its webhooks get 503
_GATHER_SECONDS = 0.002  # pause between commits under load: fewer, larger ones are cheaper
_ARRIVAL_BYTES = 512  # how much an arrival weighs besides its payload
_ITEM_BYTES = 4_096  # and each of its submissions: a small row takes as long as so much payload

_DESCRIPTION = """
Receives Jebbit's experience-completion webhooks and keeps Cordial's contacts right.

**When something is wrong**: `GET /stats` for how much is pending or dead, `GET /integrations` for
which integration does not send and why, `GET /submissions?status=dead` for what a person must
look at. `GET /submissions/{id}` explains one; mend the cause, then replay it.
"""

_GROUPS = {
    "webhooks": "What Jebbit calls; no token, a signature.",
    "integrations": "Set up, check, preview, resume; change, pause, rotate, delete.",
    "jebbit": "Set up Jebbit's side by its API, instead of by hand.",
    "submissions": "Find, explain and send again what came in; erase a person.",
    "audit": "Who changed what, and which tokens were refused.",
    "health": "For probes and monitoring.",
}


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


def create_app(
    settings: Settings, clock: Callable[[], float] = time.time, *, processes: int = 1
) -> FastAPI:
    """Build the service: webhooks, ops API, probes and, unless turned off, pages and worker.

    With more than one process, all others deliver and this one only receives.

    Raises (when it starts):
        MissingSecret: a secret is not set and cannot be made here.
        WrongSecretKey: the ledger was written with another `SECRET_KEY`.
    """
    routes = (
        webhooks,
        integrations,
        registration,
        submissions,
        decisions,
        drafts,
        audit,
        health,
        metrics,
    )
    pages = (docs, console) if settings.console else ()
    return _build(settings, clock, [each.router for each in (*routes, *pages)], processes)


def create_worker_app(settings: Settings) -> FastAPI:
    """Build a worker that shows only its probes and metrics; raises as `create_app`."""
    delivering = settings.model_copy(update={"run_worker": True})
    return _build(delivering, time.time, [health.router, metrics.router])


def _build(
    settings: Settings,
    clock: Callable[[], float],
    routers: Sequence[APIRouter],
    processes: int = 1,
) -> FastAPI:
    arriving = Arriving()
    delivers = settings.run_worker and processes == 1

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        secrets = load_secrets(settings)
        children = Children(processes - 1, settings)
        wake = None if delivers else children.wake
        async with (
            open_parts(settings, secrets, clock, wake) as parts,
            children.delivering(parts.metrics),
        ):
            state = _state(settings, secrets, parts, arriving)
            app.state.service = state
            app.state.console = Console(parts.context, settings.public_url)
            noting = asyncio.create_task(state.refused.run())
            delivering = asyncio.create_task(parts.worker.run()) if delivers else None
            if delivering is not None:
                delivering.add_done_callback(_tell_of_death)

            async def drain() -> None:
                state.draining = True
                parts.worker.stop()
                if delivering is not None:  # `wait` does not raise, though the worker may have died
                    await asyncio.wait([delivering])
                await children.drain()
                await state.accepting.drain()

            def stalled() -> str | None:
                died = delivering is not None and delivering.done() and not state.draining
                if died:
                    return "The worker has died."
                return parts.worker.stalled() or children.stalled()

            def delivering_now() -> Delivering:
                if not settings.run_worker:
                    return "elsewhere"
                if not delivers:
                    return children.state()
                return "failing" if stalled() else "yes"

            state.stalled = stalled
            state.delivering = delivering_now
            app.state.drain = drain
            yield
            await drain()
            noting.cancel()

    made_by = _Service if webhooks.router in routers else FastAPI
    app = made_by(
        title="Jebbit to Cordial sync",
        description=_DESCRIPTION,
        version=__version__,
        openapi_tags=[{"name": name, "description": text} for name, text in _GROUPS.items()],
        contact={"name": "The team that runs this service"},
        servers=[{"url": settings.path_prefix or "/", "description": "This service"}],
        generate_unique_id_function=describing.operation_id,
        lifespan=lifespan,
        redirect_slashes=False,  # behind a proxy the redirect would send the token over plain http
        # FastAPI's own telemetry would put queries, which hold addresses, into traces.
        telemetry=_NO_TELEMETRY,
        docs_url=None,  # from files of our own; see api.docs
        redoc_url=None,
    )
    if isinstance(app, _Service):
        app.prefix = settings.path_prefix
    problems.install(app)
    refusals.install(app)
    app.add_middleware(BodyLimit, arriving=arriving)
    app.add_middleware(RequestIds)
    for router in routers:
        app.include_router(router)
    describing.describe(app)
    return app


class _Service(FastAPI):
    """An application under a prefix, that takes webhooks in before routing and middleware."""

    prefix = ""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the webhooks' door before everything else, and before that the prefix."""
        inner: ASGIApp = webhooks.Door(super().build_middleware_stack())
        return UnderPrefix(inner, self.prefix) if self.prefix else inner


def _tell_of_death(worker: asyncio.Task[None]) -> None:
    error = asyncio.CancelledError() if worker.cancelled() else worker.exception()
    if error is not None:
        log.error("worker_died", error=place_of(error))


def _state(settings: Settings, secrets: Secrets, parts: Parts, arriving: Arriving) -> State:
    context = parts.context

    async def commit(group: Sequence[Arrival]) -> Sequence[Accepted | IntegrationGone]:
        started = time.perf_counter()
        accepted = await accept(context.database, group)
        parts.metrics.commit("webhooks", len(group), time.perf_counter() - started)
        return accepted

    return State(
        settings=settings,
        context=context,
        database=context.database,
        integrations=context.integrations,
        pseudonyms=context.pseudonyms,
        clock=context.clock,
        wake=context.wake,
        arriving=arriving,
        accepting=GroupCommit(
            commit,
            weigh=_weigh,
            source=lambda arrival: arrival.integration_id,
            group_weight=_GROUP_BYTES,
            waiting_weight=_WAITING_BYTES,
            seconds=_STORE_SECONDS,
            gather=_GATHER_SECONDS,
        ),
        metrics=parts.metrics,
        traces=parts.traces,
        figures=LedgerFigures(context.database),
        readiness=parts.readiness,
        refused=RefusedLog(context.database),
        stalled=parts.worker.stalled,
        delivering=lambda: "yes",
    )


def _weigh(arrival: Arrival) -> int:
    return _ARRIVAL_BYTES + sum(_ITEM_BYTES + len(item.payload) for item in arrival.items)


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
