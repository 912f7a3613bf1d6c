"""What a check finds, and how grave it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the check found.

    An error keeps contacts from being right, a warning may, a note is to be known. `place` is in
    the configuration.
    """

    level: Level
    place: str
    problem: str
    remedy: str


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with the errors first and the notes last."""
    return sorted(findings, key=lambda each: _ORDER.index(each.level))


_ORDER: tuple[Level, ...] = ("error", "warning", "note")


def errors_in(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that keep an integration from going live."""
    return [each for each in findings if each.level == "error"]
