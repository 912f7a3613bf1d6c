"""The fault scenarios. Each plays on a fresh stage; `scale` says how long or how often.

What a scenario must show beyond the report's zeros, it asserts itself.
"""

import asyncio
import json
import random
import resource
import select
import signal
import socket
import sqlite3
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from app.jebbit.signature import HEADER, TEST_HEADER, sign
from tests.faults.harness import (
    LEASE_SECONDS,
    SECRET,
    TIMEOUT_SECONDS,
    Process,
    Stage,
    submission,
    until,
    was_taken,
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


# Cordial takes its time, so that something is under way at any moment.
_BUSY = {"kind": "slow", "seconds": 0.1}


# --- The service dies -----------------------------------------------------------------------


@scenario("killed under load", BOTH, 20)
def killed(stage: Stage, scale: int) -> None:
    """SIGKILL at a random moment, started again, `scale` times."""
    stage.begin()
    stage.faults(_BUSY)
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
    stage.faults(_BUSY)
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
    stage.faults(_BUSY)
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            code = stage.replicas[0].terminate()
            assert code == 0, (code, stage.replicas[0].log.read_text()[-3000:])
            load.more(10)
            stage.replicas[0].start()
    stage.faults()
    stage.settle()


# --- The ledger goes away -------------------------------------------------------------------


@scenario("PostgreSQL restarted", ("postgresql",), 5)
def database_restarted(stage: Stage, scale: int) -> None:
    """Ended in immediate mode under load: 503 meanwhile, never 202; goes on by itself after."""
    stage.begin(replicas=2)
    stage.faults(_BUSY)
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


@scenario("ledger locked", BOTH, 3)
def database_locked(stage: Stage, scale: int) -> None:
    """Another program holds a lock: 503 meanwhile, never 202; goes on by itself after."""
    stage.begin()
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            before = load.refused[503]
            with _locked(stage):
                until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            load.more(20)
    stage.settle()
    stage.notes.append(f"{load.refused[503]} x 503")


@contextmanager
def _locked(stage: Stage) -> Iterator[None]:
    """Lock the ledger against writers."""
    url = stage.settings["DATABASE_URL"]
    if stage.engine == "sqlite":
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with asyncio.Runner() as runner:
        other = runner.run(asyncpg.connect(url))
        runner.run(other.execute("BEGIN; LOCK TABLE submissions"))
        yield
        runner.run(other.close())


# --- Cordial fails --------------------------------------------------------------------------

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
    stage.notes.append(_told(_hits(stage)))


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
    stage.notes.append(_told(_hits(stage)))


def _hits(stage: Stage) -> Counter[str]:
    """Return how often Cordial has failed so far, by kind."""
    return Counter(each["fault"] for each in stage.read_journal() if each["fault"])


def _told(counts: Counter[Any]) -> str:
    return ", ".join(f"{number} x {what}" for what, number in counts.most_common())


@scenario("Cordial asks to wait", BOTH, 3)
def held(stage: Stage, scale: int) -> None:
    """After a 429 with Retry-After nothing is sent for so long, by whatever replica."""
    wait, under_way = 5, 1.0  # seconds; what was claimed before the 429 came is sent yet
    stage.begin(replicas=2)
    with stage.load() as load:
        for _ in range(scale):
            load.more(20)
            stage.faults({"kind": "rate_limited", "retry_after": wait})
            until(lambda: _gate(stage)["state"] == "held", "the gate is held")
            held_at = time.time()
            stage.faults()
            until(lambda: _gate(stage)["state"] == "open", "the wait is over")
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
        until(lambda: _gate(stage)["state"] == "closed", "the gate closes")
        until(lambda: _quiet(stage), "what was under way is over")
        began, before, known = time.time(), len(stage.read_journal()), set(load.accepted)
        time.sleep(16 * scale)  # an outage lasts; what comes meanwhile is counted
        meanwhile = [one for number, one in load.accepted.copy().items() if number not in known]
        meanwhile = stage.chance.sample(meanwhile, min(len(meanwhile), 500))
        spent = sum(_attempts(stage, one) for one in meanwhile if one)
        probes = len(stage.read_journal()) - before
        assert 0 < probes <= _most_probes(time.time() - began), f"{probes} requests meanwhile"
        assert spent <= probes, f"{spent} attempts spent by {len(meanwhile)} that wait"
        stage.faults()
        until(lambda: _gate(stage)["state"] == "open", "a probe finds it mended", 400)
    stage.settle()
    stage.notes.append(f"{probes} probes in {16 * scale} s")


def _attempts(stage: Stage, submission_id: str) -> int:
    return len(stage.ops("GET", f"/submissions/{submission_id}").json()["attempts"])


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
        older = {one: stage.accept((one, 0)) for one in people}
        stage.settle()
        stage.faults({"kind": "slow", "seconds": 0.5})
        for one in people:
            stage.accept((one, 1), experience_date="2026-11-20 10:15:00 UTC")
        for one in people:  # while the newer is under way, or just was
            stage.ops("POST", f"/submissions/{older[one][0]}/replay")
            stage.accept((one, 2), experience_date="2026-11-20 09:15:00 UTC")
            stage.withdrawn |= {(one, 0), (one, 2)}
        stage.faults()
        stage.settle()
        sent = [each["body"]["quiz_outcome"] for each in stage.read_journal() if was_taken(each)]
        assert set(sent) == {"1"}, sent
    stage.notes.append(f"{len(stage.withdrawn)} older ones not sent")


@scenario("erased while under way", BOTH, 3)
def erased(stage: Stage, scale: int) -> None:
    """Whatever Cordial answers then, nothing of the person is written again, nor sent."""
    stage.begin()
    for each in range(scale):
        stage.faults({"kind": "slow", "seconds": 1})
        name = f"gone{each}"
        both = ((name, 0), (name, 1))
        ids = stage.accept(*both)
        until(lambda name=name: stage.first_seen(name), "it is under way")
        answer = stage.ops("POST", "/erasures", json={"email": f"{name}@example.com"})
        assert answer.json() == {"erased": 2}, answer.text
        until(lambda: _quiet(stage), "Cordial has answered")
        for one in ids:
            kept = stage.ops("GET", f"/submissions/{one}").json()
            left = [kept[key] for key in ("payload", "cordial_contact_id", "status", "reason")]
            assert left == [None, None, "skipped", "erased"], left
        sent = [one["body"]["quiz_outcome"] for one in stage.read_journal() if _is_of(one, name)]
        assert sent == ["0"], sent
        stage.withdrawn.update(both)


def _is_of(entry: dict[str, Any], name: str) -> bool:
    return bool(entry["email"] == f"{name}@example.com")


# --- Turns ----------------------------------------------------------------------------------


@scenario("woken by another replica", BOTH, 20)
def woken(stage: Stage, scale: int) -> None:
    """What one replica accepts another delivers at once, though it was idle."""
    stage.sandbox.start()
    stage.replica(RUN_WORKER="false")
    stage.replica()
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


_FEW_SECONDS = 3.0


@scenario("backlog of an integration", BOTH, 100)
def backlog(stage: Stage, scale: int) -> None:
    """Of 1,000 x `scale` submissions: another integration's goes out at once all the same."""
    stage.begin()
    stage.create(name="Autumn quiz")
    _pause(stage)
    for batch in range(scale):
        stage.accept(*((f"b{batch}x{each}", 0) for each in range(1000)))
    _come_between(stage, "autumn-quiz")


@scenario("backlog of a contact", BOTH, 100)
def busy_contact(stage: Stage, scale: int) -> None:
    """Of 100 x `scale` submissions: those of others in the same integration go out at once."""
    stage.begin()
    _pause(stage)
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
    _pause(stage)
    until(lambda: _quiet(stage), "what was under way is over")
    stage.notes.append(
        f"{before} waited; others sent after {statistics.median(waits):.2f} s in the median, "
        f"{max(waits):.2f} at most; {stage.pending()} left waiting"
    )
    assert max(waits) < _FEW_SECONDS, waits


def _pause(stage: Stage) -> None:
    stage.ops("POST", "/integrations/spring-quiz/pause").raise_for_status()


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
    """Bodies and headers of every kind, signed or not, beside good webhooks.

    Never a 5xx, never a defect in the log, and the memory stays bounded.
    """
    stage.begin()
    (service,) = stage.replicas
    url = f"{service.url}/webhooks/jebbit/spring-quiz"
    before = _memory(service)
    answers: Counter[int] = Counter()

    def send(content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        answer = stage.http.post(url, content=content, headers=headers)
        answers[answer.status_code] += 1
        assert answer.status_code < 500, (content, headers)

    @seed(stage.seed)
    @settings(
        max_examples=50 * scale,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_BODIES, _HEADERS, st.sampled_from([SECRET, SECRET, "another"]))
    def send_generated(content: bytes, headers: dict[bytes, bytes], secret: str) -> None:
        signature = sign(body=content, secret=secret, at=int(time.time()))
        send(content, [*{HEADER.encode(): signature.encode(), **headers}.items()])

    with stage.load(pause=0.05):
        send_generated()
        for _ in range(50 * scale):
            send(*_mutated(stage.chance))
        for _ in range(50 * scale):
            status = _send_raw(service, _mutated_request(stage.chance))
            answers[status] += 1
            assert status < 500
    stage.settle()
    grown = _memory(service) - before
    assert grown < 150, f"{grown} MB more"
    told = _told(Counter({status or "cut off": number for status, number in answers.items()}))
    stage.notes.append(f"{told}; {grown:.0f} MB more memory")


_NAMES = ("email", "phone_number", "opt_in", "outcome", "user_session_id", "experience_date")
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*_NAMES, "data", "event", "url_params"]), inner)
    ),
    max_leaves=20,
)
_BODIES = st.binary(max_size=200) | _VALUES.map(lambda value: json.dumps(value).encode())
_HEADER_NAMES = st.sampled_from(
    [HEADER, TEST_HEADER, "content-type", "content-encoding", "traceparent", "x-request-id", "host"]
)
# Any byte that HTTP lets stand in a header; what it does not comes by `_mutated_request`.
_HEADER_VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])).map(
    lambda value: value.strip().encode("latin-1")
)
_HEADERS = st.dictionaries(_HEADER_NAMES.map(str.encode), _HEADER_VALUES, max_size=3)

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


def _mutated(chance: random.Random) -> tuple[bytes, list[tuple[bytes, bytes]]]:
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
    _change_bytes(content, chance)
    if chance.random() < 0.05:
        content = bytearray(b"[" * 50_000)
    signature = sign(body=bytes(content), secret=SECRET, at=int(time.time()))
    if chance.random() < 0.3:
        at = chance.randrange(len(signature))
        signature = signature[:at] + chance.choice("=,~\tv1t0 ") + signature[at + 1 :]
    return bytes(content), [(HEADER.encode(), signature.strip().encode())]


def _mutated_request(chance: random.Random) -> bytes:
    """Return a request with something wrong anywhere, its first line and headers included."""
    content, ((name, signature),) = _mutated(chance)
    request = bytearray(
        b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
        b"%b: %b\r\n\r\n%b" % (len(content), name, signature, content)
    )
    _change_bytes(request, chance)
    return bytes(request)


def _change_bytes(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([0, 0, 1, 5])):
        content[chance.randrange(len(content))] = chance.randrange(256)


def _send_raw(process: Process, request: bytes) -> int:
    """Send a request as it stands; return the status that is answered, 0 for none."""
    with suppress(ConnectionError), socket.create_connection(_address(process), 60) as connection:
        connection.sendall(request)
        if not select.select([connection], [], [], 1)[0]:  # it may have announced a longer body
            connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline().split()
        return int(answer[1]) if answer else 0
    return 0


def _address(process: Process) -> tuple[str, int]:
    host, _, port = process.url.removeprefix("http://").partition(":")
    return host, int(port)


def _memory(process: Process) -> float:
    """Return how much memory a process holds, in MB; 0 where that is not told."""
    status = Path(f"/proc/{process.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@scenario("half-open connections", BOTH, 10)
def half_open(stage: Stage, scale: int) -> None:
    """A good webhook gets in beside a thousand that say nothing, and 10 MB are cut off."""
    stage.begin()
    (service,) = stage.replicas
    before = _memory(service)
    with ExitStack() as stack:
        for each in range(100 * scale):
            other = stack.enter_context(socket.create_connection(_address(service), timeout=60))
            other.sendall(b"POST /webhooks/jebbit/spring-quiz HTTP/1.1\r\nHost" * (each % 2))
        started = time.monotonic()
        stage.accept(("good", 0))
        took = time.monotonic() - started
        sent = _send_slowly(stack.enter_context(socket.create_connection(_address(service), 60)))
    stage.settle()
    grown = _memory(service) - before
    stage.notes.append(
        f"202 after {took:.2f} s; cut off after {sent / 2**20:.1f} MB; {grown:.0f} MB more memory"
    )
    assert took < _FEW_SECONDS
    assert grown < 150


def _head(*lines: bytes) -> bytes:
    """Return the head of a webhook that only its body can show to be wrong."""
    signature = sign(body=b"", secret="wrong", at=int(time.time()))
    first = b"POST /webhooks/jebbit/spring-quiz HTTP/1.1", b"Host: x"
    return b"\r\n".join([*first, f"{HEADER}: {signature}".encode(), *lines, b"", b""])


def _send_slowly(connection: socket.socket) -> int:
    """Send 10 MB in small pieces, until that is refused; return how much that was, in bytes."""
    connection.sendall(_head(b"Transfer-Encoding: chunked"))
    piece = 16 * 1024
    for sent in range(0, 10 * 2**20, piece):
        answered, _, _ = select.select([connection], [], [], 0.005)
        if answered:
            with suppress(ConnectionError):
                assert b" 413 " in connection.recv(65536)
            return sent
        connection.sendall(b"%x\r\n%b\r\n" % (piece, b"x" * piece))
    raise AssertionError("10 MB were taken")


@scenario("slow senders", ("sqlite",), 1)
def slow_senders(stage: Stage, scale: int) -> None:
    """A connection whose request does not get on is closed, in its head as in its body."""
    stage.begin()
    (service,) = stage.replicas
    head = _head(b"Content-Length: 9")
    with ExitStack() as stack:
        for said in (b"", head[:20], head, head + b"x", head.replace(b"webhooks", b"erasures")):
            one = stack.enter_context(socket.create_connection(_address(service), timeout=120))
            one.sendall(said)
            stack.callback(_read_to_the_end, one)


def _read_to_the_end(connection: socket.socket) -> None:
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass
