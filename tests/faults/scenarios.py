"""The fault scenarios. Each plays on a fresh stage; `scale` says how long or how often.

What a scenario must show beyond the report's zeros, it asserts itself.
"""

import json
import random
import resource
import signal
import socket
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from app.jebbit.signature import HEADER, sign
from tests.faults.harness import (
    LEASE_SECONDS,
    SECRET,
    TIMEOUT_SECONDS,
    Process,
    Stage,
    post,
    submission,
    until,
)

Scenario = Callable[[Stage, int], None]
BOTH = ("sqlite", "postgresql")
SCENARIOS: dict[str, tuple[Scenario, tuple[str, ...], int]] = {}
"""By name: the scenario, the engines it is for, and the scale of its long form."""


def scenario(name: str, engines: tuple[str, ...], long: int) -> Callable[[Scenario], Scenario]:
    """Enter a scenario into the list."""

    def enter(play: Scenario) -> Scenario:
        SCENARIOS[name] = (play, engines, long)
        return play

    return enter


# --- The service dies -----------------------------------------------------------------------


@scenario("killed under load", BOTH, 20)
def killed(stage: Stage, scale: int) -> None:
    """SIGKILL at a random moment, started again, `scale` times."""
    stage.begin()
    (service,) = stage.replicas
    with stage.load() as load:
        for _ in range(scale):
            load.more(stage.chance.randint(1, 60))
            service.kill()
            service.start()
    stage.settle()


@scenario("replicas killed, frozen, added", BOTH, 4)
def replicas(stage: Stage, scale: int) -> None:
    """Of three, one is killed, one frozen past its lease and thawed, one added; and again."""
    stage.begin(replicas=3)
    with stage.load() as load:
        for _ in range(scale):
            victim, frozen = stage.chance.sample([one for one in stage.replicas if one.alive], 2)
            load.more(20)
            with _frozen(frozen):
                victim.kill()
                if stage.engine == "postgresql":  # SQLite's one writer may be the frozen one
                    load.more(20)
                time.sleep(LEASE_SECONDS * 1.5)  # it is to miss its leases, that takes their time
            stage.replica()
            load.more(20)
    stage.settle()


@contextmanager
def _frozen(process: Process) -> Iterator[None]:
    """Stop a process as the system may, and let it go on; it is sent no webhooks meanwhile."""
    process.send(signal.SIGSTOP)
    process.frozen = True
    try:
        yield
    finally:
        process.send(signal.SIGCONT)
        process.frozen = False


@scenario("stopped in good order", BOTH, 5)
def terminated(stage: Stage, scale: int) -> None:
    """SIGTERM under load: the process ends with 0, and the other goes on with what it gave back."""
    stage.begin(replicas=2)
    stage.faults({"kind": "slow", "seconds": 0.1})
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            assert stage.replicas[0].terminate() == 0
            load.more(10)
            stage.replicas[0].start()
    stage.faults()
    stage.settle()


# --- The ledger goes away -------------------------------------------------------------------


@scenario("PostgreSQL restarted", ("postgresql",), 5)
def database_restarted(stage: Stage, scale: int) -> None:
    """Ended in immediate mode under load: 503 meanwhile, never 202; goes on by itself after."""
    stage.begin(replicas=2)
    with stage.load() as load:
        for _ in range(scale):
            load.more(stage.chance.randint(10, 60))
            before = load.refused[503]
            assert stage.database_away is not None
            with stage.database_away():
                until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


@scenario("disk full", ("sqlite",), 3)
def disk_full(stage: Stage, scale: int) -> None:
    """No room left under load: 503 meanwhile, never 202; goes on by itself once there is some."""
    fill = _small_disk(stage)
    stage.begin()
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            before = load.refused[503]
            with fill():
                until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


def _small_disk(stage: Stage) -> Callable[[], AbstractContextManager[None]]:
    """Put the ledger on a tmpfs, and return what fills it for a while.

    Without the right to mount one, what the service may write is bounded instead.
    """
    disk = stage.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=False, capture_output=True
    )
    stage.settings["DATABASE_URL"] = f"sqlite:///{disk / 'ledger.db'}"
    if mounted.returncode != 0:
        return lambda: _bounded(stage.replicas[0], disk)
    stage.after.callback(subprocess.run, ["umount", disk], check=True)
    return lambda: _filled(disk)


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _bounded(process: Process, disk: Path) -> Iterator[None]:
    whole = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    size = max(each.stat().st_size for each in disk.iterdir())
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, whole[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, whole)


@scenario("ledger locked", ("sqlite",), 3)
def database_locked(stage: Stage, scale: int) -> None:
    """Another program holds the write lock: 503 meanwhile, never 202; goes on by itself after."""
    stage.begin()
    path = stage.settings["DATABASE_URL"].removeprefix("sqlite:///")
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            before = load.refused[503]
            other = sqlite3.connect(path, isolation_level=None, timeout=30)
            other.execute("BEGIN IMMEDIATE")
            until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            other.execute("ROLLBACK")
            other.close()
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


# --- Cordial fails --------------------------------------------------------------------------

_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "rate_limited", "times": 1, "retry_after": 1},
    {"kind": "rate_limited", "times": 1},
    {"kind": "rate_limited_reset", "times": 1, "retry_after": 1},
    {"kind": "server_error", "probability": 0.1},
    {"kind": "html_502", "probability": 0.1},
    {"kind": "slow", "probability": 0.03, "seconds": TIMEOUT_SECONDS + 1},
    {"kind": "reset_after_write", "probability": 0.1},
    {"kind": "success_false", "probability": 0.05},
    {"kind": "empty_body", "probability": 0.1},
)


@scenario("Cordial fails, each way alone", BOTH, len(_FAULTS))
def each_fault(stage: Stage, scale: int) -> None:
    """One kind of fault after the other."""
    stage.begin()
    with stage.load() as load:
        for fault in stage.chance.sample(_FAULTS, min(scale, len(_FAULTS))):
            stage.faults(fault)
            load.more(60)
    stage.faults()
    stage.settle()


@scenario("Cordial fails in every way at once", BOTH, 4)
def mixed_faults(stage: Stage, scale: int) -> None:
    """All kinds mixed at random, and Cordial restarted in between, with two replicas."""
    stage.begin(replicas=2)
    with stage.load() as load:
        for _ in range(scale):
            stage.faults(*stage.chance.sample(_FAULTS, len(_FAULTS)))
            load.more(100)
            stage.restart_sandbox()
    stage.faults()
    stage.settle()


@scenario("Cordial down", ("postgresql",), 8)
def outage(stage: Stage, scale: int) -> None:
    """Once the gate is closed only probes get through: 5 s after, then after twice as long."""
    stage.begin(replicas=2)
    with stage.load(pause=0.1) as load:
        load.more(20)
        stage.faults({"kind": "server_error"})
        until(lambda: _gate(stage)["state"] == "closed", "the gate closes")
        until(lambda: _quiet(stage), "what was under way is over")
        began, before = time.time(), len(stage.read_journal())
        time.sleep(16 * scale)  # an outage lasts; what comes meanwhile is counted
        probes = len(stage.read_journal()) - before
        assert probes <= _most_probes(time.time() - began), f"{probes} requests meanwhile"
        stage.faults()
        until(lambda: _gate(stage)["state"] == "open", "a probe finds it mended", 400)
    stage.settle()
    stage.notes.append(f"{probes} probes in {16 * scale} s")


def _gate(stage: Stage) -> dict[str, Any]:
    return dict(stage.ops("GET", "/integrations/spring-quiz").json()["gate"])


def _quiet(stage: Stage) -> bool:
    """Whether nothing was sent for a second and nothing is under way."""
    entries = stage.read_journal()
    return all(each["ended"] and time.time() - each["ended"] > 1 for each in entries[-50:])


def _most_probes(seconds: float) -> int:
    """Return how often a closed gate may be probed in so many seconds."""
    probes, wait = 1, 5.0
    while seconds > 0:
        seconds, wait, probes = seconds - wait, min(2 * wait, 300.0), probes + 1
    return probes


# --- Order, and who wins --------------------------------------------------------------------


@scenario("replays and backfills", BOTH, 5)
def replays(stage: Stage, scale: int) -> None:
    """Of what went dead the older is not sent over the newer, nor is an older backfill."""
    stage.begin(replicas=2)
    for round_ in range(scale):
        people = [f"p{round_}x{each}" for each in range(10)]
        stage.faults({"kind": "success_false"})
        older = {one: _accepted(stage, submission(one, 0)) for one in people}
        stage.settle()
        stage.faults({"kind": "slow", "seconds": 0.5})
        for one in people:
            _accepted(stage, submission(one, 1, experience_date="2026-11-20 10:15:00 UTC"))
        for one in people:  # while the newer is under way, or just was
            stage.ops("POST", f"/submissions/{older[one]}/replay")
            _accepted(stage, submission(one, 2, experience_date="2026-11-20 09:15:00 UTC"))
        stage.faults()
        stage.settle()
        held = stage.http.get(f"{stage.sandbox.url}/_sandbox/contacts").json()["contacts"]
        by_outcome = {str(each["attributes"].get("quiz_outcome")) for each in held}
        assert by_outcome == {"1"}, by_outcome


def _accepted(stage: Stage, body: dict[str, Any], at: int = 0) -> str:
    answer = post(stage.http, stage.replicas[at].url, body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["submissions"][0])


@scenario("erased while under way", BOTH, 3)
def erased(stage: Stage, scale: int) -> None:
    """Whatever Cordial answers then, nothing of the person is written again."""
    stage.begin()
    for each in range(scale):
        stage.faults({"kind": "slow", "seconds": 1})
        name = f"gone{each}"
        found = _accepted(stage, submission(name, 0))
        until(lambda name=name: _seen(stage, name), "it is under way")
        answer = stage.ops("POST", "/erasures", json={"email": f"{name}@example.com"})
        assert answer.status_code == 200, answer.text
        until(lambda: _quiet(stage), "Cordial has answered")
        one = stage.ops("GET", f"/submissions/{found}").json()
        left = (one["payload"], one["cordial_contact_id"], one["status"], one["reason"])
        assert left == (None, None, "skipped", "erased"), left


def _seen(stage: Stage, name: str) -> bool:
    return any(each["email"] == f"{name}@example.com" for each in stage.read_journal())


# --- Turns ----------------------------------------------------------------------------------


@scenario("woken by another replica", BOTH, 10)
def woken(stage: Stage, scale: int) -> None:
    """What one replica accepts another delivers at once, though it was idle."""
    stage.sandbox.start()
    receiver, worker = stage.replica(RUN_WORKER="false"), stage.replica()
    stage.create()
    waits = []
    for each in range(5 * scale):
        stage.settle()
        _accepted(stage, submission(f"w{each}", 0), at=0)
        accepted_at = time.time()
        name = f"w{each}"
        until(lambda name=name: _seen(stage, name), "it was sent")
        waits.append(_started(stage, name) - accepted_at)
    assert receiver.alive
    assert worker.alive
    stage.notes.append(f"sent {statistics.median(waits) * 1000:.0f} ms after 202 (median)")
    # Without a signal it would wait for the worker's own look, half a second in the mean.
    assert statistics.median(waits) < 0.3


def _started(stage: Stage, name: str) -> float:
    entries = [each for each in stage.read_journal() if each["email"] == f"{name}@example.com"]
    return float(entries[0]["started"])


@scenario("backlogs", BOTH, 100)
def backlogs(stage: Stage, scale: int) -> None:
    """A backlog of an integration, and one of a contact, hold up neither another's submission."""
    stage.begin()
    stage.create(name="Autumn quiz")
    stage.ops("POST", "/integrations/spring-quiz/pause")
    for batch in range(scale):
        many = [submission(f"b{batch}x{each}", 0) for each in range(900)]
        many += [submission("busy", 100 * batch + each) for each in range(100)]
        answer = post(stage.http, stage.replicas[0].url, many)
        assert answer.status_code == 202, answer.text
    stage.ops("POST", "/integrations/spring-quiz/resume")
    waits = []
    for each in range(5):
        name = f"quick{each}"
        started = time.time()
        answer = post(stage.http, stage.replicas[0].url, submission(name, 0), "autumn-quiz")
        assert answer.status_code == 202, answer.text
        until(lambda name=name: _seen(stage, name), "it was sent")
        waits.append(_started(stage, name) - started)
    left = stage.pending()
    assert left > 0, "the backlog was done before the others came"
    stage.notes.append(f"another's sent after {max(waits):.1f} s at most; {left} still waited")


# --- The clock ------------------------------------------------------------------------------


@scenario("clock set by an hour", BOTH, 2)
def clock_set(stage: Stage, scale: int) -> None:
    """An hour on or back between receipt and delivery, under load; killed and restarted there."""
    offset = stage.folder / "offset"
    offset.write_text("0")
    stage.settings["CLOCK_OFFSET_FILE"] = str(offset)
    stage.settings["WEBHOOK_TOLERANCE_SECONDS"] = "7200"
    stage.sandbox.start()
    service = stage.replica(("tests.faults.clock", "serve"))
    stage.create()
    with stage.load() as load:
        for turn in range(2 * scale):
            stage.faults({"kind": "server_error"})
            load.more(10)
            offset.write_text(str(3600 * (1 if turn % 2 == 0 else -1)))
            load.more(10)
            if turn % 2:
                service.kill()
                service.start()
            stage.faults()
            load.more(10)
    stage.settle()


# --- Garbage --------------------------------------------------------------------------------


@scenario("garbage", BOTH, 20)
def garbage(stage: Stage, scale: int) -> None:
    """Mutated webhooks, signed or not: never a 5xx, never a defect in the log."""
    stage.begin()
    (service,) = stage.replicas
    before = _memory(service)
    answers: dict[int, int] = {}
    for _ in range(100 * scale):
        content, headers = _mutated(stage.chance)
        url = f"{service.url}/webhooks/jebbit/spring-quiz"
        answer = stage.http.post(url, content=content, headers=headers)
        answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
    assert not [status for status in answers if status >= 500], answers
    stage.settle()
    grown = _memory(service) - before
    assert grown < 200, f"{grown} MB more"
    told = ", ".join(f"{number} x {status}" for status, number in sorted(answers.items()))
    stage.notes.append(f"{told}; {grown:.0f} MB more memory")


_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e308,
    10**400,
    "",
    "\x00",
    "\ud800",
    "x" * 10_000,
    "😀" * 300,
    [],
    {},
    [[[]]],
    {"a": {"b": [None]}},
    "9999-12-31T23:59:59Z",
    "0001-01-01",
    "+" * 50,
    "@",
    "a@b" * 99,
)


def _mutated(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    """Return a webhook with something wrong in its body, its signature, or neither."""
    person: Any = submission("garbage", chance.randint(0, 9))
    for _ in range(chance.randint(0, 3)):
        person[chance.choice([*person, "country_code", "experience_date", "odd", "\x00"])] = (
            chance.choice(_ODD)
        )
    del person[chance.choice([*person])]
    body = chance.choice(
        [person, [person], {"data": person}, [{"data": person, "event": 7}], chance.choice(_ODD)]
    )
    content = bytearray(json.dumps(body).encode())
    for _ in range(chance.choice([0, 0, 1, 5])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    if chance.random() < 0.05:
        content = bytearray(b"[" * 50_000)
    signature = sign(body=bytes(content), secret=SECRET, at=int(time.time()))
    if chance.random() < 0.3:
        at = chance.randrange(len(signature))
        signature = signature[:at] + chance.choice("=,~\tv1t0 ") + signature[at + 1 :]
    return bytes(content), {HEADER: signature.strip()}


def _memory(process: Process) -> float:
    """Return how much memory a process holds, in MB; 0 where that is not told."""
    status = Path(f"/proc/{process.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@scenario("half-open connections", ("sqlite",), 10)
def half_open(stage: Stage, scale: int) -> None:
    """Slow senders are cut off, and a good webhook gets in beside a thousand that say nothing."""
    stage.begin()
    (service,) = stage.replicas
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
    with ExitStack() as stack:
        slow = stack.enter_context(socket.create_connection(address, timeout=60))
        slow.sendall(
            b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost: x\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for each in range(100 * scale):
            other = stack.enter_context(socket.create_connection(address, timeout=60))
            other.sendall(b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost" * (each % 2))
        _accepted(stage, submission("good", 0))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        with suppress(OSError):  # 10 MB: it is told so, or the door is shut, long before
            for _ in range(160):
                slow.sendall(chunk)
        with suppress(OSError):
            assert b" 413 " in slow.recv(65536)
    stage.settle()


@scenario("slow senders", ("sqlite",), 1)
def slow_senders(stage: Stage, scale: int) -> None:
    """A connection whose request does not get on is closed, in its head as in its body."""
    stage.begin()
    (service,) = stage.replicas
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
    head = b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as stack:
        for said in (b"", head[:20], head, head + b"x", head.replace(b"webhooks", b"erasures")):
            one = stack.enter_context(socket.create_connection(address, timeout=120))
            one.sendall(said)
            stack.callback(_read_to_the_end, one)


def _read_to_the_end(connection: socket.socket) -> None:
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass
