"""Reading bodies: how large one may be, how long it may take, how much all may hold together.

A body is read before we can know who sent it, so each of the three is bounded.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.types import Message, Receive

from app.api.problems import RETRY_AFTER_SECONDS, Problem

READ_SECONDS = 30.0  # a body that takes longer to arrive is cut off
_MOST_ARRIVING = 64 * 1024 * 1024  # bytes, of all bodies together
_FAIR_SECONDS = 2.0  # after so long a body gives way to others, if there is no room
_LONGEST_LENGTH = 18  # digits of a Content-Length that is still read as a number

TOO_SLOW = f"The body did not arrive within {READ_SECONDS:g} s."
TOO_MUCH = "Too much is arriving at once; nothing was stored. Try again."


class Body:
    """A body that is arriving, and the limit on its reading."""

    def __init__(self, began: float) -> None:
        self.began = began  # by the event loop's clock
        self.held = 0
        self.gave_way = False
        self.limit: asyncio.Timeout | None = None

    def give_way(self) -> None:
        """End its reading."""
        self.gave_way = True
        if self.limit is not None:
            self.limit.reschedule(self.began)


class Arriving:
    """Counts the bytes of all bodies that are arriving, and makes room if there is none.

    A sender that stalls keeps its place only while nobody else needs it: the body that has been
    arriving longest gives way, unless all have only just begun.
    """

    def __init__(self, most: int = _MOST_ARRIVING) -> None:
        """Take how many bytes all bodies may hold together."""
        self.held = 0
        self._most = most
        self._bodies: dict[Body, None] = {}  # the oldest first

    @contextmanager
    def body(self) -> Iterator[Body]:
        """Count one body until the block ends."""
        body = Body(asyncio.get_running_loop().time())
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._forget(body)

    def take(self, body: Body, size: int) -> None:
        """Count what has arrived of a body.

        Raises:
            Problem: 503, there is no room.
        """
        if body.gave_way:
            return
        body.held += size
        self.held += size
        while self.held > self._most:
            oldest = next(iter(self._bodies))
            if body.began - oldest.began < _FAIR_SECONDS:
                raise _too_much()
            oldest.give_way()
            self._forget(oldest)

    def _forget(self, body: Body) -> None:
        if body in self._bodies:
            del self._bodies[body]
            self.held -= body.held


async def read_body(
    receive: Receive, announced: bytes, most: int, arriving: Arriving, too_large: str
) -> bytes:
    """Return a request's body.

    Args:
        receive: the request's.
        announced: its Content-Length, blank if it has none. It may lie, so bytes are counted too.
        most: how many bytes it may have.
        arriving: counts it together with all others.
        too_large: what the sender of a larger one is told.

    Raises:
        Problem: 413 too large, 408 too slow, 503 no room for it now, 400 it broke off.
    """
    if size_announced(announced) > most:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
    message = await receive()
    if message.get("more_body") or message["type"] == "http.disconnect":
        body = await _read_on(message, receive, most, arriving)
    else:
        body = message.get("body", b"")  # whole at once, as nearly always
    if body is None or len(body) > most:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
    return body


async def _read_on(
    message: Message, receive: Receive, most: int, arriving: Arriving
) -> bytes | None:
    """Read a body that comes in pieces; None if it grows too large."""
    read = bytearray()
    with arriving.body() as body:
        try:
            async with asyncio.timeout(READ_SECONDS) as body.limit:
                while message["type"] == "http.request":
                    piece = message.get("body", b"")
                    read += piece
                    if len(read) > most:
                        return None
                    arriving.take(body, len(piece))
                    if not message.get("more_body"):
                        return bytes(read)
                    message = await receive()
        except TimeoutError:
            raise (_too_much() if body.gave_way else _too_slow()) from None
    raise Problem(HTTPStatus.BAD_REQUEST, "The body did not arrive whole.")


def size_announced(content_length: bytes) -> int:
    """Return the bytes that a Content-Length announces; 0 if it announces none.

    It may have thousands of leading zeros, and Python reads no number of over 4,300 digits.
    """
    digits = content_length.lstrip(b"0")
    return int(digits[:_LONGEST_LENGTH]) if digits.isdigit() else 0


def _too_slow() -> Problem:
    return Problem(HTTPStatus.REQUEST_TIMEOUT, TOO_SLOW)


def _too_much() -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, TOO_MUCH, headers=headers)
