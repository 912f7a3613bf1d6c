"""The service dies, stands still or is told to end, and others go on."""

import os
import signal
import time
from collections.abc import Callable

from tests.faults.processes import Process, until
from tests.faults.scenarios.registry import BOTH, BUSY, scenario
from tests.faults.stage import LEASE_SECONDS, Stage
from tests.processes import STARTING_SECONDS, UNTIL_TOLD, children_of, form_of, runs, start

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@scenario("killed under load", BOTH, 20)
def killed(stage: Stage, scale: int) -> None:
    """SIGKILL at a random moment, started again, `scale` times."""
    stage.begin()
    stage.faults(BUSY)
    (service,) = stage.replicas
    with stage.load() as load:
        for _ in range(scale):
            load.more(stage.chance.randint(1, 60))
            service.kill()
            service.start()
    stage.settle()


@scenario("one of two processes killed", BOTH, 10)
def killed_of_two(stage: Stage, scale: int) -> None:
    """SIGKILL of the one that receives, of the one that delivers, and of both, `scale` times each.

    The one that delivers is replaced; it never outlives the one that receives. The short form
    leaves out both at once.
    """
    fates = ("receives", "delivers", "both")[: 3 if scale > 1 else 2]
    stage.settings["PROCESSES"] = "2"
    stage.begin()
    stage.faults(BUSY)
    (service,) = stage.replicas
    seen: set[int] = set()
    with stage.load(pause=0.1) as load:  # a start takes long enough for a backlog
        for _ in range(scale):
            for victims in stage.chance.sample(fates, len(fates)):
                until(lambda: stage.delivers(service), "another one delivers")
                load.more(stage.chance.randint(1, 60))
                children = children_of(service.pid)
                seen.update(children)
                for child in children if victims != "receives" else ():
                    os.kill(child, signal.SIGKILL)
                if victims != "delivers":
                    service.kill()
                    service.start()
    stage.settle()
    seen.update(children_of(service.pid))
    stage.notes.append(f"{len(seen)} processes delivered in turn")
    service.kill()
    until(lambda: not any(map(runs, seen)), "all have ended")
    stage.replica(PROCESSES="1")  # to ask for the report


@scenario("replicas killed, frozen, added", BOTH, 4)
def replicas(stage: Stage, scale: int) -> None:
    """Of three, one is killed, one frozen past its lease and thawed, one added; and again."""
    stage.begin(replicas=3)
    stage.faults(BUSY)
    with stage.load() as load:
        for _ in range(scale):
            victim, frozen = stage.chance.sample([one for one in stage.replicas if one.alive], 2)
            load.more(20)
            with frozen.stopped():
                victim.kill()
                if stage.engine == "postgresql":  # SQLite's one writer may be the frozen one
                    load.more(20)
                time.sleep(LEASE_SECONDS * 1.5)  # it is to miss its leases, that takes their time
            stage.replica()
            load.more(20)
    stage.settle()


@scenario("back after a kill", BOTH, 5)
def back(stage: Stage, scale: int) -> None:
    """SIGKILL under load: what was under way goes on long before its lease of a minute ends.

    The process is started again or, on PostgreSQL, another replica takes over, as if from another
    machine.
    """
    stage.settings["LEASE_SECONDS"] = "60"
    stage.sandbox.start()
    doomed = stage.replica()
    stage.create()
    stage.faults(BUSY)
    restarted = [_back(stage, doomed, doomed.start) for _ in range(scale)]
    stage.notes.append(f"restarted, all went on after {max(restarted):.1f} s at most")
    if stage.engine == "postgresql":
        stage.replica(DATA_DIR=str(stage.folder / "another machine"))
        taken = []
        for _ in range(scale):
            taken.append(_back(stage, doomed, lambda: None))
            doomed.start()
        stage.notes.append(f"taken over by another replica after {max(taken):.1f} s at most")
    stage.settle()


def _back(stage: Stage, doomed: Process, then: Callable[[], object]) -> float:
    """Kill a replica under load; return how many seconds later Cordial had all it had accepted."""
    with stage.load(contacts=40, pause=0.005) as load:
        load.more(60)
        doomed.kill()
        killed_at = time.monotonic()
        then()
    until(lambda: stage.pending() == 0, "all has gone on", 30)
    return time.monotonic() - killed_at


@scenario("stopped in good order", BOTH, 5)
def terminated(stage: Stage, scale: int) -> None:
    """SIGTERM under load: the process ends with 0, and the other goes on with what it gave back."""
    stage.begin(replicas=2)
    stage.faults(BUSY)
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            code = stage.replicas[0].terminate()
            assert code == 0, (code, stage.replicas[0].log.read_text()[-3000:])
            load.more(10)
            stage.replicas[0].start()
    stage.faults()
    stage.settle()


@scenario("told to end while it starts", BOTH, 20)
def started(stage: Stage, scale: int) -> None:
    """SIGTERM or SIGINT at a random moment of a start, from its first lines on: it ends with 0."""
    stage.begin()
    slowest = 0.0
    with stage.load() as load:
        for command in UNTIL_TOLD * scale:
            arguments, more = form_of(command)
            settings = {**stage.settings, **more, "TMPDIR": str(stage.folder)}
            program = start(arguments, stage.folder, settings)
            program.until_handled()
            program.until_spent(moment := stage.chance.uniform(0, STARTING_SECONDS))
            number, told_at = stage.chance.choice(SIGNALS), time.monotonic()
            code = program.end(number)
            slowest = max(slowest, time.monotonic() - told_at)
            where = f"{command}, {number.name} after {moment:.3f} s of CPU time"
            assert code == 0, f"{code}: {where}: {program.said()[-3000:]}"
            assert "Traceback" not in program.said(), f"{where}: {program.said()[-3000:]}"
        load.more(1)
    stage.settle()
    stage.notes.append(f"{len(UNTIL_TOLD) * scale} starts; the slowest end took {slowest:.1f} s")
