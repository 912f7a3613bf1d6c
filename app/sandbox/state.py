"""The state behind the sandbox's server."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import JsonValue

from app.sandbox.account import Account
from app.sandbox.contacts import Contacts
from app.sandbox.faults import Fault, take_fault
from app.sandbox.journal import Journal
from app.sandbox.rate_limit import RateLimiter
from app.sandbox.switches import Switches


class Sandbox:
    """The state behind the app: set it up and look into it in process, or under `/_sandbox`."""

    contacts: Contacts
    journal: Journal
    faults: list[Fault]
    limiter: RateLimiter
    random: random.Random
    seed: int
    latency_seconds: float

    def __init__(self, account: Account, switches: Switches) -> None:
        self._first_switches = switches
        self.clock: Callable[[], float] = time.time
        self._start(account)

    def _start(self, account: Account) -> None:
        self.contacts = Contacts(account, self._first_switches.model_copy())
        self.journal = Journal()
        self.faults = []
        self.limiter = RateLimiter()
        self.latency_seconds = 0.0
        self.reseed(0)

    def reset(self) -> None:
        """Put everything back to the start, but for the account."""
        self._start(self.account)

    def reseed(self, seed: int) -> None:
        """Restart the randomness of faults."""
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - repeatable faults, nothing secret

    @property
    def account(self) -> Account:
        """What the account knows: attributes, lists, channels, keys."""
        return self.contacts.account

    @account.setter
    def account(self, account: Account) -> None:
        self.contacts.account = account

    @property
    def switches(self) -> Switches:
        """How the open questions of the contract are answered now."""
        return self.contacts.switches

    @switches.setter
    def switches(self, switches: Switches) -> None:
        self.contacts.switches = switches

    def now(self) -> datetime:
        """The clock's time, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def next_fault(self, email: str | None, path: str, body: JsonValue) -> Fault | None:
        """Take the first fault that hits a request with this email, path and body, if any."""
        return take_fault(self.faults, email, path, body, self.random)
