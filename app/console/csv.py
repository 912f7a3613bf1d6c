"""Lists as files for a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime

from app.console import words
from app.console.state import Visit
from app.console.times import Times
from app.ledger.submissions import StoredSubmission
from app.operations import submissions
from app.operations.submissions import Page, Wanted

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # with which a spreadsheet begins to calculate
MARK = "\ufeff"
"""Begins a file: it tells spreadsheets that the file is UTF-8."""

_AT_ONCE = 500


def line(cells: Iterable[object]) -> str:
    """Return one line of a file; text that a spreadsheet would take for a formula stays text."""
    written = io.StringIO()
    csv.writer(written).writerow([_cell(each) for each in cells])
    return written.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip().startswith(_FORMULA):
        return "'" + value
    return value


async def of_submissions(visit: Visit, wanted: Wanted, page: Page) -> AsyncIterator[str]:
    """Yield what matches, newest first, beginning with a page that was read already."""
    zone = visit.times.zone_name
    yield MARK + line(
        [
            *("id", "integration", "status", "reason", "outcome", "received (UTC)"),
            *(f"received ({zone})", "settled (UTC)", f"settled ({zone})", "warnings"),
            "Cordial contact",
        ]
    )
    while True:
        yield "".join(line(_cells(visit, each)) for each in page.submissions)
        if page.next_before is None:
            return
        page = await submissions.list_submissions(
            visit.context, visit.who, wanted, limit=_AT_ONCE, before=page.next_before
        )


def _cells(visit: Visit, stored: StoredSubmission) -> Sequence[object]:
    return [
        stored.id,
        stored.integration_id,
        stored.status.value,
        stored.reason,
        words.brief(stored.status, stored.reason),
        *both(visit.times, stored.received_at),
        *both(visit.times, stored.settled_at),
        "; ".join(str(each.get("code", "")) for each in stored.warnings),
        stored.cordial_contact_id,
    ]


def both(times: Times, at: float | None) -> tuple[str, str]:
    """Return a time in UTC and in the reader's zone."""
    if at is None:
        return "", ""
    utc = datetime.fromtimestamp(at, UTC)
    local = utc.astimezone(times.zone)
    return f"{utc:%Y-%m-%d %H:%M:%S}", f"{local:%Y-%m-%d %H:%M:%S}"
