"""The list that scenarios are entered into, and what several of them use."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.faults.stage import Stage
from tests.servers import program

Scenario = Callable[[Stage, int], None]
BOTH = ("sqlite", "postgresql")
SCENARIOS: dict[str, tuple[Scenario, tuple[str, ...], int]] = {}
"""By name: the scenario, the engines it is for, and the scale of its long form."""

PROGRAMS: dict[str, tuple[str, ...]] = {}
"""By the same name: the programs that a scenario needs beside ours."""

BUSY = {"kind": "slow", "seconds": 0.1}
"""A fault with which something is under way at any moment: Cordial takes its time."""

FEW_SECONDS = 3.0


def scenario(
    name: str, engines: tuple[str, ...], long: int, programs: tuple[str, ...] = ()
) -> Callable[[Scenario], Scenario]:
    """Enter a scenario into the list; it can be played only where its programs are installed."""

    def enter(play: Scenario) -> Scenario:
        SCENARIOS[name] = (play, engines, long)
        PROGRAMS[name] = programs
        return play

    return enter


def missing(name: str) -> list[str]:
    """Return the programs that a scenario needs and this machine lacks."""
    return [each for each in PROGRAMS[name] if program(each) is None]


def told(counts: Counter[Any]) -> str:
    """Return counts as a note of the report, the largest first."""
    return ", ".join(f"{number} x {what}" for what, number in counts.most_common())
