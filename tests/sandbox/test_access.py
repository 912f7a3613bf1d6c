"""Who may call the local Cordial, and what counts as a call."""

import json

import httpx
import pytest

from app.sandbox.account import Account
from app.sandbox.switches import Switches
from tests.sandbox.caller import ANN, post


@pytest.mark.parametrize(
    "auth",
    [None, ("wrong", ""), ("sandbox-key", "password"), ("", "")],
    ids=["none", "wrong", "with_password", "empty"],
)
@pytest.mark.parametrize("denied_status", [401, 403])
async def test_a_bad_key_is_always_401_with_a_string_error(app, sandbox, auth, denied_status):
    """Whatever the switch says, a bad key gets 401, and nothing is written."""
    sandbox.switches = Switches(denied_status=denied_status)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://cordial", auth=auth
    ) as stranger:
        answer = await post(stranger)
    assert answer.status_code == 401
    assert answer.json() == {"error": "Access Denied: Authentication Failure"}
    assert len(sandbox.contacts) == 0


@pytest.mark.parametrize("header", [b"Basic !!!", b"Basic", b"Bearer abc", b"Basic \xff", b""])
async def test_an_unreadable_authorization_is_401(app, header):
    """Garbage in the header is a bad key, not a crash."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://cordial"
    ) as stranger:
        answer = await stranger.get("/v2/accountlists", headers={b"authorization": header})
    assert answer.status_code == 401


@pytest.mark.parametrize("denied_status", [401, 403])
@pytest.mark.parametrize(
    "account",
    [
        {"api_keys": {"sandbox-key": ["GET contacts", "PUT contacts"]}},
        {"allowed_ips": ["10.0.0.0/8"]},
    ],
    ids=["missing_permission", "wrong_ip"],
)
async def test_a_good_key_can_still_be_denied(cordial, sandbox, account, denied_status):
    """A missing permission and a wrong IP get the status of the switch."""
    sandbox.account = Account(**account)
    sandbox.switches = Switches(denied_status=denied_status)
    assert (await post(cordial)).status_code == denied_status


async def test_a_permission_covers_one_call_only(cordial, sandbox):
    """Reading contacts does not include reading attributes."""
    sandbox.account = Account(api_keys={"sandbox-key": ["POST contacts"]})
    assert (await post(cordial)).status_code == 201
    assert (await cordial.get("/v2/accountcontactattributes")).status_code == 401


async def test_an_allowed_network_lets_in(cordial, sandbox):
    """The IP list is of networks."""
    sandbox.account = Account(allowed_ips=["127.0.0.0/8"])
    assert (await post(cordial)).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/contacts"),
        ("POST", "/v2/contact"),
        ("POST", "/v1/contacts"),
        ("GET", "/v2/contacts/a/b"),
        ("PATCH", "/v2/contacts"),
        ("GET", "/"),
    ],
)
async def test_an_unknown_path_is_404_with_a_string_error(cordial, method, path):
    """A wrong account URL shows as such, key or no key."""
    answer = await cordial.request(method, path)
    assert answer.status_code == 404
    assert answer.json() == {"error": f"'{path}' is not found."}


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"{}", 415),
        (None, b"{}", 415),
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b'{"age": NaN}', 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b"[]", 422),
        ("application/json", b'"a"', 422),
    ],
)
async def test_a_body_must_be_a_json_object(cordial, content_type, content, status):
    """415 for another media type, 400 for no JSON, 422 for no object."""
    headers = {"content-type": content_type} if content_type else {}
    answer = await cordial.post("/v2/contacts", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"] is True
    if status == 415:
        assert answer.json()["errorKey"] == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_media_type_may_have_parameters(cordial):
    """A charset is no other media type."""
    answer = await cordial.post(
        "/v2/contacts",
        content=json.dumps({"channels": ANN}),
        headers={"content-type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status_code == 201
