"""How keys, labels and answers are compared: by `unicodedata`."""

import html
import unicodedata
from functools import lru_cache

_SINGLE_QUOTES = (0x2018, 0x2019, 0x201A, 0x201B, 0x2032)
_DOUBLE_QUOTES = (0x201C, 0x201D, 0x201E, 0x201F, 0x2033)


def _letters(text: str) -> str:
    shown = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", "".join(shown).casefold())


def bare(text: str) -> str:
    """Return a text without what shows nothing around it."""
    while text and (text[0].isspace() or unicodedata.category(text[0]) == "Cf"):
        text = text[1:]
    while text and (text[-1].isspace() or unicodedata.category(text[-1]) == "Cf"):
        text = text[:-1]
    return text


def _is_dash(char: str) -> bool:
    return unicodedata.category(char) == "Pd" or char == "\N{MINUS SIGN}"


@lru_cache(maxsize=20_000)
def fold_key(name: str) -> str:
    """Return a key as it is compared: `Opt In`, `opt-in` and `OPT__IN` are `opt_in`."""
    between = (
        " " if char.isspace() or char == "_" or _is_dash(char) else char for char in _letters(name)
    )
    return "_".join("".join(between).split())


@lru_cache(maxsize=5_000)
def fold_word(text: str) -> str:
    """Return a label or an answer as it is compared."""
    plain = _letters(html.unescape(text))
    plain = plain.translate(dict.fromkeys(_SINGLE_QUOTES, "'"))
    plain = plain.translate(dict.fromkeys(_DOUBLE_QUOTES, '"'))
    return " ".join("".join("-" if _is_dash(char) else char for char in plain).split())


@lru_cache(maxsize=20_000)
def squash(text: str) -> str:
    """Return the letters and digits of a text alone: what no way of writing can hide."""
    return "".join(char for char in _letters(text) if char.isalnum())
