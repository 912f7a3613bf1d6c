"""Group commit: concurrent writers share one transaction, and with it one sync of the disk."""

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_Waiting = tuple[Item, int, asyncio.Future[Result]]  # an item, its weight, its writer's future


class TooManyWaiting(Exception):
    """Too much waits in memory to be written; try again later."""


class GroupCommit(Generic[Item, Result]):
    """Commits together what arrives while the previous commit is under way.

    A lone writer does not wait for company: its item is committed at once. Sources take turns: each
    group holds about as much of every source that waits, and if the line is full, the source that
    takes most of it gives way. So no source can starve another.
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
            source: returns whom an item comes from; by default all come from one source.
            group_weight: the most a group weighs, unless it is a single item.
            waiting_weight: beyond this, we turn writers away.
            seconds: how long a commit may take, before its writers get a `TimeoutError`.
            gather: seconds to wait for more, if some already waits when a commit ends.
        """
        self._commit = commit
        self._weigh = weigh
        self._source = source
        self._group_weight = group_weight
        self._waiting_weight = waiting_weight
        self._seconds = seconds
        self._gather = gather
        # The lines of the sources that wait; the next source to have its turn comes first.
        self._lines: dict[Hashable, deque[_Waiting[Item, Result]]] = {}
        self._weights: defaultdict[Hashable, int] = defaultdict(int)  # of each line
        self._weight = 0  # of all lines and of the group being committed
        self._committer: asyncio.Task[None] | None = None

    async def submit(self, item: Item, *, patience: float | None = None) -> Result:
        """Return the item's result once it is committed.

        Args:
            item: what to commit. It is committed also if the caller goes away or waits no longer.
            patience: the longest time (s) that the caller waits; None: without end.

        Raises:
            TooManyWaiting: the line is full.
            TimeoutError: it is not committed so far.
            Exception: whatever `commit` raised for this item's group.
        """
        weight, source = self._weigh(item), self._source(item)
        if self._weight and self._weight + weight > self._waiting_weight:
            self._make_room(weight, source)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = deque()
        line.append((item, weight, done))
        self._weight += weight
        self._weights[source] += weight
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_waiting())
        if patience is None:
            return await done
        limit = loop.call_later(patience, _give_up, done)  # a third of what asyncio.timeout costs
        try:
            return await done
        finally:
            limit.cancel()

    def _make_room(self, weight: int, source: Hashable) -> None:
        """Turn away the newest items of the source with most; raise if that is the newcomer."""
        while self._weight + weight > self._waiting_weight:
            most = max(self._weights, key=lambda each: self._weights[each], default=source)
            if self._weights[most] <= self._weights.get(source, 0) + weight:
                raise TooManyWaiting
            _, freed, done = self._lines[most].pop()
            self._weight -= freed
            self._forget(most, freed)
            if not done.done():
                done.set_exception(TooManyWaiting())
                done.exception()  # read here, as a caller that went away never reads it

    def _forget(self, source: Hashable, weight: int) -> None:
        """Take so much off the weight of a source that waits."""
        self._weights[source] -= weight
        if not self._lines[source]:
            del self._lines[source], self._weights[source]

    async def drain(self) -> None:
        """Return when every item is committed or refused."""
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
        """Take about as much of each source, the oldest items of each first."""
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
        for source in (
            served & self._lines.keys()
        ):  # sources that were not served come first next time
            self._lines[source] = self._lines.pop(source)
        return group

    async def _commit_group(self, group: "Sequence[_Waiting[Item, Result]]") -> None:
        try:
            async with asyncio.timeout(self._seconds):
                results = await self._commit([item for item, _, _ in group])
        except Exception as error:  # every caller of the group raises it
            for _, _, done in group:
                if not done.done():
                    done.set_exception(error)
                    done.exception()  # read here, as a caller that went away never reads it
            return
        for (_, _, done), result in zip(group, results, strict=True):
            if not done.done():
                done.set_result(result)


def _give_up(done: "asyncio.Future[Result]") -> None:
    if not done.done():
        done.set_exception(TimeoutError())
