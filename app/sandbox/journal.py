"""The journal: every request to Cordial, as the sandbox saw it."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from app.sandbox.calls import Call
from app.sandbox.faults import FaultKind


@dataclass(slots=True)
class JournalEntry:
    """One request, noted as it starts. Times are Unix seconds.

    `path` is as sent (percent-encoded), `key` the last four characters of the API key, `email`
    the address in the body. `ended` stays None while it runs, `status` where no answer was sent;
    `left` is when the caller hung up on a slow answer.
    """

    n: int
    started: float
    method: str
    path: str
    key: str | None
    ended: float | None = None
    status: int | None = None
    body: JsonValue = None
    fault: FaultKind | None = None
    email: str | None = None
    left: float | None = None


class Journal:
    """Every request to Cordial, in order of arrival; overlapping ones overlap here too."""

    def __init__(self) -> None:
        self._entries: list[JournalEntry] = []
        self._last = 0

    def __iter__(self) -> Iterator[JournalEntry]:
        """Go through the entries, oldest first."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def open(self, call: Call, now: float) -> JournalEntry:
        """Note a request that starts now; the caller fills in the rest."""
        self._last += 1
        key = call.key[-4:] if call.key else None
        entry = JournalEntry(self._last, now, call.method, call.path, key)
        self._entries.append(entry)
        return entry

    def after(self, n: int) -> list[JournalEntry]:
        """Return the entries numbered above n."""
        return self._entries[max(0, len(self._entries) - self._last + n) :]

    def clear(self) -> None:
        """Drop all entries; the numbers go on, so a reader's `after` stays valid."""
        self._entries.clear()
