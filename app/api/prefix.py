"""The path under which a proxy shows the service, as /sync in https://example.com/sync."""

from starlette.types import ASGIApp, Receive, Scope, Send


class UnderPrefix:
    """Serves an application under a path, whether or not the proxy in front takes it off.

    Inside, every path begins with the prefix and `root_path` names it, as ASGI has it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its whole path."""
        if scope["type"] == "http":
            path = scope["path"]
            whole = path == self._prefix or path.startswith(f"{self._prefix}/")
            path = path if whole else self._prefix + path
            scope = {**scope, "root_path": self._prefix, "path": path}
        await self._app(scope, receive, send)
