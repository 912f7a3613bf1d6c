"""Whether a text mentions an address, in any of the forms people and programs write. Pure."""

import html
import re
import string
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

from pydantic import JsonValue

from app.jebbit.folding import compatible

ERASED_TEXT: Final = "[erased]"
_DECODINGS: Final = 4  # an address encoded more often is no address any more
_ESCAPE: Final = re.compile(r"(?:\\u|%u)([0-9a-fA-F]{4})")
_SHORTEST: Final = 7  # digits; fewer stand in too many texts by chance


class Mentions:
    """Finds a person's addresses in texts and in JSON."""

    def __init__(self, emails: Iterable[str], numbers: Iterable[str]) -> None:
        """Take normalized email addresses, and phone numbers: E.164, and their national digits."""
        self._emails = [each.casefold() for each in emails]
        self._numbers = [(_digits_of(each), _spread(each)) for each in numbers]

    def stand_in(self, text: str) -> bool:
        """Whether the text mentions one of them, however it is encoded or punctuated."""
        return any(self._stand_plainly_in(each) for each in _readings(text))

    def removed_from(self, value: JsonValue) -> JsonValue:
        """Return a JSON value with each text that mentions one of them replaced.

        Equal to what was given if none does.
        """
        match value:
            case str():
                return ERASED_TEXT if self.stand_in(value) else value
            case int():  # of any size: not every one is a float too
                return ERASED_TEXT if self.stand_in(str(value)) else value
            case float():
                return ERASED_TEXT if self.stand_in(f"{value:.0f}") else value
            case list():
                return [self.removed_from(each) for each in value]
            case dict():
                return {
                    ERASED_TEXT if self.stand_in(key) else key: self.removed_from(each)
                    for key, each in value.items()
                }
        return None

    def _stand_plainly_in(self, text: str) -> bool:
        if any(each in text for each in self._emails):
            return True
        there = _digits_of(text)  # in most texts a number's digits do not even follow each other
        return any(digits in there and spread.search(text) for digits, spread in self._numbers)


def _readings(text: str) -> Iterator[str]:
    """Yield a text as it is compared: plain, then decoded once more each time."""
    for _ in range(_DECODINGS):
        plain = compatible(text).casefold()
        yield plain
        if " " in plain:
            yield plain.replace(" ", "+")  # a query's plus that was read as a space
        decoded = html.unescape(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), unquote(text)))
        if decoded == text:
            return
        text = decoded


def _digits_of(text: str) -> bytes:
    return text.encode("ascii", "ignore").translate(None, _NO_DIGITS)


_NO_DIGITS: Final = bytes({*range(128)} - {*string.digits.encode()})


def _spread(number: str) -> re.Pattern[str]:
    """Return what finds a number's digits with any punctuation between them.

    Not as part of a longer number.
    """
    digits = re.sub(r"\D", "", number)
    if len(digits) < _SHORTEST:
        return re.compile(r"(?!)")
    between = r"[^0-9a-z]{0,3}"
    return re.compile(rf"(?<![0-9])(?:0{{1,2}})?{between.join(digits)}(?![0-9])")
