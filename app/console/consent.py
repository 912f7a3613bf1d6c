"""Consent: region by answer by status asked, as a page and as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from app.console import csv
from app.console.rendering import render
from app.console.session import Page
from app.console.state import Visit, visit_of
from app.operations import integrations
from app.operations.consent import LOOKED_AT, Asked, Consent, consents
from app.rules.policy import Region
from app.rules.values import Answer

router = APIRouter(include_in_schema=False, route_class=Page)

REGION_WORDS: Final[Mapping[Region, str]] = {
    Region.NON_EU: "Outside the EU",
    Region.EU: "In the EU",
    Region.UNKNOWN: "Region unknown",
}
ANSWER_WORDS: Final[Mapping[Answer, str]] = {
    Answer.YES: "Yes",
    Answer.NULL: "No answer",
    Answer.NO: "No",
    Answer.UNCLEAR: "Unclear",
}
ASKED_WORDS: Final[Mapping[Asked, str]] = {
    "subscribed": "Subscribed",
    "left": "Left as it is",
    "unsubscribed": "Unsubscribed",
    "not_sent": "Not sent",
}


@dataclass(frozen=True, slots=True)
class Line:
    """People of a region who gave an answer, by the status asked for them."""

    answer: str
    numbers: Sequence[int]

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
class ConsentView:
    """The consent page."""

    looked_at: int
    most: int
    tables: Sequence[RegionTable]
    columns: Sequence[str]
    choices: Sequence[tuple[str, str, bool]]
    chosen: str | None
    csv: str
    silent: int


@router.get("/consent")
async def show(request: Request) -> Response:
    """Show who agreed to what, and what follows."""
    visit = visit_of(request)
    chosen = request.query_params.get("integration") or None
    looked_at, found = await consents(visit.context, chosen)
    view = ConsentView(
        looked_at,
        LOOKED_AT,
        _tables(found),
        list(ASKED_WORDS.values()),
        await _choices(visit, chosen),
        chosen,
        visit.link("/consent.csv", _query(chosen)),
        sum(
            number
            for each, number in found.items()
            if each.answer is Answer.NULL and each.asked == "subscribed"
        ),
    )
    return render(visit, "consent.html", "Consent", view, section="consent")


@router.get("/consent.csv")
async def download(request: Request) -> Response:
    """Give the same as a file."""
    visit = visit_of(request)
    _, found = await consents(visit.context, request.query_params.get("integration") or None)
    lines = [csv.MARK + csv.line(["region", "opt-in", "asked of Cordial", "submissions"])]
    for (region, answer, asked), number in sorted(_summed(found).items()):
        lines.append(csv.line([region, answer, asked, number]))
    return Response(
        "".join(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="consent.csv"'},
    )


def _summed(found: Mapping[Consent, int]) -> Mapping[tuple[str, str, str], int]:
    summed: dict[tuple[str, str, str], int] = {}
    for each, number in found.items():
        key = (each.region.value, _answer(each), each.asked)
        summed[key] = summed.get(key, 0) + number
    return summed


def _answer(each: Consent) -> str:
    return "hidden by the page's URL" if each.hidden else each.answer.value


def _tables(found: Mapping[Consent, int]) -> list[RegionTable]:
    tables = []
    for region, name in REGION_WORDS.items():
        of_region = {each: number for each, number in found.items() if each.region is region}
        lines = [
            Line(words, _numbers(of_region, answer, hidden=False))
            for answer, words in ANSWER_WORDS.items()
        ]
        hidden = Line("Hidden by the page's URL", _numbers(of_region, Answer.NULL, hidden=True))
        if hidden.total:
            lines.append(hidden)
        total = sum(of_region.values())
        if total or region is not Region.UNKNOWN:
            tables.append(RegionTable(name, lines, total))
    return tables


def _numbers(found: Mapping[Consent, int], answer: Answer, *, hidden: bool) -> list[int]:
    return [
        sum(
            number
            for each, number in found.items()
            if (each.answer, each.hidden, each.asked) == (answer, hidden, asked)
        )
        for asked in ASKED_WORDS
    ]


async def _choices(visit: Visit, chosen: str | None) -> list[tuple[str, str, bool]]:
    known = await integrations.list_integrations(visit.context)
    made = [("All integrations", visit.link("/consent"), chosen is None)]
    made += [
        (each.integration.name, visit.link("/consent", _query(each.id)), each.id == chosen)
        for each in known
    ]
    return made


def _query(integration_id: str | None) -> str:
    return urlencode({"integration": integration_id}) if integration_id else ""
