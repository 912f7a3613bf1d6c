"""The envelopes Jebbit's submissions come in, and how their attributes are looked up.

Two shapes are public: test webhooks are an array of ``{"data": {...}, "event": {...}}`` (Jebbit's
guide), deliveries a flat session object (a partner's page). Whether either comes bare or in an
array is not said, so all four are read.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json

from app.jebbit.documents import WRITTEN_TWICE, load, load_closely, one_of, quick, quotes
from app.jebbit.folding import fold, letters_of
from app.jebbit.keys import Keys, keys_of
from app.jebbit.nested import Named, Nested, nesting, plain_values
from app.jebbit.url_parameters import UrlParameters, read_parameters

MAX_ITEMS = 1_000
MAX_KEYS = 2_000


class UnreadableBody(Exception):
    """A signed body that is not JSON objects; the message says what it is instead."""


class TooManyItems(Exception):
    """More items in one webhook than we take at once."""


class Attribute(NamedTuple):
    """An attribute as found in a submission.

    `doubt` says why the value may have come from the page's URL, which anyone can write; None where
    nothing speaks for that.
    """

    key: str
    value: JsonValue
    doubt: str | None = None

    @property
    def trusted(self) -> bool:
        """Whether the value may speak for the person."""
        return self.doubt is None

    @property
    def is_present(self) -> bool:
        """Whether there is a value: null and blank count as absent."""
        return is_present(self.value)


@dataclass(frozen=True)
class Submission:
    """One person's answers in one experience, as Jebbit sent them."""

    attributes: Mapping[str, JsonValue]
    _keys: Keys = field(init=False, repr=False, compare=False)
    _url: UrlParameters = field(init=False, repr=False, compare=False)
    # Why a value may have come from the page's URL, by its key; nearly always none.
    _doubts: Mapping[str, str] = field(init=False, repr=False, compare=False)
    # The values that hold others; mostly none.
    _nests: Sequence[JsonValue] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what every look-up needs."""
        keys = keys_of(tuple(self.attributes))
        url = read_parameters(self.attributes, keys)
        object.__setattr__(self, "_keys", keys)
        object.__setattr__(self, "_url", url)
        object.__setattr__(self, "_doubts", _doubts(url, keys))
        object.__setattr__(self, "_nests", nesting(_values_of_people(self.attributes)))

    @property
    def in_order(self) -> Mapping[str, JsonValue]:
        """The attributes in the order of their keys: equal contents are so written alike."""
        return {key: self.attributes[key] for key in self._keys.in_order}

    def find(self, name: str) -> Attribute | None:
        """Look an attribute up by its exact key, else by its folded one; None where it is absent.

        Null and blank values count as absent: the next key of the same name is looked at.
        """
        value = self.attributes.get(name)
        if is_present(value):
            return Attribute(name, value, self._doubts.get(name))
        for key in self._keys.find(name):
            value = self.attributes[key]
            if is_present(value):
                return Attribute(key, value, self._doubts.get(key))
        return None

    def find_all(self, name: str) -> Sequence[Attribute]:
        """Return every attribute that has this name in some spelling, null and blank ones too."""
        keys = self._keys.find(name)
        if not keys:
            return ()
        attributes, doubts = self.attributes, self._doubts
        return [Attribute(key, attributes[key], doubts.get(key)) for key in keys]

    def find_alike(self, name: str) -> Sequence[Attribute]:
        """Return what stands under keys that are no spelling of this name but plainly mean it.

        They have its letters and digits: `optIn`, `opt.in`; or they stand within a value.
        """
        keys = self._keys.alike(name)
        if not self._nests:
            return self._under(keys) if keys else ()
        return [*self._under(keys), *self._within(self._nested.under(letters_of(name)))]

    def find_resembling(self, name: str) -> Sequence[Attribute]:
        """Return what stands under its own keys of this name's letters that are no spelling of it.

        What stands within values is left out: it may be of something else, `phone.is_valid`.
        """
        return self._under(self._keys.alike(name))

    def find_like_any(self, names: Sequence[str]) -> Sequence[Attribute]:
        """Return what stands under keys, at any depth, with the letters of one of some names."""
        keys = self._keys.like_any(names)
        if not self._nests:
            return self._under(keys) if keys else ()
        inner = (found for name in names for found in self._nested.under(letters_of(name)))
        return [*self._under(keys), *self._within(inner)]

    def find_matching(self, letters: re.Pattern[str]) -> Sequence[Attribute]:
        """Return what stands under keys, at any depth, in whose letters a pattern is found."""
        keys = self._keys.matching(letters)
        if not self._nests:
            return self._under(keys) if keys else ()
        return [*self._under(keys), *self._within(self._nested.matching(letters))]

    def find_beside(self, name: str) -> Sequence[Attribute]:
        """Return what stands beside this name: `{"name": "opt_in", "value": "no"}`."""
        return self._within(self._nested.beside(letters_of(name))) if self._nests else ()

    def find_opting(self, known: Sequence[str]) -> Sequence[Attribute]:
        """Return what stands under or beside names that speak of opting and are like none known."""
        keys = self._keys.opting(known)
        if not self._nests:
            return self._under(keys) if keys else ()
        return [*self._under(keys), *self._within(self._nested.of_opting(known))]

    @cached_property
    def _nested(self) -> Nested:
        return Nested(self._nests)

    def _under(self, keys: Sequence[str]) -> Sequence[Attribute]:
        return [Attribute(key, self.attributes[key], self._doubts.get(key)) for key in keys]

    def _within(self, found: Iterable[Named]) -> Sequence[Attribute]:
        return [Attribute(name, value, self._url.reading(fold(name))) for name, value in found]


def _values_of_people(attributes: Mapping[str, JsonValue]) -> Collection[JsonValue]:
    """Return the values but those by which Jebbit describes attributes: nobody answered them."""
    return [value for key, value in attributes.items() if key not in _OF_JEBBIT]


# `{"attribute_types": {"opt_in": ...}}`, and the choices of a form's fields (Jebbit's session).
_OF_JEBBIT: Final = frozenset(("$metadata", "form_field_dropdown_values"))


def _doubts(parameters: UrlParameters, keys: Keys) -> Mapping[str, str]:
    """Say why a value may have come from the page's URL, by its key."""
    by_name = keys.by_name
    if parameters.unread is None and by_name.keys().isdisjoint(parameters.readings):
        return {}
    read = {key: parameters.reading(name) for name in by_name for key in by_name[name]}
    return {key: reading for key, reading in read.items() if reading is not None}


def is_present(value: JsonValue) -> bool:
    """Whether there is a value: null and blank count as absent."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None


def with_inner(found: Iterable[Attribute]) -> Iterator[Attribute]:
    """Yield each attribute, and again with each plain value that its value holds.

    What a person said may stand within: `{"value": "no"}`, two values under a key written twice. A
    value within the values of two attributes comes with the first alone.
    """
    seen: dict[int, JsonValue] = {}
    for each in found:
        yield each
        for value in plain_values(each.value, seen):
            if value is not each.value:
                yield each._replace(value=value)


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
    document = _as_list(_json(load, body))
    if len(document) > MAX_ITEMS:
        raise TooManyItems(f"The body holds {len(document)} items; at most {MAX_ITEMS} are taken.")
    items = list(_items(document))
    infinite = any(_INFINITY in each.payload for each in items)
    if not infinite and quotes(body) == sum(quotes(each.payload) for each in items):
        return items
    return list(_items(_as_list(_json(load_closely, body))))  # it tells keys written twice


def read(payload: bytes) -> Submission | None:
    """Read one item's kept payload again; None where it is no submission."""
    try:
        attributes = _attributes(_json(load, payload))
    except UnreadableBody:
        return None
    return Submission(attributes) if attributes else None


def _json(read_it: Callable[[bytes], JsonValue], body: bytes) -> JsonValue:
    try:
        return read_it(body)
    except ValueError as error:
        raise UnreadableBody(f"The body is not JSON: {error}.") from None


def _as_list(document: JsonValue) -> list[JsonValue]:
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list):
        raise UnreadableBody("The body is JSON, but neither an object nor an array of objects.")
    return document


_INFINITY: Final = b'Infinity"'  # how 1e999 is written out again: with quotes it did not have


def _items(entries: list[JsonValue]) -> Iterator[Item]:
    for entry in entries:
        # 1e999 reads as infinity, which JSON cannot say: from here on it is a word.
        payload = to_json(entry, inf_nan_mode="strings")
        attributes = _attributes(quick(payload) if _INFINITY in payload else entry)
        if attributes is None:
            yield Item(payload, None)
        elif attributes:  # an envelope without attributes holds no submission
            yield Item(payload, Submission(attributes))


def _attributes(entry: JsonValue) -> Mapping[str, JsonValue] | None:
    """Return an entry's attributes, or None where it is not of a known form."""
    if not isinstance(entry, dict):
        return None
    attributes: Mapping[str, JsonValue] | None = entry
    data = entry.get("data")
    if isinstance(data, dict):
        beside = {key: entry[key] for key in entry if not _is_of_envelope(key, entry[key])}
        attributes = None if WRITTEN_TWICE in data else _merged(beside, data)
    elif "data" in entry and entry.keys() <= _ENVELOPE:
        return None
    return attributes if attributes is not None and len(attributes) <= MAX_KEYS else None


def _merged(
    beside: Mapping[str, JsonValue], data: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue]:
    """Join what stands in `data` and beside it; who says two things is not understood."""
    merged = {**beside, **data}
    for key in beside.keys() & data.keys():
        if beside[key] != data[key]:
            merged[key] = one_of([data[key], beside[key]])
    return merged


_ENVELOPE = frozenset(("data", "event"))
_OF_EVENTS = frozenset(("event_number",))


def _is_of_envelope(key: str, value: JsonValue) -> bool:
    """Whether a key of the envelope says nothing of the person.

    What else an event holds counts as what stands beside `data`: the page's URL, or a no.
    """
    if key == "event":
        return isinstance(value, dict) and value.keys() <= _OF_EVENTS
    return key == "data"
