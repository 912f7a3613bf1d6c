"""How measurements are taken and compared.

Speed is a ratio to a baseline of the same run: the two take turns, and the ratio is the median of
those of the rounds, as a machine that others use is now faster, now slower.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

from tests.faults.load import SECRET
from tests.load.client import Load, Measured, post
from tests.load.service import Ledger, Process, Service

T = TypeVar("T")

NAME = "bench"  # of the integration
CONCURRENCY = 50  # of deliveries, the default
PATIENCE = 900.0  # s
_CONNECTIONS = 50
_POLL = 0.02  # s
_MOST_PER_SECOND = 15_000  # submissions that a client has at hand, for each second


@dataclass(frozen=True)
class Options:
    """How long and how much is measured; times in seconds."""

    rounds: int
    seconds: float  # of a measurement
    sustained: float  # of the long one
    backlog: int
    pending: int


@dataclass(frozen=True)
class Finding:
    """A figure, and what is to be reached by its ratio or, without a baseline, by itself."""

    row: int
    engine: str
    measure: str
    value: float
    unit: str
    against: str = ""
    baseline: float | None = None
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether it is as it should be."""
        judged = self.value if self.ratio is None else self.ratio
        low, high = self.at_least, self.at_most
        return (low is None or judged >= low) and (high is None or judged <= high)


@dataclass
class Bench:
    """One engine's measurements; `alone` holds the rates that later rows compare with."""

    engine: str
    options: Options
    folder: Path
    stub: Process
    database: Callable[[], str]
    alone: dict[str, float] = field(default_factory=dict)
    busiest: float = 0.0  # a client's share of its time, at most
    _numbers: "count[int]" = field(default_factory=lambda: count(0, 10_000_000))

    def ledger(self) -> Ledger:
        """Return an empty ledger."""
        return Ledger(self.database(), self.folder, self.stub)

    def post(
        self,
        running: Process,
        *,
        batch: int = 1,
        seconds: float | None = None,
        most: int | None = None,
        rate: float | None = None,
        connections: int = _CONNECTIONS,
    ) -> Measured:
        """Post webhooks of people that no other has told of."""
        seconds = seconds or self.options.seconds
        load = Load(
            port=running.port,
            path=f"/webhooks/jebbit/{NAME}",
            secret=SECRET,
            first=next(self._numbers),
            most=most or max(_CONNECTIONS, int(seconds * _MOST_PER_SECOND / batch)),
            seconds=seconds,
            batch=batch,
            connections=connections,
            rate=rate,
        )
        measured = post(load)
        self.busiest = max(self.busiest, measured.busy)
        return measured

    def fill(self, service: Service, contacts: int, batch: int = 100) -> None:
        """Let so many contacts wait, with a submission each; a multiple of the batch, or less."""
        batch = min(batch, contacts)
        self.post(service.process, batch=batch, most=contacts // batch, seconds=PATIENCE)

    def drain(self, service: Service, most: int, seconds: float = PATIENCE) -> list[float]:
        """Deliver so many contacts that wait, or for so long; return when each was, in order."""
        self.stub.get("/answers")
        goal, end = self.stub.get("/count") + most, time.monotonic() + seconds
        service.resume(NAME)
        while self.stub.get("/count") < goal and time.monotonic() < end:
            time.sleep(_POLL)
        service.pause(NAME)
        return sorted(at for _, at in self.stub.get("/answers"))

    def alternate(
        self, measures: Mapping[str, Callable[[], T]], rounds: int | None = None
    ) -> dict[str, list[T]]:
        """Return what each measured in each round; every other round goes backwards."""
        results: dict[str, list[T]] = {name: [] for name in measures}
        for number in range(rounds or self.options.rounds):
            for name in list(measures)[:: -1 if number % 2 else 1]:
                results[name].append(measures[name]())
        return results

    def compare(
        self,
        row: int,
        measure: str,
        unit: str,
        values: Sequence[float],
        against: str,
        baselines: Sequence[float],
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> Finding:
        """Return the medians of rounds, and the median of the rounds' ratios."""
        return Finding(
            row,
            self.engine,
            measure,
            statistics.median(values),
            unit,
            against,
            statistics.median(baselines),
            statistics.median(a / b for a, b in zip(values, baselines, strict=True)),
            at_least,
            at_most,
        )


def per_second(times: Sequence[float]) -> float:
    """Return the rate of what happened at these times, in order."""
    return (len(times) - 1) / (times[-1] - times[0])
