"""Long work lets others have their turn."""

from types import SimpleNamespace

import pytest

from app import turns
from app.turns import TURN_SECONDS, in_turns
from tests.beside import others


class Watch:
    """A clock that only work advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=made.perf_counter))
    return made


async def turns_had_during(watch: Watch, costs: list[float]) -> int:
    """Work through items that cost so much, and count what others could do meanwhile."""
    done = []
    async with others() as had:
        async for cost in in_turns(costs):
            watch.now += cost
            done.append(cost)
    assert done == costs
    return had.turns


async def test_nobody_waits_for_more_than_one_long_item(watch):
    assert await turns_had_during(watch, [TURN_SECONDS * 2] * 50) >= 49


async def test_short_items_are_done_together(watch):
    """Going round for each would cost more than they do."""
    assert await turns_had_during(watch, [TURN_SECONDS / 100] * 1_000) <= 11
