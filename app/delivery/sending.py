"""Sending one claimed submission, and judging the outcome.

We decide everything again when we send, by the integration as it is then: a mended mapping holds
for everything that still waits.
"""

import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import JsonValue

from app.cordial.account import BadAccountUrl
from app.cordial.client import QUICK_TRIES
from app.cordial.errors import (
    AccessRefused,
    CordialError,
    RateLimited,
    Rejected,
    Upserted,
    error_class,
)
from app.delivery import gate
from app.delivery.accounts import Accounts
from app.delivery.schedule import DELAYS, next_delay
from app.jebbit.submission import Submission, read
from app.ledger.claims import (
    ACCESS_REFUSED,
    ONE_OF_SEVERAL,
    Attempt,
    Claim,
    Settlement,
    has_texts_of_another,
)
from app.ledger.integrations import Gate, StoredIntegration
from app.ledger.schema import DeadReason, SubmissionStatus
from app.ledger.vault import Pseudonyms
from app.rules.contact import Identity, identify
from app.rules.decision import Basis, basis_of
from app.rules.integration import Integration
from app.rules.jurisdictions import Jurisdictions
from app.rules.mapping import PlanWarning
from app.rules.partial import Channels, Reduced, Refusal, without_refused
from app.rules.plan import Skip, facts, plan
from app.rules.policy import NO_REFUSALS, Refusals
from app.rules.values import FieldType

Turn = Callable[[Gate], Gate]

MOST_REFUSALS = 3  # of access to one submission, while others pass
_MOST_REDUCED = 4  # times that one contact is sent with less


class LeaseLost(Exception):
    """Another worker may have the claim by now: we send nothing more for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claim; `turn` is how it changes the integration's gate, if it does.

    `refused_access` where Cordial itself refused access: ask `refused_again` whether it refuses
    this submission alone.
    """

    settlement: Settlement
    turn: Turn | None = None
    cause: str | None = None  # for the log: why it was not delivered
    http_status: int | None = None  # for the log: of an answer that spends no attempt
    refused_access: bool = False


@dataclass(frozen=True, slots=True)
class _Sent:
    upserted: Upserted
    warnings: Sequence[PlanWarning]


class _LookUpFailed(Exception):
    """Cordial did not tell what the plan needs to know; of the contact it has said nothing."""

    def __init__(self, cause: CordialError) -> None:
        super().__init__(cause.message)
        self.cause = cause


@dataclass(slots=True)
class _Try:
    """One submission's requests: those that were refused, when the next one began, and why.

    `said` is when the person says no in it, as read now: labels may have been added since receipt.
    """

    clock: Callable[[], float]
    at: float = 0.0
    started: float = 0.0
    refused: list[Attempt] = field(default_factory=list)
    basis: Basis | None = None
    said: Refusals = NO_REFUSALS

    def begin(self) -> None:
        self.at, self.started = self.clock(), time.perf_counter()

    def attempt(self, http_status: int | None, outcome: str, error: str | None = None) -> Attempt:
        ms = (time.perf_counter() - self.started) * 1000
        return Attempt(self.at, ms, http_status, outcome, error)


class Sender:
    """Plans a submission and sends it to its account."""

    def __init__(
        self,
        accounts: Accounts,
        pseudonyms: Pseudonyms,
        *,
        jurisdictions: Jurisdictions,
        delays: Sequence[float] = DELAYS,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the accounts, the schedule of retries (s) and whose people which rules protect."""
        self._accounts = accounts
        self._pseudonyms = pseudonyms
        self._jurisdictions = jurisdictions
        self._delays = delays
        self._clock = clock
        self._chance = chance

    @property
    def most_attempts(self) -> int:
        """How many attempts a submission gets."""
        return len(self._delays) + 1

    async def send(
        self,
        claim: Claim,
        stored: StoredIntegration,
        before_try: Callable[[], None],
        after_waiting: Callable[[], Awaitable[None]],
    ) -> Outcome:
        """Send a claimed submission, unless a rule says no.

        Args:
            claim: the submission, leased to us.
            stored: its integration as it is now.
            before_try: called before each request; raises `LeaseLost` to stop.
            after_waiting: awaited before each request, once it is its turn; raises `LeaseLost` if
                what the plan rests on has changed since the claim.

        Raises:
            LeaseLost: settle nothing.
        """
        submission = read(claim.payload)
        if submission is None:
            return Outcome(Settlement(claim, SubmissionStatus.DEAD, reason=DeadReason.UNREADABLE))
        identity = identify(submission, stored.integration)
        contact_key, phone_key = self._pseudonyms.keys(identity.email, identity.phone)
        keys = contact_key or claim.id, phone_key
        if keys != (claim.contact_key, claim.phone_key):
            # By a changed mapping it has other addresses: it takes its turn among theirs. The claim
            # told of a no to those it had, and its own no is heard before it is its turn.
            said = facts(submission, stored.integration, claim.received_at).refusals
            moved = Settlement(
                claim,
                SubmissionStatus.PENDING,
                rekeyed=keys,
                refused=self._refused(identity, said),
            )
            return Outcome(moved, cause="rekeyed")
        this = _Try(self._clock)
        this.begin()
        try:
            sent = await self._plan_and_upsert(
                claim, submission, identity, stored, this, before_try, after_waiting
            )
        except _LookUpFailed as failure:
            said = facts(submission, stored.integration, claim.received_at).refusals
            return self._wait_for_look_up(
                claim, failure.cause, self._refused(identity, said, _texted(claim))
            )
        except (CordialError, BadAccountUrl) as error:
            if this.basis is None:  # it was not planned yet
                this.said = facts(submission, stored.integration, claim.received_at).refusals
            outcome = self._judge(claim, error, this)
            kept = replace(
                outcome.settlement,
                refused=self._refused(identity, this.said, _texted(claim)),
                basis=this.basis,
                phone_key=phone_key,
            )
            http_status = getattr(error, "http_status", None)
            return replace(outcome, settlement=kept, http_status=http_status)
        refused = self._refused(identity, this.said, _texted(claim))
        if isinstance(sent, Skip):
            skipped = SubmissionStatus.SKIPPED
            return Outcome(
                Settlement(
                    claim,
                    skipped,
                    reason=sent.reason,
                    refused=refused,
                    basis=this.basis,
                    phone_key=phone_key,
                )
            )
        settlement = Settlement(
            claim,
            SubmissionStatus.DELIVERED,
            attempt=this.attempt(sent.upserted.http_status, "delivered"),
            unspent=this.refused,
            warnings=[warning.as_json() for warning in sent.warnings],
            cordial_contact_id=sent.upserted.contact_id,
            refused=refused,
            basis=this.basis,
            phone_key=phone_key,
        )
        return Outcome(settlement, gate.succeeded)

    def _refused(
        self, identity: Identity, said: Refusals, texted_keys: Collection[str] = ()
    ) -> Mapping[str, float]:
        """Return when somebody said no, by address key.

        A no to texts without a number is one to the numbers that get the contact's texts.
        """
        refused = self._pseudonyms.refused(
            identity.email, identity.phone, email_at=said.email, sms_at=said.sms
        )
        if said.sms is None or identity.phone:
            return refused
        return {**refused, **dict.fromkeys(texted_keys, said.sms)}

    async def _plan_and_upsert(
        self,
        claim: Claim,
        submission: Submission,
        identity: Identity,
        stored: StoredIntegration,
        this: _Try,
        before_try: Callable[[], None],
        after_waiting: Callable[[], Awaitable[None]],
    ) -> Skip | _Sent:
        decided = plan(
            submission,
            stored.integration,
            identity=identity,
            received_at=claim.received_at,
            now=self._clock(),
            delivered_before=claim.delivered_before or _tells_nothing_later(claim),
            stale=_is_stale(claim),
            refusals=_refusals_of(claim, identity),
            opt_in_missing=claim.opt_in_missing,
            texts_of_another=_has_texts_of_another(claim),
            jurisdictions=self._jurisdictions,
            account_attributes=await self._attributes(stored),
            limits=await self._accounts.limits(stored),
        )
        this.said = decided.evidence.refusals
        this.basis = basis_of(decided, submission, stored.integration)
        if isinstance(decided, Skip):
            return decided
        client = self._accounts.client(stored)
        tries = 1 if claim.probe else QUICK_TRIES
        body, warnings = decided.body, [*decided.warnings]
        while True:
            this.begin()
            try:
                upserted = await client.upsert(
                    body, tries=tries, before_try=before_try, after_waiting=after_waiting
                )
            except Rejected as error:
                # Cordial refuses a whole contact for one part of it: send it without that part.
                reduced = _reduced(body, error, stored.integration, claim)
                if reduced is None or len(this.refused) == _MOST_REDUCED:
                    raise
                this.refused.append(this.attempt(error.http_status, "rejected", error.message))
                body = reduced.body
                this.basis = basis_of(decided, submission, stored.integration, body)
                warnings += reduced.warnings
                continue
            if upserted.doubt:
                warnings.append(_unclear(upserted.doubt))
            return _Sent(upserted, warnings)

    async def _attributes(self, stored: StoredIntegration) -> Mapping[str, FieldType] | None:
        try:
            return await self._accounts.attributes(stored)
        except CordialError as error:
            raise _LookUpFailed(error) from None

    def _wait_for_look_up(
        self, claim: Claim, error: CordialError, refused: Mapping[str, float]
    ) -> Outcome:
        """Let everything wait until Cordial tells what we asked; no attempt is spent.

        `refused` tells when the submission says no (unix seconds): that is heard meanwhile.
        """
        now = self._clock()
        reason = f"Cordial does not tell the account's attributes: {_told(error)}"
        turn: Turn
        match error:
            case RateLimited():
                turn = _held(error, now)
            case AccessRefused():
                turn = partial(gate.refused, reason=reason, now=now)
            case _:
                turn = partial(gate.failed, reason=reason, probe=claim.probe, now=now)
        due_at = now + self._delays[0]
        waits = Settlement(claim, SubmissionStatus.PENDING, due_at=due_at, refused=refused)
        return Outcome(waits, turn, "look_up_failed", error.http_status)

    def _judge(self, claim: Claim, error: CordialError | BadAccountUrl, this: _Try) -> Outcome:
        """Decide what follows a failed send: wait, block, give up or try again."""
        now, reason = self._clock(), str(error)
        cause = error_class(error) if isinstance(error, CordialError) else "bad_account_url"
        waits = Settlement(claim, SubmissionStatus.PENDING, unspent=this.refused)
        match error:
            case BadAccountUrl():
                turn: Turn = partial(gate.refused, reason=reason, now=now)
                return Outcome(waits, turn, cause)
            case AccessRefused():
                turn = partial(gate.refused, reason=reason, now=now)
                attempt = this.attempt(error.http_status, ACCESS_REFUSED, reason)
                on_record = replace(waits, unspent=[*this.refused, attempt])
                return Outcome(on_record, turn, cause, refused_access=error.http_status is not None)
            case RateLimited():
                return Outcome(waits, _held(error, now), cause)
            case Rejected():
                dead = replace(
                    waits,
                    status=SubmissionStatus.DEAD,
                    reason=DeadReason.REJECTED,
                    attempt=this.attempt(error.http_status, "rejected", reason),
                )
                return Outcome(dead, gate.succeeded, cause)  # Cordial answers; the gate opens
            case _:
                attempt = this.attempt(error.http_status, "unavailable", reason)
                turn = partial(gate.failed, reason=_told(error), probe=claim.probe, now=now)
                retry = replace(self._retry(claim, attempt, now), unspent=this.refused)
                return Outcome(retry, turn, cause)

    def refused_again(self, outcome: Outcome, times: int) -> Outcome:
        """Judge anew a refusal of access, where Cordial took others since this one's first refusal.

        A firewall or a fault at Cordial may refuse one submission for what it holds, while key,
        address and permission are right. Such a one holds up nobody: it is tried again by itself,
        and given up with the third refusal.

        Args:
            outcome: as `send` returned it.
            times: how often before, see `passed_by`.
        """
        settlement = outcome.settlement
        if times == 0:
            return outcome
        *before, refusal = settlement.unspent
        if times + 1 >= MOST_REFUSALS:
            told = f"{refusal.error} Cordial took others meanwhile, so it refuses this one alone."
            dead = replace(
                settlement,
                status=SubmissionStatus.DEAD,
                reason=DeadReason.REJECTED,
                attempt=replace(refusal, error=told),
                unspent=before,
            )
            return replace(outcome, settlement=dead, turn=None)
        due_at = self._clock() + self._delays[min(times, len(self._delays)) - 1]
        return replace(outcome, settlement=replace(settlement, due_at=due_at), turn=None)

    def failed(self, claim: Claim, error: str) -> Outcome:
        """Return the outcome of a send that our own defect ended: another try, in the end dead."""
        now = self._clock()
        attempt = Attempt(now, 0.0, None, "defect", error)
        return Outcome(self._retry(claim, attempt, now), cause="defect")

    def _retry(self, claim: Claim, attempt: Attempt, now: float) -> Settlement:
        delay = next_delay(claim.tries + 1, self._chance(), self._delays)
        if delay is None:
            return Settlement(
                claim, SubmissionStatus.DEAD, reason=DeadReason.UNAVAILABLE, attempt=attempt
            )
        return Settlement(claim, SubmissionStatus.PENDING, due_at=now + delay, attempt=attempt)


def _refusals_of(claim: Claim, identity: Identity) -> Refusals:
    """Return when the person last said no: who is known by phone alone has said none to email."""
    return Refusals(claim.email_refused_at if identity.email else None, claim.sms_refused_at)


def _texted(claim: Claim) -> Collection[str]:
    """Return the keys of the numbers that get the contact's texts, where they are known."""
    return {*filter(None, (claim.texted_key, *claim.texted_elsewhere))} - {ONE_OF_SEVERAL}


def _has_texts_of_another(claim: Claim) -> bool:
    return has_texts_of_another(claim.phone_key, claim.texted_key, claim.texted_elsewhere)


def _is_stale(claim: Claim) -> bool:
    """Whether later answers of the contact were delivered: older ones must not overwrite them.

    Later by receipt, as when somebody asks for a replay while a newer submission is under way; or
    later by when they were given, as in a backfill.
    """
    if claim.forced:
        return False
    if claim.delivered_seq is not None and claim.delivered_seq > claim.seq:
        return True
    if claim.occurred_at is None or claim.delivered_occurred_at is None:
        return False
    return claim.occurred_at < claim.delivered_occurred_at


def _tells_nothing_later(claim: Claim) -> bool:
    """Whether answers of the same time were delivered: its yes may be the one they held.

    Jebbit may send a session more than once. Who has unsubscribed since is not brought back by it.
    """
    if claim.occurred_at is None or claim.delivered_occurred_at is None:
        return False
    return claim.occurred_at <= claim.delivered_occurred_at


def _reduced(
    body: Mapping[str, JsonValue], error: Rejected, of: Integration, claim: Claim
) -> Reduced | None:
    """Return what of a refused contact can be sent once more; None where it stays refused."""
    if error.http_status != 422:
        return None
    return without_refused(
        body,
        Refusal(error.fields, error.message),
        Channels(of.cordial.email_channel, of.sms.channel, _has_texts_of_another(claim)),
        fields=of.cordial.on_rejected_field == "drop",
        answer_field=of.policy.opt_in_field,
    )


def _told(error: CordialError) -> str:
    """Return why a gate shuts: what stands before the first colon is logged, and is our own."""
    if isinstance(error, AccessRefused) or error.http_status is None:
        return error.message
    return f"Cordial answered {error.http_status}: {error.message}"


def _held(error: RateLimited, now: float) -> Turn:
    """Return how the gate turns where Cordial asks us to wait."""
    too_many = f"Cordial answered {error.http_status}, too many requests"
    reason = too_many if error.http_status == 429 else _told(error)
    return partial(gate.rate_limited, reason=reason, retry_after=error.retry_after, now=now)


def _unclear(doubt: str) -> PlanWarning:
    detail = f"{doubt}. If it matters, look the contact up in Cordial."
    return PlanWarning(code="answer_unclear", attribute=None, field=None, detail=detail)
