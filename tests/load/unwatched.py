"""The service, whose metrics and log lines can be left out: `python -m tests.load.unwatched serve`.

SIGUSR1 leaves them out, SIGUSR2 brings them back. Of one process, since two of the same program
differ by more than these cost.
"""

import runpy
import signal
from types import FrameType

import structlog

from app.telemetry.metrics import Metrics

_EVENTS = {
    name: event
    for name, event in vars(Metrics).items()
    if not name.startswith("_") and name not in ("expose", "collect", "describe")
}
_lines: dict[str, object] = {}


def _nothing(*_: object, **__: object) -> None:
    pass


def _leave_out(signum: int, frame: FrameType | None) -> None:
    for name in _EVENTS:
        setattr(Metrics, name, _nothing)
    logger = structlog.get_config()["wrapper_class"]
    _lines["info"] = logger.info
    logger.info = _nothing


def _bring_back(signum: int, frame: FrameType | None) -> None:
    for name, event in _EVENTS.items():
        setattr(Metrics, name, event)
    structlog.get_config()["wrapper_class"].info = _lines["info"]


signal.signal(signal.SIGUSR1, _leave_out)
signal.signal(signal.SIGUSR2, _bring_back)
runpy.run_module("app", run_name="__main__")
