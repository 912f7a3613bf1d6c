"""Query parameters: one that a call does not know, or that comes twice, is refused.

A flag that is passed over because of a slip would do what nobody asked for: `?dryrun=true` would
change things. Which names a call knows is read from the signature of its handler.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from http import HTTPStatus
from typing import Annotated, overload

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from pydantic import PlainValidator, WithJsonSchema

from app.api.problems import Place, Problem

_LONGEST_SHOWN = 60  # characters of an unknown name
_NEARLY = 0.6  # difflib's measure
_HOLLOW = re.compile(r"[^a-z0-9]+")


def known_to(dependant: Dependant) -> Sequence[str]:
    """Return the names of the query parameters that a handler takes."""
    return [each.alias for each in get_flat_params(dependant) if isinstance(each.field_info, Query)]


def refuse_others(given: Iterable[tuple[str, str]], known: Sequence[str]) -> None:
    """Refuse a query with names that are not known, or that are repeated.

    Raises:
        Problem: 422; it names each, and the known one that may be meant.
    """
    names = [name for name, _ in given]
    wrong = [
        Place(place=name[:_LONGEST_SHOWN], detail=_unknown(name, known))
        for name in dict.fromkeys(names)
        if name not in known
    ]
    wrong += [
        Place(place=name, detail="is given several times; give it once.")
        for name in known
        if names.count(name) > 1
    ]
    if wrong:
        detail = "; ".join(f"{each.place}: {each.detail}" for each in wrong)
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=wrong)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that may be meant by another; case and separators do not matter."""
    plain = {_HOLLOW.sub("", each.lower()): each for each in known}
    near = get_close_matches(_HOLLOW.sub("", name.lower()), list(plain), 1, _NEARLY)
    return plain[near[0]] if near else None


def _unknown(name: str, known: Sequence[str]) -> str:
    if near := nearest(name, known):
        return f"is no parameter of this call. Do you mean {near}?"
    if not known:
        return "is no parameter of this call; it takes none."
    return f"is no parameter of this call. It takes {', '.join(known)}."


# --- Times ----------------------------------------------------------------------------------------

_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UNIX = re.compile(r"[0-9]{9,10}(\.[0-9]+)?", re.ASCII)
_LOST_PLUS = re.compile(r"(?<=:[0-9]{2})((?:[.,][0-9]+)?) (?=[0-9]{2}:?[0-9]{2}$)", re.ASCII)
_WANTED = "write it as 2026-11-26T14:00:00Z, as 2026-11-26, or as 90m, 24h or 7d before now."


def _read(given: object) -> datetime | timedelta:
    text = given.strip().lower() if isinstance(given, str) else ""
    if span := _SPAN.fullmatch(text):
        return timedelta(**{_UNITS[span[2]]: int(span[1])})
    if _UNIX.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC)
    try:
        # A form's "+" arrives as a space, if whoever pasted the time did not encode it.
        read = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+", text).upper())
    except ValueError:
        raise ValueError(_WANTED) from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


Moment = Annotated[
    datetime | timedelta,
    PlainValidator(_read),
    WithJsonSchema({"type": "string", "examples": ["2026-11-26T14:00:00+00:00", "24h"]}),
]
"""A time as people write and paste it, or how long before now. Without a zone it is UTC."""


@overload
def seconds(moment: datetime | timedelta, now: float) -> float: ...
@overload
def seconds(moment: datetime | timedelta | None, now: float) -> float | None: ...
def seconds(moment: datetime | timedelta | None, now: float) -> float | None:
    """Return a moment in unix seconds."""
    if isinstance(moment, timedelta):
        return now - moment.total_seconds()
    return None if moment is None else moment.timestamp()
