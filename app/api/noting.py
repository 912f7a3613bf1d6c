"""A log line, a count and a span for every webhook, however we answer it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from app.api.problems import Problem
from app.ledger.accepting import Accepted
from app.ledger.database import UNAVAILABLE
from app.ledger.schema import DeadReason, SubmissionStatus
from app.ledger.vault import WrongSecretKey
from app.telemetry.metrics import UNKNOWN, Metrics, WebhookOutcome
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
_NOT_STORED: tuple[type[BaseException], ...] = (
    *UNAVAILABLE,
    WrongSecretKey,
    asyncio.CancelledError,
)
_NOTHING = Accepted()
_REFUSED = ("unreadable", "invalid_signature", "too_large")


@dataclass(slots=True)
class Note:
    """What we know of a webhook when we answer it; filled in step by step.

    `integration` is the id of one of ours, never a made-up one from the address. `size` is None
    until the body is there.
    """

    request_id: str
    integration: str = UNKNOWN
    size: int | None = None
    status: HTTPStatus = HTTPStatus.ACCEPTED
    reason: str | None = None
    test: bool = False
    accepted: Accepted | None = None

    def failed(self, error: BaseException) -> None:
        """Note the status that this error leads to."""
        if isinstance(error, Problem):
            self.status = error.status
        elif isinstance(error, _NOT_STORED):
            self.status = HTTPStatus.SERVICE_UNAVAILABLE
        else:
            self.status = HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def refused(self) -> bool:
        """Whether one of our integrations' webhooks was refused for what it is."""
        refused = self.status is not HTTPStatus.ACCEPTED and self.outcome in _REFUSED
        return refused and self.integration != UNKNOWN

    @property
    def outcome(self) -> WebhookOutcome:
        """One word for the webhook; a batch counts as the best of its items."""
        accepted = self.accepted
        if self.status is not HTTPStatus.ACCEPTED or accepted is None:
            if self.size is None and self.status is HTTPStatus.BAD_REQUEST:
                return "not_received"
            return _OUTCOMES.get(self.status, "defect")
        if self.test:
            return "test"
        if accepted.pending or not (accepted.duplicates or accepted.unreadable):
            return "accepted"
        return "duplicate" if accepted.duplicates else "unreadable"


def write_down(note: Note, metrics: Metrics, span: Span, seconds: float) -> None:
    """Log a line, count, and fill in the span; `seconds` is the time since the webhook's head."""
    outcome, status = note.outcome, int(note.status)
    accepted = note.accepted or _NOTHING
    metrics.webhook(note.integration, outcome, seconds)
    _count(note, accepted, metrics)
    span.note(
        {
            "request_id": note.request_id,
            "integration": note.integration,
            "outcome": outcome,
            "http_status": status,
            "bytes": note.size,
        }
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


def _count(note: Note, accepted: Accepted, metrics: Metrics) -> None:
    unreadable = accepted.unreadable
    if accepted.pending:
        metrics.received(note.integration, "pending", accepted.pending)
    if accepted.duplicates:
        metrics.received(note.integration, "duplicate", accepted.duplicates)
    if note.test and len(accepted.ids) > unreadable:
        metrics.received(note.integration, "test", len(accepted.ids) - unreadable)
    if unreadable:
        metrics.received(note.integration, "unreadable", unreadable)
        dead = SubmissionStatus.DEAD, DeadReason.UNREADABLE
        metrics.settled(note.integration, *dead, number=unreadable)


def _logging(status: int) -> Callable[..., None]:
    lines: structlog.typing.FilteringBoundLogger = log
    if status == HTTPStatus.ACCEPTED:
        return lines.info
    return lines.warning if status < HTTPStatus.INTERNAL_SERVER_ERROR else lines.error
