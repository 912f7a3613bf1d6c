"""Consent: region by answer by status asked, over time, as a page and as a file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from app.console import csv
from app.console.charts import sparkline
from app.console.rendering import render
from app.console.session import Page
from app.console.state import Visit, visit_of
from app.ledger.schema import SubmissionStatus
from app.ledger.tallies import Tally
from app.operations import integrations, tallying
from app.rules.policy import Region
from app.rules.values import Answer

router = APIRouter(include_in_schema=False, route_class=Page)

_DAY: Final = 86_400.0
_POINTS: Final = 30  # of a line over time
_BY: Final = 3_600.0 * _POINTS
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
    numbers: Sequence[int]
    over_time: Markup

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.numbers)


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
        _tables(found, since, chosen.seconds),
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


@router.get("/consent.csv")
async def download(request: Request) -> Response:
    """Give the same by hour, as a file."""
    visit, chosen = visit_of(request), _read(request)
    head = ["hour (UTC)", f"hour ({visit.times.zone_name})", "integration", "region", "opt-in"]
    lines = [csv.MARK + csv.line([*head, "asked of Cordial", "reason", "decisions"])]
    await _refuse_unknown(visit, chosen)
    since = visit.times.now - chosen.seconds
    for each, number in await tallying.hourly(visit.context, chosen.integration_id, since):
        if each.outcome not in _DECIDED or not each.region:  # of what was only received
            continue
        told = (each.integration_id, each.region, each.answer, _asked(each), each.reason, number)
        lines.append(csv.line([*csv.both(visit, each.hour * 3_600.0), *told]))
    return Response(
        "".join(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="consent.csv"'},
    )


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


def _tables(found: Sequence[tuple[Tally, int]], since: float, seconds: float) -> list[RegionTable]:
    tables = []
    for region, name in REGIONS.items():
        of_region = [pair for pair in found if pair[0].region == region]
        lines = [
            _line(words, [pair for pair in of_region if pair[0].answer == answer], since, seconds)
            for answer, words in ANSWERS.items()
        ]
        total = sum(number for _, number in of_region)
        if total or region != Region.UNKNOWN:
            tables.append(RegionTable(name, lines, total))
    return tables


def _line(words: str, found: Sequence[tuple[Tally, int]], since: float, seconds: float) -> Line:
    asked, over_time = Counter[str](), [0] * _POINTS
    for each, number in found:
        asked[_asked(each)] += number
        place = int((each.hour * 3_600.0 - since) / seconds * _POINTS)
        over_time[min(max(place, 0), _POINTS - 1)] += number
    return Line(words, [asked[name] for name in ASKED], sparkline(over_time))


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
