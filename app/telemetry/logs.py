"""Logs: one line per event, with ids and counts, never a person's data or a secret."""

import logging
import sys
import traceback
from pathlib import Path
from typing import Literal

import structlog
from pydantic_core import to_json

LogFormat = Literal["console", "json"]


def configure(log_format: LogFormat, level: str) -> None:
    """Send the service's lines, and those of the libraries below it, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(_as_json)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _without_values],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore", "aiosqlite", "alembic", "asyncio"):
        # Their lines repeat URLs and statements, which may hold an address.
        logging.getLogger(name).setLevel(logging.WARNING)


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


def _as_json(event: object, **_: object) -> str:
    return to_json(event, fallback=repr).decode()  # json would take twice as long for a line
