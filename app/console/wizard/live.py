"""The last step: it is let go, and the first that come are watched."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response

from app.console.state import Visit, visit_of
from app.console.submissions import Row, rows_of
from app.console.wizard.checked import step_of
from app.console.wizard.steps import LivePage, Wizard, named, page, stored_of, to, wizard_of
from app.console.words import without_calls
from app.ledger.integrations import NotAnswered, StoredIntegration
from app.ledger.schema import SubmissionStatus
from app.operations import looking, resuming, submissions
from app.operations.checking import CheckFailed
from app.operations.overview import health_of
from app.operations.submissions import Wanted

router = APIRouter(include_in_schema=False, route_class=LivePage)

_WATCHED: Final = 10
_READ: Final = 30  # the newest, tests among them


@dataclass(frozen=True, slots=True)
class LiveView:
    """The step: what waits, or what came since it sends.

    `blocked` is why Cordial refuses access, `errors` kept it from sending. `secret_link` leads to
    where a webhook secret is given.
    """

    wizard: Wizard
    is_live: bool
    blocked: str | None
    unanswered: bool
    waiting: int
    rows: Sequence[Row]
    delivered: int
    integration: str
    lacks_secret: bool
    secret_link: str
    errors: Sequence[tuple[str, str, str]] = ()


@router.get("/integrations/new/{integration_id}/live")
async def show(request: Request) -> Response:
    """Ask, or show what comes; the page renews itself."""
    visit = visit_of(request)
    return page(visit, "live", await _view(visit, stored_of(request)), refreshes=True)


@router.post("/integrations/new/{integration_id}/live")
async def go(request: Request) -> Response:
    """Let it send, if the check finds no error."""
    visit, stored = visit_of(request), stored_of(request)
    try:
        resumed = await resuming.resume(visit.context, visit.who, stored.id, force=False)
    except CheckFailed as error:
        errors = [
            (
                without_calls(each.detail),
                named(step),
                visit.link(f"/integrations/new/{stored.id}/{step}"),
            )
            for each in error.places
            for step in (step_of(each.place),)
        ]
        view = await _view(visit, stored, errors)
        return page(visit, "live", view, status=HTTPStatus.CONFLICT)
    except NotAnswered:
        return page(visit, "live", await _view(visit, stored), status=HTTPStatus.CONFLICT)
    return to(visit, resumed, "live", "live")


async def _view(
    visit: Visit, stored: StoredIntegration, errors: Sequence[tuple[str, str, str]] = ()
) -> LiveView:
    health = await health_of(visit.context, stored.id)
    wanted = Wanted(integration_id=stored.id, since=stored.created_at)
    found = await submissions.list_submissions(
        visit.context, visit.who, wanted, limit=_READ, before=None
    )
    real = [each for each in found.submissions if each.status != "test"][:_WATCHED]
    counted = await looking.facets(visit.context, wanted)
    return LiveView(
        await wizard_of(visit, stored, "live"),
        stored.state != "paused",
        stored.state_reason if stored.state == "blocked" else None,
        stored.unanswered,
        health.figures.pending,
        await rows_of(visit, real),
        counted.statuses.get(SubmissionStatus.DELIVERED, 0),
        visit.link(f"/integrations/{stored.id}"),
        not stored.integration.jebbit.webhook_secrets,
        visit.link(f"/integrations/new/{stored.id}/jebbit")
        if stored.setup
        else f"{visit.link(f'/integrations/{stored.id}')}#secrets",
        errors,
    )
