"""The plan: what is to be done with one submission, and why.

The one function that both preview and delivery ask, at the time of asking, so that what is shown
is what is sent.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import JsonValue

from app.jebbit.submission import Submission
from app.rules.contact import Identity, Statuses, contact_body, identify
from app.rules.integration import Integration, Terms
from app.rules.mapping import Mapped, MappedField, PlanWarning
from app.rules.policy import (
    EU_COUNTRIES,
    OptInReading,
    RegionReading,
    SkipReason,
    Status,
    email_status,
    may_force,
    read_opt_in,
    read_region,
    refuse_opt_in,
    refuse_region,
    refuse_session,
    sms_status,
    terms,
)
from app.rules.values import FieldType, NotConvertible, parse_date

_CLOCKS_DIFFER_BY = timedelta(days=1)  # at most: a wrong zone is up to 14 hours


@dataclass(slots=True)
class Evidence:
    """What a plan rests on, for a person to read."""

    region: RegionReading
    opt_in: OptInReading
    sms_opt_in: OptInReading
    mapping: Mapped | None = None

    @property
    def mapped(self) -> Sequence[MappedField]:
        """How each field came about; of a skip there are none."""
        return self.mapping.steps if self.mapping else ()


@dataclass(slots=True)
class Upsert:
    """Send this body to Cordial."""

    body: Mapping[str, JsonValue]
    warnings: Sequence[PlanWarning]
    evidence: Evidence


@dataclass(slots=True)
class Skip:
    """Send nothing; a rule said no."""

    reason: SkipReason
    evidence: Evidence


Plan = Upsert | Skip


def plan(
    submission: Submission,
    integration: Integration,
    *,
    eu_countries: Set[str] = EU_COUNTRIES,
    account_attributes: Mapping[str, FieldType] | None = None,
    identity: Identity | None = None,
) -> Plan:
    """Decide what Cordial should be told of a submission.

    Args:
        submission: what Jebbit sent.
        integration: the integration as it is now.
        eu_countries: ISO 3166 alpha-2 codes of the countries whose people EU rules protect.
        account_attributes: the attributes the Cordial account has, with their types; they only
            matter where the integration lets unmapped attributes flow.
        identity: what `identify` makes of the same two, where the caller has asked already.
    """
    source, policy = integration.jebbit, integration.policy
    region = read_region(submission, source, eu_countries)
    opt_in = read_opt_in(submission, source.attributes.opt_in, source)
    sms_opt_in = read_opt_in(submission, source.attributes.sms_opt_in, source)
    identity = identity or identify(submission, integration)
    held = terms(policy, region.region)
    refused = (
        refuse_session(submission, source)
        or (None if identity.known else _refuse_identity(identity))
        or refuse_region(policy, region.region)
        or refuse_opt_in(held.opt_in, opt_in.answer)
    )
    if refused:
        return Skip(refused, Evidence(region, opt_in, sms_opt_in))
    known = account_attributes if integration.unmapped == "known" else None
    mapped = integration.fields.apply(submission, known)
    evidence = Evidence(region, opt_in, sms_opt_in, mapped)
    fields = mapped.fields
    if policy.opt_in_field:
        fields = {**fields, policy.opt_in_field: opt_in.answer.value}
    statuses = _statuses(integration, identity, held, evidence)
    body = contact_body(integration, identity, statuses, fields)
    return Upsert(body, [*identity.warnings, *mapped.warnings], evidence)


def _refuse_identity(identity: Identity) -> SkipReason:
    return SkipReason.UNTRUSTED_IDENTITY if identity.untrusted else SkipReason.NO_IDENTITY


def _statuses(
    integration: Integration, identity: Identity, held: Terms, evidence: Evidence
) -> Statuses:
    email = sms = None
    subscribed_by: list[OptInReading] = []
    if identity.email:
        email = email_status(evidence.opt_in, held, evidence.region)
        if email is Status.SUBSCRIBED:
            subscribed_by.append(evidence.opt_in)
    if identity.phone and integration.sms.program:
        sms = sms_status(evidence.sms_opt_in, held)
        if sms is Status.SUBSCRIBED:
            subscribed_by.append(evidence.sms_opt_in)
    return Statuses(email, sms, may_force(held, subscribed_by))


class Facts(NamedTuple):
    """What the ledger must know of a submission to keep order and tell repeats."""

    identity: Identity
    session: str | None
    occurred_at: datetime | None


def facts(submission: Submission, integration: Integration, received_at: datetime) -> Facts:
    """Read who a submission is of, which session it closed and when it happened.

    A time far ahead of its receipt is a wrong clock: believed, it would make everything that
    follows look stale, so it counts as no time.
    """
    names = integration.jebbit.attributes
    session = submission.look_up(names.session)[1] if names.session else None
    occurred = submission.look_up(names.occurred_at)[1] if names.occurred_at else None
    try:
        at = parse_date(occurred).astimezone(UTC) if occurred is not None else None
    except (NotConvertible, OverflowError):
        at = None
    if at is not None and at > received_at + _CLOCKS_DIFFER_BY:
        at = None
    return Facts(
        identity=identify(submission, integration),
        session=str(session) if session is not None else None,
        occurred_at=at,
    )
