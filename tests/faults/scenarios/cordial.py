"""Cordial fails, asks to wait, or is down."""

import time
from collections import Counter
from typing import Any

from tests.faults.judge import TIMEOUT_SECONDS
from tests.faults.processes import until
from tests.faults.scenarios.registry import BOTH, scenario, told
from tests.faults.stage import Stage

_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "rate_limited", "times": 1, "retry_after": 1},
    {"kind": "rate_limited", "times": 1},
    {"kind": "rate_limited_reset", "times": 1, "retry_after": 1},
    {"kind": "server_error", "probability": 0.1},
    {"kind": "html_502", "probability": 0.1},
    {"kind": "slow", "probability": 0.1, "seconds": TIMEOUT_SECONDS + 1},
    {"kind": "reset_after_write", "probability": 0.1},
    {"kind": "success_false", "probability": 0.05},
    {"kind": "empty_body", "probability": 0.1},
)


@scenario("Cordial fails, each way alone", BOTH, len(_FAULTS))
def each_fault(stage: Stage, scale: int) -> None:
    """One kind of fault after the other, and Cordial restarted in between."""
    stage.begin()
    with stage.load() as load:
        for fault in stage.chance.sample(_FAULTS, min(scale, len(_FAULTS))):
            before = _hits(stage).total()
            stage.faults(fault)
            load.more(60)
            until(lambda before=before: _hits(stage).total() > before, f"a fault: {fault}")
            stage.restart_sandbox()
    stage.settle()
    stage.notes.append(told(_hits(stage)))


@scenario("Cordial fails in every way at once", BOTH, 8)
def mixed_faults(stage: Stage, scale: int) -> None:
    """All kinds mixed at random, and Cordial restarted in between, with two replicas."""
    stage.begin(replicas=2)
    kinds = len({each["kind"] for each in _FAULTS})
    with stage.load() as load:
        for round_ in range(1, scale + 1):
            stage.faults(*stage.chance.sample(_FAULTS, len(_FAULTS)))
            load.more(100)
            wanted = min(kinds, 3 + round_)
            until(lambda wanted=wanted: len(_hits(stage)) >= wanted, "it has failed in many ways")
            stage.restart_sandbox()
    stage.settle()
    stage.notes.append(told(_hits(stage)))


def _hits(stage: Stage) -> Counter[str]:
    """Return how often Cordial has failed so far, by kind."""
    return Counter(each["fault"] for each in stage.read_journal() if each["fault"])


@scenario("Cordial asks to wait", BOTH, 3)
def held(stage: Stage, scale: int) -> None:
    """After a 429 with Retry-After nothing is sent for so long, by whatever replica."""
    wait, under_way = 5, 1.0  # seconds; what was claimed before the 429 came is sent yet
    stage.begin(replicas=2)
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            stage.faults({"kind": "rate_limited", "retry_after": wait})
            until(lambda: stage.gate()["state"] == "held", "the gate is held")
            held_at = time.time()
            stage.faults()
            until(lambda: stage.gate()["state"] == "open", "the wait is over")
            entries = stage.read_journal()
            told = max(each["ended"] for each in entries if each["fault"] == "rate_limited")
            after = [each["started"] - held_at for each in entries if each["started"] < told + wait]
            assert max(after) < under_way, f"sent {max(after):.1f} s after the gate was held"
            assert time.time() > told + wait - 0.5, "the gate was open too early"
    stage.settle()


@scenario("Cordial down", BOTH, 8)
def outage(stage: Stage, scale: int) -> None:
    """Once the gate is closed only probes get through: 5 s after, then after twice as long.

    What came in meanwhile has spent no attempt but theirs.
    """
    stage.begin(replicas=2)
    with stage.load(pause=0.1) as load:
        load.more(20)
        stage.faults({"kind": "server_error"})
        until(lambda: stage.gate()["state"] == "closed", "the gate closes")
        until(stage.quiet, "what was under way is over")
        began, before, known = time.time(), len(stage.read_journal()), set(load.accepted)
        time.sleep(16 * scale)  # an outage lasts; what comes meanwhile is counted
        meanwhile = [one for number, one in load.accepted.copy().items() if number not in known]
        meanwhile = stage.chance.sample(meanwhile, min(len(meanwhile), 500))
        spent = sum(_attempts(stage, one) for one in meanwhile if one)
        probes = len(stage.read_journal()) - before
        assert 0 < probes <= _most_probes(time.time() - began), f"{probes} requests meanwhile"
        assert spent <= probes, f"{spent} attempts spent by {len(meanwhile)} that wait"
        stage.faults()
        until(lambda: stage.gate()["state"] == "open", "a probe finds it mended", 400)
    stage.settle()
    stage.notes.append(f"{probes} probes in {16 * scale} s")


def _attempts(stage: Stage, submission_id: str) -> int:
    return len(stage.ops("GET", f"/submissions/{submission_id}").json()["attempts"])


def _most_probes(seconds: float) -> int:
    """Return how often a closed gate may be probed in so many seconds."""
    probes, wait = 1, 5.0
    while seconds > 0:
        seconds, wait, probes = seconds - wait, min(2 * wait, 300.0), probes + 1
    return probes
