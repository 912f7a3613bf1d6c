"""A write finds its contact by the keys it carries, and never makes two people one."""

import json

import pytest

from tests.sandbox.caller import ANN, PHONE, email, held, post


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
