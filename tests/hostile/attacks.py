"""What strangers do: `python -m tests.hostile.attacks PORT CORDIAL_PORT`, on this machine alone.

Attacks run in a process of their own, so that they take no time of whoever measures meanwhile. A
line of its input names one, the next line ends it; then it tells as JSON what the attack met.
"""

import gzip
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from app.jebbit.signature import HEADER, sign

GOOD, GREEDY, HOSTILE = "spring-quiz", "greedy", "hostile-account"  # integrations
GREEDY_SECRET = "whsec-of-the-greedy-source"
MIB = 2**20
_PACE = 0.008  # s between the tries of one thread: with four, 500 a second

Tries = Iterator[str]
"""What came of each try: a status, or how it ended."""


@dataclass(frozen=True)
class Target:
    """The service, by its port, and the port on which we play a Cordial that means harm."""

    port: int
    cordial_port: int
    stop: threading.Event = field(default_factory=threading.Event)

    def open(self) -> socket.socket:
        """Connect."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


Attack = Callable[[Target], Tries]
ATTACKS: dict[str, tuple[Attack, int]] = {}
"""By name: the attack, and how many threads of it there are."""


def attack(name: str, threads: int = 1) -> Callable[[Attack], Attack]:
    """Enter an attack into the list."""

    def enter(tries: Attack) -> Attack:
        ATTACKS[name] = (tries, threads)
        return tries

    return enter


# --- Requests -----------------------------------------------------------------------------------


def head(*lines: bytes, path: str = GOOD, first: bytes = b"") -> bytes:
    """Return the head of a webhook."""
    first = first or f"POST /webhooks/jebbit/{path} HTTP/1.1".encode()
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""])


def signature(body: bytes, secret: str) -> bytes:
    """Return a signature header's line."""
    return f"{HEADER}: {sign(body=body, secret=secret, at=int(time.time()))}".encode()


def webhook(body: bytes, secret: str, path: str = GOOD) -> bytes:
    """Return a webhook, signed as if at this moment."""
    return head(signature(body, secret), b"Content-Length: %d" % len(body), path=path) + body


def answer_to(connection: socket.socket) -> str:
    """Return the status of the next answer, or that there is none."""
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            if not (piece := connection.recv(65536)):
                return "cut off"
            received += piece
        top, _, body = received.partition(b"\r\n\r\n")
        length = int(top.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length and (piece := connection.recv(65536)):
            body += piece
        return top.split(b" ")[1].decode()
    except TimeoutError:
        return "no answer"
    except (OSError, ValueError):
        return "cut off"


def again_and_again(target: Target, request: Callable[[], bytes], pace: float = _PACE) -> Tries:
    """Send requests, over one connection as long as it lasts."""
    connection = target.open()
    while not target.stop.wait(pace):
        with suppress(OSError):
            connection.sendall(request())
        if (came := answer_to(connection)) in ("cut off", "no answer", "400", "413", "431"):
            connection.close()
            connection = target.open()
        yield came


def without_end(target: Target, begin: bytes, more: bytes, most: int = 24 * MIB) -> Tries:
    """Send up to so many bytes on each of several connections, one after the other."""
    while not target.stop.is_set():
        with target.open() as connection:
            with suppress(OSError):
                connection.sendall(begin)
                for _ in range(most // len(more)):
                    connection.sendall(more)
                    if target.stop.is_set():
                        break
            yield answer_to(connection)


# --- Refused webhooks ---------------------------------------------------------------------------


@attack("1,000 signatures on 1 MiB")
def many_signatures(target: Target) -> Tries:
    """A header that would have the body digested once for each."""
    body = b"x" * MIB
    line = f"{HEADER}: t={int(time.time())}".encode() + b",v1=" * 1_000
    return again_and_again(target, lambda: head(line, b"Content-Length: %d" % MIB) + body, 0.01)


@attack("wrong signatures on 1 MiB", threads=2)
def large_forgeries(target: Target) -> Tries:
    """What only its whole body shows to be wrong."""
    body = b"x" * MIB
    return again_and_again(target, lambda: webhook(body, "wrong"), 0.04)


@attack("wrong signatures, 500 a second", threads=4)
def forgeries(target: Target) -> Tries:
    """Small ones, many."""
    return again_and_again(target, lambda: webhook(b"{}", "wrong"))


@attack("made-up ids, 500 a second", threads=4)
def made_up_ids(target: Target) -> Tries:
    """No two alike."""
    return again_and_again(
        target, lambda: webhook(b"{}", "wrong", f"quiz-{random.randrange(10**9)}")
    )


@attack("Content-Length of 5,000 zeros")
def zeros(target: Target) -> Tries:
    """A number that Python does not read."""
    return again_and_again(
        target, lambda: head(signature(b"", "wrong"), b"Content-Length: " + b"0" * 5_000)
    )


@attack("an upgrade to WebSocket")
def upgrades(target: Target) -> Tries:
    """With an address in its query, that no log may show."""
    lines = b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"
    key = b"Sec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA=="
    first = b"GET /x?email=ann.secret@example.com HTTP/1.1"
    return again_and_again(target, lambda: head(*lines, key, first=first))


# --- Heads and what is beside a body ------------------------------------------------------------


@attack("24 MB of header lines", threads=2)
def header_lines(target: Target) -> Tries:
    """A head that does not end."""
    return without_end(target, head()[:-2], b"X-Some: some\r\n" * 5_000)


@attack("an address without end", threads=2)
def long_address(target: Target) -> Tries:
    """In small pieces, each of which would be joined to all before it."""
    return without_end(target, b"GET /", b"x" * 1_000, 8 * MIB)


@attack("trailers without end", threads=2)
def trailers(target: Target) -> Tries:
    """After a body in chunks."""
    begin = head(signature(b"{}", "wrong"), b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n"
    return without_end(target, begin, b"X-Some: some\r\n" * 1_000)


@attack("chunks of one byte", threads=2)
def small_chunks(target: Target) -> Tries:
    """Six bytes to be read for each of them."""
    begin = head(signature(b"", "wrong"), b"Transfer-Encoding: chunked")
    return without_end(target, begin, b"1\r\nx\r\n" * 1_000)


@attack("10,000 requests ahead of an answer")
def ahead(target: Target) -> Tries:
    """All to be kept until the first is answered."""
    return without_end(target, b"", webhook(b"{}", "wrong") * 10_000, 4 * MIB)


# --- Connections and bodies that stall ----------------------------------------------------------


@attack("1,000 silent connections")
def silent(target: Target) -> Tries:
    """Half of them with half a head."""
    with ExitStack() as opened:
        for number in range(1_000):
            connection = opened.enter_context(target.open())
            connection.sendall(head()[: 40 * (number % 2)])
            yield "opened"
        target.stop.wait()


@attack("200 bodies of 1 MiB that stall")
def stalled_bodies(target: Target) -> Tries:
    """Each but for its last byte."""
    with ExitStack() as opened:
        connections = []
        for _ in range(200):
            connection = opened.enter_context(target.open())
            connection.settimeout(1)
            line = signature(b"", "wrong")
            with suppress(OSError):
                connection.sendall(head(line, b"Content-Length: %d" % MIB) + b"x" * (MIB - 1))
            connections.append(connection)
        target.stop.wait()
        for connection in connections:
            connection.settimeout(0.01)
            yield answer_to(connection)


# --- A source with a valid secret ---------------------------------------------------------------


def _distinct(size: int) -> bytes:
    """Return a body that is like no other."""
    item = {"email": f"g{random.randrange(10**12)}@example.com", "opt_in": "true", "x": "x" * size}
    return json.dumps(item).encode()


@attack("48 x 0.9 MB from another source", threads=48)
def greedy(target: Target) -> Tries:
    """Signed, stored, and as fast as they are taken."""
    return again_and_again(
        target, lambda: webhook(_distinct(900_000), GREEDY_SECRET, GREEDY), pace=0
    )


@attack("full batches from another source", threads=8)
def batches(target: Target) -> Tries:
    """1,000 submissions in each, of 500 bytes."""

    def batch() -> bytes:
        items = b",".join(_distinct(400) for _ in range(1_000))
        return webhook(b"[" + items + b"]", GREEDY_SECRET, GREEDY)

    return again_and_again(target, batch, pace=0)


@attack("50,000 keys of their own", threads=2)
def many_keys(target: Target) -> Tries:
    """Each webhook with other keys."""

    def keys() -> bytes:
        begin = random.randrange(10**9)
        return json.dumps({f"k{begin + n}": n for n in range(50_000)}).encode()

    return again_and_again(target, lambda: webhook(keys(), GREEDY_SECRET, GREEDY), pace=0.1)


@attack("a URL's parameters without end", threads=2)
def long_parameters(target: Target) -> Tries:
    """Of the shapes that are dear to read."""
    shapes = ["a=b&", "%25", "?", "&amp;", "a[b]=", "%26email%3D", '{"a":', "#;"]

    def body() -> bytes:
        shape = random.choice(shapes)
        text = shape * (900_000 // len(shape))
        return json.dumps({"email": "u@example.com", "url_params": text}).encode()

    return again_and_again(target, lambda: webhook(body(), GREEDY_SECRET, GREEDY), pace=0.1)


# --- Other people's servers ---------------------------------------------------------------------


def _hostile_cordial(target: Target, reply: bytes, drip: bytes = b"") -> Tries:
    """Answer whoever calls, and let webhooks come that make the service call."""
    met: Counter[str] = Counter()
    server = socket.create_server(("127.0.0.1", target.cordial_port))
    threading.Thread(target=_answer_all, args=(server, reply, drip, target, met)).start()
    connection = target.open()
    while not target.stop.wait(0.05):
        connection.sendall(webhook(_distinct(10), GREEDY_SECRET, HOSTILE))
        yield f"webhook {answer_to(connection)}"
    server.close()
    yield from met.elements()


def _answer_all(
    server: socket.socket, reply: bytes, drip: bytes, target: Target, met: Counter[str]
) -> None:
    while not target.stop.is_set():
        try:
            connection, _ = server.accept()
        except OSError:
            return
        thread = threading.Thread(target=_answer, args=(connection, reply, drip, target, met))
        thread.daemon = True
        thread.start()


def _answer(
    connection: socket.socket, reply: bytes, drip: bytes, target: Target, met: Counter[str]
) -> None:
    met["call"] += 1
    with connection, suppress(OSError):
        connection.recv(65536)
        connection.sendall(reply)
        while drip and not target.stop.wait(0.05):
            connection.sendall(drip)


def _reply(status: str, body: bytes, *lines: str) -> bytes:
    length = f"Content-Length: {len(body)}"
    return "\r\n".join([f"HTTP/1.1 {status}", length, *lines, "", ""]).encode() + body


@attack("a refusal of 900,000 characters")
def long_refusal(target: Target) -> Tries:
    """Cordial repeats what it refuses."""
    message = {"message": "x" * 900_000, "errorKey": "RECORD_REJECTED"}
    return _hostile_cordial(target, _reply("422 No", json.dumps(message).encode()))


@attack("100 KB that become 100 MB")
def compressed(target: Target) -> Tries:
    """A compressed answer."""
    packed = gzip.compress(bytes(100 * MIB))
    return _hostile_cordial(target, _reply("200 OK", packed, "Content-Encoding: gzip"))


@attack("an answer that drips")
def dripping(target: Target) -> Tries:
    """For ever, a byte at a time."""
    return _hostile_cordial(target, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x")


# --- Running ------------------------------------------------------------------------------------


def main() -> None:
    """Begin each attack that a line of standard input names, and end it at the next line."""
    ports = [int(each) for each in sys.argv[1:]]
    for name in sys.stdin:
        _play(name.strip(), Target(*ports))


def _play(name: str, target: Target) -> None:
    tries, threads = ATTACKS[name]
    met, lock = Counter[str](), threading.Lock()

    def run() -> None:
        for came in tries(target):
            with lock:
                met[came] += 1

    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for each in running:
        each.start()
    print("begun", flush=True)
    sys.stdin.readline()
    target.stop.set()
    for each in running:
        each.join(15)
    print(json.dumps(met), flush=True)


if __name__ == "__main__":
    main()
