"""One integration: whether it sends, what is wrong with it, and what a person can do."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.console.errors import told
from app.console.forms import Form, read_form
from app.console.rendering import render
from app.console.session import AdminPage, Page
from app.console.state import Visit, visit_of
from app.console.words import is_lacking, without_calls
from app.jebbit.credentials import ApiCredentials
from app.ledger.documents import masked
from app.ledger.integrations import StoredIntegration
from app.ledger.registrations import Registration
from app.ledger.schema import GateState
from app.operations import (
    attributes,
    checking,
    integrations,
    registering,
    resuming,
    rotating,
    tallying,
)
from app.operations.checking import Checked, CheckFailed
from app.operations.invalid import Invalid
from app.operations.overview import Health, health_of
from app.operations.registering import (
    GoneAtJebbit,
    JebbitUnreachable,
    NotRegistered,
    RefusedByJebbit,
)
from app.operations.rotating import AmbiguousSecret, LastSecret, ShownSecret, UnknownSecret
from app.operations.whom import REGIONS, treated
from app.rules.drift import DriftKind, Said
from app.rules.integration import Integration
from app.rules.policy import Region, Status
from app.rules.survey import Survey
from app.rules.values import Answer

router = APIRouter(include_in_schema=False, route_class=Page)
changes = APIRouter(include_in_schema=False, route_class=AdminPage)

Tone = Literal["bad", "warn", "fair"]
_REFUSALS = (
    Invalid,
    UnknownSecret,
    AmbiguousSecret,
    LastSecret,
    NotRegistered,
    GoneAtJebbit,
    RefusedByJebbit,
    JebbitUnreachable,
)


@dataclass(frozen=True, slots=True)
class StateView:
    """Whether it sends: the state, the cause, and when that may change (unix seconds)."""

    text: str
    tone: Tone
    cause: str | None
    until: float | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class FindingView:
    """One thing a check found, and where on this page the field is that it names."""

    level: Literal["error", "warning", "note"]
    place: str
    anchor: str | None
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule of the mapping."""

    place: str
    attribute: str | None
    field: str
    kind: str
    default: str | None


@dataclass(frozen=True, slots=True)
class SeenLine:
    """A key that came in."""

    key: str
    times: int
    last_seen: float
    kinds: str
    used_by: str


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """What becomes of people by their answer: outside the EU, in it, and where it is unknown."""

    answer: str
    treated: Sequence[str]


@dataclass(frozen=True, slots=True)
class IntegrationView:
    """An integration's page."""

    id: str
    name: str
    link: str
    state: StateView
    paused: bool
    pending: int
    dead: int
    health: Health
    lists: Mapping[str, str]
    webhook_url: str
    secrets: Sequence[ShownSecret]
    registration: Registration | None
    account_url: str
    api_key: str
    rules: Sequence[RuleLine]
    policy: Sequence[PolicyLine]
    seen: Sequence[SeenLine]
    seen_in: int
    missing: Sequence[tuple[str, str]]
    unclear: Sequence[tuple[str, str, int]]
    setting_up: str | None
    refused: Sequence[tuple[float, str]]
    drifts: Sequence[tuple[DriftKind, Said]]
    findings: Sequence[FindingView] | None = None
    can_insist: bool = False
    problem: str | None = None
    backfill_asked: bool = False

    @property
    def creates(self) -> bool:
        """Whether the check found something that Cordial lacks and can be told to create."""
        return any(is_lacking(each.problem) for each in self.findings or ())


@router.get("/integrations/{integration_id}")
async def show(request: Request, integration_id: str) -> Response:
    """Show an integration."""
    visit = visit_of(request)
    done = _DONE.get(request.query_params.get("done", ""))
    return _page(visit, await _view(visit, integration_id), done)


@changes.post("/integrations/{integration_id}/check")
async def check(request: Request, integration_id: str) -> Response:
    """Check it against its account, and show what was found."""
    visit, form = visit_of(request), await read_form(request)
    creates = form.one("create_missing") == "yes"
    found = await checking.check_integration(
        visit.context, visit.who, integration_id, create_missing=creates
    )
    return _page(visit, await _view(visit, integration_id, found))


@changes.post("/integrations/{integration_id}/pause")
async def pause(request: Request, integration_id: str) -> Response:
    """Stop sending."""
    visit = visit_of(request)
    await integrations.pause(visit.context, visit.who, integration_id)
    return _back(visit, integration_id, "paused")


@changes.post("/integrations/{integration_id}/resume")
async def resume(request: Request, integration_id: str) -> Response:
    """Send again, if the check finds no error or the person insists."""
    visit, form = visit_of(request), await read_form(request)
    try:
        await resuming.resume(
            visit.context, visit.who, integration_id, force=form.one("force") == "yes"
        )
    except CheckFailed as error:
        view = await _view(visit, integration_id)
        findings = [
            FindingView("error", each.place, _anchor(each.place), without_calls(each.detail), "")
            for each in error.places
        ]
        text = "It was not resumed: the check finds errors."
        view = replace(view, findings=findings, can_insist=True, problem=text)
        return _page(visit, view, status=HTTPStatus.CONFLICT)
    return _back(visit, integration_id, "resumed")


@changes.post("/integrations/{integration_id}/secrets")
async def add_secret(request: Request, integration_id: str) -> Response:
    """Add a webhook secret."""
    visit, form = visit_of(request), await read_form(request)
    added = (form.one("secret") or "").strip()
    adding = rotating.add_secret(visit.context, visit.who, integration_id, added)
    return await _done(visit, integration_id, adding, "secret_added")


@changes.post("/integrations/{integration_id}/secrets/remove")
async def remove_secret(request: Request, integration_id: str) -> Response:
    """Remove a webhook secret, named by its fingerprint."""
    visit, form = visit_of(request), await read_form(request)
    named = form.one("named") or ""
    removing = rotating.remove_secret(visit.context, visit.who, integration_id, named)
    return await _done(visit, integration_id, removing, "secret_removed")


@changes.post("/integrations/{integration_id}/test")
async def test(request: Request, integration_id: str) -> Response:
    """Let Jebbit send a test webhook."""
    visit, form = visit_of(request), await read_form(request)
    given = _credentials(form)
    asking = registering.ask_for_test(visit.context, visit.who, integration_id, given)
    return await _done(visit, integration_id, asking, "test_asked")


@changes.post("/integrations/{integration_id}/backfill")
async def backfill(request: Request, integration_id: str) -> Response:
    """Let Jebbit send everything it has collected, once that is confirmed."""
    visit, form = visit_of(request), await read_form(request)
    if form.one("sure") != "yes":
        view = replace(await _view(visit, integration_id), backfill_asked=True)
        return _page(visit, view)
    given = _credentials(form)
    asking = registering.ask_for_backfill(visit.context, visit.who, integration_id, given)
    return await _done(visit, integration_id, asking, "backfill_asked")


_DONE = {
    "created": "It was created, and is paused.",
    "paused": "It is paused. Webhooks are still accepted; what they bring waits.",
    "resumed": "It sends again.",
    "restored": "The version was brought back. It holds for everything that is sent from now on.",
    "rules_saved": "The rules were saved. They hold for everything that is sent from now on.",
    "set_up": "Its setting up ended meanwhile, so the step was not saved. Change it here.",
    "secret_added": "The secret was added. Change it at Jebbit, then remove the old one.",
    "secret_removed": "The secret was removed.",
    "test_asked": "Jebbit was asked for a test webhook. It is listed among the submissions.",
    "backfill_asked": "Jebbit was asked for all that it has collected. It comes in by and by.",
}


def _page(
    visit: Visit,
    view: IntegrationView,
    notice: str | None = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    return render(
        visit,
        "integration.html",
        view.name,
        view,
        section="integrations",
        notice=notice,
        refreshes=True,
        status=status,
    )


def _back(visit: Visit, integration_id: str, done: str) -> Response:
    link = visit.link(f"/integrations/{integration_id}", urlencode({"done": done}))
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


async def _done(visit: Visit, integration_id: str, doing: Awaitable[object], done: str) -> Response:
    """Do what was asked and lead back to the page, which says so, or why it was refused."""
    try:
        await doing
    except _REFUSALS as error:
        return await _refused(visit, integration_id, error)
    return _back(visit, integration_id, done)


async def _refused(visit: Visit, integration_id: str, error: Exception) -> Response:
    status, problem = told(error) or (HTTPStatus.CONFLICT, str(error))
    view = replace(await _view(visit, integration_id), problem=problem)
    return _page(visit, view, status=status)


def _credentials(form: Form) -> ApiCredentials | None:
    given = form.text("client_id"), form.text("client_secret")
    return ApiCredentials(*given, form.text("business_id") or None) if all(given) else None


async def _view(visit: Visit, integration_id: str, found: Checked | None = None) -> IntegrationView:
    context = visit.context
    health = await health_of(context, integration_id)
    stored, counted = health.stored, health.figures
    configured = stored.integration
    renewing = visit.request.headers.get("x-refresh") is not None  # only live regions are taken
    seen = Survey(0, [], {}, [])
    if not renewing:
        seen = await attributes.attributes_seen(context, integration_id)
    return IntegrationView(
        id=stored.id,
        name=configured.name,
        link=visit.link(f"/integrations/{stored.id}"),
        state=_state(stored),
        paused=stored.paused,
        pending=counted.pending,
        dead=counted.dead,
        health=health,
        lists={
            status: visit.link(
                "/submissions", urlencode({"integration": stored.id, "status": status})
            )
            for status in ("pending", "dead", "test")
        },
        webhook_url=f"{visit.outside_url}/webhooks/jebbit/{stored.id}",
        secrets=await rotating.secrets_of(context, stored.id),
        registration=await registering.find(context, stored.id),
        account_url=configured.cordial.account_url,
        api_key=masked(configured.cordial.api_key.get_secret_value()),
        rules=_rules(configured),
        policy=() if stored.unanswered else _policy(configured),
        seen=[
            SeenLine(
                each.key,
                each.times,
                each.last_seen,
                ", ".join(each.kinds),
                ", ".join(place_in_words(configured, place) for place in each.used_by),
            )
            for each in seen.attributes
        ],
        seen_in=seen.submissions,
        missing=[(place_in_words(configured, place), name) for place, name in seen.missing.items()],
        unclear=[
            (each.attribute, each.text if visit.who.sees_people else "", each.times)
            for each in seen.unclear
        ],
        refused=[
            (each.at, _REFUSED.get(each.reason, each.reason.replace("_", " ")))
            for each in await tallying.refused_webhooks(context, stored.id)
        ],
        drifts=[] if found else await attributes.drift_in_words(context, stored),
        setting_up=visit.link(f"/integrations/new/{stored.id}") if stored.setup else None,
        findings=_findings(found) if found else None,
    )


def _state(stored: StoredIntegration) -> StateView:
    gate = stored.gate
    coming = (
        "Webhooks are accepted and wait"
        if stored.integration.jebbit.webhook_secrets
        else "Webhooks are refused until there is a secret"
    )
    if stored.setup is not None:
        remedy = f"{coming}; nothing is sent before the last step."
        return StateView("Being set up", "fair", None, None, remedy)
    if stored.state == "paused":
        remedy = f"{coming}. Resume it to let it send."
        return StateView("Paused", "warn", stored.state_reason, None, remedy)
    text, tone, remedy = _GATES[gate.state]
    cause = None if gate.state is GateState.OPEN else gate.reason
    return StateView(text, tone, cause, gate.until, remedy or None)


_GATES: Mapping[GateState, tuple[str, Tone, str]] = {
    GateState.OPEN: ("Sending", "fair", ""),
    GateState.HELD: ("Cordial asks to wait", "fair", "It goes on by itself."),
    GateState.CLOSED: (
        "Cordial fails",
        "warn",
        "One probe at a time is sent; it goes on by itself when Cordial is back.",
    ),
    GateState.BLOCKED: (
        "Blocked by Cordial",
        "bad",
        "Mend the cause, then check. Nothing is lost; what comes in waits.",
    ),
}


def _findings(found: Checked) -> list[FindingView]:
    return [
        FindingView(
            each.level,
            each.place,
            _anchor(each.place),
            each.problem,
            without_calls(each.remedy),
        )
        for each in found.findings
    ]


_REFUSED = {
    "missing": "no signature",
    "malformed": "the signature cannot be read",
    "mismatch": "the signature is wrong: the secret is another one, or the body was changed",
    "stale": "signed too long ago: a clock is wrong, or it was sent again",
    "future": "signed in the future: a clock is wrong",
}
_RULE = re.compile(r"mapping\.(\d+)")
_SECTIONS = {
    "policy": "policy",
    "cordial": "account",
    "jebbit.webhook_secrets": "secrets",
    "webhook_url": "secrets",
    "jebbit.attributes": "source",
    "jebbit.opt_in_labels": "source",
}


def _anchor(place: str) -> str | None:
    """Return where on the page a place of the configuration is shown."""
    if rule := _RULE.match(place):
        return f"rule-{rule[1]}"
    return next((to for start, to in _SECTIONS.items() if place.startswith(start)), None)


def place_in_words(integration: Integration, place: str) -> str:
    """Return a place of the configuration as a reader knows it: of a rule, the field it fills."""
    rule = _RULE.match(place)
    if rule is None or int(rule[1]) >= len(integration.mapping):
        return place
    return integration.mapping[int(rule[1])].field


def _rules(configured: Integration) -> list[RuleLine]:
    return [
        RuleLine(
            f"rule-{number}",
            rule.attribute,
            rule.field,
            rule.type,
            None if rule.default is None else str(rule.default),
        )
        for number, rule in enumerate(configured.mapping)
    ]


_ANSWERS = {
    Answer.YES: "Yes",
    Answer.NULL: "No answer",
    Answer.NO: "No",
    Answer.UNCLEAR: "Unclear",
}


def _policy(configured: Integration) -> list[PolicyLine]:
    table = treated(configured)

    def cell(region: Region, answer: Answer) -> str:
        found = table[region, answer]
        if not found.sent:
            return "not sent"
        return f"sent, {_STATUSES[found.status]}"

    return [
        PolicyLine(said, [cell(region, answer) for region in REGIONS])
        for answer, said in _ANSWERS.items()
    ]


_STATUSES = {
    None: "left as it is",
    Status.SUBSCRIBED: "subscribed",
    Status.UNSUBSCRIBED: "unsubscribed",
}
