"""Logs: one line per event, with ids and counts, never a person's data or a secret."""

import logging
import sys
import traceback
from pathlib import Path
from typing import Literal

import structlog

LogFormat = Literal["console", "json"]


def configure(log_format: LogFormat, level: str) -> None:
    """Send the service's lines, and those of the libraries below it, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
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
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.dict_tracebacks if log_format == "json" else _as_it_is,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("httpx", "httpcore", "aiosqlite", "alembic", "asyncio"):
        # Their lines repeat URLs and statements, which may hold an address.
        logging.getLogger(name).setLevel(logging.WARNING)


def _as_it_is(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event


def place_of(error: BaseException) -> str:
    """Return the kind of an error and where it was raised; its message may repeat a value."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    path = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames))
    return f"{type(error).__name__} at {path}"
