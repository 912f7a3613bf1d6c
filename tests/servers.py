"""Databases as customers have them: Debian's PostgreSQL on TCP with TLS, and pgbouncer."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import asyncpg

from app.serving import free_port
from tests.proxies import certificate
from tests.waiting import wait_for

_PLACES = os.pathsep.join(
    [
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
    ]
)
PASSWORD = "pass word@1%"
AS_WRITTEN = "pass%20word%401%25"


def program(name: str) -> str | None:
    """Return where a program is; None if this machine lacks it."""
    return shutil.which(name, path=_PLACES)


class Server:
    """A program that listens on a port of this machine, as a user that is not root."""

    def __init__(self, command: Sequence[str], folder: Path, port: int) -> None:
        self._command = command
        self.folder = folder
        self.port = port
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; return when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                self._command, cwd=self.folder, stdout=log, stderr=log, **_as_somebody()
            )
        wait_for(self._listens, 60, "it listens")

    def _listens(self) -> bool:
        assert self._running is not None
        assert self._running.poll() is None, (self.folder / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """End it with a signal."""
        if self._running is not None:
            self._running.send_signal(number)
            self._running.wait()
            self._running = None


def _as_somebody() -> dict[str, Any]:
    """Return whom PostgreSQL and pgbouncer run as: they refuse to as root."""
    return {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}


def _own(*paths: Path) -> None:
    if os.getuid() == 0:
        for each in paths:
            shutil.chown(each, "nobody", "nogroup")


class Postgresql(Server):
    """Debian's PostgreSQL; `postgres` is its superuser, `app` a plain role, both of `PASSWORD`."""

    def __init__(self, folder: Path, port: int) -> None:
        command = [program("postgres") or "postgres", "-D", str(folder / "data")]
        super().__init__(command, folder, port)

    def url(self, database: str = "postgres", user: str = "app") -> str:
        """Return an address of a database on it."""
        return f"postgresql://{user}:{AS_WRITTEN}@127.0.0.1:{self.port}/{database}"

    def demote(self) -> None:
        """Let it take no writes any more, as a primary whose copy takes over."""
        self.run("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements as its superuser, each by itself."""

        async def execute() -> None:
            session = await self._connected(database)
            for each in statements:
                await session.execute(each)
            await session.close()

        with ThreadPoolExecutor(1) as beside:  # a test may run in a loop of its own
            beside.submit(asyncio.run, execute()).result()

    async def _connected(self, database: str) -> asyncpg.Connection:
        while True:
            try:
                return await asyncpg.connect(self.url(database, "postgres"), ssl=False)
            except asyncpg.CannotConnectNowError:  # it starts, or it ends
                await asyncio.sleep(0.05)


_CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
ssl = on
ssl_cert_file = '{folder}/certificate.pem'
ssl_key_file = '{folder}/key.pem'
fsync = off
max_connections = 60
"""


@contextmanager
def postgresql(folder: Path | None = None) -> Iterator[Postgresql]:
    """Run Debian's PostgreSQL with a certificate of its own making; the data goes in the end."""
    place = Path(mkdtemp(prefix="pg-", dir=folder))
    place.chmod(0o755)
    certificate(place)
    (place / "password").write_text(PASSWORD)
    (place / "data").mkdir(mode=0o700)
    _own(place, *place.iterdir())
    (place / "key.pem").chmod(0o600)
    server = Postgresql(place, free_port())
    made = subprocess.run(
        [
            program("initdb") or "initdb",
            *"-D data -U postgres -A scram-sha-256 --pwfile=password --no-sync".split(),
            *"-E UTF8 --locale=C".split(),
        ],
        cwd=place,
        capture_output=True,
        check=False,
        **_as_somebody(),
    )
    assert made.returncode == 0, made.stderr.decode()
    with (place / "data/postgresql.conf").open("a") as file:
        file.write(_CONFIGURATION.format(port=server.port, folder=place))
    server.start()
    try:
        server.run(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def pgbouncer(before: Postgresql, *lines: str, folder: Path | None = None) -> Iterator[Server]:
    """Run pgbouncer before a PostgreSQL, as Debian sets it up but for these lines."""
    place = Path(mkdtemp(prefix="bouncer-", dir=folder))
    place.chmod(0o755)
    port = free_port()
    (place / "users").write_text(f'"app" "{PASSWORD}"\n"postgres" "{PASSWORD}"\n')
    settings = [
        "[databases]",
        f"* = host=127.0.0.1 port={before.port}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        f"auth_file = {place}/users",
        "auth_type = scram-sha-256",
        *lines,
    ]
    (place / "ini").write_text("\n".join(settings))
    _own(place, *place.iterdir())
    server = Server([program("pgbouncer") or "pgbouncer", "ini"], place, port)
    server.start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)


def either(first: Postgresql, second: Postgresql, database: str) -> str:
    """Return an address of a database on whichever of two servers is the primary."""
    return (
        f"postgresql://app:{AS_WRITTEN}@127.0.0.1:{first.port},127.0.0.1:{second.port}/{database}"
    )


@contextmanager
def standby(of: Postgresql) -> Iterator[Postgresql]:
    """Run a copy of a server that has all that the first has committed, until it is promoted."""
    with (of.folder / "data/pg_hba.conf").open("a") as file:
        file.write("\nhost replication postgres 127.0.0.1/32 scram-sha-256\n")
    of.run("SELECT pg_reload_conf()")
    place = Path(mkdtemp(prefix="pg-"))
    place.chmod(0o755)
    _own(place)
    copy = Postgresql(place, free_port())
    login = f"host=127.0.0.1 port={of.port} user=postgres password='{PASSWORD}'"
    made = subprocess.run(
        [
            program("pg_basebackup") or "pg_basebackup",
            "-D",
            "data",
            "-R",
            "-c",
            "fast",
            "-d",
            login,
        ],
        cwd=place,
        capture_output=True,
        check=False,
        **_as_somebody(),
    )
    assert made.returncode == 0, made.stderr.decode()
    with (place / "data/postgresql.conf").open("a") as file:
        file.write(f"port = {copy.port}\n")
    copy.start()
    of.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
    try:
        yield copy
    finally:
        copy.stop()
        shutil.rmtree(place, ignore_errors=True)
