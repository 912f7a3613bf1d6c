"""HTTP connections: what may be sent on one, and what all of them may hold.

uvicorn reads requests with httptools, which bounds neither a request's head, nor the framing and
trailers of a chunked body, nor how many requests come ahead of their answers, nor how many
connections there are. A stranger could fill the memory with any of them before a line of the
application has run.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from itertools import accumulate
from typing import Any, cast

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 64 * 1024  # bytes of a request's head; of its trailers; of a chunk's framing
MOST_HEADERS = 100
_PIECE = 16 * 1024  # bytes that are read at once; what is over a bound is seen after each
_LEAST_PIECE = 256  # bytes of body, on the average: one byte is as dear to take as a thousand
_MOST_SMALL = 1_000  # pieces of body that may be smaller than that
MOST_CONNECTIONS = 4_096
_MOST_AHEAD = 8  # requests on a connection that wait for the answer to an earlier one
_MOST_HEADS = 64 * 1024 * 1024  # bytes of head of all requests that are still arriving
_MOST_UNREAD = 64 * 1024 * 1024  # bytes of all answers that their callers have not taken
_MOST_DISCARDED = 8 * 1024 * 1024  # bytes of a body that comes after its answer
_HEAD_SECONDS = 10.0  # for the rest of a head that has begun
_REQUEST_SECONDS = 40.0  # for a whole request; a body that takes 30 s is answered 408
_ANSWER_SECONDS = 120.0  # for the caller to take an answer
_RETRY_SECONDS = 5

_TOO_LARGE = f"The head of a request may hold {MOST_HEAD} bytes and {MOST_HEADERS} headers."
_TOO_MUCH = "The request holds too much beside its body."
_TOO_MANY = "There are too many connections. Try again."


class Refused(Exception):
    """What is sent is over a bound; raised from the parser's callbacks to stop it."""


class Connection(HttpToolsProtocol):
    """A connection within bounds.

    Bytes are counted from one piece of body to the next, so that a head, a chunk's framing and the
    trailers have the same bound; and what the pieces lack in size is added up, so that a body in
    chunks of a byte is refused too.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*given, **named)
        self.since = self.loop.time()  # when it opened or, after that, its newest request began
        self._begun = False  # some of a request is there
        self._in_head = True
        self._arrived = False  # the newest request, whole
        self._beside = 0
        self._lacking = 0
        self._discarded = 0
        self._large_head = False
        self._over = False  # nothing more is read

    # --- What arrives ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; if there are too many, those that wait longest make room."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            others = [cast(Connection, each) for each in self.connections if each is not self]
            if not _make_room(others):
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, _TOO_MANY)

    def data_received(self, data: bytes) -> None:
        """Read on, in pieces."""
        if len(data) <= _PIECE:
            self._read(data)
            return
        for start in range(0, len(data), _PIECE):
            self._read(data[start : start + _PIECE])

    def _read(self, data: bytes) -> None:
        if self._over or self.transport.is_closing():
            return
        self._beside += len(data)
        super().data_received(data)
        if self._arrived or self._over:
            return
        too_many = self._begun and len(self.headers) > MOST_HEADERS
        too_small = self._lacking > _MOST_SMALL * _LEAST_PIECE
        if too_many or too_small or self._beside > MOST_HEAD:
            self._large_head = self._in_head
            self.send_400_response(_TOO_MUCH)

    def on_message_begin(self) -> None:
        """Begin another request."""
        super().on_message_begin()
        self.since = self.loop.time()
        self._begun, self._in_head, self._arrived = True, True, False

    def on_headers_complete(self) -> None:
        """Hand a request whose head is there to the application."""
        long = self._beside > MOST_HEAD and _size(self.url, self.headers) > MOST_HEAD
        if long or len(self.headers) > MOST_HEADERS:
            self._large_head = True
            raise Refused
        if len(self.pipeline) >= _MOST_AHEAD:
            raise Refused
        super().on_headers_complete()
        self._in_head = False
        self.headers = []  # for the trailers, which must not become headers

    def on_body(self, body: bytes) -> None:
        """Take some of a body; after the answer it is let go by, up to a bound."""
        self._beside = 0
        self._lacking += _LEAST_PIECE - len(body)
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > _MOST_DISCARDED:
                self.transport.close()

    def on_message_complete(self) -> None:
        """Note that the request is there."""
        super().on_message_complete()
        self._begun, self._arrived = False, True
        self._beside = self._lacking = self._discarded = 0

    # --- What is refused ------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, or is over a bound."""
        if self._large_head:
            self._answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)
        else:
            self._answer(HTTPStatus.BAD_REQUEST, msg)

    def _answer(self, status: HTTPStatus, detail: str) -> None:
        """Answer past the application and close the connection."""
        self._over = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.write(_problem(status, detail))
        elif self._in_head or self._arrived:  # an earlier request is being answered
            if not self.pipeline:
                cycle.keep_alive = False  # it closes when it has its answer
                self.flow.pause_reading()
                return
        elif not (cycle.response_started or self.pipeline):
            self.transport.write(_problem(status, detail))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False  # no WebSockets: what speaks them would log the address with its query

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is served as if it had not asked for another protocol."""

    # --- What it holds --------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether we owe it no answer."""
        return not self._arrived or self.cycle is None or self.cycle.response_complete

    @property
    def held(self) -> int:
        """The bytes of head of a request that is still arriving."""
        if not self._begun:
            return 0
        scope = self.scope
        return self._beside if self._in_head else _size(scope["raw_path"], scope["headers"])

    @property
    def unread(self) -> int:
        """The bytes of an answer that wait for the caller to take them."""
        return int(self.transport.get_write_buffer_size())

    def stuck(self, now: float) -> bool:
        """Whether its request does not arrive, or nobody takes its answer."""
        waited = now - self.since
        if self._arrived:
            return self.unread > 0 and self.waits and waited > _ANSWER_SECONDS
        if not self._begun:  # some proxies open connections before they need them
            return waited > self.timeout_keep_alive
        return waited > (_HEAD_SECONDS if self._in_head else _REQUEST_SECONDS)


def _size(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def _problem(status: HTTPStatus, detail: str) -> bytes:
    members = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    body = to_json(members)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
        *([f"retry-after: {_RETRY_SECONDS}"] if status is HTTPStatus.SERVICE_UNAVAILABLE else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _make_room(connections: Iterable[Connection]) -> bool:
    """Close an eighth of the connections to which we owe no answer; say if there were any.

    Those that have waited longest: a good webhook arrives within moments. Several at a time, as
    looking through all of them takes long.
    """
    waiting = sorted((each for each in connections if each.waits), key=lambda each: each.since)
    for each in waiting[: (len(waiting) + 7) // 8]:
        each.transport.abort()
    return bool(waiting)


def look_after(connections: Iterable[Connection], now: float) -> None:
    """Close connections that do not get on, and those that hold too much; to be called often."""
    newest = sorted(connections, key=lambda each: each.since, reverse=True)
    held = accumulate(each.held for each in newest)
    unread = accumulate(each.unread for each in newest)
    for each, all_held, all_unread in zip(newest, list(held), list(unread), strict=True):
        too_much = (each.held and all_held > _MOST_HEADS) or (
            each.unread and all_unread > _MOST_UNREAD
        )
        if too_much or each.stuck(now):
            each.transport.abort()
