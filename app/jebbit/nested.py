"""What stands within the values of a submission: in objects, in lists, in texts that are JSON."""

import re
from collections.abc import Collection, Iterator, Sequence

from pydantic import JsonValue

from app.jebbit.documents import WRITTEN_TWICE, unpacked
from app.jebbit.folding import letters_of
from app.jebbit.keys import is_of_opting, speaks_of_opting

_LONGEST_NAME = 64  # characters of a text that may name what stands beside it

Named = tuple[str, JsonValue]
"""A name as it is written, and a value that stands under it or beside it."""


def nesting(values: Collection[JsonValue]) -> Sequence[JsonValue]:
    """Return those of some values that may hold others: mostly none.

    One look at all texts together is cheaper than one at each.
    """
    try:
        text = "\n".join(values)  # type: ignore[arg-type]
        if "{" not in text and "[" not in text:
            return ()
    except TypeError:
        pass  # not all are texts
    return list(filter(_may_nest, values))


def plain_values(value: JsonValue, seen: dict[int, JsonValue]) -> Iterator[JsonValue]:
    """Yield the plain values that a value holds, at any depth, or that its text is in JSON.

    `seen` are the objects and lists that were looked into before, by `id`: they are left out. It
    holds them, as an `id` is another's once its object is gone.
    """
    waiting = [value]
    for each in waiting:  # grows meanwhile
        if isinstance(each, str):
            inner = unpacked(each)
            if inner is None:
                yield each
            else:
                waiting.append(inner)
        elif not isinstance(each, dict | list):
            yield each
        elif id(each) not in seen:
            seen[id(each)] = each
            waiting += each.values() if isinstance(each, dict) else each


def _may_nest(value: JsonValue) -> bool:
    if isinstance(value, str):
        return "{" in value or "[" in value
    return isinstance(value, dict | list)


class Nested:
    """The names within some values, at any depth, with what stands under and beside them.

    Names are compared by their letters and digits. All is read once, in time with its size.
    """

    def __init__(self, values: Sequence[JsonValue]) -> None:
        self._under: dict[str, list[Named]] = {}
        self._beside: dict[str, list[tuple[str, Sequence[JsonValue]]]] = {}
        self._opting: list[tuple[str, Sequence[JsonValue]]] = []
        waiting = list(values)
        for value in waiting:  # grows meanwhile
            level = unpacked(value) if isinstance(value, str) else value
            if isinstance(level, str):
                waiting.append(level)  # JSON in a text of JSON
            if isinstance(level, dict):
                for key, inner in level.items():
                    self._under.setdefault(letters_of(key), []).append((key, inner))
                if isinstance(twice := level.get(WRITTEN_TWICE), dict):
                    waiting += twice.values()  # each by itself: they do not stand together
                    continue
                level = [each for inner in level.values() for each in _all_written(inner)]
            if isinstance(level, list):
                self._note_texts(level)
                waiting += filter(_may_nest, level)

    def _note_texts(self, level: Sequence[JsonValue]) -> None:
        """Note which texts of an object or list may name the values beside them."""
        texts = [each for each in level if isinstance(each, str) and len(each) <= _LONGEST_NAME]
        for letters, text in {letters_of(each): each for each in texts}.items():
            self._beside.setdefault(letters, []).append((text, level))
        opting = next(filter(speaks_of_opting, texts), None)
        if opting is not None:
            self._opting.append((opting, level))

    def under(self, letters: str) -> Sequence[Named]:
        """Return what stands under keys of these letters."""
        return self._under.get(letters, ()) if letters else ()

    def beside(self, letters: str) -> Iterator[Named]:
        """Yield what stands beside a text of these letters: `["opt_in", "no"]`."""
        return _others(self._beside.get(letters, ()) if letters else ())

    def matching(self, pattern: re.Pattern[str]) -> Iterator[Named]:
        """Yield what stands under keys in whose letters a pattern is found."""
        for letters, found in self._under.items():
            if pattern.search(letters):
                yield from found

    def of_opting(self, known: Sequence[str]) -> Iterator[Named]:
        """Yield what stands under and beside names that speak of opting and are like none known."""
        for letters, found in self._under.items():
            if is_of_opting(letters, known):
                yield from found
        yield from _others([each for each in self._opting if is_of_opting(each[0], known)])


def _all_written(value: JsonValue) -> Collection[JsonValue]:
    """Return the value alone, or all that are written under its key."""
    twice = value.get(WRITTEN_TWICE) if isinstance(value, dict) else None
    return twice.values() if isinstance(twice, dict) else (value,)


def _others(levels: Sequence[tuple[str, Sequence[JsonValue]]]) -> Iterator[Named]:
    return ((text, each) for text, level in levels for each in level if each != text)
