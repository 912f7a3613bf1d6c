"""Whose turn it is: nobody waits for the backlog of another."""

import statistics
import time

from tests.faults.processes import until
from tests.faults.scenarios.registry import BOTH, FEW_SECONDS, scenario
from tests.faults.stage import Stage


@scenario("woken by another replica", BOTH, 20)
def woken(stage: Stage, scale: int) -> None:
    """What one replica accepts another delivers at once, though it was idle."""
    stage.sandbox.start()
    stage.replica(RUN_WORKER="false")
    stage.replica()
    _wake(stage, scale)


@scenario("woken by the process that receives", BOTH, 20)
def woken_child(stage: Stage, scale: int) -> None:
    """What one process receives its child delivers at once, though it was idle."""
    stage.sandbox.start()
    replica = stage.replica(PROCESSES="2")
    until(lambda: stage.delivers(replica), "its child has started")
    _wake(stage, scale)


def _wake(stage: Stage, scale: int) -> None:
    stage.create()
    waits = []
    for each in range(5 * scale):
        stage.settle()
        waits.append(_wait_of(stage, f"w{each}"))
    stage.settle()
    middle, longest = statistics.median(waits) * 1000, max(waits) * 1000
    stage.notes.append(
        f"sent {middle:.0f} ms after 202 (median of {len(waits)}; max {longest:.0f})"
    )
    # Without a signal it would wait for the worker's own look, half a second in the mean.
    assert middle < 100, waits


def _wait_of(stage: Stage, name: str, to: str = "spring-quiz") -> float:
    """Post a submission of a new contact; return the seconds from the 202 until it was sent."""
    stage.accept((name, 0), to=to)
    accepted_at = time.time()
    return float(until(lambda: stage.first_seen(name), f"{name} was sent")) - accepted_at


@scenario("backlog of an integration", BOTH, 100)
def backlog(stage: Stage, scale: int) -> None:
    """Of 1,000 x `scale` submissions: another integration's goes out at once all the same."""
    stage.begin()
    stage.create(name="Autumn quiz")
    stage.pause()
    for batch in range(scale):
        stage.accept(*((f"b{batch}x{each}", 0) for each in range(1000)))
    _come_between(stage, "autumn-quiz")


@scenario("backlog of a contact", BOTH, 100)
def busy_contact(stage: Stage, scale: int) -> None:
    """Of 100 x `scale` submissions: those of others in the same integration go out at once."""
    stage.begin()
    stage.pause()
    for batch in range(scale):
        stage.accept(*(("busy", 100 * batch + each) for each in range(100)))
    _come_between(stage, "spring-quiz")


def _come_between(stage: Stage, to: str) -> None:
    """Let the backlog go, and see how long others take that come meanwhile."""
    before = stage.pending()
    stage.ops("POST", "/integrations/spring-quiz/resume").raise_for_status()
    until(lambda: stage.pending() < before, "the backlog is being delivered")
    waits = [_wait_of(stage, f"quick{each}", to) for each in range(10)]
    left = stage.pending()
    assert left > 0, "the backlog was done before the others came"
    stage.pause()
    until(stage.quiet, "what was under way is over")
    stage.notes.append(
        f"{before} waited; others sent after {statistics.median(waits):.2f} s in the median, "
        f"{max(waits):.2f} at most; {stage.pending()} left waiting"
    )
    assert max(waits) < FEW_SECONDS, waits
