"""A bound on bodies: they are read before anyone has asked who sends them."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.bodies import Arriving, read_body
from app.api.problems import Problem, respond

_MOST = 8 * 1024 * 1024  # the ops API's largest bodies are pasted webhooks, which are 1 MiB
_TOO_LARGE = f"A body may hold {_MOST} bytes."


class BodyLimit:
    """Reads the body before the application does, within the bounds that `read_body` sets."""

    def __init__(self, app: ASGIApp, arriving: Arriving) -> None:
        """Take the application, and what counts the bodies that are arriving."""
        self._app = app
        self._arriving = arriving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; webhooks have a smaller bound of their own."""
        head = dict(scope["headers"]) if scope["type"] == "http" else {}
        if b"content-length" not in head and b"transfer-encoding" not in head:
            await self._app(scope, receive, send)  # it has no body
            return
        try:
            announced = head.get(b"content-length", b"")
            body = await read_body(receive, announced, _MOST, self._arriving, _TOO_LARGE)
        except Problem as problem:
            await respond(problem)(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read, then whatever follows it."""
    unread = [body]

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return replay
