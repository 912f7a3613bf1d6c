"""What the page's URL names: `urllib.parse` on every cut of every text and of all it decodes to."""

import html
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_plus

from tests.rules.oracle.documents import JsonObject, load
from tests.rules.oracle.folding import bare, fold_key, squash

_CUTS = re.compile(r"""[?#&;=,/{}()"'<>|\[\]]""")
_PERCENT_U = re.compile(r"%u([0-9a-fA-F]{4})")
_JSON_U = re.compile(r"\\u([0-9a-fA-F]{4})")
_KEY_IN_JSON = re.compile(r"""([^{}\[\],:&?=;"']+)["']?\s*:""")
_PARTS = re.compile(r"[\[\].]+")
_MARKS = frozenset("=&?%#;\\{[:/+")


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


_DECODINGS = (
    unquote,
    unquote_plus,
    html.unescape,
    lambda text: _PERCENT_U.sub(_character, text),
    lambda text: _JSON_U.sub(_character, text),
    lambda text: text.replace("\\/", "/").replace('\\"', '"'),
    lambda text: unicodedata.normalize("NFKC", text),
)


@lru_cache(maxsize=5_000)
def decodings(text: str, most: int = 40) -> tuple[str, ...]:
    """Return a text and all that it may decode to, again and again."""
    seen = {text: None}
    for each in seen_while_growing(seen):
        for decode in _DECODINGS:
            if len(seen) < most:
                seen.setdefault(decode(each))
    return tuple(seen)


def seen_while_growing(seen: dict[str, None]) -> Iterator[str]:
    """Yield the keys of a dict, those as well that are added meanwhile."""
    done = 0
    while done < len(seen):
        keys = list(seen)
        yield from keys[done:]
        done = len(keys)


def _spellings(name: str) -> Iterator[str]:
    """Yield the keys a parameter's name may stand for: `a[opt_in][]` is `a` and `opt_in`."""
    for each in decodings(name, 12):
        yield fold_key(each)
        yield from (fold_key(part) for part in _PARTS.split(each))


class Within(NamedTuple):
    """Where a text stands: in `url_params`, and there as a query or as one parameter's value."""

    params: bool
    query: bool


ELSEWHERE, QUERY, VALUE = Within(False, False), Within(True, True), Within(True, False)


@lru_cache(maxsize=5_000)
def names_in(text: str, within: Within) -> frozenset[str]:
    """Return the keys that a text names as URL parameters, by any reading.

    Names without a value count in a query of `url_params`, and names before a colon, as JSON has
    them, anywhere in `url_params`.
    """
    if not within.params and not _MARKS & set(text):
        return frozenset()
    found: set[str] = set()
    for decoded in decodings(text):
        ends = [0, *(each.end() for each in _CUTS.finditer(decoded))]
        for tail in {decoded[end:] for end in ends}:
            for separator in "&;":
                named = separator.join(each for each in tail.split(separator) if "=" in each)
                for name, _ in parse_qsl(named, keep_blank_values=True, separator=separator):
                    found.update(_spellings(name))
        if within.query:
            for query in {decoded, *decoded.split("?"), *decoded.split("#")}:
                for piece in re.split("[&;]", query):
                    found.update(_spellings(piece.partition("=")[0]))
        if within.params:
            for name in _KEY_IN_JSON.findall(decoded):
                found.update(_spellings(name))
    return frozenset(found - {""})


class UrlNames(NamedTuple):
    """The keys that the page's URL names, and all letters that it may name others with."""

    forbidden: frozenset[str]
    letters: str


@lru_cache(maxsize=20_000)
def _letters_of(text: str) -> str:
    return " ".join(map(squash, decodings(text))) if _MARKS & set(text) else squash(text)


def url_names(item: Any) -> UrlNames:
    """Return what the texts of an item name, at any depth."""
    forbidden: set[str] = set()
    letters: list[str] = []

    def walk(value: Any, within: Within, depth: int) -> None:
        if isinstance(value, str):
            if value:
                forbidden.update(names_in(value, within))
                if bare(value)[:1] in ("{", "[", '"'):
                    with suppress(ValueError):
                        walk(load(bare(value)), within, depth + 1)
                letters.append(_letters_of(value))
        elif isinstance(value, JsonObject):
            for key, inner in value:
                if within.params:
                    forbidden.update(_spellings(key))
                if depth > 1 or _MARKS & set(key):
                    letters.append(_letters_of(key))
                is_query = fold_key(key) == "url_params"
                walk(inner, QUERY if is_query else VALUE if within.params else within, depth + 1)
        elif isinstance(value, list):
            for number, inner in enumerate(value):  # a list in a list is a name and its value
                is_value = within.params and number == 1 and _is_pair(value)
                walk(inner, VALUE if is_value else within, depth + 1)

    enveloped = isinstance(item, JsonObject) and isinstance(dict(item).get("data"), JsonObject)
    walk(item, ELSEWHERE, 0 if enveloped else 1)
    return UrlNames(frozenset(forbidden), " ".join(letters))


def _is_pair(value: list[Any]) -> bool:
    return len(value) == 2 and all(isinstance(each, str) for each in value)
