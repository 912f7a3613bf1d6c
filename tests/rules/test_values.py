"""Values: what an answer says, and what a value becomes by type."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.values import (
    Answer,
    Labels,
    NotConvertible,
    agree,
    answer,
    convert,
    is_plain,
    is_unfilled,
    parse_date,
)
from tests.table import table

NONE = Labels()
TYPES = ("string", "number", "date", "array", "geo", "list")

# --- answers


@table(
    ("said", "values"),
    [
        ("yes", [True, 1, 1.0, "true", "1", "yes", "y", "on", "opted_in"]),
        ("yes", ["TRUE", " Yes ", "Y", "On", "Opted In", "OPTED_IN", "opted  in", "\tyes\n"]),
        ("no", [False, 0, 0.0, -0.0, "false", "0", "no", "n", "off", "opted_out"]),
        ("no", ["FALSE", " No ", "N", "Off", "Opted Out", "OPTED_OUT"]),
        ("yes", ["t", "checked", "\u2713", "\u2714\ufe0f", "\u2611", "\u2705", "\ntrue\t"]),
        ("yes", ["optin", "opt_in", "opt-in", "Opt In", "opted-in", "subscribe", "Subscribed"]),
        ("no", ["f", "unchecked", "optout", "opt_out", "opt-out", "Opt Out", "opted-out"]),
        ("no", ["unsubscribe", "Unsubscribed"]),
        ("null", [None, "", "  ", "null", "none", "NULL", " None "]),
        ("unclear", ["maybe", "Yes, sign me up", "yes please", "2", "1.0", "truee", "undefined"]),
        (
            "unclear",
            [2, -1, 0.5, 1.0000001, 0.9999999, 1e-9, 10**30, {}, {"yes": True}, {"opt_in": "yes"}],
        ),
        (
            "unclear",
            [
                math.inf,
                -math.inf,
                math.nan,
                "optedin",
                "opt",
                "in",
                "[yes]",
                "[1",
                '{"a": ["yes"]}',
            ],
        ),
    ],
)
def test_answers(said: str, values: list[Any]) -> None:
    """Every usual word, in any case and spacing, says the same; what is not known is unclear."""
    assert {repr(value): answer(value, NONE).value for value in values} == dict.fromkeys(
        map(repr, values), said
    )


@table(
    ("value", "said"),
    [
        (["yes"], "yes"),
        (["no", "yes"], "unclear"),
        (["hm", None, 1], "yes"),
        (["hm", ["", True]], "yes"),
        (["no", ["off", True]], "unclear"),
        (["yes", ["hm", "no"]], "unclear"),
        (["yes", '["hm", "no"]'], "unclear"),
        (["yes", [["no"]], "yes"], "unclear"),
        ([["no"], []], "no"),
        ([[], []], "unclear"),
        (["no"], "no"),
        ([False, 0, "off"], "no"),
        (["no", "hm"], "unclear"),
        (["no", None], "unclear"),
        ([None], "unclear"),
        ([""], "unclear"),
        ([], "unclear"),
    ],
)
def test_answers_of_a_list(value: Any, said: str) -> None:
    """A list is yes if an item is and none is no, at any depth; no if all are; else unclear."""
    assert answer(value, NONE) == said
    if isinstance(value, list):
        assert answer(f"\u00a0 {json.dumps(value)} \u00a0", NONE) == said, "as JSON text too"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["yes"], "yes"),
        (["yes", "yes"], "yes"),
        (["yes", "null"], "yes"),
        (["null", "yes", "unclear"], "unclear"),
        (["null", "unclear"], "unclear"),
        (["yes", "unclear", "no"], "no"),
        (["no", "null"], "no"),
        (["null", "null"], "null"),
        ([], "null"),
    ],
)
def test_several_answers_to_one_question(answers: list[str], said: str) -> None:
    """A no is never outvoted, what is unclear makes a yes unclear, and silence says nothing."""
    assert agree([Answer(each) for each in answers]) == said
    assert agree([Answer(each) for each in reversed(answers)]) == said


def test_answers_of_lists_however_deep() -> None:
    """Anyone can send lists in a text in lists: deeper than Python's own calls can follow."""
    said: Any = "no"
    for _ in range(6):
        said = "[" * 190 + json.dumps(said) + "]" * 190
    assert answer(said, Labels()) == "no"


@table(
    ("value", "said"),
    [
        ("Yes, sign me up", "yes"),
        ("  yes,   SIGN me UP", "yes"),
        ("Not now", "no"),
        (["Not now", "Yes, sign me up"], "unclear"),
        (["hm", "Yes, sign me up"], "yes"),
        ("no", "yes"),
        ("Yes", "no"),
        ("none", "no"),
        ("true", "yes"),
        ("off", "no"),
        (True, "yes"),
        ("sign me up", "unclear"),
        (2024, "yes"),
        (2024.0, "yes"),
        (7.5, "no"),
    ],
)
def test_own_labels_count_first(value: Any, said: str) -> None:
    """The integration's labels come before the usual words, which still hold beside them."""
    labels = Labels(
        frozenset({"yes, sign me up", "no", "2024"}),
        frozenset({"not now", "yes", "none", "7.5"}),
    )
    assert answer(value, labels) == said


@pytest.mark.parametrize(("value", "said"), [(True, "yes"), (False, "no"), ("True", "no")])
def test_labels_are_words(value: Any, said: str) -> None:
    """What a program sends as true or false is no word."""
    assert answer(value, Labels(frozenset({"false"}), frozenset({"true"}))) == said


# --- conversion


def refused(value: Any, kind: Any, separator: str | None = None) -> None:
    with pytest.raises(NotConvertible):
        convert(value, kind, separator)


@table(
    ("value", "separator", "text"),
    [
        ("Explorer", None, "Explorer"),
        (True, None, "true"),
        (False, None, "false"),
        (42, None, "42"),
        (7.5, None, "7.5"),
        (["red", "blue"], None, "red, blue"),
        (["red", "blue"], "|", "red|blue"),
        (["red", None, True, 1], "|", "red|true|1"),
        ([], None, None),
        ({"red": True, "green": "no", "blue": 1}, "|", "red|blue"),
        ("red|blue", "|", "red|blue"),
        (" Explorer\u00a0", None, "Explorer"),
        ("Salt &amp; pepper &nbsp;", None, "Salt & pepper"),
        ("[Explorer]", None, "[Explorer]"),
        ('{"a": ["red"]}', None, '{"a": ["red"]}'),
        (' ["red", "blue"] ', None, "red, blue"),
        (["red ", "", " ", "&nbsp;", "R&amp;B"], "|", "red|R&B"),
        ({" red &amp; white ": 1, "blue": None, " ": "on"}, "|", "red & white"),
        ("", None, None),
        (" &nbsp; ", None, None),
        ([" "], None, None),
        (10**60, None, "1" + "0" * 60),
        ({"red": True, "green": 0, "blue": "no"}, None, "red"),
    ],
)
def test_string(value: Any, separator: str | None, text: str | None) -> None:
    """A string stays, a list is joined, a boolean becomes a word, ticked keys are joined."""
    assert convert(value, "string", separator) == text


@table(
    "value",
    [
        *([["red"]], [{}], {"red": "perhaps"}, {"q": {"a": 1}}, '[["red"]]', "[1, {}]", "[NaN]"),
        *(None, math.inf, math.nan, 1e300, -1e19, [math.inf]),
    ],
)
def test_no_string(value: Any) -> None:
    """What is nested has no text of its own, nor has a float that no reader of JSON would take."""
    refused(value, "string")


@table(
    ("value", "number"),
    [
        *((34, 34), (7.5, 7.5), (0, 0), (-3, -3), ("34", 34), (" 34 ", 34), ("+34", 34), ("7", 7)),
        *(("-7.5", -7.5), (".5", 0.5), ("5.", 5.0), ("007", 7), ("1e3", 1000.0), ("2E-1", 0.2)),
        *((9223372036854775807, 9223372036854775807), (-9.2e18, -9.2e18), ("1E+3", 1000.0)),
        *(("9223372036854775807", 9223372036854775807), ("-9223372036854775807", -(2**63) + 1)),
        *(("\u00a01.25e-0002\n", 0.0125), ("+1.e1", 10.0), ("-.5", -0.5), ("12.50", 12.5)),
        *(("1e18", 1e18), ("0" * 19 + "7", 7), ("0" * 19 + "7.5", 7.5)),
    ],
)
def test_number(value: Any, number: float) -> None:
    """Numbers and their text become numbers, a whole one an integer."""
    made = convert(value, "number")
    assert (made, type(made)) == (number, type(number))


@table(
    "value",
    [
        *(True, False, [], [1], {}, "thirty", "1,5", "1 000", "1_000", "0x10", "$5", "5%", "--1"),
        *("nan", "inf", "-Infinity", "1e999", "9" * 40, 10**30, math.inf, -math.inf, "\u0663"),
        *("9223372036854775808", "-9223372036854775808", 9223372036854775808, 1e19, -1e19),
        *(
            "",
            " ",
            "+",
            ".",
            "-.",
            "e5",
            "1e",
            "1e+",
            "1.5.5",
            ".5.",
            "1\n2",
            None,
            "[1]",
            math.nan,
        ),
        *("0" * 20 + "7", "0" * 20 + "7.5", "9" * 10_000),
    ],
)
def test_no_number(value: Any) -> None:
    """Booleans, words, other notations, and numbers that no reader of JSON would take."""
    refused(value, "number")


@table(
    ("value", "iso"),
    [
        ("2024-05-01", "2024-05-01T00:00:00+00:00"),
        ("2024-05-01 10:20:30", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01 10:20:30 UTC", "2024-05-01T10:20:30+00:00"),
        (" 2024-05-01 10:20:30 UTC ", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30Z", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30.123Z", "2024-05-01T10:20:30.123000+00:00"),
        ("2024-05-01T10:20:30+00:00", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30+0000", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30.5+0530", "2024-05-01T10:20:30.500000+05:30"),
        ("2024-05-01T10:20:30-08:00", "2024-05-01T10:20:30-08:00"),
        (1700000000, "2023-11-14T22:13:20+00:00"),
        ("1700000000", "2023-11-14T22:13:20+00:00"),
        (1700000000000, "2023-11-14T22:13:20+00:00"),
        ("1700000000000", "2023-11-14T22:13:20+00:00"),
        (1700000000.5, "2023-11-14T22:13:20.500000+00:00"),
        ("2024-02-29", "2024-02-29T00:00:00+00:00"),
        ("2024-05-01T10:20&#43;05:30", "2024-05-01T10:20:00+05:30"),
        ("2024-05-01 10:20", "2024-05-01T10:20:00+00:00"),
        ("2024-05-01   10:20   +05:30", "2024-05-01T10:20:00+05:30"),
        ("2024-05-01UTC", "2024-05-01T00:00:00+00:00"),
        ("2024-05-01t10:20:30z", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30 GMT", "2024-05-01T10:20:30+00:00"),
        ("2024-05-01T10:20:30,25Z", "2024-05-01T10:20:30.250000+00:00"),
        ("2024-05-01T10:20:30.123456789Z", "2024-05-01T10:20:30.123456+00:00"),
        ("2024-05-01T10:20:30+05", "2024-05-01T10:20:30+05:00"),
        ("2024-05-01T10:20:30-0559", "2024-05-01T10:20:30-05:59"),
        ("0001-01-01T05:00:00+05:00", "0001-01-01T05:00:00+05:00"),
        ("9999-12-31T18:59:59-05:00", "9999-12-31T18:59:59-05:00"),
        ("100000000", "1973-03-03T09:46:40+00:00"),
        (100000000, "1973-03-03T09:46:40+00:00"),
        ("9999999999", "2286-11-20T17:46:39+00:00"),
        ("100000000000", "1973-03-03T09:46:40+00:00"),
        (100000000000, "1973-03-03T09:46:40+00:00"),
        (1700000000123.0, "2023-11-14T22:13:20.123000+00:00"),
        ("1700000000.25", "2023-11-14T22:13:20.250000+00:00"),
        ("1700000000123.5", "2023-11-14T22:13:20.123500+00:00"),
        ("9999999999999", "2286-11-20T17:46:39.999000+00:00"),
        (f"2024-05-01{' ' * 49}10:20", "2024-05-01T10:20:00+00:00"),
    ],
)
def test_date(value: Any, iso: str) -> None:
    """Every form seen from Jebbit becomes ISO 8601 with an explicit offset; no zone means UTC."""
    assert convert(value, "date") == iso
    assert parse_date(value).isoformat() == iso


@table(
    "value",
    [
        *("tomorrow", "05/01/2024", "01.05.2024", "2024-5-1", "2024-13-01", "2023-02-29", "0000"),
        *("0000-01-01", "2024-05-01T25:00:00", "2024-05-01T10:60:00", "2024-05-01T10:20:30+25:00"),
        *("2024-05-01 10:20:30 PST", "2024-05-01 and on", "20240501", "2024", True, [], {}),
        *(-1, 10**18, 10**30, math.inf, "9" * 13 + "9", ["2024-05-01"], None, math.nan, "", False),
        *(
            "2024-05-0110:20",
            "2024-05-01T",
            "2024-05-01T10",
            "2024-05-01T10:20:",
            "2024-05-01T10:20:30.",
        ),
        *("2024-05-01T10:20:30;5", "2024-05-01T10:20:30+5", "2024-05-01T10:20:30+05:60"),
        *("2024-05-01T10:20:30+0560", "2024-05-01T10:20:30+05:", "2024-05-01T10:20:30 +05 UTC"),
        *("0001-01-01T04:59:59+05:00", "9999-12-31T19:00:00-05:00", "24-05-01", "02024-05-01"),
        *("\u0662\u0660\u0662\u0664-05-01", "2024-05-01T10:20:30+\u0660\u0665", "\u0661" * 10),
        *("99999999", 99999999, "10000000000", 10000000000, "99999999999", 10**13, "1e9"),
        *("1700000000.", "1700000000123.", ".1700000000", "-1700000000", "+1700000000"),
        f"2024-05-01{' ' * 50}10:20",
    ],
)
def test_no_date(value: Any) -> None:
    """What is not clearly one date is none."""
    refused(value, "date")


@table(
    ("value", "separator", "items"),
    [
        (["red", "blue"], None, ["red", "blue"]),
        (["red|blue"], "|", ["red|blue"]),
        ([1, 2.5, True, None], None, [1, 2.5, "true"]),
        ("red|blue", "|", ["red", "blue"]),
        (" red ; blue;;", ";", ["red", "blue"]),
        ("red, blue", None, ["red, blue"]),
        ("red", "|", ["red"]),
        (7, "|", [7]),
        ({"red": True, "green": False, "blue": "on"}, None, ["red", "blue"]),
        ([], None, None),
        ([""], None, None),
        ("|", "|", None),
        ({"red": False}, None, None),
        (' ["red", 1, "R&amp;B"] ', "|", ["red", 1, "R&B"]),
        ('{"a": ["red"]}', None, ['{"a": ["red"]}']),
        ("[red]", None, ["[red]"]),
        ("red &amp; white|blue", "|", ["red & white", "blue"]),
        ([" red ", " ", "&nbsp;", 0], None, ["red", 0]),
        ([None], None, None),
        (False, "|", ["false"]),
        ("12", "|", ["12"]),
        (" ", "|", None),
    ],
)
def test_array(value: Any, separator: str | None, items: Any) -> None:
    """A list stays, a string is split only by a separator given; nothing chosen sends nothing."""
    assert convert(value, "array", separator) == items


@pytest.mark.parametrize(
    "value",
    [[["red"]], [{}], [math.inf], [10**30], {"red": "perhaps"}, '[["red"]]', None, math.nan],
)
def test_no_array(value: Any) -> None:
    """An array's items are scalars that JSON can carry."""
    refused(value, "array")


@pytest.mark.parametrize(
    ("value", "member"),
    [
        ("yes", True),
        (1, True),
        (["hm", "on"], True),
        (["off", "no"], False),
        ("Off", False),
        (False, False),
        ("none", None),
    ],
)
def test_list(value: Any, member: bool | None) -> None:
    """List membership is read by the words of an opt-in; null leaves the list alone."""
    assert convert(value, "list") is member


@pytest.mark.parametrize("value", ["weekly", 2, {}, [], ["on", "off"]])
def test_no_list(value: Any) -> None:
    """An unclear answer is no membership."""
    refused(value, "list")


def test_half_of_a_character_converts_too() -> None:
    """What a length limit leaves of an emoji, as the API's JSON may hold it."""
    assert convert('["a\ud83d"]', "array") == ["a?"]
    assert answer('["yes", "\ud83d"]', NONE) == "yes"


def test_list_by_own_labels() -> None:
    """The integration's labels hold for lists too."""
    labels = Labels(frozenset({"count me in"}), frozenset({"yes"}))
    assert convert("Count me  in", "list", labels=labels) is True
    assert convert("yes", "list", labels=labels) is False


def test_geo_parts_are_strings() -> None:
    """A part of a geo attribute is sent as text, a postal code keeps its zeros."""
    assert convert("02134", "geo") == "02134"
    assert convert(53111, "geo") == "53111"


@pytest.mark.parametrize(
    ("field", "value", "number"),
    [
        ("home.loc.lat", "59.9", 59.9),
        ("home.loc.lat", -90, -90),
        ("home.loc.lon", " 179.5 ", 179.5),
        ("home.loc.lon", "-180", -180),
        ("home.loc.lat", 90, 90),
        ("home.loc.lon", "180", 180),
        ("home.loc.lat", 0, 0),
    ],
)
def test_coordinates_are_numbers(field: str, value: Any, number: float) -> None:
    """Cordial takes `loc.lat` and `loc.lon` as numbers."""
    made = convert(value, "geo", field=field)
    assert (made, type(made)) == (number, type(number))


def test_only_a_geo_attribute_has_coordinates() -> None:
    """Of another, and of its other parts, text is sent as text."""
    assert convert("59.9", "string", field="home.loc.lat") == "59.9"
    assert convert("59.9", "geo", field="home.postal_code") == "59.9"
    assert convert("59.9", "geo") == "59.9"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("home.loc.lat", "90.1"),
        ("home.loc.lat", -90.5),
        ("home.loc.lat", 91),
        ("home.loc.lon", "180.1"),
        ("home.loc.lon", 181),
        ("home.loc.lon", "Infinity"),
        ("home.loc.lon", -180.5),
        ("home.loc.lat", "north"),
        ("home.loc.lat", True),
        ("home.loc.lon", "59,9"),
    ],
)
def test_what_is_no_place_on_earth_is_no_coordinate(field: str, value: Any) -> None:
    """It is not sent, rather than refused by Cordial with all the rest."""
    with pytest.raises(NotConvertible):
        convert(value, "geo", field=field)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6
)


@given(values, st.sampled_from(TYPES), st.sampled_from([None, "|", ", "]))
def test_any_value_converts_to_json_or_not_at_all(
    value: Any, kind: Any, separator: str | None
) -> None:
    """No value raises anything else, and what comes out is of the type and fit for JSON."""
    try:
        made = convert(value, kind, separator)
    except NotConvertible:
        return
    expected = {"number": int | float, "array": list, "list": bool}.get(kind, str)
    assert made is None or isinstance(made, expected)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@given(
    st.from_regex(
        r"\A(20[0-9]{2}|0000|9999)-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]\Z"
    )
)
def test_the_usual_form_of_a_date_is_read_as_any_other(text: str) -> None:
    """It has a short way of its own; both agree, also on days that there are not."""

    def read(form: str) -> object:
        try:
            return convert(form, "date"), parse_date(form)
        except NotConvertible:
            return None

    assert read(f"{text} UTC") == read(text.replace(" ", "T") + "Z")


MARKS = st.sampled_from(
    [" ", "\t", "\N{NO-BREAK SPACE}", *"unN[]{}$%*|&;", "null", "&amp;", "{{a}}"]
)


@given(st.lists(st.text(max_size=3) | MARKS, max_size=6).map("".join))
def test_a_plain_text_is_sent_as_it_stands(text: str) -> None:
    """What the quick look takes for plain, the general way leaves as it is."""
    if is_plain(text):
        assert not is_unfilled(text)
        assert convert(text, "string") == text


TRACES = [
    *("undefined", "null", "NaN", "[object Object]", " undefined\n", "\u00a0null "),
    *("{{first_name}}", "Hello {{ first_name }}!", "{{a}}{{b}}", "{{{{a}}", "{{ }}"),
    *("${name}", "${a.b}", "%%FIRST NAME%%", "*|FNAME|*", " *|A:B|* "),
]


@table("text", TRACES)
def test_the_trace_of_a_missing_value_is_no_answer(text: str) -> None:
    """What a program writes that has none, and a template's place that nobody filled in."""
    assert is_unfilled(text)
    assert not is_plain(text)


@table(
    "value",
    [
        *("Undefined", "undefined answer", "not null", "NULL", "nan", "[object]", "object Object"),
        *("{first_name}", "{{}}", "{{a}", "{a}}", "{{a{b}}", "{{a}b}}", "}}a{{", "{ {a}}"),
        *("${}", "${a{b}", "${a}b}", "costs ${a}", "$a", "%%%%", "%%a%", "%%a%b%%", "%a%", "50 %%"),
        *("*||*", "*|a|b|*", "|a|", "*|a|", "my *|a|*", "", " "),
        *(None, True, 0, math.nan, [], ["undefined"], {"a": "{{b}}"}),
    ],
)
def test_what_people_write_is_an_answer(value: Any) -> None:
    """Even where it looks a little like a trace; and only a text is one."""
    assert not is_unfilled(value)


@table(
    "text",
    [
        *("Bold", "Answer 3", "red | blue", "50 % off", "O'Neil", "Zoë", "Xavier", "<3", "a"),
        *("}", "]", "; -", "7", "-7.5", "(a)", "a*", "Then"),
    ],
)
def test_most_texts_are_plain(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text", ["", " ", " a", "a ", "a\u00a0", "a {b", "a [b", "R&B", "&amp;", '["a"]', "a\n"]
)
def test_what_may_become_another_text_is_not_plain(text: str) -> None:
    assert not is_plain(text)
