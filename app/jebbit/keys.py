"""What follows from a submission's keys alone: the sessions of one experience mostly share them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from app.jebbit.folding import fold, letters_of

_MOST_KEPT: Final = (
    200  # keys of which we remember what follows, and characters of each in the mean
)
_CHARACTERS_EACH: Final = 64

# A key that may hold a name and its value: a `=`, however encoded.
_ASSIGNS: Final = re.compile(r"[=%\\\uff1d\ufe66]|&(?:#|equals)")

# Keys that speak of opting in or out, whatever an integration calls its own: `email_opt_out`.
_OPTED: Final = "opt(?:ed|ing|me|us)?"
_WANTS_NONE: Final = "do(?:no|n)t(?:e?mail|contact|call|text|send)"
_OPTING: Final = re.compile(f"{_OPTED}(?:in|out)|subscri|{_WANTS_NONE}")
OPTING_OUT: Final = re.compile(f"{_OPTED}out|unsubscri|{_WANTS_NONE}")
"""Found in the letters of those of them that speak of opting out."""

# Keys under which the page's address or its parameters stand, in Jebbit's form or one like it.
_PAGE: Final = re.compile("url|uri|href|link|page|param|query|referr?er|location")


@dataclass(frozen=True, slots=True)
class Keys:
    """A submission's keys: by their folded name, as sent; in order; and by what they speak of.

    Under those of a page stand its address or its parameters; `others` are the rest. `assigning`
    may be an address or a query themselves.
    """

    by_name: Mapping[str, Sequence[str]]
    in_order: Sequence[str]
    of_page: Sequence[str]
    others: Sequence[str]
    assigning: Sequence[str]
    _found: dict[str, Sequence[str]] = field(default_factory=dict, compare=False)
    _alike: dict[str, Sequence[str]] = field(default_factory=dict, compare=False)
    _like: dict[Sequence[str], Sequence[str]] = field(default_factory=dict, compare=False)
    _opting: dict[Sequence[str], Sequence[str]] = field(default_factory=dict, compare=False)
    _matching: dict[re.Pattern[str], Sequence[str]] = field(default_factory=dict, compare=False)

    def find(self, name: str) -> Sequence[str]:
        """Return the keys that are spellings of a name, in the order they were sent.

        What was found is remembered: the names asked for are those of our configuration.
        """
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self.by_name.get(fold(name), ())
        return found

    def alike(self, name: str) -> Sequence[str]:
        """Return the keys that have the letters of a name and are no spelling of it."""
        alike = self._alike.get(name)
        if alike is None:
            alike = self._alike[name] = [
                key
                for folded, keys in self.by_name.items()
                if folded != fold(name) and is_alike(folded, name)
                for key in keys
            ]
        return alike

    def like_any(self, names: Sequence[str]) -> Sequence[str]:
        """Return the keys that have the letters of one of some names; the same each time."""
        like = self._like.get(names)
        if like is None:
            like = self._like[names] = [
                key
                for keys in self.by_name.values()
                for key in keys
                if any(is_alike(key, name) for name in names)
            ]
        return like

    def matching(self, letters: re.Pattern[str]) -> Sequence[str]:
        """Return the keys in whose letters a pattern is found; the same patterns each time."""
        matching = self._matching.get(letters)
        if matching is None:
            matching = self._matching[letters] = [
                key for key in self.in_order if letters.search(letters_of(key))
            ]
        return matching

    def opting(self, known: Sequence[str]) -> Sequence[str]:
        """Return the keys that speak of opting in or out and are none of, or like, those known."""
        opting = self._opting.get(known)
        if opting is None:
            opting = self._opting[known] = [
                key for keys in self.by_name.values() for key in keys if is_of_opting(key, known)
            ]
        return opting


def is_alike(key: str, name: str) -> bool:
    """Whether a key has the letters and digits of a name, if it has any."""
    return letters_of(key) == letters_of(name) != ""


def keys_of(keys: tuple[str, ...]) -> Keys:
    """Return what follows from keys as sent; remembered where they are few and short."""
    few = len(keys) <= _MOST_KEPT and sum(map(len, keys)) <= _MOST_KEPT * _CHARACTERS_EACH
    return _known(keys) if few else _keys_of(keys)


def speaks_of_opting(key: str) -> bool:
    """Whether a key, by its letters, is about opting in or out, whoever it is of."""
    return _OPTING.search(letters_of(key)) is not None


def is_of_opting(key: str, known: Sequence[str]) -> bool:
    """Whether a key speaks of opting in or out and has the letters of no known name."""
    return speaks_of_opting(key) and not any(is_alike(key, name) for name in known)


def speaks_of_page(key: str) -> bool:
    """Whether the page's address or its parameters may stand under a key."""
    return _PAGE.search(fold(key)) is not None


def _keys_of(keys: tuple[str, ...]) -> Keys:
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(fold(key), []).append(key)
    of_page = dict.fromkeys(filter(speaks_of_page, keys))
    others = [key for key in keys if key not in of_page]
    assigning = [key for key in keys if _ASSIGNS.search(key)]
    return Keys(by_name, sorted(keys), list(of_page), others, assigning)


_known = lru_cache(maxsize=32)(_keys_of)
