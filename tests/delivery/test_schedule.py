"""The schedule of retries is a table."""

import pytest

from app.delivery.schedule import DELAYS, next_delay

MINUTE, HOUR = 60, 3600
TABLE = [30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR]


@pytest.mark.parametrize(("spent", "seconds"), [*enumerate([*TABLE, None, None], 1)])
def test_the_delay_grows_by_the_table_and_then_ends(spent, seconds):
    """After the last, a person must look."""
    assert next_delay(spent, 0.5) == seconds


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
@pytest.mark.parametrize("spent", [1, len(DELAYS)])
def test_jitter_stays_within_a_fifth(spent, chance, factor):
    """What failed together does not come back together."""
    assert next_delay(spent, chance) == pytest.approx(DELAYS[spent - 1] * factor)


def test_another_schedule_may_be_given():
    """An empty one gives up after the first attempt."""
    assert next_delay(2, 0.5, (1, 5)) == 5
    assert next_delay(3, 0.5, (1, 5)) is None
    assert next_delay(1, 0.5, ()) is None
