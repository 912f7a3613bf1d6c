"""Serving over HTTP, and ending well."""

import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def serving(app: Starlette, port: int = 0) -> Iterator[str]:
    """Serve `app` on this machine from a thread, and yield its address; port 0 takes a free one."""
    server = DrainingServer(app, "127.0.0.1", port or free_port(), log_level="ERROR")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise OSError(f"the server on port {server.config.port} did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join()


def free_port(preferred: int = 0) -> int:
    """Return the preferred port where nobody listens on it, else one that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        port: int = probe.getsockname()[1]
        return port
