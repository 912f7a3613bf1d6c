"""What the ops API shows: the ledger's values as JSON, without secrets."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, overload

from pydantic import BaseModel, Field, JsonValue, WithJsonSchema
from pydantic_core import from_json

from app.ledger.claims import Attempt
from app.ledger.decisions import Decision
from app.ledger.documents import masked_document
from app.ledger.integrations import StoredIntegration
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import Counts, StoredSubmission
from app.operations.previewing import Explanation
from app.operations.submissions import Explained
from app.rules.integration import CordialAccount, JebbitSource, Policy
from app.rules.mapping import MappedField, Rule
from app.rules.plan import Skip

At = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time as `moment` writes it."""


@overload
def moment(seconds: float) -> str: ...
@overload
def moment(seconds: float | None) -> str | None: ...
def moment(seconds: float | None) -> str | None:
    """Return unix seconds as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


class GateView(BaseModel):
    """Whether sending to the account goes on, shared by all replicas."""

    state: Literal["open", "held", "closed", "blocked"]
    reason: str | None
    since: At | None
    until: At | None = Field(description="Nothing is sent before; then one probe (held: all).")
    failures: int = Field(description="In a row.")


class ShownAccount(CordialAccount):
    """Where contacts go; the key is masked."""

    api_key: str = Field(  # type: ignore[assignment]
        description="Its last four characters.", examples=["****dial"]
    )


class ShownSource(JebbitSource):
    """What arrives and how it is read; the secrets are masked."""

    webhook_secrets: list[str] = Field(  # type: ignore[assignment]
        description="Their last four characters.", examples=[["****bbit"]]
    )


class IntegrationView(BaseModel):
    """An integration as configured, with its place in the service."""

    id: str = Field(examples=["spring-quiz"])
    name: str = Field(examples=["Spring quiz"])
    state: Literal["active", "paused", "blocked"]
    state_reason: str | None = Field(description="Why it does not send.", examples=[None])
    webhook_url: str = Field(
        description="The address to paste into Jebbit.",
        examples=["https://sync.example.com/webhooks/jebbit/spring-quiz"],
    )
    webhook_url_guessed: bool = Field(
        description="PUBLIC_URL is not set: the address is the one that you called, which Jebbit "
        "may not reach.",
        examples=[False],
    )
    version: int = Field(
        description="Of the configuration, as the ETag says it too; for If-Match.", examples=[7]
    )
    gate: GateView
    cordial: ShownAccount
    jebbit: ShownSource
    mapping: list[Rule]
    unmapped: Literal["ignore", "known"]
    policy: Policy
    created_at: At = Field(examples=["2026-11-24T00:09:02+00:00"])
    updated_at: At = Field(examples=["2026-11-24T00:09:02+00:00"])

    @classmethod
    def of(cls, stored: StoredIntegration, base_url: str, *, guessed: bool) -> Self:
        """Return the view; secrets are shown as their last four characters."""
        gate, document = stored.gate, masked_document(stored.integration)
        configured = stored.integration
        return cls(
            id=stored.id,
            state=stored.state,
            state_reason=stored.state_reason,
            webhook_url=f"{base_url}/webhooks/jebbit/{stored.id}",
            webhook_url_guessed=guessed,
            version=stored.version,
            gate=GateView(
                state=gate.state.value,
                reason=gate.reason,
                since=moment(gate.since),
                until=moment(gate.until),
                failures=gate.failures,
            ),
            created_at=moment(stored.created_at),
            updated_at=moment(stored.updated_at),
            name=configured.name,
            cordial=ShownAccount.model_validate(document["cordial"]),
            jebbit=ShownSource.model_validate(document["jebbit"]),
            mapping=configured.mapping,
            unmapped=configured.unmapped,
            policy=configured.policy,
        )


class AttemptView(BaseModel):
    """One try to send."""

    at: At
    ms: float
    http_status: int | None
    outcome: str
    error: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """Return the view of an attempt."""
        return cls(
            at=moment(attempt.at),
            ms=round(attempt.ms, 1),
            http_status=attempt.http_status,
            outcome=attempt.outcome,
            error=attempt.error,
        )


class WarningView(BaseModel):
    """Something that was left out of a contact, or should be known of it."""

    code: str = Field(examples=["not_converted"])
    attribute: str | None = None
    field: str | None = None
    detail: str


class SubmissionSummary(BaseModel):
    """A submission in a list."""

    id: str
    integration: str
    status: SubmissionStatus
    reason: str | None
    received_at: At
    occurred_at: At | None
    settled_at: At | None
    warnings: list[WarningView]
    cordial_contact_id: str | None

    @classmethod
    def of(cls, stored: StoredSubmission, **more: Any) -> Self:
        """Return the view of a stored submission."""
        return cls(
            id=stored.id,
            integration=stored.integration_id,
            status=stored.status,
            reason=stored.reason,
            received_at=moment(stored.received_at),
            occurred_at=moment(stored.occurred_at),
            settled_at=moment(stored.settled_at),
            warnings=[WarningView.model_validate(each) for each in stored.warnings],
            cordial_contact_id=stored.cordial_contact_id,
            **more,
        )


class RegionView(BaseModel):
    """A person's region and what decided it."""

    region: str
    decided_by: str
    attribute: str | None
    value: JsonValue
    doubtful: bool = Field(description="A country is named that is not believed or understood.")
    express: bool = Field(description="The country takes no silence for consent, as the EU.")


class OptInView(BaseModel):
    """What a person answered and where it was read."""

    answer: str
    attribute: str | None
    value: JsonValue
    trusted: bool = Field(description="false: it may have come from the page's URL.")
    doubt: str | None = Field(description="Where in the page's URL the attribute was found.")


class MappedView(BaseModel):
    """How one field came about."""

    attribute: str | None
    source: JsonValue
    field: str
    type: str
    value: JsonValue = Field(description="null: nothing is sent for it.")


class ReadView(BaseModel):
    """An attribute that a step looked at."""

    attribute: str = Field(description="As the configuration names it.")
    key: str | None = Field(description="As it was sent; null: the submission has none of it.")
    value: JsonValue
    believed: bool
    why: str | None = Field(description="Why it is not believed.")


class StepView(BaseModel):
    """One step of a decision."""

    subject: str
    place: str | None = Field(description="In the configuration.", examples=["policy.eu"])
    read: list[ReadView]
    result: str = Field(examples=["eu"])
    sentence: str = Field(
        examples=["Region: EU, because country_code is DE. EU rules hold: policy.eu."]
    )
    stops: bool = Field(description="Here the submission was skipped.")


class RequestView(BaseModel):
    """The request to Cordial, its key masked."""

    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, JsonValue]


class PlanView(BaseModel):
    """What would be done with a submission now, and why."""

    decision: Literal["upsert", "skip"]
    reason: str | None = Field(None, description="Of a skip.")
    detail: str | None = Field(None, description="Of a skip: what to know and do, in words.")
    region: RegionView
    opt_in: OptInView
    sms_opt_in: OptInView
    steps: list[StepView] = Field(description="How it was decided, in order and in plain words.")
    fields: list[MappedView]
    would_map: list[MappedView] = Field([], description="Of a skip: the fields, had it been sent.")
    warnings: list[WarningView]
    request: RequestView | None = None
    note: str | None = Field(None, description="What could not be found out for this plan.")

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Return the view of an explanation."""
        decided, request = explanation.plan, explanation.request
        evidence = decided.evidence
        return cls(
            decision="skip" if isinstance(decided, Skip) else "upsert",
            reason=decided.reason if isinstance(decided, Skip) else None,
            detail=decided.detail if isinstance(decided, Skip) else None,
            region=RegionView.model_validate(evidence.region, from_attributes=True),
            opt_in=OptInView.model_validate(evidence.opt_in, from_attributes=True),
            sms_opt_in=OptInView.model_validate(evidence.sms_opt_in, from_attributes=True),
            steps=[
                StepView.model_validate(each, from_attributes=True) for each in explanation.steps
            ],
            fields=_mapped(explanation.fields),
            would_map=_mapped(explanation.would_map),
            warnings=[
                WarningView.model_validate(each, from_attributes=True)
                for each in explanation.warnings
            ],
            request=RequestView.model_validate(request, from_attributes=True) if request else None,
            note=explanation.note,
        )


def _mapped(fields: Sequence[MappedField]) -> list[MappedView]:
    return [MappedView.model_validate(each, from_attributes=True) for each in fields]


class AnsweredView(BaseModel):
    """What a person answered, in which words, and whether it was believed."""

    answer: str = Field(examples=["yes"])
    attribute: str | None = Field(examples=["opt_in"])
    label: str | None = Field(description="The words of the answer.", examples=["Yes, please"])
    believed: bool


class BasisView(BaseModel):
    """What a decision rested on, and what was asked of Cordial; null leaves a status alone."""

    region: str = Field(examples=["eu"])
    region_by: str = Field(examples=["country"])
    region_attribute: str | None = Field(examples=["country_code"])
    region_value: str | None = Field(examples=["DE"])
    opt_in: AnsweredView
    sms_opt_in: AnsweredView
    email_status: str | None = Field(examples=["subscribed"])
    sms_status: str | None = Field(examples=[None])
    forced: bool
    campaign: str | None = Field(examples=["Spring quiz"])
    given_at: At | None = Field(description="When the person answered; null: in doubt.")


class DecisionView(BaseModel):
    """What was decided when a submission settled. It holds no address."""

    submission: str
    integration: str = Field(examples=["spring-quiz"])
    version: int = Field(description="Of the integration.", examples=[7])
    decided_at: At
    outcome: str = Field(examples=["delivered"])
    reason: str | None = Field(description="The rule that skipped it, or why it is dead.")
    basis: BasisView | None = Field(description="null: given up before anything was planned.")

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return the view of a decision."""
        return cls(
            submission=decision.submission_id,
            integration=decision.integration_id,
            version=decision.version,
            decided_at=moment(decision.decided_at),
            outcome=decision.outcome,
            reason=decision.reason,
            basis=_basis(decision.basis) if decision.basis else None,
        )


def _basis(basis: Mapping[str, JsonValue]) -> BasisView:
    given = basis["given_at"]
    at = moment(given) if isinstance(given, float | int) else None
    return BasisView.model_validate({**basis, "given_at": at})


class SubmissionView(SubmissionSummary):
    """A submission with its history, what was decided, and what would be done with it now."""

    attempts: list[AttemptView]
    payload: JsonValue = Field(description="As Jebbit sent it; null once it was wiped.")
    decision: DecisionView | None = Field(description="As decided when it last settled.")
    plan: PlanView | None = Field(description="As it would be decided now.")

    @classmethod
    def explained(cls, found: Explained) -> Self:
        """Return the view of a submission and its explanation."""
        return cls.of(
            found.stored,
            attempts=[AttemptView.of(each) for each in found.stored.attempts],
            payload=show_payload(found.stored.payload),
            decision=DecisionView.of(found.decisions[0]) if found.decisions else None,
            plan=PlanView.of(found.explanation) if found.explanation else None,
        )


class CountsView(BaseModel):
    """How much there is of an integration."""

    integration: str
    by_status: dict[str, int]
    oldest_pending_seconds: float | None

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Return the view of the counts."""
        return cls(
            integration=counts.integration_id,
            by_status={status: counts.by_status.get(status, 0) for status in SubmissionStatus},
            oldest_pending_seconds=counts.oldest_pending_seconds,
        )


def show_payload(payload: bytes | None) -> JsonValue:
    """Return a payload as JSON; one that is none as text."""
    if payload is None:
        return None
    try:
        document: JsonValue = from_json(payload, allow_inf_nan=False)
    except ValueError:
        return payload.decode("utf-8", errors="replace")
    return document
