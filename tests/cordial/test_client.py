"""The client calls one account as Cordial wants it, and tries again only what passes by itself."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import respx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tenacity import wait_none

from app.cordial import client as client_module
from app.cordial.client import CordialClient
from app.cordial.errors import (
    AccessRefused,
    NoAnswer,
    RateLimited,
    Rejected,
    Unavailable,
    Upserted,
)
from app.pool import open_pool
from app.sandbox.faults import Fault
from app.sandbox.server import create_sandbox
from app.sandbox.state import Sandbox
from app.sandbox.switches import Switches
from app.serving import serving
from tests.proxies import certificate, listening

BASE = "https://api.cordial.io/v2"
CID = "5f0c1a2b3c4d5e6f70819202"
ANN = {"channels": {"email": {"address": "ann@example.com"}}, "first_name": "Ann"}
DONE = httpx.Response(200, json={"success": True, "cID": CID})
DOWN = httpx.Response(500, json={"error": "an error has occurred"})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tries within seconds follow each other at once."""
    monkeypatch.setattr(client_module, "_QUICK_WAIT", wait_none())


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncBaseTransport]:
    """A pool of httpx's own, which respx can answer for."""
    # Without certificates, which no mocked call needs and which take 50 ms to load.
    async with httpx.AsyncHTTPTransport(verify=False) as one:
        yield one


@pytest.fixture
def cordial() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


def client(http: httpx.AsyncBaseTransport, **options: Any) -> CordialClient:
    return CordialClient(http, BASE, "KEY", **{"timeout": 5.0, **options})


# --- The request --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["KEY", "5f0c-a/b+c=", "with:colon"])
async def test_the_request_is_the_one_cordial_wants(http, cordial, key):
    """POST to /contacts, the key as the user of HTTP Basic with no password, JSON in UTF-8."""
    route = cordial.post("/contacts").mock(DONE)
    body = {**ANN, "colors": ["red", "blå"], "age": 7}
    upserted = await CordialClient(http, BASE, key, timeout=5).upsert(body)
    assert upserted == Upserted(200, CID)
    request = route.calls.last.request
    assert request.headers["authorization"] == "Basic " + base64.b64encode(
        f"{key}:".encode()
    ).decode("ascii")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == body
    assert "blå".encode() in request.content


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(http, cordial, status):
    """A redirect would take the key to another host: it is refused access, told as such."""
    elsewhere = respx.get("https://evil.example/").mock(DONE)
    respx.post("https://evil.example/").mock(DONE)
    cordial.post("/contacts").respond(status, headers={"location": "https://evil.example/"})
    with pytest.raises(AccessRefused):
        await client(http).upsert(ANN)
    assert not elsewhere.called
    assert cordial.calls.call_count == 1


# --- Quick tries --------------------------------------------------------------------------------

PASSING = [
    DOWN,
    httpx.Response(502, html="<h1>502 Bad Gateway</h1>"),
    httpx.Response(200, content=b"<html>"),
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("slow"),
    httpx.ReadTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("closed"),
    TimeoutError(),
    ConnectionResetError(),
]
NAMES = [
    str(each.status_code) if isinstance(each, httpx.Response) else type(each).__name__
    for each in PASSING
]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("failure", PASSING, ids=NAMES)
async def test_what_passes_is_tried_again(http, cordial, failure):
    """No answer, a timeout, 5xx and an unreadable 2xx: a third try that succeeds is a success."""
    route = cordial.post("/contacts")
    route.side_effect = [failure, failure, DONE]
    assert (await client(http).upsert(ANN)).contact_id == CID
    assert route.call_count == 3


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("tries", [1, 2, 3])
@pytest.mark.parametrize("failure", PASSING, ids=NAMES)
async def test_the_tries_are_bounded(http, cordial, failure, tries):
    """After the last try the failure is the caller's, who has a schedule for it."""
    route = cordial.post("/contacts")
    route.side_effect = [failure] * 4
    with pytest.raises(Unavailable):
        await client(http).upsert(ANN, tries=tries)
    assert route.call_count == tries


@pytest.mark.usefixtures("quick")
async def test_three_tries_are_the_default(http, cordial):
    """Within seconds, and no more: what lasts longer is the ledger's."""
    route = cordial.post("/contacts").mock(DOWN)
    with pytest.raises(Unavailable) as failed:
        await client(http).upsert(ANN)
    assert (route.call_count, failed.value.http_status) == (3, 500)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(400, json={}), Rejected),
        (httpx.Response(401, json={"error": "Access Denied"}), AccessRefused),
        (httpx.Response(403), AccessRefused),
        (httpx.Response(404, json={"error": "'/v2/accountcontact' is not found."}), AccessRefused),
        (httpx.Response(404, content=b"<html>"), AccessRefused),
        (httpx.Response(404, json={"errorKey": "RECORD_NOT_FOUND"}), Rejected),
        (httpx.Response(415, json={}), Rejected),
        (httpx.Response(422, json={"messages": "no"}), Rejected),
        (httpx.Response(429, headers={"retry-after": "3"}), RateLimited),
        (httpx.Response(200, json={"success": False}), Rejected),
    ],
    ids=lambda each: str(
        getattr(each, "status_code", each.__name__ if isinstance(each, type) else each)
    ),
)
async def test_a_refusal_is_not_tried_again(http, cordial, answer, kind):
    """Asking again would get the same answer, or make a rate limit worse."""
    route = cordial.post("/contacts").mock(answer)
    with pytest.raises(kind):
        await client(http).upsert(ANN)
    assert route.call_count == 1


async def test_a_date_in_retry_after_is_read_by_the_clients_clock(http, cordial):
    """The clock is an argument, so that a wait is from now and not from some other time."""
    after = {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}
    cordial.post("/contacts").respond(429, headers=after)
    with pytest.raises(RateLimited) as told:
        await client(http, clock=lambda: 1_700_000_000.0).upsert(ANN)
    assert told.value.retry_after == 30


@pytest.mark.usefixtures("quick")
async def test_the_caller_is_asked_before_each_try(http, cordial):
    """A lease that is lost meanwhile ends the trying: nothing more is sent."""

    class Lost(Exception):
        pass

    asked = set()

    def before_try() -> None:
        asked.add(cordial.calls.call_count)
        if cordial.calls.call_count == 2:
            raise Lost

    cordial.post("/contacts").mock(DOWN)
    with pytest.raises(Lost):
        await client(http).upsert(ANN, before_try=before_try)
    assert asked == {0, 1, 2}
    assert cordial.calls.call_count == 2


async def test_the_quick_tries_take_seconds_not_minutes(http, cordial):
    """With the real waits, three tries end well within the lease of a claim."""
    cordial.post("/contacts").mock(DOWN)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await client(http).upsert(ANN)
    assert time.monotonic() - began < 4


async def test_no_error_repeats_what_was_sent(http, cordial):
    """The message of a connection error names its kind alone; its text holds addresses."""
    cordial.post("/contacts").mock(side_effect=httpx.ConnectError("no route to ann@example.com"))
    with pytest.raises(Unavailable) as failed:
        await client(http).upsert(ANN, tries=1)
    assert str(failed.value) == "no answer: ConnectError"
    assert failed.value.http_status is None


# --- Rate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "calls", "at_least"), [(20.0, 25, 0.2), (4.0, 5, 0.2)])
async def test_requests_per_second_are_held(http, cordial, rate, calls, at_least):
    """A second's worth goes at once, what is beyond it waits its turn."""
    cordial.post("/contacts").mock(DONE)
    limited = client(http, requests_per_second=rate)
    began = time.monotonic()
    for _ in range(calls):
        await limited.upsert(ANN)
    assert at_least <= time.monotonic() - began < 2


async def test_less_than_one_request_per_second_can_be_asked_for(http, cordial):
    """0.5 means one at once and the next after two seconds, not none at all."""
    cordial.post("/contacts").mock(DONE)
    slow = client(http, requests_per_second=0.5)
    await slow.upsert(ANN)
    assert slow._limiter is not None
    assert not slow._limiter.has_capacity()
    assert slow._limiter.time_period == 2


async def test_the_smallest_rate_sends_one_contact_and_then_waits(http, cordial):
    """One over it is infinite, which no clock can be asked to wait for."""
    cordial.post("/contacts").mock(DONE)
    slowest = client(http, requests_per_second=5e-324)
    await slowest.upsert(ANN)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await slowest.upsert(ANN)


@pytest.mark.usefixtures("quick")
async def test_tries_count_against_the_rate(http, cordial):
    """A try is a request: three of them take three turns."""
    cordial.post("/contacts").mock(DOWN)
    limited = client(http, requests_per_second=2.0)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await limited.upsert(ANN)
    assert time.monotonic() - began > 0.4


# --- The account's attributes -------------------------------------------------------------------

AGE = {"key": "age", "name": "Age", "type": "number"}


@pytest.mark.parametrize(
    ("document", "types"),
    [
        ([AGE, {"key": "home", "type": "geo"}], {"age": "number", "home": "geo"}),
        (
            {"age": {"type": "number"}, "home": AGE | {"key": "home"}},
            {"age": "number", "home": "number"},
        ),
        (
            [{"key": each, "type": each} for each in ("string", "number", "date", "array", "geo")],
            {each: each for each in ("string", "number", "date", "array", "geo")},
        ),
        ([AGE | {"type": " Number "}], {"age": "number"}),
        ([AGE, {"key": 5, "type": "string"}, {"type": "string"}, None], {"age": "number"}),
        (
            [AGE, {"key": "x", "type": "boolean"}, {"key": "y"}],
            {"age": "number", "x": None, "y": None},
        ),
        ({"data": [AGE]}, {"age": "number"}),
        ({"success": True, "attributes": {"age": AGE}}, {"age": "number"}),
        ({"error": AGE | {"key": "error"}, "data": AGE}, {"error": "number", "age": "number"}),
        ({"data": []}, {}),
        ({}, {}),
        ([], {}),
    ],
)
async def test_attributes_are_read_in_every_shape(http, cordial, document, types):
    """An array, an object by key, either of them inside `data`; odd types exist all the same."""
    content = json.dumps(document).encode()
    route = cordial.get("/accountcontactattributes").respond(200, content=content)
    read = await client(http).attributes()
    assert {each.key: each.type for each in read} == types
    assert route.calls.last.request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "document",
    [
        [None],
        [5, "x"],
        [{"type": "string"}],
        {"success": True},
        {"success": False, "data": []},
        {"error": True, "errorKey": "GENERIC_ERROR_KEY", "message": "no"},
        {"errors": ["no"]},
        {"message": "maintenance"},
        "nothing",
        None,
        5,
    ],
    ids=str,
)
async def test_what_is_no_list_is_no_empty_account(http, cordial, document):
    """Every field would seem to be missing in Cordial."""
    content = json.dumps(document).encode()
    cordial.get("/accountcontactattributes").respond(200, content=content)
    with pytest.raises(Unavailable, match="answer"):
        await client(http).attributes()


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ([{"id": 1, "name": "vip"}], {"vip"}),
        ({"1": {"id": 1, "name": "vip"}}, {"vip"}),
        ({"vip": {"id": 1}}, {"vip"}),
        ({"data": [{"id": 1, "name": "vip"}]}, {"vip"}),
        (["vip"], {"vip"}),
        ([], set()),
    ],
)
async def test_lists_are_read_in_every_shape(http, cordial, document, names):
    """As attributes are."""
    cordial.get("/accountlists").respond(200, json=document)
    assert await client(http).lists() == names


@pytest.mark.parametrize("document", [[None], {"success": False}, {"error": "no"}, [{}]], ids=str)
async def test_what_is_no_list_of_lists_is_not_none(http, cordial, document):
    """Only 404, or an empty list, says that there are none."""
    cordial.get("/accountlists").respond(200, json=document)
    with pytest.raises(Unavailable, match="answer"):
        await client(http).lists()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(401, json={"error": "Access Denied"}), AccessRefused),
        (httpx.Response(403), AccessRefused),
        (httpx.Response(404, json={"error": "'/v2/accountcontact' is not found."}), AccessRefused),
        (httpx.Response(404, content=b"<html>"), AccessRefused),
        (httpx.Response(429), RateLimited),
        (httpx.Response(500), Unavailable),
        (httpx.Response(200, content=b"<html>"), Unavailable),
        (httpx.ReadTimeout("slow"), Unavailable),
    ],
    ids=str,
)
async def test_attributes_that_cannot_be_had_are_an_error(http, cordial, answer, kind):
    """Never an empty account in place of an error: unmapped attributes would be dropped."""
    route = cordial.get("/accountcontactattributes")
    route.side_effect = [answer]
    with pytest.raises(kind):
        await client(http).attributes()


# --- Against the sandbox, over HTTP -------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Sandbox]]:
    """A local Cordial under a real server."""
    app = create_sandbox()
    with serving(app) as url:
        yield url, app.state.sandbox


@pytest.fixture
def sandbox(served) -> Sandbox:
    served[1].reset()
    return served[1]


@pytest.fixture
async def real(served, sandbox) -> AsyncIterator[CordialClient]:
    """A client on the pool the service uses."""
    async with open_pool(5) as pool:
        yield CordialClient(pool, served[0] + "/v2", "sandbox-key", timeout=5)


async def test_a_contact_arrives(real, sandbox):
    """Created, then updated: the same contact id both times."""
    created, updated = await real.upsert(ANN), await real.upsert({**ANN, "first_name": "Anne"})
    assert (created.http_status, updated.http_status) == (201, 200)
    assert created.contact_id == updated.contact_id == next(iter(sandbox.contacts)).cid
    assert next(iter(sandbox.contacts)).attributes == {"first_name": "Anne"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", ["reset_after_write", "server_error", "html_502", "cut_body"])
async def test_a_failure_that_passes_is_not_seen(real, sandbox, kind):
    """Over real HTTP the second try succeeds; a write that was done already is done once more."""
    sandbox.faults = [Fault(kind=kind, times=1)]
    await real.upsert(ANN)
    assert (len(sandbox.journal), len(sandbox.contacts)) == (2, 1)


@pytest.mark.usefixtures("quick")
async def test_a_connection_that_always_breaks_is_unavailable(real, sandbox):
    """Each try is ended by a reset: no answer, named by its kind alone."""
    sandbox.faults = [Fault(kind="reset_after_write")]
    with pytest.raises(Unavailable, match=r"^no answer: the connection was ") as failed:
        await real.upsert(ANN)
    assert failed.value.http_status is None
    assert len(sandbox.journal) == 3


async def test_a_slow_answer_is_given_up_in_time(served, sandbox):
    """The timeout is for the whole answer; the connection is usable afterwards."""
    sandbox.faults = [Fault(kind="slow", seconds=2, times=1)]
    async with open_pool(1) as pool:
        impatient = CordialClient(pool, served[0] + "/v2", "sandbox-key", timeout=0.2)
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            await impatient.upsert(ANN, tries=1)
        assert time.monotonic() - began < 1
        assert (await impatient.upsert(ANN, tries=1)).contact_id


async def test_nobody_there_is_unavailable(sandbox):
    """A port that refuses connections is no answer, not a crash."""
    async with open_pool(1) as pool:
        with pytest.raises(Unavailable, match="no answer"):
            await CordialClient(pool, "http://127.0.0.1:1/v2", "k", timeout=5).upsert(ANN, tries=1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("unauthorized", AccessRefused),
        ("forbidden", AccessRefused),
        ("not_found", AccessRefused),
        ("success_false", Rejected),
        ("rate_limited", RateLimited),
    ],
)
async def test_a_refusal_over_http_is_told_as_it_is(real, sandbox, kind, error):
    """One request, one kind of error."""
    sandbox.faults = [Fault(kind=kind)]
    with pytest.raises(error):
        await real.upsert(ANN)
    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("kind", ["rate_limited", "rate_limited_reset"])
async def test_a_rate_limit_over_http_says_how_long(real, sandbox, kind):
    """Retry-After, or else Cordial's own header."""
    sandbox.faults = [Fault(kind=kind, retry_after=9)]
    with pytest.raises(RateLimited) as told:
        await real.upsert(ANN)
    assert told.value.retry_after == 9


async def test_an_unknown_field_is_named(real, sandbox):
    """So that the contact can be sent again without it."""
    somebody = "not-written@example.com"  # a slow request for Ann may still be on its way
    with pytest.raises(Rejected) as refused:
        await real.upsert({"channels": {"email": {"address": somebody}}, "no_such_field": "x"})
    assert list(refused.value.fields) == ["no_such_field"]
    assert sandbox.contacts.find("email", somebody) is None


@pytest.mark.parametrize("shape", ["array", "object"])
async def test_the_sandboxs_attributes_are_read_in_both_shapes(real, sandbox, shape):
    """The open question of their shape changes nothing."""
    sandbox.switches = Switches(attributes_shape=shape)
    types = {each.key: each.type for each in await real.attributes()}
    assert types["age"] == "number"
    assert types.keys() == sandbox.account.attributes.keys()


async def test_cookies_are_not_kept():
    """One pool serves many accounts: what one sets, another is not sent."""
    seen: list[str | None] = []

    async def answer(request: Request) -> Response:
        seen.append(request.headers.get("cookie"))
        return JSONResponse({}, headers={"set-cookie": "account=one"})

    app = Starlette(routes=[Route("/v2/contacts", answer, methods=["POST"])])
    async with open_pool(1) as pool:
        with serving(app) as url:
            for key in ("one", "two"):
                await CordialClient(pool, f"{url}/v2", key, timeout=5).upsert(ANN)
    assert seen == [None, None]


# --- No answer at all, told apart -----------------------------------------------------------------


async def why(base: str) -> str:
    """Return what is told of an account that cannot be reached."""
    async with open_pool(1) as pool:
        with pytest.raises(NoAnswer) as failed:
            await CordialClient(pool, base, "key", timeout=5).upsert(ANN, tries=1)
    return failed.value.message


async def test_a_port_where_nobody_listens_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "refused" in await why(f"http://127.0.0.1:{port}/v2")


async def test_a_host_that_does_not_exist_is_told():
    """.invalid is nobody's: RFC 6761."""
    assert "name of the host is not known" in await why("https://api.cordial.invalid/v2")


async def test_a_certificate_of_somebody_else_is_told(tmp_path):
    """It is none that this machine trusts."""
    _, context = certificate(tmp_path)

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(close, context) as port:
        assert "certificate is not trusted" in await why(f"https://127.0.0.1:{port}/v2")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "what came is no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", "it broke off"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx", "compressed"),
    ],
    ids=["no_http", "cut", "compressed"],
)
async def test_an_answer_that_cannot_be_read_is_told_by_what_is_wrong_with_it(answer, told):
    """Not by the name of an exception, which says nothing to whoever is woken."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with listening(say) as port:
        assert told in await why(f"http://127.0.0.1:{port}/v2")
