"""When to try again."""

from collections.abc import Sequence

DELAYS = (30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0, 43200.0)
"""Seconds after each failed attempt: 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, 12 h."""

JITTER = 0.2  # submissions that failed together do not come back together


def next_delay(spent: int, chance: float, delays: Sequence[float] = DELAYS) -> float | None:
    """Return the seconds until the next attempt; None to give up.

    Args:
        spent: attempts made so far, at least 1.
        chance: a number from 0 to 1: it places the delay within 20% of the scheduled one.
        delays: the schedule.
    """
    if spent > len(delays):
        return None
    return delays[spent - 1] * (1 + JITTER * (2 * chance - 1))
