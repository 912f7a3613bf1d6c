"""POST /v2/contacts: create or update, all or nothing."""

import pytest

from app.sandbox.switches import Switches
from tests.sandbox.caller import ANN, PHONE, email, held, post, sms


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
