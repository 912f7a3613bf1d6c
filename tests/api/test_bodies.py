"""Bodies that arrive hold a bounded memory together, and none for long."""

import asyncio
from collections.abc import Iterable

import pytest
from starlette.types import Message

from app.api import bodies
from app.api.bodies import Arriving, read_body, size_announced
from app.api.problems import Problem

MOST = 100


class Sender:
    """Sends a body in pieces, then waits; `finish` sends the last one."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [*pieces]
        self._finished = asyncio.Event()

    def finish(self) -> None:
        self._finished.set()

    async def receive(self) -> Message:
        if self._pieces:
            return {"type": "http.request", "body": self._pieces.pop(0), "more_body": True}
        await self._finished.wait()
        return {"type": "http.request", "body": b"!", "more_body": False}

    def read(self, arriving: Arriving, most: int = MOST) -> "asyncio.Task[bytes]":
        return asyncio.create_task(read_body(self.receive, b"", most, arriving, "too large"))


async def settled() -> None:
    """Let every task go on until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def refusal(reading: "asyncio.Task[bytes]") -> Problem:
    with pytest.raises(Problem) as refused:
        await asyncio.wait_for(reading, 5)
    return refused.value


async def test_a_body_in_pieces_is_read_whole() -> None:
    """And holds nothing afterwards."""
    arriving, sender = Arriving(10), Sender([b"a", b"b"])
    reading = sender.read(arriving)
    await settled()
    assert arriving.held == 2
    sender.finish()
    assert await reading == b"ab!"
    assert arriving.held == 0


async def test_a_body_beyond_what_all_may_hold_is_told_to_come_again() -> None:
    """503 with Retry-After; those that are arriving go on."""
    arriving, first = Arriving(10), Sender([b"x" * 6])
    reading = first.read(arriving)
    await settled()
    refused = await refusal(Sender([b"x" * 5]).read(arriving))
    assert (refused.status, refused.detail) == (503, bodies.TOO_MUCH)
    assert int((refused.headers or {})["Retry-After"]) > 0
    first.finish()
    assert await reading == b"xxxxxx!"


async def test_a_body_that_stalls_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that has been arriving longest loses its place when another needs it."""
    monkeypatch.setattr(bodies, "_FAIR_SECONDS", 0.0)
    arriving = Arriving(10)
    stalled = [Sender([b"x" * 5]).read(arriving) for _ in range(2)]
    await settled()
    good = Sender([b"y" * 5])
    reading = good.read(arriving)
    assert (await refusal(stalled[0])).status == 503
    assert not stalled[1].done()
    assert arriving.held == 10
    good.finish()
    assert await reading == b"yyyyy!"
    stalled[1].cancel()


async def test_a_body_that_does_not_arrive_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """408, and what it held is free."""
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.01)
    arriving = Arriving(10)
    assert (await refusal(Sender([b"x"]).read(arriving))).status == 408
    assert arriving.held == 0


async def test_a_body_that_grows_too_large_is_refused() -> None:
    """413, as soon as that is seen."""
    refused = await refusal(Sender([b"x", b"x" * MOST]).read(Arriving(1000)))
    assert (refused.status, refused.detail) == (413, "too large")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (b"", 0),
        (b"0", 0),
        (b"7", 7),
        (b"0" * 5_000 + b"12", 12),
        (b"x", 0),
        (b"-1", 0),
        (b"1.5", 0),
        (b"\xb2", 0),
    ],
)
def test_an_announced_size_is_a_number_or_nothing(given: bytes, size: int) -> None:
    """Whatever stands there, it is read without an error."""
    assert size_announced(given) == size


@pytest.mark.parametrize("digits", [19, 5_000, 60_000])
def test_an_announced_size_that_is_huge_is_large(digits: int) -> None:
    """It need not be exact: no limit is as large."""
    assert size_announced(b"9" * digits) > 2**50
