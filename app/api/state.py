"""What the handlers work with; built in `main`, found on each request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.api.bodies import Arriving
from app.delivery.accounts import Accounts
from app.ledger.accepting import Accepted, Arrival, IntegrationGone
from app.ledger.database import Database
from app.ledger.figures import LedgerFigures
from app.ledger.group_commit import GroupCommit
from app.ledger.integrations import Integrations
from app.ledger.registrations import Registrations
from app.ledger.vault import Pseudonyms
from app.registration.client import JebbitApi
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.traces import Traces


@dataclass(slots=True)
class State:
    """The parts of the running service that requests use."""

    settings: Settings
    ops_token: str
    database: Database
    integrations: Integrations
    pseudonyms: Pseudonyms
    accounts: Accounts
    registrations: Registrations
    jebbit: JebbitApi
    arriving: Arriving
    accepting: GroupCommit[Arrival, Accepted | IntegrationGone]
    wake: Callable[[], None]
    clock: Callable[[], float]
    metrics: Metrics
    traces: Traces
    figures: LedgerFigures
    stalled: Callable[[], str | None]  # says what keeps the process from working, if anything
    draining: bool = False


def state_of(request: Request) -> State:
    """Return the service's state."""
    return cast(State, request.app.state.service)


def outside_url(request: Request, state: State) -> str:
    """Return the address by which the outside reaches the service, without a slash at its end."""
    return (state.settings.public_url or str(request.base_url)).rstrip("/")


CurrentState = Annotated[State, Depends(state_of)]
