"""Identifiers: what no other process will come upon, but no secret."""

import random

_RANDOM = random.Random()  # noqa: S311 - seeded by the system; asking it each time takes ten times as long


def random_hex(digits: int) -> str:
    """Return so many random hex digits. Whoever sees enough of them can tell the next."""
    return f"{_RANDOM.getrandbits(4 * digits):0{digits}x}"
