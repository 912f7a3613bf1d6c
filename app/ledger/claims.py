"""Claims: which submission may be sent next, who holds it, and what became of it.

A claim leases a contact, so that its submissions go out one at a time, in the order received. The
lease is a random token: whoever does not hold the contact's token any more settles nothing.
"""

import random
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    Double,
    Row,
    bindparam,
    case,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.notices import announce_dead
from app.ledger.schema import (
    GateState,
    SubmissionStatus,
    attempts,
    contacts,
    integrations,
    ready_at,
    submissions,
)

LEASE_SECONDS = 60.0

Token = tuple[str, int]
"""What tells one claim from another: a process may claim again what it held before."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A submission that is ours to send until the lease runs out.

    `version` is that of the integration as it stands, `probe` whether this one is sent to see if
    Cordial is back, `troubled` whether the gate has failures on record, which a success clears.
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

    @property
    def token(self) -> Token:
        """Return what proves that this claim, and not an earlier one, holds the contact."""
        return self.lease, self.seq


@dataclass(frozen=True, slots=True)
class _Due:
    """An integration that has something to send, and how its gate stands."""

    id: str
    version: int
    gate: str
    gate_until: float | None
    failures: int

    @property
    def probes(self) -> bool:
        return self.gate in (GateState.CLOSED, GateState.BLOCKED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to send a submission: when (unix seconds), how long, and what came of it."""

    at: float
    ms: float
    http_status: int | None
    outcome: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a claim.

    `status` is pending where the submission stays for another try: at `due_at`, or at once.
    `attempt` is None where none was spent. `rekeyed` gives the contact key and phone key of the
    contact that it turned out to be of; `wiped` says that the payload is not kept.
    """

    claim: Claim
    status: SubmissionStatus
    due_at: float | None = None
    reason: str | None = None
    attempt: Attempt | None = None
    warnings: Sequence[Mapping[str, Any]] = ()
    cordial_contact_id: str | None = None
    rekeyed: tuple[str, str | None] | None = None
    wiped: bool = False


async def claim(
    database: Database,
    now: float,
    limit: int,
    *,
    flying: Mapping[str, int] | None = None,
    most: int | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> list[Claim]:
    """Take up to `limit` contacts that are due and lease the first pending submission of each.

    Integrations take turns, so that the backlog of one does not hold up another. A gate that is
    closed or blocked lets a single probe by when its time has come.

    Args:
        database: the ledger.
        now: unix seconds.
        limit: how many at most.
        flying: how many of each integration the caller has under way.
        most: how many of one integration may be under way; None: no bound of its own.
        lease_seconds: how long they are ours, unless renewed.
    """
    async with database.read() as connection:
        due = await _due_integrations(connection, now)
    random.shuffle(due)  # with room for one, each gets its turn in the long run
    shares = share_out([each.id for each in due], limit, flying or {}, most or limit)
    claims: list[Claim] = []
    for integration in due:
        if share := shares[integration.id]:
            async with database.write() as connection:
                claims += await _claim_of(connection, integration, now, share, lease_seconds)
    return claims


def share_out(
    integrations: Sequence[str], room: int, flying: Mapping[str, int], most: int
) -> Counter[str]:
    """Return how many each may claim: the next place goes to whoever has fewest under way.

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
    connection: AsyncConnection, integration: _Due, now: float, share: int, lease_seconds: float
) -> list[Claim]:
    until = now + lease_seconds
    if not await _pass_gate(connection, integration, until):
        return []
    claims = await _lease(connection, integration, now, until, share)
    if integration.probes and not claims:  # nothing was there to probe with after all
        await _set_gate_until(connection, integration, integration.gate_until)
    return claims


async def _due_integrations(connection: AsyncConnection, now: float) -> list[_Due]:
    waiting = select(contacts.c.contact_key).where(
        contacts.c.integration_id == integrations.c.id, contacts.c.due_at <= now
    )
    column = integrations.c
    found = await connection.execute(
        select(column.id, column.version, column.gate, column.gate_until, column.failures).where(
            column.paused.is_(False),
            or_(column.gate_until.is_(None), column.gate_until <= now),
            waiting.exists(),
        )
    )
    return [_Due(*row) for row in found]


async def _pass_gate(connection: AsyncConnection, integration: _Due, until: float) -> bool:
    """Take the gate's one probe, or find it open; False where another took the probe."""
    if integration.gate == GateState.OPEN:
        return True
    if integration.gate == GateState.HELD:  # only a wait, which is over
        passed = {"gate": GateState.OPEN, "gate_reason": None, "gate_since": None}
        values: dict[str, Any] = {**passed, "gate_until": None}
    else:
        values = {"gate_until": until}  # the probe has this long to tell
    taken = await connection.execute(
        update(integrations)
        .where(
            integrations.c.id == integration.id,
            integrations.c.gate_until == integration.gate_until,
        )
        .values(values)
    )
    return taken.rowcount == 1


async def _set_gate_until(
    connection: AsyncConnection, integration: _Due, until: float | None
) -> None:
    mine = update(integrations).where(integrations.c.id == integration.id)
    await connection.execute(mine.values(gate_until=until))


async def _lease(
    connection: AsyncConnection, integration: _Due, now: float, until: float, share: int
) -> list[Claim]:
    due = (
        select(contacts.c.contact_key)
        .where(contacts.c.integration_id == integration.id, contacts.c.due_at <= now)
        .order_by(contacts.c.due_at)
        .limit(1 if integration.probes else share)
        .with_for_update(skip_locked=True)
    )
    keys = list(await connection.scalars(due))
    if not keys:
        return []
    lease = secrets.token_hex(8)
    mine = (contacts.c.integration_id == integration.id) & contacts.c.contact_key.in_(keys)
    await connection.execute(update(contacts).where(mine).values(due_at=until, lease=lease))
    first = (
        select(submissions.c.seq)
        .where(
            submissions.c.integration_id == contacts.c.integration_id,
            submissions.c.contact_key == contacts.c.contact_key,
            submissions.c.status == SubmissionStatus.PENDING,
        )
        .order_by(submissions.c.seq)
        .limit(1)
        .correlate(contacts)
        .scalar_subquery()
    )
    found = await connection.execute(
        select(submissions, contacts.c.delivered_occurred_at, contacts.c.delivered_seq)
        .select_from(contacts.join(submissions, submissions.c.seq == first))
        .where(mine)
        .order_by(submissions.c.seq)
    )
    claims = [_claim(row, integration, lease, until) for row in found]
    await _clear_idle(connection, integration.id, set(keys) - {each.contact_key for each in claims})
    return claims


def _claim(row: Row[tuple[Any, ...]], integration: _Due, lease: str, until: float) -> Claim:
    return Claim(
        lease=lease,
        leased_until=until,
        seq=row.seq,
        id=row.id,
        integration_id=row.integration_id,
        contact_key=row.contact_key,
        received_at=row.received_at,
        occurred_at=row.occurred_at,
        tries=row.tries,
        forced=row.forced,
        payload=row.payload or b"",
        delivered_occurred_at=row.delivered_occurred_at,
        version=integration.version,
        probe=integration.probes,
        troubled=integration.failures > 0 or integration.gate != GateState.OPEN,
        request_id=row.request_id,
        traceparent=row.traceparent,
        delivered_seq=row.delivered_seq,
    )


async def _clear_idle(connection: AsyncConnection, integration_id: str, keys: set[str]) -> None:
    """Stop calling contacts due that have nothing pending (left so by an erasure)."""
    if keys:
        await connection.execute(
            update(contacts)
            .where(contacts.c.integration_id == integration_id, contacts.c.contact_key.in_(keys))
            .values(due_at=None, lease=None)
        )


async def renew(
    database: Database,
    claims: Sequence[Claim],
    now: float,
    lease_seconds: float = LEASE_SECONDS,
) -> set[Token]:
    """Extend the leases that are still ours; return the tokens of their claims."""
    async with database.write() as connection:
        held = await _still_held(connection, claims)
        extended = [
            {"integration": each.integration_id, "key": each.contact_key}
            for each in claims
            if each.token in held
        ]
        if extended:
            await connection.execute(
                update(contacts)
                .where(
                    contacts.c.integration_id == bindparam("integration"),
                    contacts.c.contact_key == bindparam("key"),
                )
                .values(due_at=now + lease_seconds),
                extended,
            )
    return set(held)


async def settle(database: Database, settlements: Sequence[Settlement], now: float) -> list[bool]:
    """Write what became of claims; False for each whose lease another has taken meanwhile."""
    async with database.write() as connection:
        held = await _still_held(connection, [each.claim for each in settlements])
        kept = [each for each in settlements if each.claim.token in held]
        await _record_attempts(connection, settlements)
        if kept:
            await _write_outcomes(connection, kept, now)
            await _announce_dead(connection, database, kept, now)
            await _rekey(connection, database, kept, now)
            await _free_contacts(connection, kept, held, now)
    return [each.claim.token in held for each in settlements]


async def _still_held(
    connection: AsyncConnection, claims: Sequence[Claim]
) -> dict[Token, Row[tuple[Any, ...]]]:
    """Lock the contacts, in one order for all; return those whose lease is still ours, by token.

    An old claim and a new one of the same contact may meet here; the new one alone is heard.
    """
    by_integration: dict[str, dict[str, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for each in claims:
        by_integration[each.integration_id][each.contact_key].append(each)
    held: dict[Token, Row[tuple[Any, ...]]] = {}
    for integration_id in sorted(by_integration):
        mine = by_integration[integration_id]
        rows = await connection.execute(
            select(contacts)
            .where(contacts.c.integration_id == integration_id, contacts.c.contact_key.in_(mine))
            .order_by(contacts.c.contact_key)
            .with_for_update()
        )
        for row in rows:
            for each in mine[row.contact_key]:
                if row.lease == each.lease:
                    held[each.token] = row
    return held


async def _record_attempts(connection: AsyncConnection, settlements: Sequence[Settlement]) -> None:
    rows = [
        {"submission_seq": each.claim.seq, **asdict(each.attempt)}
        for each in settlements
        if each.attempt is not None
    ]
    if rows:
        await connection.execute(insert(attempts), rows)


async def _write_outcomes(
    connection: AsyncConnection, settlements: Sequence[Settlement], now: float
) -> None:
    await connection.execute(
        update(submissions)
        .where(submissions.c.seq == bindparam("row"))
        .values(
            status=bindparam("to_status"),
            reason=bindparam("to_reason"),
            settled_at=bindparam("at"),
            tries=bindparam("spent"),
            warnings=bindparam("noted"),
            cordial_contact_id=bindparam("contact_id"),
            payload=case(
                (bindparam("wiped", type_=Boolean()), null()), else_=submissions.c.payload
            ),
        ),
        [
            {
                "row": each.claim.seq,
                "to_status": each.status,
                "to_reason": each.reason,
                "at": None if each.status is SubmissionStatus.PENDING else now,
                "spent": each.claim.tries + (each.attempt is not None),
                "noted": list(each.warnings) or None,
                "contact_id": each.cordial_contact_id,
                "wiped": each.wiped,
            }
            for each in settlements
        ],
    )


async def _announce_dead(
    connection: AsyncConnection, database: Database, settlements: Sequence[Settlement], now: float
) -> None:
    dead = Counter(
        each.claim.integration_id for each in settlements if each.status is SubmissionStatus.DEAD
    )
    for integration_id, number in sorted(dead.items()):
        await announce_dead(connection, database, integration_id, number, now)


async def _rekey(
    connection: AsyncConnection, database: Database, settlements: Sequence[Settlement], now: float
) -> None:
    """Queue submissions behind the contact they turned out to be of, after a mapping changed."""
    for each in settlements:
        if each.rekeyed is None:
            continue
        contact_key, phone_key = each.rekeyed
        await connection.execute(
            update(submissions)
            .where(submissions.c.seq == each.claim.seq)
            .values(contact_key=contact_key, phone_key=phone_key)
        )
        row = {"integration_id": each.claim.integration_id, "contact_key": contact_key}
        await connection.execute(database.insert_or_ignore(contacts), row)
        await connection.execute(
            update(contacts)
            .where(
                contacts.c.integration_id == each.claim.integration_id,
                contacts.c.contact_key == contact_key,
            )
            .values(due_at=func.coalesce(contacts.c.due_at, ready_at(now)))
        )


async def _free_contacts(
    connection: AsyncConnection,
    settlements: Sequence[Settlement],
    held: Mapping[Token, Row[tuple[Any, ...]]],
    now: float,
) -> None:
    """Give the contacts back: due again where more of theirs is pending, else idle."""
    more = (
        select(submissions.c.seq)
        .where(
            submissions.c.integration_id == contacts.c.integration_id,
            submissions.c.contact_key == contacts.c.contact_key,
            submissions.c.status == SubmissionStatus.PENDING,
        )
        .correlate(contacts)
        .exists()
    )
    await connection.execute(
        update(contacts)
        .where(
            contacts.c.integration_id == bindparam("integration"),
            contacts.c.contact_key == bindparam("key"),
        )
        .values(
            lease=None,
            due_at=case((more, bindparam("due", type_=Double())), else_=None),
            delivered_seq=bindparam("seq"),
            delivered_occurred_at=bindparam("occurred"),
        ),
        [
            {
                "integration": each.claim.integration_id,
                "key": each.claim.contact_key,
                "due": each.due_at if each.due_at is not None else ready_at(now),
                **_newest_delivered(each, held[each.claim.token]),
            }
            for each in settlements
        ],
    )


def _newest_delivered(settlement: Settlement, contact: Row[tuple[Any, ...]]) -> dict[str, Any]:
    """Return what is the newest delivered of a contact, with this settlement counted in."""
    seq, occurred_at = contact.delivered_seq, contact.delivered_occurred_at
    if settlement.status is SubmissionStatus.DELIVERED:
        claim = settlement.claim
        seq = max(claim.seq, seq or 0)
        occurred_at = max(filter(None, (claim.occurred_at, occurred_at)), default=None)
    return {"seq": seq, "occurred": occurred_at}
