"""Request ids: by which a caller's log, ours and the attempts that follow are put together."""

import re
import secrets
from collections.abc import Iterable

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.logs import name_request

HEADER = "x-request-id"
RAW_HEADER = HEADER.encode()

# Visible ASCII, so that it cannot break a log line; without "@", which only an address would have.
_USABLE = re.compile(rb"[!-?A-~]{1,128}")


class RequestIds:
    """Gives every request an id, the caller's where it is usable, and names it in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; its log lines carry the id: every request has a context of its own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = begin_request(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = (RAW_HEADER, request_id.encode())
                message["headers"] = [*message["headers"], named]
            await send(message)

        await self._app(scope, receive, answer)


def begin_request(scope: Scope) -> str:
    """Return the id of a request that begins, and let the log lines of its context carry it."""
    request_id = _given(scope["headers"]) or secrets.token_hex(16)
    scope["request_id"] = request_id
    name_request(request_id)
    return request_id


def _given(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == RAW_HEADER and _USABLE.fullmatch(value):
            return value.decode("ascii")
    return None


def request_id_of(request: Request) -> str:
    """Return the request's id."""
    return str(request.scope["request_id"])
