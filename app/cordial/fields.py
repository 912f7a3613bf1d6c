"""How a name in the configuration fits what a Cordial account has. Pure."""

from collections.abc import Set
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal

from app.cordial.attributes import Account, AccountAttribute
from app.rules.values import FieldType

Fits = Literal["untold", "fits", "both", "case", "other_kind", "missing", "unknown_type", "type"]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a name fits an account.

    `untold`: the account does not tell what it has. `both`: it has an attribute and a list of that
    name. `case`: it has `meant`, which differs in case, spaces, underscores or hyphens alone.
    `other_kind`: it is a list where an attribute is meant, or the other way round. `missing`: there
    is none; `meant` may be what is alike. `unknown_type`: Cordial's type is not known here. `type`:
    the attribute has another type.
    """

    how: Fits
    attribute: AccountAttribute | None = None
    meant: str | None = None


def fit(name: str, kind: FieldType, account: Account) -> Fit:
    """Look a name up among an account's lists, or for any other type among its attributes."""
    attributes, lists = account.attributes, account.lists
    existing: Set[str] | None = lists
    if kind != "list":
        existing = None if attributes is None else attributes.keys()
    if existing is None:
        return Fit("untold")
    attribute = (attributes or {}).get(name)
    other = attribute is not None if kind == "list" else name in (lists or ())
    if name not in existing:
        if near := _near(name, existing):
            return Fit("case", meant=near)
        if other:
            return Fit("other_kind", attribute)
        return Fit("missing", meant=_alike(name, frozenset(existing)))
    if other:
        return Fit("both", attribute)
    if attribute is None or kind == "list":
        return Fit("fits")
    if attribute.type is None:
        return Fit("unknown_type", attribute)
    return Fit("fits" if attribute.type == kind else "type", attribute)


@lru_cache(maxsize=128)  # it takes milliseconds, and who types asks again at each key
def _alike(name: str, existing: frozenset[str]) -> str | None:
    return next(iter(get_close_matches(name, sorted(existing), n=1, cutoff=0.8)), None)


def _near(name: str, existing: Set[str]) -> str | None:
    """Return what is the same but for case, spaces, underscores and hyphens."""
    return {_plain(each): each for each in existing}.get(_plain(name))


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "").replace("_", "").replace("-", "")
