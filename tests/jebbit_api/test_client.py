"""Jebbit's API: what it is asked, and what its answers mean to whoever asked."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from app.jebbit.credentials import ApiCredentials
from app.jebbit_api.client import (
    Forbidden,
    JebbitApi,
    NotOffered,
    NotThere,
    Refused,
    Unreachable,
    Webhook,
    WrongAddress,
    WrongCredentials,
)
from app.pool import client_on, open_pool
from tests.jebbit_api.stand_in import (
    BUSINESS,
    CLIENT_ID,
    CLIENT_SECRET,
    MEDIA_TYPE,
    StandIn,
)

CREDENTIALS = ApiCredentials(CLIENT_ID, CLIENT_SECRET)
AUTH, INTEGRATIONS = "/api/v1/auth", "/api/v1/integrations"
WEBHOOK = Webhook(
    "https://hooks.example.com/webhooks/jebbit/spring-quiz", "eu", {"hash_pii": False}
)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_pool(2) as pool, client_on(pool) as client:
        yield client


@pytest.fixture
def api(http: httpx.AsyncClient, jebbit: StandIn) -> JebbitApi:
    return JebbitApi(http, jebbit.url)


async def test_registering_makes_an_active_integration_as_jebbit_describes_it(api, jebbit):
    """With our endpoint, region and options; the answer's id and secret come back."""
    made = await api.register(CREDENTIALS, WEBHOOK)
    attributes = {
        "endpoint": WEBHOOK.endpoint,
        "region": "eu",
        "is_active": True,
        "additional_options": {"hash_pii": False},
    }
    body = {"data": {"type": "integrations", "attributes": attributes}}
    assert jebbit.asked(INTEGRATIONS) == [body]
    assert made.shared_secret.get_secret_value() == jebbit.integrations[made.id]["shared_secret"]
    assert {headers["content-type"] for _, headers, _ in jebbit.journal} == {MEDIA_TYPE}


@pytest.mark.parametrize("inside", [False, True])
async def test_the_token_is_found_in_both_forms_that_jebbit_publishes(api, jebbit, inside):
    """Its example and its schema differ."""
    jebbit.token_inside = inside
    await api.register(CREDENTIALS, WEBHOOK)
    assert jebbit.journal[-1][1]["authorization"] == "Bearer some.jwt.here"


async def test_one_of_several_businesses_is_named_on_each_call(api, jebbit):
    """And without it Jebbit's refusal is told from wrong credentials."""
    jebbit.businesses.add("biz2")
    with pytest.raises(Forbidden):
        await api.register(CREDENTIALS, WEBHOOK)
    await api.register(ApiCredentials(CLIENT_ID, CLIENT_SECRET, BUSINESS), WEBHOOK)
    assert jebbit.journal[-1][1]["x-jebbit-business"] == BUSINESS


async def test_wrong_credentials_are_told(api, jebbit):
    """Though Jebbit says no more than 400; nothing else is asked then."""
    with pytest.raises(WrongCredentials):
        await api.register(ApiCredentials(CLIENT_ID, "wrong"), WEBHOOK)
    assert jebbit.asked(INTEGRATIONS) == []


async def test_a_backfill_is_asked_for_by_jebbit_s_id(api, jebbit):
    """And what Jebbit says of it comes back."""
    made = await api.register(CREDENTIALS, WEBHOOK)
    backfill = await api.backfill(CREDENTIALS, made.id)
    assert (backfill.id, backfill.attributes.status) == ("backfill1", "processing")
    assert jebbit.backfills == [made.id]


async def test_an_id_cannot_lead_to_another_address(api, jebbit):
    """Whatever Jebbit may call an integration, it stays one part of the path."""
    with pytest.raises(NotThere):
        await api.test(CREDENTIALS, "../../auth?x=")
    assert [path for path, _, _ in jebbit.journal] == [AUTH]


def json_api(status: int, **data: Any) -> Response:
    return JSONResponse({"data": data}, status)


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (JSONResponse({"errors": [{"title": "no such region"}]}, 400), Refused, "no such region"),
        (Response(status_code=422), Refused, "HTTP 422"),
        (Response(status_code=401), Forbidden, "HTTP 401"),
        (Response(status_code=405), NotOffered, "HTTP 405"),
        (Response(status_code=403), Forbidden, "HTTP 403"),
        (Response(status_code=404), NotThere, "HTTP 404"),
        (Response(status_code=429), Unreachable, "HTTP 429"),
        (PlainTextResponse("<html>", 502), Unreachable, "HTTP 502"),
        (RedirectResponse("/elsewhere"), Unreachable, "HTTP 307"),
        (PlainTextResponse("<html>"), Unreachable, "cannot be read"),
        (JSONResponse(["errors"], 400), Refused, "HTTP 400"),
        (JSONResponse({"errors": ["a", {"title": None}]}, 400), Refused, "HTTP 400"),
        (json_api(201), Unreachable, "cannot be read"),
        (json_api(201, id=7), Unreachable, "cannot be read"),
        (json_api(201, id="", attributes={"shared_secret": "s"}), Unreachable, "read"),
        (json_api(201, id="a\0b", attributes={"shared_secret": "s"}), Unreachable, "read"),
        (json_api(201, id="x" * 101, attributes={"shared_secret": "s"}), Unreachable, "read"),
    ],
)
async def test_an_error_says_what_can_be_done(api, jebbit, answer, error, told):
    """By its class; the text is Jebbit's own, where it gives one."""
    jebbit.answers[INTEGRATIONS] = answer
    with pytest.raises(error, match=told) as raised:
        await api.register(CREDENTIALS, WEBHOOK)
    assert type(raised.value) is error
    assert [path for path, _, _ in jebbit.journal] == [AUTH, INTEGRATIONS]


@pytest.mark.parametrize(
    "attributes",
    [{"name": "Jebbit"}, {"shared_secret": ""}, {"shared_secret": 5, "endpoint": 6}, "odd", None],
    ids=str,
)
async def test_an_id_is_kept_though_no_secret_comes(api, jebbit, attributes):
    """As in Jebbit's own example: it was made, and the caller must know which."""
    jebbit.answers[INTEGRATIONS] = json_api(201, id="x", attributes=attributes)
    made = await api.register(CREDENTIALS, WEBHOOK)
    assert (made.id, made.endpoint, made.shared_secret) == ("x", None, None)


async def test_what_is_there_is_listed_shown_and_removed(api, jebbit):
    """Entries that cannot be read are left out."""
    made = await api.register(CREDENTIALS, WEBHOOK)
    assert [each.id for each in await api.integrations(CREDENTIALS)] == [made.id]
    shown = await api.integration(CREDENTIALS, made.id)
    assert (shown.endpoint, shown.region) == (WEBHOOK.endpoint, WEBHOOK.region)
    await api.remove(CREDENTIALS, made.id)
    with pytest.raises(NotThere):
        await api.integration(CREDENTIALS, made.id)
    odd = [None, {"id": 5}, {"id": "y", "attributes": {"endpoint": None}}]
    jebbit.answers[INTEGRATIONS] = JSONResponse({"data": odd})
    assert [each.id for each in await api.integrations(CREDENTIALS)] == ["y"]
    jebbit.answers[INTEGRATIONS] = JSONResponse({"errors": []})
    with pytest.raises(Unreachable):
        await api.integrations(CREDENTIALS)


@pytest.mark.parametrize("status", [307, 404, 405, 410])
async def test_no_call_for_a_token_is_no_jebbit(api, jebbit, status):
    """It is the address that is wrong, not the credentials."""
    jebbit.answers[AUTH] = Response(status_code=status, headers={"location": "/"})
    with pytest.raises(WrongAddress, match=str(status)):
        await api.register(CREDENTIALS, WEBHOOK)


@pytest.mark.parametrize(
    "answer", [PlainTextResponse("", 500), json_api(200), json_api(200, access_token="a\r\nb: c")]
)
async def test_a_token_that_does_not_come_is_no_fault_of_the_credentials(api, jebbit, answer):
    """Nor is one followed that would add to the request."""
    jebbit.answers[AUTH] = answer
    with pytest.raises(Unreachable):
        await api.register(CREDENTIALS, WEBHOOK)
    assert jebbit.asked(INTEGRATIONS) == []


async def test_no_answer_is_unreachable(http, jebbit):
    """Neither a closed port nor silence hangs or goes unnoticed."""
    with pytest.raises(Unreachable, match="no answer"):
        await JebbitApi(http, "http://127.0.0.1:1").register(CREDENTIALS, WEBHOOK)
    jebbit.answers[INTEGRATIONS] = None
    with pytest.raises(Unreachable, match=r"no answer within 0\.5 s"):
        await JebbitApi(http, jebbit.url, timeout=0.5).register(CREDENTIALS, WEBHOOK)


def test_credentials_printed_by_mistake_give_nothing_away():
    """Their secret is left out."""
    assert CLIENT_SECRET not in repr(CREDENTIALS)
