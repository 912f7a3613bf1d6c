"""What Jebbit sends is believed when it is signed, stored before it is answered, never lost."""

import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from app import main
from app.api import bodies, webhooks
from app.jebbit.signature import HEADER, TEST_HEADER, sign
from app.ledger import database as ledger_database
from tests.conftest import WEBHOOK_SECRET, Service

NOW = 1_700_000_000
ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}
BEN = {"email": "ben@example.com", "opt_in": "true", "outcome": "Calm"}
UNTRUE = "The signature does not hold. Check the shared secret and the sender's clock."


def enveloped(attributes: Any, number: int = 0) -> dict[str, Any]:
    return {"data": attributes, "event": {"event_number": number}}


def accepted(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["accepted", "duplicates", "unreadable", "test", "submissions"]
    return body


def counts(answer: httpx.Response) -> tuple[int, int, int, int]:
    body = accepted(answer)
    names = ("accepted", "duplicates", "unreadable")
    return (*(body[name] for name in names), len(body["submissions"]))


def refused(answer: httpx.Response, status: int) -> str:
    """Return the detail of a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    return str(problem["detail"])


def stored(service: Service, quiz: str) -> list[dict[str, Any]]:
    """Return all submissions of an integration, oldest first."""
    answer = service.client.get("/submissions", params={"integration": quiz, "limit": 500})
    return list(reversed(answer.json()["submissions"]))


@pytest.fixture
def statements(shared: Any) -> Iterator[list[str]]:
    """What is executed on the ledger meanwhile, but for the commits of webhooks."""
    seen: list[str] = []
    engine = shared.app.state.service.database._engine.sync_engine

    def note(*given: Any) -> None:
        seen.append(given[2])

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


# --- 202 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "payloads"),
    [
        ([enveloped(ANN), enveloped(BEN, 1)], [enveloped(ANN), enveloped(BEN, 1)]),
        (enveloped(ANN), [enveloped(ANN)]),
        ({"data": ANN}, [{"data": ANN}]),
        ([ANN, BEN], [ANN, BEN]),
        (ANN, [ANN]),
        ({}, []),
        ([], []),
        ([{}, {}], []),
        ({"data": {}}, []),
        ([enveloped({})], []),
        ([{}, ANN], [ANN]),
    ],
    ids=json.dumps,
)
def test_every_envelope_is_read(shared, quiz, body, payloads):
    """An array or one, with data and event or flat: each submission is pending, in order."""
    answer = accepted(shared.post(body, quiz))
    assert (answer["accepted"], answer["duplicates"], answer["unreadable"]) == (len(payloads), 0, 0)
    assert answer["test"] is False
    kept = [shared.submission(each) for each in answer["submissions"]]
    assert [each["payload"] for each in kept] == payloads
    assert {each["status"] for each in kept} <= {"pending"}


@pytest.mark.parametrize("item", [5, "x", None, True, [], [ANN], {"data": 5}, {"data": [ANN]}])
def test_an_item_that_is_no_object_does_not_stop_its_neighbours(shared, quiz, item):
    """It is kept as dead, unreadable, in its place; the others go on."""
    answer = accepted(shared.post([ANN, item, BEN], quiz))
    assert (answer["accepted"], answer["unreadable"]) == (2, 1)
    kept = [shared.submission(each) for each in answer["submissions"]]
    assert [each["status"] for each in kept] == ["pending", "dead", "pending"]
    assert (kept[1]["reason"], kept[1]["payload"]) == ("unreadable", item)
    assert kept[1]["plan"] is None


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "?", ""],
)
def test_the_content_type_is_not_asked(shared, quiz, content_type):
    """What Jebbit sends there is not known: the body is read as JSON whatever it says."""
    answer = shared.post(ANN, quiz, headers={"content-type": content_type})
    assert counts(answer) == (1, 0, 0, 1)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"email":"a@example.com","name":"Zoë 🎉 漢字"}'.encode(), "Zoë 🎉 漢字"),
        (b'{"email":"a@example.com","name":"Zo\\u00eb \\ud83c\\udf89"}', "Zoë 🎉"),
        (b'\xef\xbb\xbf{"email":"a@example.com","name":"BOM"}', "BOM"),
        (b'{"email":"a@example.com","name":"cut \\ud83c"}', "cut ?"),
        (b'{"email":"a@example.com","name":"nul \\u0000"}', "nul \x00"),
        (b'  {"email" : "a@example.com",\r\n"name":"spaces"} \n', "spaces"),
        (b'{"name":"same","email":"a@example.com","name":"same"}', "same"),
    ],
)
def test_text_of_every_kind_arrives(shared, quiz, body, name):
    """Signed over the exact bytes, and kept as text that can be shown."""
    answer = accepted(shared.post(body, quiz))
    assert shared.submission(answer["submissions"][0])["payload"]["name"] == name


def test_what_is_answered_is_on_disk(service, sqlite_url, sandbox_server):
    """Another process sees the submissions as soon as the answer is there."""
    running = service(run_worker=False)
    running.create_integration()
    ids = accepted(running.post([ANN, BEN]))["submissions"]
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        found = other.execute("SELECT id FROM submissions ORDER BY seq").fetchall()
    assert [each for (each,) in found] == ids


def test_many_at_once_are_all_stored_once(shared, quiz):
    """Webhooks that share a commit each get their own answer."""

    def post(n: int) -> list[str]:
        body = [{**ANN, "email": f"p{n}@example.com"}, {**BEN, "email": "same@example.com", "n": n}]
        return list(accepted(shared.post(body, quiz))["submissions"])

    with ThreadPoolExecutor(12) as pool:
        answered = [each for ids in pool.map(post, range(36)) for each in ids]
    assert sorted(each["id"] for each in stored(shared, quiz)) == sorted(answered)
    assert len(set(answered)) == 72


def test_both_engines_store_alike(service, database_url):
    """One submission of each kind, and a repeat, on SQLite and on PostgreSQL."""
    running = service(database_url=database_url, run_worker=False)
    running.create_integration()
    at = time.time()
    assert counts(running.post([ANN, 5, BEN, BEN], at=at)) == (2, 1, 1, 3)
    assert counts(running.post([ANN, 5, BEN, BEN], at=at)) == (0, 3, 0, 0)
    assert counts(running.post(ANN, at=at - 1)) == (0, 1, 0, 0)
    assert counts(running.post(ANN, headers={TEST_HEADER: ""})) == (0, 0, 0, 1)
    assert "dead submission" in refused(running.post(b"\x00\xff"), 400)
    statuses = [each["status"] for each in stored(running, "spring-quiz")]
    assert statuses == ["pending", "dead", "pending", "test", "dead"]
    assert accepted(running.post({**ANN, "name": "nul \x00 🎉"}))["accepted"] == 1


# --- 400 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"not json", "The body is not JSON"),
        (b"", "The body is not JSON"),
        (b'{"email": "ann@exa', "The body is not JSON"),
        (b'{"a": NaN}', "The body is not JSON"),
        (b"\xff\xfe\x00", "The body is not JSON"),
        (b"email=ann%40example.com", "The body is not JSON"),
        (b'[{"email": "ann@example.com"}', "The body is not JSON"),
        (b"[" * 5000 + b"]" * 5000, "The body is not JSON"),
        (b"5", "neither an object nor an array"),
        (b'"text"', "neither an object nor an array"),
        (b"null", "neither an object nor an array"),
    ],
    ids=lambda each: str(each[:12]),
)
def test_a_signed_body_that_cannot_be_read_is_kept(shared, quiz, body, told):
    """400, and the raw body is in the ledger as one dead submission: nothing is lost."""
    at = time.time()
    detail = refused(shared.post(body, quiz, at=at), 400)
    assert told in detail
    [dead] = stored(shared, quiz)
    assert f"as the dead submission {dead['id']}" in detail
    assert (dead["status"], dead["reason"]) == ("dead", "unreadable")
    shown = shared.submission(dead["id"])["payload"]
    assert shown == (json.loads(body) if "neither" in told else body.decode(errors="replace"))
    # The same signature again is the same webhook.
    assert "It is kept already." in refused(shared.post(body, quiz, at=at), 400)
    assert len(stored(shared, quiz)) == 1


def test_a_body_that_cannot_be_read_is_not_repeated_to_the_sender(shared, quiz):
    """The answer says where reading ended, without what was written there."""
    assert "secret-word" not in refused(shared.post(b'{"a": secret-word', quiz), 400)


# --- 401 ----------------------------------------------------------------------------------------

BODY = json.dumps(ANN).encode()


def signed(at: float, body: bytes = BODY, secret: str = WEBHOOK_SECRET) -> str:
    return sign(body=body, secret=secret, at=int(at))


GOOD = signed(NOW)
VALUE = GOOD.partition("v1=")[2]


def post_with(service: Any, quiz: str, *headers: str | bytes, body: bytes = BODY) -> Any:
    pairs = [
        (HEADER.encode(), each if isinstance(each, bytes) else each.encode()) for each in headers
    ]
    return service.anyone.post(f"/webhooks/jebbit/{quiz}", content=body, headers=pairs)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["garbage"],
        [VALUE],
        [f"v1={VALUE}"],
        [f"t={NOW}"],
        [f"t={NOW},v1="],
        [f"t={NOW},v1={VALUE[:-1]}"],
        [f"t={NOW},v1={VALUE.lower()}"],
        [f"t={NOW},v2={VALUE}"],
        [f"t={NOW + 1},v1={VALUE}"],
        [f"t={NOW},t={NOW},v1={VALUE}"],
        [f"t=+{NOW},v1={VALUE}"],
        [f"t={NOW}.0,v1={VALUE}"],
        [f"t={'9' * 400},v1={VALUE}"],
        [f"t=-1,v1={VALUE}"],
        [f"t={NOW},v1={VALUE}\u00e9".encode()],
        [b"t=\xff,v1=\xff"],
        [GOOD, GOOD],
        [signed(NOW, secret="another-secret")],
        [signed(NOW, secret="")],
        [signed(NOW, body=BODY + b" ")],
        [signed(NOW - 301)],
        [signed(NOW + 301)],
        [signed(0)],
    ],
    ids=lambda each: str(each)[:40],
)
def test_an_unproven_webhook_is_refused_the_same_way_whatever_the_cause(
    shared, quiz, clock, headers
):
    """Missing, malformed, wrong, stale or future: one body for all, and nothing is stored."""
    clock.fixed = NOW
    answer = post_with(shared, quiz, *headers)
    assert refused(answer, 401) == UNTRUE
    assert answer.content == post_with(shared, quiz).content
    assert stored(shared, quiz) == []


@pytest.mark.parametrize(
    "headers",
    [
        [GOOD],
        [f"v1={VALUE},t={NOW}"],
        [f"t = {NOW} ,  v1 = {VALUE}"],
        [f"t={NOW},v1={'A' * 43}=,v1={VALUE}"],
        [f"t={NOW},v1={VALUE},v0=old,x"],
        [f"t={NOW}", f"v1={VALUE}"],
        [signed(NOW - 300)],
        [signed(NOW + 300)],
    ],
)
def test_a_signature_is_read_by_name(shared, quiz, clock, headers):
    """Any order, spaces, several v1, two header lines, up to 300 s either way."""
    clock.fixed = NOW
    assert counts(post_with(shared, quiz, *headers)) == (1, 0, 0, 1)


@pytest.mark.parametrize(
    ("body", "header", "accepted_count"),
    [
        (b"{}", "t=1700000000,v1=U0eHcQjggqv6WJKmzZItnxEbnu/2pYMGbq+c1hqGLJE=", 0),
        (
            b'{"data":{"testData":"hello_world"}}',
            "t=1700000000,v1=9hcS9KslXdZBwsKsREPcVl9u5b8JbRmZrbld1kDfe+s=",
            1,
        ),
    ],
)
def test_the_published_vectors_hold(shared, create, clock, body, header, accepted_count):
    """Jebbit's rule, by values computed outside this code."""
    clock.fixed = NOW
    quiz = create(jebbit={"webhook_secrets": ["$super_secure_shared_secret!"]})
    answer = post_with(shared, quiz, header, body=body)
    assert counts(answer) == (accepted_count, 0, 0, accepted_count)


def test_secrets_rotate_without_a_gap(shared, quiz):
    """A new secret holds at once beside the old one, which holds until it is removed."""
    post = shared.client.post(
        f"/integrations/{quiz}/webhook-secrets", json={"secret": "the-next-secret-9876"}
    )
    assert post.status_code == 200
    assert counts(shared.post(ANN, quiz, secret="the-next-secret-9876"))[0] == 1
    assert counts(shared.post(BEN, quiz))[0] == 1
    removed = shared.client.delete(f"/integrations/{quiz}/webhook-secrets/{WEBHOOK_SECRET[-4:]}")
    assert removed.status_code == 200
    assert refused(shared.post(BEN, quiz), 401) == UNTRUE
    assert counts(shared.post(BEN, quiz, secret="the-next-secret-9876"))[1] == 1


@pytest.mark.parametrize(
    ("path", "signature", "status"),
    [
        ("nobody", GOOD, 404),
        ("", None, 401),
        ("", "nonsense", 401),
        ("", "t=1,v1=x" + ",v1=" * 4, 401),
        ("", signed(NOW - 301), 401),
        ("", signed(NOW + 301), 401),
    ],
)
def test_what_the_head_shows_to_be_wrong_is_refused_by_it(
    shared, quiz, clock, path, signature, status
):
    """No byte of the body is waited for, so it cannot be made to cost anything."""
    clock.fixed = NOW
    line = f"{HEADER}: {signature}\r\n" if signature else ""
    request = (
        f"POST /webhooks/jebbit/{path or quiz} HTTP/1.1\r\nHost: x\r\n"
        f"{line}Content-Length: 1000\r\n\r\n"
    )
    with raw(shared, request.encode()) as answer:
        assert f" {status} ".encode() in answer.readline()


def test_a_flood_of_wrong_signatures_does_not_read_the_ledger(shared, quiz, statements):
    """Neither of a known integration nor of ids that somebody makes up."""
    shared.post(ANN, quiz)
    before, started = len(statements), time.monotonic()
    for n in range(40):
        assert refused(shared.post(ANN, quiz, secret="wrong"), 401) == UNTRUE
        assert "No integration" in refused(shared.post(ANN, f"made-up-{n}"), 404)
    reads = [each for each in statements[before:] if "FROM integrations" in each]
    assert len(reads) < 4 * (time.monotonic() - started + 1)  # once a second, each kind


def test_secrets_are_few(shared, quiz):
    """Each is tried on every webhook, so there are at most eight."""
    answers = [
        shared.client.post(
            f"/integrations/{quiz}/webhook-secrets", json={"secret": f"another-secret-{n:05}"}
        ).status_code
        for n in range(8)
    ]
    assert answers == [200] * 7 + [422]


# --- 404, 405 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sprng-quiz", "Quiz", "quiz%20", "%00", "x" * 5000, "é"])
def test_an_unknown_integration_is_told(shared, name):
    """Whoever pasted the address sees that it is wrong; no signature is needed for that."""
    detail = refused(shared.anyone.post(f"/webhooks/jebbit/{name}", json=ANN), 404)
    assert detail.startswith("No integration has the id")


def test_an_integration_that_was_deleted_is_unknown_at_once(shared, quiz):
    """Although it is looked up only once in a while."""
    assert counts(shared.post({}, quiz))[0] == 0
    assert shared.client.delete(f"/integrations/{quiz}").status_code == 204
    assert "No integration" in refused(shared.post(ANN, quiz), 404)


def test_only_post_is_taken(shared, quiz):
    """A browser that opens the address sees why nothing comes of it."""
    assert refused(shared.anyone.get(f"/webhooks/jebbit/{quiz}"), 405) == "Method Not Allowed"


# --- 413, 408 -----------------------------------------------------------------------------------

MOST = 64 * 1024
TOO_LARGE = f"A webhook may hold {MOST} bytes; WEBHOOK_MAX_BYTES sets that."


def sized(size: int) -> bytes:
    empty = json.dumps({**ANN, "x": ""}).encode()
    return json.dumps({**ANN, "x": "x" * (size - len(empty))}).encode()


def test_the_largest_webhook_is_taken_and_one_byte_more_is_not(shared, quiz):
    """The limit counts the bytes of the body."""
    assert len(sized(MOST)) == MOST
    assert counts(shared.post(sized(MOST), quiz))[0] == 1
    assert refused(shared.post(sized(MOST + 1), quiz), 413) == TOO_LARGE
    assert len(stored(shared, quiz)) == 1


def test_a_large_body_is_counted_as_it_comes(shared, quiz):
    """Without Content-Length it is cut off where it grows too long, and not kept in memory."""
    body = sized(MOST + 1)

    def chunks() -> Iterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    answer = shared.anyone.post(
        f"/webhooks/jebbit/{quiz}",
        content=chunks(),
        headers={HEADER: signed(time.time(), body=body)},
    )
    assert "content-length" not in answer.request.headers
    assert refused(answer, 413) == TOO_LARGE


def test_a_chunked_body_within_the_limit_is_taken(shared, quiz):
    """Content-Length is not needed."""
    answer = shared.anyone.post(
        f"/webhooks/jebbit/{quiz}",
        content=iter([BODY[:10], BODY[10:]]),
        headers={HEADER: signed(time.time())},
    )
    assert counts(answer)[0] == 1


@contextmanager
def raw(service: Service, request: bytes) -> Iterator[Any]:
    """Send bytes to the service; gives the file its answer is read from."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        yield connection.makefile("rb")


def head(quiz: str, *lines: bytes) -> bytes:
    """Return the head of a webhook that only its body can show to be wrong."""
    first = f"POST /webhooks/jebbit/{quiz} HTTP/1.1", "Host: x", f"{HEADER}: {signed(time.time())}"
    return b"\r\n".join([*(each.encode() for each in first), *lines, b"", b""])


def test_an_announced_size_is_refused_before_the_body_comes(shared):
    """Size is the first thing looked at: before the integration, and before a byte is read."""
    head = b"POST /webhooks/jebbit/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    with raw(shared, head) as answer:
        assert b" 413 " in answer.readline()


def test_a_body_that_does_not_come_is_not_waited_for(shared, quiz, monkeypatch):
    """A sender that stalls is cut off."""
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.1)
    with raw(shared, head(quiz, b"Content-Length: 9") + b"{") as answer:
        assert b" 408 " in answer.readline()


@pytest.mark.parametrize(
    ("lengths", "status"),
    [("0" * 5_000 + "9", 202), ("0" * 5_000, 400), ("9" * 19, 413), ("1" + "0" * 18, 413)],
)
def test_any_content_length_is_read(shared, quiz, lengths, status):
    """Thousands of leading zeros are a number, and so is one that no machine counts to."""
    body = b'{"n": 1} '
    content = body if status == 202 else b""
    line = f"{HEADER}: {signed(time.time(), body=content)}"
    request = (
        f"POST /webhooks/jebbit/{quiz} HTTP/1.1\r\nHost: x\r\n{line}\r\n"
        f"Content-Length: {lengths}\r\n\r\n"
    )
    with raw(shared, request.encode() + content) as answer:
        assert f" {status} ".encode() in answer.readline()


def test_a_thousand_items_are_taken_and_one_more_is_not(shared, quiz):
    """All or nothing: no part of a webhook that holds too many is stored."""
    many = [{"n": n} for n in range(1001)]
    detail = refused(shared.post(many, quiz), 413)
    assert detail == "The body holds 1001 items; at most 1000 are taken."
    assert stored(shared, quiz) == []
    assert counts(shared.post(many[:1000], quiz)) == (1000, 0, 0, 1000)


# --- 503 ----------------------------------------------------------------------------------------

UNSTORED = "The ledger cannot be used now; what was sent may not be stored. Try again."


@contextmanager
def locked(sqlite_url: str) -> Iterator[None]:
    """Hold the ledger's write lock, as a stuck process would."""
    path = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_a_ledger_that_cannot_store_says_so(service, sqlite_url, monkeypatch):
    """503 with Retry-After and nothing stored; the same webhook is taken as soon as it can be."""
    monkeypatch.setattr(ledger_database, "_BUSY_SECONDS", 0.1)
    running = service(run_worker=False)
    running.create_integration()
    at = time.time()
    with locked(sqlite_url):
        answer = running.post(ANN, at=at)
        assert refused(answer, 503) == UNSTORED
        assert int(answer.headers["retry-after"]) > 0
    assert stored(running, "spring-quiz") == []
    assert counts(running.post(ANN, at=at)) == (1, 0, 0, 1)


def test_too_many_that_wait_are_turned_away(service, sqlite_url, monkeypatch):
    """The line is bounded: who does not fit is told at once, who stands in it is served."""
    monkeypatch.setattr(main, "_WAITING_BYTES", 1)
    running = service(run_worker=False)
    running.create_integration()
    with ThreadPoolExecutor(3) as pool:
        with locked(sqlite_url):
            posts = [pool.submit(running.post, {"n": n}) for n in range(3)]
            ended = as_completed(posts, timeout=4)
            for answer in (next(ended).result(), next(ended).result()):
                assert refused(answer, 503) == UNSTORED
                assert int(answer.headers["retry-after"]) > 0
        assert counts(next(ended).result())[0] == 1
    assert len(stored(running, "spring-quiz")) == 1


# --- Test webhooks ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["true", "false", "0", "", "1700000000"])
def test_a_test_webhook_is_told_by_its_header_alone(shared, quiz, value):
    """Whatever the value: stored as test with the preview of what would have been sent."""
    answer = accepted(shared.post([ANN, 5], quiz, headers={TEST_HEADER: value}))
    assert (answer["accepted"], answer["unreadable"], answer["test"]) == (0, 1, True)
    kept = [shared.submission(each) for each in answer["submissions"]]
    assert [each["status"] for each in kept] == ["test", "dead"]
    assert kept[0]["plan"]["request"]["body"]["quiz_outcome"] == "Bold"


def test_a_test_webhook_needs_its_signature_too(shared, quiz):
    """The header gives nobody a way in."""
    assert refused(shared.post(ANN, quiz, secret="x", headers={TEST_HEADER: "1"}), 401) == UNTRUE


def test_tests_and_real_ones_are_no_repeats_of_each_other(shared, quiz):
    """A marketer presses "test" twice and sees two; the real one after them is not dropped."""
    at, test = time.time(), {TEST_HEADER: ""}
    session = {**ANN, "user_session_id": "s1"}
    assert counts(shared.post(session, quiz, at=at, headers=test)) == (0, 0, 0, 1)
    assert counts(shared.post(session, quiz, at=at - 1, headers=test)) == (0, 0, 0, 1)
    assert counts(shared.post(session, quiz, at=at - 2)) == (1, 0, 0, 1)


def test_a_test_webhook_is_never_sent(service, sandbox_server):
    """Cordial only ever sees the real submission behind it."""
    running = service()
    running.create_integration()
    accepted(running.post({**ANN, "outcome": "Test"}, headers={TEST_HEADER: ""}))
    real = accepted(running.post(ANN))["submissions"][0]
    assert running.wait(real)["status"] == "delivered"
    assert [each["quiz_outcome"] for each in sandbox_server.bodies()] == ["Bold"]


# --- Repeats ------------------------------------------------------------------------------------

S1 = {**ANN, "user_session_id": "s1"}


@pytest.mark.parametrize(
    ("bodies", "new"),
    [
        ([S1, S1], [1, 0]),
        ([S1, enveloped(S1)], [1, 0]),
        ([S1, dict(reversed(S1.items()))], [1, 0]),
        ([S1, {**S1, "outcome": "Calm"}], [1, 1]),
        ([S1, {**S1, "outcome": "Calm"}, S1], [1, 1, 0]),
        ([S1, {**S1, "user_session_id": "s2"}], [1, 1]),
        ([ANN, ANN], [1, 0]),
        ([ANN, {**ANN, "outcome": "Calm"}, ANN], [1, 1, 1]),
        ([ANN, {**ANN, "outcome": "Calm"}, {**ANN, "outcome": "Calm"}], [1, 1, 0]),
        ([ANN, BEN, ANN], [1, 1, 0]),
        ([{"n": 1}, {"n": 1}], [1, 1]),
        ([[ANN, ANN, BEN], [BEN, {**BEN, "n": 1}]], [2, 1]),
    ],
)
def test_repeats_are_counted_and_not_stored(shared, quiz, bodies, new):
    """The same session and content or, without a session, what that contact's newest one says."""
    at = time.time()
    answers = [accepted(shared.post(body, quiz, at=at - n)) for n, body in enumerate(bodies)]
    assert [each["accepted"] for each in answers] == new
    total = sum(len(body) if isinstance(body, list) else 1 for body in bodies)
    assert sum(each["duplicates"] for each in answers) == total - sum(new)
    assert len(stored(shared, quiz)) == sum(new)


def test_a_signature_shown_again_is_a_repeat(shared, quiz):
    """Whatever it holds, also what has neither session nor address."""
    at = time.time()
    assert counts(shared.post({"n": 1}, quiz, at=at)) == (1, 0, 0, 1)
    assert counts(shared.post({"n": 1}, quiz, at=at)) == (0, 1, 0, 0)


def test_another_integrations_submissions_are_no_repeats(shared, create):
    """Two sources may bring the same person to two accounts."""
    at = time.time()
    assert [counts(shared.post(S1, create(), at=at))[0] for _ in range(2)] == [1, 1]


# --- URL parameters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "trusted", "outcome"),
    [
        ({**ANN, "url_params": "email=ann%40example.com&L=1"}, [], "untrusted_identity"),
        ({**ANN, "url_params": "?Email=x"}, [], "untrusted_identity"),
        ({**ANN, "url_params": {"email": "x"}}, [], "untrusted_identity"),
        ({**ANN, "url_params": "email=x"}, ["email"], "subscribed"),
        ({**ANN, "url_params": "L=1", "L": "1"}, [], "subscribed"),
        ({**ANN, "url_params": "opt_in=true"}, [], None),
        ({**ANN, "url_params": "opt_in=true"}, ["opt_in"], "subscribed"),
    ],
)
def test_what_the_pages_url_says_is_not_believed(shared, create, attributes, trusted, outcome):
    """Anybody can write a link: it names nobody and subscribes nobody, unless that is trusted."""
    quiz = create(jebbit={"trusted_url_params": trusted})
    [submission] = accepted(shared.post(attributes, quiz))["submissions"]
    plan = shared.submission(submission)["plan"]
    if plan["decision"] == "skip":
        assert plan["reason"] == outcome
    else:
        assert plan["request"]["body"]["channels"]["email"].get("subscribeStatus") == outcome


def test_a_paused_integration_takes_webhooks(shared, create):
    """Pausing stops sending, not receiving."""
    quiz = create(state="paused")
    assert counts(shared.post(ANN, quiz)) == (1, 0, 0, 1)


def test_a_defect_is_answered_as_one_and_kept_apart_from_its_webhook(service, monkeypatch, capfd):
    """500 without a word of what it met, to be found by its request's id; the next one is taken."""
    running = service(run_worker=False)
    running.create_integration()

    def fail(*_: Any) -> None:
        raise ValueError("ann@example.com")

    with monkeypatch.context() as broken:
        broken.setattr(webhooks, "parse", fail)
        answer = running.post(ANN)
    assert refused(answer, 500) == "A defect of this service; its log says where."
    assert answer.headers["x-request-id"]
    assert "ann@" not in capfd.readouterr().err
    counted = running.client.get("/metrics").text
    assert 'webhooks_total{integration="spring-quiz",outcome="defect"} 1.0' in counted
    assert counts(running.post(ANN)) == (1, 0, 0, 1)
