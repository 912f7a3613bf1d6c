"""Answers of other people's servers are read within bounds, whoever asks."""

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import httpx
import pytest

from app.answers import MOST_BYTES, Answer, UnreadableAnswer, exchange
from app.cordial.client import CordialClient
from app.cordial.errors import AccessRefused, RateLimited, Unavailable
from app.delivery.notifier import Notifier
from app.jebbit.credentials import ApiCredentials
from app.jebbit_api.client import JebbitApi, Unreachable
from app.ledger.database import Database
from app.ledger.notices import NoticeKind, announce
from app.pool import client_on, open_pool

SECONDS = 0.5  # that an answer may take
BODY = b'{"success": true, "cID": "1"}'
BOMB = gzip.compress(bytes(64 * MOST_BYTES))  # 64 KB


@asynccontextmanager
async def answering(*pieces: bytes, then: Iterable[bytes] = ()) -> AsyncIterator[str]:
    """Answer every request with these bytes, then drip others; yield the server's address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for each in pieces:
                writer.write(each)
                await writer.drain()
            for each in then:
                writer.write(each)
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def head(status: int, length: int | None = None, **more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", *(f"{name.replace('_', '-')}: {more[name]}" for name in more)]
    lines += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def whole(status: int, body: bytes, **more: str) -> bytes:
    return head(status, len(body), **more) + body


async def asked(url: str, **more: Any) -> Answer:
    """Return what a server answers, asked through the pool that the service uses."""
    async with open_pool(1) as pool:
        request = httpx.Request("GET", url)
        return await exchange(pool.handle_async_request, request, SECONDS, **more)


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
async def test_an_answer_is_read_whole(coding: str, compress: Callable[[bytes], bytes]) -> None:
    """Plain or compressed, up to a MiB of it."""
    body = BODY.ljust(MOST_BYTES)
    async with answering(whole(200, compress(body), Content_Encoding=coding)) as url:
        answer = await asked(url)
    assert (answer.status, answer.content, answer.is_success) == (200, body, True)


@pytest.mark.parametrize(
    "reply",
    [
        whole(200, b"x" * (MOST_BYTES + 1)),
        whole(200, BOMB, Content_Encoding="gzip"),
        whole(200, b"no gzip", Content_Encoding="gzip"),
        whole(200, gzip.compress(BOMB), Content_Encoding="gzip, gzip"),
        whole(200, b"?", Content_Encoding="br"),
    ],
    ids=["too large", "bomb", "not compressed", "compressed twice", "in another way"],
)
async def test_a_success_that_cannot_be_read_is_none(reply: bytes) -> None:
    """What it says is not known."""
    async with answering(reply) as url:
        with pytest.raises(UnreadableAnswer):
            await asked(url)
    async with answering(reply.replace(b" 200 ", b" 429 ", 1)) as url:
        answer = await asked(url)
    assert (answer.status, answer.content) == (429, b"")


async def test_a_compressed_answer_fills_no_memory() -> None:
    """64 KB that become 64 MiB are read no further than a MiB."""
    async with answering(whole(200, BOMB, Content_Encoding="gzip")) as url:
        tracemalloc.start()
        with pytest.raises(UnreadableAnswer):
            await asked(url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * MOST_BYTES


@pytest.mark.parametrize(
    ("begins", "drips"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (head(200, 1000), b"x"),
        (head(200, Transfer_Encoding="chunked"), b"1\r\nx\r\n"),
    ],
    ids=["nothing", "its head", "its body", "its chunks"],
)
async def test_one_deadline_holds_for_the_whole_answer(begins: bytes, drips: bytes) -> None:
    """Each byte comes soon after the one before, and the answer never."""
    async with answering(begins, then=repeat(drips)) as url:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await asked(url)
    assert time.monotonic() - started < 10 * SECONDS


async def test_where_only_the_status_matters_no_body_is_waited_for() -> None:
    """What would come is not read."""
    async with answering(head(204 + 1, 1000), then=repeat(b"x")) as url:
        answer = await asked(url, most=0)
    assert (answer.status, answer.content) == (205, b"")


# --- Those who ask ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"), [(200, Unavailable), (401, AccessRefused), (429, RateLimited)]
)
async def test_cordials_status_stands_though_its_answer_cannot_be_read(
    status: int, error: type[Exception]
) -> None:
    """A refusal is one whatever its page weighs; a success must be read."""
    async with open_pool(1) as pool, answering(whole(status, BOMB, Content_Encoding="gzip")) as url:
        client = CordialClient(pool, f"{url}/v2", "key", timeout=SECONDS)
        with pytest.raises(error):
            await client.upsert({"channels": {"email": {"address": "ann@example.com"}}}, tries=1)


@pytest.mark.parametrize("reply", [whole(200, BOMB, Content_Encoding="gzip"), head(200, 10)])
async def test_jebbits_answers_are_bounded_too(reply: bytes) -> None:
    """In size as in time."""
    async with (
        open_pool(1) as pool,
        client_on(pool) as http,
        answering(reply, then=repeat(b"")) as url,
    ):
        with pytest.raises(Unreachable):
            await JebbitApi(http, url, timeout=SECONDS).test(ApiCredentials("id", "secret"), "1")


async def test_a_dripping_hook_stops_no_notice(database: Database) -> None:
    """Its status says that it took the notice; nobody waits for the rest."""
    for name in ("one", "two"):
        async with database.write() as connection:
            await announce(connection, NoticeKind.BLOCKED, name, 100.0, "the key is wrong.")
    async with (
        open_pool(1) as pool,
        client_on(pool) as http,
        answering(head(200, 1000), then=repeat(b"x")) as url,
    ):
        notifier = Notifier(database, http, url, "http://ops", lambda: 200.0)
        assert await asyncio.wait_for(notifier.tell(), 5) == 2
