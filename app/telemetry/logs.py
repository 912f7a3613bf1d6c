"""Logs: one line per event, with ids and counts, never a person's data or a secret."""

import asyncio
import atexit
import json
import logging
import sys
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic_core import to_json

LogFormat = Literal["console", "json"]


_request_id: ContextVar[str] = ContextVar("request_id")


def name_request(request_id: str) -> None:
    """Let every line that follows, in the same task, carry the request's id."""
    _request_id.set(request_id)


def configure(log_format: LogFormat, level: str) -> None:
    """Send the service's lines, and those of the libraries below it, to standard error."""
    render = _as_json if log_format == "json" else _for_people()
    structlog.configure(
        # Past the standard library, which takes longer for a line than all the rest of a webhook's.
        wrapper_class=_logger_class(logging.getLevelName(level), render),
        logger_factory=lambda *_: _STDERR,
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


def _logger_class(lowest: int, render: "Render") -> type[structlog.BoundLoggerBase]:
    """Return a class of loggers that write lines from a level on, each straight from its fields.

    structlog's own would copy the fields three times, which takes longer than all the rest.
    """

    def writing(name: str) -> Callable[..., None]:
        write = getattr(_STDERR, name)

        def method(self: structlog.BoundLoggerBase, event: str, **fields: Any) -> None:
            fields["event"] = event
            if self._context:
                fields = {**self._context, **fields}
            write(render(self, name, _complete(self, name, fields)))

        return method

    def silent(*_: object, **__: object) -> None:
        pass

    methods = {
        name: writing(name) if getattr(logging, name.upper()) >= lowest else silent
        for name in ("debug", "info", "warning", "error", "critical")
    }
    return type("Logger", (structlog.BoundLoggerBase,), methods)


def keep_loggers() -> None:
    """Let loggers be made once, for a process in which `configure` is called no second time."""
    structlog.configure(cache_logger_on_first_use=True)


_WRITE_SECONDS = 0.005  # between two writes, while nothing warns


class _StandardError:
    """Writes lines, those of a few milliseconds together.

    A write takes as long as five lines, and hands the interpreter to another thread. A line that
    comes after a pause is written at the end of its round of the event loop; whatever warns, at
    once with all that came before it.
    """

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # which will write what waits
        self._written_at = 0.0  # by that loop's clock

    def info(self, line: bytes) -> None:
        self._waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_at(self._written_at + _WRITE_SECONDS, self._write_round, loop)

    def warning(self, line: bytes) -> None:
        self._waiting.append(line)
        self.write()

    debug = info
    error = critical = warning

    def _write_round(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._written_at = None, loop.time()
        self.write()

    def write(self) -> None:
        lines = bytearray()
        while self._waiting:  # another thread may add to it, or take from it
            with suppress(IndexError):
                lines += self._waiting.popleft() + b"\n"
        try:
            stream = sys.stderr.buffer
            stream.write(lines)
            stream.flush()
        except (OSError, ValueError):  # full or closed: it must not stop what the lines tell of
            pass


_STDERR = _StandardError()
atexit.register(_STDERR.write)


class _Handler(logging.Handler):
    """Writes the lines of libraries among ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace")
        except Exception:  # a library's mistake
            self.handleError(record)
            return
        _STDERR.warning(line)


Render = Callable[[object, str, structlog.typing.EventDict], bytes]


def _complete(
    _: object, level: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add how grave it is, when it was and, where the line does not say so, in which request."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC)
    if "request_id" not in event and (request_id := _request_id.get(None)) is not None:
        event["request_id"] = request_id
    return event


def _as_json(_: object, __: str, event: structlog.typing.EventDict) -> bytes:
    try:
        return to_json(event, fallback=repr)
    except ValueError:  # half of a surrogate pair; json takes twice as long, but anything
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
    """Leave of a library's line what cannot hold a value.

    Its further lines and a traceback repeat messages of errors and, as structlog prints them, local
    variables: payloads and keys. The places in the code are kept.
    """
    error = event.pop("exc_info", None)
    event["event"] = str(event["event"]).partition("\n")[0]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = place_of(error, frames=12)
    return event


def place_of(error: BaseException, frames: int = 3) -> str:
    """Return the kind of an error and where it was raised; its message may repeat a value."""
    calls = traceback.extract_tb(error.__traceback__)[-frames:]
    path = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(calls))
    return f"{type(error).__name__} at {path}"
