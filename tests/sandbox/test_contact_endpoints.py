"""One contact, read, changed and deleted by its key."""

import pytest

from tests.sandbox.caller import ANN, PHONE, email, held, post, sms


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
