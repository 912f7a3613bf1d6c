"""The third step: what Jebbit sends, as it comes in; or a sample that a person gives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue

from app.console.decision import shown
from app.console.errors import told
from app.console.forms import Form, read_form
from app.console.state import Visit, visit_of
from app.console.wizard.jebbit import secrets_of
from app.console.wizard.steps import StepPage, Wizard, page, stored_of, to, wizard_of
from app.jebbit.samples import SAMPLES
from app.jebbit.submission import TooManyItems, UnreadableBody
from app.ledger.integrations import StoredIntegration
from app.operations import registering, sampling
from app.operations.invalid import Invalid
from app.operations.registering import (
    GoneAtJebbit,
    JebbitUnreachable,
    NotRegistered,
    RefusedByJebbit,
)

router = APIRouter(include_in_schema=False, route_class=StepPage)

_REFUSALS = (Invalid, GoneAtJebbit, JebbitUnreachable, NotRegistered, RefusedByJebbit)
SHIPPED: Final[Mapping[str, str]] = {
    "flat_session": "A whole session of somebody who said yes",
    "every_type": "Answers of every kind: a number, a date, a list, a place",
    "sms_opted_in": "With a phone number and a yes to SMS",
    "null_opt_in": "Somebody in the US who was asked nothing",
    "eu_null_opt_in": "Somebody in the EU who was asked nothing",
    "opted_out": "Somebody who said no",
}
_REASONS: Final[Mapping[str, str]] = {
    "missing": "it has no signature",
    "malformed": "its signature cannot be read",
    "mismatch": "its signature is wrong",
    "stale": "it was signed too long ago: a clock is wrong, or it was sent again",
    "future": "it was signed in the future: a clock is wrong",
    "too_large": "it is larger than webhooks may be",
}
_OF_SECRET: Final = ("mismatch", "missing", "malformed")
_OF_CLOCK: Final = ("stale", "future")


@dataclass(frozen=True, slots=True)
class RefusedView:
    """The newest webhook that was refused: when (unix seconds), why, and how often so."""

    at: float
    text: str
    times: int
    of_secret: bool
    of_clock: bool


@dataclass(frozen=True, slots=True)
class SampleView:
    """The step; `attributes` are those of the sample, with their values.

    `unreadable_at` is when the newest came (unix seconds), if it cannot be read.
    """

    wizard: Wizard
    secrets: Sequence[str]
    refused: RefusedView | None
    unreadable_at: float | None
    received_at: float | None
    attributes: Sequence[tuple[str, str]]
    can_ask: bool
    shipped: Mapping[str, str]
    problem: str | None = None
    refusal: str | None = None
    pasted: str = ""


@router.get("/integrations/new/{integration_id}/sample")
async def show(request: Request) -> Response:
    """Show what came in; the page renews itself."""
    visit = visit_of(request)
    return page(visit, "sample", await _view(visit, stored_of(request)), refreshes=True)


@router.post("/integrations/new/{integration_id}/sample")
async def take(request: Request) -> Response:
    """Ask Jebbit for a test webhook, or take what a person gives."""
    visit, stored, form = visit_of(request), stored_of(request), await read_form(request)
    try:
        if form.one("do") == "ask":
            await registering.ask_for_test(visit.context, visit.who, stored.id, None)
            return to(visit, stored, "sample", "asked")
        if (given := _given(form)) is None:
            raise UnreadableBody("Paste a body, choose a file, or pick one of the samples.")
        await sampling.give(visit.context, visit.who, stored.id, given)
    except (UnreadableBody, TooManyItems) as error:
        view = await _view(visit, stored, problem=str(error), pasted=form.one("body") or "")
        return page(visit, "sample", view, status=HTTPStatus.BAD_REQUEST)
    except _REFUSALS as error:
        status, text = told(error) or (HTTPStatus.CONFLICT, str(error))
        text = error.places[0].detail if isinstance(error, Invalid) else text
        asked = form.one("do") == "ask"
        view = await _view(
            visit,
            stored,
            problem=None if asked else text,
            refusal=text if asked else None,
            pasted=form.one("body") or "",
        )
        return page(visit, "sample", view, status=status)
    return to(visit, stored, "mapping", "sample")


def _given(form: Form) -> bytes | None:
    """Return the sample that a form gives: a file, else what was pasted, else one of ours."""
    if (uploaded := form.file("file")) is not None:
        return uploaded
    if pasted := form.text("body"):
        return pasted.encode()
    chosen = form.one("shipped") or ""
    return json.dumps(SAMPLES[chosen]).encode() if chosen in SHIPPED else None


async def _view(
    visit: Visit,
    stored: StoredIntegration,
    problem: str | None = None,
    refusal: str | None = None,
    pasted: str = "",
) -> SampleView:
    found = await sampling.arrivals(visit.context, stored)
    registration = await registering.find(visit.context, stored.id)
    refused = None
    if found.refused_last:
        newest = found.refused[0]
        refused = RefusedView(
            newest.at,
            _REASONS.get(newest.reason, newest.reason.replace("_", " ")),
            sum(each.reason == newest.reason for each in found.refused),
            newest.reason in _OF_SECRET,
            newest.reason in _OF_CLOCK,
        )
    sample = found.sample
    return SampleView(
        await wizard_of(visit, stored, "sample"),
        secrets_of(stored),
        refused,
        found.unreadable_last,
        sample.received_at if sample else None,
        [(key, _value(value)) for key, value in sample.attributes.items()] if sample else [],
        bool(registration and registration.credentials),
        SHIPPED,
        problem,
        refusal,
        pasted,
    )


def _value(value: JsonValue) -> str:
    return shown(value) or ""
