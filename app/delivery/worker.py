"""The worker: claims submissions that are due, sends them, and settles the outcomes."""

import asyncio
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from app.delivery import gate
from app.delivery.drift import watch
from app.delivery.sending import MOST_REFUSALS, LeaseLost, Outcome, Sender, Turn
from app.ledger.audit import prune_audit
from app.ledger.claims import (
    LEASE_SECONDS,
    Claim,
    Settlement,
    claim,
    overtaken,
    passed_by,
    renew,
    settle,
)
from app.ledger.counts import add_up
from app.ledger.database import UNAVAILABLE, Database, failure_event
from app.ledger.decisions import prune_decisions
from app.ledger.group_commit import GroupCommit
from app.ledger.holders import Holder
from app.ledger.integrations import Integrations, StoredIntegration, UnknownIntegration
from app.ledger.notices import prune_notices
from app.ledger.retention import Retention, prune_receipts, wipe_payloads
from app.ledger.schema import GateState, SubmissionStatus, ready_at
from app.ledger.signals import listen
from app.ledger.tallies import prune_tallies
from app.ledger.vault import WrongSecretKey
from app.telemetry.logs import place_of
from app.telemetry.metrics import Metrics
from app.telemetry.traces import NoTraces, Span, Traces

log = structlog.get_logger("delivery")

POLL_SECONDS = 1.0  # how soon the worker sees what comes due by time
DRAIN_SECONDS = 20.0
_PRUNE_SECONDS = 60.0
_DEAD_SECONDS = 0.5  # how often we look for workers that died
LOOK_SECONDS = 0.1  # how soon a request is cut short that may be another worker's by now
_WATCH_SECONDS = 5.0  # how soon drift is told
_WATCH_SHARE = 20  # looking for it takes at most one part in this many of the time
_RENEWALS = 3  # of a lease, before it would run out
_ROOM_FOR_OTHERS = 10  # a single integration leaves one in so many places to the others
_SETTLE_GROUP = 200
_CLAIMED = 2  # claim this many times the places: no place is idle during a claim
_WAIT_SECONDS = 1.0  # for a place or its turn; then a pause or a no may have changed everything
_GATHER_SECONDS = 0.004  # between two commits while outcomes wait: fewer, larger ones are cheaper
_REST_SECONDS = 0.005  # after a look that found nothing
_CLAIM_SECONDS = 30.0  # else a ledger that does not answer would look like a hanging worker
STALLED_SECONDS = 60.0


class SteadyClock:
    """Unix seconds that do not jump when somebody sets the clock: due times must not jump."""

    def __init__(self, zero_at: float | None = None) -> None:
        """Take the unix time of the monotonic clock's zero; without it, use the wall clock."""
        self._zero_at = time.time() - time.monotonic() if zero_at is None else zero_at

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self._zero_at


class _Overtaken(LeaseLost):
    """The plan rests on what has changed since: we give the claim back, and plan anew."""


class _MayBeTaken(LeaseLost):
    """Others may take us for dead; if none has taken the lease yet, we give it back."""


# Errors after which we do not settle: another worker has the claim, or gets it when the lease ends.
_LEFT: tuple[type[Exception], ...] = (LeaseLost, UnknownIntegration, *UNAVAILABLE)


@dataclass(eq=False, slots=True)
class _Flight:
    """A claim under way; once it is `sent`, its outcome waits to be written."""

    claim: Claim
    round: int
    claimed_at: float
    leased_until: float
    by: StoredIntegration | None = None  # as it was when we sent
    sending: asyncio.Timeout | None = None  # while its requests may be cut short
    sent: bool = False


def _most_of_one(places: int) -> int:
    """Return how many of these places a single integration may take."""
    return max(1, places - math.ceil(places / _ROOM_FOR_OTHERS))


@asynccontextmanager
async def _cutting(flight: _Flight) -> AsyncIterator[None]:
    """Let what is sent be cut short, by `flight.sending`; raises `_MayBeTaken` then."""
    try:
        async with asyncio.timeout(None) as flight.sending:
            yield
    except TimeoutError:
        if flight.sending is not None and flight.sending.expired():
            raise _MayBeTaken from None
        raise
    finally:
        flight.sending = None


def _given_back(claim: Claim) -> Settlement:
    """Return a settlement that gives the claim back, due before what came in later."""
    due_at = ready_at(claim.received_at)
    return Settlement(claim, SubmissionStatus.PENDING, due_at=due_at)


class Worker:
    """Delivers what is due: many contacts at once, but one submission of a contact at a time."""

    def __init__(
        self,
        database: Database,
        integrations: Integrations,
        sender: Sender,
        *,
        concurrency: int,
        retention: Retention,
        clock: Callable[[], float],
        metrics: Metrics | None = None,
        traces: Traces | None = None,
        lease_seconds: float = LEASE_SECONDS,
        longest_send: float = 10.0,
        holder: Holder | None = None,
    ) -> None:
        """Take the ledger, the sender, how many to send at once, and how long to keep payloads.

        A claim is ours for `lease_seconds`, unless we renew it. One request may take `longest_send`
        seconds: with less than that left, we begin none. By `holder` others see that we live.
        """
        self._database = database
        self._integrations = integrations
        self._sender = sender
        self._concurrency = concurrency
        self._places = asyncio.Semaphore(concurrency)
        self._places_of = defaultdict[str, asyncio.Semaphore](
            lambda: asyncio.Semaphore(_most_of_one(concurrency))
        )
        self._retention = retention
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._longest_send = longest_send
        self._holder = holder or Holder()
        self._known: dict[str, StoredIntegration] = {}
        self._troubled: set[str] = set()  # integrations whose gate may have failures on record
        self._shut_in: dict[str, int] = {}  # in which round we last shut an integration's gate
        self._flights: dict[asyncio.Task[None], _Flight] = {}
        self._work = asyncio.Event()
        self._stopping = False
        self._metrics = metrics or Metrics()
        self._traces = traces or NoTraces()
        self._round_at: float | None = None
        self._found_nothing_at = -math.inf
        self._locked_out = False  # the ledger's secrets were encrypted with a key we do not have
        self._rounds = 0  # of claiming
        self._settling = GroupCommit[Settlement, bool](
            self._commit,
            weigh=lambda _: 1,
            group_weight=_SETTLE_GROUP,
            waiting_weight=sys.maxsize,
            gather=_GATHER_SECONDS,
        )

    def wake(self) -> None:
        """Look for something to claim, soon."""
        self._work.set()

    def stop(self) -> None:
        """Claim no more; `run` returns when everything under way is finished or given back."""
        self._stopping = True
        self.wake()

    def stalled(self) -> str | None:
        """Return a message if the loop has not come round for a minute, else None."""
        if self._round_at is None or self._stopping:
            return None
        age = self._clock() - self._round_at
        return f"The worker has not come round for {age:.0f} s." if age > STALLED_SECONDS else None

    async def run(self) -> None:
        """Deliver until `stop`, then finish what is under way and give back the rest."""
        keepers = [
            asyncio.create_task(self._every(self._lease_seconds / _RENEWALS, self._renew)),
            asyncio.create_task(self._every(_PRUNE_SECONDS, self._prune)),
            asyncio.create_task(self._every(_WATCH_SECONDS, self._watch)),
            asyncio.create_task(self._every(_DEAD_SECONDS, self._take_over, first=0.0)),
            asyncio.create_task(self._every(LOOK_SECONDS, self._cut_short)),
            asyncio.create_task(listen(self._database, self._holder, self.wake)),
        ]
        try:
            while not self._stopping:
                if not await self._launch():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._work.wait(), POLL_SECONDS)
                    await self._rest()
            await self._drain()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _rest(self) -> None:
        """Wait a little after a look that found nothing.

        While an integration is paused and webhooks come in, each look would find nothing again.
        """
        if (left := self._found_nothing_at + _REST_SECONDS - self._clock()) > 0:
            await asyncio.sleep(left)

    async def _launch(self) -> int:
        """Claim as many as there is room for; return how many."""
        self._work.clear()
        self._round_at = self._clock()
        self._rounds += 1
        self._metrics.round()
        flying = [each.claim.integration_id for each in self._flights.values()]
        most = _CLAIMED * self._concurrency
        if len(flying) >= most or not self._holder.is_sure(self._holder.name):
            return 0  # what is claimed in doubt would only be given back
        try:
            if self._locked_out and not await self._has_key():
                await asyncio.sleep(POLL_SECONDS)
                return 0
            async with asyncio.timeout(_CLAIM_SECONDS):
                claims = await claim(
                    self._database,
                    self._round_at,
                    most - len(flying),
                    flying=Counter(flying),
                    most=_most_of_one(most),
                    lease_seconds=self._lease_seconds,
                    holder=self._holder.name,
                )
        except Exception as error:  # the loop must survive every error of one round
            log.warning(failure_event(error), error=place_of(error))
            await asyncio.sleep(POLL_SECONDS)
            return 0
        if not claims:
            self._found_nothing_at = self._round_at
        for each in claims:
            flight = _Flight(each, self._rounds, self._round_at, each.leased_until)
            task = asyncio.create_task(self._fly(flight))
            self._flights[task] = flight
            task.add_done_callback(self._land)
        return len(claims)

    async def _has_key(self) -> bool:
        """Whether the integrations' secrets can be read again; else we claim nothing."""
        with suppress(WrongSecretKey):
            await self._integrations.list()
            self._locked_out = False
        return not self._locked_out

    def _land(self, task: asyncio.Task[None]) -> None:
        del self._flights[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("defect", error=place_of(error))  # when the lease expires, it is sent again
        self.wake()

    async def _fly(self, flight: _Flight) -> None:
        with self._traces.delivery(flight.claim.traceparent) as span:
            await self._deliver(flight, span)

    async def _deliver(self, flight: _Flight, span: Span) -> None:
        each = flight.claim
        try:
            async with self._places_of[each.integration_id], self._places:
                if self._came_late(flight):
                    outcome = Outcome(_given_back(each))
                else:
                    outcome = await self._send(flight, span)
                    await self._turn_gate(flight, outcome.turn)
                # It keeps its place until its outcome is written: if this process is killed, no
                # more are sent again than there are places.
                flight.sent = True
                held = await self._settle(flight, self._kept(outcome.settlement))
        except _LEFT:
            held = False
        else:
            self._count(each, outcome.settlement, held)
        if not held:
            log.warning("lease_lost", submission=each.id, integration=each.integration_id)

    def _came_late(self, flight: _Flight) -> bool:
        """Whether a claim got its place too late to be sent; a probe never does."""
        shut = self._shut_in.get(flight.claim.integration_id, 0) >= flight.round
        late = self._clock() > flight.claimed_at + _WAIT_SECONDS
        return (self._stopping or shut or late) and not flight.claim.probe

    async def _send(self, flight: _Flight, span: Span) -> Outcome:
        def before_try() -> None:
            if self._clock() > flight.leased_until - self._longest_send:
                raise LeaseLost
            if not self._holder.is_sure(each.lease):
                raise _MayBeTaken

        async def after_waiting() -> None:
            late = self._clock() > flight.claimed_at + _WAIT_SECONDS
            if late and not each.probe and await overtaken(self._database, each):
                raise _Overtaken

        each, started = flight.claim, time.perf_counter()
        try:
            stored = flight.by = await self._integration(each)
            async with _cutting(flight):
                outcome = await self._sender.send(each, stored, before_try, after_waiting)
            if outcome.refused_access:
                await self._settled_of(each.integration_id)
                times = await passed_by(self._database, each, MOST_REFUSALS - 1)
                outcome = self._sender.refused_again(outcome, times)
        except (_MayBeTaken, _Overtaken):
            return Outcome(_given_back(each))
        except _LEFT:
            raise
        except WrongSecretKey:  # another process may have the key
            self._locked_out = True
            log.error("secret_key_out_of_date", integration=each.integration_id)
            return Outcome(_given_back(each))
        except Exception as error:  # our own defect must neither stop the others nor lose this one
            log.error("defect", submission=each.id, error=place_of(error))
            outcome = self._sender.failed(each, type(error).__name__)
        line = self._line(each, outcome, (time.perf_counter() - started) * 1000)
        log.info("attempt", **line, **span.ids)
        span.note(line)
        return outcome

    async def _settled_of(self, integration_id: str) -> None:
        """Wait until what was delivered of an integration just now is written: it counts."""
        going = [
            task
            for task, flight in self._flights.items()
            if flight.sent and flight.claim.integration_id == integration_id
        ]
        if going:
            await asyncio.wait(going, timeout=self._longest_send)

    async def _integration(self, each: Claim) -> StoredIntegration:
        """Return the integration, at least as new as the claim."""
        known = self._known.get(each.integration_id)
        if known is None or known.version != each.version:
            known = await self._integrations.at_least(each.integration_id, each.version)
            self._known[each.integration_id] = known
        return known

    async def _turn_gate(self, flight: _Flight, turn: Turn | None) -> None:
        each = flight.claim
        integration_id = each.integration_id
        if turn is None and each.probe:
            turn = partial(gate.untold, now=self._clock())
        troubled = each.troubled or integration_id in self._troubled
        if turn is None or (turn is gate.succeeded and not troubled):
            return
        try:
            turned = await self._integrations.turn_gate(
                integration_id, turn, now=self._clock(), asked=flight.by
            )
        except UNAVAILABLE as error:
            log.warning("ledger_unavailable", error=place_of(error))
            return
        if turned is None or (turned.state is GateState.OPEN and not turned.failures):
            self._troubled.discard(integration_id)
            return
        self._troubled.add(integration_id)
        if turned.state is not GateState.OPEN:
            self._shut_in[integration_id] = self._rounds

    async def _commit(self, group: Sequence[Settlement]) -> Sequence[bool]:
        started = time.perf_counter()
        held = await settle(self._database, group, self._clock())
        self._metrics.commit("settlements", len(group), time.perf_counter() - started)
        return held

    async def _settle(self, flight: _Flight, settlement: Settlement) -> bool:
        """Write the outcome; while the ledger is away, try for as long as the lease is ours."""
        while True:
            try:
                return await self._settling.submit(settlement)
            except UNAVAILABLE as error:
                log.warning("ledger_unavailable", error=place_of(error))
                if self._clock() > flight.leased_until:
                    return False
                await asyncio.sleep(POLL_SECONDS)

    def _kept(self, settlement: Settlement) -> Settlement:
        """Wipe the payload at once if its retention is zero."""
        seconds = {
            SubmissionStatus.DELIVERED: self._retention.delivered,
            SubmissionStatus.SKIPPED: self._retention.skipped,
        }
        kept = seconds.get(settlement.status) != 0
        return settlement if kept else replace(settlement, wiped=True)

    async def _renew(self) -> None:
        flights = list(self._flights.values())
        if not flights:
            return
        now = self._clock()
        claims = [each.claim for each in flights]
        held = await renew(self._database, claims, now, self._lease_seconds)
        for each in flights:
            each.leased_until = now + self._lease_seconds if each.claim.token in held else 0.0

    async def _prune(self) -> None:
        await prune_receipts(self._database, time.time())
        await prune_notices(self._database, self._clock())
        await prune_audit(self._database, self._clock())
        await wipe_payloads(self._database, self._retention, self._clock())
        await prune_decisions(self._database, self._clock() - self._retention.decisions)
        await prune_tallies(self._database, self._clock())
        await add_up(self._database, self._clock())

    async def _take_over(self) -> None:
        """Send at once what a worker that died had under way."""
        taken = await self._holder.take_over(self._database, self._clock())
        if taken:
            log.info("taken_over", contacts=taken)
            self.wake()

    async def _cut_short(self) -> None:
        """End requests whose contacts another worker may take over in a moment."""
        for each in self._flights.values():
            sending = each.sending
            if sending is None or sending.expired() or self._holder.is_sure(each.claim.lease):
                continue
            sending.reschedule(asyncio.get_running_loop().time())

    async def _watch(self) -> None:
        if self._locked_out:
            return
        started = time.monotonic()
        await watch(self._database, await self._integrations.list(), self._clock())
        await asyncio.sleep(_WATCH_SHARE * (time.monotonic() - started))

    async def _every(
        self, seconds: float, keep: Callable[[], Awaitable[None]], *, first: float | None = None
    ) -> None:
        wait = seconds if first is None else first
        while True:
            await asyncio.sleep(wait)
            wait = seconds
            try:
                await keep()
            except Exception as error:  # without renewals, others would send the same again
                log.warning(failure_event(error), error=place_of(error))

    async def _drain(self) -> None:
        tasks = dict(self._flights)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            # First what waits to be written: what Cordial has already is not to be sent again.
            await self._settling.drain()
            given_back = [_given_back(tasks[each].claim) for each in late]
            if given_back:
                with suppress(*UNAVAILABLE):
                    await settle(self._database, given_back, self._clock())

    def _count(self, each: Claim, settlement: Settlement, held: bool) -> None:
        """Count the attempt and, if the lease was still ours, what was settled."""
        if settlement.attempt is not None:
            self._metrics.attempt(each.integration_id, settlement.attempt.outcome)
        if not held or settlement.status is SubmissionStatus.PENDING:
            return
        delivered = settlement.status is SubmissionStatus.DELIVERED
        lag = self._clock() - each.received_at if delivered else None
        status, reason = settlement.status.value, settlement.reason
        self._metrics.settled(each.integration_id, status, reason, lag=lag)
        for warning in settlement.warnings:
            self._metrics.warning(each.integration_id, warning["code"])

    def _line(self, each: Claim, outcome: Outcome, ms: float) -> dict[str, str | float | None]:
        """Return the fields of an attempt's log line."""
        settlement = outcome.settlement
        attempt = settlement.attempt
        return {
            "request_id": each.request_id,
            "submission": each.id,
            "integration": each.integration_id,
            "contact": each.contact_key[:8],
            "n": each.tries + (attempt is not None),
            "of": self._sender.most_attempts,
            "status": settlement.status.value,
            "reason": settlement.reason,
            "cause": outcome.cause,
            "http_status": attempt.http_status if attempt else outcome.http_status,
            "ms": round(ms, 1),
        }
