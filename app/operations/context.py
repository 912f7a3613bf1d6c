"""The parts that operations work with."""

from collections.abc import Callable
from dataclasses import dataclass

from app.delivery.accounts import Accounts
from app.jebbit_api.client import JebbitApi
from app.ledger.database import Database
from app.ledger.integrations import Integrations
from app.ledger.registrations import Registrations
from app.ledger.vault import Pseudonyms
from app.operations.auditing import Auditor
from app.operations.callers import Tokens
from app.operations.sessions import Sessions
from app.operations.slowdown import Slowdown
from app.rules.jurisdictions import Jurisdictions


@dataclass(frozen=True, slots=True)
class Context:
    """The ledger and the two vendors, as `main` has built them."""

    database: Database
    integrations: Integrations
    registrations: Registrations
    pseudonyms: Pseudonyms
    accounts: Accounts
    jebbit: JebbitApi
    tokens: Tokens
    sessions: Sessions
    slowdown: Slowdown
    auditor: Auditor
    jurisdictions: Jurisdictions
    public_url: str | None  # by which the outside reaches the service, if a setting says so
    clock: Callable[[], float]  # unix seconds
    wake: Callable[[], None]  # tells this process's worker that something may be sent
