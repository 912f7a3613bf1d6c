"""Several processes: one receives, the others deliver, and from outside they are one service."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.children import LEDGER_AWAY, how_many, quotas, usual
from app.ledger.database import Database
from app.ledger.fitness import Unfit
from app.ledger.postgresql import NEEDED
from app.sandbox.faults import Fault
from app.settings import Settings
from tests.conftest import OPS_TOKEN, SECRET_KEY, SandboxServer, integration_body, post_webhook
from tests.processes import STARTING_SECONDS, Program, children_of, runs, until_spent
from tests.telemetry.test_metrics import value
from tests.thorough import left_to_faults, thorough
from tests.waiting import wait_for

PATIENCE = 60.0  # s; each start takes a busy machine some seconds


class Pair:
    """A service of two processes, and the sandbox that it delivers to."""

    def __init__(self, parent: Program, sandbox: SandboxServer) -> None:
        self.parent = parent
        self.sandbox = sandbox
        token = {"authorization": f"Bearer {OPS_TOKEN}"}
        self.http = httpx.Client(base_url=parent.url, headers=token, verify=False, timeout=30)

    @property
    def children(self) -> list[int]:
        return children_of(self.parent.popen.pid)

    def child(self, other_than: int = 0) -> int:
        """Return the child that runs, once there is one, or another one."""
        return int(
            wait_for(lambda: next((e for e in self.children if e != other_than), 0), PATIENCE)
        )

    def checks(self) -> dict[str, str]:
        answer = self.http.get("/readyz").json()
        return dict(answer["checks"])

    def until_it_delivers(self) -> None:
        self.parent.until_ready()
        wait_for(lambda: self.checks()["delivering"] == "yes", PATIENCE, self.parent.said())

    def create(self) -> None:
        body = integration_body(self.sandbox.url)
        assert self.http.post("/integrations?force=true", json=body).status_code == 201

    def post(self, *names: str) -> None:
        people = [{"email": f"{each}@example.com"} for each in names]
        assert post_webhook(self.parent.url, people).status_code == 202

    def until_cordial_has(self, number: int) -> None:
        wait_for(lambda: len(self.sandbox.sandbox.contacts) == number, PATIENCE)

    def counted(self) -> dict[str, float]:
        """Return the sum of each sample that only grows."""
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(self.http.get("/metrics").text):
            for each in family.samples if family.type in ("counter", "histogram") else ():
                sums[each.name] = sums.get(each.name, 0) + each.value
        return sums

    def ended(self) -> list[dict[str, Any]]:
        """Return what the log tells of children that ended, if it is JSON."""
        lines = self.parent.said().splitlines()
        return [json.loads(each) for each in lines if '"event":"child_ended"' in each]

    def delivered(self) -> float:
        return self.counted()["jebbit_sync_submissions_settled_total"]


@pytest.fixture
def pair(
    forked: Callable[..., Program], sandbox_server: SandboxServer
) -> Iterator[Callable[..., Pair]]:
    """Start a service of two processes, with no setting in the environment but these.

    The one that receives is forked; the other it starts itself, as always.
    """
    with ExitStack() as opened:

        def start(by: Callable[..., Program] = forked, **settings: Any) -> Pair:
            given = {"OPS_TOKEN": OPS_TOKEN, "CORDIAL_EXTRA_HOSTS": sandbox_server.host}
            parent = by("serve", PROCESSES="2", **{**given, **settings})
            made = Pair(parent, sandbox_server)
            opened.enter_context(made.http)
            return made

        yield start


# --- One service ------------------------------------------------------------------------------


def test_what_one_receives_another_delivers_and_one_that_dies_is_replaced(pair, tmp_path):
    """By the parent's settings, of which some are in no environment; what the dead one had under
    way goes on, all is counted in one place, no count goes back, and no probe asks for a restart.
    """
    (tmp_path / ".env").write_text("CORDIAL_TIMEOUT_SECONDS=20\n")
    service = pair()  # SECRET_KEY is made, and kept in DATA_DIR
    service.parent.until_ready()
    service.create()
    first = service.child()
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///another.db\n")  # for a later start
    command = Path(f"/proc/{first}/cmdline").read_bytes().decode().split("\0")
    assert command[1:] == ["-m", "app", "deliver", ""]
    service.post("ann", "bob")
    service.until_cordial_has(2)
    wait_for(lambda: service.delivered() == 2)
    before = service.counted()

    service.sandbox.sandbox.faults = [Fault(kind="slow", seconds=2, times=1)]
    service.post("cay")
    wait_for(lambda: len(service.sandbox.bodies()) == 3)
    os.kill(first, signal.SIGKILL)
    service.post("dan")  # it is received all the same
    assert service.http.get("/healthz").status_code == 200
    service.child(other_than=first)
    service.until_cordial_has(4)  # ledger/holders.py gives back what the dead one held
    wait_for(lambda: service.delivered() == 4)
    wait_for(lambda: all(each.ended for each in service.sandbox.sandbox.journal))
    after = service.counted()
    assert after["jebbit_sync_child_processes_ended_total"] == 1
    assert {name: before[name] for name in before if after[name] < before[name]} == {}
    assert service.http.get("/healthz").status_code == 200
    assert not (tmp_path / "another.db").exists()
    assert service.parent.end() == 0
    assert "Traceback" not in service.parent.said()


def test_a_signal_lets_all_finish_what_is_under_way(pair, launch):
    """SIGTERM to the parent: it is not ready any more, the child finishes, and both end with 0.

    Also where standard input is closed, as some supervisors leave it: the child starts all the
    same.
    """
    service = pair(launch, under=("sh", "-c", 'exec "$@" <&-', "sh"))
    service.until_it_delivers()
    service.create()
    child = service.child()
    service.sandbox.sandbox.faults = [Fault(kind="slow", seconds=1.5)]
    service.post("ann")
    wait_for(lambda: len(service.sandbox.bodies()) == 1)
    service.parent.send(signal.SIGTERM)
    wait_for(lambda: service.http.get("/readyz").status_code == 503)
    assert runs(child)
    assert service.parent.wait() == 0
    assert not runs(child)
    assert len(service.sandbox.sandbox.contacts) == 1
    assert len(service.sandbox.bodies()) == 1
    assert "Traceback" not in service.parent.said()
    assert "child_ended" not in service.parent.said()


# --- No end without theirs --------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM] if thorough() else [signal.SIGKILL]
)
def test_no_child_outlives_its_parent(pair, number):
    """However it ends, and while the child starts: it ends as well, and tells of no error."""
    chance = random.Random(seed := random.randrange(1_000_000))
    service = pair()
    child = service.child()
    until_spent(child, chance.uniform(0, STARTING_SECONDS))
    service.parent.send(number)
    assert service.parent.wait() == (0 if number == signal.SIGTERM else -number)
    wait_for(lambda: not runs(child), 5, f"seed {seed}")
    assert "Traceback" not in service.parent.said(), seed


# --- What probes say --------------------------------------------------------------------------


def test_children_that_die_again_and_again_are_told_of(pair):
    """The probe that restarts fails; the one for webhooks does not, since they are kept."""
    service = pair()
    service.parent.until_ready()
    service.create()
    killed = 0
    for _ in range(3):
        assert service.http.get("/healthz").status_code == 200
        killed = service.child(other_than=killed)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda pid=killed: pid not in service.children)
    wait_for(lambda: service.http.get("/healthz").status_code == 503)
    said = service.http.get("/healthz").json()["detail"]
    assert said == "The processes that deliver die again and again. Restart this process."
    ready = service.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["delivering"]) == (200, "failing")
    service.post("ann")
    assert service.counted()["jebbit_sync_child_processes_ended_total"] == 3
    assert service.parent.end() == 0


@left_to_faults("it takes four starts")
def test_a_ledger_that_is_away_is_no_fault_of_theirs(pair, postgresql_url, postgresql_server):
    """The probe that restarts stays well; however long it takes, they soon notice its return."""
    name = postgresql_url.partition("?")[0].rpartition("/")[2]
    terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"
    reached = {"DATABASE_URL": postgresql_url, "SECRET_KEY": SECRET_KEY}
    service = pair(**reached, LOG_FORMAT="json")
    service.until_it_delivers()
    service.create()
    postgresql_server.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false;")
    try:
        postgresql_server.psql(terminate)
        os.kill(service.child(), signal.SIGKILL)
        ended = wait_for(lambda: (found := service.ended())[2:] and found, PATIENCE)
        assert service.http.get("/healthz").status_code == 200
        assert service.http.get("/readyz").json()["checks"]["delivering"] == "starting"
    finally:
        postgresql_server.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true;")
    assert [each["exit_code"] for each in ended] == [-signal.SIGKILL, *[LEDGER_AWAY] * 2]
    assert [each["deaths"] for each in ended] == [1, 1, 1]  # of which many are a failure
    assert all(each["pause"] <= 3 for each in ended)  # s; and some for a start and a try
    service.until_it_delivers()
    service.post("ann")
    service.until_cordial_has(1)


@left_to_faults("it takes four starts")
def test_a_file_that_cannot_be_made_is_no_ledger_that_is_away(pair, tmp_path):
    """As on a full disk: who cannot start for want of it dies, and probes tell."""
    service = pair(DATABASE_URL=f"sqlite:///{tmp_path / 'ledger.db'}", LOG_FORMAT="json")
    service.until_it_delivers()
    (tmp_path / "ledger.db-workers").rename(tmp_path / "elsewhere")
    (tmp_path / "ledger.db-workers").touch()  # no folder can be made of this name
    os.kill(service.child(), signal.SIGKILL)
    wait_for(lambda: service.http.get("/healthz").status_code == 503, PATIENCE)
    assert [each["exit_code"] for each in service.ended()] == [-signal.SIGKILL, 1, 1]
    assert "ledger.db-workers" in service.parent.said()
    assert service.checks()["delivering"] == "failing"


def test_a_child_that_says_nothing_is_replaced(monkeypatch, service):
    """It may stand still for good, and its end of the line would still be open."""
    monkeypatch.setattr("app.children._SILENT_SECONDS", 0.01)  # a start takes longer
    running = service(processes=2)
    wait_for(lambda: value(running, "child_processes_ended_total") >= 2, PATIENCE)


def test_a_child_is_for_a_parent_to_start(forked):
    """By hand it says what to use instead."""
    program = forked("deliver")
    assert program.wait() == 2
    assert program.said() == "deliver is for `serve` to start; use `worker` instead\n"


# --- How many ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inner", "outer", "found"),
    [
        ("max 100000", "max 100000", []),
        ("150000 100000", "max 100000", [1.5]),
        ("max 100000", "50000 100000", [0.5]),
        ("400000 100000", "200000 100000", [4.0, 2.0]),
        (None, "200000 100000", [2.0]),
    ],
)
def test_the_cores_are_what_all_control_groups_allow(tmp_path, inner, outer, found):
    """A container's own, and those around it that can be seen."""
    group = tmp_path / "cgroup" / "system.slice" / "sync.service"
    group.mkdir(parents=True)
    for folder, text in ((group, inner), (group.parent, outer)):
        if text is not None:
            (folder / "cpu.max").write_text(f"{text}\n")
    own = tmp_path / "own"
    own.write_text("1:cpu:/elsewhere\n0::/system.slice/sync.service\n")
    assert list(quotas(tmp_path / "cgroup", own)) == found


def test_one_core_has_one_process(monkeypatch):
    """And two or more have two: one that receives feeds one that delivers, and mostly two."""
    for cores, processes in ((1, 1), (2, 2), (8, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        monkeypatch.setattr("app.children.quotas", lambda *_: [])
        assert usual() == processes


@pytest.mark.parametrize(
    ("settings", "limit", "processes"),
    [
        ({"processes": 4}, None, 4),
        ({"processes": 2}, 2 * NEEDED, 2),
        ({"processes": 1}, NEEDED, 1),
        ({}, NEEDED, 1),  # by the cores perhaps two, but one needs fewer connections
        ({"processes": 4, "run_worker": False}, NEEDED, 1),
    ],
)
def test_there_are_as_many_as_the_ledger_has_connections_for(settings, limit, processes):
    """What nobody has asked for must not keep the service from starting."""
    database = Database("postgresql://localhost/ledger")
    database.connections_allowed = limit
    assert how_many(Settings(_env_file=None, **settings), database) == processes


def test_through_a_pooler_many_processes_share_few_connections():
    """The limit of the role is for the pooler to keep."""
    database = Database("postgresql://localhost/ledger", pooled=True)
    database.connections_allowed = NEEDED
    assert how_many(Settings(_env_file=None, processes=4), database) == 4


async def test_more_processes_than_there_are_connections_for_are_refused(postgresql_server):
    """At start, with the number that is needed, as PostgreSQL itself tells of its limit."""
    postgresql_server.psql(
        "CREATE DATABASE few; CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 11;"
        "ALTER DATABASE few OWNER TO few;"
    )
    url = postgresql_server.get_uri(database="few").replace("postgres:", "few:few", 1)
    database = Database(url)
    await database.migrate()
    await database.close()
    with pytest.raises(Unfit, match="may open 11 connections, and PROCESSES=2 needs 12: ALTER"):
        how_many(Settings(_env_file=None, processes=2), database)
