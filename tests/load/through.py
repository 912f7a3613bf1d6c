"""From webhook to Cordial's answer, as fast as it goes."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.processes import until
from tests.load.measuring import NAME, PATIENCE, Bench, Finding
from tests.load.service import Process, bare, serve

_CONNECTIONS = (16, 50)
_WARM_UP = 1.0  # s


@dataclass(frozen=True)
class _Passed:
    """Contacts a second that reached Cordial, and the CPU of all processes for 1,000 (s)."""

    rate: float
    cpu: float


def through(bench: Bench) -> list[Finding]:
    """10: every connection posts again as soon as it is answered, and all is delivered meanwhile.

    What counts is how many contacts Cordial took, from the first webhook to the last contact. The
    baseline is an endpoint that stores nothing: it posts what it gets to Cordial and then answers.
    The service is as many processes as by default, which depends on the cores, and then one.
    """
    with (
        serve(bench.ledger(), PROCESSES="") as service,
        serve(bench.ledger()) as one,
        bare("through", bench.folder, bench.stub.port) as relay,
    ):
        for each in (service, one):
            each.create(NAME)
            each.resume(NAME)
        targets = {"service": service.process, "one": one.process, "relay": relay}
        for each in targets.values():
            _pass(bench, each, _CONNECTIONS[-1], _WARM_UP)
        return [
            finding
            for connections in _CONNECTIONS
            for finding in _findings(bench, targets, connections)
        ]


def _findings(bench: Bench, targets: dict[str, Process], connections: int) -> list[Finding]:
    def passing(target: Process) -> Callable[[], _Passed]:
        return lambda: _pass(bench, target, connections, bench.options.seconds)

    measured = bench.alternate({name: passing(each) for name, each in targets.items()})
    rates = {name: [each.rate for each in rounds] for name, rounds in measured.items()}
    at = f"{connections} connections"
    what, against = f"webhook to Cordial, {at}", "bare FastAPI and httpx"
    return [
        bench.compare(10, what, "/s", rates["service"], against, rates["relay"]),
        bench.compare(10, what, "/s", rates["service"], "one process", rates["one"]),
        *(
            Finding(
                10,
                bench.engine,
                f"CPU for 1,000, {at}, {name}",
                statistics.median(each.cpu for each in measured[key]),
                "s",
            )
            for key, name in (("service", "as it comes"), ("one", "one process"))
        ),
    ]


def _pass(bench: Bench, target: Process, connections: int, seconds: float) -> _Passed:
    bench.stub.get("/answers")
    before, cpu = bench.stub.get("/count"), target.cpu()
    measured = bench.post(target, seconds=seconds, connections=connections)
    goal = before + measured.answers
    until(lambda: bench.stub.get("/count") >= goal, "all is delivered", PATIENCE)
    last = max(at for _, at in bench.stub.get("/answers"))
    taken = last - (max(measured.answered_at) - measured.seconds)
    spent = target.cpu() - cpu
    return _Passed(measured.answers / taken, spent / measured.answers * 1000)
