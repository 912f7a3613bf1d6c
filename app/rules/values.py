"""How one Jebbit value becomes one Cordial value, by the type the mapping names.

Jebbit's values are display strings chosen by the customer; Cordial's attributes are typed and its
API refuses a whole contact for one value of the wrong type, so what does not convert is not sent.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from pydantic import JsonValue
from pydantic_core import from_json

from app.jebbit.folding import fold_label, unescape

FieldType = Literal["string", "number", "date", "array", "geo", "list"]

JOINER = ", "  # between the items of a list that becomes a string, unless a separator is given


class NotConvertible(Exception):
    """The value has no form of the wanted type."""


class Answer(StrEnum):
    """What a yes/no value says."""

    YES = "yes"
    NO = "no"
    NULL = "null"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Labels:
    """A customer's own words for yes and no, in folded form; they count before the usual ones."""

    yes: frozenset[str] = frozenset()
    no: frozenset[str] = frozenset()


# What forms send for yes and no: labels with dashes and spaces as underscores.
_WORDS = {
    **dict.fromkeys("true t 1 yes y on checked ✓ ✔ ☑ ✅".split(), Answer.YES),
    **dict.fromkeys("opted_in opt_in optin subscribed subscribe".split(), Answer.YES),
    **dict.fromkeys("false f 0 no n off unchecked".split(), Answer.NO),
    **dict.fromkeys("opted_out opt_out optout unsubscribed unsubscribe".split(), Answer.NO),
    **dict.fromkeys(("", "null", "none"), Answer.NULL),
}


def answer(value: JsonValue, labels: Labels) -> Answer:
    """Read a yes/no value.

    Form builders send booleans, numbers, words or the label of the box, and a list where several
    boxes share an attribute: one ticked box is a yes, unless another says no. Whatever is not
    understood is `UNCLEAR`.
    """
    match value:
        case str():
            items = _listed(value)
            return _word(value, labels) if items is None else answer(items, labels)
        case None:
            return Answer.NULL
        case bool():
            return Answer.YES if value else Answer.NO
        case float() if value.is_integer():
            return _word(str(int(value)), labels)
        case int() | float():
            return _word(str(value), labels)
        case list():
            return _of_boxes(set(_each(value, labels)))
        case _:
            return Answer.UNCLEAR


def _word(text: str, labels: Labels) -> Answer:
    label = fold_label(text)
    if label in labels.yes:
        return Answer.YES
    if label in labels.no:
        return Answer.NO
    return _WORDS.get(label.replace(" ", "_").replace("-", "_"), Answer.UNCLEAR)


def _each(items: list[JsonValue], labels: Labels) -> Iterator[Answer]:
    """Yield what each item says, those of lists within it too, however deep they are."""
    waiting = list(items)
    for item in waiting:  # grows meanwhile
        inner = _unlisted(item)
        if isinstance(inner, list):
            waiting += inner
        else:
            yield answer(item, labels)


def _of_boxes(answers: set[Answer]) -> Answer:
    if answers == {Answer.NO}:
        return Answer.NO
    return Answer.YES if Answer.YES in answers and Answer.NO not in answers else Answer.UNCLEAR


def agree(answers: Sequence[Answer]) -> Answer:
    """Return what several answers to one question come to.

    A no among them is a no, a yes beside one that is unclear is unclear, and null says nothing
    beside any other.
    """
    for each in _WEIGHTIEST_FIRST:
        if each in answers:
            return each
    return Answer.NULL


_WEIGHTIEST_FIRST = (Answer.NO, Answer.UNCLEAR, Answer.YES)


# What a program writes that has no value, and a template that nobody filled in.
_PLACE = re.compile(r"\{\{[^{}]+\}\}")
_UNFILLED = re.compile(r"undefined|null|NaN|\[object Object\]|\$\{[^{}]+\}|%%[^%]+%%|\*\|[^|]+\|\*")


def is_unfilled(value: JsonValue) -> bool:
    """Whether a text is no answer but the trace of a program's missing value.

    `undefined`, `null`, `NaN`, `[object Object]`, or a template's place such as `{{first_name}}`.
    """
    return isinstance(value, str) and bool(
        _PLACE.search(value) or _UNFILLED.fullmatch(value.strip())
    )


def is_plain(text: str) -> bool:
    """Whether a text becomes a string just as it stands, as nearly all do.

    It has no blanks around it, and nothing that could be a list, an entity or a trace.
    """
    return not (
        text[:1] in "unN%*"  # what a trace without brackets begins with
        or "{" in text
        or "[" in text
        or "&" in text
        or text.strip() != text
    )


_NO_LABELS = Labels()


def convert(
    value: JsonValue,
    to: FieldType,
    separator: str | None = None,
    labels: Labels = _NO_LABELS,
    field: str = "",
) -> JsonValue:
    """Convert a present value; None means that there is nothing to send.

    Args:
        value: the attribute's value, or a rule's default.
        to: the type of the Cordial field.
        separator: what an array's string is split by, and a list's items are joined with.
        labels: the integration's own words for yes and no.
        field: which Cordial field; it matters for the parts of a geo attribute.

    Raises:
        NotConvertible: the value has no such form.
    """
    return converter_of(field, to)(value, separator, labels)


def to_string(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return a string; a list's items are joined, booleans become `true` and `false`."""
    given = _unlisted(value)
    if isinstance(given, list | dict):
        texts = map(_scalar, _chosen(given, labels))
        return (separator or JOINER).join(filter(None, texts)) or None
    return _scalar(given) or None


def to_number(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return an int or a finite float."""
    return _number(value)


def to_latitude(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return degrees as a number, from -90 to 90."""
    return _degrees(value, 90)


def to_longitude(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return degrees as a number, from -180 to 180."""
    return _degrees(value, 180)


def _degrees(value: JsonValue, most: int) -> float:
    degrees = _number(value)
    if abs(degrees) > most:
        raise NotConvertible
    return degrees


def _number(value: JsonValue) -> float:
    if isinstance(value, str):
        text = value.strip()
        if _WHOLE.fullmatch(text):
            value = int(text)
        elif _NUMBER.fullmatch(text):
            value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotConvertible
    return _bounded(value)


_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def to_date(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return ISO 8601 with an explicit offset: without one Cordial reads its own account's zone."""
    return parse_date(value).isoformat()


def parse_date(value: JsonValue) -> datetime:
    """Read a date in any of the forms seen from Jebbit; no zone means UTC.

    `YYYY-MM-DD`, with a time, with ` UTC`, ISO 8601 with or without fractions and zone, and epoch
    seconds (9 or 10 digits) or milliseconds (12 or 13) as a number or as text. Other numbers are no
    dates: a year, a day as `20260304` or a spreadsheet's count of days would all become 1970.

    Raises:
        NotConvertible: none of these.
    """
    text = _scalar(value)
    if len(text) > _LONGEST_DATE:
        raise NotConvertible
    return _read_date(text)


def is_date(value: JsonValue) -> bool:
    """Whether a value is a date in a form that `parse_date` reads."""
    try:
        parse_date(value)
    except NotConvertible:
        return False
    return True


def lasts(value: JsonValue) -> float:
    """Return for how long after `parse_date` a date still means the same, in seconds.

    A day without a time of day lasts until midnight, a time without seconds for its minute.
    """
    match = _DATE.fullmatch(_scalar(value))
    if match is None:
        return 0.0
    clock = match[2]
    if clock is None:
        return _DAY
    return _MINUTE if clock.count(":") == 1 else 0.0


_MINUTE, _DAY = 59.999, 86_399.999  # the next begins after its last millisecond


# A submission's date is read for its order, and once more where the mapping sends it.
@lru_cache(maxsize=64)
def _read_date(text: str) -> datetime:
    if match := _DATE.fullmatch(text):
        return _calendar(*match.groups())
    if match := _EPOCH.fullmatch(text):
        return _UNIX_EPOCH + timedelta(**{str(match.lastgroup): float(text)})
    raise NotConvertible


_LONGEST_DATE = 64  # characters
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:(?:T|t| +)(\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?))?"
    r" *(?:Z|z|UTC|GMT|([+-]\d\d(?::?[0-5]\d)?))?"
)
# Its groups are the units, as timedelta calls them.
_EPOCH = re.compile(
    r"(?P<seconds>[0-9]{9,10}(?:\.[0-9]+)?)|(?P<milliseconds>[0-9]{12,13}(?:\.[0-9]+)?)"
)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _calendar(day: str, clock: str | None, zone: str | None) -> datetime:
    try:
        at = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or 'Z'}")
        at.astimezone(UTC)  # where it may be the year 0
    except (ValueError, OverflowError):
        raise NotConvertible from None
    return at


def to_array(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return a list of scalars; a string is split only where a separator is given.

    An empty one is nothing to send: a list replaces what Cordial holds, and nothing is blanked.
    """
    given = _unlisted(value)
    items: Sequence[JsonValue] = [given]
    if isinstance(given, list | dict):
        items = _chosen(given, labels)
    elif isinstance(given, str) and separator:
        items = given.split(separator)
    return [item for item in map(_item, items) if item != ""] or None


def _item(value: JsonValue) -> JsonValue:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _number(value) if is_number else _scalar(value)


def to_list_membership(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return True or False for a list's membership; null leaves the list alone.

    Raises:
        NotConvertible: neither yes nor no.
    """
    match answer(value, labels):
        case Answer.YES:
            return True
        case Answer.NO:
            return False
        case Answer.NULL:
            return None
        case _:
            raise NotConvertible


Converter = Callable[[JsonValue, str | None, Labels], JsonValue]
"""Takes what `convert` takes, for one type."""

CONVERTERS: Mapping[FieldType, Converter] = {
    "string": to_string,
    "number": to_number,
    "date": to_date,
    "array": to_array,
    "geo": to_string,  # a geo attribute's parts (city, postal_code ...) are strings, but for two
    "list": to_list_membership,
}
_GEO_NUMBERS: Mapping[str, Converter] = {"loc.lat": to_latitude, "loc.lon": to_longitude}


def converter_of(field: str, to: FieldType) -> Converter:
    """Return the converter for a field: a geo attribute's coordinates are numbers."""
    return (to == "geo" and _GEO_NUMBERS.get(field.partition(".")[2])) or CONVERTERS[to]


def _unlisted(value: JsonValue) -> JsonValue:
    items = _listed(value) if isinstance(value, str) else None
    return value if items is None else items


def _listed(text: str) -> list[JsonValue] | None:
    """Return the items of a list that was sent as JSON text: `["red","blue"]`."""
    if "[" not in text:
        return None
    try:  # on bytes, since a text may hold half of a character
        items: JsonValue = from_json(text.strip().encode(errors="replace"))
    except ValueError:
        return None
    return items if isinstance(items, list) else None


def _chosen(value: list[JsonValue] | dict[str, JsonValue], labels: Labels) -> list[JsonValue]:
    """Return what was chosen of a multi-select: a list's items, or an object's ticked keys."""
    if isinstance(value, list):
        return [item for item in value if item is not None]
    flags = {key: answer(flag, labels) for key, flag in value.items()}
    if Answer.UNCLEAR in flags.values():
        raise NotConvertible
    return [key for key, flag in flags.items() if flag is Answer.YES]


def _scalar(value: JsonValue) -> str:
    match value:
        case str():
            return unescape(value).strip()
        case bool():
            return "true" if value else "false"
        case int():  # an id may well be longer than 64 bits
            return str(value)
        case float():
            return str(_bounded(value))
        case _:
            raise NotConvertible


def _bounded(number: float) -> float:
    """Return the number; one that no 64-bit reader would take, infinity included, is refused."""
    if not abs(number) < 2**63:
        raise NotConvertible
    return number
