"""Replaying and discarding many submissions: counted first, then confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import QueryParams

from app.console import words
from app.console.errors import UnreadableAddress
from app.console.filters import Filters
from app.console.forms import read_form
from app.console.rendering import render
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.console.times import counted
from app.ledger.schema import SubmissionStatus
from app.operations import discarding, replaying
from app.operations.submissions import Wanted

router = APIRouter(include_in_schema=False, route_class=AdminPage)

Verb = Literal["replay", "discard"]


@dataclass(frozen=True, slots=True)
class ConfirmView:
    """What would be done to how many, to be confirmed."""

    verb: Verb
    number: int
    refused: int
    filters: Filters
    meant: str
    link: str
    back: str

    @property
    def about(self) -> Sequence[tuple[str, str]]:
        """Which ones: the filters of the list, in words."""
        return [
            (name.capitalize(), _said(name, value))
            for name, value in self.filters.pairs
            if name != "id"
        ]

    @property
    def heading(self) -> str:
        """What is asked."""
        return f"{self.verb.capitalize()} {counted(self.number, 'submission')}?"

    @property
    def label(self) -> str:
        """The button."""
        return f"{self.verb.capitalize()} {counted(self.number, 'submission')}"


def _said(name: str, value: str) -> str:
    if name == "reason":
        return words.reason_in_words(value)
    return words.STATUSES[SubmissionStatus(value)].brief if name == "status" else value


@router.get("/submissions/replay")
async def ask_to_replay(request: Request) -> Response:
    """Count what would be sent again, and what would not, and ask."""
    visit = visit_of(request)
    if _nothing_picked(request.query_params):
        return _unselected(visit)
    filters = _chosen(request.query_params)
    found = await replaying.replay_all(
        visit.context, visit.who, _wanted(visit, filters), force=False, dry_run=True
    )
    return _ask(visit, "replay", filters, found.replayed, found.refused)


@router.post("/submissions/replay")
async def replay(request: Request) -> Response:
    """Put them back in line."""
    visit, form = visit_of(request), await read_form(request)
    filters = _again(form.all("filter"))
    done = await replaying.replay_all(
        visit.context,
        visit.who,
        _wanted(visit, filters),
        force=form.one("force") == "yes",
        dry_run=False,
    )
    follow = filters.but(status=None, reason=None)
    return _follow(visit, follow, f"replayed-{done.replayed}-{done.refused}")


@router.get("/submissions/discard")
async def ask_to_discard(request: Request) -> Response:
    """Count what would be given up, and ask."""
    visit = visit_of(request)
    if _nothing_picked(request.query_params):
        return _unselected(visit)
    filters = _chosen(request.query_params)
    number = await discarding.discard_all(
        visit.context, visit.who, _wanted(visit, filters), dry_run=True
    )
    return _ask(visit, "discard", filters, number, 0)


@router.post("/submissions/discard")
async def discard(request: Request) -> Response:
    """Give them up."""
    visit, form = visit_of(request), await read_form(request)
    filters = _again(form.all("filter"))
    number = await discarding.discard_all(
        visit.context, visit.who, _wanted(visit, filters), dry_run=False
    )
    return _follow(visit, filters.but(status=None, reason=None), f"discarded-{number}-0")


def _chosen(query: QueryParams) -> Filters:
    """Return what is meant: the rows that were ticked, or all that match the list's filters."""
    if query.get("scope") == "all":
        filters = Filters.read(query)
        if not filters.narrow:
            raise UnreadableAddress("Say which ones: narrow the list first.")
        return filters
    return Filters.read(QueryParams([("id", each) for each in query.getlist("pick")]))


def _nothing_picked(query: QueryParams) -> bool:
    return query.get("scope") != "all" and not query.getlist("pick")


def _unselected(visit: Visit) -> Response:
    """Lead back to the list, which says what is missing."""
    filters = Filters.read(visit.request.query_params)
    return _follow(visit, filters, "unselected")


def _again(written: Sequence[str]) -> Filters:
    """Return the filters that a confirmation carries."""
    if not written or not written[0]:
        raise UnreadableAddress("Say which ones: nothing is selected.")
    filters = Filters.read(QueryParams(written[0]))
    if not filters.narrow:
        raise UnreadableAddress("Say which ones: nothing is selected.")
    return filters


def _wanted(visit: Visit, filters: Filters) -> Wanted:
    return filters.wanted(visit.times.now, visit.times.zone)


def _ask(visit: Visit, verb: Verb, filters: Filters, number: int, refused: int) -> Response:
    view = ConfirmView(
        verb,
        number,
        refused,
        filters,
        _counted(visit, filters).query,
        visit.link(f"/submissions/{verb}"),
        visit.link("/submissions", "" if filters.ids else filters.query),
    )
    return render(visit, "confirm.html", view.heading, view, section="submissions")


def _counted(visit: Visit, filters: Filters) -> Filters:
    """Return the filters of what was counted: what comes in later was not shown to anybody."""
    now, until = visit.times.now, _wanted(visit, filters).until
    if filters.ids or (until is not None and until <= now):
        return filters
    return filters.but(until=datetime.fromtimestamp(now, UTC).isoformat())


def _follow(visit: Visit, filters: Filters, done: str) -> Response:
    query = urlencode([*filters.pairs, ("done", done)])
    return RedirectResponse(visit.link("/submissions", query), HTTPStatus.SEE_OTHER)
