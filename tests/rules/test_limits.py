"""What the account takes at most, told and held before anything is sent."""

from typing import Any

import pytest

from app.jebbit.submission import Submission
from app.rules.limits import Limit, cut, excess
from app.rules.mapping import FieldMapping, Mapped, Rule
from app.rules.values import Labels

LIMITS = {
    "comment": Limit(characters=5),
    "colors": Limit(characters=4, items=2),
    "age": Limit(number=120),
}


def mapped(value: Any, field: str, **rule: Any) -> Mapped:
    """Return what one rule makes of a value in an account with these limits."""
    mapping = FieldMapping([Rule(attribute="a", field=field, **rule)], Labels())
    return mapping.apply(Submission({"a": value}), lambda *_: True, limits=LIMITS)


@pytest.mark.parametrize(
    ("field", "kind", "value", "said"),
    [
        ("comment", "string", "123456", "has 6 characters, and Cordial takes 5"),
        ("colors", "array", ["a", "b", "c"], "has 3 items, and Cordial keeps the last 2"),
        ("colors", "array", ["a", "green"], "has an item of 5 characters, and Cordial takes 4"),
        ("age", "number", "121", "is over 120"),
    ],
)
def test_what_is_over_a_known_limit_is_warned_of(
    field: str, kind: str, value: Any, said: str
) -> None:
    """It goes as it is: how the account answers is Cordial's affair."""
    made = mapped(value, field, type=kind)
    [warning] = made.warnings
    assert (warning.code, warning.attribute, warning.field) == ("too_long", "a", field)
    assert said in warning.detail
    assert made.fields[field] == (121 if kind == "number" else value)


@pytest.mark.parametrize(
    ("field", "kind", "value", "kept"),
    [
        ("comment", "string", "123456", "12345"),
        ("comment", "string", "1234 6", "1234"),
        ("colors", "array", ["a", "b", "c"], ["b", "c"]),
        ("colors", "array", ["a", "green"], ["a", "gree"]),
        ("colors", "array", ["green", "black", "white"], ["blac", "whit"]),
    ],
)
def test_what_is_to_be_cut_is_cut(field: str, kind: str, value: Any, kept: Any) -> None:
    """A text keeps its beginning, an array its newest items; the warning says that it was cut."""
    made = mapped(value, field, type=kind, too_long="cut")
    assert made.fields == {field: kept}
    [warning] = made.warnings
    assert "it was cut" in warning.detail


def test_each_field_is_held_against_its_own_limit() -> None:
    """One that is over stands beside others that are free, that fit and that are cut."""
    rules = [
        Rule(attribute="a", field="free"),
        Rule(attribute="b", field="comment"),
        Rule(field="title", default="Doctor"),
        Rule(attribute="c", field="name", too_long="cut"),
    ]
    limits = dict.fromkeys(("comment", "title", "name"), Limit(characters=3))
    mapping = FieldMapping(rules, Labels())
    given = Submission({"a": "aaaa", "b": "bbb", "c": "cccc"})
    made = mapping.apply(given, lambda *_: True, limits=limits)
    assert made.fields == {"free": "aaaa", "comment": "bbb", "title": "Doctor", "name": "ccc"}
    assert [(each.attribute, each.field, each.detail) for each in made.warnings] == [
        (
            None,
            "title",
            "The default has 6 characters, and Cordial takes 3 for title; it goes as it is, and "
            "Cordial may refuse it.",
        ),
        (
            "c",
            "name",
            "The value of c has 4 characters, and Cordial takes 3 for name; it was cut.",
        ),
    ]


def test_a_number_among_items_that_is_too_long_is_not_said_to_be_cut() -> None:
    made = mapped([12345, "red"], "colors", type="array", too_long="cut")
    assert made.fields == {"colors": [12345, "red"]}
    [warning] = made.warnings
    assert "it goes as it is" in warning.detail


@pytest.mark.parametrize("too_long", ["warn", "cut"])
def test_limits_must_be_known_where_something_is_cut(too_long: Any) -> None:
    """Else they need not be asked for."""
    mapping = FieldMapping([Rule(attribute="a", field="b", too_long=too_long)], Labels())
    assert mapping.cuts is (too_long == "cut")


@pytest.mark.parametrize("too_long", ["warn", "cut"])
@pytest.mark.parametrize(
    ("field", "kind", "value"),
    [
        ("comment", "string", "12345"),
        ("colors", "array", ["gree", "b"]),
        ("free", "string", "x" * 9),
    ],
)
def test_what_fits_is_left_alone(field: str, kind: str, value: Any, too_long: str) -> None:
    """As is what has no limit that is known."""
    made = mapped(value, field, type=kind, too_long=too_long)
    assert (made.fields, made.warnings) == ({field: value}, [])


@pytest.mark.parametrize(
    "rule",
    [
        {"attribute": "a", "field": "age", "type": "number"},
        {"attribute": "a", "field": "channels.email.address"},
        {"attribute": "a", "field": "vip", "type": "list"},
    ],
)
def test_what_cannot_be_cut_says_so(rule: dict[str, Any]) -> None:
    """Half a number, an address or a membership would be another one."""
    with pytest.raises(ValueError, match=f"{rule['field']} cannot be cut"):
        Rule(**rule, too_long="cut")


FREE = Limit()
TIGHT = Limit(characters=3, items=2, number=10)


@pytest.mark.parametrize(
    ("value", "over"),
    [
        *(
            ("abcd", "4 characters"),
            (["a", "b", "c"], "3 items"),
            (["wxyz", "abcde"], "5 characters"),
        ),
        *(([12345], "5 characters"), (11, "over 10"), (10.5, "over 10")),
    ],
)
def test_only_what_is_over_a_limit_is_told(value: Any, over: str) -> None:
    """By which, where the limit is known."""
    assert over in (excess(value, TIGHT) or "")
    assert excess(value, FREE) is None


@pytest.mark.parametrize("value", ["abc", ["abc", 123], [], 10, 10.0, -11, True, None])
def test_what_takes_all_of_its_room_is_not_over_it(value: Any) -> None:
    assert excess(value, TIGHT) is None


def test_a_membership_is_no_number() -> None:
    """A list may be called as a number of the account is."""
    assert excess(True, Limit(number=0)) is None


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (Limit(characters=3), ["red", 12345, "gre"]),
        (Limit(items=2), [12345, "green"]),
        (Limit(characters=2, items=2), [12345, "gr"]),
        (FREE, ["red", 12345, "green"]),
    ],
)
def test_an_array_is_cut_as_far_as_its_limits_are_known(limit: Limit, kept: Any) -> None:
    """Of a number among its items nothing is cut: it would be another one."""
    assert cut(["red", 12345, "green"], limit) == kept
