"""What a stranger sends on a connection is bounded before any of it reaches the application."""

import asyncio
import json
import logging
import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app import connections
from app import serving as serving_module
from app.connections import MOST_HEAD, MOST_HEADERS
from app.serving import serving
from tests.conftest import wait_for


class Echo:
    """Says what it was sent.

    `/later` waits for `go`, `/much` says much, `/refuse` reads nothing.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.under_way = 0
        self.state = SimpleNamespace()  # in which the server looks for what is to be drained

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.under_way += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self.under_way -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", scope["path"] != "/refuse"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/later":
            await asyncio.to_thread(self.go.wait, 10)
        said = {"path": scope["path"][:20], "headers": len(scope["headers"]), "body": len(body)}
        answer = b"x" * 2**26 if scope["path"] == "/much" else json.dumps(said).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Echo, tuple[str, int]]]:
    """An application, and where it is served as the service is."""
    made = Echo()
    with serving(made) as url:  # type: ignore[arg-type]
        host, port = url.removeprefix("http://").split(":")
        yield made, (host, int(port))


@pytest.fixture
def echo(served: tuple[Echo, tuple[str, int]]) -> Iterator[Echo]:
    """The application, whose `/later` waits; what it still says is not said to the next test."""
    served[0].go.clear()
    yield served[0]
    served[0].go.set()
    wait_for(lambda: not served[0].under_way)


@pytest.fixture
def connect(echo: Echo, served: tuple[Echo, tuple[str, int]]) -> Iterator[Any]:
    """Open connections that are closed at the end."""
    with ExitStack() as opened:

        def one() -> socket.socket:
            return opened.enter_context(socket.create_connection(served[1], timeout=10))

        yield one


def head(*lines: bytes, first: bytes = b"POST /x HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""])


def status_of(connection: socket.socket) -> int:
    """Return the status of the answer that comes; 0 if the connection is closed without one."""
    received = b""
    with suppress(ConnectionError):
        while b"\r\n" not in received and (piece := connection.recv(65536)):
            received += piece
    return int(received.split(b" ")[1]) if received else 0


def everything_from(connection: socket.socket) -> bytes:
    """Return what comes until the connection is closed."""
    received = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received


def send_in_pieces(connection: socket.socket, data: bytes, size: int) -> None:
    with suppress(ConnectionError):
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])


def send_without_end(connection: socket.socket) -> None:
    for _ in range(100_000):
        connection.sendall(b"x" * 2**16)


CHUNKED = b"Transfer-Encoding: chunked"
LINE = b"X-Long: " + b"x" * 1000


# --- Heads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [10**9, 50_000, 1_000])
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head(b"X: " + b"x" * (MOST_HEAD - 100)), 200),
        (head(*[b"X: y"] * (MOST_HEADERS - 1)), 200),
        (head(first=b"GET /%b HTTP/1.1" % (b"x" * (MOST_HEAD - 100))), 200),
        (head(b"X: " + b"x" * MOST_HEAD), 431),
        (head(b"x" * MOST_HEAD + b": x"), 431),
        (head(*[LINE] * 70), 431),
        (head(*[b"X: y"] * MOST_HEADERS), 431),
        (head(*[b"X: y"] * 300_000), 431),
        (head(first=b"GET /%b HTTP/1.1" % (b"x" * MOST_HEAD)), 431),
        (head(first=b"GET /%b HTTP/1.1" % (b"x" * 2**20)), 431),
        (head(first=b"GET /?%b HTTP/1.1" % (b"x" * 2**20)), 431),
        (head(first=b"GET http://%b/ HTTP/1.1" % (b"x" * 2**20)), 431),
        (head(b"X: " + b"x" * 2**20), 431),
        (b"\r\n" * 2**19, 431),
        (b"POST" * 2**16, 400),
        (b"x" * 2**20, 400),
    ],
)
def test_a_head_is_bounded(connect: Any, request_: bytes, status: int, pieces: int) -> None:
    """64 KiB and 100 headers, of whatever it consists and however it arrives."""
    connection = connect()
    send_in_pieces(connection, request_, pieces)
    assert status_of(connection) == status


def test_a_head_that_is_too_large_is_told_why(connect: Any) -> None:
    """A problem document, then the end."""
    connection = connect()
    connection.sendall(head(*[b"X: y"] * 101))
    answer = everything_from(connection)
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["status"], told["title"]) == (431, "Request Header Fields Too Large")
    assert b"content-type: application/problem+json" in answer


# --- Beside the body ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"%x\r\n%b\r\n" % (2**20, b"x" * 2**20) + b"0\r\n\r\n", 200),
        (b"400\r\n%b\r\n" % (b"x" * 1024) * 1024 + b"0\r\n\r\n", 200),
        (b"1\r\nx\r\n" * 900 + b"0\r\n\r\n", 200),
        (b"100\r\n%b\r\n" % (b"x" * 256) * 8_192 + b"0\r\n\r\n", 200),
        (b"1\r\nx\r\n0\r\n%b\r\n" % (b"X: y\r\n" * 50), 200),
        (b"1\r\nx\r\n" * 300_000 + b"0\r\n\r\n", 400),
        (b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 300_000 + b"\r\n", 400),
        (b"1\r\nx\r\n0\r\nX: " + b"y" * 2**20 + b"\r\n\r\n", 400),
        (b"1;" + b"x" * 2**20 + b"\r\nx\r\n0\r\n\r\n", 400),
        (b"0" * 2**20 + b"1\r\nx\r\n0\r\n\r\n", 400),
        (b"no chunk", 400),
    ],
    ids=[
        "one chunk",
        "chunks of a KiB",
        "some small chunks",
        "chunks of 256 bytes",
        "trailers",
        "chunks of a byte",
        "many trailers",
        "a long trailer",
        "a long extension",
        "a long size",
        "no chunk",
    ],
)
@pytest.mark.parametrize("pieces", [10**9, 10_000])
def test_what_comes_beside_a_body_is_bounded(
    connect: Any, body: bytes, status: int, pieces: int
) -> None:
    """The framing of chunks and the trailers, each and together."""
    connection = connect()
    send_in_pieces(connection, head(CHUNKED) + body, pieces)
    assert status_of(connection) == status


def test_trailers_do_not_become_headers(connect: Any) -> None:
    """What comes after the body was not there when it was judged."""
    connection = connect()
    connection.sendall(head(CHUNKED) + b"1\r\nx\r\n")
    connection.sendall(b"0\r\nX-Jebbit-Signature: t=1,v1=x\r\n\r\n")
    answer = connection.recv(65536)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"] == 2


def test_a_body_after_its_answer_is_bounded(connect: Any, monkeypatch: Any) -> None:
    """Whoever goes on sending after a refusal is cut off."""
    monkeypatch.setattr(connections, "_MOST_DISCARDED", 2**20)
    connection = connect()
    connection.sendall(head(b"Content-Length: %d" % 2**40, first=b"POST /refuse HTTP/1.1"))
    with pytest.raises(ConnectionError):
        send_without_end(connection)


# --- Several on one connection ------------------------------------------------------------------


def test_requests_are_answered_in_order(connect: Any) -> None:
    """Several may come at once."""
    connection = connect()
    connection.sendall(b"".join(head(first=b"GET /%d HTTP/1.1" % n) for n in range(6)))
    received = b""
    while received.count(b'"path"') < 6:
        received += connection.recv(65536)
    assert re.findall(rb'"path": "/(\d)"', received) == [b"%d" % n for n in range(6)]


def test_requests_ahead_of_their_answers_are_bounded(connect: Any) -> None:
    """Thousands of them would be kept until the first is answered."""
    connection = connect()
    send_in_pieces(connection, head(first=b"GET /later HTTP/1.1") * 10_000, 10**9)
    assert everything_from(connection) == b""


def test_what_follows_a_request_does_not_cost_its_answer(connect: Any, echo: Echo) -> None:
    """A sender that miscounts its body is answered all the same."""
    connection = connect()
    connection.sendall(head(b"Content-Length: 1", first=b"POST /later HTTP/1.1") + b"xyz !")
    echo.go.set()
    answer = everything_from(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


# --- What is said -------------------------------------------------------------------------------


def test_nothing_says_what_serves(connect: Any) -> None:
    """No Server header."""
    connection = connect()
    connection.sendall(head())
    assert b"\nserver:" not in connection.recv(65536).lower()


def test_there_are_no_websockets(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A request to become one is an ordinary request, and nothing of it is logged."""
    connection = connect()
    lines = b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"
    key = b"Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA=="
    with caplog.at_level(logging.DEBUG):
        connection.sendall(head(*lines, key, first=b"GET /x?email=ann@example.com HTTP/1.1"))
        assert status_of(connection) == 200
    assert "ann@" not in caplog.text
    assert not [each for each in caplog.records if each.name.startswith(("uvicorn", "websockets"))]


# --- How many -----------------------------------------------------------------------------------


def test_connections_that_wait_make_room(connect: Any, monkeypatch: Any) -> None:
    """However many say nothing, a request on another one is answered."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 10)
    silent = [connect() for _ in range(40)]
    for each in silent[::2]:
        with suppress(ConnectionError):
            each.sendall(head()[:-4])
    connection = connect()
    connection.sendall(head())
    assert status_of(connection) == 200


def test_there_may_be_too_many_to_be_answered(connect: Any, echo: Echo, monkeypatch: Any) -> None:
    """503 with Retry-After, and those that are being answered are answered."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 4)
    busy = [connect() for _ in range(4)]
    for each in busy:
        each.sendall(head(first=b"GET /later HTTP/1.1"))
    answer = _refused(connect)
    assert b"retry-after: " in answer
    assert answer.startswith(b"HTTP/1.1 503 ")
    echo.go.set()
    assert {status_of(each) for each in busy} == {200}


def _refused(connect: Any) -> bytes:
    """Return the answer to the first connection that is refused: requests take their moment."""
    for _ in range(100):
        if answer := everything_from(connect()):
            return answer
    raise AssertionError("none was refused")


@pytest.mark.parametrize("sent", [b"POST", head()[:-4], head(b"Content-Length: 9") + b"x"])
def test_a_request_that_does_not_get_on_is_cut_off(
    connect: Any, monkeypatch: Any, sent: bytes
) -> None:
    """In its head as in its body."""
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 0.1)
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.2)
    connection = connect()
    connection.sendall(sent)
    assert everything_from(connection) == b""


@pytest.mark.parametrize("bound", ["_ANSWER_SECONDS", "_MOST_UNREAD"])
def test_an_answer_that_nobody_takes_is_cut_off(connect: Any, monkeypatch: Any, bound: str) -> None:
    """It would be kept for ever."""
    still_open: list[set[Any]] = []

    def seen(opened: set[connections.Connection], now: float) -> None:
        connections.look_after(opened, now)
        still_open.append({each.client for each in opened if not each.transport.is_closing()})

    monkeypatch.setattr(serving_module, "look_after", seen)
    connection = connect()
    client = connection.getsockname()
    wait_for(lambda: still_open and client in still_open[-1])
    monkeypatch.setattr(connections, bound, 0.1)
    connection.sendall(head(first=b"GET /much HTTP/1.1"))
    wait_for(lambda: client not in still_open[-1])
    assert len(everything_from(connection)) < 2**26


def test_all_heads_together_are_bounded(connect: Any, monkeypatch: Any) -> None:
    """Some are cut off, and the others can go on."""
    monkeypatch.setattr(connections, "_MOST_HEADS", 150_000)
    opened = [connect() for _ in range(4)]
    for each in opened:
        each.sendall(head(b"X: " + b"x" * 50_000)[:-2])
    closed, _, _ = select.select(opened, [], [], 5)
    assert everything_from(closed[0]) == b""
    answers = []
    for each in opened:
        if each not in closed:
            with suppress(ConnectionError):
                each.sendall(b"\r\n")
            answers.append(status_of(each))
    assert 200 in answers
