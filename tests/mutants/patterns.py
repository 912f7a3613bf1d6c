"""Small changes of a regular expression."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"(?P<group>\(\?(?:P?<[^>]*>|[:=!]|<[=!]))"  # how a group begins says nothing of how often
    r"|(?P<escape>\\.(?:[0-9a-fA-F]{2})?)"
    r"|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<times>\{\d*,?\d*\})"
    r"|(?P<often>[*+?]\??)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_MEMBER = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\.|[^\\])(?:-(?:\\x[0-9a-fA-F]{2}|\\.|[^\\\]]))?")
_OTHER = {"*": "+", "+": "*", "?": ""}


def pattern_variants(pattern: str) -> Iterator[str]:
    """Yield the pattern with one count, one repetition or one member of a set changed."""
    for token in _TOKEN.finditer(pattern):
        for new in _token_variants(token.lastgroup or "", token[0]):
            changed = pattern[: token.start()] + new + pattern[token.end() :]
            if _is_valid(changed):
                yield changed


def _token_variants(kind: str, text: str) -> Iterator[str]:
    match kind:
        case "often":
            yield _OTHER[text[0]] + text[1:]
        case "times":
            for number in re.finditer(r"\d+", text):
                for other in (int(number[0]) + 1, int(number[0]) - 1):
                    yield text[: number.start()] + str(other) + text[number.end() :]
        case "set":
            start = 2 if text.startswith("[^") else 1
            for member in _MEMBER.finditer(text, start, len(text) - 1):
                left = text[: member.start()] + text[member.end() :]
                yield left if len(left) > start + 1 else ""


def _is_valid(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        return False
    return True
