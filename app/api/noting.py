"""What is noted of every webhook, however it is answered: a log line, a count and a span."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType

import structlog
from fastapi import Request

from app.api.problems import Problem
from app.api.requests import request_id_of
from app.api.state import State
from app.ledger.accepting import Accepted
from app.ledger.database import UNAVAILABLE
from app.ledger.schema import DeadReason, SubmissionStatus
from app.telemetry.metrics import UNKNOWN, WebhookOutcome
from app.telemetry.traces import Span

log = structlog.get_logger("webhooks")

_SHOWN_IDS = 10

_OUTCOMES: dict[HTTPStatus, WebhookOutcome] = {
    HTTPStatus.BAD_REQUEST: "unreadable",
    HTTPStatus.UNAUTHORIZED: "invalid_signature",
    HTTPStatus.NOT_FOUND: "unknown_integration",
    HTTPStatus.REQUEST_TIMEOUT: "not_received",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "not_stored",
}


_NOT_STORED: tuple[type[BaseException], ...] = (*UNAVAILABLE, asyncio.CancelledError)


@dataclass(slots=True)
class Note:
    """What is known of a webhook by the time it is answered.

    `integration` is one of ours: what stands in the address may be anything. `size` is None until
    the body is there.
    """

    request_id: str
    integration: str = UNKNOWN
    traceparent: str | None = None
    size: int | None = None
    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    reason: str | None = None
    test: bool = False
    accepted: Accepted | None = None


class noting:  # noqa: N801 - a context manager; as a generator it would take three times as long
    """Gives a note to be filled in; it is written down when the block ends, in whatever way."""

    def __init__(self, state: State, request: Request) -> None:
        self._state = state
        self._note = Note(request_id_of(request))
        self._tracing = state.traces.webhook(request.headers)

    def __enter__(self) -> Note:
        """Begin to count the time."""
        self._started = time.perf_counter()
        self._span = self._tracing.__enter__()
        self._note.traceparent = self._span.traceparent
        return self._note

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the note down."""
        note = self._note
        if error is None:
            note.status = HTTPStatus.ACCEPTED
        elif isinstance(error, Problem):
            note.status = error.status
        elif isinstance(error, _NOT_STORED):
            note.status = HTTPStatus.SERVICE_UNAVAILABLE
        try:
            _write(self._state, note, self._span, time.perf_counter() - self._started)
        finally:
            self._tracing.__exit__(kind, error, traceback)


def _write(state: State, note: Note, span: Span, seconds: float) -> None:
    outcome, status = outcome_of(note), int(note.status)
    state.metrics.webhook(note.integration, outcome, seconds)
    accepted = note.accepted or Accepted()
    _count(state, note, accepted)
    span.note(
        request_id=note.request_id,
        integration=note.integration,
        outcome=outcome,
        http_status=status,
        bytes=note.size,
    )
    _logging(status)(
        "webhook",
        request_id=note.request_id,
        integration=note.integration,
        outcome=outcome,
        http_status=status,
        reason=note.reason,
        bytes=note.size,
        ms=round(seconds * 1000, 1),
        accepted=accepted.pending,
        duplicates=accepted.duplicates,
        unreadable=accepted.unreadable,
        test=note.test,
        submissions=accepted.ids[:_SHOWN_IDS],
        **span.ids,
    )


def outcome_of(note: Note) -> WebhookOutcome:
    """Return the one word for a webhook; a batch goes by the best that was in it."""
    if note.size is None and note.status is HTTPStatus.BAD_REQUEST:
        return "not_received"
    if note.status is not HTTPStatus.ACCEPTED or note.accepted is None:
        return _OUTCOMES.get(note.status, "defect")
    if note.test:
        return "test"
    if note.accepted.pending or not (note.accepted.duplicates or note.accepted.unreadable):
        return "accepted"
    return "duplicate" if note.accepted.duplicates else "unreadable"


def _count(state: State, note: Note, accepted: Accepted) -> None:
    unreadable = accepted.unreadable
    for outcome, number in (
        ("pending", accepted.pending),
        ("test", len(accepted.ids) - unreadable if note.test else 0),
        ("duplicate", accepted.duplicates),
        ("unreadable", unreadable),
    ):
        if number:
            state.metrics.received(note.integration, outcome, number)
    for _ in range(unreadable):
        state.metrics.settled(note.integration, SubmissionStatus.DEAD, DeadReason.UNREADABLE)


def _logging(status: int) -> Callable[..., None]:
    lines: structlog.typing.FilteringBoundLogger = log
    if status == HTTPStatus.ACCEPTED:
        return lines.info
    return lines.warning if status < HTTPStatus.INTERNAL_SERVER_ERROR else lines.error
