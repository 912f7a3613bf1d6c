"""Accepting and delivering at once, at a rate that can go on."""

import statistics
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.processes import until
from tests.load.client import number_of
from tests.load.measuring import NAME, PATIENCE, Bench, Finding
from tests.load.service import Service, serve, worker

_STEPS = 5  # of the search
_STEP_BACK = 0.93
_GROWTH = 0.02  # of what is offered; a backlog that grows by less does not grow
_LATE = 1.02
_CALM = 200.0  # webhooks a second
_CALM_MS = 150


@dataclass(frozen=True)
class Offered:
    """What came of webhooks offered at a steady rate; `p50` is from 202 to Cordial's answer."""

    rate: float
    kept_up: bool
    p50: float


def together(bench: Bench) -> list[Finding]:
    """4: accepting and delivering in one process, against the slower of the two alone."""
    options, slower = bench.options, min(bench.alone["accept"], bench.alone["deliver"])
    with serve(bench.ledger()) as service:
        service.create(NAME)
        service.resume(NAME)
        found = _highest(bench, service, slower)
        calm = [_offer(bench, service, _CALM, options.seconds) for _ in range(options.rounds)]
    bench.alone["both"] = found
    p50 = statistics.median(each.p50 for each in calm) * 1000
    return [
        Finding(
            4,
            bench.engine,
            f"both at once, {options.sustained:g} s",
            found,
            "/s",
            "the slower alone",
            slower,
            found / slower,
            at_least=0.6,
        ),
        Finding(
            4,
            bench.engine,
            f"202 to Cordial's answer at {_CALM:g}/s, p50",
            p50,
            "ms",
            at_most=_CALM_MS,
        ),
    ]


def apart(bench: Bench) -> list[Finding]:
    """5: the same by one process that serves and one that delivers; SQLite is for one process."""
    if bench.engine == "sqlite":
        return []
    ledger, both = bench.ledger(), bench.alone["both"]
    with serve(ledger, RUN_WORKER="false") as service, worker(ledger):
        service.create(NAME)
        service.resume(NAME)
        found = _highest(bench, service, 2 * both)
    return [
        Finding(
            5,
            bench.engine,
            f"serve and worker, {bench.options.sustained:g} s",
            found,
            "/s",
            "one process",
            both,
            found / both,
            at_least=1.4,
        )
    ]


def _highest(bench: Bench, service: Service, most: float) -> float:
    """Search the highest rate at which the backlog does not grow, and hold it for long."""
    _offer(bench, service, most / 8, bench.options.seconds)  # warm up
    low: float = most / 2**_STEPS
    high = most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        kept_up = _offer(bench, service, middle, bench.options.seconds).kept_up
        low, high = (middle, high) if kept_up else (low, middle)
    while not _offer(bench, service, low, bench.options.sustained).kept_up:
        low *= _STEP_BACK
    return low


def _offer(bench: Bench, service: Service, rate: float, seconds: float) -> Offered:
    """Post at a rate, wait until all is delivered, and say how it went."""
    most = max(2, int(rate * seconds))
    bench.stub.get("/answers")
    goal = bench.stub.get("/count") + most
    measured = bench.post(service.process, rate=rate, seconds=seconds, most=most)
    until(lambda: bench.stub.get("/count") >= goal, "all is delivered", PATIENCE)
    answers = bench.stub.get("/answers")
    accepted = dict(enumerate(measured.answered_at, measured.first))
    waits = [at - accepted[number_of(email)] for email, at in answers]
    growth = _growth(sorted(accepted.values()), sorted(at for _, at in answers))
    in_time = measured.seconds <= seconds * _LATE + 0.1
    return Offered(rate, in_time and growth <= _GROWTH * rate, statistics.median(waits))


def _growth(accepted: Sequence[float], delivered: Sequence[float]) -> float:
    """Return by how much the backlog grew each second, from the second quarter to the last."""
    start, span = accepted[0], accepted[-1] - accepted[0]

    def backlog(quarter: int) -> float:
        times = [start + span * (quarter + part / 20) / 4 for part in range(20)]
        return statistics.fmean(bisect(accepted, at) - bisect(delivered, at) for at in times)

    return (backlog(3) - backlog(1)) / (span / 2)
