"""How one Jebbit value becomes one Cordial value, by the type the mapping names.

Jebbit's values are display strings chosen by the customer; Cordial's attributes are typed and its
API refuses a whole contact for one value of the wrong type, so what does not convert is not sent.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

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


_WORDS = {
    **dict.fromkeys(("true", "1", "yes", "y", "on", "opted_in"), Answer.YES),
    **dict.fromkeys(("false", "0", "no", "n", "off", "opted_out"), Answer.NO),
    **dict.fromkeys(("", "null", "none"), Answer.NULL),
}


def fold_label(text: str) -> str:
    """Return a label as it is compared: case and spaces do not matter."""
    return " ".join(text.split()).casefold()


def answer(value: JsonValue, labels: Labels) -> Answer:
    """Read a yes/no value.

    Form builders send booleans, numbers, words or the label of the box, and a list where several
    boxes share an attribute: one ticked box is a yes. Whatever is not understood is `UNCLEAR`.
    """
    match value:
        case str():  # first, as the most frequent
            return _word(value, labels)
        case None:
            return Answer.NULL
        case bool():
            return Answer.YES if value else Answer.NO
        case int() | float() if abs(value) < 2**63:
            return _word(f"{value + 0:g}", labels)  # + 0: -0.0 is 0
        case list():
            return _any_yes([answer(item, labels) for item in value])
        case _:
            return Answer.UNCLEAR


def _word(text: str, labels: Labels) -> Answer:
    usual = _WORDS.get(text)
    if usual is not None and not labels.yes and not labels.no:
        return usual
    label = fold_label(text)
    if label in labels.yes:
        return Answer.YES
    if label in labels.no:
        return Answer.NO
    return _WORDS.get(label.replace(" ", "_"), Answer.UNCLEAR)


def _any_yes(answers: list[Answer]) -> Answer:
    if Answer.YES in answers:
        return Answer.YES
    if answers and all(each is Answer.NO for each in answers):
        return Answer.NO
    return Answer.UNCLEAR


def convert(
    value: JsonValue, to: FieldType, separator: str | None = None, labels: Labels | None = None
) -> JsonValue:
    """Convert a present value; None means that there is nothing to send.

    Args:
        value: the attribute's value, or a rule's default.
        to: the type of the Cordial field.
        separator: what an array's string is split by, and a list's items are joined with.
        labels: the integration's own words for yes and no.

    Raises:
        NotConvertible: the value has no such form.
    """
    return CONVERTERS[to](value, separator, labels or Labels())


def to_string(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return a string; a list's items are joined, booleans become `true` and `false`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        items = _chosen(value, labels)
        return (JOINER if separator is None else separator).join(map(_scalar, items)) or None
    return _scalar(value) if value is not None else None


def to_number(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return an int or a finite float."""
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
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


def to_date(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return ISO 8601 with an explicit offset: without one Cordial reads its own account's zone."""
    if iso := _usual_date(value):
        _from_iso(iso)
        return iso
    return parse_date(value).isoformat()


def parse_date(value: JsonValue) -> datetime:
    """Read a date in any of the forms seen from Jebbit; no zone means UTC.

    `YYYY-MM-DD`, with a time, with ` UTC`, ISO 8601 with or without fractions and zone, and epoch
    seconds or milliseconds as a number or digits.

    Raises:
        NotConvertible: none of these.
    """
    if isinstance(value, str):
        text = value.strip()
        if iso := _usual_date(text):
            return _from_iso(iso)
        if match := _DATE.fullmatch(text):
            return _calendar(match)
        if _EPOCH.fullmatch(text):
            value = float(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _epoch(value)
    raise NotConvertible


def _usual_date(value: JsonValue) -> str | None:
    """Return a date in the form that `experience_date` has, as ISO 8601, whether it exists or not.

    It is read three times as fast as all the forms there are.
    """
    usual = _USUAL_DATE.fullmatch(value) if isinstance(value, str) else None
    return f"{usual[1]}T{usual[2]}+00:00" if usual else None


_USUAL_DATE = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC", re.ASCII)
_DATE = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:(?:T|t| +)(?P<minute>\d\d:\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r" *(?P<zone>Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_EPOCH = re.compile(r"[0-9]{9,10}|[0-9]{12,13}", re.ASCII)
_MILLISECONDS_FROM = 100_000_000_000  # as seconds, this is the year 5138
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _calendar(match: re.Match[str]) -> datetime:
    day, minute, second, fraction, zone = match.groups()
    clock = f"{minute or '00:00'}:{second or '00'}"
    if fraction:
        clock += f".{fraction[:6]:0<6}"
    return _from_iso(f"{day}T{clock}{_offset(zone)}")


def _from_iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise NotConvertible from None


def _offset(zone: str | None) -> str:
    if zone is None or zone[0] not in "+-":
        return "+00:00"
    digits = zone[1:].replace(":", "").ljust(4, "0")
    if digits[2:] > "59":
        raise NotConvertible
    return f"{zone[0]}{digits[:2]}:{digits[2:]}"


def _epoch(number: float) -> datetime:
    if _bounded(number) < 0:
        raise NotConvertible
    seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
    try:
        return _UNIX_EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise NotConvertible from None


def to_array(value: JsonValue, separator: str | None, labels: Labels) -> JsonValue:
    """Return a list of scalars; a string is split only where a separator is given.

    An empty one is nothing to send: a list replaces what Cordial holds, and nothing is blanked.
    """
    if isinstance(value, str) and separator:
        items: list[JsonValue] = [part.strip() for part in value.split(separator)]
    elif isinstance(value, list | dict):
        items = _chosen(value, labels)
    else:
        items = [value]
    given = [item for item in items if item != ""]
    return [each if each.__class__ is str else _item(each) for each in given] or None


def _item(value: JsonValue) -> JsonValue:
    if isinstance(value, str | bool) or value is None:
        return _scalar(value)
    return to_number(value, None, Labels())


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
CONVERTERS: Mapping[FieldType, Converter] = {
    "string": to_string,
    "number": to_number,
    "date": to_date,
    "array": to_array,
    "geo": to_string,  # a geo attribute's parts (city, postal_code ...) are strings
    "list": to_list_membership,
}


def _chosen(value: list[JsonValue] | dict[str, JsonValue], labels: Labels) -> list[JsonValue]:
    """Return what was chosen of a multi-select: a list's items, or an object's ticked keys."""
    if isinstance(value, list):
        return [item for item in value if item is not None and item != ""]
    flags = {key: answer(flag, labels) for key, flag in value.items()}
    if Answer.UNCLEAR in flags.values():
        raise NotConvertible
    return [key for key, flag in flags.items() if flag is Answer.YES]


def _scalar(value: JsonValue) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if abs(value) < 10**40:  # an id may well be longer than 64 bits
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
