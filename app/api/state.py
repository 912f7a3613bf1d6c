"""What the handlers work with; built in `main`, found on each request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.delivery.accounts import Accounts
from app.ledger.accepting import Accepted, Arrival, IntegrationGone
from app.ledger.database import Database
from app.ledger.group_commit import GroupCommit
from app.ledger.integrations import Integrations
from app.ledger.vault import Pseudonyms
from app.settings import Settings


@dataclass(slots=True)
class State:
    """The parts of the running service that requests use."""

    settings: Settings
    ops_token: str
    database: Database
    integrations: Integrations
    pseudonyms: Pseudonyms
    accounts: Accounts
    accepting: GroupCommit[Arrival, Accepted | IntegrationGone]
    wake: Callable[[], None]
    clock: Callable[[], float]
    draining: bool = False


def state_of(request: Request) -> State:
    """Return the service's state."""
    return cast(State, request.app.state.service)


CurrentState = Annotated[State, Depends(state_of)]
