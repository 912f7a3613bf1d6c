"""A sample of the dense grid, plane by plane: what mutants of the rules meet last.

Not a part of `make test`, where `tests/rules/test_grid.py` plays all planes at once.
"""

import pytest

from tests.rules.code_under_test import Rules
from tests.rules.grid import PLANES, STRIDE, judged

OF_EACH = 4  # of 37 rows


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.__name__)
def test_the_law_holds(plane):
    rows = [row for number, row in enumerate(plane()) if number % STRIDE < OF_EACH]
    for each in judged(Rules(), [lambda: iter(rows)]):
        assert not each.breaches, each.text
