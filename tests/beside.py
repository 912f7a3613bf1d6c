"""What others can do while a piece of long work goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace

import pytest

from app import turns
from app.turns import TURN_SECONDS


@dataclass
class Others:
    """How many turns they had."""

    turns: int = 0


@asynccontextmanager
async def others() -> AsyncIterator[Others]:
    """Let others have a turn whenever the block gives them one, and count."""
    had = Others()

    async def go_round() -> None:
        while True:
            await asyncio.sleep(0)
            had.turns += 1

    going = asyncio.create_task(go_round())
    try:
        yield had
    finally:
        going.cancel()


def make_work_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let work seem to take half a turn from one item to the next."""
    looked = count(0.0, TURN_SECONDS / 2)
    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=lambda: next(looked)))
