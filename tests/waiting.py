"""Waiting for what others do: nothing sleeps for a time that somebody guessed."""

import time
from collections.abc import Callable
from typing import Any

POLL = 0.01  # s


def wait_for(ready: Callable[[], Any], timeout: float = 10, what: str = "") -> Any:
    """Return what `ready` gives as soon as it is true; fail after `timeout` seconds.

    `what` says in the failure what has not happened.
    """
    deadline = time.monotonic() + timeout
    while not (value := ready()):
        assert time.monotonic() < deadline, f"waited in vain: {what or ready}"
        time.sleep(POLL)
    return value
