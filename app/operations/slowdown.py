"""Slowing down callers who guess tokens."""

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE = 5  # wrong tokens of an address that are answered at once: somebody mistypes
FIRST_SECONDS = 0.2  # the next one waits so long, and each further one twice as long
LONGEST_SECONDS = 3.0
FORGOTTEN_SECONDS = 300.0  # without a wrong token, after which an address begins anew
MOST_WAITING = 10  # at once from one address
RETRY_AFTER_SECONDS = 10
_MOST_ADDRESSES = 10_000


class TooManyWrongTokens(Exception):
    """So many wrong tokens came from this address that no more are kept waiting."""


@dataclass(slots=True)
class _Guesser:
    """The wrong tokens that came from one address."""

    wrong: int = 0
    waiting: int = 0
    last_at: float = 0.0


class Slowdown:
    """Lets each further wrong token of an address wait longer.

    A right one never waits, not even from the same address: behind a proxy that does not tell
    addresses apart, strangers could otherwise lock everybody out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, free: int = FREE) -> None:
        """Take what tells the time (s), and how many of an address are answered at once."""
        self._clock = clock
        self.free = free
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()

    async def wait(self, address: str) -> None:
        """Return when a wrong token may be answered.

        Raises:
            TooManyWrongTokens: too many of the address are waiting already.
        """
        guesser = self._guesser(_network(address))
        guesser.wrong, guesser.last_at = guesser.wrong + 1, self._clock()
        seconds = delay(guesser.wrong - self.free)
        if not seconds:
            return
        if guesser.waiting >= MOST_WAITING:
            raise TooManyWrongTokens
        guesser.waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            guesser.waiting -= 1

    def _guesser(self, network: str) -> _Guesser:
        known = self._guessers.pop(network, None)
        if known is None or self._clock() - known.last_at > FORGOTTEN_SECONDS:
            known = _Guesser()
        self._guessers[network] = known  # the newest at the end
        if len(self._guessers) > _MOST_ADDRESSES:
            self._guessers.popitem(last=False)
        return known


def delay(wrong: int) -> float:
    """Return how long (s) the nth wrong token beyond the free ones waits for its answer."""
    return min(FIRST_SECONDS * 2.0 ** min(wrong - 1, 16), LONGEST_SECONDS) if wrong > 0 else 0.0


def _network(address: str) -> str:
    """Return what one guesser has at hand: an IPv4 address, or a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), False))
