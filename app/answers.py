"""Answers of other people's servers, read within bounds.

Cordial, Jebbit and whoever is behind `NOTIFY_URL` may answer slowly, without end, or with a few
kilobytes that decompress to gigabytes. None of that may stop or fill this service.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import httpx

MOST_BYTES = 1024 * 1024  # of an answer's body, after decompression

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]
"""Sends a request and returns the answer with its body still to be read."""


class UnreadableAnswer(httpx.HTTPError):
    """A success whose body is too large, or compressed in a way we did not ask for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer read whole; the content is empty if it could not be read, or was not wanted."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


async def exchange(
    send: Send, request: httpx.Request, seconds: float, most: int = MOST_BYTES
) -> Answer:
    """Send a request and return its answer.

    Args:
        send: sends it.
        request: what to send.
        seconds: the longest time that all of it may take, to the answer's last byte.
        most: how many bytes of body to take; with 0 only the status matters, no body is read.

    Raises:
        TimeoutError: the time is over.
        UnreadableAnswer: a success whose body cannot be taken. A refusal stands without its body.
        Exception: whatever `send` raises.
    """
    async with asyncio.timeout(seconds):
        answer = await send(request)
        stream = cast(httpx.AsyncByteStream, answer.stream)
        try:
            content = await _content(answer, stream, most) if most else b""
        except UnreadableAnswer:
            if answer.is_success:
                raise
            content = b""
        finally:
            await stream.aclose()
        return Answer(answer.status_code, answer.headers, content)


async def _content(answer: httpx.Response, stream: httpx.AsyncByteStream, most: int) -> bytes:
    """Read a body; httpx would decompress each piece of it whole, however large it becomes."""
    pieces, size, expand = [], 0, _expansion(answer)
    async for piece in stream:
        if expand is not None:
            piece = expand(piece, most + 1 - size)
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise UnreadableAnswer(f"the answer holds over {most} bytes")
    return b"".join(pieces)


def _expansion(answer: httpx.Response) -> Callable[[bytes, int], bytes] | None:
    """Return what expands a body piece by piece, each to at most so many bytes."""
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise UnreadableAnswer("the answer is compressed in a way we did not ask for")
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # by its first bytes: gzip or zlib

    def expand(piece: bytes, most: int) -> bytes:
        try:
            return inflate.decompress(piece, most)
        except zlib.error:
            raise UnreadableAnswer("the answer cannot be decompressed") from None

    return expand
