"""The dense grid, plane by plane, each up to its first breach: what mutants of the rules meet last.

Not a part of `make test`, where `tests/rules/test_grid.py` plays the whole grid at once.
"""

import pytest

from tests.rules.code_under_test import Rules
from tests.rules.grid import PLANES, judged, scattered


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.__name__)
def test_the_law_holds(plane):
    for each in judged(Rules(), [scattered(plane)]):
        assert not each.breaches, each.text
