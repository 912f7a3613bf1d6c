"""The mapping: attribute -> field, and what flows where no rule names it."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.jebbit.submission import Attribute, Submission
from app.rules.mapping import FieldMapping, ListsNeed, Mapped, MayJoin, Rule
from app.rules.values import FieldType, Labels
from tests.table import table

EMAIL = Rule(attribute="email", field="channels.email.address")


def mapped(
    attributes: dict[str, Any],
    *rules: Rule,
    account: dict[str, FieldType] | None = None,
    may_join: MayJoin = lambda need, found: True,
) -> Mapped:
    mapping = FieldMapping([EMAIL, *rules], Labels())
    return mapping.apply(Submission(attributes), may_join, account)


def codes(made: Mapped) -> list[tuple[str, str | None, str | None]]:
    return [(each.code, each.attribute, each.field) for each in made.warnings]


@pytest.mark.parametrize(
    ("field", "channel"),
    [
        ("channels.email.address", "email"),
        ("channels.my_sms.address", "my_sms"),
        ("email", None),
        ("home.city", None),
    ],
)
def test_rule_knows_its_channel(field: str, channel: str | None) -> None:
    """A rule for a channel's address names who the contact is; any other fills a field."""
    kind: Any = "geo" if field == "home.city" else "string"
    assert Rule(attribute="a", field=field, type=kind).channel == channel


@table(
    ("rule", "message"),
    [
        *(
            ({"attribute": "a", "field": field}, "reserved")
            for field in (
                *("channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID"),
                *("attributes", "channels.email", "channels.email.subscribeStatus", "cID.x"),
                *("channels.email.address.x", "channels.a.b.address", "channels..address"),
            )
        ),
        ({"field": "a"}, "the rule for a needs an attribute, a default, or both"),
        ({"attribute": "a", "field": "cID"}, "cID is reserved by Cordial"),
        ({"attribute": "a", "field": "b.city"}, "b.city has a dot"),
        ({"attribute": "a", "field": "home.x", "type": "geo"}, "home.x names none of the parts"),
        ({"attribute": "a", "field": "b", "default": ""}, "the default of b is blank"),
        ({"attribute": "a", "field": "b", "default": "\ud83d"}, "the default of b is no string"),
        ({"attribute": b"a", "field": "b"}, "valid string"),
        ({"attribute": "a", "field": "home.loc.lat", "type": "geo", "default": "91"}, "no geo"),
        ({"attribute": "a", "field": ""}, "at least 1 character"),
        ({"attribute": "", "field": "a"}, "at least 1 character"),
        ({"attribute": "a"}, "Field required"),
        ({"attribute": "a", "field": "b", "kind": "date"}, "Extra inputs are not permitted"),
        ({"attribute": "a", "field": "b", "type": "boolean"}, "'string', 'number', 'date'"),
        ({"attribute": "a", "field": "home", "type": "geo"}, "attribute.part"),
        ({"attribute": "a", "field": "home.town", "type": "geo"}, "names none of the parts"),
        *(
            (
                {"field": "channels.email.address", **rule},
                "channels.email.address is a person's address",
            )
            for rule in (
                {"attribute": "a", "type": "date"},
                {"attribute": "a", "default": "x"},
                {"default": "x"},
                {},
            )
        ),
        ({"attribute": "a", "field": "b", "separator": ""}, "at least 1 character"),
        ({"field": "age", "type": "number", "default": "old"}, "default of age is no number"),
    ],
)
def test_rule_refused(rule: dict[str, Any], message: str) -> None:
    """A rule that could not be sent is refused when it is written, saying why."""
    with pytest.raises(ValidationError) as refused:
        Rule.model_validate(rule)
    assert message in str(refused.value)


PARTS = (
    *("city", "country", "countryISO", "loc.lat", "loc.lon", "postal_code", "state"),
    *("street_address", "street_address2", "tz"),
)


def test_the_parts_of_a_place_are_told() -> None:
    """Those of Cordial's description, in their order."""
    with pytest.raises(ValidationError) as refused:
        Rule(attribute="a", field="home", type="geo")
    assert f"none of the parts {', '.join(PARTS)}" in str(refused.value)


@pytest.mark.parametrize("part", PARTS)
def test_a_place_has_these_parts(part: str) -> None:
    assert Rule(attribute="a", field=f"home.{part}", type="geo").field == f"home.{part}"


def test_a_rule_stays_as_it_was_checked() -> None:
    """What it says nothing of is careful: no list is joined against a no, nothing is cut."""
    rule = Rule(attribute="a", field="b")
    assert (rule.type, rule.lists_need, rule.too_long) == ("string", "not_no", "warn")
    with pytest.raises(ValidationError):
        rule.field = "cID"  # type: ignore[misc]


def test_reserved_words_are_cordials_exactly() -> None:
    """Cordial's keys are case-sensitive: `Channels` or `email` are attributes like others."""
    for field in ("Channels", "email", "cid", "forcesubscribe"):
        assert Rule(attribute="a", field=field).field == field


def test_addresses_are_not_fields() -> None:
    """What names the contact is not sent as an attribute as well."""
    assert mapped({"email": "ada@example.com"}).fields == {}


@pytest.mark.parametrize("key", ["favorite_color", "Favorite Color", "FAVORITE_COLOR"])
@pytest.mark.parametrize("name", ["favorite_color", "Favorite Color"])
def test_look_up(key: str, name: str) -> None:
    """An attribute is found under its id and its display name alike."""
    assert mapped({key: "red"}, Rule(attribute=name, field="color")).fields == {"color": "red"}


@pytest.mark.parametrize(
    ("given", "default", "sent"),
    [
        ({}, None, {}),
        ({"a": None}, None, {}),
        ({"a": ""}, None, {}),
        ({"a": " "}, None, {}),
        ({}, "x", {"f": "x"}),
        ({"a": None}, "x", {"f": "x"}),
        ({"a": ""}, "x", {"f": "x"}),
        ({"a": "y"}, "x", {"f": "y"}),
        ({"a": False}, "x", {"f": "false"}),
        ({"a": 0}, "x", {"f": "0"}),
    ],
)
def test_absent_and_default(given: dict[str, Any], default: str | None, sent: object) -> None:
    """Absent, null and blank change nothing, or give the default; false and 0 are values."""
    assert mapped(given, Rule(attribute="a", field="f", default=default)).fields == sent


def test_default_has_its_type() -> None:
    """A default is converted as a value would be."""
    made = mapped(
        {},
        Rule(field="n", type="number", default="7"),
        Rule(field="d", type="date", default="2024-05-01"),
        Rule(field="l", type="list", default=False),
        Rule(field="home.loc.lat", type="geo", default="47.5"),
    )
    assert made.fields == {
        "n": 7,
        "d": "2024-05-01T00:00:00+00:00",
        "l": False,
        "home.loc.lat": 47.5,
    }
    assert Rule(field="home.loc.lat", type="geo", default="47.5").converted_default() == 47.5
    assert Rule(attribute="a", field="n", type="number").converted_default() is None


def test_unconvertible_value_is_dropped_alone() -> None:
    """A value that does not convert drops its field, default or not, and names attribute, field
    and type, never the value; the others go on."""
    made = mapped(
        {"age": "secret", "outcome": "Explorer"},
        Rule(attribute="age", field="years", type="number", default=1),
        Rule(attribute="outcome", field="outcome"),
    )
    assert made.fields == {"outcome": "Explorer"}
    assert codes(made) == [("not_convertible", "age", "years")]
    (warning,) = made.warnings
    assert all(word in warning.detail for word in ("age", "years", "number"))
    assert "secret" not in str(warning.as_json())
    assert warning.as_json().keys() == {"code", "attribute", "field", "detail"}


@pytest.mark.parametrize("given", ["undefined", "{{first_name}}", " [object Object] "])
@pytest.mark.parametrize("default", [None, "x"])
def test_the_trace_of_a_missing_value_is_none(given: str, default: str | None) -> None:
    """It counts as absent, and a warning names the attribute and the field."""
    made = mapped({"a": given, "b": "y"}, Rule(attribute="a", field="f", default=default), B)
    assert made.fields == ({"g": "y"} if default is None else {"f": "x", "g": "y"})
    assert codes(made) == [("not_filled", "a", "f")]
    assert made.warnings[0].detail.startswith("a holds the trace of a missing value")


B = Rule(attribute="b", field="g")
VIP = Rule(attribute="vip", field="insiders", type="list", lists_need="yes")


def test_who_may_not_join_a_list_does_not() -> None:
    """A warning says which list, and what it needs; all else is sent, numbers of 1 too."""
    ones = Rule(attribute="b", field="g", type="number")
    made = mapped({"vip": "yes", "b": 1}, VIP, ones, may_join=lambda need, found: False)
    assert made.fields == {"g": 1}
    assert codes(made) == [("list_not_joined", "vip", "insiders")]
    assert "not put on the list insiders" in made.warnings[0].detail
    assert "lists_need is yes" in made.warnings[0].detail


@pytest.mark.parametrize(
    "given",
    [
        {"vip": "yes", "VIP": "no"},
        {"vip": "yes", "VIP": "maybe"},
        {"vip": "yes", "v.i.p": False},
        {"vip": True, "lists": {"vip": "no"}},
        {"vip": "yes", "lists": '[{"vip": ["no"]}]'},
        {"vip": ["yes", {"value": "no"}]},
        {"lists": {"vip": "no"}},  # the default would have joined
    ],
)
def test_a_no_in_any_form_keeps_off_a_list(given: dict[str, Any]) -> None:
    """Under another spelling, a name plainly like it, or within; whatever the opt-in is."""
    default = Rule(attribute="vip", field="insiders", type="list", default=True, lists_need=None)
    made = mapped(given, default)
    assert (made.fields, codes(made)) == ({}, [("list_not_joined", "vip", "insiders")])
    assert "another answer for vip" in made.warnings[0].detail


@pytest.mark.parametrize(
    "given",
    [
        {"vip": "yes"},
        {"vip": "yes", "VIP": True},
        {"vip": "yes", "a": {"vip": "hm"}},
        {"vip": "yes", "options": {"vip": ["Yes", "No"]}},
        {},
    ],
)
def test_who_said_no_no_joins_a_list(given: dict[str, Any]) -> None:
    default = Rule(attribute="vip", field="insiders", type="list", default=True)
    assert mapped(given, default).fields == {"insiders": True}


def test_leaving_a_list_needs_no_right() -> None:
    made = mapped({"vip": "no"}, VIP, may_join=lambda need, found: False)
    assert (made.fields, made.warnings) == ({"insiders": False}, [])


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (VIP, ("yes", Attribute("VIP", "yes"))),
        (Rule(field="all", type="list", default=True, lists_need=None), (None, None)),
    ],
)
def test_the_right_is_asked_by_need_and_attribute(rule: Rule, asked: object) -> None:
    """A constant has none."""
    seen: list[object] = []

    def may_join(need: ListsNeed, found: Attribute | None) -> bool:
        seen.append((need, found))
        return True

    assert mapped({"VIP": "yes"}, rule, may_join=may_join).fields == {rule.field: True}
    assert seen == [asked]


def test_steps_tell_how_each_field_came_about() -> None:
    """Every rule leaves a step: the key as found, the source value, and what is sent."""
    made = mapped(
        {"Age": "34", "at": "soon"},
        Rule(attribute="age", field="age", type="number"),
        Rule(attribute="at", field="at", type="date"),
        Rule(attribute="none", field="none"),
        Rule(field="source", default="jebbit"),
    )
    assert [(each.field, each.attribute, each.source, each.value) for each in made.steps] == [
        ("age", "Age", "34", 34),
        ("at", "at", "soon", None),
        ("none", "none", None, None),
        ("source", None, "jebbit", "jebbit"),
    ]


ACCOUNT: dict[str, FieldType] = {
    **dict.fromkeys(("outcome", "Outcome", "email", "x", "channels", "home"), "string"),
    **dict.fromkeys(("ip_address", "User Agent", "PAGE_URL", "url_params"), "string"),
    "channels.email.subscribeStatus": "string",
    "age": "number",
    "colors": "array",
    "place": "geo",
}


@table(
    ("given", "sent"),
    [
        ({"outcome": "Explorer", "age": "34", "colors": ["red"]}, None),
        ({"other": "y"}, {}),
        ({"OUTCOME": "y", "Age": 1}, {}),
        ({"Outcome": "y"}, None),
        ({"outcome": None, "age": "", "colors": []}, {}),
        ({"outcome": {"q": "a"}, "colors": {"red": True}}, {}),
        ({"colors": [["red"]], "outcome": [{}]}, {}),
        ({"outcome": ["a", "b"]}, {"outcome": "a, b"}),
        ({"colors": ["red", ["blue"]], "outcome": {}, "place": "Bonn", "x": "y"}, {"x": "y"}),
        ({"email": "ada@example.com", "Email": "x"}, {}),
        ({"ip_address": "1", "User Agent": "1", "PAGE_URL": "1", "url_params": "1"}, {}),
        ({"channels": "1", "place": "Bonn"}, {}),
        ({"channels.email.subscribeStatus": "subscribed"}, {}),
        ({"taken": "y", "x": "y"}, {"x": "y"}),
    ],
)
def test_unmapped_known(given: dict[str, Any], sent: Any) -> None:
    """What the account knows by that very key flows with the account's type; not objects, not
    what identifies or is reserved, not what is personal or technical, however it is spelled."""
    expected = {key: 34 if key == "age" else value for key, value in given.items()}
    made = mapped(given, account=ACCOUNT)
    assert (made.fields, codes(made)) == (expected if sent is None else sent, [])


def test_mapped_is_not_repeated() -> None:
    """An attribute that a rule names does not flow again, and no field is filled twice."""
    rules = (
        Rule(attribute="Outcome", field="result"),
        Rule(attribute="city", field="home.city", type="geo"),
        Rule(attribute="y", field="x"),
    )
    given = {"outcome": "a", "home": "b", "city": "Bonn", "x": "c"}
    assert mapped(given, *rules, account=ACCOUNT).fields == {"result": "a", "home.city": "Bonn"}


def test_personal_keys_flow_where_named() -> None:
    """A rule of its own may send even a personal-technical key: the customer wrote it down."""
    rule = Rule(attribute="ip_address", field="last_ip")
    assert mapped({"ip_address": "192.0.2.1"}, rule).fields == {"last_ip": "192.0.2.1"}


def test_unmapped_that_does_not_convert_is_a_warning() -> None:
    """What flows by itself obeys the account's types."""
    made = mapped({"age": "old"}, account=ACCOUNT)
    assert (made.fields, codes(made)) == ({}, [("not_convertible", "age", "age")])


@pytest.mark.parametrize("account", [None, {}])
def test_without_an_account_nothing_flows(account: dict[str, FieldType] | None) -> None:
    """Where the account's attributes are not known, or not asked for, only rules count."""
    assert mapped({"outcome": "a"}, account=account).fields == {}
