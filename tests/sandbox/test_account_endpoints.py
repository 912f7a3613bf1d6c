"""The attributes and lists of the account."""

import pytest

from app.sandbox.account import Account, default_account
from app.sandbox.switches import Switches
from tests.sandbox.caller import attributes, post


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
        ("POST", "", {"key": "a", "type": "string"}, 422, "Name is required"),
        (
            "POST",
            "",
            {"key": "channels", "name": "A", "type": "string"},
            422,
            "channels is not allowed for attribute keys",
        ),
        (
            "POST",
            "",
            {"key": "a", "name": "A", "type": "string", "index": "yes"},
            422,
            "Incorrect value for index",
        ),
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


@pytest.mark.parametrize(("names", "status"), [("dashes", 422), ("underscores", 200)])
async def test_underscores_in_the_name_of_a_list(cordial, sandbox, names, status):
    """Cordial's description knows letters, numbers and dashes; accounts have others as well."""
    sandbox.switches = Switches(list_names=names)
    made = await cordial.post("/v2/accountlists", json={"name": "best_sellers"})
    assert made.status_code == status


@pytest.mark.parametrize("name", ["cID", "x" * 129])
async def test_a_name_that_no_list_may_have(cordial, sandbox, name):
    """Whatever the switch says."""
    for names in ("dashes", "underscores"):
        sandbox.switches = Switches(list_names=names)
        assert (await cordial.post("/v2/accountlists", json={"name": name})).status_code == 422


async def test_an_attribute_is_indexed_when_asked(cordial):
    """As `true` or 1; a geo attribute always is."""
    path = "/v2/accountcontactattributes"
    for key, kind, index, shown in (
        ("a", "string", True, True),
        ("b", "number", 1, True),
        ("c", "string", 0, False),
        ("d", "geo", False, True),
    ):
        body = {"key": key, "name": key, "type": kind, "index": index}
        assert (await cordial.post(path, json=body)).status_code == 200
        assert (await cordial.get(f"{path}/{key}")).json()["index"] is shown


@pytest.mark.parametrize("status", [404, 200])
async def test_an_account_without_lists(cordial, sandbox, status):
    """404, or by switch an empty array."""
    sandbox.account = Account()
    sandbox.switches = Switches(lists_when_none=status)
    answer = await cordial.get("/v2/accountlists")
    assert answer.status_code == status
    assert status == 404 or answer.json() == []
