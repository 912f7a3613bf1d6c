"""Notices: what somebody is told, when, and that it is told once."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.delivery.notifier import Notifier, text_of
from app.ledger.database import Database
from app.ledger.notices import (
    DIGEST_SECONDS,
    Notice,
    NoticeKind,
    announce,
    announce_dead,
    claim_notices,
)
from app.ledger.schema import notices
from app.serving import serving
from tests.delivery.conftest import Line, person
from tests.waiting import wait_for

Make = Callable[..., Any]


class Hook:
    """A place that takes notices, or refuses them."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.app = Starlette(routes=[Route("/hook", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        if self.status == 200:
            self.messages.append(json.loads(await request.body()))
        return Response(status_code=self.status)

    def events(self) -> list[str]:
        """The kinds of what was taken, in order."""
        return [each["event"] for each in self.messages]


@pytest.fixture
def hook() -> Iterator[tuple[Hook, str]]:
    """A hook on real HTTP, and its address."""
    made = Hook()
    with serving(made.app) as url:
        yield made, f"{url}/hook"


@pytest.fixture
async def tell(database: Database, hook: tuple[Hook, str]) -> Any:
    """Tell what is due at a time."""
    async with httpx.AsyncClient() as http:

        async def at(now: float) -> int:
            return await Notifier(database, http, hook[1], "http://ops", lambda: now).tell()

        yield at


async def announced(database: Database, kind: NoticeKind, now: float) -> None:
    async with database.write() as connection:
        await announce(connection, kind, "spring-quiz", now, "the key is wrong.")


async def dead(database: Database, number: int, now: float) -> None:
    await database.transact(
        lambda transaction: announce_dead(transaction, database, "spring-quiz", number, now)
    )


async def test_notice_is_told_once(database: Database, hook: Any, tell: Any) -> None:
    """What was taken is not told again."""
    await announced(database, NoticeKind.BLOCKED, 100.0)
    assert await tell(100.0) == 1
    assert await tell(100_000.0) == 0
    assert hook[0].messages[0]["event"] == "blocked"
    assert "the key is wrong." in hook[0].messages[0]["text"]


async def test_refused_notice_comes_again(database: Database, hook: Any, tell: Any) -> None:
    """While the hook refuses, a notice waits and comes again; after a day it is given up."""
    await announced(database, NoticeKind.CREATED, 100.0)
    hook[0].status = 500
    assert await tell(100.0) == 0
    assert await tell(130.0) == 0  # not due yet, as it was just tried
    hook[0].status = 200
    assert await tell(161.0) == 1


async def test_untold_notice_is_given_up_after_a_day(
    database: Database, hook: Any, tell: Any
) -> None:
    """A hook that is gone for good does not gather messages for ever."""
    await announced(database, NoticeKind.CREATED, 100.0)
    hook[0].status = 500
    assert await tell(90_000.0) == 0
    hook[0].status = 200
    assert await tell(200_000.0) == 0


async def test_dead_are_told_at_once_then_in_digests(
    database: Database, hook: Any, tell: Any
) -> None:
    """The first dead submission is told at once, later ones together after 15 minutes."""
    await dead(database, 1, 100.0)
    await tell(100.0)
    for _ in range(3):
        await dead(database, 2, 110.0)
    assert await tell(100.0 + DIGEST_SECONDS - 1) == 0
    assert await tell(100.0 + DIGEST_SECONDS) == 1
    assert [each["count"] for each in hook[0].messages] == [1, 6]


@pytest.mark.parametrize("kind", [NoticeKind.OPENED, NoticeKind.DRIFT])
async def test_two_replicas_do_not_tell_twice(database: Database, kind: NoticeKind) -> None:
    """What one has claimed another does not get until a minute has passed."""
    await announced(database, kind, 100.0)
    assert len(await claim_notices(database, 100.0)) == 1
    assert await claim_notices(database, 101.0) == []
    assert len(await claim_notices(database, 161.0)) == 1


async def test_a_kind_of_another_version_stops_nobody(database: Database) -> None:
    """Version 0.1.0 takes all that is due by this statement, and fails at a kind unknown to it."""
    known = {"created", "resumed", "blocked", "opened", "dead"}
    for kind in NoticeKind:
        await announced(database, kind, 100.0)
    due = select(notices.c.kind).where(notices.c.due_at <= 100.0)
    async with database.write() as connection:
        assert set(await connection.scalars(due)) <= known
        row = {"integration_id": "spring-quiz", "kind": "newer", "events": 1, "created_at": 100.0}
        await connection.execute(insert(notices), {**row, "due_at": 100.0})
    taken = await claim_notices(database, 100.0)
    assert [each.kind for each in taken] == list(NoticeKind)


@pytest.mark.parametrize("kind", NoticeKind)
def test_each_kind_names_the_integration(kind: NoticeKind) -> None:
    """Every message says which integration it is about."""
    notice = Notice(1, "spring-quiz", kind, "why.", 2, 0.0)
    assert "spring-quiz" in text_of(notice, "http://ops")


@pytest.mark.parametrize("kind", ["rate_limited", "server_error"])
async def test_a_blocked_integration_is_not_called_open_by_what_says_nothing_of_access(
    line: Line, kind: str
) -> None:
    """The probe is asked to wait, or finds Cordial down: it sends nothing as before."""
    line.fail("unauthorized", times=1)
    line.fail(kind, times=1)
    line.fail("unauthorized", times=1)
    await line.create()
    ids = await line.accept(person())
    await line.start()
    await line.gate("blocked")
    for number in (2, 3):
        line.later(300)
        await line.until(lambda number=number: len(line.cordial.bodies()) == number)
        await line.quiet()
        assert await line.announced() == ["created", "blocked"]
    line.later(300)
    await line.settled(*ids)
    assert await line.announced() == ["created", "blocked", "opened"]


def test_life_of_an_integration_is_told(service: Make, sandbox_server: Any, hook: Any) -> None:
    """Created, blocked with its causes, opened again, dead: each reaches the hook, in order."""
    told, url = hook
    sandbox_server.sandbox.account.allowed_ips = ["192.0.2.0/24"]
    running = service(notify_url=url, cordial_timeout_seconds=2)
    running.create_integration()
    running.post({"email": "ann@example.com", "opt_in": "true"})
    wait_for(lambda: "blocked" in told.events())
    assert "allow list" in told.messages[-1]["text"]
    sandbox_server.sandbox.account.allowed_ips = None
    running.client.post("/integrations/spring-quiz/check").raise_for_status()
    assert running.post(b"no json").status_code == 400
    wait_for(lambda: len(told.messages) == 4)
    assert told.events()[:2] == ["created", "blocked"]
    assert set(told.events()[2:]) == {"opened", "dead"}
    assert "ann@example.com" not in json.dumps(told.messages)
