"""The overview: what needs somebody first, then how each integration does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from app.console import charts, words
from app.console.charts import Chart, chart, range_named, sparkline
from app.console.rendering import render
from app.console.rules_form import input_of
from app.console.session import Page
from app.console.state import Visit, visit_of
from app.console.times import counted, duration
from app.ledger.counts import HourCount
from app.ledger.integrations import StoredIntegration
from app.ledger.listing import Latest
from app.operations import traffic
from app.operations.overview import Health, Need, look_over
from app.rules.drift import DriftKind

router = APIRouter(include_in_schema=False, route_class=Page)


@dataclass(frozen=True, slots=True)
class NeedView:
    """What needs somebody: the state, the cause, and the page where to do something."""

    tone: Literal["bad", "warn"]
    state: str
    cause: str
    link: str
    label: str
    since: float | None


@dataclass(frozen=True, slots=True)
class IntegrationRow:
    """How an integration does, in a line."""

    id: str
    name: str
    link: str
    state: str
    tone: Literal["bad", "warn", "fair"]
    pending: int
    pending_link: str
    dead: int
    dead_link: str
    latest: Latest
    day: int
    line: Markup


@dataclass(frozen=True, slots=True)
class OverviewView:
    """The overview."""

    needs: Sequence[NeedView]
    integrations: Sequence[IntegrationRow]
    chart: Chart | None = None
    ranges: Sequence[tuple[str, str, bool]] = ()

    @property
    def heading(self) -> str:
        """The state of all, in a few words."""
        if not self.needs:
            return "Nothing needs you"
        return counted(len(self.needs), "thing needs", "things need") + " somebody"


@router.get("")
async def show(request: Request) -> Response:
    """Show the overview."""
    visit = visit_of(request)
    found = await look_over(visit.context)
    chosen = range_named(request.query_params.get("range"))
    # A page that renews itself renews the bars of a day alone: more take long to count.
    renewing = request.headers.get("x-refresh") is not None and chosen is not charts.RANGES[0]
    counted = await _traffic(visit, charts.RANGES[0] if renewing else chosen)
    view = OverviewView(
        [_need(visit, each) for each in found.needs],
        _rows(visit, found.health, counted),
        None if renewing else chart(visit, chosen, counted),
        [
            (each.label, visit.link("", f"range={each.name}"), each is chosen)
            for each in charts.RANGES
        ],
    )
    return render(visit, "overview.html", view.heading, view, section="overview", refreshes=True)


@router.get("/integrations")
async def show_integrations(request: Request) -> Response:
    """Show how each integration does."""
    visit = visit_of(request)
    found = await look_over(visit.context)
    counted = await _traffic(visit, charts.RANGES[0])
    view = OverviewView([], _rows(visit, found.health, counted))
    return render(
        visit, "integrations.html", "Integrations", view, section="integrations", refreshes=True
    )


async def _traffic(visit: Visit, chosen: charts.Range) -> Sequence[HourCount]:
    times = visit.times
    day = times.now // 3_600.0 * 3_600.0 - 23 * 3_600.0
    since = min(charts.begins(chosen, times.now, times.zone), day)
    return await traffic.by_hour(visit.context, since)


def _rows(
    visit: Visit, health: Sequence[Health], counted: Sequence[HourCount]
) -> list[IntegrationRow]:
    lines = charts.last_day(counted, visit.times.now)
    return [_row(visit, each, lines.get(each.stored.id, [0] * 24)) for each in health]


def _row(visit: Visit, health: Health, day: Sequence[int]) -> IntegrationRow:
    stored = health.stored
    state, tone = state_in_words(health)
    return IntegrationRow(
        id=stored.id,
        name=stored.integration.name,
        link=visit.link(_page_of(visit, stored)),
        state=state,
        tone=tone,
        pending=health.figures.pending,
        pending_link=_list(visit, stored.id, status="pending"),
        dead=health.figures.dead,
        dead_link=_list(visit, stored.id, status="dead"),
        latest=health.latest,
        day=sum(day),
        line=sparkline(day),
    )


def _page_of(visit: Visit, stored: StoredIntegration) -> str:
    """Return the page of an integration: what is being set up goes on where it was left."""
    goes_on = stored.setup is not None and visit.who.sees_people
    return f"/integrations/new/{stored.id}" if goes_on else f"/integrations/{stored.id}"


def state_in_words(health: Health) -> tuple[str, Literal["bad", "warn", "fair"]]:
    """Return what an integration does now in a word or two, and how bad that is."""
    stored = health.stored
    if stored.setup is not None:
        return "Being set up", "fair"
    if stored.state == "paused":
        return "Paused", "warn" if health.figures.pending else "fair"
    if stored.state == "blocked":
        return "Blocked by Cordial", "bad"
    return _GATES[stored.gate.state.value]


_GATES: Mapping[str, tuple[str, Literal["bad", "warn", "fair"]]] = {
    "open": ("Sending", "fair"),
    "held": ("Cordial asks to wait", "fair"),
    "closed": ("Cordial fails", "warn"),
    "blocked": ("Blocked by Cordial", "bad"),
}


def _list(visit: Visit, integration_id: str, **filters: str) -> str:
    return visit.link("/submissions", urlencode({"integration": integration_id, **filters}))


def _need(visit: Visit, need: Need) -> NeedView:
    return _NEEDS[need.kind](visit, need)


def _waiting(number: int) -> str:
    return counted(number, "submission waits", "submissions wait")


def _blocked(visit: Visit, need: Need) -> NeedView:
    return NeedView(
        "bad",
        f"Cordial refuses {need.name}",
        f"{need.reason or 'Cordial refuses our access.'} {_waiting(need.number)}; nothing is lost.",
        visit.link(f"/integrations/{need.integration_id}"),
        "Look and mend",
        need.since,
    )


def _dead(visit: Visit, need: Need) -> NeedView:
    said = words.REASONS.get(need.reason or "")
    return NeedView(
        "bad",
        f"{counted(need.number, 'dead submission')} of {need.name}: "
        f"{words.reason_in_words(need.reason or '')}",
        f"{said.what} {said.remedy}" if said else "",
        _list(visit, need.integration_id, status="dead", reason=need.reason or ""),
        "Show it" if need.number == 1 else f"Show {need.number:,}",
        need.since,
    )


def _closed(visit: Visit, need: Need) -> NeedView:
    return NeedView(
        "warn",
        f"Cordial does not take what {need.name} sends",
        f"{need.reason or 'It failed several times in a row.'} {_waiting(need.number)} and "
        "will be sent by itself when Cordial is back.",
        visit.link(f"/integrations/{need.integration_id}"),
        "Look",
        need.since,
    )


def _slow(visit: Visit, need: Need) -> NeedView:
    waited = duration(visit.times.now - (need.since or visit.times.now))
    return NeedView(
        "warn",
        f"{need.name} has waited for {waited}",
        f"{_waiting(need.number)}. Look at what the oldest one waits for; if many come in, more "
        "comes in than goes out.",
        _list(visit, need.integration_id, status="pending"),
        "Show it" if need.number == 1 else f"Show {need.number:,}",
        None,
    )


def _paused(visit: Visit, need: Need) -> NeedView:
    return NeedView(
        "warn",
        f"{need.name} is paused while {_waiting(need.number)}",
        need.reason or "A person stopped it. Resume it to send what waits.",
        visit.link(f"/integrations/{need.integration_id}"),
        "Look and resume",
        need.since,
    )


def _unset(visit: Visit, need: Need) -> NeedView:
    return NeedView(
        "warn",
        f"{need.name} has no webhook secret",
        "Every webhook is answered 401 until it has one. Add the shared secret that Jebbit shows.",
        visit.link(f"/integrations/{need.integration_id}"),
        "Add it",
        None,
    )


def _drift(visit: Visit, need: Need) -> NeedView:
    integration = f"/integrations/{need.integration_id}"
    link, label = visit.link(integration), "Look"
    if need.drift is DriftKind.NEW_ANSWER:
        link, label = _list(visit, need.integration_id, since="24h"), "Show the newest"
    elif need.drift is not DriftKind.NOTHING_RECEIVED and visit.who.sees_people:
        link = f"{visit.link(f'{integration}/rules')}#{input_of(need.place)}"
        label = "Mend the rules"
    said = need.said
    return NeedView(
        "bad" if need.drift is DriftKind.OPT_IN_MISSING else "warn",
        f"{need.name} {said.state}",
        f"{said.cause} {said.remedy}",
        link,
        label,
        need.since,
    )


_NEEDS: Mapping[str, Callable[[Visit, Need], NeedView]] = {
    "blocked": _blocked,
    "dead": _dead,
    "opt_in_missing": _drift,
    "drift": _drift,
    "closed": _closed,
    "slow": _slow,
    "paused": _paused,
    "unset": _unset,
}
