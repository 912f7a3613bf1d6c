"""Metrics: what on-call sees of one process, and of the ledger that all processes share.

Counters and histograms are of this process: sum them over processes. What the ledger says is the
same from each: take the maximum. No label holds a person's data, and each has few values.
"""

import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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


Labels = tuple[str, ...]


class _Counter:
    """A counter's series by the values of its labels, shown when they are asked for.

    prometheus_client's own takes a lock for every event and counts in a list of objects, which is
    ten times as long. Here events come from the event loop alone, one after the other.
    """

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self._described = f"{_PREFIX}_{name}", text, labels
        self.series: defaultdict[Labels, int] = defaultdict(int)

    def begin(self, *labels: str) -> None:
        self.series[labels] += 0

    def collect(self) -> Metric:
        name, text, labels = self._described
        family = CounterMetricFamily(name, text, labels=labels)
        for values, number in self.series.items():
            family.add_metric(values, number)
        return family


class _Histogram:
    """A histogram's series likewise: for each how many fell into each bucket, and their sum."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> None:
        self._described = f"{_PREFIX}_{name}", text, labels
        self._bounds = bounds
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._series: dict[Labels, tuple[list[int], list[float]]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = ([0] * len(self._names), [0.0])
        numbers, total = series
        numbers[bisect_left(self._bounds, value)] += 1
        total[0] += value

    def collect(self) -> Metric:
        name, text, labels = self._described
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, (numbers, total) in self._series.items():
            up_to = [*zip(self._names, accumulate(numbers), strict=True)]
            family.add_metric(values, up_to, sum_value=total[0])
        return family


@dataclass(frozen=True, slots=True)
class IntegrationFigures:
    """What the ledger says of one integration."""

    integration_id: str
    pending: int
    dead: int
    oldest_pending_seconds: float
    paused: bool
    gate: str


class Metrics(Collector):
    """The metrics of one process, with a method for each event."""

    def __init__(self, version: str = "") -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._ledger = _Ledger()
        self._registry.register(self._ledger)
        self._registry.register(self)
        build = self._gauge("build_info", "Which build this is; always 1.", "version", "python")
        build.labels(version, platform.python_version()).set(1)
        self._webhooks = _Counter(
            "webhooks", "Webhooks answered, by what became of them.", "integration", "outcome"
        )
        for outcome in _NOBODYS:
            self._webhooks.begin(UNKNOWN, outcome)
        self._webhook_seconds = _Histogram(
            "webhook_duration_seconds", "From a webhook's head to its answer.", _FAST, "integration"
        )
        self._received = _Counter(
            "submissions_received", "Submissions in webhooks.", "integration", "outcome"
        )
        self._settled = _Counter(
            "submissions_settled",
            "Submissions settled, a replayed one again; the reason is empty for delivered ones.",
            "integration",
            "outcome",
            "reason",
        )
        self._lag = _Histogram(
            "delivery_lag_seconds", "From receipt to delivered.", _LAG, "integration"
        )
        self._attempts = _Counter(
            "attempts", "Attempts spent on submissions.", "integration", "outcome"
        )
        self._warnings = _Counter(
            "warnings", "Warnings of delivered submissions.", "integration", "kind"
        )
        self._requests = _Counter(
            "cordial_requests",
            "Requests to Cordial; status_class 'none': no answer.",
            "integration",
            "status_class",
            "error_class",
        )
        self._request_seconds = _Histogram(
            "cordial_request_duration_seconds", "Cordial's time to answer.", _FAST, "integration"
        )
        self._commit_items = _Histogram(
            "group_commit_items", "What one commit of the ledger held.", _GROUP, "kind"
        )
        self._commit_seconds = _Histogram(
            "group_commit_duration_seconds", "Time of one such commit.", _FAST, "kind"
        )
        self._round = self._gauge(
            "worker_last_round_timestamp_seconds", "When the worker last looked for work."
        )

    def webhook(self, integration: str, outcome: WebhookOutcome, seconds: float) -> None:
        """A webhook was answered."""
        self._webhooks.series[integration, outcome] += 1
        self._webhook_seconds.observe((integration,), seconds)

    def received(self, integration: str, outcome: str, number: int) -> None:
        """Submissions came in: `pending`, `test`, `duplicate` or `unreadable`."""
        self._received.series[integration, outcome] += number

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
        self._settled.series[integration, outcome, reason or ""] += number
        if lag is not None:
            self._lag.observe((integration,), max(lag, 0.0))

    def attempt(self, integration: str, outcome: str) -> None:
        """An attempt was spent."""
        self._attempts.series[integration, outcome] += 1

    def warning(self, integration: str, kind: str) -> None:
        """A contact was delivered, but not all of it."""
        self._warnings.series[integration, kind] += 1

    def cordial_request(
        self, integration: str, status: int | None, error: str, seconds: float
    ) -> None:
        """Cordial answered with a status, or not (None); `error` is `none` where all is well."""
        status_class = "none" if status is None else f"{status // 100}xx"
        self._requests.series[integration, status_class, error] += 1
        self._request_seconds.observe((integration,), seconds)

    def commit(self, kind: Literal["webhooks", "settlements"], items: int, seconds: float) -> None:
        """A group was committed to the ledger."""
        self._commit_items.observe((kind,), items)
        self._commit_seconds.observe((kind,), seconds)

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
            self._webhooks.begin(integration, outcome)
        self._settled.begin(integration, "delivered", "")

    def collect(self) -> Iterable[Metric]:
        """Yield what was counted."""
        counted = (each for each in vars(self).values() if isinstance(each, _Counter | _Histogram))
        return [each.collect() for each in counted]

    def describe(self) -> Iterable[Metric]:
        """Say nothing beforehand: the names are not used elsewhere."""
        return ()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self._registry)


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
