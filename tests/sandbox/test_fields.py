"""A contact takes the values that its account knows, as Cordial takes them."""

import json

import pytest

from app.sandbox.account import Attribute, Validators
from app.sandbox.switches import Switches
from tests.sandbox.caller import ANN, attributes, held, post, post_raw


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


@pytest.mark.parametrize(("written", "status"), [("59.9", 201), (59.9, 201), ("north", 422)])
async def test_coordinates_as_text_pass_by_a_switch(cordial, sandbox, written, status):
    """Held as numbers either way."""
    sandbox.switches = Switches(geo_coordinates="any")
    answer = await post(cordial, **{"home.loc.lat": written})
    assert answer.status_code == status
    assert status == 422 or await attributes(cordial) == {"home.loc.lat": 59.9}


@pytest.mark.parametrize(("flags", "status"), [("checked", 422), ("ignored", 201)])
async def test_a_flag_that_is_no_boolean(cordial, sandbox, flags, status):
    """Refused in Cordial's words, or by a switch as if it was not sent."""
    sandbox.switches = Switches(flags=flags)
    answer = await post(cordial, suppressTriggers="no")
    assert answer.status_code == status
    assert status == 201 or answer.json()["messages"] == "Incorrect value for suppressTriggers"


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
