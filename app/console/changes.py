"""The versions of an integration: what changed, by whom, and bringing one back."""

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import JsonValue

from app.console.comparison import ChangeLine, change_lines
from app.console.forms import Form, read_form, whole_number
from app.console.rendering import render
from app.console.saving import CHANGED_MEANWHILE, Refusal, refusal_of
from app.console.session import AdminPage, Page
from app.console.state import Visit, visit_of
from app.ledger.changes import ChangeKind, Made, UnknownVersion
from app.ledger.integrations import StoredIntegration
from app.operations import changes, integrations
from app.operations.changes import Difference
from app.operations.comparing import Comparison
from app.operations.invalid import Invalid, WrongPlace

router = APIRouter(include_in_schema=False, route_class=Page)
admins = APIRouter(include_in_schema=False, route_class=AdminPage)

_ON_A_PAGE: Final = 20
_CHOICES: Final = 200  # versions that can be chosen from; an address may name any
_LONGEST_SHOWN: Final = 200  # characters of a value
_LARGEST: Final = 2**31 - 1
_KINDS: Final = {
    ChangeKind.CREATED: "created",
    ChangeKind.CHANGED: "changed",
    ChangeKind.RESTORED: "brought back",
    ChangeKind.FOUND: "was there before versions were kept",
}


@dataclass(frozen=True, slots=True)
class DifferenceLine:
    """What one place was and is, as text; None: it was not there, or is no more."""

    place: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version in the list; `link` leads to where it can be brought back."""

    version: int
    at: float
    by: str | None
    kind: str
    restores: int | None
    differences: Sequence[DifferenceLine]
    link: str | None


@dataclass(frozen=True, slots=True)
class ApartView:
    """Two versions, of those that can be chosen, and how the second differs from the first.

    `differences` is None if none were chosen yet.
    """

    choices: Sequence[Made]
    first: int
    second: int
    differences: Sequence[DifferenceLine] | None


@dataclass(frozen=True, slots=True)
class ChangesView:
    """The versions of an integration, the newest first; `link` is the page's own address."""

    id: str
    name: str
    back: str
    link: str
    versions: Sequence[VersionLine]
    older: str | None
    apart: ApartView | None


@dataclass(frozen=True, slots=True)
class RestoreView:
    """What bringing a version back would change."""

    id: str
    name: str
    back: str
    link: str
    version: int
    now: int
    differences: Sequence[DifferenceLine]
    comparison: Comparison | None = None
    changes: Sequence[ChangeLine] = ()
    problem: str | None = None
    places: Sequence[WrongPlace] = ()
    can_insist: bool = False
    asks: bool = False


@router.get("/integrations/{integration_id}/changes")
async def show(request: Request, integration_id: str) -> Response:
    """List the versions."""
    visit = visit_of(request)
    stored = await integrations.get(visit.context, integration_id)
    before = request.query_params.get("before", "")
    older_than = _number(before) if before else None
    found = await changes.history(visit.context, stored.id, _ON_A_PAGE, older_than)
    page = visit.link(f"/integrations/{stored.id}")
    versions = [_line(each.made, each.differences, page, stored.version) for each in found.versions]
    older = urlencode({"before": found.versions[-1].id}) if found.more else None
    view = ChangesView(
        stored.id,
        stored.integration.name,
        page,
        f"{page}/changes",
        versions,
        f"{page}/changes?{older}" if older else None,
        await _apart(visit, stored),
    )
    return render(visit, "changes.html", f"Changes of {view.name}", view, section="integrations")


async def _apart(visit: Visit, stored: StoredIntegration) -> ApartView | None:
    """Return the two versions that the address names; None where there are no two to choose."""
    choices = await changes.versions(visit.context, stored.id, _CHOICES)
    query = visit.request.query_params
    if "from" not in query or "to" not in query:
        if len(choices) < 2:
            return None
        return ApartView(choices, choices[1].version, choices[0].version, None)
    first, second = _number(query["from"]), _number(query["to"])
    found = await changes.compare(visit.context, stored.id, second, first)
    return ApartView(choices, first, second, shown(found.differences))


@admins.get("/integrations/{integration_id}/changes/{version}")
async def ask(request: Request, integration_id: str, version: str) -> Response:
    """Show how a version differs from what holds, and what bringing it back would change."""
    visit = visit_of(request)
    return _page(visit, await _compared(visit, await _view(visit, integration_id, version)))


@admins.post("/integrations/{integration_id}/changes/{version}")
async def restore(request: Request, integration_id: str, version: str) -> Response:
    """Bring a version back; where people would be newly subscribed, with their number confirmed."""
    visit, sent = visit_of(request), await read_form(request)
    view = await _compared(visit, await _view(visit, integration_id, version))
    found = view.comparison
    if found is None:
        return _page(visit, view, HTTPStatus.UNPROCESSABLE_ENTITY)

    def make(force: bool) -> Awaitable[object]:
        return changes.restore(
            visit.context,
            visit.who,
            integration_id,
            view.version,
            versions={_now(sent)},
            force=force,
        )

    refused = await refusal_of(make, sent, found, "brought back")
    if refused and not (refused.is_late and await _holds(visit, view)):
        return _page(visit, _refused(view, refused), refused.status)
    link = visit.link(f"/integrations/{integration_id}", urlencode({"done": "restored"}))
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


async def _holds(visit: Visit, view: RestoreView) -> bool:
    """Say whether what holds reads as the version already: who sends twice did it themselves."""
    return not (await changes.compare(visit.context, view.id, view.version)).differences


def _page(visit: Visit, view: RestoreView, status: HTTPStatus = HTTPStatus.OK) -> Response:
    title = f"Version {view.version} of {view.name}"
    return render(visit, "restore.html", title, view, section="integrations", status=status)


def _refused(view: RestoreView, why: Refusal) -> RestoreView:
    again = "Look at the difference again."
    return replace(
        view,
        problem=f"{why.problem} {again}" if why.problem == CHANGED_MEANWHILE else why.problem,
        places=why.places,
        can_insist=why.can_insist,
        asks=why.asks,
    )


async def _view(visit: Visit, integration_id: str, version: str) -> RestoreView:
    stored = await integrations.get(visit.context, integration_id)
    number = _number(version)
    found = await changes.compare(visit.context, stored.id, number)
    page = visit.link(f"/integrations/{stored.id}/changes")
    return RestoreView(
        stored.id,
        stored.integration.name,
        page,
        f"{page}/{number}",
        number,
        stored.version,
        shown(found.differences),
    )


async def _compared(visit: Visit, view: RestoreView) -> RestoreView:
    try:
        found = await changes.compare_restored(visit.context, view.id, view.version)
    except Invalid as error:
        text = "It cannot be brought back as it is."
        return replace(view, problem=text, places=error.places)
    return replace(view, comparison=found, changes=change_lines(visit, found))


def _line(made: Made, differences: Sequence[Difference], page: str, current: int) -> VersionLine:
    return VersionLine(
        made.version,
        made.at,
        made.by,
        _KINDS[made.kind],
        made.restores,
        shown(differences),
        None if made.version == current else f"{page}/changes/{made.version}",
    )


def shown(differences: Sequence[Difference]) -> Sequence[DifferenceLine]:
    """Return differences as text."""
    return [
        DifferenceLine(each.place, _text(each.before), _text(each.after)) for each in differences
    ]


def _text(value: JsonValue) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        parts = [f"{name}: {_text(each)}" for name, each in value.items() if each is not None]
        text = ", ".join(parts)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _now(form: Form) -> int:
    return _number(form.one("now") or "")


def _number(text: str) -> int:
    """Return a number of an address.

    Raises:
        UnknownVersion: it is none.
    """
    number = whole_number(text, 10)
    if number is None or number > _LARGEST:
        raise UnknownVersion(text[:20])
    return number
