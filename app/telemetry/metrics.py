"""Metrics: what on-call sees of one process, and of the ledger that all processes share.

Counters and histograms are of this process: sum them over processes. What the ledger says is the
same from each: take the maximum. No label holds a person's data, and each has few values.
"""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


M = TypeVar("M", Counter, Histogram)


class _Series(Generic[M]):
    """A metric's series, found quickly: the metric itself takes a lock and copies for each event.

    They are as few as the values of its labels.
    """

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._found: dict[tuple[str, ...], M] = {}

    def labels(self, *values: str) -> M:
        """Return the series with these values of the labels."""
        found = self._found.get(values)
        if found is None:
            found = self._found[values] = self._metric.labels(*values)
        return found


@dataclass(frozen=True, slots=True)
class IntegrationFigures:
    """What the ledger says of one integration."""

    integration_id: str
    pending: int
    dead: int
    oldest_pending_seconds: float
    paused: bool
    gate: str


class Metrics:
    """The metrics of one process, with a method for each event."""

    def __init__(self, version: str = "") -> None:
        # When a series began: a third more of them, and nobody asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._ledger = _Ledger()
        self._registry.register(self._ledger)
        build = self._gauge("build_info", "Which build this is; always 1.", "version", "python")
        build.labels(version, platform.python_version()).set(1)
        self._webhooks = self._counter(
            "webhooks", "Webhooks answered, by what became of them.", "integration", "outcome"
        )
        for outcome in _NOBODYS:
            self._webhooks.labels(UNKNOWN, outcome)
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

    def webhook(self, integration: str, outcome: WebhookOutcome, seconds: float) -> None:
        """A webhook was answered."""
        self._webhooks.labels(integration, outcome).inc()
        self._webhook_seconds.labels(integration).observe(seconds)

    def received(self, integration: str, outcome: str, number: int) -> None:
        """Submissions came in: `pending`, `test`, `duplicate` or `unreadable`."""
        self._received.labels(integration, outcome).inc(number)

    def settled(
        self, integration: str, outcome: str, reason: str | None, lag: float | None = None
    ) -> None:
        """A submission is delivered (`lag` seconds after its receipt), skipped or dead."""
        self._settled.labels(integration, outcome, reason or "").inc()
        if lag is not None:
            self._lag.labels(integration).observe(max(lag, 0.0))

    def attempt(self, integration: str, outcome: str) -> None:
        """An attempt was spent."""
        self._attempts.labels(integration, outcome).inc()

    def warning(self, integration: str, kind: str) -> None:
        """A contact was delivered, but not all of it."""
        self._warnings.labels(integration, kind).inc()

    def cordial_request(
        self, integration: str, status: int | None, error: str, seconds: float
    ) -> None:
        """Cordial answered with a status, or not (None); `error` is `none` where all is well."""
        status_class = "none" if status is None else f"{status // 100}xx"
        self._requests.labels(integration, status_class, error).inc()
        self._request_seconds.labels(integration).observe(seconds)

    def commit(self, kind: Literal["webhooks", "settlements"], items: int, seconds: float) -> None:
        """A group was committed to the ledger."""
        self._commit_items.labels(kind).observe(items)
        self._commit_seconds.labels(kind).observe(seconds)

    def round(self) -> None:
        """The worker looked for work."""
        self._round.set_to_current_time()

    def expose(self, figures: Sequence[IntegrationFigures] | None) -> bytes:
        """Return all in Prometheus' text format; `figures` is None where the ledger is away."""
        for each in figures or ():
            self._begin_at_zero(each.integration_id)
        self._ledger.figures = figures
        return generate_latest(self._registry)

    def _begin_at_zero(self, integration: str) -> None:
        """Show what has not happened yet as 0: a rule on its increase misses no first time."""
        for outcome in _OURS:
            self._webhooks.labels(integration, outcome)
        self._settled.labels(integration, "delivered", "")

    def _counter(self, name: str, text: str, *labels: str) -> _Series[Counter]:
        return _Series(Counter(f"{_PREFIX}_{name}", text, labels, registry=self._registry))

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: Sequence[float], *labels: str
    ) -> _Series[Histogram]:
        return _Series(
            Histogram(f"{_PREFIX}_{name}", text, labels, buckets=buckets, registry=self._registry)
        )


class _Ledger(Collector):
    """Shows what the ledger was found to say just before the scrape."""

    figures: Sequence[IntegrationFigures] | None = None

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges; of a ledger that is away, only that."""
        up = _family("ledger_up", "Whether the ledger can be reached.")
        up.add_metric([], float(self.figures is not None))
        yield up
        pending = _family("pending_submissions", "Waiting to be sent.", "integration")
        dead = _family("dead_submissions", "Given up; a person must look.", "integration")
        oldest = _family("oldest_pending_age_seconds", "0 where none waits.", "integration")
        paused = _family("integration_paused", "Paused by a person.", "integration")
        gate = _family("gate_state", "1 for the state it is in.", "integration", "state")
        for each in self.figures or ():
            labels = [each.integration_id]
            pending.add_metric(labels, each.pending)
            dead.add_metric(labels, each.dead)
            oldest.add_metric(labels, each.oldest_pending_seconds)
            paused.add_metric(labels, each.paused)
            for state in _GATES:
                gate.add_metric([*labels, state], float(state == each.gate))
        yield from (pending, dead, oldest, paused, gate)

    def describe(self) -> Iterable[Metric]:
        """Say nothing beforehand: the names are not used elsewhere."""
        return ()


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
