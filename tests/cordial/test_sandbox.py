"""The local Cordial keeps the vendor's rules, so that it can judge the service."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from app.cordial.sandbox import (
    Account,
    Attribute,
    Fault,
    Sandbox,
    Switches,
    Validators,
    create_sandbox,
    default_account,
)

ANN = {"email": {"address": "ann@example.com"}}
PHONE = "12225555151"
AUTH = httpx.BasicAuth("sandbox-key", "")


@pytest.fixture
def app() -> Any:
    return create_sandbox()


@pytest.fixture
def sandbox(app: Any) -> Sandbox:
    return app.state.sandbox


@pytest.fixture
async def cordial(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cordial", auth=AUTH) as one:
        yield one


@pytest.fixture
def server(app: Any) -> Iterator[str]:
    """The sandbox under a real uvicorn on a free port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not running.started and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    host, port = running.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    running.should_exit = True
    thread.join()


async def post(cordial: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await cordial.post("/v2/contacts", json={"channels": ANN, **body})


async def post_raw(cordial: httpx.AsyncClient, content: str) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return await cordial.post("/v2/contacts", content=content, headers=headers)


def email(status: str | None = None, address: str = "ann@example.com") -> dict[str, Any]:
    asked = {"subscribeStatus": status} if status else {}
    return {"email": {"address": address, **asked}}


def sms(status: str, address: str = PHONE, **program: Any) -> dict[str, Any]:
    asked = {"keyword": "join", "subscribeStatus": status, **program}
    return {"sms": {"address": address, "programs": {"main": asked}}}


async def held(cordial: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await cordial.get("/_sandbox/contacts")).json()["contacts"]


async def attributes(cordial: httpx.AsyncClient) -> dict[str, Any]:
    return (await held(cordial))[0]["attributes"]


# --- Access ---------------------------------------------------------------------------------


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


# --- Upsert ---------------------------------------------------------------------------------


@pytest.mark.parametrize("update_status", [200, 201])
async def test_a_post_creates_then_updates(cordial, sandbox, update_status):
    """201 on create, the switch's status on update, one cID of 24 hex digits for both."""
    sandbox.switches = Switches(update_status=update_status)
    created, updated = await post(cordial), await post(cordial)
    assert (created.status_code, updated.status_code) == (201, update_status)
    assert created.json() == updated.json()
    assert created.json()["success"] is True
    assert created.json()["message"] == "contact created"
    assert len(bytes.fromhex(created.json()["cID"])) == 12


async def test_a_success_can_be_bare(cordial, sandbox):
    """By switch the answer names neither message nor cID."""
    sandbox.switches = Switches(success_body="bare")
    assert (await post(cordial)).json() == {"success": True}


async def test_an_upsert_is_a_merge(cordial):
    """Fields, lists and channels that are not sent stay."""
    first = {"first_name": "Ann", "home.city": "Oslo", "vip": True}
    await post(cordial, channels=ANN | sms("subscribed"), **first)
    await post(cordial, age=40, weekly_deals=True)
    (contact,) = await held(cordial)
    assert contact["attributes"] == {"first_name": "Ann", "home.city": "Oslo", "age": 40}
    assert contact["lists"] == ["vip", "weekly_deals"]
    assert contact["channels"]["sms"]["address"] == PHONE


async def test_addresses_compare_without_case_or_plus(cordial):
    """One person, two spellings: one contact."""
    await post(cordial, channels=email(address="Ann@Example.com"))
    await post(cordial, channels=ANN | {"sms": {"address": PHONE}})
    await post(cordial, channels={"sms": {"address": f"+{PHONE}"}})
    (contact,) = await held(cordial)
    assert contact["channels"]["email"]["address"] == "ann@example.com"


async def test_a_refused_write_leaves_nothing(cordial):
    """One bad field fails the whole write: created or updated, nothing of it is kept."""
    bad = {"first_name": "Bea", "vip": True, "nope": 1, "age": "old"}
    answer = await post(cordial, **bad)
    assert answer.status_code == 422
    assert answer.json() == {
        "error": True,
        "messages": {
            "validationErrors": {
                "nope": ["key nope is not part of the schema for this resource"],
                "age": ["must be a number"],
            }
        },
    }
    assert await held(cordial) == []
    await post(cordial, first_name="Ann")
    before = await held(cordial)
    await post(cordial, channels=email("subscribed"), **bad)
    assert await held(cordial) == before


@pytest.mark.parametrize("key", ["nope", "First_Name", "home.planet", "VIP", "attributes"])
@pytest.mark.parametrize("unknown_field", ["reject", "drop"])
async def test_an_unknown_key_is_refused_or_dropped(cordial, sandbox, key, unknown_field):
    """Keys are case-sensitive; what an unknown one does is a switch."""
    sandbox.switches = Switches(unknown_field=unknown_field)
    answer = await post(cordial, **{key: "x", "first_name": "Ann"})
    if unknown_field == "reject":
        assert list(answer.json()["messages"]["validationErrors"]) == [key]
        assert len(sandbox.contacts) == 0
    else:
        assert answer.status_code == 201
        assert await attributes(cordial) == {"first_name": "Ann"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("first_name", 1),
        ("first_name", True),
        ("first_name", None),
        ("first_name", ["a"]),
        ("first_name", "x" * 129),
        ("comment", "x" * 129),
        ("age", "40"),
        ("age", True),
        ("age", None),
        ("age", float("1e999")),
        ("quiz_date", "yesterday"),
        ("quiz_date", 1),
        ("quiz_date", None),
        ("colors", "red"),
        ("colors", None),
        ("colors", [["red"]]),
        ("colors", [True]),
        ("colors", ["x" * 129]),
        ("colors", {"add": "red"}),
        ("colors", {"set": ["red"]}),
        ("colors", {}),
        ("home", {"city": "Oslo"}),
        ("home", None),
        ("home.city", 1),
        ("home.loc.lat", "59"),
        ("vip", "yes"),
        ("vip", None),
    ],
)
async def test_a_value_of_the_wrong_type_or_size_is_refused(cordial, sandbox, key, value):
    """The 422 names the field; null is no value of any type."""
    content = json.dumps({"channels": ANN, key: value}).replace("Infinity", "1e999")
    answer = await post_raw(cordial, content)
    assert answer.status_code == 422
    assert list(answer.json()["messages"]["validationErrors"]) == [key]
    assert len(sandbox.contacts) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("first_name", ""),
        ("first_name", "x" * 128),
        ("first_name", "\ud800"),
        ("age", -1.5),
        ("colors", []),
        ("colors", ["red", 7]),
        ("home.countryISO", "NO"),
        ("home.loc.lat", 59.9),
    ],
)
async def test_a_good_value_is_kept_as_sent(cordial, key, value):
    """What comes back is what was sent."""
    assert (await post_raw(cordial, json.dumps({"channels": ANN, key: value}))).status_code == 201
    assert (await attributes(cordial))[key] == value


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-07-01T12:00:00", "2026-07-01T12:00:00-07:00"),
        ("2026-01-01", "2026-01-01T00:00:00-08:00"),
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00+00:00"),
        ("2026-07-01T12:00:00+02:00", "2026-07-01T12:00:00+02:00"),
    ],
)
async def test_a_date_without_an_offset_is_read_in_the_accounts_zone(cordial, sandbox, sent, kept):
    """Summer or winter, the account's zone decides; an offset decides for itself."""
    sandbox.account.timezone = "America/Los_Angeles"
    await post(cordial, quiz_date=sent)
    assert await attributes(cordial) == {"quiz_date": kept}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["d", "e"], ["d", "e"]),
        (["d", "e", "f", "g"], ["e", "f", "g"]),
        ({"add": ["c"]}, ["a", "b", "c"]),
        ({"add": ["c", "d"]}, ["b", "c", "d"]),
        ({"add": ["a"]}, ["b", "a"]),
        ({"remove": ["a", "z"]}, ["b"]),
        ({"add": ["c"], "remove": ["a"]}, ["b", "c"]),
    ],
)
async def test_an_array_keeps_the_newest_items(cordial, sandbox, sent, kept):
    """A list replaces, add and remove change, and maxitems lets the newest win."""
    sandbox.account.attributes["colors"].validators.maxitems = 3
    await post(cordial, colors=["a", "b"])
    assert (await post(cordial, colors=sent)).status_code == 200
    assert await attributes(cordial) == {"colors": kept}


@pytest.mark.parametrize(
    ("attribute", "good", "bad"),
    [
        (Attribute(type="string", validators=Validators(min=2, max=3)), "abc", "a"),
        (Attribute(type="string", validators=Validators(max=200)), "x" * 200, "x" * 201),
        (Attribute(type="number", validators=Validators(min=1, max=5)), 5, 5.5),
        (Attribute(type="array", validators=Validators(min=2)), ["ab"], ["ab", "a"]),
    ],
)
async def test_validators_of_the_account_are_kept(cordial, sandbox, attribute, good, bad):
    """Limits count characters of strings and items, and the value of numbers."""
    sandbox.account.attributes["limited"] = attribute
    assert (await post(cordial, limited=bad)).status_code == 422
    assert (await post(cordial, limited=good)).status_code == 201


async def test_a_required_attribute_must_be_there_after_the_write(cordial, sandbox):
    """Absent or blank fails a create; an update may leave it out once it is there."""
    sandbox.account.attributes["first_name"].validators.required = True
    for body in ({}, {"first_name": ""}):
        answer = await post(cordial, **body)
        assert list(answer.json()["messages"]["validationErrors"]) == ["first_name"]
    assert (await post(cordial, first_name="Ann")).status_code == 201
    assert (await post(cordial, age=40)).status_code == 200


async def test_a_boolean_is_list_membership(cordial):
    """True adds, false removes, and a false for someone not on the list changes nothing."""
    await post(cordial, vip=True, weekly_deals=False)
    assert (await held(cordial))[0]["lists"] == ["vip"]
    await post(cordial, vip=False)
    assert (await held(cordial))[0]["lists"] == []


@pytest.mark.parametrize(
    "channels",
    [
        {"email": {}},
        {"email": {"address": None}},
        {"email": {"address": "ann"}},
        {"email": {"address": "ann@example.com "}},
        {"email": {"address": "ann@example.com", "subscribeStatus": "yes"}},
        {"email": {"address": "ann@example.com", "subscribeStatus": "pendingDOI"}},
        {"email": {"address": "ann@example.com", "status": "none"}},
        {"email": "ann@example.com"},
        {"sms": {"address": "555-5151"}},
        {"sms": {"address": 12225555151}},
        {"sms": {"address": PHONE, "subscribeStatus": "subscribed"}},
        {"sms": {"address": PHONE, "programs": {"other": {}}}},
        {"sms": {"address": PHONE, "programs": {"main": {"keyword": "stop"}}}},
        {"sms": {"address": PHONE, "programs": {"main": {"suppressDOI": "yes"}}}},
        {"push": {"address": "a"}},
        [],
        None,
    ],
)
async def test_a_malformed_channel_is_refused(cordial, sandbox, channels):
    """Address, status, program and keyword must be what the account has."""
    answer = await post(cordial, channels=channels)
    assert answer.status_code == 422
    assert answer.json()["messages"]["validationErrors"]
    assert len(sandbox.contacts) == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"channels": {}}, "Address not exists"),
        ({"channels": {}, "cID": "0" * 24}, "Contact doesn't exist"),
        ({"channels": ANN, "suppressTriggers": "no"}, "Incorrect value for suppressTriggers"),
        ({"channels": ANN, "forceSubscribe": 1}, "Incorrect value for forceSubscribe"),
        ({"channels": ANN, "identifyBy": ["nope"]}, "Search field is not correct"),
        ({"channels": ANN, "identifyBy": [1]}, "Search field is not correct"),
        ({"channels": ANN, "identifyBy": {}}, "Search field is not correct"),
    ],
)
async def test_a_request_that_cannot_be_done_gets_a_generic_error(cordial, sandbox, body, message):
    """Here `messages` is a string."""
    answer = await post(cordial, **body)
    assert answer.status_code == 422
    expected = {"error": True, "errorKey": "GENERIC_ERROR_KEY", "messages": message}
    assert answer.json() == expected
    assert len(sandbox.contacts) == 0


@pytest.mark.parametrize("email_required", [True, False])
async def test_an_email_can_be_required(cordial, sandbox, email_required):
    """By switch an SMS-only contact is refused or taken."""
    sandbox.switches = Switches(email_required=email_required)
    answer = await post(cordial, channels={"sms": {"address": PHONE}})
    assert answer.status_code == (422 if email_required else 201)


# --- Finding --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"channels": {"sms": {"address": PHONE}}},
        {"channels": email(address="new@example.com"), "cID": "{cID}"},
        {"cID": "{cID}", "channels": {}},
        {"identifyBy": ["cID"], "cID": "{cID}", "channels": email(address="new@example.com")},
        {"identifyBy": "age", "age": 40, "channels": email(address="new@example.com")},
        {
            "identifyBy": ["score", "channels.sms.address"],
            "channels": email(address="new@example.com") | {"sms": {"address": PHONE}},
        },
    ],
)
async def test_a_contact_is_found_by_every_key(cordial, sandbox, body):
    """By identifyBy in order, else by cID, email, SMS address."""
    created = await post(cordial, channels=ANN | {"sms": {"address": PHONE}}, age=40)
    cid = created.json()["cID"]
    sent = json.loads(json.dumps(body).replace("{cID}", cid))
    answer = await cordial.post("/v2/contacts", json=sent)
    assert (answer.status_code, answer.json()["cID"]) == (200, cid)
    assert len(sandbox.contacts) == 1


async def test_identify_by_falls_back_to_the_addresses(cordial, sandbox):
    """A secondary key that finds nobody does not make a second contact of one email."""
    await post(cordial)
    assert (await post(cordial, identifyBy=["age"], age=40)).status_code == 200
    assert len(sandbox.contacts) == 1


@pytest.mark.parametrize(
    "second",
    [
        {"channels": email(address="bob@example.com") | {"sms": {"address": PHONE}}},
        {
            "identifyBy": ["channels.sms.address"],
            "channels": email(address="cat@example.com") | {"sms": {"address": PHONE}},
        },
    ],
    ids=["shared_phone", "taken_email"],
)
async def test_an_address_belongs_to_one_contact(cordial, second):
    """Two people are never made one, and none is written over: 422."""
    await post(cordial, channels=ANN | {"sms": {"address": PHONE}})
    await post(cordial, channels=email(address="cat@example.com"))
    before = await held(cordial)
    answer = await cordial.post("/v2/contacts", json=second)
    assert answer.status_code == 422
    assert "another contact" in answer.json()["messages"]
    assert await held(cordial) == before


async def test_a_phone_contact_gains_its_email(cordial, sandbox):
    """Someone known by phone alone is still that person when the email comes."""
    await post(cordial, channels={"sms": {"address": PHONE}})
    await post(cordial, channels=ANN | {"sms": {"address": PHONE}})
    assert len(sandbox.contacts) == 1


# --- Statuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "asked", "force", "after"),
    [
        (None, None, False, "none"),
        (None, "subscribed", False, "subscribed"),
        (None, "unsubscribed", False, "unsubscribed"),
        ("subscribed", None, False, "subscribed"),
        ("subscribed", "none", False, "none"),
        ("subscribed", "unsubscribed", False, "unsubscribed"),
        ("unsubscribed", None, True, "unsubscribed"),
        ("unsubscribed", "none", True, "unsubscribed"),
        ("unsubscribed", "subscribed", False, "unsubscribed"),
        ("unsubscribed", "subscribed", True, "subscribed"),
    ],
)
async def test_the_email_status_machine(cordial, before, asked, force, after):
    """Only a forced `subscribed` leads out of `unsubscribed`."""
    if before:
        await post(cordial, channels=email(before))
    answer = await post(cordial, channels=email(asked), forceSubscribe=force)
    assert answer.is_success
    assert (await held(cordial))[0]["channels"]["email"]["subscribeStatus"] == after


@pytest.mark.parametrize("channels", [email, sms], ids=["email", "sms"])
async def test_resubscribing_without_force_can_be_refused(cordial, sandbox, channels):
    """By switch the whole write is 422 and writes nothing."""
    sandbox.switches = Switches(unsubscribed="reject")
    await post(cordial, channels=ANN | channels("unsubscribed"))
    before = await held(cordial)
    answer = await post(cordial, channels=ANN | channels("subscribed"), first_name="Ann")
    assert answer.status_code == 422
    assert await held(cordial) == before


@pytest.mark.parametrize(
    ("force_on_post", "after"), [(True, "subscribed"), (False, "unsubscribed")]
)
async def test_force_on_post_is_a_switch(cordial, sandbox, force_on_post, after):
    """POST may ignore forceSubscribe; PUT never does."""
    sandbox.switches = Switches(force_on_post=force_on_post)
    await post(cordial, channels=email("unsubscribed"))
    again = {"channels": email("subscribed"), "forceSubscribe": True}
    await post(cordial, **again)
    assert (await held(cordial))[0]["channels"]["email"]["subscribeStatus"] == after
    await cordial.put("/v2/contacts/email:ann@example.com", json=again)
    assert (await held(cordial))[0]["channels"]["email"]["subscribeStatus"] == "subscribed"


@pytest.mark.parametrize(
    ("steps", "after", "texts"),
    [
        ([("subscribed", {})], "pendingDOI", 1),
        ([("subscribed", {}), ("subscribed", {})], "pendingDOI", 1),
        ([("subscribed", {"suppressDOI": True})], "subscribed", 0),
        ([("subscribed", {}), ("subscribed", {"suppressDOI": True})], "subscribed", 1),
        ([("subscribed", {"suppressDOI": True}), ("subscribed", {})], "subscribed", 0),
        ([("unsubscribed", {}), ("subscribed", {})], "unsubscribed", 0),
        ([("none", {})], "none", 0),
    ],
)
async def test_the_sms_status_machine(cordial, steps, after, texts):
    """`subscribed` waits for the answer to a text, unless suppressDOI; one text per wait."""
    for status, program in steps:
        await post(cordial, channels=sms(status, **program))
    (contact,) = await held(cordial)
    expected = {"main": {"keyword": "join", "subscribeStatus": after}}
    assert contact["channels"]["sms"] == {"address": PHONE, "programs": expected}
    sent = (await cordial.get("/_sandbox/texts")).json()["texts"]
    assert [(one["to"], one["program"], one["keyword"]) for one in sent] == [
        (PHONE, "main", "join")
    ] * texts


async def test_triggers_fire_only_where_asked_and_changed(cordial):
    """suppressTriggers is true by default; a value that stays the same fires nothing."""
    await post(cordial, first_name="Ann")
    await post(cordial, first_name="Bea", suppressTriggers=True)
    await post(cordial, first_name="Bea", suppressTriggers=False)
    await post(cordial, first_name="Cat", age=1, suppressTriggers=False)
    fired = (await cordial.get("/_sandbox/triggers")).json()["triggers"]
    assert [one["attributes"] for one in fired] == [["first_name", "age"]]


# --- One contact ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["email:ann%40example.com", "email:ANN@example.com", "sms:%2B12225555151", "{cID}"]
)
async def test_one_contact_is_read_changed_and_deleted(cordial, key):
    """Each form of the key reaches it, with the halves percent-encoded."""
    created = await post(
        cordial, channels=ANN | {"sms": {"address": PHONE}}, **{"home.city": "Oslo"}
    )
    path = f"/v2/contacts/{key.replace('{cID}', created.json()['cID'])}"
    assert (await cordial.put(path, json={"age": 40, "vip": True})).json() == {"success": True}
    assert (await cordial.get(path)).json() == {
        "cID": created.json()["cID"],
        "channels": {
            "email": {"address": "ann@example.com", "subscribeStatus": "none"},
            "sms": {"address": PHONE, "programs": {}},
        },
        "home": {"city": "Oslo"},
        "age": 40,
        "vip": True,
    }
    assert (await cordial.delete(path)).json() == {"success": True}
    assert (await cordial.get(path)).status_code == 404
    assert (await post(cordial)).status_code == 201


async def test_an_address_may_hold_a_slash(cordial):
    """The path is split before it is decoded."""
    await post(cordial, channels=email(address="a/b@example.com"))
    assert (await cordial.get("/v2/contacts/email:a%2Fb%40example.com")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "error_key"),
    [
        ("GET", "/v2/contacts/email:nobody@example.com", "RECORD_NOT_FOUND"),
        ("GET", "/v2/contacts/email%3Aann@example.com", "RECORD_NOT_FOUND"),
        ("GET", "/v2/contacts/nope:ann", "RECORD_NOT_FOUND"),
        ("GET", "/v2/contacts?email=nobody@example.com", "RECORD_NOT_FOUND"),
        ("DELETE", "/v2/contacts/email:nobody@example.com", "RECORD_NOT_FOUND"),
        ("PUT", "/v2/contacts/email:nobody@example.com", "CONTACTS_CONTACT_NOT_FOUND"),
        ("PUT", "/v2/contacts/email:nobody@example.com/unsubscribe/email", "RECORD_NOT_FOUND"),
    ],
)
async def test_an_unknown_contact_is_404_with_an_error_key(cordial, method, path, error_key):
    """Not to be mistaken for a wrong path, whose error is a string."""
    await post(cordial)
    answer = await cordial.request(method, path, json={} if method == "PUT" else None)
    assert answer.status_code == 404
    assert (answer.json()["error"], answer.json()["errorKey"]) == (True, error_key)


async def test_contacts_are_listed_and_filtered(cordial):
    """GET /contacts gives all, or the one of an email."""
    await post(cordial)
    await post(cordial, channels=email(address="b+c@example.com"))
    assert len((await cordial.get("/v2/contacts")).json()) == 2
    found = await cordial.get("/v2/contacts", params={"email": "B+c@example.com"})
    assert [one["channels"]["email"]["address"] for one in found.json()] == ["b+c@example.com"]


async def test_unsubscribe_ends_a_channel(cordial):
    """Email by its status, SMS in every program; no body or media type is needed."""
    await post(cordial, channels=email("subscribed") | {"sms": {"address": PHONE}})
    for channel in ("email", "sms"):
        path = f"/v2/contacts/email:ann@example.com/unsubscribe/{channel}"
        assert (await cordial.put(path)).json() == {"success": True}
    await post(cordial, channels=ANN | sms("subscribed"))
    (contact,) = await held(cordial)
    assert contact["channels"]["email"]["subscribeStatus"] == "unsubscribed"
    assert contact["channels"]["sms"]["programs"]["main"]["subscribeStatus"] == "unsubscribed"
    answer = await cordial.put("/v2/contacts/email:ann@example.com/unsubscribe/push")
    assert (answer.status_code, answer.json()["messages"]) == (422, "Channel doesn't exist")


# --- The account ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["array", "object"])
async def test_attributes_come_in_either_shape(cordial, sandbox, shape):
    """An array, or an object keyed by attribute; each with key, name, type and validators."""
    sandbox.switches = Switches(attributes_shape=shape)
    listed = (await cordial.get("/v2/accountcontactattributes")).json()
    by_key = listed if shape == "object" else {one["key"]: one for one in listed}
    assert list(by_key) == list(default_account().attributes)
    assert by_key["comment"]["type"] == "string"
    assert by_key["comment"]["validators"] == {"min": 0, "max": 128, "required": False}
    assert by_key["colors"]["options"] == {"maxitems": 25}
    geo = await cordial.get("/v2/accountcontactattributes?type=geo")
    assert len(geo.json()) == 1


async def test_an_attribute_lives_and_dies(cordial):
    """Created it can be sent, changed its limits hold, deleted it is unknown again."""
    path = "/v2/accountcontactattributes"
    tier = {"key": "tier", "name": "Tier", "type": "array", "options": {"maxitems": 2}}
    assert (await cordial.post(path, json=tier)).json() == {"success": True}
    await post(cordial, tier=["a", "b", "c"])
    assert await attributes(cordial) == {"tier": ["b", "c"]}
    changed = await cordial.put(f"{path}/tier", json={"validators": {"max": 1}})
    assert changed.json() == {"success": True}
    shown = (await cordial.get(f"{path}/tier")).json()
    assert (shown["name"], shown["validators"]["max"]) == ("Tier", 1)
    assert shown["options"] == {"maxitems": 2}
    assert (await cordial.delete(f"{path}/tier")).json() == {"success": True}
    assert (await post(cordial, tier=["a"])).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "", {"key": "age", "name": "A", "type": "number"}, 422, "Key must be unique"),
        ("POST", "", {"name": "A", "type": "number"}, 422, "Key must be unique"),
        ("POST", "", {"key": "a", "name": "Taken", "type": "geo"}, 422, "Name must be unique"),
        ("POST", "", {"key": "a", "name": "A", "type": "boolean"}, 422, "invalid field type"),
        ("PUT", "/age", {"type": "string"}, 422, "You can not change type"),
        ("PUT", "/nope", {}, 422, "Key not exist"),
        ("GET", "/nope", None, 422, "Key not exist"),
        ("DELETE", "/nope", None, 404, "record not found"),
    ],
)
async def test_a_bad_attribute_call_is_refused(
    cordial, sandbox, method, path, body, status, message
):
    """In Cordial's own words."""
    sandbox.account.attributes["score"].name = "Taken"
    answer = await cordial.request(method, f"/v2/accountcontactattributes{path}", json=body)
    assert (answer.status_code, answer.json()["message"]) == (status, message)


async def test_lists_are_read_and_made(cordial):
    """A new list has the next id and can be joined."""
    made = await cordial.post("/v2/accountlists", json={"name": "sellers"})
    assert made.json() == {"success": True, "id": 3}
    assert (await post(cordial, sellers=True)).status_code == 201
    lists = (await cordial.get("/v2/accountlists")).json()
    assert lists[-1] == {"id": 3, "name": "sellers", "enhanced": False}
    named = await cordial.get("/v2/accountlists?name=vip")
    assert [one["id"] for one in named.json()] == [2]
    for name in ("vip", "a b", "", None):
        again = await cordial.post("/v2/accountlists", json={"name": name})
        assert (again.status_code, again.json()["errorKey"]) == (422, "GENERIC_ERROR_KEY")


@pytest.mark.parametrize("status", [404, 200])
async def test_an_account_without_lists(cordial, sandbox, status):
    """404, or by switch an empty array."""
    sandbox.account = Account()
    sandbox.switches = Switches(lists_when_none=status)
    answer = await cordial.get("/v2/accountlists")
    assert answer.status_code == status
    assert status == 404 or answer.json() == []


# --- Too fast -------------------------------------------------------------------------------


async def test_the_rate_limit_counts_per_method_and_endpoint(cordial, sandbox):
    """The call over the limit gets 429 with four headers, writes nothing, and time heals it."""
    sandbox.account.rate_limit, sandbox.account.rate_window_seconds = 2, 60
    now = 1000.0
    sandbox.clock = lambda: now
    first = await post(cordial)
    assert first.headers["X-Rate-Limit-Limit"] == "2"
    assert first.headers["X-Rate-Limit-Remaining"] == "1"
    assert "Retry-After" not in first.headers
    await post(cordial)
    now = 1010.5
    over = await post(cordial, first_name="Ann")
    assert over.status_code == 429
    told = ["Retry-After", "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"]
    assert [over.headers[name] for name in told] == ["50", "2", "0", "50"]
    assert await attributes(cordial) == {}
    assert (await cordial.get("/v2/contacts")).status_code == 200
    now = 1060.0
    assert (await post(cordial)).status_code == 200


# --- Faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "headers", "body"),
    [
        ({"kind": "rate_limited"}, 429, {}, "Too Many"),
        ({"kind": "rate_limited", "retry_after": 0}, 429, {"retry-after": "0"}, "Too Many"),
        ({"kind": "rate_limited", "retry_after": 7}, 429, {"retry-after": "7"}, "Too Many"),
        ({"kind": "rate_limited_reset"}, 429, {"x-rate-limit-reset": "1"}, "Too Many"),
        (
            {"kind": "rate_limited_reset", "retry_after": 7},
            429,
            {"x-rate-limit-reset": "7"},
            "Too Many",
        ),
        ({"kind": "server_error"}, 500, {}, '{"error":"an error has occurred"}'),
        ({"kind": "html_502"}, 502, {}, "<html>"),
        ({"kind": "success_false"}, 200, {}, '{"success":false,"message"'),
        ({"kind": "empty_body"}, 200, {}, ""),
        ({"kind": "unauthorized"}, 401, {}, '{"error":"Access Denied'),
        ({"kind": "forbidden"}, 403, {}, '{"error":"Access Denied'),
        ({"kind": "not_found"}, 404, {}, "is not found."),
    ],
)
async def test_a_fault_answers_in_cordials_place(cordial, sandbox, fault, status, headers, body):
    """Told over HTTP, it hits its number of times and nothing is written."""
    told = await cordial.put("/_sandbox/faults", json={"faults": [{**fault, "times": 1}]})
    assert told.status_code == 200
    answer = await post(cordial)
    assert answer.status_code == status
    names = {"retry-after", "x-rate-limit-reset"}
    assert {name: value for name, value in answer.headers.items() if name in names} == headers
    assert body in answer.text
    assert bool(body) == bool(answer.text)
    assert len(sandbox.contacts) == 0
    assert (await post(cordial)).status_code == 201
    requests = (await cordial.get("/_sandbox/journal")).json()["requests"]
    assert [one["fault"] for one in requests] == [fault["kind"], None]


async def test_a_fault_without_times_lasts_until_cleared(cordial):
    """GET shows what is left of each fault; DELETE ends them."""
    faults = [{"kind": "server_error", "times": 2}, {"kind": "html_502"}]
    await cordial.put("/_sandbox/faults", json={"faults": faults})
    assert (await post(cordial)).status_code == 500
    left = (await cordial.get("/_sandbox/faults")).json()["faults"]
    assert [(one["kind"], one["times"]) for one in left] == [
        ("server_error", 1),
        ("html_502", None),
    ]
    statuses = [(await post(cordial)).status_code for _ in range(3)]
    assert statuses == [500, 502, 502]
    assert (await cordial.delete("/_sandbox/faults")).status_code == 204
    assert (await post(cordial)).status_code == 201


async def test_a_fault_can_be_for_one_address(cordial, sandbox):
    """Only bodies with that email are hit, and other calls do not use it up."""
    sandbox.faults.append(Fault(kind="server_error", times=1, email="Ann@example.com"))
    assert (await post(cordial, channels=email(address="bob@example.com"))).status_code == 201
    assert (await cordial.get("/v2/accountlists")).status_code == 200
    assert (await post(cordial)).status_code == 500
    assert (await post(cordial)).status_code == 201


async def test_chance_repeats_with_its_seed(cordial):
    """The same seed gives the same run of faults, another seed another."""
    runs = []
    for seed in (7, 7, 8):
        plan = {"faults": [{"kind": "server_error", "probability": 0.5}], "seed": seed}
        await cordial.put("/_sandbox/faults", json=plan)
        runs.append([(await post(cordial)).is_server_error for _ in range(40)])
    assert runs[0] == runs[1] != runs[2]
    assert 5 < runs[0].count(True) < 35


def test_a_reset_after_the_write_is_a_lost_connection(server, sandbox):
    """The client sees no answer at all, and Cordial has the contact all the same."""
    sandbox.faults.append(Fault(kind="reset_after_write", times=1))
    with httpx.Client(base_url=server, auth=AUTH) as client:
        with pytest.raises(httpx.TransportError):
            client.post("/v2/contacts", json={"channels": ANN})
        assert sandbox.contacts.find("email", "ann@example.com")
        (entry,) = sandbox.journal
        assert (entry.status, entry.fault) == (None, "reset_after_write")
        assert entry.ended is not None
        assert client.post("/v2/contacts", json={"channels": ANN}).status_code == 200


async def test_in_process_a_reset_is_the_servers_exception(cordial, sandbox):
    """Without a connection to drop, the caller gets the error and the write is done."""
    sandbox.faults.append(Fault(kind="reset_after_write"))
    with pytest.raises(ConnectionResetError):
        await post(cordial)
    assert len(sandbox.contacts) == 1


def test_a_slow_answer_comes_after_the_clients_patience(server, sandbox):
    """The client has gone, the write happens."""
    sandbox.faults.append(Fault(kind="slow", seconds=0.2))
    with (
        httpx.Client(base_url=server, auth=AUTH, timeout=0.05) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post("/v2/contacts", json={"channels": ANN})
    deadline = time.monotonic() + 10
    while not len(sandbox.contacts) and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert sandbox.contacts.find("email", "ann@example.com")


@pytest.mark.parametrize("slowness", ["fault", "latency"])
async def test_a_wait_ends_in_the_usual_answer(cordial, sandbox, slowness):
    """Slow or far away, the answer is the same, and the journal has the time it took."""
    if slowness == "fault":
        sandbox.faults.append(Fault(kind="slow", seconds=0.05))
    else:
        sandbox.latency_seconds = 0.05
    assert (await post(cordial)).status_code == 201
    (entry,) = sandbox.journal
    assert entry.ended is not None
    assert entry.ended - entry.started >= 0.045


# --- Journal and control --------------------------------------------------------------------


async def test_the_journal_has_every_request(cordial):
    """Method, raw path, status, key, body and address; unreadable and refused ones as well."""
    await post(cordial, channels=email(address="Ann@Example.com"))
    await cordial.get("/v2/contacts/email:ann%40example.com")
    await cordial.post("/v2/contacts", content=b"{", headers={"content-type": "application/json"})
    await cordial.get("/nowhere", auth=("some-other-key", ""))
    entries = (await cordial.get("/_sandbox/journal")).json()["requests"]
    shown = [(e["n"], e["method"], e["path"], e["status"], e["key"], e["email"]) for e in entries]
    assert shown == [
        (1, "POST", "/v2/contacts", 201, "-key", "ann@example.com"),
        (2, "GET", "/v2/contacts/email:ann%40example.com", 200, "-key", None),
        (3, "POST", "/v2/contacts", 400, "-key", None),
        (4, "GET", "/nowhere", 404, "-key", None),
    ]
    assert entries[0]["body"] == {"channels": email(address="Ann@Example.com")}
    assert entries[2]["body"] is None
    assert all(entry["started"] <= entry["ended"] for entry in entries)


async def test_the_journal_is_read_in_parts(cordial):
    """`after` gives what is new, also over a clearing, which does not reuse numbers."""

    async def numbers(after: int) -> list[int]:
        answer = await cordial.get("/_sandbox/journal", params={"after": after})
        return [entry["n"] for entry in answer.json()["requests"]]

    for _ in range(3):
        await post(cordial)
    assert [await numbers(n) for n in (0, 2, 3, 9)] == [[1, 2, 3], [3], [], []]
    assert (await cordial.delete("/_sandbox/journal")).status_code == 204
    await post(cordial)
    assert [await numbers(n) for n in (0, 2, 3, 4)] == [[4], [4], [4], []]


async def test_overlapping_requests_overlap_in_the_journal(cordial, sandbox):
    """An entry is there from the start of its request."""
    sandbox.faults.append(Fault(kind="slow", seconds=0.05))
    await asyncio.gather(post(cordial), post(cordial))
    first, second = sandbox.journal
    assert first.ended is not None
    assert second.started < first.ended


async def test_switches_and_account_are_told_over_http(cordial):
    """A patch changes what it names; a new account holds at once."""
    patched = await cordial.patch("/_sandbox/switches", json={"update_status": 201})
    assert patched.json() == {**Switches().model_dump(), "update_status": 201}
    assert (await cordial.get("/_sandbox/switches")).json() == patched.json()
    await post(cordial)
    assert (await post(cordial)).status_code == 201
    account = (await cordial.get("/_sandbox/account")).json()
    account["attributes"]["tier"] = {"type": "string"}
    account["allowed_ips"] = ["127.0.0.1/32"]
    assert (await cordial.put("/_sandbox/account", json=account)).status_code == 200
    assert (await post(cordial, tier="gold")).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("PATCH", "switches", {"nope": 1}, "nope"),
        ("PATCH", "switches", {"update_status": 204}, "update_status"),
        ("PATCH", "switches", [], "body"),
        ("PUT", "faults", {"faults": [{"kind": "nope"}]}, "faults.0.kind"),
        ("PUT", "faults", {"faults": [{"kind": "slow", "times": 0}]}, "faults.0.times"),
        ("PUT", "faults", [], "body"),
        ("PUT", "account", {"timezone": "Mars/Base"}, "timezone"),
        ("PUT", "account", {"timezone": "America"}, "timezone"),
        ("PUT", "account", {"attributes": {"a": {"type": "boolean"}}}, "attributes.a.type"),
        ("PUT", "account", {"api_keys": {"k": ["POST contact"]}}, "api_keys.k.0"),
        ("GET", "journal?after=x", None, "body"),
    ],
)
async def test_bad_control_input_is_422_and_changes_nothing(cordial, method, path, body, place):
    """The message names the place."""
    before = [(await cordial.get(f"/_sandbox/{at}")).json() for at in ("switches", "account")]
    answer = await cordial.request(method, f"/_sandbox/{path}", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"{place}: ")
    after = [(await cordial.get(f"/_sandbox/{at}")).json() for at in ("switches", "account")]
    assert after == before


async def test_a_reset_starts_over_but_for_the_account():
    """Contacts, texts, triggers, journal, faults and switches go; attributes made stay."""
    app = create_sandbox(switches=Switches(update_status=201))
    sandbox: Sandbox = app.state.sandbox
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://cordial", auth=AUTH
    ) as cordial:
        await cordial.post("/v2/accountlists", json={"name": "sellers"})
        await post(cordial, channels=sms("subscribed"), age=1, suppressTriggers=False)
        await cordial.patch("/_sandbox/switches", json={"update_status": 200})
        sandbox.faults.append(Fault(kind="html_502"))
        sandbox.latency_seconds = 1
        assert (await cordial.post("/_sandbox/reset")).status_code == 204
        assert [list(sandbox.contacts), list(sandbox.journal), sandbox.faults] == [[], [], []]
        assert [sandbox.contacts.texts, sandbox.contacts.triggers] == [[], []]
        assert (sandbox.switches.update_status, sandbox.latency_seconds) == (201, 0)
        assert sandbox.account.lists[-1] == "sellers"


async def test_the_control_api_is_not_in_the_journal_and_needs_no_key(app, sandbox):
    """Nor do faults hit it."""
    sandbox.faults.append(Fault(kind="server_error"))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://cordial"
    ) as anyone:
        assert (await anyone.get("/_sandbox/contacts")).status_code == 200
        assert (await anyone.get("/_sandbox/nope")).status_code == 404
    assert len(sandbox.journal) == 0


async def test_two_sandboxes_share_nothing():
    """The account given is copied."""
    account = default_account()
    first, second = (create_sandbox(account).state.sandbox for _ in range(2))
    first.account.lists.append("sellers")
    first.account.attributes["age"].validators.required = True
    assert second.account == account == default_account()
