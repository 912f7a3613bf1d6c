"""Counts over time as pictures: bars by outcome, and a line for each integration."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from urllib.parse import urlencode

from markupsafe import Markup

from app.console import words
from app.console.state import Visit
from app.ledger.counts import HourCount
from app.ledger.schema import SubmissionStatus

_HOUR: Final = 3_600.0
_HEIGHT: Final = 100.0
_STEP: Final = 10.0  # the width of a bar and its gap
_GAP: Final = 2.0

ORDER: Final = (
    SubmissionStatus.DELIVERED,
    SubmissionStatus.PENDING,
    SubmissionStatus.SKIPPED,
    SubmissionStatus.TEST,
    SubmissionStatus.DEAD,
)
"""From the bottom of a bar to its top: what needs somebody is seen at the end of it."""


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time to show, in hours, and of how many hours each bar is."""

    name: str
    label: str
    hours: int
    per_bar: int


RANGES: Final = (
    Range("24h", "24 hours", 24, 1),
    Range("7d", "7 days", 7 * 24, 6),
    Range("30d", "30 days", 30 * 24, 24),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """What came in from `since` to `until` (unix seconds), by status."""

    since: float
    until: float
    label: str
    link: str
    counts: Mapping[SubmissionStatus, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Key:
    """A status with its colour, its words, how many there are, and the list of them."""

    status: SubmissionStatus
    label: str
    number: int
    link: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over time, as a picture, with its key, and as a table."""

    picture: Markup
    key: Sequence[Key]
    bars: Sequence[Bar]
    most: int
    ticks: Sequence[str]


def range_named(name: str | None) -> Range:
    """Return a range by its name; the shortest if there is none of this name."""
    return next((each for each in RANGES if each.name == name), RANGES[0])


def begins(chosen: Range, now: float, zone: tzinfo) -> float:
    """Return when the first bar of a range begins (unix seconds)."""
    return _starts(chosen, now, zone)[0].timestamp()


def _starts(chosen: Range, now: float, zone: tzinfo) -> list[datetime]:
    """Return when each bar begins, by the clock on the reader's wall."""
    last = datetime.fromtimestamp(now, zone).replace(minute=0, second=0, microsecond=0)
    last = last.replace(hour=last.hour - last.hour % chosen.per_bar)
    number = chosen.hours // chosen.per_bar
    step = timedelta(hours=chosen.per_bar)
    return [last - step * (number - 1 - each) for each in range(number)]


def chart(visit: Visit, chosen: Range, counted: Iterable[HourCount]) -> Chart:
    """Return the bars of a range."""
    starts = _starts(chosen, visit.times.now, visit.times.zone)
    edges = [each.timestamp() for each in starts]
    edges.append((starts[-1] + timedelta(hours=chosen.per_bar)).timestamp())
    counts = [Counter[SubmissionStatus]() for _ in starts]
    totals = Counter[SubmissionStatus]()
    for each in counted:
        place = _place(edges, each.at)
        if place is not None:
            counts[place][each.status] += each.number
            totals[each.status] += each.number
    bars = [
        Bar(
            since,
            until,
            _label(start, chosen),
            visit.link("/submissions", urlencode({"since": _iso(since), "until": _iso(until)})),
            found,
        )
        for start, since, until, found in zip(starts, edges, edges[1:], counts, strict=False)
    ]
    most = max((each.total for each in bars), default=0)
    key = [
        Key(
            status,
            words.STATUSES[status].brief,
            totals[status],
            visit.link("/submissions", urlencode({"status": status, "since": chosen.name})),
        )
        for status in ORDER
        if totals[status] or status is SubmissionStatus.DELIVERED
    ]
    middle = bars[len(bars) // 2]
    return Chart(_picture(bars, most), key, bars, most, [bars[0].label, middle.label, "now"])


def _place(edges: Sequence[float], at: float) -> int | None:
    """Return in which bar an hour lies; in zones off by half an hour, where the hour begins."""
    if not edges[0] - _HOUR < at < edges[-1]:
        return None
    return max(bisect_right(edges, at) - 1, 0)


def _label(start: datetime, chosen: Range) -> str:
    if chosen.per_bar == 24:
        return f"{start:%-d %b}"
    return f"{start:%H:%M}" if chosen.hours <= 24 else f"{start:%a %-d %b, %H:%M}"


def _iso(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _picture(bars: Sequence[Bar], most: int) -> Markup:
    """Return the bars as SVG. It is for the eye and the mouse; the table says the same."""
    width = _STEP * len(bars)
    drawn = Markup("").join(_drawn(number, bar, most) for number, bar in enumerate(bars))
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">'
        "{}</svg>"
    ).format(f"{width:g}", f"{_HEIGHT:g}", drawn)


def _drawn(number: int, bar: Bar, most: int) -> Markup:
    left, bottom, parts = number * _STEP + _GAP / 2, _HEIGHT, []
    for status in ORDER:
        count = bar.counts.get(status, 0)
        if not count:
            continue
        height = max(count / most * (_HEIGHT - 2), 1.0)
        bottom -= height
        parts.append(
            Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                status.value,
                f"{left:g}",
                f"{max(bottom, 0):.2f}",
                f"{_STEP - _GAP:g}",
                f"{height:.2f}",
            )
        )
    said = ", ".join(
        f"{bar.counts[each]:,} {words.STATUSES[each].brief.lower()}"
        for each in ORDER
        if bar.counts.get(each)
    )
    return Markup(
        '<a href="{}" tabindex="-1"><title>{}: {}</title>'
        '<rect class="hit" x="{}" y="0" width="{}" height="{}"/>{}</a>'
    ).format(
        bar.link,
        bar.label,
        said or "nothing",
        f"{number * _STEP:g}",
        f"{_STEP:g}",
        f"{_HEIGHT:g}",
        Markup("").join(parts),
    )


def sparkline(numbers: Sequence[int]) -> Markup:
    """Return a row of numbers as a line, for the eye alone."""
    most = max(numbers, default=0) or 1
    points = [f"{place:g},{22 - number / most * 20:.1f}" for place, number in enumerate(numbers)]
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 24" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="M{}"/></svg>'
    ).format(max(len(numbers) - 1, 1), " L".join(points))


def last_day(counted: Iterable[HourCount], now: float) -> Mapping[str, Sequence[int]]:
    """Return how many came in during each of the last 24 hours, by integration."""
    first = now // _HOUR - 23
    found: dict[str, list[int]] = {}
    for each in counted:
        place = int(each.at // _HOUR - first)
        if 0 <= place < 24:
            found.setdefault(each.integration_id, [0] * 24)[place] += each.number
    return found
