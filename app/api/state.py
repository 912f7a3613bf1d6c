"""What the handlers work with; built in `main`, found on each request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.bodies import Arriving
from app.children import Delivering
from app.ledger.accepting import Accepted, Arrival, IntegrationGone
from app.ledger.database import Database
from app.ledger.figures import LedgerFigures
from app.ledger.group_commit import GroupCommit
from app.ledger.integrations import Integrations
from app.ledger.readiness import Readiness
from app.ledger.vault import Pseudonyms
from app.operations.context import Context
from app.operations.tallying import RefusedLog
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces


@dataclass(slots=True)
class State:
    """The parts of the running service that requests use."""

    settings: Settings
    context: Context  # what operations work with; the next five are for webhooks and probes
    database: Database
    integrations: Integrations
    pseudonyms: Pseudonyms
    clock: Callable[[], float]
    wake: Callable[[], None]
    arriving: Arriving
    accepting: GroupCommit[Arrival, Accepted | IntegrationGone]
    metrics: Metrics
    traces: Traces
    figures: LedgerFigures
    readiness: Readiness
    refused: RefusedLog
    stalled: Callable[[], str | None]  # says what keeps the process from working, if anything
    delivering: Callable[[], Delivering]
    draining: bool = False


def state_of(request: Request) -> State:
    """Return the service's state."""
    return cast(State, request.app.state.service)


def context_of(request: Request) -> Context:
    """Return what operations work with."""
    return state_of(request).context


def outside_url_of(request: Request) -> str:
    """Return the address by which the outside reaches the service, without a slash at its end."""
    return (state_of(request).settings.public_url or str(request.base_url)).rstrip("/")


CurrentState = Annotated[State, Depends(state_of)]
CurrentContext = Annotated[Context, Depends(context_of)]
OutsideUrl = Annotated[str, Depends(outside_url_of)]
