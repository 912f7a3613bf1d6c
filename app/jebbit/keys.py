"""What follows from a submission's keys alone: the sessions of one experience mostly share them."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.jebbit.folding import fold

_MOST_KEPT: Final = (
    200  # keys of which we remember what follows, and characters of each in the mean
)
_CHARACTERS_EACH: Final = 64

# Keys under which the page's address or its parameters stand, in Jebbit's form or one like it.
_PAGE: Final = re.compile("url|uri|href|link|page|param|query|referr?er|location")


@dataclass(frozen=True, slots=True)
class Keys:
    """A submission's keys: by their folded name, as sent; in order; and those that speak of a page.

    Under the last stand the page's address or its parameters.
    """

    by_name: Mapping[str, Sequence[str]]
    in_order: Sequence[str]
    of_page: Set[str]


def keys_of(keys: tuple[str, ...]) -> Keys:
    """Return what follows from keys as sent; remembered where they are few and short."""
    few = len(keys) <= _MOST_KEPT and sum(map(len, keys)) <= _MOST_KEPT * _CHARACTERS_EACH
    return _known(keys) if few else _keys_of(keys)


def speaks_of_page(key: str) -> bool:
    """Whether the page's address or its parameters may stand under a key."""
    return _PAGE.search(fold(key)) is not None


def _keys_of(keys: tuple[str, ...]) -> Keys:
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(fold(key), []).append(key)
    return Keys(by_name, sorted(keys), frozenset(filter(speaks_of_page, keys)))


_known = lru_cache(maxsize=32)(_keys_of)
