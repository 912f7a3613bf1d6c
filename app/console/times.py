"""Times and numbers as people read them."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from markupsafe import Markup

_LONGEST_ZONE = 64


def zone_of(name: str | None) -> tzinfo:
    """Return a time zone by its IANA name; UTC if there is none of this name."""
    if not name or len(name) > _LONGEST_ZONE:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, or a folder
        return UTC


@dataclass(frozen=True, slots=True)
class Times:
    """Shows times (unix seconds) to somebody in a zone, as it is `now` (unix seconds)."""

    now: float
    zone: tzinfo

    @property
    def zone_name(self) -> str:
        """The zone as the reader knows it."""
        return str(self.zone)

    def ago(self, at: float | None) -> Markup:
        """Return how long ago something was, or in how long it will be; exactly in the title."""
        if at is None:
            return Markup('<span class="none">never</span>')
        return self._tag(at, told(self.now - at))

    def exact(self, at: float | None) -> Markup:
        """Return the date and the time, with UTC in the title."""
        if at is None:
            return Markup('<span class="none">none</span>')
        return self._tag(at, self.local(at))

    def local(self, at: float) -> str:
        """Return the date and the time in the reader's zone, to the second, the zone named."""
        moment = _moment(at, self.zone)
        return f"{moment:%-d %b %Y, %H:%M:%S} {moment:%Z}"

    def _tag(self, at: float, text: str) -> Markup:
        utc = datetime.fromtimestamp(at, UTC)
        title = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
        if self.zone is not UTC:
            title = f"{self.local(at)} · {title}"
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            utc.isoformat(timespec="seconds"), title, text
        )


def _moment(at: float, zone: tzinfo) -> datetime:
    """Return a time in a zone; in UTC on the first and the last day that there is.

    A source that knows no date may send 0001-01-01, which is none yet in America.
    """
    try:
        return datetime.fromtimestamp(at, zone)
    except OverflowError:
        return datetime.fromtimestamp(at, UTC)


_UNITS = ((86_400.0, "day"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def duration(seconds: float) -> str:
    """Return a length of time in one unit: `3 min`, `5 h`, `2 days`."""
    whole = max(seconds, 0.0)
    for size, unit in _UNITS:
        if whole >= size:
            number = int(whole // size)
            plural = "s" if unit == "day" and number != 1 else ""
            return f"{number:,} {unit}{plural}"
    return "0 s"


def told(seconds: float) -> str:
    """Return how long ago: `3 min ago`, `just now`; of what is to come `in 3 min`."""
    if seconds < -1:
        return f"in {duration(-seconds)}"
    return "just now" if seconds < 2 else f"{duration(seconds)} ago"


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun: `1 submission`, `1,200 submissions`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
