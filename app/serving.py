"""Serving over HTTP, and ending well."""

import asyncio
import errno
import gc
import resource
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import cast

import uvicorn
from starlette.applications import Starlette

from app.connections import Connection, look_after

_TICKS_PER_SECOND = 10  # uvicorn's
_SWITCH_SECONDS = 0.002  # until a thread that waits to run takes its turn; Python's own: 0.005
_OPEN_FILES = 65_536
_YOUNG_OBJECTS = 5_000  # until a collection looks through them; Python's own: 700


class DrainingServer(uvicorn.Server):
    """Finishes what is under way before it closes its door.

    uvicorn closes its sockets first, and then no probe could see that we are going. Here `/readyz`
    answers 503 while deliveries finish, and a signal ends the process with 0.
    """

    def __init__(
        self,
        app: Starlette,
        host: str,
        port: int,
        *,
        log_level: str,
        keep_alive: int = 75,
        proxies: str = "127.0.0.1,::1",
    ) -> None:
        """Take what to serve and where; logging stays as it is configured.

        `keep_alive` is how long (s) a connection without a request stays open, `proxies` who may
        say by `X-Forwarded-For` and `X-Forwarded-Proto` who calls, and how.
        """
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                log_config=None,
                log_level=log_level.lower(),
                access_log=False,
                server_header=False,
                http=Connection,
                ws="none",
                timeout_keep_alive=keep_alive,
                forwarded_allow_ips=proxies,
                timeout_graceful_shutdown=5,
            )
        )
        self._app = app

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections, besides what uvicorn does."""
        if counter % _TICKS_PER_SECOND == 0:
            connections = cast(set[Connection], self.server_state.connections)
            look_after(connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def main_loop(self) -> None:
        """Serve until told to stop, then drain what the application has under way."""
        _allow_many_connections()
        share_the_interpreter()
        await super().main_loop()
        # Proxies must not send another webhook on a connection that will close after the drain.
        self.server_state.default_headers += [(b"connection", b"close")]
        drain: Callable[[], Awaitable[None]] | None = getattr(self._app.state, "drain", None)
        if drain is not None:
            await drain()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal, without raising it again at the end as uvicorn would."""
        self.force_exit = self.should_exit
        self.should_exit = True


def run(main: Coroutine[None, None, None]) -> None:
    """Run what serves nothing as the server runs: on the same event loop."""
    share_the_interpreter()
    loop_factory = uvicorn.Config("", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


def _allow_many_connections() -> None:
    """Take as many open files as the system gives: idle connections must not shut out others."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(most, _OPEN_FILES)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def share_the_interpreter() -> None:
    """Let the ledger's thread have its turns, and collections of garbage find more at a time.

    They pass over what was loaded to begin with, which stays: looking through it takes tens of
    milliseconds each time. And most young objects are those of webhooks and deliveries under way.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(_YOUNG_OBJECTS)
    gc.collect()
    gc.freeze()


@contextmanager
def serving(app: Starlette, port: int = 0, keep_alive: int = 75) -> Iterator[str]:
    """Serve `app` on this machine from a thread, and yield its address; port 0 takes a free one."""
    port = port or free_port()
    server = DrainingServer(app, "127.0.0.1", port, log_level="ERROR", keep_alive=keep_alive)
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


class CannotListen(Exception):
    """Nothing can be served at the address that is set; the text names the setting."""


def try_to_listen(host: str, port: int, setting: str = "PORT") -> None:
    """Find out whether an address can be served at, before anything is begun.

    Raises:
        CannotListen: it cannot; the text says which setting to change, and why.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except socket.gaierror:
        raise CannotListen(f"HOST: this machine does not know the name {host}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(f"{setting}: another program listens on {port}") from None
        if error.errno == errno.EACCES:
            raise CannotListen(f"{setting}: this user may not listen on {port}") from None
        raise CannotListen(f"HOST: this machine has no address {host}") from None


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
