"""What the shared connections promise to those who send requests."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

from app.pool import Body, Pool, open_pool
from tests.proxies import listening


class TooLate(Exception):
    pass


def too_late() -> None:
    raise TooLate


async def content_of(pool: Pool, url: str) -> bytes:
    response = await pool.handle_async_request(httpx.Request("GET", url))
    try:
        return b"".join([piece async for piece in response.stream])
    finally:
        await response.aclose()


@asynccontextmanager
async def server(answer: bytes):
    """Run a server that answers each connection once; yield its address and what it received."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            received.extend(piece)
            writer.write(answer)
            writer.close()

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}/", received


async def test_nothing_leaves_where_the_last_look_says_no():
    """Neither the body nor the head before it; and what the look said is kept."""
    body = Body(b"somebody", too_late)
    async with server(b"") as (url, received), open_pool(1) as pool:
        with pytest.raises(httpx.ReadError):
            await pool.handle_async_request(httpx.Request("POST", url, stream=body))
    assert isinstance(body.refusal, TooLate)
    assert not received


async def test_other_transports_look_too():
    """As that of the client's unit tests."""
    body = Body(b"somebody", too_late)
    with pytest.raises(TooLate):
        await anext(aiter(body))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.ReadError),
        (b"no HTTP at all\r\n\r\n", httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", httpx.ReadError),
    ],
)
async def test_a_broken_answer_is_an_error_of_httpx(answer, error):
    """Without the address, which aiohttp's own text repeats."""
    async with server(answer) as (url, _), open_pool(1) as pool:
        with pytest.raises(error) as failed:
            await content_of(pool, url)
    assert "127.0.0.1" not in str(failed.value)


async def test_nobody_there_is_told_apart_from_a_broken_answer():
    async with open_pool(1) as pool:
        with pytest.raises(httpx.ConnectError):
            await pool.handle_async_request(httpx.Request("GET", "http://127.0.0.1:1/"))


@asynccontextmanager
async def talkative_server():
    """Run a server that answers once more than it was asked; yield its address and the requests.

    It says that further answer on its first connection, when it is called on another.
    """
    requests: list[bytes] = []
    first: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(writer)
        while head := await reader.readuntil(b"\r\n\r\n"):
            requests.append(head.split()[1])
            if writer is not first[0]:
                first[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nright")

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}", requests


async def test_what_a_server_says_unasked_is_nobodys_answer():
    """It would count as the answer to the next request, which would not even be sent."""
    async with talkative_server() as (url, requests), open_pool(1) as pool:
        assert await content_of(pool, f"{url}/before") == b"right"
        async with open_pool(1) as other:
            assert await content_of(other, f"{url}/other") == b"right"
        assert await content_of(pool, f"{url}/after") == b"right"
    assert requests == [b"/before", b"/other", b"/after"]


async def test_an_answer_that_is_not_wanted_whole_does_not_take_the_place_of_others():
    """Closed before its end, it gives its place in the pool back."""
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nthe beginning"
    async with server(endless) as (url, _), open_pool(1) as pool:
        for _ in range(3):
            async with asyncio.timeout(5):
                response = await pool.handle_async_request(httpx.Request("GET", url))
                await response.aclose()
