"""Jebbit's side: posts signed webhooks from a process of its own, `python -m tests.load.client`.

It reads a `Load` as JSON from standard input and writes a `Measured` as JSON. All requests are
made and signed before the clock starts, so that sending them costs little.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

import uvloop

from app.jebbit.signature import HEADER, sign

_ROOT = Path(__file__).parents[2]
_TICK = 0.001  # s
_PATIENCE = 60.0  # s for what is under way at the end


@dataclass(frozen=True)
class Load:
    """What to post.

    At most `most` webhooks of `batch` submissions each, numbered from `first`. Without a `rate`
    (webhooks per second) every connection posts again as soon as it is answered.
    """

    port: int
    path: str
    secret: str
    first: int
    most: int
    seconds: float
    batch: int = 1
    connections: int = 50
    rate: float | None = None


@dataclass(frozen=True)
class Measured:
    """What came of it; times in seconds.

    `first` is the number of the first submission. `answered_at` gives, in the order of the
    webhooks, the monotonic time of each answer. `busy` is the share of the time that the client
    itself was at work: near 1 it would measure itself.
    """

    first: int
    statuses: dict[str, int]
    seconds: float
    p50: float
    p99: float
    busy: float
    answered_at: list[float]

    @property
    def answers(self) -> int:
        """How many were answered."""
        return len(self.answered_at)

    @property
    def rate(self) -> float:
        """Webhooks answered in a second."""
        return self.answers / self.seconds


def post(load: Load) -> Measured:
    """Post from a process of its own, and return what came of it.

    Raises:
        AssertionError: something else than 202 was answered.
    """
    command = [sys.executable, "-m", "tests.load.client"]
    spec = json.dumps(asdict(load)).encode()
    with TemporaryFile() as output:
        subprocess.run(command, input=spec, stdout=output, cwd=_ROOT, check=True)
        output.seek(0)
        measured = Measured(**json.load(output))
    assert set(measured.statuses) == {"202"}, measured.statuses
    return measured


# --- What Jebbit sends ----------------------------------------------------------------------

_ANSWERS = b",".join(b'"question_%d":"Answer %d to it"' % (n, n) for n in range(1, 9))
_SUBMISSION = (
    b'{"email":"%(email)b","first_name":"Ann","opt_in":"true","country_code":"US",%(phone)b'
    b'"user_session_id":"session-%(number)d","experience_date":"%(date)b",'
    b'"campaign_id":"c-17","campaign_name":"Spring quiz","outcome":"Bold","is_completed":true,'
    b'"favorite_colors":"red|blue",' + _ANSWERS + b"}"
)


_FIRST_AT = datetime(2026, 11, 10, tzinfo=UTC)
_SECONDS = 864_000  # with a submission in each, then the same again


def occurred_at(number: int) -> datetime:
    """Return when the submission was."""
    return _FIRST_AT + timedelta(seconds=number % _SECONDS)


def address(number: int) -> str:
    """Return the email address in a submission."""
    return f"person-{number}@example.com"


def number_of(email: str) -> int:
    """Return the number of the submission that has this address."""
    return int(email.partition("@")[0].rpartition("-")[2])


def phone(number: int) -> str | None:
    """Return the phone number in a submission; one in four has one."""
    return f"+1202555{number // 4 % 10_000:04d}" if number % 4 == 0 else None


def submission(number: int) -> bytes:
    """Return a person's answers, all with an address and a session of their own."""
    given = phone(number)
    return _SUBMISSION % {
        b"date": f"{occurred_at(number):%Y-%m-%d %H:%M:%S UTC}".encode(),
        b"email": address(number).encode(),
        b"phone": b'"phone_number":"%b",' % given.encode() if given else b"",
        b"number": number,
    }


def _requests(load: Load) -> Iterator[bytes]:
    """Yield whole requests, signed now."""
    at = int(time.time())
    head = (
        f"POST {load.path} HTTP/1.1\r\nhost: 127.0.0.1:{load.port}\r\nuser-agent: Jebbit\r\n"
        "content-type: application/json\r\naccept: */*\r\n"
    )
    for number in range(load.first, load.first + load.most * load.batch, load.batch):
        items = (
            b'{"data":%b,"event":{"event_number":0}}' % submission(number + each)
            for each in range(load.batch)
        )
        body = b"[%b]" % b",".join(items)
        signed = f"{HEADER}: {sign(body=body, secret=load.secret, at=at)}\r\n"
        yield f"{head}{signed}content-length: {len(body)}\r\n\r\n".encode() + body


# --- Posting it -----------------------------------------------------------------------------


class _Poster:
    """Hands requests that are released to connections that are idle."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = list(_requests(load))
        self._idle: deque[_Connection] = deque()  # in turns: an idle one would be closed
        self._released = self._next = 0
        self._limit = load.most
        self._done = asyncio.Event()
        self.statuses: Counter[str] = Counter()
        self.sent_at = [0.0] * load.most
        self.answered_at = [0.0] * load.most
        self._answers = 0

    async def run(self) -> float:
        """Post all, and return how long it took from the first request to the last answer."""
        loop = asyncio.get_running_loop()
        for _ in range(self._load.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self._load.port
            )
            self._idle.append(connection)
        started = time.monotonic()
        if self._load.rate is None:
            self._release(self._load.most)
            loop.call_later(self._load.seconds, self._end)
        else:
            await self._pace(started, self._load.rate)
        async with asyncio.timeout(self._load.seconds + _PATIENCE):
            await self._done.wait()
        return max(self.answered_at) - started

    def results(self) -> tuple[list[float], list[float]]:
        """Return when each was answered, and how long each waited for it."""
        answered = self.answered_at[: self._next]
        sent = self.sent_at[: self._next]
        return answered, [end - start for start, end in zip(sent, answered, strict=True)]

    async def _pace(self, started: float, rate: float) -> None:
        while self._released < self._load.most:
            self._release(min(self._load.most, int((time.monotonic() - started) * rate)))
            await asyncio.sleep(_TICK)

    def _release(self, count: int) -> None:
        self._released = count
        while self._idle and self._next < self._released:
            self._send(self._idle.popleft())

    def _end(self) -> None:
        self._released = self._limit = self._next
        self._look_for_end()

    def _send(self, connection: "_Connection") -> None:
        place, self._next = self._next, self._next + 1
        connection.place = place
        self.sent_at[place] = time.monotonic()
        connection.transport.write(self._requests[place])

    def answered(self, connection: "_Connection", status: str) -> None:
        """Note an answer, and send what comes next."""
        self.answered_at[connection.place] = time.monotonic()
        self.statuses[status] += 1
        self._answers += 1
        if self._next < self._released:
            self._send(connection)
        else:
            self._idle.append(connection)
            self._look_for_end()

    def _look_for_end(self) -> None:
        if self._answers == self._limit:
            self._done.set()


class _Connection(asyncio.Protocol):
    """A connection that is kept; one request at a time."""

    transport: asyncio.Transport

    def __init__(self, poster: _Poster) -> None:
        self._poster = poster
        self._buffer = b""
        self.place = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        name = self._buffer.lower().index(b"content-length:")
        length = int(self._buffer[name + 15 : self._buffer.index(b"\r", name)])
        if len(self._buffer) >= end + 4 + length:
            status, self._buffer = self._buffer[9:12].decode(), b""
            self._poster.answered(self, status)


async def _run(load: Load) -> Measured:
    poster = _Poster(load)
    gc.disable()  # it would look through all the requests again and again
    busy = time.process_time()
    seconds = await poster.run()
    busy = time.process_time() - busy
    answered_at, waits = poster.results()
    p50, p99 = (sorted(waits)[int(len(waits) * share)] for share in (0.5, 0.99))
    busy /= seconds
    return Measured(load.first, dict(poster.statuses), seconds, p50, p99, busy, answered_at)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_run(Load(**json.load(sys.stdin)))))))
