"""What is noted of every webhook, however it is answered: a log line, a count and a span."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

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


@contextmanager
def noting(state: State, request: Request) -> Iterator[Note]:
    """Give a note to be filled in; it is written down when the block ends, in whatever way."""
    note, started = Note(request_id_of(request)), time.perf_counter()
    with state.traces.webhook(request.headers) as span:
        note.traceparent = span.traceparent
        try:
            yield note
            note.status = HTTPStatus.ACCEPTED
        except Problem as problem:
            note.status = problem.status
            raise
        except _NOT_STORED:
            note.status = HTTPStatus.SERVICE_UNAVAILABLE
            raise
        finally:
            _write(state, note, span, time.perf_counter() - started)


def _write(state: State, note: Note, span: Span, seconds: float) -> None:
    outcome = outcome_of(note)
    state.metrics.webhook(note.integration, outcome, seconds)
    accepted = note.accepted or Accepted()
    _count(state, note, accepted)
    span.note(
        request_id=note.request_id,
        integration=note.integration,
        outcome=outcome,
        http_status=note.status.value,
        bytes=note.size,
    )
    log.log(
        _level(note.status),
        "webhook",
        integration=note.integration,
        outcome=outcome,
        http_status=note.status.value,
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
    received = {
        "pending": accepted.pending,
        "test": len(accepted.ids) - unreadable if note.test else 0,
        "duplicate": accepted.duplicates,
        "unreadable": unreadable,
    }
    for outcome, number in received.items():
        state.metrics.received(note.integration, outcome, number)
    for _ in range(unreadable):
        state.metrics.settled(note.integration, SubmissionStatus.DEAD, DeadReason.UNREADABLE)


def _level(status: HTTPStatus) -> int:
    if status is HTTPStatus.ACCEPTED:
        return 20  # logging.INFO
    return 30 if status < HTTPStatus.INTERNAL_SERVER_ERROR else 40
