"""Plays attacks against a real process, and measures what a good webhook feels meanwhile."""

import json
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from rich.box import MARKDOWN
from rich.table import Table

from app.serving import free_port
from tests.faults.load import SECRET, Number, submission
from tests.faults.stage import Stage
from tests.hostile.attacks import ATTACKS, GREEDY, GREEDY_SECRET, HOSTILE, answer_to, webhook
from tests.processes import ROOT

ALL = tuple(ATTACKS)
ON_THE_LEDGER = (  # the others end before it, and so are alike on both engines
    "wrong signatures, 500 a second",
    "made-up ids, 500 a second",
    "48 x 0.9 MB from another source",
    "full batches from another source",
    "50,000 keys of their own",
)
_PAUSE = 0.02  # s between two good webhooks
_WORST_MEDIAN = 5.0  # s; the machine may be busy with other things
_WORST = 20.0  # s
_MOST_GROWN = 200.0  # MB
_NEVER_LOGGED = "ann.secret"


@dataclass(frozen=True)
class Felt:
    """What good webhooks felt: seconds from the first byte sent to the whole answer."""

    times: Sequence[float]

    @property
    def median(self) -> float:
        """Of all of them."""
        return statistics.median(self.times)

    @property
    def worst(self) -> float:
        """The slowest."""
        return max(self.times)

    def __str__(self) -> str:
        return f"{self.median * 1000:.1f} / {self.worst * 1000:.0f}"


@dataclass(frozen=True)
class Row:
    """What came of an attack; memory in MB."""

    attack: str
    engine: str
    met: Counter[str]
    quiet: Felt
    attacked: Felt
    before: float
    most: float
    after: float

    @property
    def sound(self) -> bool:
        """Whether good webhooks were served and nothing was filled."""
        soon = self.attacked.median < _WORST_MEDIAN and self.attacked.worst < _WORST
        return soon and self.most - self.before < _MOST_GROWN

    @property
    def told(self) -> str:
        """What the attack met."""
        return ", ".join(f"{number} x {came}" for came, number in self.met.most_common(4))


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as the documentation shows them."""
    columns = (
        "tried",
        "engine",
        "met",
        "good webhook before, ms (median / worst)",
        "meanwhile",
        "MB before",
        "most",
        "after",
    )
    made = Table(*columns, box=MARKDOWN)
    for each in rows:
        memory = (f"{megabytes:.0f}" for megabytes in (each.before, each.most, each.after))
        felt = str(each.quiet), str(each.attacked)
        made.add_row(each.attack, each.engine, each.told, *felt, *memory)
    return made


class Scene:
    """A stage with one service, a good source, a greedy one, and an account that means harm."""

    def __init__(self, stage: Stage) -> None:
        """Begin."""
        self._stage = stage
        stage.judged = {"integration": "spring-quiz"}  # of the others, tens of thousands are dead
        self._numbers = count()
        self._cordial_port = free_port()
        hosts = f"{stage.settings['CORDIAL_EXTRA_HOSTS']},127.0.0.1:{self._cordial_port}"
        hook = f"http://127.0.0.1:{self._cordial_port}/hook"
        stage.sandbox.start()
        stage.replica(CORDIAL_EXTRA_HOSTS=hosts, NOTIFY_URL=hook)
        (self._service,) = stage.replicas
        stage.create()
        secrets = {"webhook_secrets": [GREEDY_SECRET]}
        stage.create(name=GREEDY, state="paused", jebbit=secrets)
        account = {"account_url": f"http://127.0.0.1:{self._cordial_port}", "api_key": "key"}
        stage.create(name=HOSTILE, cordial=account, jebbit=secrets)
        ports = str(self._service.address[1]), str(self._cordial_port)
        command = [sys.executable, "-m", "tests.hostile.attacks", *ports]
        pipe = subprocess.PIPE
        self._attacker = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT, text=True)
        stage.after.callback(self._end_attacker)

    def play(self, attack: str, seconds: float) -> Row:
        """Attack for so long; return what was felt before and meanwhile."""
        before = self._service.memory
        quiet, _ = self._post(seconds / 2)
        with self._attacking(attack) as met:
            attacked, most = self._post(seconds)
        after = self._service.memory
        self._end_of(GREEDY)
        return Row(attack, self._stage.engine, met, quiet, attacked, before, most, after)

    def end(self) -> None:
        """Let everything good be delivered, and hold the log to what it may say."""
        self._stage.ops("DELETE", f"/integrations/{HOSTILE}?force=true")
        self._stage.settle()
        assert _NEVER_LOGGED not in self._service.log.read_text(errors="replace")

    def _end_attacker(self) -> None:
        with self._attacker:  # which closes its input
            pass

    def _post(self, seconds: float) -> tuple[Felt, float]:
        """Post good webhooks for so long; return what they felt, and the most memory seen."""
        times, most = [], 0.0
        end = time.monotonic() + seconds
        with socket.create_connection(self._service.address, timeout=30) as connection:
            while time.monotonic() < end or not times:
                number = f"good{next(self._numbers)}", 0
                times.append(self._post_one(connection, number))
                most = max(most, self._service.memory)
                time.sleep(_PAUSE)
        return Felt(times), most

    def _post_one(self, connection: socket.socket, number: Number) -> float:
        request = webhook(json.dumps(submission(*number)).encode(), SECRET)
        started = time.perf_counter()
        connection.sendall(request)
        status = answer_to(connection)
        took = time.perf_counter() - started
        assert status == "202", f"a good webhook was answered {status} after {took:.1f} s"
        self._stage.accepted.add(number)
        return took

    @contextmanager
    def _attacking(self, attack: str) -> Iterator[Counter[str]]:
        met: Counter[str] = Counter()
        assert self._tell(attack) == "begun"
        try:
            yield met
        finally:
            met.update(json.loads(self._tell("end")))

    def _tell(self, line: str) -> str:
        """Tell the attacker something, and return what it says to that."""
        assert self._attacker.stdin is not None
        assert self._attacker.stdout is not None
        print(line, file=self._attacker.stdin, flush=True)
        return self._attacker.stdout.readline().strip()

    def _end_of(self, integration: str) -> None:
        """Forget what waits of an integration that never sends: it would slow down the next."""
        answer = self._stage.ops("DELETE", f"/integrations/{integration}?force=true", timeout=120)
        assert answer.status_code == 204, answer.text
        secrets = {"webhook_secrets": [GREEDY_SECRET]}
        self._stage.create(name=integration, state="paused", jebbit=secrets)


def play(stage: Stage, attacks: Sequence[str], seconds: float, rows: list[Row]) -> None:
    """Play attacks one after the other against one process, and add what came of each."""
    scene = Scene(stage)
    for each in attacks:
        rows.append(scene.play(each, seconds))
    scene.end()
