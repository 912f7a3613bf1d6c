"""Erasing a person: nothing findable is left, and nobody else loses anything."""

import asyncio
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, select, update

from app.ledger import erasure, refusals
from app.ledger.accepting import NewSubmission
from app.ledger.claims import Attempt, Settlement, settle
from app.ledger.erasure import Person
from app.ledger.schema import SubmissionStatus, attempts, submissions
from app.ledger.vault import Pseudonyms
from app.rules.mentions import Mentions
from app.rules.policy import NO_REFUSALS, Refusals
from tests.ledger.conftest import NOW, item

ANN, PHONE = "ann.quiz@example.com", "+1 617 555 0123"
TRACES = re.compile(
    rb"ann\.quiz|ann%2equiz|quiz%40example|quiz\\u0040example|617.{0,3}555.{0,3}0123", re.IGNORECASE
)
MAPPING = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone_number", "field": "channels.sms.address"},
]


@pytest.fixture
def running(service: Any, database_url: str) -> Any:
    """A service whose integration is paused, so that what comes in waits."""
    made = service(database_url=database_url)
    made.create_integration(state="paused", mapping=MAPPING)
    return made


def erase(running: Any, query: str = "", **who: str) -> Any:
    answer = running.client.post(f"/erasures{query}", json=who)
    assert answer.status_code == 200, answer.text
    return answer.json()


def left(running: Any) -> bytes:
    """Return everything that is kept, wherever it is kept, and everything that is answered."""
    answers = [
        running.client.get(path).content for path in ("/integrations", "/submissions?limit=200")
    ]
    for each in json.loads(answers[1])["submissions"]:
        answers.append(running.client.get(f"/submissions/{each['id']}").content)
    return b"\n".join([*answers, *_stored(running)])


def _stored(running: Any) -> list[bytes]:
    url = str(running.settings.database_url)
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        beside = [*file.parent.glob(f"{file.name}*"), *file.parent.glob(f"{file.name}*/*")]
        return [each.read_bytes() for each in beside if each.is_file()]
    return [asyncio.run(_rows(url))]


async def _rows(url: str) -> bytes:
    """Return all rows of all tables."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        rows = [await connection.fetch(f'SELECT * FROM "{each[0]}"') for each in tables]
        return "\n".join(str(tuple(row)) for table in rows for row in table).encode()
    finally:
        await connection.close()


OF_ANN = (
    {"email": ANN, "phone_number": PHONE},
    {"email": ANN, "url_params": "email=x"},  # skipped for its identity
    {"email": "bob@example.com", "friend": ANN.upper()},
    {"email": "bob@example.com", "friend": [{"mail": ANN}]},
    {"email": "bob@example.com", "page_url": "https://x.example/?e=ann.quiz%40example.com"},
    b'{"email": "ann.quiz\\u0040example.com", ',
    b"email=ann%2Equiz%40example.com",
)
OF_HER_PHONE = (
    {"phone_number": PHONE},
    {"phone_number": 6175550123},
    {"email": "bob@example.com", "call_me": "(617) 555-0123"},
    b"phone: 617-555-0123",
)


def test_nothing_of_an_email_address_is_left(running: Any) -> None:
    """Wherever it stood: answers, tables, and the files with what was deleted from them."""
    for body in OF_ANN:
        running.post(body)
    assert TRACES.search(left(running))
    assert erase(running, email=" Ann.Quiz@Example.com ") == {"erased": len(OF_ANN)}
    assert TRACES.findall(left(running)) == []


def test_nothing_of_a_phone_number_is_left(running: Any) -> None:
    """However it was written."""
    for body in OF_HER_PHONE:
        running.post(body)
    assert erase(running, phone="617-555-0123") == {"erased": len(OF_HER_PHONE)}
    assert TRACES.findall(left(running)) == []


def test_a_dry_run_counts_and_changes_nothing(running: Any) -> None:
    """So that somebody sees first whether too many are meant."""
    made = [
        running.post(each).json()["submissions"][0]
        for each in ({"email": ANN}, {"email": "bob@example.com", "friend": ANN})
    ]
    assert erase(running, "?dry_run=true", email=ANN) == {"erased": 2, "dry_run": True}
    assert {running.submission(each)["status"] for each in made} == {"pending"}
    assert erase(running, email=ANN) == {"erased": 2}
    assert erase(running, "?dry_run=true", email=ANN) == {"erased": 0, "dry_run": True}


def test_others_keep_what_is_theirs(running: Any, sandbox_server: Any) -> None:
    """Whoever mentions the person is cleared of that and sent all the same; whoever once had the
    number beside their email keeps every other submission."""
    [mentioned] = running.post(
        {"email": "bob@example.com", "opt_in": "true", "friend": ANN, "outcome": "Bold"}
    ).json()["submissions"]
    [beside] = running.post({"email": "eve@example.com", "phone_number": PHONE}).json()[
        "submissions"
    ]
    [own] = running.post({"email": "eve@example.com", "opt_in": "true"}).json()["submissions"]
    assert erase(running, email=ANN) == {"erased": 1}
    assert erase(running, phone=PHONE) == {"erased": 1}
    payload = running.submission(mentioned)["payload"]
    assert (payload["friend"], payload["outcome"]) == ("[erased]", "Bold")
    assert running.submission(beside)["reason"] == "erased"
    running.client.post("/integrations/spring-quiz/resume?force=true").raise_for_status()
    assert running.wait(mentioned)["status"] == "delivered"
    assert running.wait(own)["status"] == "delivered"


def test_words_of_others_that_repeat_the_address_are_cleared(running: Any) -> None:
    """Cordial may repeat an address where it refuses access, and in what is told of that."""
    url = str(running.settings.database_url)
    if not url.startswith("sqlite"):
        pytest.skip("the same statements; the file can be written to from here")
    file = url.removeprefix("sqlite:///")
    with sqlite3.connect(file, timeout=10) as connection:
        connection.execute("UPDATE integrations SET gate_reason = ?", (f"no access for {ANN}",))
        connection.execute(
            "INSERT INTO notices (integration_id, kind, detail, events, created_at)"
            " VALUES ('spring-quiz', 'blocked', ?, 1, 0)",
            (f"refused: {ANN}",),
        )
    connection.close()
    erase(running, email=ANN)
    assert TRACES.findall(left(running)) == []


@pytest.mark.parametrize(
    ("rows", "size", "span"),
    [(1, 10**6, 4), (4, 10**6, 10**6), (100, 1, 10**6), (100, 300, 3), (3, 10**6, 2)],
)
async def test_every_payload_is_looked_through_however_large(ledger, monkeypatch, rows, size, span):
    """A part at a time, by their number and size, also past many that are wiped already."""
    monkeypatch.setattr(erasure, "_LOOKED_AT", rows)
    monkeypatch.setattr(erasure, "_MOST_BYTES", size)
    monkeypatch.setattr(erasure, "_SPAN", span)
    notes = [ANN if number % 3 == 0 else "x" * (number * 37 % 500) for number in range(11)]
    payloads = [json.dumps({"note": note}).encode() for note in notes]
    items = [
        NewSubmission(payload, readable=True, contact_key=f"{number}", content=f"{number}")
        for number, payload in enumerate(payloads)
    ]
    await ledger.accept(*items)
    wiped = slice(2, 9)  # with two that mention her
    async with ledger.database.write() as connection:
        of_those = submissions.c.contact_key.in_([each.contact_key for each in items[wiped]])
        await connection.execute(update(submissions).where(of_those).values(payload=None))
    mentions = Mentions([ANN], [])
    person = Person(["nobody"], mentions.stand_in, mentions.removed_from)
    for dry_run in (True, False):
        assert await erasure.erase(ledger.database, person, NOW, dry_run=dry_run) == 2
    kept: list[bytes | None] = [b'{"note":"[erased]"}' if ANN in note else None for note in notes]
    kept = [was if to is None else to for was, to in zip(payloads, kept, strict=True)]
    kept[wiped] = [None] * 7
    assert await ledger.rows("payload") == kept


@pytest.mark.parametrize(("rows", "span"), [(500, 2), (1, 10**6), (1, 3)])
async def test_every_word_of_cordial_s_is_looked_through(ledger, monkeypatch, rows, span):
    """A part at a time, also past many requests of which nothing was said."""
    monkeypatch.setattr(erasure, "_BATCH", rows)
    monkeypatch.setattr(erasure, "_SPAN", span)
    await ledger.accept(*(item(f"{number}", "1") for number in range(7)))
    said = [f"bad: {ANN}", *[None] * 5, f"worse: {ANN}"]
    claims = await ledger.claim(limit=7)
    rows = zip(claims, said, strict=True)
    tried = [(each, Attempt(NOW, 1.0, 422, "rejected", words)) for each, words in rows]
    dead = SubmissionStatus.DEAD
    await settle(ledger.database, [Settlement(each, dead, attempt=one) for each, one in tried], NOW)
    mentions = Mentions([ANN], [])
    await erasure.erase(
        ledger.database, Person(["nobody"], mentions.stand_in, mentions.removed_from), NOW
    )
    async with ledger.database.read() as connection:
        left = await connection.scalars(select(attempts.c.error).order_by(attempts.c.id))
        assert left.all() == [erasure.ERASED_NOTE, *[None] * 5, erasure.ERASED_NOTE]


async def test_no_no_is_left_of_an_email_address(ledger):
    """Nor one to texts that came without a number."""
    pseudonyms = Pseudonyms(b"k" * 32)
    ann, bob = pseudonyms.email(ANN), pseudonyms.email("bob@example.com")
    for email in (ANN, "bob@example.com"):
        said = pseudonyms.refused(email, None, email_at=NOW, sms_at=NOW)
        await ledger.accept(item(pseudonyms.email(email), "x", refused=said))
    await erasure.erase(ledger.database, Person([ann], lambda _: False, lambda text: text), NOW)
    people = (ann, None), (bob, None)
    left = await refusals.find(ledger.database, people)
    assert left == dict(zip(people, [NO_REFUSALS, Refusals(NOW, NOW)], strict=True))


async def test_a_number_that_many_gave_is_erased_however_many(ledger):
    """As 555-5555: no statement names more of them than a batch, as servers take so many alone."""
    items = [item(f"contact {each}", "x", phone_key="phone") for each in range(700)]
    await ledger.accept(*items)
    assert len(await ledger.claim()) == 10
    named = []
    engine = ledger.database._engine.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, executemany):
        named.append(len(parameters))

    person = Person(["phone"], lambda _: False, lambda document: document)
    assert await erasure.erase(ledger.database, person, NOW) == 700
    assert max(named) <= erasure._BATCH + 20
    assert await ledger.claim(NOW + 1, 700) == []
    assert (await ledger.contact("contact 1")).lease is None
