"""The Cordial accounts of the integrations: a client for each, and its attributes."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

import httpx

from app.cordial.account import BadAccountUrl, api_base
from app.cordial.attributes import Account, AccountAttribute, limits_of
from app.cordial.client import CordialClient
from app.cordial.errors import CordialError
from app.cordial.findings import Finding
from app.cordial.preflight import read_account
from app.egress import STRAIGHT, Routes
from app.ledger.integrations import StoredIntegration
from app.rules.integration import Integration
from app.rules.limits import Limits
from app.rules.values import FieldType
from app.telemetry.metrics import Metrics

_KNOWN_FOR = 300.0  # seconds; after this we see an attribute that somebody created in Cordial
_ASK_AGAIN = 30.0  # seconds after it did not tell
_STANDS_FOR = 3600.0  # seconds that it stands for what Cordial does not tell just now


@dataclass(frozen=True, slots=True)
class _Known:
    """An account's attributes, and until when (unix seconds) we need not ask, and may not."""

    version: int
    until: float
    stands_until: float
    types: Mapping[str, FieldType]


@dataclass(frozen=True, slots=True)
class Described:
    """What an account told of itself, when (`clock` of `Accounts`), and what it did not tell."""

    account: Account
    untold: Sequence[Finding]
    at: float


_Credentials = tuple[str, str]


class Accounts:
    """Keeps a client for each integration, and makes a new one when the integration changes."""

    def __init__(
        self,
        pool: httpx.AsyncBaseTransport,
        *,
        timeout: float,
        extra_hosts: Set[str],
        clock: Callable[[], float] = time.monotonic,
        metrics: Metrics | None = None,
        routes: Routes = STRAIGHT,
    ) -> None:
        """Take the shared pool, the timeout of an answer (s) and hosts besides Cordial's own."""
        self.routes = routes  # that the pool takes
        self._pool = pool
        self._timeout = timeout
        self._extra_hosts = extra_hosts
        self._clock = clock
        self._metrics = metrics or Metrics()
        self._clients: dict[str, tuple[int, CordialClient]] = {}
        self._attributes: dict[str, _Known] = {}
        self._described: dict[_Credentials, Described] = {}
        self._limits: dict[_Credentials, tuple[float, Limits]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[AccountAttribute]]] = {}

    def address(self, account_url: str) -> str:
        """Return the API address of an account.

        Raises:
            BadAccountUrl: we may not send a key to its host.
        """
        return api_base(account_url, self._extra_hosts)

    def base(self, stored: StoredIntegration) -> str:
        """Return the API address of an integration's account.

        Raises:
            BadAccountUrl: we may not, or may no longer, send the key to its host.
        """
        return self.address(stored.integration.cordial.account_url)

    def client(self, stored: StoredIntegration) -> CordialClient:
        """Return the client that contacts are sent by, at the pace of the integration as it is now.

        Raises:
            BadAccountUrl: see `base`.
        """
        version, client = self._clients.get(stored.id, (None, None))
        if client is None or version != stored.version:
            pace = stored.integration.cordial.requests_per_second
            client = self._made(stored.id, stored.integration, pace)
            self._clients[stored.id] = (stored.version, client)
        return client

    def client_of(self, integration_id: str, integration: Integration) -> CordialClient:
        """Return a client to ask an account by, also of an integration as it may be one day.

        A person waits for the few calls of a check: behind what waits for its turn, each of them
        would take as long as the whole line.

        Raises:
            BadAccountUrl: see `address`.
        """
        return self._made(integration_id, integration, None)

    def _made(
        self, integration_id: str, integration: Integration, requests_per_second: float | None
    ) -> CordialClient:
        account = integration.cordial
        return CordialClient(
            self._pool,
            self.address(account.account_url),
            account.api_key.get_secret_value(),
            timeout=self._timeout,
            requests_per_second=requests_per_second,
            observe=partial(self._metrics.cordial_request, integration_id),
        )

    def asking(self, stored: StoredIntegration) -> CordialClient:
        """Return a client to ask an integration's account by; see `client_of`."""
        return self.client_of(stored.id, stored.integration)

    async def _told(self, stored: StoredIntegration) -> list[AccountAttribute]:
        """Ask an integration's account for its attributes; who asks meanwhile gets the same answer.

        What is known grows old for all deliveries at once: each would make a call of its own.

        Raises:
            CordialError: Cordial does not say.
            BadAccountUrl: see `base`.
        """
        of = stored.id, stored.version
        asking = self._asked.get(of)
        if asking is None:
            asking = asyncio.create_task(self.asking(stored).attributes())
            asking.add_done_callback(lambda done: self._answered(of, done))
            self._asked[of] = asking
        return await asyncio.shield(asking)

    def _answered(self, of: tuple[str, int], done: asyncio.Task[list[AccountAttribute]]) -> None:
        del self._asked[of]
        if not done.cancelled():
            done.exception()  # read here, as callers that went away never read it

    async def attributes(self, stored: StoredIntegration) -> Mapping[str, FieldType] | None:
        """Return the account's attributes if unmapped ones may flow, else None.

        What Cordial told within the last hour stands while it does not answer.

        Raises:
            CordialError: Cordial does not say, and nothing is known.
            BadAccountUrl: see `base`.
        """
        if stored.integration.unmapped != "known":
            return None
        known = self._attributes.get(stored.id)
        now = self._clock()
        if known is None or known.version != stored.version or now >= known.until:
            try:
                found = await self._told(stored)
            except CordialError:
                if known is None or known.version != stored.version or now >= known.stands_until:
                    raise
                known = replace(known, until=now + _ASK_AGAIN)
            else:
                self._learn_limits(stored.integration, found)
                types = {each.key: each.type for each in found if each.type is not None}
                known = _Known(stored.version, now + _KNOWN_FOR, now + _STANDS_FOR, types)
            self._attributes[stored.id] = known
        return known.types

    async def describe(
        self, stored: StoredIntegration, *, refresh: bool = False
    ) -> tuple[Described, float]:
        """Return what an integration's account told lately, and how many seconds ago.

        With `refresh`, or where it told nothing lately, it is asked now.

        Raises:
            BadAccountUrl: see `base`.
        """
        known = self._described.get(_credentials(stored.integration))
        if known and not refresh and self._clock() < known.at + _KNOWN_FOR:
            return known, self._clock() - known.at
        account, untold = await read_account(self.asking(stored))
        return self.learn(stored.integration, account, untold), 0.0

    def told(self, stored: StoredIntegration) -> tuple[Described, float] | None:
        """Return what an integration's account last told, and how many seconds ago; None: nothing.

        For what must not wait: the account is not asked.
        """
        known = self._described.get(_credentials(stored.integration))
        return (known, self._clock() - known.at) if known else None

    def learn(
        self, integration: Integration, account: Account, untold: Sequence[Finding] = ()
    ) -> Described:
        """Keep what an account told; what it takes at most holds until it tells otherwise."""
        described = Described(account, untold, self._clock())
        if account.attributes is not None:
            self._learn_limits(integration, account.attributes.values())
        if account.attributes is not None and account.lists is not None:
            self._described[_credentials(integration)] = described
        return described

    async def limits(self, stored: StoredIntegration, *, ask: bool = False) -> Limits:
        """Return what the account's attributes take at most, as far as it is known.

        The account is asked if a rule is to cut what is too long, or with `ask`.
        """
        credentials = _credentials(stored.integration)
        until, known = self._limits.get(credentials, (0.0, {}))
        if not (ask or stored.integration.fields.cuts) or self._clock() < until:
            return known
        try:
            self._learn_limits(stored.integration, await self._told(stored))
        except (CordialError, BadAccountUrl):  # then only what was known can be told
            self._limits[credentials] = self._clock() + _ASK_AGAIN, known
        return self._limits[credentials][1]

    def _learn_limits(
        self, integration: Integration, attributes: Iterable[AccountAttribute]
    ) -> None:
        until = self._clock() + _KNOWN_FOR
        self._limits[_credentials(integration)] = until, limits_of(attributes)


def _credentials(integration: Integration) -> _Credentials:
    """Return what tells one account from another."""
    account = integration.cordial
    return account.account_url, account.api_key.get_secret_value()
