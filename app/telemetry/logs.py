"""Logs: one line per event, with ids and counts, never a person's data or a secret."""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog
from pydantic_core import to_json

LogFormat = Literal["console", "json"]


_request_id: ContextVar[str] = ContextVar("request_id")


def name_request(request_id: str) -> None:
    """Add the request's id to all later lines of the same task."""
    _request_id.set(request_id)


def configure(log_format: LogFormat, level: str) -> None:
    """Send the service's lines, and those of the libraries below it, to standard error."""
    render = _as_json if log_format == "json" else _for_people()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[_complete, render],
        logger_factory=_StandardError,
    )
    handler = _Handler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_complete, _without_values],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda *event: render(*event).decode(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore", "aiosqlite", "alembic", "asyncio"):
        # Their lines repeat URLs and statements, which may hold an address.
        logging.getLogger(name).setLevel(logging.WARNING)


def keep_loggers() -> None:
    """Let structlog make each logger once, in a process that calls `configure` only once."""
    structlog.configure(cache_logger_on_first_use=True)


class _StandardError:
    """Writes lines to standard error, as it is at that moment: tests put another in its place."""

    def __init__(self, *_: object) -> None:
        pass

    def info(self, line: bytes) -> None:
        # Standard error may be full or closed: that must not stop the work the line is about.
        with suppress(OSError, ValueError):
            stream = sys.stderr.buffer
            stream.write(line + b"\n")
            stream.flush()

    debug = warning = error = critical = info


class _Handler(logging.Handler):
    """Writes the lines of libraries among ours."""

    _output = _StandardError()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace")
        except Exception:  # a library's mistake
            self.handleError(record)
            return
        self._output.info(line)


Render = Callable[[object, str, structlog.typing.EventDict], bytes]


def _complete(
    _: object, level: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the level, the time and, if the line names none, the request's id."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC)
    if "request_id" not in event and (request_id := _request_id.get(None)) is not None:
        event["request_id"] = request_id
    return event


def _as_json(_: object, __: str, event: structlog.typing.EventDict) -> bytes:
    try:
        return to_json(event, fallback=repr)
    except ValueError:  # half of a surrogate pair; json is slower, but takes anything
        return json.dumps(event, default=str).encode()


def _for_people() -> Render:
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def render(logger: object, level: str, event: structlog.typing.EventDict) -> bytes:
        event["timestamp"] = event["timestamp"].isoformat()
        return console(logger, level, event).encode(errors="backslashreplace")

    return render


def _without_values(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Remove from a library's line what may hold a person's data or a secret.

    Its further lines and its traceback repeat messages of errors and, the way structlog prints
    them, local variables: payloads and keys. We keep the places in the code.
    """
    error = event.pop("exc_info", None)
    event["event"] = str(event["event"]).partition("\n")[0]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = place_of(error, frames=12)
    return event


def place_of(error: BaseException, frames: int = 3) -> str:
    """Return an error's class and where it was raised; its message may repeat a value."""
    calls = traceback.extract_tb(error.__traceback__)[-frames:]
    path = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(calls))
    return f"{type(error).__name__} at {path}"
