"""What the fault scenarios are played with: real processes, load, and Cordial's journal as judge.

A stage holds one ledger, one sandbox and any number of replicas, each a process of its own that
can be killed, frozen and started again. Load posts signed webhooks, for each contact one after the
other; what was answered 202 is what the service has promised to keep.
"""

import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.jebbit.signature import HEADER, sign
from app.serving import free_port

ROOT = Path(__file__).parents[2]
SECRET = "whsec-0123456789abcdef"
TOKEN = "ops-token-of-the-fault-suite"
TIMEOUT_SECONDS = 1.5  # for Cordial's answer
LEASE_SECONDS = 3.0  # the least that TIMEOUT_SECONDS allows
PATIENCE = 120.0  # for whatever must happen; generous, as the machine may be busy

Number = tuple[str, int]
"""A contact and which of its submissions: what the load counts, and the journal shows."""


def until(ready: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return what `ready` gives as soon as it is true."""
    deadline = time.monotonic() + patience
    while not (value := ready()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return value


# --- Processes ------------------------------------------------------------------------------


class Process:
    """One process of the service, or the sandbox, with its log in a file.

    It is forked from a clean process that has the program loaded already: a start takes a fraction
    of a second, so that there can be many.
    """

    def __init__(self, command: list[str], env: Mapping[str, str], folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{command[1]}-{port}.log"
        self._arguments = (command, {**env, "PYTHONPATH": str(ROOT)}, folder, self.log)
        self._process: Any = None
        self.frozen = False

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    def start(self) -> "Process":
        """Start it, and return when it serves."""
        self._process = _forks.Process(target=_run, args=self._arguments, daemon=True)
        self._process.start()
        until(self.answers, f"{self.log.name} serves")
        return self

    def answers(self) -> bool:
        """Whether it answers at all."""
        try:
            httpx.get(f"{self.url}/healthz", timeout=5)
        except httpx.TransportError:
            assert self.alive, f"it ended: {self.log.read_text()[-2000:]}"
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it without a word (SIGKILL)."""
        if self.alive:
            self.send(signal.SIGKILL)
            self._process.join(PATIENCE)

    def terminate(self) -> int:
        """Ask it to end (SIGTERM); return its exit code."""
        self.send(signal.SIGTERM)
        self._process.join(PATIENCE)
        return int(self._process.exitcode)


_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["app.__main__", "tests.faults.harness"])


def _run(command: list[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
    """Become the program that a command names."""
    with log.open("ab") as file:
        for standard in (1, 2):
            os.dup2(file.fileno(), standard)
    os.chdir(folder)
    os.environ.update(env)
    module, *arguments = command
    if module != "app":  # it has to be there before the program is loaded
        os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
    from app.__main__ import main

    sys.argv = ["app", *arguments]
    main()


# --- Load -----------------------------------------------------------------------------------


class Load:
    """Posts webhooks from several threads; each has contacts of its own, to keep their order."""

    def __init__(self, targets: Callable[[], list[str]], seed: int, contacts: int) -> None:
        self._targets = targets
        self._seed = seed
        self._contacts = contacts
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.accepted: dict[Number, str | None] = {}  # with the id, where one was told
        self.refused: dict[int, int] = defaultdict(int)
        self.errors: list[str] = []

    def start(self, writers: int = 4, pause: float = 0.02) -> None:
        """Begin; a pause in seconds between two webhooks of a thread sets the pace."""
        for writer in range(writers):
            arguments = (writer, writers, pause)
            thread = threading.Thread(target=self._write, args=arguments, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End when each thread's webhook is accepted."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not self.errors, f"{len(self.errors)} errors, first {self.errors[0]}"
        assert not any(thread.is_alive() for thread in self._threads), "a webhook never got in"

    def more(self, count: int) -> None:
        """Return when so many more were accepted."""
        goal = len(self.accepted) + count
        until(lambda: self.errors or len(self.accepted) >= goal, f"{count} more accepted")

    def _write(self, writer: int, writers: int, pause: float) -> None:
        chance = random.Random(self._seed * 1000 + writer)
        mine = [f"c{each}" for each in range(self._contacts) if each % writers == writer]
        numbers: dict[str, int] = defaultdict(int)
        try:
            with httpx.Client(timeout=15) as http:
                while not self._stop.is_set():
                    contact = chance.choice(mine)
                    self._post(http, (contact, numbers[contact]), chance)
                    numbers[contact] += 1
                    self._stop.wait(pause)
        except Exception as error:
            self.errors.append(repr(error))

    def _post(self, http: httpx.Client, number: Number, chance: random.Random) -> None:
        """Post one until it is accepted, as Jebbit would: the same again, wherever one answers."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            target = chance.choice(self._targets() or [""])
            try:
                answer = post(http, target, submission(*number))
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 202:
                ids = answer.json()["submissions"]
                self.accepted[number] = ids[0] if ids else None  # None: we had it already
                return
            self.refused[answer.status_code] += 1
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.errors.append(f"{answer.status_code} {answer.text[:200]}")
            time.sleep(0.05)
        raise AssertionError(f"{number} was never accepted")


def submission(contact: str, number: int, **more: Any) -> dict[str, Any]:
    """Return a submission whose outcome is its number."""
    return {
        "email": f"{contact}@example.com",
        "opt_in": "true",
        "outcome": str(number),
        "user_session_id": f"{contact}-{number}",
        **more,
    }


def post(
    http: httpx.Client, target: str, body: Any, integration: str = "spring-quiz"
) -> httpx.Response:
    """Post one signed webhook."""
    content = httpx.Request("POST", "http://x", json=body).content
    headers = {HEADER: sign(body=content, secret=SECRET, at=int(time.time()))}
    return http.post(f"{target}/webhooks/jebbit/{integration}", content=content, headers=headers)


# --- The stage ------------------------------------------------------------------------------


@dataclass
class Report:
    """What a scenario came to: `lost`, `out_of_order` and `overlapping` must be zero.

    `again` is how often Cordial was given what it had: after a crash or a broken answer nobody
    knows better than to send once more.
    """

    scenario: str
    engine: str
    seed: int
    accepted: int = 0
    delivered: int = 0
    dead: int = 0
    again: int = 0
    lost: int = 0
    out_of_order: int = 0
    overlapping: int = 0
    seconds: float = 0.0
    failure: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether it was played to its end, and all zeros are zero."""
        return not (self.failure or self.lost or self.out_of_order or self.overlapping)


class Stage:
    """One ledger, one sandbox, some replicas; `chance` makes a run repeatable."""

    def __init__(
        self,
        engine: str,
        database_url: str,
        folder: Path,
        seed: int,
        database_away: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.database_away = database_away
        self.after = ExitStack()  # what is to be cleared up when all processes have ended
        self.engine = engine
        self.folder = folder
        self.seed = seed
        self.chance = random.Random(seed)
        self.replicas: list[Process] = []
        self.notes: list[str] = []
        self.journal: list[dict[str, Any]] = []
        port = free_port()
        self.sandbox = Process(["app", "sandbox", "--port", str(port)], {}, folder, port)
        self.settings = {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "a-secret-key-of-the-fault-suite-0123456789",
            "OPS_TOKEN": TOKEN,
            "DATA_DIR": str(folder / "data"),
            "LOG_FORMAT": "json",
            "CORDIAL_EXTRA_HOSTS": f"127.0.0.1:{port}",
            "CORDIAL_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "RETRY_DELAYS_SECONDS": ",".join(["0.2", "0.5", *["1"] * 30]),
        }
        self.http = httpx.Client(timeout=30, headers={"authorization": f"Bearer {TOKEN}"})
        self.loads: list[Load] = []
        self.accepted: set[Number] = set()  # beside what the loads got in
        self.withdrawn: set[Number] = set()  # that by some rule need not be sent any more
        self._first_seen: dict[str, float] = {}
        self._journal_read = 0

    def replica(self, command: tuple[str, ...] = ("app", "serve"), **settings: str) -> Process:
        """Start another replica."""
        port = free_port()
        env = {**self.settings, "PORT": str(port), **settings}
        made = Process([*command], env, self.folder, port)
        self.replicas.append(made)
        return made.start()

    def begin(self, replicas: int = 1) -> None:
        """Start the sandbox and some replicas, with one integration."""
        self.sandbox.start()
        for _ in range(replicas):
            self.replica()
        self.create()

    def create(self, **more: Any) -> None:
        """Create an integration with the sandbox."""
        body = {
            "name": "Spring quiz",
            "state": "active",
            "cordial": {"account_url": self.sandbox.url, "api_key": "sandbox-key"},
            "jebbit": {"webhook_secrets": [SECRET]},
            "mapping": [
                {"attribute": "email", "field": "channels.email.address"},
                {"attribute": "outcome", "field": "quiz_outcome"},
            ],
            "policy": {"collect": "both", "opt_in": "opted_in_or_null", "auto_subscribe": True},
            **more,
        }
        answer = self.ops("POST", "/integrations", json=body)
        assert answer.status_code == 201, answer.text

    def ops(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Call the ops API of any replica that serves."""
        serving = next(each for each in self.replicas if each.alive)
        return self.http.request(method, serving.url + path, **more)

    def accept(
        self, *numbers: Number, at: int = 0, to: str = "spring-quiz", **more: Any
    ) -> list[str]:
        """Post submissions in one webhook to one replica; return their ids."""
        bodies = [submission(*each, **more) for each in numbers]
        answer = post(self.http, self.replicas[at].url, bodies, to)
        assert answer.status_code == 202, answer.text
        self.accepted.update(numbers)
        return list(answer.json()["submissions"])

    def first_seen(self, contact: str) -> float | None:
        """Return when Cordial was first sent something of a contact, if it was."""
        query = {"after": self._journal_read}
        found = self.http.get(f"{self.sandbox.url}/_sandbox/journal", params=query).json()
        complete = True
        for each in found["requests"]:
            if complete := complete and each["ended"] is not None:
                self._journal_read = each["n"]
            if each["email"]:
                self._first_seen.setdefault(each["email"].partition("@")[0], each["started"])
        return self._first_seen.get(contact)

    @contextmanager
    def load(self, contacts: int = 12, pause: float = 0.02) -> Iterator[Load]:
        """Post webhooks meanwhile, to every replica that is alive."""
        made = Load(self._alive, self.seed + len(self.loads), contacts)
        self.loads.append(made)
        made.start(pause=pause)
        try:
            yield made
        finally:
            made.stop()

    def _alive(self) -> list[str]:
        return [each.url for each in self.replicas if each.alive and not each.frozen]

    def faults(self, *faults: dict[str, Any]) -> None:
        """Replace the sandbox's faults."""
        plan = {"faults": list(faults), "seed": self.seed}
        self.http.put(f"{self.sandbox.url}/_sandbox/faults", json=plan).raise_for_status()

    def read_journal(self) -> list[dict[str, Any]]:
        """Return the upserts that Cordial saw, of this sandbox and of those before."""
        found = self.http.get(f"{self.sandbox.url}/_sandbox/journal").raise_for_status()
        entries = found.json()["requests"]
        return self.journal + [each for each in entries if _is_upsert(each)]

    def restart_sandbox(self) -> None:
        """Kill the sandbox and start it again, empty; its journal is kept here.

        It refuses everything before it goes, so that nothing is taken that no journal shows.
        """
        self.faults({"kind": "server_error"})
        self.journal = self.read_journal()
        self.sandbox.kill()
        for each in self.journal:  # what was under way broke off, or had been given up before
            if each["ended"] is None and each["left"] is None:
                each["left"] = min(time.time(), each["started"] + TIMEOUT_SECONDS)
        self.sandbox.start()
        self._journal_read = 0

    def pending(self) -> int:
        """Return how many submissions wait."""
        return sum(each["by_status"]["pending"] for each in self.ops("GET", "/stats").json())

    def settle(self, patience: float = 400) -> None:
        """Return when nothing waits any more; a gate that has closed often stays so for long."""
        until(lambda: self._settled(), "all is settled", patience)

    def _settled(self) -> bool:
        try:
            return self.pending() == 0
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False

    def report(self, scenario: str) -> Report:
        """Judge by Cordial's journal what became of all that was accepted."""
        made = Report(scenario, self.engine, self.seed, notes=self.notes)
        accepted = self.accepted.union(*(load.accepted for load in self.loads))
        waiting = self.pending()
        # Whatever else came to Cordial (garbage that could be read) was promised nothing.
        journal = [each for each in self.read_journal() if _number(each) in accepted]
        taken = Counter(_number(each) for each in journal if was_taken(each))
        dead = self._dead()
        made.accepted = len(accepted)
        made.delivered = len(taken)
        made.dead = len((accepted & dead) - set(taken))
        made.again = taken.total() - len(taken)
        made.lost = max(0, len(accepted - set(taken) - dead - self.withdrawn) - waiting)
        out_of_order, overlapping = _judge(journal)
        made.out_of_order, made.overlapping = len(out_of_order), len(overlapping)
        made.notes += [*out_of_order, *overlapping][:5]
        defects = [
            line
            for each in self.replicas
            for line in each.log.read_text(errors="replace").splitlines()
            if '"event":"defect"' in line or "Traceback" in line
        ]
        if defects:
            made.failure = f"{len(defects)} defects in the log: {defects[0][:300]}"
        return made

    def _dead(self) -> set[Number]:
        """Return those that are on the list of dead submissions."""
        numbers: set[Number] = set()
        cursor: str | None = None
        while True:
            query = {"status": "dead", "limit": 200, **({"cursor": cursor} if cursor else {})}
            page = self.ops("GET", "/submissions", params=query).json()
            for each in page["submissions"]:
                payload = self.ops("GET", f"/submissions/{each['id']}").json()["payload"]
                if isinstance(payload, dict) and "user_session_id" in payload:
                    contact, _, number = payload["user_session_id"].rpartition("-")
                    numbers.add((contact, int(number)))
            cursor = page["cursor"]
            if not cursor:
                return numbers

    def end(self) -> None:
        """Kill whatever still runs."""
        for each in (*self.replicas, self.sandbox):
            each.kill()
        self.http.close()
        self.after.close()


# --- The judge ------------------------------------------------------------------------------

# A request that these hit was not taken; `slow` and `reset_after_write` were, whatever was said.
_NOT_TAKEN = {
    "rate_limited",
    "rate_limited_reset",
    "server_error",
    "html_502",
    "success_false",
    "empty_body",
    "unauthorized",
    "forbidden",
    "not_found",
}


def _is_upsert(entry: Mapping[str, Any]) -> bool:
    """Whether it is the upsert of a numbered submission; one that broke off has no body."""
    body = entry["body"] if entry["path"] == "/v2/contacts" else None
    return bool(body) and str(body.get("quiz_outcome")).isdigit()


def _number(entry: Mapping[str, Any]) -> Number:
    contact = entry["email"].partition("@")[0]
    return contact, int(entry["body"]["quiz_outcome"])


def was_taken(entry: Mapping[str, Any]) -> bool:
    """Whether Cordial has written it, whatever the sender was told."""
    answered = entry["status"] is None or entry["status"] < 300
    return answered and entry["ended"] is not None and entry["fault"] not in _NOT_TAKEN


# Cordial may hear of the next request before it hears that the sender hung up on the last.
_HUNG_UP_SECONDS = 0.05


def _judge(journal: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Say, contact by contact, what began after a later one, and what began during another."""
    by_contact: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in journal:
        by_contact[_number(each)[0]].append(each)
    out_of_order, overlapping = [], []
    for contact, entries in by_contact.items():
        newest, busy_until = -1, 0.0
        for each in sorted(entries, key=lambda one: float(one["started"])):
            number, started = _number(each)[1], float(each["started"])
            if number < newest:
                out_of_order.append(f"{contact}: {number} after {newest}")
            if started < busy_until:
                overlapping.append(f"{contact}: {number} {busy_until - started:.4f} s too early")
            newest = max(newest, number)
            busy_until = max(busy_until, _left_at(each))
    return out_of_order, overlapping


def _left_at(entry: Mapping[str, Any]) -> float:
    """Return when the sender had its answer, or had given up on it."""
    times = [entry["ended"]] if entry["ended"] is not None else []
    times += [entry["left"] - _HUNG_UP_SECONDS] if entry["left"] is not None else []
    return float(min(times, default=entry["started"] + TIMEOUT_SECONDS))
