"""What the account's attributes take at most, and values that are over it.

Cordial refuses a text, an item or a number that is over the maximum, and keeps of too long an array
the newest items. A limit is only known where the account told it; none is guessed.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import JsonValue


class Limit(NamedTuple):
    """The most that an attribute takes; None where that is not known or there is none.

    `characters` is of a text, or of each item of an array.
    """

    characters: int | None = None
    items: int | None = None
    number: float | None = None


Limits = Mapping[str, Limit]
"""By the attribute's key; what has no limit is left out."""


def excess(value: JsonValue, limit: Limit) -> str | None:
    """Say by what a value is over its limit, without the value; None if it is not."""
    match value:
        case str() if limit.characters is not None and len(value) > limit.characters:
            return f"has {len(value)} characters, and Cordial takes {limit.characters}"
        case list() if limit.items is not None and len(value) > limit.items:
            return f"has {len(value)} items, and Cordial keeps the last {limit.items}"
        case list() if limit.characters is not None:
            over = [size for size in map(len, map(str, value)) if size > limit.characters]
            if over:
                longest = max(over)
                return f"has an item of {longest} characters, and Cordial takes {limit.characters}"
        case bool():
            return None
        case int() | float() if limit.number is not None and value > limit.number:
            return f"is over {limit.number:g}, the most that Cordial takes"
    return None


def cut(value: JsonValue, limit: Limit) -> JsonValue:
    """Return as much of a text or an array as Cordial takes.

    Of an array the last items stay, as in Cordial; a text keeps its beginning.
    """
    if isinstance(value, str):
        return value[: limit.characters].rstrip()
    if isinstance(value, list):
        kept = value if limit.items is None else value[-limit.items :]
        return [cut(item, limit) for item in kept]
    return value
