"""Group commit: concurrent writers share one transaction, and so one sync of the disk."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_Waiting = tuple[Item, int, asyncio.Future[Result]]  # what to write, its weight, who waits for it


class TooManyWaiting(Exception):
    """More is waiting to be written than is kept in memory; try again later."""


class GroupCommit(Generic[Item, Result]):
    """Gathers what arrives while one commit is under way into the next.

    A lone writer does not wait for company: what is there is committed at once.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        weigh: Callable[[Item], int],
        group_weight: int,
        waiting_weight: int,
        seconds: float | None = None,
        gather: float = 0.0,
    ) -> None:
        """Take the function that commits a group and returns a result for each item, in order.

        Args:
            commit: stores all of the group or, by raising, nothing of it.
            weigh: an item's weight; the two limits below are in the same unit.
            group_weight: a group is closed when it weighs this much.
            waiting_weight: beyond this, writers are turned away.
            seconds: how long a commit may take, before its writers get a `TimeoutError`.
            gather: how many seconds to wait for more, where some waits already when a commit ends.
        """
        self._commit = commit
        self._weigh = weigh
        self._group_weight = group_weight
        self._waiting_weight = waiting_weight
        self._seconds = seconds
        self._gather = gather
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._weight = 0
        self._committer: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Return the item's result once it is committed.

        Raises:
            TooManyWaiting: the line is full.
            Exception: whatever `commit` raised for this item's group.
        """
        weight = self._weigh(item)
        if self._weight and self._weight + weight > self._waiting_weight:
            raise TooManyWaiting
        self._weight += weight
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, weight, done))
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_waiting())
        return await done  # a caller that goes away does not take back what it handed in

    async def drain(self) -> None:
        """Return when everything handed in is committed or refused."""
        while self._committer is not None and not self._committer.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._committer)

    async def _commit_waiting(self) -> None:
        while self._waiting:
            group = self._next_group()
            await self._commit_group(group)
            self._weight -= sum([weight for _, weight, _ in group])
            if self._waiting and self._gather:
                await asyncio.sleep(self._gather)

    def _next_group(self) -> "list[_Waiting[Item, Result]]":
        group: list[_Waiting[Item, Result]] = []
        room = self._group_weight
        while self._waiting and room > 0:
            group.append(self._waiting.popleft())
            room -= group[-1][1]
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
