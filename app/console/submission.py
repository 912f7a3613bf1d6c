"""One submission: what became of it, why, and what a person can do."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.console import words
from app.console.decision import DecidedView, DecisionView, decided_then, decision_of, shown
from app.console.forms import read_form
from app.console.integration import place_in_words
from app.console.rendering import render
from app.console.session import AdminPage, Page
from app.console.state import Visit, visit_of
from app.console.submissions import Row, Tone, rows_of, tone_of, wait_in_words
from app.ledger.integrations import StoredIntegration, UnknownIntegration
from app.ledger.replays import NotDiscardable, NotReplayable
from app.ledger.schema import DeadReason, GateState, SubmissionStatus
from app.ledger.submissions import StoredSubmission
from app.operations import discarding, integrations, looking, replaying, submissions

router = APIRouter(include_in_schema=False, route_class=Page)
changes = APIRouter(include_in_schema=False, route_class=AdminPage)

_UNSENDABLE = frozenset({SubmissionStatus.PENDING, SubmissionStatus.TEST})
_OPEN = frozenset({SubmissionStatus.PENDING, SubmissionStatus.DEAD})


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a pending submission waits for; `at` (unix seconds) is when that may end."""

    text: str
    at: float | None = None
    link: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class PayloadLine:
    """An attribute as Jebbit sent it, and what uses it."""

    key: str
    value: str
    used_by: str


@dataclass(frozen=True, slots=True)
class PayloadView:
    """What Jebbit sent: as lines, as raw text, or why there is nothing to see."""

    lines: Sequence[PayloadLine]
    raw: str | None
    absent: str | None


@dataclass(frozen=True, slots=True)
class SubmissionView:
    """All that is known of a submission."""

    stored: StoredSubmission
    integration_name: str
    integration_link: str
    link: str
    outcome: str
    tone: Tone
    what: str
    remedy: str
    waiting: Waiting | None
    decision: DecisionView | None
    decided: Sequence[DecidedView]
    versions: str | None
    undecided: str
    payload: PayloadView
    others: Sequence[Row]
    can_replay: bool
    can_discard: bool
    is_unreadable: bool
    problem: str | None
    can_force: bool


@router.get("/submissions/{submission_id}")
async def show(request: Request, submission_id: str) -> Response:
    """Show a submission."""
    return await _page(visit_of(request), submission_id, done=request.query_params.get("done"))


@changes.post("/submissions/{submission_id}/replay")
async def replay(request: Request, submission_id: str) -> Response:
    """Put it back in line."""
    visit, form = visit_of(request), await read_form(request)
    force = form.one("force") == "yes"
    try:
        await replaying.replay(visit.context, visit.who, submission_id, force=force)
    except NotReplayable as error:
        if not force and await _is_pending(visit, submission_id):
            return _back(visit, submission_id, "replayed")  # a second click
        problem = str(error).replace("Add force=true to do that.", "").strip()
        return await _page(visit, submission_id, problem=problem, can_force=problem != str(error))
    return _back(visit, submission_id, "replayed")


@changes.post("/submissions/{submission_id}/discard")
async def discard(request: Request, submission_id: str) -> Response:
    """Give it up."""
    visit = visit_of(request)
    try:
        await discarding.discard(visit.context, visit.who, submission_id)
    except NotDiscardable as error:
        return await _page(visit, submission_id, problem=str(error))
    return _back(visit, submission_id, "discarded")


async def _is_pending(visit: Visit, submission_id: str) -> bool:
    found = await submissions.get(visit.context, visit.who, submission_id)
    return found.stored.status is SubmissionStatus.PENDING


_DONE = {"replayed": "It is back in line.", "discarded": "It was discarded."}


def _back(visit: Visit, submission_id: str, done: str) -> Response:
    link = visit.link(f"/submissions/{submission_id}", f"done={done}")
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


async def _page(
    visit: Visit,
    submission_id: str,
    *,
    done: str | None = None,
    problem: str | None = None,
    can_force: bool = False,
) -> Response:
    view = await _view(visit, submission_id, problem, can_force=can_force)
    return render(
        visit,
        "submission.html",
        f"{view.outcome} · {submission_id[-8:]}",
        view,
        section="submissions",
        notice=_DONE.get(done or ""),
        refreshes=True,
        status=HTTPStatus.CONFLICT if problem else HTTPStatus.OK,
    )


async def _view(
    visit: Visit, submission_id: str, problem: str | None, *, can_force: bool
) -> SubmissionView:
    context = visit.context
    explained = await submissions.get(context, visit.who, submission_id)
    stored = explained.stored
    source = await _integration(visit, stored)
    said = words.said_of(stored.status, stored.reason)
    return SubmissionView(
        stored=stored,
        integration_name=source.integration.name if source else stored.integration_id,
        integration_link=visit.link(f"/integrations/{stored.integration_id}"),
        link=visit.link(f"/submissions/{stored.id}"),
        outcome=words.brief(stored.status, stored.reason),
        tone=tone_of(stored.status),
        what=said.what,
        remedy=said.remedy,
        waiting=await _waiting(visit, stored, source),
        decision=decision_of(explained.explanation) if explained.explanation else None,
        decided=[decided_then(each) for each in explained.decisions],
        versions=visit.link(f"/integrations/{source.id}/changes") if source else None,
        undecided=_undecided(stored, source),
        payload=await _payload(visit, stored, source),
        others=await rows_of(visit, await looking.others_of_contact(context, stored)),
        can_replay=visit.who.sees_people
        and stored.status not in _UNSENDABLE
        and stored.payload is not None,
        can_discard=visit.who.sees_people and stored.status in _OPEN,
        is_unreadable=_is_unreadable(stored),
        problem=problem,
        can_force=can_force,
    )


async def _integration(visit: Visit, stored: StoredSubmission) -> StoredIntegration | None:
    try:
        return await integrations.get(visit.context, stored.integration_id)
    except UnknownIntegration:
        return None


async def _waiting(
    visit: Visit, stored: StoredSubmission, source: StoredIntegration | None
) -> Waiting | None:
    """Say what a pending submission waits for, the cause that a person can see first."""
    if stored.status is not SubmissionStatus.PENDING:
        return None
    wait = (await looking.waits(visit.context, [stored])).get(stored.id)
    if wait and wait.behind:
        link = visit.link(f"/submissions/{wait.behind}")
        return Waiting(
            "An earlier submission of the same person goes first.", None, link, "Show it"
        )
    if source:
        page = visit.link(f"/integrations/{source.id}")
        if source.state == "paused":
            text = f"{source.integration.name} is paused. {source.state_reason or ''}".strip()
            return Waiting(text, None, page, "To the integration")
        if source.gate.state is not GateState.OPEN:
            text = f"{_GATES[source.gate.state]} {source.gate.reason or ''}".strip()
            return Waiting(text, source.gate.until, page, "To the integration")
    said, at = wait_in_words(wait, visit.times.now)
    return Waiting(f"{(said or 'its turn').capitalize()}.", at)


_GATES = {
    GateState.HELD: "Cordial asked to wait.",
    GateState.CLOSED: "Cordial failed several times in a row; one probe at a time is sent.",
    GateState.BLOCKED: "Cordial refuses access; one probe at a time is sent.",
}


def _is_unreadable(stored: StoredSubmission) -> bool:
    return stored.reason == DeadReason.UNREADABLE


def _undecided(stored: StoredSubmission, source: StoredIntegration | None) -> str:
    """Say why nothing is decided; a viewer's has no payload, whether it was wiped or not."""
    if _is_unreadable(stored):
        return "It cannot be read, so there is nothing to decide on."
    if source is None:
        return "Its integration is gone, so nothing can be decided now."
    if stored.payload is not None:
        return "What Jebbit sent cannot be read, so nothing can be decided now."
    return "Its payload was wiped, so nothing can be decided now."


async def _payload(
    visit: Visit, stored: StoredSubmission, source: StoredIntegration | None
) -> PayloadView:
    if not visit.who.sees_people:
        return PayloadView((), None, "Only an admin may see what the person answered.")
    if stored.payload is None:
        return PayloadView((), None, "It was wiped: its time was over, or the person was erased.")
    text = stored.payload.decode("utf-8", errors="replace")
    used = await looking.attributes_of(visit.context, visit.who, stored)
    if used is None:
        return PayloadView((), text, None)
    lines = [
        PayloadLine(each.key, shown(each.value) or "", _places(source, each.used_by))
        for each in used
    ]
    lines.sort(key=lambda each: not each.used_by)
    return PayloadView(lines, _pretty(text), None)


def _places(source: StoredIntegration | None, places: Sequence[str]) -> str:
    named = [place_in_words(source.integration, each) for each in places] if source else places
    return ", ".join(named)


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
