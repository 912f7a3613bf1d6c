"""Which submissions a list shows: all of it is in the page's address."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from app.console.errors import UnreadableAddress
from app.ledger.schema import SubmissionStatus
from app.operations.submissions import Wanted

_CODE = re.compile(r"[a-z0-9_-]{1,100}")
_ID = re.compile(r"[0-9a-f]{32}")
_SPAN = re.compile(r"([1-9][0-9]{0,3})([hd])")
_SECONDS = {"h": 3_600.0, "d": 86_400.0}
_LONGEST_ADDRESS = 320
MOST_IDS: Final = 100


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list as its address has them; None does not narrow.

    `since` and `until` are as written: a date and time, or a span such as `24h` before now.
    """

    integration: str | None = None
    status: SubmissionStatus | None = None
    reason: str | None = None
    contact: str | None = None
    since: str | None = None
    until: str | None = None
    ids: Sequence[str] = ()

    @classmethod
    def read(cls, query: QueryParams) -> Self:
        """Read the filters from an address.

        Raises:
            UnreadableAddress: one of them cannot be meant.
        """
        given = {name: query.get(name) or None for name in _NAMES}
        for name in ("integration", "reason"):
            if given[name] and not _CODE.fullmatch(given[name] or ""):
                raise UnreadableAddress(f"No {name} is called like this.")
        status = given.pop("status")
        if status and status not in set(SubmissionStatus):
            raise UnreadableAddress(f"No status is called like this. Use {', '.join(_STATUSES)}.")
        if len(given["contact"] or "") > _LONGEST_ADDRESS:
            raise UnreadableAddress("This is too long for an email address or a phone number.")
        ids = tuple(query.getlist("id"))
        if len(ids) > MOST_IDS or not all(map(_ID.fullmatch, ids)):
            raise UnreadableAddress("These are no ids of submissions.")
        chosen = SubmissionStatus(status) if status else None
        return cls(status=chosen, ids=ids, **given)

    def wanted(self, now: float, zone: tzinfo) -> Wanted:
        """Return them as operations take them; times without a zone are the reader's.

        Raises:
            UnreadableAddress: a time cannot be read.
        """
        return Wanted(
            integration_id=self.integration,
            status=self.status,
            reason=self.reason,
            contact=self.contact,
            since=_moment("since", self.since, now, zone),
            until=_moment("until", self.until, now, zone),
            ids=self.ids or None,
        )

    def but(self, **changes: Any) -> Self:
        """Return them with some changed."""
        return replace(self, **changes)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The filters that narrow, by name, as a form or an address holds them."""
        single = [(name, getattr(self, name)) for name in _NAMES]
        named = [(name, str(value)) for name, value in single if value is not None]
        return named + [("id", each) for each in self.ids]

    @property
    def query(self) -> str:
        """Them as the query of an address."""
        return urlencode(self.pairs)

    @property
    def narrow(self) -> bool:
        """Whether any of them is set."""
        return bool(self.pairs)


_NAMES: Final = tuple(each.name for each in fields(Filters) if each.name != "ids")
_STATUSES: Final = tuple(map(str, SubmissionStatus))

SPANS: Final[Mapping[str | None, str]] = {
    None: "Any time",
    "1h": "Last hour",
    "24h": "Last 24 h",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
}
"""The spans of time that a list offers."""


def _moment(name: str, text: str | None, now: float, zone: tzinfo) -> float | None:
    if text is None:
        return None
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * _SECONDS[span[2]]
    try:
        read = datetime.fromisoformat(text.replace(" ", "+"))
        at = (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise UnreadableAddress(
            f"The time in {name} cannot be read. Write it as 2026-11-26T14:00, or as 24h or 7d."
        ) from None
    return at
