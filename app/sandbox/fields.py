"""Reading the fields of a write: what an attribute or a list takes, and what Cordial keeps."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from math import inf
from typing import TypeAlias

from pydantic import JsonValue

from app.sandbox.account import Account, Json, Validators, zone_of
from app.sandbox.refusals import WrongValue
from app.sandbox.switches import Switches

MAX_CHARACTERS = 128  # of a string, or of one item of an array, where the account sets none. S
GEO_NUMBERS = {"loc.lat", "loc.lon"}
GEO_PARTS = GEO_NUMBERS | {
    "street_address",
    "street_address2",
    "city",
    "state",
    "postal_code",
    "country",
    "countryISO",
    "tz",
}


@dataclass(frozen=True, slots=True)
class Assignment:
    """A new value for an attribute."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class ArrayChange:
    """`{"add": [...]}` or `{"remove": [...]}` in place of a whole list. C."""

    add: list[JsonValue]
    remove: list[JsonValue]

    def applied(self, current: JsonValue, maxitems: int) -> list[JsonValue]:
        """Return the array after the change; of too many items the newest stay."""
        gone = self.remove + self.add  # an item added again counts as new: ?
        kept = [item for item in current if item not in gone] if isinstance(current, list) else []
        return [*kept, *self.add][-maxitems:]


@dataclass(frozen=True, slots=True)
class Membership:
    """The contact joins a list, or leaves it."""

    member: bool


FieldChange: TypeAlias = Assignment | ArrayChange | Membership


def read_field(
    key: str, value: JsonValue, account: Account, switches: Switches
) -> FieldChange | None:
    """Read one field of a write; None if the account does not know its key.

    Raises `WrongValue` for a value of another type or size than the account takes.
    """
    attribute = account.attributes.get(key)
    if key in account.lists and (attribute is None or isinstance(value, bool)):
        return _membership(value)
    if attribute is not None and attribute.type == "array" and isinstance(value, dict):
        return _array_change(value, attribute.validators)
    if attribute is not None:
        read = _READERS[attribute.type]
        return Assignment(read(value, attribute.validators, zone_of(account.timezone)))
    if _is_geo(key, account):
        return Assignment(_read_geo(key, value, switches))
    return None


def _membership(value: JsonValue) -> Membership:
    if not isinstance(value, bool):
        raise WrongValue("must be true or false: it is a list")
    return Membership(value)


def _is_geo(key: str, account: Account) -> bool:
    base, _, part = key.partition(".")
    attribute = account.attributes.get(base)
    return attribute is not None and attribute.type == "geo" and part in GEO_PARTS


def _read_geo(key: str, value: JsonValue, switches: Switches) -> JsonValue:
    if key.partition(".")[2] not in GEO_NUMBERS:
        return _string(value, Validators(), UTC)
    if switches.geo_coordinates == "any" and isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    return _number(value, Validators(), UTC)


def _within(size: float, limits: Validators, default_max: float | None, unit: str) -> None:
    low, high = limits.min, default_max if limits.max is None else limits.max
    if low is not None and size < low:
        raise WrongValue(f"must be at least {low}{unit}")
    if high is not None and size > high:
        raise WrongValue(f"may not be greater than {high}{unit}")


def _string(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    if not isinstance(value, str):
        raise WrongValue("must be a string")
    _within(len(value), limits, MAX_CHARACTERS, " characters")
    return value


def _number(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    # JSON's 1e400 is read as infinity, which no JSON can give back.
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == inf:
        raise WrongValue("must be a number")
    _within(value, limits, None, "")
    return value


def _date(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None:
        raise WrongValue("must be a date in ISO 8601 format")
    # The trap a client must step over: without an offset the account's zone decides. C
    return (read if read.tzinfo else read.replace(tzinfo=zone)).isoformat()


def _items(value: JsonValue, limits: Validators) -> list[JsonValue]:
    if not isinstance(value, list):
        raise WrongValue("must be an array")
    for item in value:
        if not isinstance(item, str):
            _number(item, Validators(), UTC)
        _within(len(str(item)), limits, MAX_CHARACTERS, " characters per item")
    return value


def _array(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    return _items(value, limits)[-limits.maxitems :]


def _array_change(value: Json, limits: Validators) -> ArrayChange:
    if not value or not value.keys() <= {"add", "remove"}:
        raise WrongValue("must be an array, or an object of add and remove")
    return ArrayChange(
        add=_items(value.get("add", []), limits), remove=_items(value.get("remove", []), limits)
    )


def _geo(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    raise WrongValue("geo values are set by dotted keys such as home.city")


_READERS: dict[str, Callable[[JsonValue, Validators, tzinfo], JsonValue]] = {
    "string": _string,
    "number": _number,
    "date": _date,
    "array": _array,
    "geo": _geo,
}
