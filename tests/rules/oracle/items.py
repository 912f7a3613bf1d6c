"""An item of a webhook and all that it says under one name."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.rules.oracle.documents import JsonObject, load
from tests.rules.oracle.folding import bare, fold_key, fold_word, squash
from tests.rules.oracle.urls import url_names


class Group(NamedTuple):
    """All that is written under one attribute's name, by whichever spelling of it."""

    values: tuple[Any, ...] = ()
    spoken: tuple[Any, ...] = ()  # the values that say something
    single: tuple[Any, ...] = ()  # those of them whose key has no other value
    forbidden: bool = False  # the page's URL names it
    hidden: bool = False  # it is there, and a stranger may have written it: a blank hides as well
    doubted: bool = False  # a text may name it, by a reading that nobody knows
    written_twice: bool = False  # one key is there twice, with different values


class Alike(NamedTuple):
    """What stands under a key that plainly means a name, and is none of its spellings."""

    value: Any
    forbidden: bool  # the page's URL names it
    doubted: bool  # a text may name it, by a reading that nobody knows
    written_twice: bool  # the key is there twice, with different values


def _within(value: Any) -> Iterator[JsonObject | list[Any]]:
    """Yield the objects and lists in a value, at any depth, those of JSON texts too."""
    if isinstance(value, str) and bare(value)[:1] in ("{", "[", '"'):
        try:
            yield from _within(load(bare(value)))
        except ValueError:
            return
    elif isinstance(value, list):
        yield value
        for inner in _parts(value):
            yield from _within(inner)


def all_said(value: Any) -> Iterator[Any]:
    """Yield a value and all that stand in it, at any depth, in JSON texts too."""
    yield value
    if isinstance(value, list):
        for inner in _parts(value):
            yield from all_said(inner)
    elif isinstance(value, str) and bare(value)[:1] in ("{", "[", '"'):
        try:
            yield from all_said(load(bare(value)))
        except ValueError:
            return


def _parts(level: JsonObject | list[Any]) -> list[Any]:
    return [value for _, value in level] if isinstance(level, JsonObject) else level


def _group(pairs: Sequence[tuple[str, Any]], forbidden: bool, doubted: bool) -> Group:
    written: dict[str, set[str]] = {}
    for key, value in pairs:
        written.setdefault(key, set()).add(_as_text(value))
    values = tuple(value for _, value in pairs)
    return Group(
        values,
        tuple(value for value in values if not _is_blank(value)),
        tuple(value for key, value in pairs if not _is_blank(value) and len(written[key]) == 1),
        forbidden,
        forbidden and bool(values),
        doubted,
        any(len(different) > 1 for different in written.values()),
    )


def _as_text(value: Any) -> str:
    """Return a value as it is compared: `false` and `0` are one."""
    return json.dumps(float(value) if isinstance(value, bool | int) else value)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not fold_word(value))


def _is_number_of(key: str, value: Any) -> bool:
    """Whether it is the envelope's `event`, with nothing in it but its number."""
    return key == "event" and isinstance(value, JsonObject) and {*dict(value)} <= {"event_number"}


class Item:
    """One item of a webhook, as its JSON says it."""

    def __init__(self, document: Any) -> None:
        self.urls = url_names(document)
        data = dict(document).get("data")
        pairs = list(document)
        if isinstance(data, JsonObject):
            pairs = [each for each in pairs if each[0] != "data" and not _is_number_of(*each)]
            for key, value in document:
                if key == "data" and isinstance(value, JsonObject):
                    pairs.extend(value)
        self.pairs = pairs
        self._known: dict[Any, Any] = {}

    def once(self, key: Any, read: Callable[[], Any]) -> Any:
        """Return what was read under this key, which is read once."""
        if key not in self._known:
            self._known[key] = read()
        return self._known[key]

    def group(self, name: str | None, trusted: frozenset[str]) -> Group:
        """Return what the item says under a name; `trusted` are names the URL may write."""
        return self.once((name, trusted), lambda: self._read(name, trusted))

    def alike(self, name: str | None, trusted: frozenset[str]) -> list[Alike]:
        """Return what stands under other keys of the same letters, and under such keys within."""
        return self.once(("alike", name, trusted), lambda: list(self._alike(name, trusted)))

    def _alike(self, name: str | None, trusted: frozenset[str]) -> Iterator[Alike]:
        letters = squash(name or "")
        doubted = letters in self.urls.letters
        inner = (each for each in self._inner() if isinstance(each, JsonObject))
        for number, pairs in enumerate((self.pairs, *inner)):
            meant = [pair for pair in pairs if letters and squash(pair[0]) == letters]
            for key, value in meant:
                if number or fold_key(key) != fold_key(name or ""):
                    forbidden = fold_key(key) in self.urls.forbidden - trusted
                    different = {_as_text(each) for other, each in meant if other == key}
                    yield Alike(value, forbidden, doubted, len(different) > 1)

    def own_alike(self, name: str) -> list[Any]:
        """Return what stands under the item's own keys of a name's letters, but its spellings."""
        same = [pair for pair in self.pairs if squash(pair[0]) == squash(name)]
        return [value for key, value in same if fold_key(key) != fold_key(name)]

    def _inner(self) -> list[JsonObject | list[Any]]:
        described = ("$metadata", "form_field_dropdown_values")  # by Jebbit: nobody's answers
        said = [value for key, value in self.pairs if key not in described]
        return self.once("inner", lambda: [e for value in said for e in _within(value)])

    def beside(self, name: str) -> list[Any]:
        """Return what stands in an object or list beside a text with the letters of a name."""
        found = []
        for level in self._inner():
            parts = _parts(level)
            if any(isinstance(each, str) and squash(each) == squash(name) for each in parts):
                found += [
                    each
                    for each in parts
                    if not isinstance(each, str) or squash(each) != squash(name)
                ]
        return found

    def said_under(self, part: str) -> list[tuple[str, Any]]:
        """Return the keys, at any depth, whose letters hold these, with their values.

        A text of a list or an object is taken as a key too, of all that stands beside it.
        """
        found = [pair for pair in self.pairs if part in squash(pair[0])]
        for level in self._inner():
            if isinstance(level, JsonObject):
                found += [pair for pair in level if part in squash(pair[0])]
            names = [
                each for each in _parts(level) if isinstance(each, str) and part in squash(each)
            ]
            found += [(name, each) for name in names for each in _parts(level) if each != name]
        return found

    def _read(self, name: str | None, trusted: frozenset[str]) -> Group:
        if name is None:
            return Group()
        folded = fold_key(name)
        pairs = [pair for pair in self.pairs if fold_key(pair[0]) == folded]
        if folded in trusted:
            return _group(pairs, False, False)
        doubted = squash(name) in self.urls.letters
        return _group(pairs, folded in self.urls.forbidden, doubted)
