"""Consent: region by answer by status asked, over time, as a page and as a file."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from app.console import csv
from app.console.charts import sparkline
from app.console.errors import UnreadableAddress
from app.console.rendering import render
from app.console.session import Page
from app.console.state import Visit, visit_of
from app.console.times import Times
from app.ledger.decisions import Alike
from app.ledger.schema import SubmissionStatus
from app.ledger.tallies import Tally
from app.operations import deciding, integrations, tallying
from app.rules.policy import Region, Status
from app.rules.values import Answer
from app.turns import in_turns

router = APIRouter(include_in_schema=False, route_class=Page)

_DAY: Final = 86_400.0
_POINTS: Final = 30  # of a line over time
_BY: Final = 3_600.0 * _POINTS
_MOST_SHOWN: Final = 50
_OF_CELL: Final = ("region", "answer", "asked")
SPANS: Final[Mapping[str, tuple[str, float]]] = {
    "7d": ("7 days", 7 * _DAY),
    "30d": ("30 days", 30 * _DAY),
    "365d": ("A year", 365 * _DAY),
}
REGIONS: Final[Mapping[str, str]] = {
    Region.NON_EU: "Outside the EU",
    Region.EU: "In the EU",
    Region.UNKNOWN: "Region unknown",
}
ANSWERS: Final[Mapping[str, str]] = {
    Answer.YES: "Yes",
    Answer.NULL: "No answer",
    Answer.NO: "No",
    Answer.UNCLEAR: "Unclear",
}
ASKED: Final[Mapping[str, str]] = {
    "subscribed": "Subscribed",
    "left": "Left as it is",
    "unsubscribed": "Unsubscribed",
    "not_sent": "Not sent",
}
_DECIDED: Final = frozenset(
    {SubmissionStatus.DELIVERED, SubmissionStatus.SKIPPED, SubmissionStatus.DEAD}
)


@dataclass(frozen=True, slots=True)
class Line:
    """People of a region who gave an answer, by the status asked for them, and over time."""

    answer: str
    cells: Sequence["Cell"]
    over_time: Markup

    @property
    def total(self) -> int:
        """All of them."""
        return sum(each.number for each in self.cells)


@dataclass(frozen=True, slots=True)
class Cell:
    """How many decisions there were of a kind, in words, and the way to the newest."""

    number: int
    words: str
    link: str


@dataclass(frozen=True, slots=True)
class RegionTable:
    """A region with its answers."""

    region: str
    lines: Sequence[Line]
    total: int


@dataclass(frozen=True, slots=True)
class Link:
    """A choice, the page with it, and whether it is made."""

    label: str
    link: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class ConsentView:
    """The consent page."""

    decided: int
    tables: Sequence[RegionTable]
    columns: Sequence[str]
    sources: Sequence[Link]
    spans: Sequence[Link]
    narrow: bool
    csv: str
    list: str
    silent: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the address asks for."""

    integration_id: str | None
    span: str

    @property
    def query(self) -> str:
        pairs = [("integration", self.integration_id or ""), ("span", self.span)]
        return urlencode([each for each in pairs if each[1]])

    @property
    def seconds(self) -> float:
        return SPANS[self.span][1]


@router.get("/consent")
async def show(request: Request) -> Response:
    """Show who agreed to what, and what followed."""
    visit, chosen = visit_of(request), _read(request)
    since = visit.times.now - chosen.seconds
    await _refuse_unknown(visit, chosen)
    found = await tallying.decided(
        visit.context, chosen.integration_id, since, hours=max(1, int(chosen.seconds / _BY))
    )
    only = {"integration": chosen.integration_id} if chosen.integration_id else {}
    view = ConsentView(
        sum(number for _, number in found),
        _tables(visit, chosen, found),
        list(ASKED.values()),
        await _sources(visit, chosen),
        [
            Link(label, _link(visit, _Chosen(chosen.integration_id, name)), name == chosen.span)
            for name, (label, _) in SPANS.items()
        ],
        chosen.integration_id is not None,
        visit.link("/consent.csv", chosen.query),
        visit.link("/submissions", urlencode({**only, "since": chosen.span})),
        sum(
            number
            for each, number in found
            if each.answer == Answer.NULL and _asked(each) == "subscribed"
        ),
    )
    return render(visit, "consent.html", "Consent", view, section="consent")


@router.get("/consent/newest")
async def show_newest(request: Request) -> Response:
    """Lead to the list of the newest submissions of which the same was decided."""
    visit, chosen = visit_of(request), _read(request)
    region, answer, asked = (request.query_params.get(each, "") for each in _OF_CELL)
    if region not in REGIONS or answer not in ANSWERS or asked not in ASKED:
        raise UnreadableAddress("There is no such answer, region or status.")
    alike = Alike(region, answer, asked != "not_sent", asked if asked in set(Status) else None)
    since = visit.times.now - chosen.seconds
    found = await deciding.newest_alike(
        visit.context, chosen.integration_id, since, alike, _MOST_SHOWN
    )
    if not found:
        raise UnreadableAddress("None of the newest decisions is of this kind.")
    return RedirectResponse(
        visit.link("/submissions", urlencode([("id", each) for each in found])), 303
    )


@router.get("/consent.csv")
async def download(request: Request) -> Response:
    """Give the same by hour, as a file."""
    visit, chosen = visit_of(request), _read(request)
    await _refuse_unknown(visit, chosen)
    since = visit.times.now - chosen.seconds
    found = await tallying.hourly(visit.context, chosen.integration_id, since)
    return Response(
        await _written(visit.times, found),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="consent.csv"'},
    )


async def _written(times: Times, found: Sequence[tuple[Tally, int]]) -> str:
    """Return counts as a file: a month of them takes a second, so others have turns meanwhile."""
    head = ["hour (UTC)", f"hour ({times.zone_name})", "integration", "region", "opt-in"]
    lines = [csv.MARK + csv.line([*head, "asked of Cordial", "reason", "decisions"])]
    async for each, number in in_turns(found):
        if each.outcome not in _DECIDED or not each.region:  # of what was only received
            continue
        told = (each.integration_id, each.region, each.answer, _asked(each), each.reason, number)
        lines.append(csv.line([*csv.both(times, each.hour * 3_600.0), *told]))
    return "".join(lines)


def _read(request: Request) -> _Chosen:
    span = request.query_params.get("span", "")
    return _Chosen(
        request.query_params.get("integration") or None, span if span in SPANS else "30d"
    )


async def _refuse_unknown(visit: Visit, chosen: _Chosen) -> None:
    if chosen.integration_id is not None:
        await integrations.get(visit.context, chosen.integration_id)


def _asked(tally: Tally) -> str:
    if tally.outcome == SubmissionStatus.SKIPPED:
        return "not_sent"
    return tally.email or "left"


def _tables(visit: Visit, chosen: _Chosen, found: Sequence[tuple[Tally, int]]) -> list[RegionTable]:
    by_line = defaultdict[tuple[str, str], list[tuple[Tally, int]]](list)
    for tally, number in found:
        by_line[tally.region, tally.answer].append((tally, number))
    tables = []
    for region, name in REGIONS.items():
        lines = [
            _line(visit, chosen, (region, answer), by_line[region, answer]) for answer in ANSWERS
        ]
        total = sum(each.total for each in lines)
        if total or region != Region.UNKNOWN:
            tables.append(RegionTable(name, lines, total))
    return tables


def _line(
    visit: Visit, chosen: _Chosen, of: tuple[str, str], found: Sequence[tuple[Tally, int]]
) -> Line:
    asked, over_time = Counter[str](), [0] * _POINTS
    since = visit.times.now - chosen.seconds
    for each, number in found:
        asked[_asked(each)] += number
        place = int((each.hour * 3_600.0 - since) / chosen.seconds * _POINTS)
        over_time[min(max(place, 0), _POINTS - 1)] += number
    region, answer = of
    cells = [
        Cell(
            asked[name],
            f"{REGIONS[region]}, {ANSWERS[answer].lower()}, {words.lower()}",
            _link_to_newest(visit, chosen, region, answer, name),
        )
        for name, words in ASKED.items()
    ]
    return Line(ANSWERS[answer], cells, sparkline(over_time))


def _link_to_newest(visit: Visit, chosen: _Chosen, *of_cell: str) -> str:
    cell = urlencode(list(zip(_OF_CELL, of_cell, strict=True)))
    return visit.link("/consent/newest", f"{chosen.query}&{cell}")


async def _sources(visit: Visit, chosen: _Chosen) -> list[Link]:
    known = await integrations.list_integrations(visit.context)
    everything = _Chosen(None, chosen.span)
    made = [Link("All integrations", _link(visit, everything), chosen.integration_id is None)]
    made += [
        Link(
            each.integration.name,
            _link(visit, _Chosen(each.id, chosen.span)),
            each.id == chosen.integration_id,
        )
        for each in known
    ]
    return made


def _link(visit: Visit, chosen: _Chosen) -> str:
    return visit.link("/consent", chosen.query)
