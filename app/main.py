"""The composition root of the web service: the parts, and what serves them over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

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
from app.children import Children, Delivering
from app.console import routes as console
from app.console.state import Console
from app.ledger.accepting import Accepted, Arrival, IntegrationGone, accept
from app.ledger.figures import LedgerFigures
from app.ledger.group_commit import GroupCommit
from app.operations.tallying import RefusedLog
from app.parts import Parts, open_parts
from app.settings import Secrets, Settings, load_secrets
from app.telemetry.logs import place_of

log = structlog.get_logger("main")

_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
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
