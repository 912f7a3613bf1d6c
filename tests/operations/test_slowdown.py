"""Who guesses tokens waits ever longer; nobody else does."""

import asyncio
from types import SimpleNamespace

import pytest

from app.operations import slowdown
from app.operations.slowdown import FREE, LONGEST_SECONDS, Slowdown, TooManyWrongTokens, delay


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited for, without waiting."""
    waited: list[float] = []

    async def noted(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0)

    # Only there: a service that other tests left running sleeps too.
    monkeypatch.setattr(slowdown, "asyncio", SimpleNamespace(sleep=noted))
    return waited


def test_each_further_wrong_token_waits_longer():
    """The first are answered at once: somebody mistypes. None waits for ever."""
    delays = [delay(n) for n in range(-FREE, 40)]
    assert delays[: FREE + 1] == [0.0] * (FREE + 1)
    assert delays == sorted(delays)
    assert delays[FREE + 1] > 0
    assert delays[-1] == LONGEST_SECONDS


async def test_each_address_has_a_count_of_its_own(waits):
    """IPv6 by /64, of which one guesser has all; an address that is none stands for itself."""
    slow = Slowdown()
    for n in range(FREE):
        for address in ("192.0.2.1", f"2001:db8::{n}", "local"):
            await slow.wait(address)
    await slow.wait("192.0.2.2")
    await slow.wait("2001:db8:0:1::1")
    assert waits == []
    for address in ("192.0.2.1", "2001:db8::ffff", "local"):
        await slow.wait(address)
    assert waits == [delay(1)] * 3


async def test_a_quiet_address_begins_anew(waits):
    """Who mistyped yesterday is not kept waiting today."""
    clock = Clock()
    slow = Slowdown(clock)
    for _ in range(FREE + 1):
        await slow.wait("192.0.2.1")
    clock.now += slowdown.FORGOTTEN_SECONDS + 1
    await slow.wait("192.0.2.1")
    assert waits == [delay(1)]


async def test_only_so_many_of_an_address_are_kept_waiting():
    """Connections that wait cost memory: the rest is turned away at once."""
    slow = Slowdown()
    for _ in range(FREE):
        await slow.wait("192.0.2.1")
    waiting = [asyncio.create_task(slow.wait("192.0.2.1")) for _ in range(slowdown.MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWrongTokens):
        await slow.wait("192.0.2.1")
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_addresses_are_forgotten_rather_than_memory_filled(waits, monkeypatch):
    """The oldest go first."""
    monkeypatch.setattr(slowdown, "_MOST_ADDRESSES", 3)
    slow = Slowdown()
    for _ in range(FREE + 1):
        await slow.wait("192.0.2.1")
    for n in range(3):
        await slow.wait(f"198.51.100.{n}")
    await slow.wait("192.0.2.1")
    assert waits == [delay(1)]
