"""JSON as it is written: also where one object holds a key twice, or only other readers take it."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pydantic import JsonValue
from pydantic_core import from_json, to_json

# What stands in place of a value whose key one JSON object holds twice with different values: an
# object of these values. No rule takes it for an answer, an address, a date or a country.
WRITTEN_TWICE: Final = "written more than once"


def load(body: bytes) -> JsonValue:
    """Read JSON, the quick way if it can be; of a key that is written twice, the last value.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return quick(body)
    except ValueError:
        return load_closely(body)


def load_closely(body: bytes) -> JsonValue:
    """Read slowly: what other JSON readers take too, and keys that are written twice.

    Others take a byte order mark, and half of a surrogate pair (an emoji cut by a length limit),
    which has no UTF-8 form and becomes a question mark.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        document = json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_as_written)
    except RecursionError:
        raise ValueError("it is too deep") from None
    text = json.dumps(document, ensure_ascii=False)
    return quick(text.encode("utf-8", errors="replace"), infinity=True)


def quick(body: bytes, *, infinity: bool = False) -> JsonValue:
    """Read JSON quickly; `infinity`: take that word, which is not JSON.

    Raises:
        ValueError: it is no JSON.
    """
    document: JsonValue = from_json(body, allow_inf_nan=infinity, cache_strings="keys")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# What may stand around a text and shows nothing: blanks, a byte order mark, marks of direction.
SHOWS_NOTHING: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\xad\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"
    "\u202f\u205f\u2060\u2066\u2067\u2068\u2069\u3000\ufeff"
)
_CLOSED_BY: Final = {"{": "}", "[": "]", '"': '"'}


def unpacked(text: str) -> JsonValue:
    """Return the object, list or text that a text is in JSON; None if it is none of these.

    Keys that are written twice are told.
    """
    text = text.strip(SHOWS_NOTHING)
    if _CLOSED_BY.get(text[:1]) != text[-1:]:  # most texts: to find out is cheap here
        return None
    written = text.encode(errors="replace")
    with suppress(ValueError):
        value = quick(written, infinity=True)
        if quotes(written) == quotes(to_json(value)):
            return value
    with suppress(ValueError, RecursionError):
        # Slowly, and to the end: nothing that the quick reader drops or refuses may go unheard.
        whole = json.dumps(_all_of(written), ensure_ascii=False)
        return _all_of(whole.encode(errors="replace"))  # halves of a character are no text
    return None


def _all_of(written: bytes) -> JsonValue:
    document: JsonValue = json.loads(written, parse_int=_whole, object_pairs_hook=_as_written)
    return document


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


_MOST_DIGITS: Final = 4_000  # Python reads no whole number of over 4,300


def quotes(json_text: bytes) -> int:
    """Count the quotes around keys and texts, as good as exactly.

    The quick reader keeps only the last value of a key that one object holds twice. What it dropped
    had quotes, so written out again it has fewer. Nothing else makes them more: a count that is
    equal proves that nothing was dropped, one that differs asks for a closer look.
    """
    return json_text.count(b'"') - json_text.count(b'\\"')


def _as_written(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """Make an object of its pairs; a key that is written twice keeps all its different values."""
    values: dict[str, list[JsonValue]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: one_of(_different(given)) for key, given in values.items()}


def _different(given: Sequence[JsonValue]) -> Sequence[JsonValue]:
    """Return the values without repeated ones, in time with their size.

    Objects and lists are compared with the first of them alone: one too many does no harm.
    """
    different: list[JsonValue] = []
    plain: set[JsonValue] = set()
    first: JsonValue = None
    for value in given:
        if isinstance(value, dict | list):
            if value == first:
                continue
            first = value if first is None else first
        elif value in plain:
            continue
        else:
            plain.add(value)
        different.append(value)
    return different


def one_of(values: Sequence[JsonValue]) -> JsonValue:
    """Return the one value, or what stands in place of several."""
    if len(values) == 1:
        return values[0]
    return {WRITTEN_TWICE: {str(number): value for number, value in enumerate(values, 1)}}
