"""The list of submissions, as a page and as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from app.console import csv, words
from app.console.errors import UnreadableAddress, told
from app.console.filters import SPANS, Filters
from app.console.forms import whole_number
from app.console.rendering import render
from app.console.session import Page
from app.console.state import Visit, visit_of
from app.console.times import counted
from app.ledger.database import UNAVAILABLE
from app.ledger.integrations import StoredIntegration, UnknownIntegration
from app.ledger.listing import Wait
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import StoredSubmission
from app.operations import integrations, looking, submissions
from app.operations.invalid import Invalid
from app.operations.looking import Facets
from app.operations.people import NoAddress

router = APIRouter(include_in_schema=False, route_class=Page)

_ROWS: Final = 50
_REPLAYABLE = frozenset(
    {SubmissionStatus.DEAD, SubmissionStatus.SKIPPED, SubmissionStatus.DELIVERED}
)
_DISCARDABLE = frozenset({SubmissionStatus.DEAD, SubmissionStatus.PENDING})
Tone = Literal["bad", "warn", "fair", "quiet"]


@dataclass(frozen=True, slots=True)
class Row:
    """A submission in a list."""

    stored: StoredSubmission
    link: str
    integration_link: str
    outcome: str
    tone: Tone
    wait: str | None
    next_at: float | None
    warnings: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter: how many it would show, and the list's address with it."""

    label: str
    number: int | None
    link: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """A filter with its values."""

    title: str
    choices: Sequence[Choice]


@dataclass(frozen=True, slots=True)
class ListView:
    """The list in one of its four states: failed, none yet, no match, rows."""

    state: Literal["failed", "none", "no_match", "rows"]
    filters: Filters
    choices: Sequence[Choices] = ()
    rows: Sequence[Row] = ()
    total: int = 0
    older: str | None = None
    newest: str | None = None
    csv: str = ""
    clear: str = ""
    problem: str | None = None
    replayable: bool = False
    discardable: bool = False

    @property
    def heading(self) -> str:
        """How many there are, and of which kind."""
        status, reason = self.filters.status, self.filters.reason
        kind = f"{words.STATUSES[status].brief.lower()} submission" if status else "submission"
        return counted(self.total, kind) + (f": {words.reason_in_words(reason)}" if reason else "")


@router.get("/submissions")
async def show_list(request: Request) -> Response:
    """Show the submissions that match the address."""
    visit = visit_of(request)
    filters, status = Filters(), HTTPStatus.OK
    try:
        filters = Filters.read(request.query_params)
        view = await _list(visit, filters, _cursor(request))
    except NoAddress:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        view = _failed(visit, filters, _NO_ADDRESS.format((filters.contact or "")[:60]))
    except (UnreadableAddress, Invalid, UnknownIntegration) as error:
        status, problem = told(error) or (HTTPStatus.UNPROCESSABLE_ENTITY, "")
        view = _failed(visit, filters, problem)
    except UNAVAILABLE:
        status = HTTPStatus.SERVICE_UNAVAILABLE
        view = _failed(visit, filters, "The ledger cannot be used now. Nothing is lost.")
    return render(
        visit,
        "submissions.html",
        "Submissions",
        view,
        section="submissions",
        notice=_notice(request),
        refreshes=True,
        status=status,
    )


_NO_ADDRESS: Final = (
    "“{}” is neither an email address nor a phone number, which is best given with its country "
    "code (+1...). A submission is found by its whole id, of which lists show the end, and an "
    "integration by its name."
)


@router.get("/submissions.csv")
async def download(request: Request) -> Response:
    """Give what the list shows, all pages of it, as a file for a spreadsheet."""
    visit = visit_of(request)
    filters = Filters.read(request.query_params)
    wanted = filters.wanted(visit.times.now, visit.times.zone)
    first = await submissions.list_submissions(
        visit.context, visit.who, wanted, limit=500, before=None
    )
    name = f"submissions-{visit.times.now:.0f}.csv"
    return StreamingResponse(
        csv.of_submissions(visit, wanted, first),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/find")
async def find(request: Request) -> Response:
    """Lead to what was typed: an id, an integration, else whoever has the address."""
    visit = visit_of(request)
    typed = request.query_params.get("q", "").strip()[:320]
    if len(typed) == 32 and set(typed) <= set("0123456789abcdef"):
        return RedirectResponse(visit.link(f"/submissions/{typed}"), status_code=303)
    if found := _called(typed, await integrations.list_integrations(visit.context)):
        return RedirectResponse(visit.link(f"/integrations/{found.id}"), status_code=303)
    query = urlencode({"contact": typed}) if typed else ""
    return RedirectResponse(visit.link("/submissions", query), status_code=303)


def _called(typed: str, known: Sequence[StoredIntegration]) -> StoredIntegration | None:
    """Return the integration of this name or id, else the only one that has it in its name."""
    text = typed.casefold()
    named = [(each, each.integration.name.casefold()) for each in known]
    if whole := [each for each, name in named if text in (each.id, name)]:
        return whole[0]
    is_name = "@" not in text and any(map(str.isalpha, text))
    parts = [each for each, name in named if is_name and text in name]
    return parts[0] if len(parts) == 1 else None


async def _list(visit: Visit, filters: Filters, before: int | None) -> ListView:
    context, times = visit.context, visit.times
    wanted = filters.wanted(times.now, times.zone)
    page = await submissions.list_submissions(
        context, visit.who, wanted, limit=_ROWS, before=before
    )
    found = await looking.facets(context, wanted)
    state: Literal["none", "no_match", "rows"] = "rows"
    if not page.submissions:
        state = "no_match" if filters.narrow or before is not None else "none"
    older = None
    if page.next_before is not None:
        older = _with_cursor(visit, filters, page.next_before)
    return ListView(
        state=state,
        filters=filters,
        choices=_choices(visit, filters, found),
        rows=await rows_of(visit, page.submissions),
        total=found.total,
        older=older,
        newest=_link(visit, filters) if before is not None else None,
        csv=visit.link("/submissions.csv", filters.query),
        clear=visit.link("/submissions"),
        replayable=filters.status in _REPLAYABLE,
        discardable=filters.status in _DISCARDABLE,
    )


async def rows_of(visit: Visit, found: Sequence[StoredSubmission]) -> list[Row]:
    """Return submissions as rows of a list, with what each waits for."""
    waiting = await looking.waits(visit.context, found)
    return [_row(visit, each, waiting.get(each.id)) for each in found]


def _row(visit: Visit, stored: StoredSubmission, wait: Wait | None) -> Row:
    said, next_at = wait_in_words(wait, visit.times.now)
    return Row(
        stored=stored,
        link=visit.link(f"/submissions/{stored.id}"),
        integration_link=visit.link(f"/integrations/{stored.integration_id}"),
        outcome=words.brief(stored.status, stored.reason),
        tone=tone_of(stored.status),
        wait=said,
        next_at=next_at,
        warnings=len(stored.warnings),
    )


def tone_of(status: SubmissionStatus) -> Tone:
    """Return how much a status wants to be seen."""
    return _TONES[status]


_TONES: Mapping[SubmissionStatus, Tone] = {
    SubmissionStatus.DEAD: "bad",
    SubmissionStatus.PENDING: "fair",
    SubmissionStatus.DELIVERED: "fair",
    SubmissionStatus.SKIPPED: "quiet",
    SubmissionStatus.TEST: "quiet",
}


def wait_in_words(wait: Wait | None, now: float) -> tuple[str | None, float | None]:
    """Return what a submission waits for in a few words, and when (unix seconds) it is tried."""
    if wait is None:
        return None, None
    if wait.behind:
        return "after an earlier one of this person", None
    if wait.sending:
        return "being sent", None
    if wait.due_at is None or wait.due_at <= now:
        return "ready to be sent", None
    return "next try", wait.due_at


def _choices(visit: Visit, filters: Filters, found: Facets) -> list[Choices]:
    def choice(label: str, number: int | None, chosen: bool, **changes: object) -> Choice:
        return Choice(label, number, _link(visit, filters.but(**changes)), chosen)

    statuses = [
        choice("All", sum(found.statuses.values()), not filters.status, status=None, reason=None)
    ]
    statuses += [
        choice(
            words.STATUSES[each].brief,
            found.statuses.get(each, 0),
            filters.status is each,
            status=each,
            reason=None,
        )
        for each in SubmissionStatus
    ]
    groups = [Choices("Status", statuses)]
    named = dict(found.reasons)
    if filters.reason:
        named.setdefault(filters.reason, 0)
    if named:
        reasons = [choice("Any", None, not filters.reason, reason=None)]
        reasons += [
            choice(words.reason_in_words(each), number, filters.reason == each, reason=each)
            for each, number in sorted(named.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        groups.append(Choices("Reason", reasons))
    sources = dict(found.integrations)
    if filters.integration:
        sources.setdefault(filters.integration, 0)
    if len(sources) > 1 or filters.integration:
        every = choice("All", sum(sources.values()), not filters.integration, integration=None)
        groups.append(
            Choices(
                "Integration",
                [
                    every,
                    *(
                        choice(each, number, filters.integration == each, integration=each)
                        for each, number in sorted(sources.items())
                    ),
                ],
            )
        )
    spans = [
        choice(label, None, filters.since == each and filters.until is None, since=each, until=None)
        for each, label in SPANS.items()
    ]
    if (filters.since not in SPANS) or filters.until:
        spans.append(Choice(_span(filters), None, _link(visit, filters), True))
    groups.append(Choices("Received", spans))
    return groups


def _span(filters: Filters) -> str:
    if filters.since and filters.until:
        return f"{filters.since} to {filters.until}"
    return f"Since {filters.since}" if filters.since else f"Until {filters.until}"


def _failed(visit: Visit, filters: Filters, problem: str) -> ListView:
    return ListView("failed", filters, problem=problem, clear=visit.link("/submissions"))


def _link(visit: Visit, filters: Filters) -> str:
    return visit.link("/submissions", filters.query)


def _with_cursor(visit: Visit, filters: Filters, before: int) -> str:
    return visit.link("/submissions", urlencode([*filters.pairs, ("before", str(before))]))


def _cursor(request: Request) -> int | None:
    text = request.query_params.get("before", "")
    if not text:
        return None
    if (before := whole_number(text, 18)) is None:
        raise UnreadableAddress("The page of the list cannot be read.")
    return before


_DONE = {"replayed": "put back in line", "discarded": "discarded"}


def _notice(request: Request) -> str | None:
    """Return what was done just now, as the address says it."""
    if request.query_params.get("done") == "unselected":
        return "Nothing is selected: tick some submissions first."
    verb, _, numbers = request.query_params.get("done", "").partition("-")
    first, _, second = numbers.partition("-")
    done, refused = whole_number(first, 9), whole_number(second, 9)
    if verb not in _DONE or done is None or refused is None:
        return None
    said = f"{counted(done, 'submission was', 'submissions were')} {_DONE[verb]}."
    if refused:
        said += f" {counted(refused, 'stayed as it was', 'stayed as they were')}."
    return said
