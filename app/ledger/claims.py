"""Claims: which submission may be sent next, which worker holds it, and what became of it.

A claim leases a contact, so a contact's submissions go out one at a time, in the order of receipt.
The lease is a random token behind the holder's name: a worker that no longer holds the contact's
token settles nothing.
"""

import random
import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Double,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)

from app.ledger import decisions, tallies
from app.ledger.database import Database
from app.ledger.decisions import Decision, NewDecision
from app.ledger.notices import announce_dead
from app.ledger.refusals import merge, record, refused_at, texts_refused_at
from app.ledger.schema import (
    DeadReason,
    GateState,
    SubmissionStatus,
    attempts,
    contacts,
    integrations,
    ready_at,
    sources,
    submissions,
)
from app.ledger.tallies import Tally
from app.ledger.transaction import Transaction, among
from app.rules.decision import Basis
from app.rules.drift import opt_in_is_missing
from app.rules.policy import Status

LEASE_SECONDS = 60.0

ACCESS_REFUSED = "access_refused"
"""The outcome of a request to which Cordial refused access: it spends no attempt."""

ONE_OF_SEVERAL = "unsure"
"""In place of the key of the number that gets a contact's texts, where that is not sure."""

Token = tuple[str, int]
"""Identifies a claim: a process may claim again what it held before."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A submission that we may send until the lease expires.

    `version` is that of the integration as it stands, `probe` whether this one is sent to see if
    Cordial is back, `troubled` whether the gate has failures on record, which a success clears.
    `email_refused_at` and `sms_refused_at` tell when somebody last said no to any integration, by
    the keys of the contact and of the phone number; to texts also without a number.
    `texted_key` is the key of the phone number by which the contact was subscribed to texts, if it
    was; `texted_elsewhere` are those by which other integrations subscribed it. `opt_in_missing`:
    the source stopped sending the opt-in, see `drift.opt_in_is_missing`.
    """

    lease: str
    leased_until: float
    seq: int
    id: str
    integration_id: str
    contact_key: str
    received_at: float
    occurred_at: float | None
    tries: int
    forced: bool
    payload: bytes
    delivered_occurred_at: float | None
    version: int
    probe: bool
    troubled: bool
    request_id: str | None = None
    traceparent: str | None = None
    delivered_seq: int | None = None
    delivered_before: bool = False
    phone_key: str | None = None
    texted_key: str | None = None
    texted_elsewhere: Collection[str] = ()
    email_refused_at: float | None = None
    sms_refused_at: float | None = None
    opt_in_missing: bool = False

    @property
    def token(self) -> Token:
        """Return the proof that this claim, not an earlier one, holds the contact."""
        return self.lease, self.seq


@dataclass(frozen=True, slots=True)
class _Due:
    """An integration that has something to send, and the state of its gate."""

    id: str
    version: int
    gate: str
    gate_until: float | None
    failures: int
    submissions: int | None
    asked_last: int | None

    @property
    def probes(self) -> bool:
        return self.gate in (GateState.CLOSED, GateState.BLOCKED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to send a submission: when (unix seconds), how long it took, and its outcome."""

    at: float
    ms: float
    http_status: int | None
    outcome: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a claim.

    `status` is pending if the submission stays for another try: at `due_at`, or at once. `attempt`
    is None if none was spent; `unspent` are requests before it, or instead of it, that are only put
    on record. `rekeyed` holds the keys (contact, phone) that the submission now has: often another
    contact's. `wiped`: do not keep the payload. `refused` tells when the submission
    says no (unix seconds), by the key of the address. `basis` is what was decided and on what, if
    it was planned, `phone_key` the key of the phone number it was decided of.
    """

    claim: Claim
    status: SubmissionStatus
    due_at: float | None = None
    reason: str | None = None
    attempt: Attempt | None = None
    unspent: Sequence[Attempt] = ()
    warnings: Sequence[Mapping[str, Any]] = ()
    cordial_contact_id: str | None = None
    rekeyed: tuple[str, str | None] | None = None
    wiped: bool = False
    refused: Mapping[str, float] = field(default_factory=dict)
    basis: Basis | None = None
    phone_key: str | None = None


async def claim(
    database: Database,
    now: float,
    limit: int,
    *,
    flying: Mapping[str, int] | None = None,
    most: int | None = None,
    lease_seconds: float = LEASE_SECONDS,
    holder: str = "",
) -> Sequence[Claim]:
    """Take up to `limit` contacts that are due and lease the first pending submission of each.

    Integrations take turns, so the backlog of one does not hold up another. A closed or blocked
    gate lets a single probe through when its time has come.

    Args:
        database: the ledger.
        now: unix seconds.
        limit: how many at most.
        flying: how many of each integration the caller has under way.
        most: how many of one integration may be under way; None: no bound of its own.
        lease_seconds: how long we hold them, unless we renew.
        holder: who holds them, see `holders`.
    """

    async def take(transaction: Transaction) -> Sequence[Claim]:
        due = [_Due(*row) for row in await transaction.rows(_DUE_INTEGRATIONS, now=now)]
        random.shuffle(due)  # if there is room for one only, all get a turn in the long run
        shares = share_out([each.id for each in due], limit, flying or {}, most or limit)
        claims: list[Claim] = []
        for each in sorted(due, key=lambda each: each.id):  # all replicas lock in this order
            if share := shares[each.id]:
                claims += await _claim_of(transaction, each, now, share, lease_seconds, holder)
        return await _with_texted(transaction, claims)

    return await database.transact(take)


_TEXTED = select(contacts.c.contact_key, contacts.c.integration_id, contacts.c.texted_key).where(
    among(contacts.c.contact_key, "keys"), contacts.c.texted_key.is_not(None)
)


async def _with_texted(transaction: Transaction, claims: Sequence[Claim]) -> Sequence[Claim]:
    """Add which numbers get texts by other integrations: several may feed one account.

    Deleted ones too: Cordial still has what they subscribed.
    """
    keys = list({each.contact_key for each in claims})
    texted = await transaction.rows(_TEXTED, keys=keys) if keys else []
    if not texted:
        return claims
    return [replace(each, texted_elsewhere=_elsewhere(each, texted)) for each in claims]


def _elsewhere(claim: Claim, texted: Sequence[Sequence[str]]) -> Collection[str]:
    return {
        key
        for contact, of, key in texted
        if contact == claim.contact_key and of != claim.integration_id
    }


def share_out(
    integrations: Sequence[str], room: int, flying: Mapping[str, int], most: int
) -> Counter[str]:
    """Return how many each may claim: the next place goes to the one with the fewest under way.

    Nobody gets beyond `most`: an account that is slow to answer leaves room for the others.
    """
    shares: Counter[str] = Counter()

    def under_way(each: str) -> int:
        return flying.get(each, 0) + shares[each]

    for _ in range(room):
        least = min(integrations, key=under_way, default=None)
        if least is None or under_way(least) >= most:
            break
        shares[least] += 1
    return shares


async def _claim_of(
    transaction: Transaction,
    integration: _Due,
    now: float,
    share: int,
    lease_seconds: float,
    holder: str,
) -> list[Claim]:
    until = now + lease_seconds
    if not await _pass_gate(transaction, integration, until):
        return []
    claims = await _lease(transaction, integration, now, until, share, holder)
    if integration.probes and not claims:  # there was nothing to probe with
        await transaction.change(
            _PROBE_GATE, of=integration.id, until=integration.gate_until, seen=until
        )
    return claims


_OF: BindParameter[str] = bindparam("of")  # an integration
_DUE_INTEGRATIONS = (
    select(
        integrations.c.id,
        integrations.c.version,
        integrations.c.gate,
        integrations.c.gate_until,
        integrations.c.failures,
        sources.c.submissions,
        sources.c.asked_last,
    )
    .select_from(integrations.outerjoin(sources, sources.c.integration_id == integrations.c.id))
    .where(
        integrations.c.paused.is_(False),
        or_(integrations.c.gate_until.is_(None), integrations.c.gate_until <= bindparam("now")),
        select(contacts.c.contact_key)
        .where(
            contacts.c.integration_id == integrations.c.id, contacts.c.due_at <= bindparam("now")
        )
        .limit(1)
        .scalar_subquery()
        .is_not(None),
    )
)
_PASSED = (integrations.c.id == _OF) & (integrations.c.gate_until == bindparam("seen"))
_PROBE_GATE = update(integrations).where(_PASSED).values(gate_until=bindparam("until"))
_OPEN_GATE = (
    update(integrations)
    .where(_PASSED)
    .values(gate=GateState.OPEN.value, gate_reason=None, gate_since=None, gate_until=None)
)


async def _pass_gate(transaction: Transaction, integration: _Due, until: float) -> bool:
    """Pass an open gate, or take its one probe; False if another worker took the probe."""
    seen = integration.gate_until
    if integration.gate == GateState.OPEN:
        return True
    if integration.gate == GateState.HELD:  # its wait is over
        return await transaction.change(_OPEN_GATE, of=integration.id, seen=seen) == 1
    # If the probe has no result by then, another one may go.
    return await transaction.change(_PROBE_GATE, of=integration.id, seen=seen, until=until) == 1


_DUE_CONTACTS = (
    select(contacts.c.contact_key)
    .where(contacts.c.integration_id == _OF, contacts.c.due_at <= bindparam("now"))
    .order_by(contacts.c.due_at)
    .limit(bindparam("share"))
    .with_for_update(skip_locked=True)
)
_CONTACT = (contacts.c.integration_id == _OF) & (contacts.c.contact_key == bindparam("key"))
_LEASE = (
    update(contacts).where(_CONTACT).values(due_at=bindparam("until"), lease=bindparam("token"))
)
_OF_LEASED = ("of", "key", "until", "token")
_PLACE = (
    submissions.c.contact_key,
    submissions.c.integration_id,
    submissions.c.status,
    submissions.c.seq,
)


def _pending_of_contact(seq: int) -> ColumnElement[Any]:
    # `|| ''` hides the columns from SQLite's planner: it would use only the index's first column.
    of = contacts.c.contact_key.concat(""), contacts.c.integration_id.concat("")
    return tuple_(*of, literal(SubmissionStatus.PENDING.value), literal(seq))


# A range of the one index that has all four columns. With equality, PostgreSQL without statistics
# may choose another index, and read everything that is pending.
_FIRST_OF_CONTACT = (
    select(submissions.c.seq)
    .where(tuple_(*_PLACE).between(_pending_of_contact(0), _pending_of_contact(2**63 - 1)))
    .correlate(contacts)
    .order_by(*_PLACE)
    .limit(1)
    .scalar_subquery()
)
_FIRST_PENDING = select(
    _FIRST_OF_CONTACT,
    contacts.c.contact_key,
    contacts.c.delivered_seq,
    contacts.c.delivered_occurred_at,
    contacts.c.texted_key,
).where(contacts.c.integration_id == _OF, among(contacts.c.contact_key, "keys"))


# A statement of its own: no planner can take it for a reason to read all submissions.
_CLAIMED = select(
    submissions.c.seq,
    submissions.c.id,
    submissions.c.received_at,
    submissions.c.occurred_at,
    submissions.c.tries,
    submissions.c.forced,
    submissions.c.payload,
    submissions.c.request_id,
    submissions.c.traceparent,
    submissions.c.delivered_before,
    submissions.c.phone_key,
    refused_at(submissions.c.contact_key),
    texts_refused_at(submissions.c.contact_key, submissions.c.phone_key),
).where(among(submissions.c.seq, "seqs"))
_IDLE = (
    update(contacts)
    .where(contacts.c.integration_id == _OF, among(contacts.c.contact_key, "keys"))
    .values(due_at=None, lease=None)
)


async def _lease(
    transaction: Transaction, integration: _Due, now: float, until: float, share: int, holder: str
) -> list[Claim]:
    of = integration.id
    share = _PROBE_AMONG if integration.probes else share
    keys = [row[0] for row in await transaction.rows(_DUE_CONTACTS, of=of, now=now, share=share)]
    if integration.probes and keys:
        keys = [await _probe_of(transaction, of, keys)]
    if not keys:
        return []
    lease = holder + secrets.token_hex(8)
    firsts = {
        seq: contact for seq, *contact in await transaction.rows(_FIRST_PENDING, of=of, keys=keys)
    }
    await transaction.each(_LEASE, _OF_LEASED, [(of, key, until, lease) for key in keys])
    # An erasure leaves contacts due that have nothing pending.
    if None in firsts:
        found = {contact[0] for seq, contact in firsts.items() if seq is not None}
        await transaction.change(_IDLE, of=of, keys=list(set(keys) - found))
    rows = await transaction.rows(_CLAIMED, seqs=[seq for seq in firsts if seq is not None])
    claims = [_claim(row, firsts[row[0]], integration, lease, until) for row in rows]
    return sorted(claims, key=lambda each: each.seq)


_PROBE_AMONG = 50  # contacts that are due
_REFUSED_BEFORE = (
    select(attempts.c.submission_seq)
    .where(among(attempts.c.submission_seq, "seqs"), attempts.c.outcome == ACCESS_REFUSED)
    .distinct()
)


async def _probe_of(transaction: Transaction, integration_id: str, keys: Sequence[str]) -> str:
    """Choose the contact to probe with: not one that was refused before, if there is another.

    A firewall may refuse a single submission for what it holds. It must not be the only one to tell
    whether the account takes contacts.
    """
    rows = await transaction.rows(_FIRST_PENDING, of=integration_id, keys=keys)
    firsts = {key: seq for seq, key, *_ in rows if seq is not None}
    if not firsts:
        return keys[0]
    refused = {
        row[0] for row in await transaction.rows(_REFUSED_BEFORE, seqs=list(firsts.values()))
    }
    waiting = [key for key in keys if key in firsts]
    return next((key for key in waiting if firsts[key] not in refused), waiting[0])


def _claim(
    row: Sequence[Any], contact: Sequence[Any], integration: _Due, lease: str, until: float
) -> Claim:
    seq, id_, received_at, occurred_at, tries, forced, payload, request_id, traceparent, *past = row
    delivered_before, phone_key, email_refused_at, sms_refused_at = past
    contact_key, delivered_seq, delivered_occurred_at, texted_key = contact
    return Claim(
        lease=lease,
        leased_until=until,
        seq=seq,
        id=id_,
        integration_id=integration.id,
        contact_key=contact_key,
        received_at=received_at,
        occurred_at=occurred_at,
        tries=tries,
        forced=bool(forced),
        payload=payload or b"",
        delivered_occurred_at=delivered_occurred_at,
        version=integration.version,
        probe=integration.probes,
        troubled=integration.failures > 0 or integration.gate != GateState.OPEN,
        request_id=request_id,
        traceparent=traceparent,
        delivered_seq=delivered_seq,
        delivered_before=bool(delivered_before),
        phone_key=phone_key,
        texted_key=texted_key,
        email_refused_at=email_refused_at,
        sms_refused_at=sms_refused_at,
        opt_in_missing=opt_in_is_missing(integration.submissions, integration.asked_last),
    )


async def renew(
    database: Database,
    claims: Sequence[Claim],
    now: float,
    lease_seconds: float = LEASE_SECONDS,
) -> set[Token]:
    """Extend the leases that we still hold; return the tokens of their claims."""

    async def extend(transaction: Transaction) -> set[Token]:
        held = await _still_held(transaction, claims)
        extended = [
            (each.integration_id, each.contact_key, now + lease_seconds)
            for each in claims
            if each.token in held
        ]
        if extended:
            await transaction.each(_EXTEND, ("of", "key", "until"), extended)
        return set(held)

    return await database.transact(extend)


async def settle(database: Database, settlements: Sequence[Settlement], now: float) -> list[bool]:
    """Write the outcomes of claims; False for each whose lease another worker has taken."""

    async def write(transaction: Transaction) -> list[bool]:
        held = await _still_held(transaction, [each.claim for each in settlements])
        kept = [each for each in settlements if each.claim.token in held]
        await _record_attempts(transaction, settlements, held)
        if kept:
            await _write_outcomes(transaction, kept, now)
            await _announce_dead(transaction, database, kept, now)
            await _rekey(transaction, database, kept, now)
            await _free_contacts(transaction, kept, held, now)
            await record(transaction, merge(*(each.refused for each in kept if each.refused)))
            settled = [each for each in kept if each.status is not SubmissionStatus.PENDING]
            await decisions.write(transaction, [_decision(each, now) for each in settled])
            await tallies.count(
                transaction, database, Counter(_tally(each, now) for each in settled)
            )
        return [each.claim.token in held for each in settlements]

    return await database.transact(write)


def _decision(settled: Settlement, now: float) -> NewDecision:
    claim = settled.claim
    decided = Decision(
        claim.id,
        claim.integration_id,
        claim.version,
        now,
        settled.status.value,
        str(settled.reason) if settled.reason else None,
        settled.basis.as_json() if settled.basis else None,
    )
    return NewDecision(claim.contact_key, settled.phone_key, claim.seq, decided)


def _tally(settled: Settlement, now: float) -> Tally:
    outcome, reason, basis = settled.status.value, str(settled.reason or ""), settled.basis
    of = tallies.hour_of(now), settled.claim.integration_id, outcome, reason
    if basis is None:
        return Tally(*of)
    asked = basis.email_status or "", basis.sms_status or ""
    return Tally(*of, basis.region, basis.opt_in.answer, *asked)


@dataclass(frozen=True, slots=True)
class _Held:
    """A contact whose lease we hold, with the newest of its delivered submissions.

    `texted_key` as a claim has it.
    """

    delivered_seq: int | None
    delivered_occurred_at: float | None
    texted_key: str | None


async def texted_key(
    database: Database, integration_id: str, contact_key: str | None
) -> str | None:
    """Return the key of the phone number by which a contact was subscribed to texts, if it was."""
    of = contacts.c.integration_id == integration_id, contacts.c.contact_key == contact_key
    async with database.read() as connection:
        key: str | None = await connection.scalar(select(contacts.c.texted_key).where(*of))
        return key


async def texted_elsewhere(
    database: Database, integration_id: str, contact_key: str
) -> Collection[str]:
    """Return the keys of the phone numbers by which others subscribed a contact to texts."""
    texted = select(contacts.c.texted_key).where(
        contacts.c.integration_id != integration_id,
        contacts.c.contact_key == contact_key,
        contacts.c.texted_key.is_not(None),
    )
    async with database.read() as connection:
        return set(await connection.scalars(texted))


def has_texts_of_another(
    phone_key: str | None, texted_key: str | None, elsewhere: Collection[str]
) -> bool:
    """Whether a number would get texts that a contact agreed to by another, and not by this one.

    By this integration, or by others for the same account: accounts cannot be told apart.
    """
    if texted_key not in (None, phone_key):
        return True
    return texted_key is None and bool(elsewhere) and phone_key not in elsewhere


_EXTEND = update(contacts).where(_CONTACT).values(due_at=bindparam("until"))
_LOCK_CONTACTS = (
    select(
        contacts.c.contact_key,
        contacts.c.lease,
        contacts.c.delivered_seq,
        contacts.c.delivered_occurred_at,
        contacts.c.texted_key,
    )
    .where(contacts.c.integration_id == _OF, among(contacts.c.contact_key, "keys"))
    .order_by(contacts.c.contact_key)
    .with_for_update()
)


async def _still_held(transaction: Transaction, claims: Sequence[Claim]) -> dict[Token, _Held]:
    """Lock the contacts, in one order; return those whose lease we still hold, by token.

    An old claim and a new one of the same contact may meet here; only the new one counts.
    """
    by_integration: dict[str, dict[str, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for each in claims:
        by_integration[each.integration_id][each.contact_key].append(each)
    held: dict[Token, _Held] = {}
    for integration_id in sorted(by_integration):
        mine = by_integration[integration_id]
        rows = await transaction.rows(_LOCK_CONTACTS, of=integration_id, keys=list(mine))
        for key, lease, *newest in rows:
            for each in mine[key]:
                if lease == each.lease:
                    held[each.token] = _Held(*newest)
    return held


_ADD_ATTEMPTS = insert(attempts).inline()
_OF_ATTEMPT = ("submission_seq", "at", "ms", "http_status", "outcome", "error")


async def _record_attempts(
    transaction: Transaction, settlements: Sequence[Settlement], held: Collection[Token]
) -> None:
    """Write the attempts. If we lost the lease, the contact may be erased: leave out the error."""
    rows = [
        (
            each.claim.seq,
            attempt.at,
            attempt.ms,
            attempt.http_status,
            attempt.outcome,
            attempt.error if each.claim.token in held else None,
        )
        for each in settlements
        for attempt in (*each.unspent, each.attempt)
        if attempt is not None
    ]
    if rows:
        await transaction.each(_ADD_ATTEMPTS, _OF_ATTEMPT, rows)


_ACCESS_REFUSALS = (
    select(attempts.c.id)
    .where(attempts.c.submission_seq == bindparam("row"), attempts.c.outcome == ACCESS_REFUSED)
    .order_by(attempts.c.id.desc())
    .limit(bindparam("most"))
)
_DELIVERED_SINCE = (
    select(attempts.c.id)
    .join(submissions, submissions.c.seq == attempts.c.submission_seq)
    .where(
        attempts.c.id > bindparam("since"),
        attempts.c.outcome == "delivered",
        submissions.c.integration_id == _OF,
    )
    .order_by(attempts.c.id)
    .limit(1)
)


_STANDS = select(
    refused_at(submissions.c.contact_key),
    texts_refused_at(submissions.c.contact_key, submissions.c.phone_key),
    integrations.c.version,
    integrations.c.paused,
    submissions.c.status,
    submissions.c.payload,
).where(submissions.c.seq == bindparam("row"), integrations.c.id == submissions.c.integration_id)


async def overtaken(database: Database, claim: Claim) -> bool:
    """Whether what a plan rests on has changed since the claim.

    The person said no, the submission was erased or given up, its integration changed or paused.
    """
    async with database.read() as connection:
        row = (await connection.execute(_STANDS, {"row": claim.seq})).one_or_none()
    refused_at = claim.email_refused_at, claim.sms_refused_at
    claimed = *refused_at, claim.version, False, SubmissionStatus.PENDING, claim.payload
    return row is None or tuple(row) != claimed


async def passed_by(database: Database, claim: Claim, most: int) -> int:
    """Count how often Cordial refused access to a submission, where it took others since.

    At most the last `most` refusals count; 0 if it took no other submission of the integration
    since the first of them. One that it took shows that key, address and permission are right, so
    that the refusal is of what this submission holds.
    """

    async def count(transaction: Transaction) -> int:
        refused = await transaction.rows(_ACCESS_REFUSALS, row=claim.seq, most=most)
        if not refused:
            return 0
        first = refused[-1][0]
        passed = await transaction.rows(_DELIVERED_SINCE, since=first, of=claim.integration_id)
        return len(refused) if passed else 0

    return await database.transact(count)


_WRITE_OUTCOME = (
    update(submissions)
    .where(submissions.c.seq == bindparam("row"))
    .values(
        status=bindparam("to_status"),
        reason=bindparam("to_reason"),
        settled_at=bindparam("at"),
        tries=bindparam("spent"),
        warnings=bindparam("noted"),
        cordial_contact_id=bindparam("contact_id"),
        payload=case((bindparam("wiped", type_=Boolean()), null()), else_=submissions.c.payload),
    )
)


_OF_OUTCOME = ("to_status", "to_reason", "at", "spent", "noted", "contact_id", "wiped", "row")


async def _write_outcomes(
    transaction: Transaction, settlements: Sequence[Settlement], now: float
) -> None:
    rows = [
        (
            each.status.value,
            str(each.reason) if each.reason else None,
            None if each.status is SubmissionStatus.PENDING else now,
            each.claim.tries + (each.attempt is not None),
            to_json(each.warnings).decode() if each.warnings else None,
            each.cordial_contact_id,
            each.wiped,
            each.claim.seq,
        )
        for each in settlements
    ]
    await transaction.each(_WRITE_OUTCOME, _OF_OUTCOME, rows)


async def _announce_dead(
    transaction: Transaction, database: Database, settlements: Sequence[Settlement], now: float
) -> None:
    dead = Counter(
        each.claim.integration_id for each in settlements if each.status is SubmissionStatus.DEAD
    )
    for integration_id, number in sorted(dead.items()):
        await announce_dead(transaction, database, integration_id, number, now)


_MOVE = (
    update(submissions)
    .where(submissions.c.seq == bindparam("row"))
    .values(contact_key=bindparam("key"), phone_key=bindparam("by_phone"))
)
_MAKE_DUE = (
    update(contacts)
    .where(_CONTACT)
    .values(due_at=func.coalesce(contacts.c.due_at, bindparam("ready")))
)


async def _rekey(
    transaction: Transaction, database: Database, settlements: Sequence[Settlement], now: float
) -> None:
    """Give submissions the keys that a changed mapping gives them: mostly those of another contact,
    to whose line they move.
    """
    for each in settlements:
        if each.rekeyed is None:
            continue
        (key, by_phone), of = each.rekeyed, each.claim.integration_id
        await transaction.change(_MOVE, row=each.claim.seq, key=key, by_phone=by_phone)
        if key == each.claim.contact_key:  # another phone number alone: its line stays
            continue
        await decisions.part(transaction, each.claim.seq)
        add = database.insert_or_ignore(contacts)
        await transaction.change(add, integration_id=of, contact_key=key)
        await transaction.change(_MAKE_DUE, of=of, key=key, ready=ready_at(now))


_FREE_CONTACT = (
    update(contacts)
    .where(_CONTACT)
    .values(
        lease=None,
        due_at=case((_FIRST_OF_CONTACT.is_not(None), bindparam("due", type_=Double())), else_=None),
        delivered_seq=bindparam("seq"),
        delivered_occurred_at=bindparam("occurred"),
        texted_key=bindparam("texted"),
    )
)


_OF_FREED = ("due", "seq", "occurred", "texted", "of", "key")


async def _free_contacts(
    transaction: Transaction,
    settlements: Sequence[Settlement],
    held: Mapping[Token, _Held],
    now: float,
) -> None:
    """Give the contacts back: due again if they have more pending, else idle."""
    rows = [
        (
            each.due_at if each.due_at is not None else ready_at(now),
            *_newest_delivered(each, held[each.claim.token]),
            _texted(each, held[each.claim.token]),
            each.claim.integration_id,
            each.claim.contact_key,
        )
        for each in settlements
    ]
    await transaction.each(_FREE_CONTACT, _OF_FREED, rows)


def _newest_delivered(settlement: Settlement, contact: _Held) -> tuple[int | None, float | None]:
    """Return the newest delivered submission of a contact, this settlement included.

    There are two measures: the order of receipt, and when the answers were given.
    """
    seq, occurred_at = contact.delivered_seq, contact.delivered_occurred_at
    if settlement.status is SubmissionStatus.DELIVERED:
        claim = settlement.claim
        seq = max(claim.seq, seq or 0)
        occurred_at = max(filter(None, (claim.occurred_at, occurred_at)), default=None)
    return seq, occurred_at


def _texted(settlement: Settlement, contact: _Held) -> str | None:
    """Return the key of the phone number by which a contact is subscribed to texts, after this.

    Cordial may have written a contact although its answer was lost, or was no answer to it.
    """
    asked, known = settlement.basis.sms_status if settlement.basis else None, contact.texted_key
    if settlement.status is SubmissionStatus.DELIVERED and asked is not None:
        return settlement.phone_key if asked == Status.SUBSCRIBED else None
    if asked != Status.SUBSCRIBED or settlement.reason == DeadReason.REJECTED:
        return known
    return settlement.phone_key if known in (None, settlement.phone_key) else ONE_OF_SEVERAL
