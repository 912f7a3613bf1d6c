"""Serving over HTTP, and ending well."""

from collections.abc import Awaitable, Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette


class DrainingServer(uvicorn.Server):
    """Finishes what is under way before it closes its door.

    uvicorn closes its sockets first, and then no probe could see that we are going. Here `/readyz`
    answers 503 while deliveries finish, and a signal ends the process with 0.
    """

    def __init__(self, app: Starlette, host: str, port: int, *, log_level: str) -> None:
        """Take what to serve and where; logging stays as it is configured."""
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                log_level=log_level.lower(),
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._app = app

    async def main_loop(self) -> None:
        """Serve until told to stop, then drain what the application has under way."""
        await super().main_loop()
        drain: Callable[[], Awaitable[None]] | None = getattr(self._app.state, "drain", None)
        if drain is not None:
            await drain()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal, without raising it again at the end as uvicorn would."""
        self.force_exit = self.should_exit
        self.should_exit = True
