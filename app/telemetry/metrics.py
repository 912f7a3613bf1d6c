"""Metrics: what on-call sees of one process, and of the ledger that all processes share.

Each process counts for itself, and for those that it has started (see `sums`): sum its counters and
histograms over the processes. The ledger says the same to each process: take the maximum. No label
holds a person's data, and each has few values.
"""

import platform
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric

from app.rules.drift import DriftKind
from app.telemetry import sums

# They would double the series, and no alert or panel reads them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

_PREFIX = "jebbit_sync"
UNKNOWN = "(unknown)"  # the integration of a webhook that names none of ours; no id looks like it

WebhookOutcome = Literal[
    "accepted",  # stored, at least one submission of it new
    "duplicate",  # all of it was there already
    "test",
    "unreadable",  # signed, but nothing of it can be read
    "invalid_signature",
    "unknown_integration",
    "too_large",
    "not_received",  # it did not arrive whole
    "not_stored",  # 503: the ledger is away, or too much waits for it
    "defect",
]
_ALL_OUTCOMES: frozenset[WebhookOutcome] = frozenset(get_args(WebhookOutcome))
_NOBODYS: frozenset[WebhookOutcome] = frozenset(
    {"unknown_integration", "too_large", "not_received"}
)
_OURS = _ALL_OUTCOMES - {"unknown_integration"}
_GATES = ("open", "held", "closed", "blocked")

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # s
# From a delivery at once to the end of the schedule of retries.
_LAG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400)
_GROUP = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class IntegrationFigures:
    """What the ledger says of one integration."""

    integration_id: str
    pending: int
    dead: int
    oldest_pending_seconds: float
    paused: bool
    gate: str
    drift: Set[str] = frozenset()


class Metrics:
    """The metrics of one process, with a method for each event.

    A counter or histogram is kept as its `labels`, cached: prometheus_client would check the labels
    and take a lock at each event, which takes longer than counting it.
    """

    def __init__(self, version: str = "") -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        build = self._gauge("build_info", "Which build this is; always 1.", "version", "python")
        build.labels(version, platform.python_version()).set(1)
        self._webhooks = self._counter(
            "webhooks", "Webhooks answered, by what became of them.", "integration", "outcome"
        )
        for outcome in _NOBODYS:
            self._webhooks(UNKNOWN, outcome)
        self._webhook_seconds = self._histogram(
            "webhook_duration_seconds", "From a webhook's head to its answer.", _FAST, "integration"
        )
        self._received = self._counter(
            "submissions_received", "Submissions in webhooks.", "integration", "outcome"
        )
        self._settled = self._counter(
            "submissions_settled",
            "Submissions settled, a replayed one again; the reason is empty for delivered ones.",
            "integration",
            "outcome",
            "reason",
        )
        self._lag = self._histogram(
            "delivery_lag_seconds", "From receipt to delivered.", _LAG, "integration"
        )
        self._attempts = self._counter(
            "attempts", "Attempts spent on submissions.", "integration", "outcome"
        )
        self._warnings = self._counter(
            "warnings", "Warnings of delivered submissions.", "integration", "kind"
        )
        self._requests = self._counter(
            "cordial_requests",
            "Requests to Cordial; status_class 'none': no answer.",
            "integration",
            "status_class",
            "error_class",
        )
        self._request_seconds = self._histogram(
            "cordial_request_duration_seconds", "Cordial's time to answer.", _FAST, "integration"
        )
        self._commit_items = self._histogram(
            "group_commit_items", "What one commit of the ledger held.", _GROUP, "kind"
        )
        self._commit_seconds = self._histogram(
            "group_commit_duration_seconds", "Time of one such commit.", _FAST, "kind"
        )
        self._round = self._gauge(
            "worker_last_round_timestamp_seconds", "When the worker last looked for work."
        )
        self._ended = Counter(
            f"{_PREFIX}_child_processes_ended",
            "Processes that delivered for this one and ended by themselves.",
            registry=self._registry,
        )
        self._others = sums.Others()
        self._ledger_up = self._gauge("ledger_up", "Whether the ledger can be reached.")
        self._pending = self._gauge("pending_submissions", "Waiting to be sent.", "integration")
        self._dead = self._gauge("dead_submissions", "Given up; a person must look.", "integration")
        self._oldest = self._gauge("oldest_pending_age_seconds", "0 if none waits.", "integration")
        self._paused = self._gauge("integration_paused", "Paused by a person.", "integration")
        self._gate = self._gauge("gate_state", "1 for the state it is in.", "integration", "state")
        self._drift = self._gauge("drift", "1 while it lasts.", "integration", "kind")
        self._of_ledger = (
            *(self._pending, self._dead, self._oldest, self._paused, self._gate, self._drift),
        )

    def webhook(self, integration: str, outcome: WebhookOutcome, seconds: float) -> None:
        """A webhook was answered."""
        self._webhooks(integration, outcome).inc()
        self._webhook_seconds(integration).observe(seconds)

    def received(self, integration: str, outcome: str, number: int) -> None:
        """Submissions came in: `pending`, `test`, `duplicate` or `unreadable`."""
        self._received(integration, outcome).inc(number)

    def settled(
        self,
        integration: str,
        outcome: str,
        reason: str | None,
        *,
        lag: float | None = None,
        number: int = 1,
    ) -> None:
        """Submissions are delivered (`lag` seconds after receipt), skipped or dead."""
        self._settled(integration, outcome, reason or "").inc(number)
        if lag is not None:
            self._lag(integration).observe(max(lag, 0.0))

    def attempt(self, integration: str, outcome: str) -> None:
        """An attempt was spent."""
        self._attempts(integration, outcome).inc()

    def warning(self, integration: str, kind: str) -> None:
        """A contact was delivered, but not all of it."""
        self._warnings(integration, kind).inc()

    def cordial_request(
        self, integration: str, status: int | None, error: str, seconds: float
    ) -> None:
        """Cordial answered with a status, or not at all (None); `error` is `none` for a success."""
        status_class = "none" if status is None else f"{status // 100}xx"
        self._requests(integration, status_class, error).inc()
        self._request_seconds(integration).observe(seconds)

    def commit(self, kind: Literal["webhooks", "settlements"], items: int, seconds: float) -> None:
        """A group was committed to the ledger."""
        self._commit_items(kind).observe(items)
        self._commit_seconds(kind).observe(seconds)

    def round(self) -> None:
        """The worker looked for work."""
        self._round.set_to_current_time()

    def child_ended(self) -> None:
        """A process that delivers for this one ended by itself; another one is started."""
        self._ended.inc()

    def told(self) -> sums.Told:
        """Return what this process has counted, for the one that exposes it with its own."""
        return sums.told(self._registry.collect())

    def heard(self, process: int, counted: sums.Told) -> None:
        """Take what another process has counted, to expose it with our own."""
        self._others.heard(process, counted)

    def ended(self, process: int) -> None:
        """Keep what another process had counted; it has ended."""
        self._others.ended(process)

    def collect(self) -> Iterator[Metric]:
        """Give our metrics, with what other processes have told of theirs."""
        return self._others.added_to(self._registry.collect())

    def expose(self, figures: Sequence[IntegrationFigures] | None) -> bytes:
        """Return everything in Prometheus' text format; `figures` is None if the ledger is away."""
        self._ledger_up.set(figures is not None)
        for gauge in self._of_ledger:
            gauge.clear()  # of integrations that are deleted, and of a ledger that is away
        for each in figures or ():
            self._begin_at_zero(each.integration_id)
            self._show(each)
        return generate_latest(self)

    def _begin_at_zero(self, integration: str) -> None:
        """Show 0 before the first event, so that an alert on an increase sees that one too."""
        for outcome in _OURS:
            self._webhooks(integration, outcome)
        self._settled(integration, "delivered", "")

    def _show(self, figures: IntegrationFigures) -> None:
        integration = figures.integration_id
        self._pending.labels(integration).set(figures.pending)
        self._dead.labels(integration).set(figures.dead)
        self._oldest.labels(integration).set(figures.oldest_pending_seconds)
        self._paused.labels(integration).set(figures.paused)
        for state in _GATES:
            self._gate.labels(integration, state).set(state == figures.gate)
        for kind in DriftKind:
            self._drift.labels(integration, kind.value).set(kind in figures.drift)

    def _counter(self, name: str, text: str, *labels: str) -> Callable[..., Counter]:
        counter = Counter(f"{_PREFIX}_{name}", text, labels, registry=self._registry)
        return cache(counter.labels)

    def _histogram(
        self, name: str, text: str, bounds: Sequence[float], *labels: str
    ) -> Callable[..., Histogram]:
        histogram = Histogram(
            f"{_PREFIX}_{name}", text, labels, registry=self._registry, buckets=bounds
        )
        return cache(histogram.labels)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self._registry)
