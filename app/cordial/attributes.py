"""What an account tells of its contact attributes and lists.

Cordial's description says an array of each; working clients read an object by key. What is neither
is no empty account, but an answer that cannot be read.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import JsonValue
from pydantic_core import from_json

from app.cordial.errors import Unavailable, said_against
from app.rules.limits import Limit, Limits
from app.rules.values import FieldType

USUAL_ITEMS = 25  # of an array that says nothing of `maxitems`, by Cordial's description


@dataclass(frozen=True, slots=True)
class AccountAttribute:
    """A contact attribute of an account.

    `type` is None for a type that is not known here; `written` is the type as Cordial writes it.
    `longest` is the validator's maximum: characters of a string (of each value of an array), the
    value of a number. `items` is the most that an array holds.
    """

    key: str
    type: FieldType | None
    written: str
    longest: float | None = None
    items: int | None = None
    required: bool = False

    @property
    def limit(self) -> Limit:
        """The most that it takes."""
        if self.type == "number":
            return Limit(number=self.longest)
        if self.type not in ("string", "array") or self.longest is None or self.longest < 1:
            return Limit(items=self.items)  # no character at all is no maximum: nothing is blanked
        return Limit(int(self.longest), self.items)


@dataclass(frozen=True, slots=True)
class Account:
    """What an account tells of itself; None where the key may not ask, or it does not tell."""

    attributes: Mapping[str, AccountAttribute] | None
    lists: Set[str] | None


def limits_of(attributes: Iterable[AccountAttribute]) -> Limits:
    """Return what attributes take at most, without those that have no limit."""
    limits = {each.key: each.limit for each in attributes}
    return {key: limit for key, limit in limits.items() if limit != Limit()}


def read_attributes(content: bytes) -> list[AccountAttribute]:
    """Read the answer of GET accountcontactattributes.

    Raises:
        Unavailable: it is no list of attributes.
    """
    entries = [each for each in _entries(content) if isinstance(each, dict)]
    read = [_attribute(each) for each in entries if _text(each.get("key"))]
    return _unless_none(read, content)


def read_lists(content: bytes) -> frozenset[str]:
    """Read the names in the answer of GET accountlists.

    Raises:
        Unavailable: it is no list of lists.
    """
    names = [
        _text(each) or _text(each.get("name") if isinstance(each, dict) else None)
        for each in _entries(content, by="name")
    ]
    return frozenset(_unless_none([each for each in names if each], content))


_Read = TypeVar("_Read")


def _unless_none(read: list[_Read], content: bytes) -> list[_Read]:
    """Return what was read; but nothing out of something is no empty account."""
    if not read and _entries(content):
        raise Unavailable("the answer's entries cannot be read")
    return read


def _attribute(entry: dict[str, Any]) -> AccountAttribute:
    written = _text(entry.get("type")) or "unknown"
    kind = _TYPES.get(written.strip().lower())
    validators, options = _object(entry.get("validators")), _object(entry.get("options"))
    items = _number(options.get("maxitems", validators.get("maxitems", USUAL_ITEMS)))
    return AccountAttribute(
        key=entry["key"],
        type=kind,
        written=written,
        longest=_number(validators.get("max")),
        items=int(items) if kind == "array" and items is not None and items >= 1 else None,
        required=validators.get("required") in (True, 1, "1", "true"),
    )


def _entries(content: bytes, by: str = "key") -> list[Any]:
    """Return the entries of an answer; of an object by key, each with its key under `by`."""
    try:
        document: JsonValue = from_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise Unavailable("the answer cannot be read") from None
    if isinstance(document, dict) and not _is_by_key(document):
        if against := said_against(document):
            raise Unavailable(f"the answer is an error: {against}")
        wrapped = [document[key] for key in _WRAPPERS if isinstance(document.get(key), list | dict)]
        if not wrapped:
            raise Unavailable("the answer is no list")
        document = wrapped[0]
    if isinstance(document, dict):
        return [{by: key, **each} for key, each in document.items() if isinstance(each, dict)]
    if not isinstance(document, list):
        raise Unavailable("the answer is no list")
    return document


def _is_by_key(document: dict[str, JsonValue]) -> bool:
    """Whether each value is an entry: an attribute may be called `error` or `data`."""
    return all(
        isinstance(each, dict) and any(name in each for name in ("key", "name", "type", "id"))
        for each in document.values()
    )


_WRAPPERS = ("data", "attributes", "lists", "items", "results", "records")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if abs(number) < 2**53 else None


_TYPES: dict[str, FieldType] = {
    "string": "string",
    "number": "number",
    "date": "date",
    "array": "array",
    "geo": "geo",
}
