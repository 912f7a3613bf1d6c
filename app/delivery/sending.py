"""Sending one claimed submission, and judging the outcome.

We decide everything again when we send, by the integration as it is then: a mended mapping holds
for everything that still waits.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

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
from app.ledger.claims import Attempt, Claim, Settlement
from app.ledger.integrations import Gate, StoredIntegration
from app.ledger.schema import DeadReason, SubmissionStatus
from app.ledger.vault import Pseudonyms
from app.rules.contact import Identity, identify, without_fields
from app.rules.jurisdictions import Jurisdictions
from app.rules.mapping import PlanWarning
from app.rules.plan import Evidence, Skip, plan
from app.rules.policy import Refusals

Turn = Callable[[Gate], Gate]


class LeaseLost(Exception):
    """Another worker may have the claim by now: we send nothing more for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claim; `turn` is how it changes the integration's gate, if it does."""

    settlement: Settlement
    turn: Turn | None = None
    cause: str | None = None  # for the log: why it was not delivered
    http_status: int | None = None  # for the log: of an answer that spends no attempt


@dataclass(frozen=True, slots=True)
class _Sent:
    upserted: Upserted
    warnings: Sequence[PlanWarning]
    evidence: Evidence


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
        self, claim: Claim, stored: StoredIntegration, before_try: Callable[[], None]
    ) -> Outcome:
        """Send a claimed submission, unless a rule says no.

        Args:
            claim: the submission, leased to us.
            stored: its integration as it is now.
            before_try: called before each request; raises `LeaseLost` to stop.

        Raises:
            LeaseLost: settle nothing.
        """
        submission = read(claim.payload)
        if submission is None:
            return Outcome(Settlement(claim, SubmissionStatus.DEAD, reason=DeadReason.UNREADABLE))
        identity = identify(submission, stored.integration)
        if rekeyed := self._rekeyed(claim, identity):
            moved = Settlement(claim, SubmissionStatus.PENDING, rekeyed=rekeyed)
            return Outcome(moved, cause="rekeyed")
        at, clock = self._clock(), time.perf_counter()
        try:
            sent = await self._plan_and_upsert(claim, submission, identity, stored, before_try)
        except (CordialError, BadAccountUrl) as error:
            outcome = self._judge(claim, error, at, (time.perf_counter() - clock) * 1000)
            return replace(outcome, http_status=getattr(error, "http_status", None))
        said = sent.evidence.refusals  # as read now: labels may have been added since receipt
        refused = self._pseudonyms.refused(
            identity.email, identity.phone, email_at=said.email, sms_at=said.sms
        )
        if isinstance(sent, Skip):
            skipped = SubmissionStatus.SKIPPED
            return Outcome(Settlement(claim, skipped, reason=sent.reason, refused=refused))
        ms = (time.perf_counter() - clock) * 1000
        settlement = Settlement(
            claim,
            SubmissionStatus.DELIVERED,
            attempt=Attempt(at, ms, sent.upserted.http_status, "delivered"),
            warnings=[warning.as_json() for warning in sent.warnings],
            cordial_contact_id=sent.upserted.contact_id,
            refused=refused,
        )
        return Outcome(settlement, gate.succeeded)

    def _rekeyed(self, claim: Claim, identity: Identity) -> tuple[str, str | None] | None:
        """Return the new keys if a changed mapping says that it is another contact's."""
        contact_key, phone_key = self._pseudonyms.keys(identity.email, identity.phone)
        contact_key = contact_key or claim.id
        return None if contact_key == claim.contact_key else (contact_key, phone_key)

    async def _plan_and_upsert(
        self,
        claim: Claim,
        submission: Submission,
        identity: Identity,
        stored: StoredIntegration,
        before_try: Callable[[], None],
    ) -> Skip | _Sent:
        decided = plan(
            submission,
            stored.integration,
            identity=identity,
            received_at=claim.received_at,
            now=self._clock(),
            delivered_before=claim.delivered_before,
            stale=_is_stale(claim),
            refusals=Refusals(claim.email_refused_at, claim.sms_refused_at),
            jurisdictions=self._jurisdictions,
            account_attributes=await self._accounts.attributes(stored),
        )
        if isinstance(decided, Skip):
            return decided
        client = self._accounts.client(stored)
        tries = 1 if claim.probe else QUICK_TRIES
        try:
            upserted = await client.upsert(decided.body, tries=tries, before_try=before_try)
            return _Sent(upserted, decided.warnings, decided.evidence)
        except Rejected as error:
            drop = stored.integration.cordial.on_rejected_field == "drop"
            reduced = without_fields(decided.body, error.fields) if drop else None
            if reduced is None or error.http_status != 422:
                raise
            # Cordial refuses a whole contact for one field: send it once more without that field.
            upserted = await client.upsert(reduced, tries=tries, before_try=before_try)
            dropped = [_dropped(field) for field in decided.body if field not in reduced]
            return _Sent(upserted, [*decided.warnings, *dropped], decided.evidence)

    def _judge(
        self, claim: Claim, error: CordialError | BadAccountUrl, at: float, ms: float
    ) -> Outcome:
        """Decide what follows a failed send: wait, block, give up or try again."""
        now, reason = self._clock(), str(error)
        cause = error_class(error) if isinstance(error, CordialError) else "bad_account_url"
        match error:
            case AccessRefused() | BadAccountUrl():
                turn: Turn = partial(gate.refused, reason=reason, now=now)
                return Outcome(Settlement(claim, SubmissionStatus.PENDING), turn, cause)
            case RateLimited():
                turn = partial(gate.rate_limited, retry_after=error.retry_after, now=now)
                return Outcome(Settlement(claim, SubmissionStatus.PENDING), turn, cause)
            case Rejected():
                attempt = Attempt(at, ms, error.http_status, "rejected", reason)
                dead = Settlement(
                    claim, SubmissionStatus.DEAD, reason=DeadReason.REJECTED, attempt=attempt
                )
                return Outcome(dead, gate.succeeded, cause)  # Cordial answers; the gate opens
            case _:
                attempt = Attempt(at, ms, error.http_status, "unavailable", reason)
                turn = partial(gate.failed, reason=reason, probe=claim.probe, now=now)
                return Outcome(self._retry(claim, attempt, now), turn, cause)

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


def _dropped(field: str) -> PlanWarning:
    return PlanWarning(
        code="field_rejected",
        attribute=None,
        field=field,
        detail=f"Cordial does not take {field}; the contact was sent without it. Create the "
        "attribute or list in Cordial, or mend the mapping, then replay.",
    )
