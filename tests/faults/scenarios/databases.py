"""PostgreSQL as customers have it: pgbouncer, failovers, firewalls that forget."""

import time
from typing import NamedTuple

import httpx

from tests.faults.load import post, submission
from tests.faults.processes import until
from tests.faults.scenarios.registry import scenario
from tests.faults.stage import Stage
from tests.forgetful import forgetful
from tests.servers import (
    AS_WRITTEN,
    Postgresql,
    Server,
    either,
    pgbouncer,
    postgresql,
    standby,
)

_ANSWERED = 10.0  # s, in which a webhook is answered whatever happens to the ledger


def _server(stage: Stage) -> Postgresql:
    """Run a PostgreSQL for this stage, where our plain role owns the database `ours`."""
    server = stage.after.enter_context(postgresql())
    server.run("CREATE DATABASE ours OWNER app")
    return server


def behind_pgbouncer(stage: Stage, sessions: int) -> tuple[Postgresql, Server]:
    """Run such a server for this stage and a pgbouncer before it, which shares its sessions."""
    server = _server(stage)
    lines = ("pool_mode = transaction", f"default_pool_size = {sessions}")
    bouncer = stage.after.enter_context(pgbouncer(server, *lines))
    stage.settings |= {
        "DATABASE_URL": f"postgresql://app:{AS_WRITTEN}@127.0.0.1:{bouncer.port}/ours",
        "DATABASE_POOLER": "transaction",
    }
    return server, bouncer


def with_standby(stage: Stage) -> tuple[Postgresql, Postgresql]:
    """Run such a server for this stage, and its copy, which may take over."""
    first = _server(stage)
    second = stage.after.enter_context(standby(first))
    stage.settings["DATABASE_URL"] = either(first, second, "ours")
    return first, second


class Well(NamedTuple):
    """After how many seconds a webhook was accepted, what the slowest answer took, and its id."""

    seconds: float
    slowest: float
    submission: str


def _well_again(stage: Stage) -> Well:
    """Post until it is accepted."""
    started, slowest, tries = time.monotonic(), 0.0, 0
    with httpx.Client(timeout=30) as http:
        while True:
            one, begun = (f"well{len(stage.accepted)}", 0), time.monotonic()
            answer = post(http, stage.replicas[0].url, submission(*one))
            slowest = max(slowest, time.monotonic() - begun)
            assert slowest < _ANSWERED, f"answered after {slowest:.1f} s"
            if answer.status_code == 202:
                stage.accepted.add(one)
                [submission_id] = answer.json()["submissions"]
                return Well(time.monotonic() - started, slowest, submission_id)
            assert answer.status_code == 503, answer.text
            tries += 1
            assert tries < 100, "it never became well again"
            time.sleep(0.1)


@scenario("pgbouncer, by transaction", ("postgresql",), 5, ("initdb", "pgbouncer"))
def through_pgbouncer(stage: Stage, scale: int) -> None:
    """Two replicas share a few sessions; pgbouncer is killed and started again meanwhile."""
    _, bouncer = behind_pgbouncer(stage, 5)
    stage.begin(replicas=2)
    longest = 0.0
    with stage.load() as load:
        for _ in range(scale):
            load.more(60)
            before = load.refused[503]
            bouncer.stop()
            until(lambda before=before: load.refused[503] > before, "webhooks are refused")
            bouncer.start()
            longest = max(longest, _well_again(stage).seconds)
        load.more(60)
        refused = load.refused[503]
    stage.settle()
    stage.notes.append(f"{refused} x 503; well again {longest:.1f} s after pgbouncer is back")


@scenario("failover", ("postgresql",), 1, ("initdb",))
def failover(stage: Stage, scale: int) -> None:
    """The primary becomes read-only and its copy takes over, under load and without a restart."""
    first, second = with_standby(stage)
    stage.begin(replicas=2)
    with stage.load() as load:
        load.more(100)
        before = load.refused[503]
        first.demote()
        until(lambda: load.refused[503] > before, "webhooks are refused")
        with httpx.Client(timeout=30) as http:
            ready = http.get(f"{stage.replicas[0].url}/readyz")
        assert ready.status_code == 503, "a ledger that takes no writes was ready"
        second.run("SELECT pg_promote()")
        seconds, slowest, newest = _well_again(stage)
        for each in stage.replicas:
            found = f"{each.url}/submissions/{newest}"
            until(
                lambda found=found: stage.http.get(found).is_success,
                "it reads what the new primary has",
                _ANSWERED,
            )
        load.more(100)
        refused = load.refused[503]
    stage.settle()
    stage.notes.append(
        f"{refused} x 503; well again {seconds:.1f} s after the other took over; "
        f"slowest answer {slowest:.1f} s"
    )


@scenario("silence", ("postgresql",), 3, ("initdb",))
def silence(stage: Stage, scale: int) -> None:
    """A firewall forgets connections that said nothing, and drops what comes on them."""
    server = _server(stage)
    relay = stage.after.enter_context(forgetful(server.port))
    stage.settings["DATABASE_URL"] = f"postgresql://app:{AS_WRITTEN}@127.0.0.1:{relay.port}/ours"
    stage.begin()
    seconds = slowest = 0.0
    for _ in range(scale):
        with stage.load() as load:
            load.more(30)
        relay.forget()
        time.sleep(2)  # no connection says anything
        well, slow, _ = _well_again(stage)
        seconds, slowest = max(seconds, well), max(slowest, slow)
    with stage.load() as load:  # also under load, when connections are in use
        for _ in range(scale):
            load.more(30)
            relay.forget()
            well, slow, _ = _well_again(stage)
            seconds, slowest = max(seconds, well), max(slowest, slow)
    stage.settle()
    stage.notes.append(f"well again {seconds:.1f} s after; slowest answer {slowest:.1f} s")
