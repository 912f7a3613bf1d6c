"""Concurrent writers share a commit; each hears what became of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from app.ledger.group_commit import GroupCommit, TooManyWaiting


class Disk:
    """A slow disk: commits end when let go; `fail` makes the next ones raise."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.free = asyncio.Event()
        self.fail: Exception | None = None

    async def commit(self, group: Sequence[int]) -> Sequence[str]:
        self.groups.append(list(group))
        await self.free.wait()
        if self.fail:
            raise self.fail
        return [f"stored {each}" for each in group]


@pytest.fixture
async def disk() -> Disk:
    return Disk()


@pytest.fixture
def gather(disk):
    """Hand items in at once; weights are the items themselves."""
    committing = GroupCommit[int, str](
        disk.commit, weigh=lambda each: each, group_weight=10, waiting_weight=20
    )

    async def start(*items):
        tasks = [asyncio.create_task(committing.submit(each)) for each in items]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks

    start.committing = committing
    return start


async def test_a_lone_writer_does_not_wait_for_company(disk, gather):
    """What is there is committed at once."""
    disk.free.set()
    assert await gather.committing.submit(3) == "stored 3"
    assert disk.groups == [[3]]


async def test_what_comes_during_a_commit_shares_the_next(disk, gather):
    """In order, and each caller gets its own result."""
    first = await gather(1)
    rest = await gather(2, 3, 4)
    assert disk.groups == [[1]]
    disk.free.set()
    answers = await asyncio.gather(*first, *rest)
    assert answers == ["stored 1", "stored 2", "stored 3", "stored 4"]
    assert disk.groups == [[1], [2, 3, 4]]


async def test_a_group_is_closed_when_it_is_heavy_enough(disk, gather):
    """One commit does not grow without bound; what is heavier than that has one of its own."""
    tasks = [*await gather(1), *await gather(6, 5, 5)]
    disk.free.set()
    await asyncio.gather(*tasks, *await gather(12))
    assert disk.groups == [[1], [6], [5, 5], [12]]


async def test_writers_beyond_the_limit_are_turned_away(disk, gather):
    """What waits is bounded; what had been taken is stored, and then there is room again."""
    taken = await gather(8, 8, 4)
    with pytest.raises(TooManyWaiting):
        await gather.committing.submit(1)
    disk.free.set()
    await asyncio.gather(*taken)
    assert await gather.committing.submit(20) == "stored 20"


async def test_an_item_above_the_limit_is_taken_when_nothing_waits(disk, gather):
    """Else it could never be stored."""
    disk.free.set()
    assert await gather.committing.submit(21) == "stored 21"


async def test_a_failed_commit_reaches_each_of_its_callers_and_no_other(disk, gather):
    """The next group is tried anew, and the weight of the failed one is free again."""
    failing = await gather(1, 2)
    disk.fail = OSError("disk full")
    disk.free.set()
    for task in failing:
        with pytest.raises(OSError, match="disk full"):
            await task
    disk.fail = None
    assert await gather.committing.submit(20) == "stored 20"


async def test_a_caller_that_goes_away_takes_nothing_back(disk, gather):
    """Its item is committed all the same, and its neighbours get their answers."""
    first, leaving, staying = await gather(1, 2, 3)
    leaving.cancel()
    disk.free.set()
    assert await asyncio.gather(first, staying) == ["stored 1", "stored 3"]
    assert [each for group in disk.groups for each in group] == [1, 2, 3]
    assert leaving.cancelled()


async def test_a_failure_that_nobody_waits_for_is_no_complaint(disk, gather):
    """A caller that went away leaves its error unread; nothing is raised elsewhere for it."""
    (leaving,) = await gather(1)
    leaving.cancel()
    disk.fail = OSError("disk full")
    disk.free.set()
    await gather.committing.drain()
    assert leaving.cancelled()


async def test_drain_returns_when_all_is_committed(disk, gather):
    """Also what its callers no longer wait for."""
    await gather(1)
    await gather(2)
    draining = asyncio.create_task(gather.committing.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    disk.free.set()
    await draining
    assert disk.groups == [[1], [2]]
    await gather.committing.drain()


@pytest.fixture
def take_turns(disk):
    """Hand in items of several sources at once, while another is being committed.

    An item is a source's letter and a weight.
    """
    committing = GroupCommit[tuple[str, int], str](
        disk.commit,
        weigh=lambda each: each[1],
        source=lambda each: each[0],
        group_weight=10,
        waiting_weight=50,
    )

    first: list[asyncio.Task[str]] = []

    async def start(*items):
        if not first:
            first.append(asyncio.create_task(committing.submit(("z", 0))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        tasks = [asyncio.create_task(committing.submit(each)) for each in items]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks

    return start


async def test_sources_take_turns(disk, take_turns):
    """Who comes last with little does not wait for all that another has handed in."""
    tasks = await take_turns(*[("a", 5)] * 4, ("b", 1), ("b", 1), ("c", 2))
    disk.free.set()
    await asyncio.gather(*tasks)
    assert disk.groups[1] == [("a", 5), ("b", 1), ("c", 2), ("b", 1)]
    assert disk.groups[2:] == [[("a", 5), ("a", 5)], [("a", 5)]]


async def test_who_was_not_served_is_next(disk, take_turns):
    """Where not all sources fit into a group, none is left out for ever."""
    tasks = await take_turns(*[(each, 10) for each in "abab"], ("c", 1))
    disk.free.set()
    await asyncio.gather(*tasks)
    assert disk.groups[1:] == [[("a", 10)], [("b", 10)], [("c", 1)], [("a", 10)], [("b", 10)]]


async def test_who_fills_the_line_gives_way(disk, take_turns):
    """The newest of the source that waits with most is turned away, for one that has less."""
    tasks = await take_turns(*[("a", 12)] * 4)
    newcomer, another = await take_turns(("b", 12), ("a", 12))
    with pytest.raises(TooManyWaiting):
        await tasks[3]
    with pytest.raises(TooManyWaiting):
        await another
    disk.free.set()
    assert await newcomer == "stored ('b', 12)"
    assert len(await asyncio.gather(*tasks[:3])) == 3


async def test_a_source_turns_away_nobody_with_less(disk, take_turns):
    """Only what takes more than the newcomer would gives way."""
    tasks = await take_turns(("a", 13), ("b", 13), ("c", 13))
    with pytest.raises(TooManyWaiting):
        await (await take_turns(("d", 13)))[0]
    disk.free.set()
    assert len(await asyncio.gather(*tasks)) == 3


async def test_a_caller_waits_no_longer_than_it_has_patience(disk, gather):
    """Its item is committed all the same, and others go on waiting."""
    patient = (await gather(1))[0]
    with pytest.raises(TimeoutError):
        await gather.committing.submit(2, patience=0.01)
    disk.free.set()
    await gather.committing.drain()
    assert disk.groups == [[1], [2]]
    assert await patient == "stored 1"


async def test_who_is_served_in_time_notices_nothing_of_its_patience(disk, gather):
    """The limit ends with the answer."""
    disk.free.set()
    assert await gather.committing.submit(1, patience=60) == "stored 1"
    disk.fail = OSError("full")
    with pytest.raises(OSError, match="full"):
        await gather.committing.submit(2, patience=60)
