"""Other people's programs around the service, nginx and tinyproxy, and a slow line to it."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.processes import until
from tests.processes import ROOT
from tests.proxies import listening


class Program:
    """A program that runs until it is killed; its files are in a folder of its own."""

    def __init__(self, command: Sequence[str], port: int, folder: Path) -> None:
        self._command = command
        self._folder = folder
        self._running: subprocess.Popen[bytes] | None = None
        self.port = port
        self.log = folder / "log"

    def start(self) -> "Program":
        """Start it, and return when it takes connections."""
        name, *arguments = self._command
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                [shutil.which(name, path=places) or name, *arguments],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._listens, f"{name} listens")
        return self

    def _listens(self) -> bool:
        assert self._running is not None
        assert self._running.poll() is None, self.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it and its children without a word."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()


def nginx(folder: Path, port: int, servers: str) -> Program:
    """Return an nginx with these servers and upstreams."""
    folder.mkdir()
    kept = "\n".join(
        f"{each}_temp_path {folder}/{each};"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log;\n"
        + ("user root;\n" if os.getuid() == 0 else "")
        + "events { worker_connections 1024; }\n"
        + f"http {{ access_log off;\n{kept}\n{servers}\n}}\n"
    )
    command = ["nginx", "-p", str(folder), "-e", str(folder / "log"), "-c", "nginx.conf"]
    return Program([*command[:-1], str(folder / "nginx.conf")], port, folder)


def as_documented(listen: int, service: int) -> str:
    """Return nginx's settings as docs/deploy.md has them, without TLS, on ports of this machine."""
    page = (ROOT / "docs/deploy.md").read_text()
    [text] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    text = re.sub(r"\n *ssl_certificate.*", "", text)
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{listen};")
    return text.replace("server 127.0.0.1:8000;", f"server 127.0.0.1:{service};")


def tinyproxy(folder: Path, port: int, user: str) -> Program:
    """Return a tinyproxy that wants a user and password, with a space between them."""
    folder.mkdir(exist_ok=True)
    settings = folder / f"{user.replace(' ', '-')}.conf"
    settings.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 100\nLogLevel Connect\n"
        f'LogFile "{folder}/connects"\nBasicAuth {user}\n'
    )
    return Program(["tinyproxy", "-d", "-c", str(settings)], port, folder)


@contextmanager
def slow_line(to: tuple[str, int], seconds: float) -> Iterator[int]:
    """Run a line to a server on which everything takes so long, the end too; yield its port."""
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), list[int]()
    stop = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            piece = b"more"
            while piece:
                due, piece = await on_its_way.get()
                await asyncio.sleep(due - loop.time())
                writer.write(piece)

        arriving, piece = asyncio.create_task(arrive()), b"more"
        while piece:
            try:
                piece = await reader.read(65_536)
            except OSError:
                piece = b""
            on_its_way.put_nowait((loop.time() + seconds, piece))
        await arriving
        writer.close()

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*to)
        try:
            await asyncio.gather(late(reader, far_writer), late(far_reader, writer))
        finally:
            far_writer.close()
            with suppress(OSError):
                await far_writer.wait_closed()

    async def run() -> None:
        async with listening(line) as port:
            ports.append(port)
            ready.set()
            await stop.wait()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for each in left:  # what is still on its way arrives nowhere
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
