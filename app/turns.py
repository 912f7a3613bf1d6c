"""Long work on the event loop, in turns with webhooks and deliveries."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

_Each = TypeVar("_Each")

TURN_SECONDS: Final = 0.005


async def in_turns(items: Iterable[_Each]) -> AsyncIterator[_Each]:
    """Yield items; once what is done with them has taken 5 ms, others have their turn."""
    began = time.perf_counter()
    for each in items:
        yield each
        if time.perf_counter() - began > TURN_SECONDS:
            await asyncio.sleep(0)
            began = time.perf_counter()
