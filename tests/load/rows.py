"""The rows of the benchmark: what is measured, and against what."""

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle

import httpx
from pydantic_core import from_json, to_json

from app.jebbit.submission import Submission
from app.rules.plan import plan
from tests.faults.load import post
from tests.load import bench_plan
from tests.load.client import Measured, address
from tests.load.measuring import CONCURRENCY, NAME, Bench, Finding, per_second
from tests.load.service import Process, bare, serve
from tests.load.sustained import apart, together
from tests.load.through import through
from tests.load.waiting import waiting
from tests.processes import ROOT

_BATCH = 100
_UNSTORED = "accept, were nothing stored"
_WARM_UP = 0.5  # s
_MORE = 4  # rounds for each of the others, where a small difference is to be told
_PEOPLE = 200
_IMPORTS = "import fastapi, sqlalchemy, httpx"


def accepting(bench: Bench) -> list[Finding]:
    """1: single-submission webhooks, each on disk before its 202, and bare endpoints.

    And the same on a ledger that stores nothing: no faster could it ever be.
    """
    with (
        serve(bench.ledger()) as service,
        serve(bench.ledger(), "tests.load.unstored") as unstored,
        bare("fastapi", bench.folder) as fastapi,
        bare("starlette", bench.folder) as starlette,
    ):
        for each in (service, unstored):
            each.create(NAME)
        targets = {
            "service": service.process,
            "unstored": unstored.process,
            "FastAPI": fastapi,
            "Starlette": starlette,
        }
        measured = _alternate_posts(bench, targets)
    rates = {name: [each.rate for each in rounds] for name, rounds in measured.items()}
    p99s = {name: [each.p99 * 1000 for each in rounds] for name, rounds in measured.items()}
    here, slowest = rates["service"], p99s["service"]
    bench.alone["accept"] = statistics.median(here)
    return [
        bench.compare(1, "accept", "/s", here, "bare FastAPI", rates["FastAPI"], at_least=1),
        bench.compare(1, "accept", "/s", here, "bare Starlette", rates["Starlette"], at_least=0.5),
        bench.compare(1, _UNSTORED, "/s", rates["unstored"], "bare FastAPI", rates["FastAPI"]),
        bench.compare(1, "accept, p99", "ms", slowest, "bare FastAPI", p99s["FastAPI"], at_most=3),
    ]


def _alternate_posts(
    bench: Bench, targets: dict[str, Process], rounds: int | None = None
) -> dict[str, list[Measured]]:
    def posting(target: Process) -> Callable[[], Measured]:
        return lambda: bench.post(target)

    for each in targets.values():
        bench.post(each, seconds=min(_WARM_UP, bench.options.seconds))
    return bench.alternate({name: posting(each) for name, each in targets.items()}, rounds)


def batching(bench: Bench) -> list[Finding]:
    """2: webhooks of 100 submissions, and of one."""
    with serve(bench.ledger()) as service:
        service.create(NAME)
        bench.fill(service, _BATCH)
        rates = bench.alternate(
            {
                "batch": lambda: bench.post(service.process, batch=_BATCH).rate * _BATCH,
                "single": lambda: bench.post(service.process).rate,
            }
        )
    measure = f"accept, {_BATCH} in a webhook"
    return [bench.compare(2, measure, "/s", rates["batch"], "single", rates["single"], at_least=10)]


def delivering(bench: Bench) -> list[Finding]:
    """3: a backlog sent to the stub, and the same requests posted without a ledger."""
    with serve(bench.ledger()) as service:
        service.create(NAME)

        def deliver(backlog: int) -> float:
            bench.fill(service, backlog)
            return per_second(bench.drain(service, backlog))

        deliver(_BATCH)  # warm up, and let the stub see requests
        seen = json.dumps(bench.stub.get("/seen")).encode()
        rates = bench.alternate(
            {
                "service": lambda: deliver(bench.options.backlog),
                "bare": lambda: _post_bare(bench, seen),
            }
        )
    here, baseline = rates["service"], rates["bare"]
    bench.alone["deliver"] = statistics.median(here)
    return [bench.compare(3, "deliver", "/s", here, "bare httpx", baseline, at_least=0.8)]


def _post_bare(bench: Bench, seen: bytes) -> float:
    arguments = [str(bench.stub.port), str(bench.options.seconds), str(CONCURRENCY)]
    command = [sys.executable, "-m", "tests.load.bare", "post", *arguments]
    done = subprocess.run(command, input=seen, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    return float(done.stdout)


def planning(bench: Bench) -> list[Finding]:
    """7: plans for many people, and reading and writing their JSON."""
    integration, now = bench_plan._integration(), bench_plan.NOW
    bodies = [
        to_json(
            {
                **bench_plan._submission(),
                "email": address(number),
                "phone_number": f"202-555-{number:04d}",
                "user_session_id": f"session-{number}",
            }
        )
        for number in range(_PEOPLE)
    ]
    people = [from_json(each) for each in bodies]
    costs = bench.alternate(
        {
            "plan": lambda: _microseconds(
                lambda: [
                    plan(Submission(each), integration, received_at=now, now=now) for each in people
                ]
            ),
            "json": lambda: _microseconds(lambda: [to_json(from_json(each)) for each in bodies]),
        },
        bench.options.rounds * _MORE,
    )
    measure, against = "plan of 20 attributes", "from_json, to_json"
    return [bench.compare(7, measure, "µs", costs["plan"], against, costs["json"], at_most=15)]


def _microseconds(for_all: Callable[[], object]) -> float:
    started = time.perf_counter()
    for_all()
    return (time.perf_counter() - started) / _PEOPLE * 1e6


def starting(bench: Bench) -> list[Finding]:
    """8: from the command to the first 202, on a ledger that has its integration."""
    ledger = bench.ledger()
    with serve(ledger) as service:
        service.create(NAME)
    emails = cycle(address(number) for number in range(10**9))

    def serving() -> float:
        started = time.monotonic()
        with serve(ledger) as service, httpx.Client(verify=False) as http:
            answer = post(http, service.url, {"email": next(emails), "opt_in": "true"}, NAME)
            assert answer.status_code == 202, answer.text
            return time.monotonic() - started

    def importing() -> float:
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", _IMPORTS], cwd=bench.folder, check=True)
        return time.monotonic() - started

    times = bench.alternate({"serve": serving, "import": importing}, bench.options.rounds * _MORE)
    measure, against = "start to first 202", f'-c "{_IMPORTS}"'
    return [bench.compare(8, measure, "s", times["serve"], against, times["import"], at_most=3)]


def telling(bench: Bench) -> list[Finding]:
    """9: the service's CPU for a submission on its whole way, with metrics and lines, and without.

    By the clock it would be lost in the noise of the machine.
    """
    submissions = max(_BATCH, bench.options.backlog // 10)
    with serve(bench.ledger(), "tests.load.unwatched") as service:

        def spent(told: signal.Signals) -> float:
            service.process.popen.send_signal(told)
            before = service.process.cpu()
            bench.fill(service, submissions, batch=1)
            bench.drain(service, submissions)
            return (service.process.cpu() - before) / submissions * 1e6

        service.create(NAME)
        for each in (signal.SIGUSR1, signal.SIGUSR2):
            spent(each)  # warm up
        costs = bench.alternate(
            {
                "watched": lambda: spent(signal.SIGUSR2),
                "unwatched": lambda: spent(signal.SIGUSR1),
            },
            bench.options.rounds * _MORE,
        )
    measure, here, baseline = "CPU, logs and metrics", costs["watched"], costs["unwatched"]
    return [bench.compare(9, measure, "µs", here, "without", baseline, at_most=1.03)]


ROWS: dict[int, Callable[[Bench], list[Finding]]] = {
    1: accepting,
    2: batching,
    3: delivering,
    4: together,
    5: apart,
    6: waiting,
    7: planning,
    8: starting,
    9: telling,
    10: through,
}
NEEDS = {4: {1, 3}, 5: {1, 3, 4}}  # what a row compares with
PURE = {7}  # without a ledger
