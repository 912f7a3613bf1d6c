"""How names and words are compared: what looks the same to a person is the same to us."""

import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_MOST_MARKS = 30  # on one letter: UAX #15's stream-safe text; no script needs as many
_LONGEST_KEPT = 64  # characters of a text whose folded form is remembered: keys and labels repeat
# Letters by their Unicode category that show nothing: Hangul fillers (as NFKC leaves them) and
# the empty Braille pattern.
_BLANK_LETTERS = "\u115f\u1160\u2800"
_LIKE_ASCII = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2212\u2043\u02d7", "-"),  # minus and bullets, which are no dashes there
        **dict.fromkeys(_BLANK_LETTERS, " "),
    }
)
# What shows nothing (Unicode's Default_Ignorable_Code_Point), without the fillers above.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_GAPS = re.compile(r"[\s_-]+")
_SPACES = re.compile(r"\s+")
_ENTITY = re.compile(r"&(?:#[0-9]{,7}|#[xX][0-9a-fA-F]{,6}|[A-Za-z0-9]+);")


def fold(name: str) -> str:
    """Return the name of an attribute as it is compared.

    `Phone Number`, `phone-number` and `PHONE__NUMBER` are the same. Compatible forms (NFKC), case,
    every kind of space and dash, and characters that show nothing make no difference.
    """
    return _known_name(name) if len(name) <= _LONGEST_KEPT else _name(name)


def letters_of(name: str) -> str:
    """Return the letters and digits of a name alone: those of `opt_in`, `optIn` and `opt.in`."""
    if name.isascii() and name.isalnum():
        return name.lower()
    return "".join(filter(str.isalnum, fold(name)))


def fold_label(text: str) -> str:
    """Return an answer or a label as it is compared.

    As for names, but dashes and spaces stay apart; curly quotes are straight ones, HTML entities
    are what they stand for.
    """
    return _known_label(text) if len(text) <= _LONGEST_KEPT else _label(text)


def unescape(text: str) -> str:
    """Return a text with its whole HTML entities decoded: `&amp;` is `&`, `&copy` stays."""
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def compatible(text: str) -> str:
    """Return a text in its compatible form (NFKC), in time with its length.

    Python sorts the marks on a letter in time with the square of their number: a few kilobytes of
    them, which anybody can type into a form, would stop the service. What is beyond the marks that
    writing needs is left out.
    """
    if not text.isascii():
        text = "".join(_with_few_marks(text))
    return unicodedata.normalize("NFKC", text)


def _with_few_marks(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            yield character


def _name(text: str) -> str:
    return _GAPS.sub("_", _plain(text)).strip("_")


def _label(text: str) -> str:
    return _SPACES.sub(" ", _plain(unescape(text))).strip()


_known_name = lru_cache(maxsize=4_096)(_name)
_known_label = lru_cache(maxsize=1_024)(_label)


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable() and "`" not in text:
        return text.lower()
    shown = _INVISIBLE.sub("", text).translate(_LIKE_ASCII)  # NFKC makes a space of an accent
    folded = compatible(compatible(shown).casefold())
    return "".join(map(_shown, folded.translate(_LIKE_ASCII)))


def _shown(character: str) -> str:
    match unicodedata.category(character):
        case "Pd":
            return "-"
        case "Cf":
            return ""
        case "Cc" if not character.isspace():
            return ""
        case _:
            return character
