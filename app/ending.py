"""How a process ends on SIGTERM and SIGINT.

The command line calls `end_on_signals` before it loads anything else, so this needs only what the
interpreter has loaded already.
"""

import _thread
import atexit
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FOR_A_PARENT = "deliver"
"""The command that `serve` runs in other processes; see `children`."""

_UNTIL_TOLD = {"serve", "worker", FOR_A_PARENT, "sandbox", "demo"}


def end_on_signals(arguments: Sequence[str]) -> None:
    """Decide what a signal does from now on, by the arguments of the command line.

    A command that runs until it is told to end exits with 0. A command with a task of its own, such
    as `migrate`, must not look as if it had done it: SIGTERM exits with 143, as shells show it, and
    SIGINT stays Python's. Without a handler, process 1 of a container would ignore SIGTERM.
    """
    if not arguments or arguments[0] not in _UNTIL_TOLD or "--once" in arguments:
        signal.signal(signal.SIGTERM, _end_undone)
        return
    for each in SIGNALS:
        signal.signal(each, _end)
    if arguments[0] == FOR_A_PARENT:
        _thread.start_new_thread(_end_with_parent, ())
    # The interpreter drops our handlers as it ends. Then a second signal would kill the process,
    # and its exit code would be that of the signal.
    atexit.register(_ignore_signals)


@contextmanager
def on_signals(act: Callable[[], object]) -> Iterator[None]:
    """Call `act` on a signal, instead of ending at once; afterwards all is as before."""
    before = {each: signal.signal(each, lambda *_: act()) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def interrupt() -> None:
    """Leave whatever is going on, so that what it opened is closed."""
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    # Not SystemExit: code that is being loaded may catch it. Nothing is under way yet, or no more.
    os._exit(0)


def _end_with_parent() -> None:
    """Take the end of the process at the other end of standard input for a signal."""
    line = select.poll()
    line.register(0, 0)  # hanging up is told without asking
    line.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def _end_undone(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _ignore_signals() -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
