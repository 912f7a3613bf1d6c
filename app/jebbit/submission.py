"""The envelopes Jebbit's submissions come in, and how their attributes are looked up.

Two shapes are public: test webhooks are an array of ``{"data": {...}, "event": {...}}`` (Jebbit's
guide), deliveries a flat session object (a partner's page). Whether either comes bare or in an
array is not said, so all four are read.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from pydantic import JsonValue
from pydantic_core import from_json, to_json

MAX_ITEMS = 1_000


class UnreadableBody(Exception):
    """A signed body that is not JSON objects; the message says what it is instead."""


class TooManyItems(Exception):
    """More items in one webhook than we take at once."""


@dataclass(slots=True)
class Attribute:
    """An attribute as found in a submission; not to be changed.

    `trusted` is False where the value may have come from the page's URL, which anyone can write.
    """

    key: str
    value: JsonValue
    trusted: bool


@dataclass(slots=True)
class Submission:
    """One person's answers in one experience, as Jebbit sent them; not to be changed."""

    attributes: Mapping[str, JsonValue]
    _keys: "_Keys" = field(init=False, compare=False)
    _url_keys: Set[str] | None = field(default=None, init=False, compare=False)  # once asked for

    def __post_init__(self) -> None:
        """Fold the keys, as some name is nearly always looked up that is not among them."""
        self._keys = _keys_of(tuple(self.attributes))

    @property
    def in_order(self) -> Mapping[str, JsonValue]:
        """The attributes in the order of their keys: equal contents are so written alike."""
        attributes = self.attributes
        return {key: attributes[key] for key in self._keys.in_order}

    def find(self, name: str) -> Attribute | None:
        """Look an attribute up: by its exact key, else ignoring case with spaces as underscores.

        Null and blank values count as absent. Jebbit repeats URL parameters as top-level keys, so
        a key that also occurs in `url_params` is found but not trusted.
        """
        key: str | None = name
        value = self.attributes.get(name)
        if value.__class__ is not str or not value.strip():
            key, value = self.look_up(name)
        if key is None:
            return None
        url_keys = self._url_keys
        if url_keys is None:
            url_keys = self._url_keys = self._read_url_keys()
        return Attribute(key, value, key not in url_keys)

    def look_up(self, name: str) -> tuple[str | None, JsonValue]:
        """Return what `find` finds as key and value, None and None where it is absent.

        For those who need not ask whether to believe it, as most need not.
        """
        key: str = name
        value = self.attributes.get(name)
        if value is None:
            keys = None if name in self.attributes else self._keys.by_name.get(_folded(name))
            if keys is None:
                return _ABSENT
            key = keys[0]
            value = self.attributes[key]
        if value is None or (value.__class__ is str and not value.strip()):
            return _ABSENT
        return key, value

    def _read_url_keys(self) -> Set[str]:
        """Return the keys that the page's URL has too, however spelled, `url_params` included."""
        by_name = self._keys.by_name
        if (given := by_name.get("url_params")) is None:
            return _NO_KEYS
        keys: set[str] = set()
        for each in given:
            for name in _parameter_names(self.attributes[each]):
                if named := by_name.get(fold(name)):
                    keys.update(named)
        return keys


_ABSENT = None, None
_NO_KEYS: Set[str] = frozenset()


class _Keys(NamedTuple):
    """A submission's keys: by their folded name, those of one name as sent; and in order."""

    by_name: Mapping[str, Sequence[str]]
    in_order: Sequence[str]


@lru_cache(maxsize=32)  # the sessions of an experience mostly have the same keys
def _keys_of(keys: tuple[str, ...]) -> _Keys:
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(fold(key), []).append(key)
    return _Keys(by_name, sorted(keys))


def _parameter_names(value: JsonValue) -> Iterable[str]:
    """Return the names in a query string, whole or as part of a URL, or in an object.

    Jebbit documents a query-string encoded text; the other forms are read too, since a name that is
    missed here is a name that is believed.
    """
    match value:
        case str() if value.lstrip().startswith("{"):
            try:
                return _parameter_names(_from_json(value.encode()))
            except ValueError:
                return ()
        case str():
            return _names_in_query(value)
        case dict():
            return value
        case list():
            return [name for item in value for name in _parameter_names(item)]
        case _:
            return ()


def _names_in_query(value: str) -> Sequence[str]:
    text = value if "=" in value else unquote(value)  # encoded once more, as a whole
    query = text.rpartition("?")[2].strip().replace("&amp;", "&")
    names = [part.partition("=")[0] for part in query.split("&") if part]
    escaped = "%" in query or "+" in query
    return [unquote_plus(name) for name in names] if escaped else names


def fold(name: str) -> str:
    """Return a name as it is compared: `Phone Number` and `phone_number` are the same."""
    return name.strip().lower().replace(" ", "_")


_folded = lru_cache(maxsize=1_000)(fold)  # for names that an integration asks for: they are few


class Item(NamedTuple):
    """One entry of a webhook: its JSON as received, and the submission read from it.

    `submission` is None where the entry is no object: it is kept all the same, for a person to see.
    """

    payload: bytes
    submission: Submission | None


def parse(body: bytes) -> list[Item]:
    """Split a webhook's body into its items, in order.

    Raises:
        UnreadableBody: not JSON, or neither an object nor an array.
        TooManyItems: an array of more than `MAX_ITEMS`.
    """
    document = _load(body)
    if isinstance(document, dict):
        document = [document]
    if not isinstance(document, list):
        raise UnreadableBody("The body is JSON, but neither an object nor an array of objects.")
    if len(document) > MAX_ITEMS:
        raise TooManyItems(f"The body holds {len(document)} items; at most {MAX_ITEMS} are taken.")
    return list(_items(document))


def read(payload: bytes) -> Submission | None:
    """Read one item's kept payload again; None where it is no submission."""
    try:
        attributes = _attributes(_load(payload))
    except UnreadableBody:
        return None
    return Submission(attributes) if attributes else None


def _load(body: bytes) -> JsonValue:
    try:
        return _from_json(body)
    except ValueError:
        return _load_lenient(body)


def _load_lenient(body: bytes) -> JsonValue:
    """Read what other JSON readers take too: a byte order mark, half of a surrogate pair.

    Half a pair (an emoji cut by a length limit) has no UTF-8 form; it becomes a question mark.
    """
    try:
        text = json.dumps(json.loads(body, parse_constant=_refuse_constant), ensure_ascii=False)
        return _from_json(text.encode("utf-8", errors="replace"), infinity=True)
    except (ValueError, RecursionError) as error:
        raise UnreadableBody(f"The body is not JSON: {error}.") from None


def _from_json(body: bytes, *, infinity: bool = False) -> JsonValue:
    document: JsonValue = from_json(body, allow_inf_nan=infinity, cache_strings="keys")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _items(entries: list[JsonValue]) -> Iterator[Item]:
    for entry in entries:
        # 1e999 reads as infinity, which JSON cannot say: from here on it is a word.
        payload = to_json(entry, inf_nan_mode="strings")
        attributes = _attributes(_from_json(payload) if b'Infinity"' in payload else entry)
        if attributes is None:
            yield Item(payload, None)
        elif attributes:  # an envelope without attributes holds no submission
            yield Item(payload, Submission(attributes))


def _attributes(entry: JsonValue) -> dict[str, JsonValue] | None:
    """Return an entry's attributes, or None where it is not of a known form."""
    if not isinstance(entry, dict):
        return None
    data = entry.get("data")
    if isinstance(data, dict):
        beside = {key: value for key, value in entry.items() if key not in _ENVELOPE}
        return {**beside, **data}
    if "data" in entry and entry.keys() <= _ENVELOPE:
        return None
    return entry


_ENVELOPE = frozenset(("data", "event"))
