"""Waiting for what others do: nothing sleeps for a time that somebody guessed."""

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

POLL = 0.01  # s
_SHARE = 2  # times what a look takes passes before the next: who waits leaves the machine to others
_LATER = 0.03  # of what was waited so far


def pause(took: float, waited: float, least: float = POLL) -> float:
    """Return for how long (s) not to look again, after a look that took so long."""
    return max(least, _SHARE * took, _LATER * waited)


def listens(url: str) -> bool:
    """Say whether anybody listens there: to ask costs much less than a request."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
    except OSError:
        return False
    return True


def wait_for(ready: Callable[[], Any], timeout: float = 10, what: str = "") -> Any:
    """Return what `ready` gives as soon as it is true; fail after `timeout` seconds.

    `what` says in the failure what has not happened.
    """
    began = time.monotonic()
    while True:
        looked = time.monotonic()
        if value := ready():
            return value
        now = time.monotonic()
        assert now < began + timeout, f"waited in vain: {what or ready}"
        time.sleep(pause(now - looked, now - began))
