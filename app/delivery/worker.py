"""The worker: claims what is due, sends it, settles what came of it."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from app.delivery import gate
from app.delivery.sending import LeaseLost, Outcome, Sender, Turn
from app.ledger.claims import (
    LEASE_SECONDS,
    Claim,
    Settlement,
    claim,
    renew,
    settle,
)
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.group_commit import GroupCommit
from app.ledger.integrations import Integrations, StoredIntegration, UnknownIntegration
from app.ledger.notices import prune_notices
from app.ledger.retention import Retention, prune_receipts, wipe_payloads
from app.ledger.schema import GateState, SubmissionStatus
from app.telemetry.logs import place_of

log = structlog.get_logger("delivery")

POLL_SECONDS = 1.0  # how soon what another process accepted is seen
DRAIN_SECONDS = 20.0
_RENEW_SECONDS = LEASE_SECONDS / 3
_PRUNE_SECONDS = 60.0
_LEASE_MARGIN = 5.0  # nothing is sent when less than this is left of a lease
_SETTLE_GROUP = 200


class SteadyClock:
    """Unix seconds that never jump: due times and leases must not, when the clock is set."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self._offset


# What leaves a claim unsettled: it is another's by now, or will be when the lease runs out.
_LEFT: tuple[type[Exception], ...] = (LeaseLost, UnknownIntegration, *UNAVAILABLE)


@dataclass(eq=False, slots=True)
class _Flight:
    """A claim under way."""

    claim: Claim
    leased_until: float


class Worker:
    """Delivers what is due: many contacts at once, one submission of each at a time."""

    def __init__(
        self,
        database: Database,
        integrations: Integrations,
        sender: Sender,
        *,
        concurrency: int,
        retention: Retention,
        clock: Callable[[], float],
    ) -> None:
        """Take the ledger, what sends, how many at once, and how long payloads are kept."""
        self._database = database
        self._integrations = integrations
        self._sender = sender
        self._concurrency = concurrency
        self._retention = retention
        self._clock = clock
        self._known: dict[str, StoredIntegration] = {}
        self._troubled: set[str] = set()  # integrations whose gate may have failures on record
        self._flights: dict[asyncio.Task[None], _Flight] = {}
        self._work = asyncio.Event()
        self._stopping = False
        self._settling = GroupCommit[Settlement, bool](
            lambda group: settle(database, group, clock()),
            weigh=lambda _: 1,
            group_weight=_SETTLE_GROUP,
            waiting_weight=sys.maxsize,
        )

    def wake(self) -> None:
        """Say that there may be something to claim."""
        self._work.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is under way is finished or given back."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Deliver until told to stop, then finish what is under way and give back the rest."""
        keepers = [
            asyncio.create_task(self._every(_RENEW_SECONDS, self._renew)),
            asyncio.create_task(self._every(_PRUNE_SECONDS, self._prune)),
        ]
        try:
            while not self._stopping:
                if not await self._launch():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._work.wait(), POLL_SECONDS)
            await self._drain()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _launch(self) -> int:
        """Claim as many as there is room for; return how many that were."""
        self._work.clear()
        room = self._concurrency - len(self._flights)
        if room <= 0:
            return 0
        try:
            claims = await claim(self._database, self._clock(), room)
        except Exception as error:  # the loop must outlive whatever one round meets
            event = "ledger_unavailable" if isinstance(error, UNAVAILABLE) else "defect"
            log.warning(event, error=place_of(error))
            await asyncio.sleep(POLL_SECONDS)
            return 0
        for each in claims:
            flight = _Flight(each, each.leased_until)
            task = asyncio.create_task(self._fly(flight))
            self._flights[task] = flight
            task.add_done_callback(self._land)
        return len(claims)

    def _land(self, task: asyncio.Task[None]) -> None:
        del self._flights[task]
        self.wake()

    async def _fly(self, flight: _Flight) -> None:
        each = flight.claim
        try:
            outcome = await self._send(flight)
            await self._turn_gate(each, outcome.turn)
            held = await self._settle(flight, self._kept(outcome.settlement))
        except _LEFT:
            held = False
        if not held:
            log.warning("lease_lost", submission=each.id, integration=each.integration_id)

    async def _send(self, flight: _Flight) -> Outcome:
        def before_try() -> None:
            if self._clock() > flight.leased_until - _LEASE_MARGIN:
                raise LeaseLost

        each = flight.claim
        try:
            stored = await self._integration(each)
            outcome = await self._sender.send(each, stored, before_try)
        except _LEFT:
            raise
        except Exception as error:  # a defect of ours must neither stop the rest nor lose this one
            log.error("defect", submission=each.id, error=place_of(error))
            outcome = self._sender.failed(each, type(error).__name__)
        self._log(each, outcome)
        return outcome

    async def _integration(self, each: Claim) -> StoredIntegration:
        """Return the integration as it was when the claim was made, or newer."""
        known = self._known.get(each.integration_id)
        if known is None or known.version < each.version:
            known = await self._integrations.get(each.integration_id)
            self._known[each.integration_id] = known
        return known

    async def _turn_gate(self, each: Claim, turn: Turn | None) -> None:
        integration_id = each.integration_id
        troubled = each.troubled or integration_id in self._troubled
        if turn is None or (turn is gate.succeeded and not troubled):
            return
        try:
            turned = await self._integrations.turn_gate(integration_id, turn, now=self._clock())
        except UNAVAILABLE as error:
            log.warning("ledger_unavailable", error=place_of(error))
            return
        if turned is None or (turned.state is GateState.OPEN and not turned.failures):
            self._troubled.discard(integration_id)
            return
        self._troubled.add(integration_id)
        log.warning("gate", integration=integration_id, state=turned.state, until=turned.until)

    async def _settle(self, flight: _Flight, settlement: Settlement) -> bool:
        """Write the outcome; while the ledger is away, for as long as the lease is ours."""
        while True:
            try:
                return await self._settling.submit(settlement)
            except UNAVAILABLE as error:
                log.warning("ledger_unavailable", error=place_of(error))
                if self._clock() > flight.leased_until:
                    return False
                await asyncio.sleep(POLL_SECONDS)

    def _kept(self, settlement: Settlement) -> Settlement:
        """Wipe the payload at once where it is to be kept for no time."""
        seconds = {
            SubmissionStatus.DELIVERED: self._retention.delivered,
            SubmissionStatus.SKIPPED: self._retention.skipped,
        }
        return replace(settlement, wiped=seconds.get(settlement.status) == 0)

    async def _renew(self) -> None:
        flights = list(self._flights.values())
        if not flights:
            return
        now = self._clock()
        held = await renew(self._database, [each.claim for each in flights], now)
        for each in flights:
            each.leased_until = now + LEASE_SECONDS if each.claim.seq in held else 0.0

    async def _prune(self) -> None:
        await prune_receipts(self._database, time.time())
        await prune_notices(self._database, self._clock())
        await wipe_payloads(self._database, self._retention, self._clock())

    async def _every(self, seconds: float, keep: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await keep()
            except UNAVAILABLE as error:
                log.warning("ledger_unavailable", error=place_of(error))

    async def _drain(self) -> None:
        tasks = dict(self._flights)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            given_back = [Settlement(tasks[each].claim, SubmissionStatus.PENDING) for each in late]
            if given_back:
                with suppress(*UNAVAILABLE):
                    await settle(self._database, given_back, self._clock())
        await self._settling.drain()

    def _log(self, each: Claim, outcome: Outcome) -> None:
        settlement = outcome.settlement
        attempt = settlement.attempt
        log.info(
            "attempt",
            submission=each.id,
            integration=each.integration_id,
            contact=each.contact_key[:8],
            n=each.tries + (attempt is not None),
            status=settlement.status.value,
            reason=settlement.reason,
            http_status=attempt.http_status if attempt else None,
            ms=round(attempt.ms, 1) if attempt else None,
        )
