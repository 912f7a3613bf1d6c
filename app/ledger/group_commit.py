"""Group commit: concurrent writers share one transaction, and so one sync of the disk."""

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_Waiting = tuple[Item, int, asyncio.Future[Result]]  # what to write, its weight, who waits for it


class TooManyWaiting(Exception):
    """More is waiting to be written than is kept in memory; try again later."""


class GroupCommit(Generic[Item, Result]):
    """Gathers what arrives while one commit is under way into the next.

    A lone writer does not wait for company: what is there is committed at once. Sources take turns:
    each group holds about as much of every source that waits, and if the line is full, the source
    that takes most of it gives way. So none can starve another.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        weigh: Callable[[Item], int],
        source: Callable[[Item], Hashable] = lambda _: None,
        group_weight: int,
        waiting_weight: int,
        seconds: float | None = None,
        gather: float = 0.0,
    ) -> None:
        """Take the function that commits a group and returns a result for each item, in order.

        Args:
            commit: stores all of the group or, by raising, nothing of it.
            weigh: an item's weight; the two limits below are in the same unit.
            source: who an item comes from; all from one, unless told otherwise.
            group_weight: the most a group weighs, unless it is a single item.
            waiting_weight: beyond this, writers are turned away.
            seconds: how long a commit may take, before its writers get a `TimeoutError`.
            gather: how many seconds to wait for more, where some waits already when a commit ends.
        """
        self._commit = commit
        self._weigh = weigh
        self._source = source
        self._group_weight = group_weight
        self._waiting_weight = waiting_weight
        self._seconds = seconds
        self._gather = gather
        # By source, whose turn is next first; a source that has nothing waiting is not there.
        self._lines: dict[Hashable, deque[_Waiting[Item, Result]]] = {}
        self._weights: defaultdict[Hashable, int] = defaultdict(int)  # what waits of each
        self._weight = 0  # what waits, and what is being committed
        self._committer: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Return the item's result once it is committed.

        Raises:
            TooManyWaiting: the line is full.
            Exception: whatever `commit` raised for this item's group.
        """
        weight, source = self._weigh(item), self._source(item)
        if self._weight and self._weight + weight > self._waiting_weight:
            self._make_room(weight, source)
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = deque()
        line.append((item, weight, done))
        self._weight += weight
        self._weights[source] += weight
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_waiting())
        return await done  # a caller that goes away does not take back what it handed in

    def _make_room(self, weight: int, source: Hashable) -> None:
        """Turn away the newest of whoever waits with most, or raise if that is the newcomer."""
        while self._weight + weight > self._waiting_weight:
            most = max(self._weights, key=lambda each: self._weights[each], default=source)
            if self._weights[most] <= self._weights.get(source, 0) + weight:
                raise TooManyWaiting
            _, freed, done = self._lines[most].pop()
            self._weight -= freed
            self._forget(most, freed)
            if not done.done():
                done.set_exception(TooManyWaiting())
                done.exception()  # a caller that went away leaves it unread

    def _forget(self, source: Hashable, weight: int) -> None:
        """Note that so much of a source no longer waits."""
        self._weights[source] -= weight
        if not self._lines[source]:
            del self._lines[source], self._weights[source]

    async def drain(self) -> None:
        """Return when everything handed in is committed or refused."""
        while self._committer is not None and not self._committer.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._committer)

    async def _commit_waiting(self) -> None:
        while self._lines:
            group = self._next_group()
            await self._commit_group(group)
            self._weight -= sum([weight for _, weight, _ in group])
            if self._lines and self._gather:
                await asyncio.sleep(self._gather)

    def _next_group(self) -> "list[_Waiting[Item, Result]]":
        """Take about as much of each source, in the order in which each handed in its own."""
        group: list[_Waiting[Item, Result]] = []
        room = self._group_weight
        turns = [(0, place, source) for place, source in enumerate(self._lines)]  # a heap
        served = set()
        while turns and room > 0:
            taken, place, source = turns[0]
            line = self._lines[source]
            weight = line[0][1]
            if group and weight > room:
                break
            group.append(line.popleft())
            room -= weight
            served.add(source)
            if line:
                heapq.heapreplace(turns, (taken + weight, place, source))
            else:
                heapq.heappop(turns)
            self._forget(source, weight)
        for source in served & self._lines.keys():  # whoever was not served is next
            self._lines[source] = self._lines.pop(source)
        return group

    async def _commit_group(self, group: "Sequence[_Waiting[Item, Result]]") -> None:
        try:
            async with asyncio.timeout(self._seconds):
                results = await self._commit([item for item, _, _ in group])
        except Exception as error:  # each waiting caller raises it
            for _, _, done in group:
                if not done.done():
                    done.set_exception(error)
                    done.exception()  # a caller that went away leaves it unread
            return
        for (_, _, done), result in zip(group, results, strict=True):
            if not done.done():
                done.set_result(result)
