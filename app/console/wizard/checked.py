"""The sixth step: the check, each finding with the step that mends it; and the sample's way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response

from app.console.decision import DecisionView, decision_of
from app.console.forms import read_form
from app.console.state import Visit, visit_of
from app.console.wizard.steps import (
    StepName,
    StepPage,
    Wizard,
    named,
    page,
    stored_of,
    to,
    wizard_of,
)
from app.console.words import is_lacking, without_calls
from app.ledger.integrations import StoredIntegration
from app.operations import checking, drafting, sampling, setting_up

router = APIRouter(include_in_schema=False, route_class=StepPage)

_MENDS: Final[Mapping[str, StepName]] = {
    "cordial.sms": "whom",
    "cordial": "account",
    "jebbit.webhook_secrets": "jebbit",
    "webhook_url": "jebbit",
    "mapping": "mapping",
    "jebbit": "whom",
    "policy": "whom",
}


@dataclass(frozen=True, slots=True)
class FindingLine:
    """A finding, and the step that mends it."""

    level: str
    problem: str
    remedy: str
    step: str
    link: str


@dataclass(frozen=True, slots=True)
class CheckView:
    """The step: what was found, the gravest first, and what becomes of the sample."""

    wizard: Wizard
    errors: Sequence[FindingLine]
    warnings: Sequence[FindingLine]
    notes: Sequence[FindingLine]
    unanswered: bool
    creates: bool
    decision: DecisionView | None

    @property
    def ok(self) -> bool:
        """Whether it may go live."""
        return not self.errors and not self.unanswered


@router.get("/integrations/new/{integration_id}/check")
async def show(request: Request) -> Response:
    """Check, and show what is found."""
    visit, stored = visit_of(request), stored_of(request)
    return page(visit, "check", await _view(visit, stored))


@router.post("/integrations/new/{integration_id}/check")
async def create(request: Request) -> Response:
    """Create in Cordial what is missing, and check again."""
    visit, stored, form = visit_of(request), stored_of(request), await read_form(request)
    await checking.check_integration(
        visit.context,
        visit.who,
        stored.id,
        create_missing=form.one("do") == "create",
        index=form.one("index") == "yes",
    )
    return to(visit, stored, "check")


async def _view(visit: Visit, stored: StoredIntegration) -> CheckView:
    found = [
        FindingLine(
            each.level, each.problem, _remedy(each.remedy), *_mended_at(visit, stored, each.place)
        )
        for each in await setting_up.findings(visit.context, stored)
    ]
    sample = await sampling.sample_of(visit.context, stored)
    explained = None
    if sample is not None and not stored.unanswered:  # by nobody's rules it would mislead
        explained = await drafting.preview_stored(
            visit.context, visit.who, stored.id, {}, sample.id
        )
    return CheckView(
        await wizard_of(visit, stored, "check"),
        [each for each in found if each.level == "error"],
        [each for each in found if each.level == "warning"],
        [each for each in found if each.level == "note"],
        stored.unanswered,
        any(is_lacking(each.problem) for each in found),
        decision_of(explained) if explained else None,
    )


def _remedy(remedy: str) -> str:
    """Return what to do, as it is done here and not by a call."""
    lacks = "create_missing" in remedy
    return "Create it below, or mend the name." if lacks else without_calls(remedy)


def _mended_at(visit: Visit, stored: StoredIntegration, place: str) -> tuple[str, str]:
    step = step_of(place)
    return named(step), visit.link(f"/integrations/new/{stored.id}/{step}")


def step_of(place: str) -> StepName:
    """Return the step that mends a place of the configuration."""
    return next((step for start, step in _MENDS.items() if place.startswith(start)), "account")
