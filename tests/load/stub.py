"""A Cordial that only answers, after a fixed time: `python -m tests.load.stub PORT SECONDS`.

It is cheap, so that the machine is the service's, and keeps no contacts. `GET /answers` gives, as
JSON, the address and the monotonic time of each answer since it was last asked; `GET /count` how
many upserts it has answered; `GET /seen` some whole requests.
"""

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

_SEEN = 1000
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ADDRESS = re.compile(rb'"address": ?"([^"]*@[^"]*)"')


class Stub(asyncio.Protocol):
    """One connection."""

    latency = 0.0
    answers: list[tuple[str, float]] = []  # noqa: RUF012 - the whole process has one
    seen: list[tuple[str, str]] = []  # noqa: RUF012
    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with an empty buffer."""
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that has arrived whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            request, self._buffer = self._buffer[:whole], self._buffer[whole:]
            self._take(request, end)

    def _take(self, request: bytes, end: int) -> None:
        if not request.startswith(b"POST"):
            self._answer(_report(request.split(b" ", 2)[1]))
            return
        if len(Stub.seen) < _SEEN:
            Stub.seen.append((request[:end].decode("latin-1"), request[end + 4 :].decode()))
        found = _ADDRESS.search(request, end)
        address = found[1].decode() if found else ""
        asyncio.get_running_loop().call_later(Stub.latency, self._upserted, address)

    def _upserted(self, address: str) -> None:
        if not self._transport.is_closing():
            self._answer(b'{"_id":"65f0c0ffee65f0c0ffee65f0"}')
            Stub.answers.append((address, time.monotonic()))
            Stub.count += 1

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


def _report(path: bytes) -> bytes:
    if path == b"/answers":
        answers, Stub.answers = Stub.answers, []
        return json.dumps(answers).encode()
    if path == b"/count":
        return b"%d" % Stub.count
    return json.dumps(Stub.seen if path == b"/seen" else []).encode()


async def main(port: int, latency: float) -> None:
    """Answer until killed."""
    Stub.latency = latency
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
