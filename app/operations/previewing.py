"""What would be done with a submission now, and why: the plan that delivery would make."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from pydantic import JsonValue

from app.cordial.account import BadAccountUrl
from app.cordial.errors import CordialError
from app.jebbit.submission import Submission, parse, read
from app.ledger import refusals, sources
from app.ledger.claims import has_texts_of_another, texted_elsewhere, texted_key
from app.ledger.documents import masked
from app.ledger.integrations import StoredIntegration, UnknownIntegration
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import StoredSubmission
from app.operations.context import Context
from app.operations.integrations import patched
from app.operations.people import address_keys
from app.rules.contact import Identity, identify
from app.rules.explanation import Step, explain_plan, without_answers
from app.rules.integration import Integration
from app.rules.mapping import MappedField, PlanWarning
from app.rules.plan import Plan, Upsert, is_asked, plan
from app.rules.policy import Refusals


@dataclass(frozen=True, slots=True)
class Request:
    """The request that Cordial would be sent, its key masked."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan, how each field came about, the request, and what could not be found out.

    `steps` tell the decision in plain words. A skip has no request; `would_map` tells what would
    have been mapped.
    """

    plan: Plan
    fields: Sequence[MappedField]
    request: Request | None
    note: str | None
    steps: Sequence[Step] = ()
    would_map: Sequence[MappedField] = ()

    @property
    def warnings(self) -> Sequence[PlanWarning]:
        """What a person should look at; a skip has none."""
        return self.plan.warnings if isinstance(self.plan, Upsert) else ()

    def without_answers(self) -> Self:
        """Return what tells the decision and its reasons, and nothing that the person said."""
        evidence = self.plan.evidence
        shown = evidence._replace(
            region=evidence.region._replace(value=None),
            opt_in=evidence.opt_in._replace(value=None),
            sms_opt_in=evidence.sms_opt_in._replace(value=None),
            mapping=None,
        )
        return replace(
            self,
            plan=self.plan._replace(evidence=shown),
            fields=_unsaid(self.fields),
            request=None,
            steps=without_answers(self.steps),
            would_map=_unsaid(self.would_map),
        )


def _unsaid(fields: Sequence[MappedField]) -> Sequence[MappedField]:
    return [replace(each, source=None, value=None) for each in fields]


async def preview(
    context: Context, integration_id: str, body: bytes, patch: Mapping[str, JsonValue] | None = None
) -> list[Explanation | None]:
    """Explain each submission of a Jebbit body, in order; None for what is unreadable.

    Nothing is stored or sent, and no signature is needed. With a patch, as it would have it.

    Raises:
        Invalid: with the patch it would be no integration.
        UnknownIntegration: there is none.
        UnreadableBody, TooManyItems: it is no body of Jebbit's.
    """
    stored = await context.integrations.get(integration_id)
    if patch is not None:
        stored = replace(stored, integration=patched(context, stored.integration, patch))
    return [
        await explain_new(context, stored, each.submission) if each.submission else None
        for each in parse(body)
    ]


async def explain_new(
    context: Context, stored: StoredIntegration, submission: Submission
) -> Explanation:
    """Explain a submission as if it came in now; the account is asked what it takes."""
    return await _explain(context, submission, stored, context.clock(), new=True)


async def explain(
    context: Context, stored: StoredSubmission, draft: Integration | None = None
) -> Explanation | None:
    """Explain a stored submission by its integration as it is now, or as a draft of it.

    Returns:
        None if the payload was wiped or is unreadable, or the integration is gone.
    """
    submission = read(stored.payload) if stored.payload is not None else None
    if submission is None:
        return None
    try:
        integration = await context.integrations.get(stored.integration_id)
    except UnknownIntegration:
        return None
    if draft is not None:
        integration = replace(integration, integration=draft)
    return await _explain(
        context,
        submission,
        integration,
        stored.received_at,
        delivered_before=stored.delivered_before or stored.status is SubmissionStatus.DELIVERED,
    )


async def _explain(
    context: Context,
    submission: Submission,
    stored: StoredIntegration,
    received_at: float,
    *,
    delivered_before: bool = False,
    new: bool = False,
) -> Explanation:
    """Explain one submission.

    `new`: it comes in now; the account is asked what it takes, if that is not known.
    """
    identity = identify(submission, stored.integration)
    missing = await sources.opt_in_is_missing(context.database, stored.id)
    if new and is_asked(submission, stored.integration.jebbit):
        missing = False
    notes = list(_not_named(submission, stored.integration))
    try:
        attributes = await context.accounts.attributes(stored)
    except (CordialError, BadAccountUrl) as error:
        attributes = None
        notes.append(f"Unmapped attributes are not shown: {error}")
    decided = plan(
        submission,
        stored.integration,
        received_at=received_at,
        now=context.clock(),
        delivered_before=delivered_before,
        refusals=await _said(context, identity),
        jurisdictions=context.jurisdictions,
        account_attributes=attributes,
        limits=await context.accounts.limits(stored, ask=new),
        opt_in_missing=missing,
        texts_of_another=await _gets_texts_elsewhere(context, stored.id, identity),
    )
    request = _request(context, decided, stored) if isinstance(decided, Upsert) else None
    explained = explain_plan(decided, submission, stored.integration, attributes)
    return Explanation(
        decided,
        decided.evidence.mapped,
        request,
        " ".join(notes) or None,
        explained.steps,
        explained.would_map,
    )


async def _said(context: Context, identity: Identity) -> Refusals:
    """Return when somebody with these addresses last said no."""
    addresses = address_keys(context, identity)
    return (await refusals.find(context.database, [addresses]))[addresses]


async def _gets_texts_elsewhere(context: Context, integration_id: str, identity: Identity) -> bool:
    """Whether the contact of this email was subscribed to texts by a number other than this one."""
    contact_key, phone_key = address_keys(context, identity)
    if contact_key is None:
        return False
    texted = await texted_key(context.database, integration_id, contact_key)
    elsewhere = await texted_elsewhere(context.database, integration_id, contact_key)
    return has_texts_of_another(phone_key, texted, elsewhere)


def _not_named(submission: Submission, integration: Integration) -> Iterator[str]:
    """Say which opt-in the submission has no attribute for: that reads as if nobody was asked."""
    names = integration.jebbit.attributes
    for place, name in (("opt_in", names.opt_in), ("sms_opt_in", names.sms_opt_in)):
        if name and not submission.find_all(name):
            yield f"The submission has no attribute {name} (jebbit.attributes.{place})."


def _request(context: Context, upsert: Upsert, stored: StoredIntegration) -> Request:
    try:
        url = context.accounts.base(stored) + "/contacts"
    except BadAccountUrl as error:
        url = str(error)
    key = masked(stored.integration.cordial.api_key.get_secret_value())
    headers = {"Authorization": f"Basic {key}:", "Content-Type": "application/json"}
    return Request("POST", url, headers, upsert.body)
