"""Which names may have come from the page's URL, which anyone can write.

Jebbit repeats URL parameters as top-level keys of a submission. Whoever sends a shopper a link can
so say who the shopper is and what they want. We cannot see how Jebbit, a browser or a shop's own
link splits a URL. So we read it in every way and take the union: a name that any reading finds
counts. A name too many costs a look by a person. A name too few subscribes a stranger.
"""

import html
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

from pydantic import JsonValue

from app.jebbit.documents import unpacked
from app.jebbit.folding import compatible, fold
from app.jebbit.keys import Keys, speaks_of_page

# What may be read at most; beyond it every key of the submission may be a parameter.
_MOST_CHARACTERS: Final = 65_536  # of all the texts of a submission, each reading counted
_MOST_READINGS: Final = 16  # of one text: plain, decoded, decoded once more ...
_MOST_NAMED: Final = 1_000_000  # characters of all the names tried

_LONGEST_SHOWN: Final = 64  # characters of a key

_ASSIGNED = re.compile(r"[=:?#;,./{}()\[\]\"'<>|\\\s]")
_BETWEEN_NAMES = re.compile(r"[&?#;]")
_AROUND_NAMES = " \t\r\n\"'[]{}()\\"
_NAMING_KEYS = frozenset(("name", "key", "k", "n", "id", "field"))
# With its semicolon or, as browsers forgive it, without. A number may have any zeros before it, and
# any digits after those that show it to be too high for a character.
_ENTITY = re.compile(
    r"&(?:(#)0*([0-9]{1,8})[0-9]*|(#[xX])0*([0-9a-fA-F]{1,7})[0-9a-fA-F]*"
    r"|([A-Za-z0-9]+(?=;)|amp|lt|gt|quot));?"
)
_SHORT_ESCAPE = re.compile(r"(?:%u|\\u)([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_BACKSLASHED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class UrlParameters:
    """The names that some reading of the page's URL finds, in folded form.

    `readings` tells for each in which text it was found, and how. `unread` says why every name
    counts as found, if one does: there was more to read than we read.
    """

    readings: Mapping[str, tuple[str, str]]
    unread: str | None = None

    def reading(self, name: str) -> str | None:
        """Say where a folded name was found, for a person to read; None if it was not."""
        if found := self.readings.get(name):
            place, how = found
            return f"{place} holds it as {how}"
        return self.unread


def read_parameters(attributes: Mapping[str, JsonValue], keys: Keys) -> UrlParameters:
    """Read the names out of every text of a submission that may hold the page's address.

    Under keys that speak of a page, a URL or parameters we read texts with and without `=`, and the
    keys of objects. Elsewhere we read what stands before a `=`.

    Args:
        attributes: of the submission.
        keys: what follows from their keys.
    """
    page = tuple((key, attributes[key]) for key in keys.of_page)
    # A key may be an address or a query itself.
    others = [
        *_that_may_assign(attributes, keys.others),
        *((key, key) for key in keys.assigning),
    ]
    return _known(page) if not others and _is_short(page) else _read(page, others)


def _is_short(page: Sequence[tuple[str, JsonValue]]) -> bool:
    texts = [text for _, text in page if isinstance(text, str)]
    return len(texts) == len(page) and sum(map(len, texts)) <= _LONGEST_KEPT


def _read(
    page: Iterable[tuple[str, JsonValue]], others: Iterable[tuple[str, JsonValue]] = ()
) -> UrlParameters:
    reader = _Reader()
    try:
        for key, value in page:
            reader.read(key, value, of_page=True)
        for key, value in others:
            reader.read(key, value, of_page=False)
    except _TooMuch:
        return UrlParameters(
            reader.readings, f"more stands in {reader.place} than is read of a URL"
        )
    return UrlParameters(reader.readings)


# Many shoppers come by the same link.
_LONGEST_KEPT: Final = 1_024  # characters of a page's texts whose names are remembered
_known = lru_cache(maxsize=64)(_read)


def _that_may_assign(
    attributes: Mapping[str, JsonValue], others: Sequence[str]
) -> Sequence[tuple[str, JsonValue]]:
    """Return which of the attributes that speak of no page may hold an address: nearly always none.

    One look at all texts together is cheaper than one at each.
    """
    try:
        if not _may_hold_names("\n".join(map(attributes.__getitem__, others))):  # type: ignore[arg-type]
            return ()
    except TypeError:
        pass  # not all are texts
    return [(key, value) for key in others if _may_hold_names(value := attributes[key])]


def _may_hold_names(value: JsonValue) -> bool:
    if isinstance(value, str):
        return "{" in value or _may_assign(value)
    return isinstance(value, list | dict)


def _may_assign(text: str) -> bool:
    """Whether a text can hold a `=`, however encoded."""
    return "=" in text or _is_encoded(text) or not text.isascii()


class _TooMuch(Exception):
    """More stands in a text than is read."""


class _Part(NamedTuple):
    """Values that are to be read; `bare` ones of a page may be a name as they stand."""

    values: Iterable[JsonValue]
    of_page: bool
    bare: bool


class _Reader:
    """Collects names; raises `_TooMuch` before it has cost too much."""

    def __init__(self) -> None:
        self.readings: dict[str, tuple[str, str]] = {}
        self._characters = 0
        self._named = 0

    def read(self, place: str, value: JsonValue, *, of_page: bool) -> None:
        """Read one attribute, part by part: it may be deeper than Python's calls can follow."""
        self.place = place if len(place) <= _LONGEST_SHOWN else f"{place[:_LONGEST_SHOWN]}..."
        waiting = [_Part([value], of_page, bare=True)]
        for part in waiting:  # grows meanwhile
            for each in part.values:
                waiting += self._value(each, part)

    def _value(self, value: JsonValue, part: _Part) -> Iterator[_Part]:
        """Read a value of a part; yield what it holds itself."""
        if isinstance(value, str):
            yield from self._text(value, part)
        elif isinstance(value, list):
            yield part._replace(values=value)
        elif isinstance(value, dict):
            yield part._replace(values=value.keys(), of_page=False)
            for key, item in value.items():
                if part.of_page:
                    self._found(key, "the key of an object")
                page = speaks_of_page(key)
                # A number is the key of a list written as an object.
                names = page or fold(key) in _NAMING_KEYS or key.isdigit()
                yield _Part([item], part.of_page or page, names)

    def _text(self, text: str, part: _Part) -> Iterator[_Part]:
        if not part.of_page:
            if "{" in text:  # it may hold an object with the page's address
                yield part._replace(values=[unpacked(text)])
            if not _may_assign(text):
                return
        for number, reading in enumerate(self._readings_of(text)):
            decoded = " once decoded" if number else ""
            if part.of_page:
                yield _Part([unpacked(reading)], of_page=True, bare=True)
            for name in _assigned(reading, (":", "=") if part.of_page else ("=",)):
                self._found(name, f"a name before a value{decoded}")
            if part.of_page and part.bare:
                for name in _BETWEEN_NAMES.split(reading):
                    if "=" not in name:
                        self._found(name, f"a name without a value{decoded}")

    def _found(self, name: str, how: str) -> None:
        for reading in self._readings_of(name) if _is_encoded(name) else (name,):
            self._add(reading, how)
            if "[" in reading:
                self._add(reading.partition("[")[0], how)

    def _add(self, name: str, how: str) -> None:
        self._named += len(name)
        if self._named > _MOST_NAMED:
            raise _TooMuch
        folded = fold(name.replace("+", " ").strip(_AROUND_NAMES))
        if folded:
            self.readings.setdefault(folded, (self.place, how))

    def _readings_of(self, text: str) -> list[str]:
        """Return a text as it stands, and as each order of decodings makes it."""
        readings = [text]
        for each in readings:  # grows meanwhile
            self._characters += len(each)
            if self._characters > _MOST_CHARACTERS or len(readings) > _MOST_READINGS:
                raise _TooMuch
            readings += dict.fromkeys(new for new in _decoded(each) if new not in readings)
        return readings


def _assigned(text: str, signs: Collection[str]) -> Iterator[str]:
    """Yield whatever may be meant as a name where a text assigns a value.

    For each sign of assignment: the text before it back to the `&` before, and back to every mark
    between, since a mark may be part of a name (`do_you_agree?=yes`) as well as the end of a URL.
    """
    for part in text.split("&"):
        starts = [0]
        for mark in _ASSIGNED.finditer(part):
            if mark[0] in signs:
                for start in starts:
                    yield part[start : mark.start()]
            starts.append(mark.end())


def _is_encoded(text: str) -> bool:
    return "%" in text or "&" in text or "\\" in text


def _character(entity: re.Match[str]) -> str:
    """Return what an entity stands for. Python reads no number of over 4,300 digits."""
    return html.unescape(f"&{''.join(filter(None, entity.groups()))};")


def _unescaped(text: str) -> str:
    """Return a text without JavaScript's escapes.

    They write an emoji as two halves. A half alone is no character, and nothing else reads it.
    """
    halves = _SHORT_ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    return halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decoded(text: str) -> Iterator[str]:
    """Yield what each decoding by itself makes of a text."""
    yield unquote(text)
    yield unquote(text, encoding="latin-1")
    yield _ENTITY.sub(_character, text)
    yield compatible(text)
    if "\\" in text or "%u" in text:
        yield _unescaped(text)
        yield _BACKSLASHED.sub(r"\1", text)
