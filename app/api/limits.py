"""A bound on bodies: they are read before anyone has asked who sends them."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST = 8 * 1024 * 1024  # the ops API's largest bodies are pasted webhooks, which are 1 MiB


class BodyLimit:
    """Refuses a body that grows beyond the bound, however it is sent, with 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; webhooks have a smaller bound of their own."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > _MOST:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may hold {_MOST} bytes."
                )
            return message

        await self._app(scope, counted if scope["type"] == "http" else receive, send)
