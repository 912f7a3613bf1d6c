"""Connections that say nothing, or too much."""

import select
import socket
import time
from contextlib import ExitStack, suppress

from app.jebbit.signature import HEADER, sign
from tests.faults.scenarios.registry import BOTH, FEW_SECONDS, scenario
from tests.faults.stage import Stage


@scenario("half-open connections", BOTH, 10)
def half_open(stage: Stage, scale: int) -> None:
    """A good webhook gets in beside a thousand that say nothing, and 10 MB are cut off."""
    stage.begin()
    (service,) = stage.replicas
    before = service.memory
    with ExitStack() as stack:
        for each in range(100 * scale):
            other = stack.enter_context(socket.create_connection(service.address, timeout=60))
            other.sendall(b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost" * (each % 2))
        started = time.monotonic()
        stage.accept(("good", 0))
        took = time.monotonic() - started
        sent = _send_slowly(stack.enter_context(socket.create_connection(service.address, 60)))
    stage.settle()
    grown = service.memory - before
    stage.notes.append(
        f"202 after {took:.2f} s; cut off after {sent / 2**20:.1f} MB; {grown:.0f} MB more memory"
    )
    assert took < FEW_SECONDS
    assert grown < 150


def _head(*lines: bytes) -> bytes:
    """Return the head of a webhook that only its body can show to be wrong."""
    signature = sign(body=b"", secret="wrong", at=int(time.time()))
    first = b"POST /webhooks/jebbit/spring-quiz HTTP/1.1", b"Host: x"
    return b"\r\n".join([*first, f"{HEADER}: {signature}".encode(), *lines, b"", b""])


def _send_slowly(connection: socket.socket) -> int:
    """Send 10 MB in small pieces, until that is refused; return how much that was, in bytes."""
    connection.sendall(_head(b"Transfer-Encoding: chunked"))
    piece = 16 * 1024
    for sent in range(0, 10 * 2**20, piece):
        answered, _, _ = select.select([connection], [], [], 0.005)
        if answered:
            with suppress(ConnectionError):
                assert b" 413 " in connection.recv(65536)
            return sent
        connection.sendall(b"%x\r\n%b\r\n" % (piece, b"x" * piece))
    raise AssertionError("10 MB were taken")


@scenario("slow senders", ("sqlite",), 1)
def slow_senders(stage: Stage, scale: int) -> None:
    """A connection whose request does not get on is closed, in its head as in its body."""
    stage.begin()
    (service,) = stage.replicas
    head = _head(b"Content-Length: 9")
    with ExitStack() as stack:
        for said in (b"", head[:20], head, head + b"x", head.replace(b"webhooks", b"erasures")):
            one = stack.enter_context(socket.create_connection(service.address, timeout=120))
            one.sendall(said)
            stack.callback(_read_to_the_end, one)


def _read_to_the_end(connection: socket.socket) -> None:
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass
