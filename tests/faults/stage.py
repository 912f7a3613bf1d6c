"""The stage of a fault scenario: one ledger, one sandbox and any number of replicas."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.serving import free_port
from tests.contract import not_as_cordial_describes
from tests.faults.judge import TIMEOUT_SECONDS, is_upsert, judged, number_of, was_taken
from tests.faults.load import SECRET, Load, Number, post, submission
from tests.faults.processes import Process, until

TOKEN = "ops-token-of-the-fault-suite"
LEASE_SECONDS = 3.0  # the least that TIMEOUT_SECONDS allows


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
        pause: float,
        database_away: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.database_away = database_away
        self.after = ExitStack()  # what is to be cleared up when all processes have ended
        self.engine = engine
        self.folder = folder
        self.seed = seed
        self._pause = pause
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
            "PROCESSES": "1",
            "RETRY_DELAYS_SECONDS": ",".join(["0.2", "0.5", *["1"] * 30]),
        }
        self.http = httpx.Client(timeout=30, headers={"authorization": f"Bearer {TOKEN}"})
        self.loads: list[Load] = []
        self.accepted: set[Number] = set()  # beside what the loads got in
        self.judged: dict[str, str] = {}  # which of the dead are looked at: a filter of the API
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
        answer = self.ops("POST", "/integrations?force=true", json=body)
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
    def load(self, contacts: int = 12, pause: float | None = None) -> Iterator[Load]:
        """Post webhooks meanwhile, to every replica that is alive."""
        made = Load(self._alive, self.seed + len(self.loads), contacts)
        self.loads.append(made)
        made.start(pause=self._pause if pause is None else pause)
        try:
            yield made
        finally:
            made.stop()

    def delivers(self, replica: Process) -> bool:
        """Whether a replica says that it delivers, or its children."""
        checks = self.http.get(f"{replica.url}/readyz").json()["checks"]
        return bool(checks["delivering"] == "yes")

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
        return self.journal + [each for each in entries if is_upsert(each)]

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

    def gate(self) -> dict[str, Any]:
        """Return the gate of the first integration."""
        return dict(self.ops("GET", "/integrations/spring-quiz").json()["gate"])

    def pause(self) -> None:
        """Pause the first integration."""
        self.ops("POST", "/integrations/spring-quiz/pause").raise_for_status()

    def quiet(self) -> bool:
        """Whether nothing was sent for a second and nothing is under way."""
        entries = self.read_journal()
        return all(each["ended"] and time.time() - each["ended"] > 1 for each in entries[-50:])

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
        journal = [each for each in self.read_journal() if number_of(each) in accepted]
        taken = Counter(number_of(each) for each in journal if was_taken(each))
        dead = self._dead()
        made.accepted = len(accepted)
        made.delivered = len(taken)
        made.dead = len((accepted & dead) - set(taken))
        made.again = taken.total() - len(taken)
        made.lost = max(0, len(accepted - set(taken) - dead - self.withdrawn) - waiting)
        out_of_order, overlapping = judged(journal)
        made.out_of_order, made.overlapping = len(out_of_order), len(overlapping)
        made.notes += [*out_of_order, *overlapping][:5]
        if wrong := not_as_cordial_describes(journal):
            made.failure = f"not as described: {wrong[:3]}"
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
            query = {"status": "dead", "limit": 200, **self.judged}
            query |= {"cursor": cursor} if cursor else {}
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
