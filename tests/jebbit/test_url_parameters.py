"""Which names may have come from the page's URL: whatever the text looks like, none is missed."""

import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jebbit import url_parameters
from app.jebbit.folding import fold
from app.jebbit.keys import keys_of
from app.jebbit.submission import Submission
from app.jebbit.url_parameters import UrlParameters
from tests.table import table


def read_parameters(attributes: dict[str, Any]) -> UrlParameters:
    return url_parameters.read_parameters(attributes, keys_of(tuple(attributes)))


KEYS = ["email", "opt_in", "Opt In", "country_code", "do_you_agree?", "pg_-_category", "größe"]

# Ways to write one parameter, and ways to wrap a text that holds it: any of these, in any order.
WRITTEN: list[Callable[[str], Any]] = [
    lambda key: f"{key}=1",
    lambda key: f"{quote_plus(key)}=1",
    lambda key: f"{quote(key)}=",
    lambda key: f"{key.upper()}=1",
    lambda key: f"{key}[]=1",
    lambda key: f"{key}[0][x]=1",
    lambda key: f"user[{key}]=1",
    lambda key: f" {key} =1",
    lambda key: "".join(f"%{byte:02X}" for byte in key.encode()) + "=1",
    lambda key: "".join(f"&#{ord(each)};" for each in key) + "=1",
    lambda key: "".join(f"\\u{ord(each):04x}" for each in key) + "=1",
]
WRAPPED: list[Callable[[str], Any]] = [
    lambda text: f"L=home&{text}",
    lambda text: f"{text}&L=home",
    lambda text: f"?L=home&{text}&z=?",
    lambda text: f"{text}&return_url=https://shop.example/?a=1",
    lambda text: f"https://x.example/quiz?{text}",
    lambda text: f"https://x.example/quiz#/start?{text}#top",
    lambda text: f"L=home;{text};z=1",
    lambda text: f"return_url={quote(f'https://x.example/?{text}')}",
    lambda text: quote(text),
    lambda text: quote(quote(text)),
    lambda text: html.escape(text),
    lambda text: json.dumps({"page": text}),
    lambda text: f'{{"page": "{text}", broken',
    lambda text: text.replace("=", "\uff1d").replace("&", "\uff06"),
    lambda text: f"\ufeff{text}\u200b",
]
PLACED: list[Callable[[Any], dict[str, Any]]] = [
    lambda text: {"url_params": text},
    lambda text: {"URL Params": text},
    lambda text: {"url_params": [text]},
    lambda text: {"url_params": {"L": text}},
    lambda text: {"url_params": {"a": [{"b": text}]}},
    lambda text: {"page_url": text},
    lambda text: {"Landing": {"at": text}},
    lambda text: {"note": [1, text]},
    lambda text: {"page_url": None, "url_params": "", "referrer": text},
]


@given(
    st.sampled_from(KEYS),
    st.sampled_from(WRITTEN),
    st.lists(st.sampled_from(WRAPPED), max_size=2),
    st.sampled_from(PLACED),
)
def test_a_parameter_is_found_however_it_is_written(
    key: str,
    write: Callable[[str], Any],
    wrappers: list[Callable[[str], Any]],
    place: Callable[[Any], dict[str, Any]],
) -> None:
    """By some reading, at any depth, under any key; and then the key is not believed."""
    text = write(key)
    for wrap in wrappers:
        text = wrap(text)
    found = Submission({**place(text), key: "x"}).find_all(key)
    assert [each.key for each in found if each.trusted] == []


@table(
    "value",
    [
        {"email": "x"},
        [{"email": "x"}],
        {"a": {"email": None}},
        [["email", "x"]],
        ["email"],
        [{"name": "email", "value": "x"}],
        '{"email": "x"}',
        "{email: x}",
        '{"a": "{\\"email\\": 1}"}',
        '[["email", "x"]]',
        ' ["email"]',
        '[{"name": "email", "value": "x"}]',
        '"{\\"email\\": 1}"',
        "%5B%22email%22%5D",
        "email",
        "L=1&email",
        "L;email",
    ],
)
def test_names_without_an_equals_sign_are_found_in_url_params(value: Any) -> None:
    """As keys of objects, in lists of pairs, in JSON whole or broken, and as bare words."""
    assert read_parameters({"url_params": value}).reading("email")


@pytest.mark.parametrize(
    "attributes",
    [
        {"https://x.example/?email=ann&opt_in=true": "x"},
        {"email=ann&opt_in=true": ""},
        {"answers": {"/?opt_in=true&email=ann": "x"}},
        {"answers": [{"email%3Dann%26opt_in%3Dtrue": 1}]},
        {"url_params": [{"k": "email", "v": "ann"}, {"k": "opt_in", "v": "true"}]},
        {"url_params": [{"id": "email", "value": "ann"}, {"id": "opt_in", "value": "true"}]},
        {"page_url": "https://x.example/?\\x65mail=ann&opt_i\\x6e=true"},
    ],
)
def test_names_are_found_in_keys_and_pairs_too(attributes: dict[str, Any]) -> None:
    """A key that is an address or a query, at any depth; pairs however they are called."""
    found = read_parameters(attributes)
    assert found.reading("email")
    assert found.reading("opt_in")


@pytest.mark.parametrize(
    "attributes",
    [
        {"Email & SMS": "yes", "Is email ok? (opt_in)": "yes", "100 % email": "x"},
        {"url_params": "utm_medium=email&utm_source=opt_in"},
        {"url_params": {"utm_medium": "email"}},
        {"url_params": '{"utm_medium": "email"}'},
        {"page_url": "https://email.example/opt_in/email?L=1"},
        {"note": "email", "why": "opt_in; email", "emails": "a@b.example"},
        {"form_field_dropdown_values": {"email": ["a"]}, "$metadata": {"opt_in": "x"}},
        {"url_params": "emails=1&my_email=2"},
        {"note": '{"email": "a=b", "opt_in": 1}'},
        {"note": "email: a=b"},
        {"answers": {"email: yours": "a=b"}, "url_params": {"email: ours": 1}},
    ],
)
def test_a_value_is_no_name(attributes: dict[str, Any]) -> None:
    """`utm_medium=email`, which most campaigns have, makes nobody's address doubtful."""
    found = read_parameters(attributes)
    assert (found.reading("email"), found.reading("opt_in"), found.unread) == (None, None, None)


@pytest.mark.parametrize(
    ("attributes", "reading"),
    [
        ({"url_params": "email=1"}, "url_params holds it as a name before a value"),
        ({"url_params": "email%3D1"}, "url_params holds it as a name before a value once decoded"),
        ({"url_params": {"email": 1}}, "url_params holds it as the key of an object"),
        ({"url_params": "email"}, "url_params holds it as a name without a value"),
        ({"url_params": "L%3Bemail"}, "url_params holds it as a name without a value once decoded"),
        ({"page_url": "/?email=1"}, "page_url holds it as a name before a value"),
    ],
)
def test_the_reading_is_told(attributes: dict[str, Any], reading: str) -> None:
    """A person sees which text makes a key doubtful, and how; the text itself is not repeated."""
    assert read_parameters(attributes).reading("email") == reading


@pytest.mark.parametrize(
    "text",
    [
        "?" * 70_000 + "=",
        "a=1&" * 70_000,
        "%25" * 30_000,
        "&amp;" * 20_000 + "a=1",
        '{"a":"' * 20_000,
        "[" * 70_000,
        "\\u0061" * 20_000,
        "\u00e9" * 100_000,
    ],
    ids=lambda text: text[:6],
)
def test_more_than_is_read_makes_everything_doubtful(text: str) -> None:
    """There is a bound to what reading may cost; beyond it no key is believed."""
    found = read_parameters({"page_url": text})
    assert found.reading("email")
    assert found.unread == "more stands in page_url than is read of a URL"


@given(st.text(), st.text())
def test_any_text_is_read(key: str, text: str) -> None:
    """No text under any key raises anything."""
    found = read_parameters({key: text, "url_params": text})
    assert found.unread is None
    assert found.reading(fold("no such key here")) is None or "no" in text


# --- the edges


def named(attributes: dict[str, Any]) -> set[str]:
    """Return all names that some reading finds."""
    found = read_parameters(attributes)
    assert found.unread is None
    return set(found.readings)


@table("mark", [*"=:?#;,./{}()[]\"'<>|\\", " ", "\t", "\n", "\u00a0", "&"])
def test_a_name_may_begin_after_any_mark(mark: str) -> None:
    """Of a text in which it stands, whoever wrote that; and it may hold the mark."""
    assert "email" in named({"note": f"x{mark}email=1"})
    assert "email" in named({"url_params": f"a=1{mark}email=2"})


@pytest.mark.parametrize("mark", ["_", "-", "x", "X", "$", "*", "!", "@"])
def test_other_signs_are_of_the_name(mark: str) -> None:
    assert "email" not in named({"note": f"x{mark}email=1", "url_params": f"x{mark}email=1"})
    assert "email" not in named({"url_params": f"{mark * 2}email{mark * 2}"}) or mark in "_-"


def test_a_mark_may_be_of_the_name() -> None:
    assert {"are_you_sure?", "b?c"} <= named({"note": "?a=1&are you sure?=2&b?c=3"})


@pytest.mark.parametrize("mark", [*"&?#;"])
def test_bare_names_stand_between_these(mark: str) -> None:
    """In the page's own texts alone."""
    assert {"a", "email"} <= named({"url_params": f"a{mark}email"})
    assert named({"note": f"a{mark}email"}) == set()


@table("around", [*" \t\r\n\"'[]{}()\\"])
def test_what_stands_around_a_name_is_not_of_it(around: str) -> None:
    assert "email" in named({"url_params": f"{around}email{around}"})


@pytest.mark.parametrize(
    "key", ["name", "key", "param", "parameter", "k", "n", "id", "field", "Name", "0", "17"]
)
def test_keys_under_which_a_name_stands(key: str) -> None:
    """In a list of parameters, or one that is written as an object."""
    assert "email" in named({"url_params": {key: "email"}})
    assert "email" in named({"url_params": {"x": [{key: ["email"]}]}})
    assert "email" in named({"note": {key: "email"}}) or "param" not in key


def test_under_other_keys_stands_a_value() -> None:
    assert "email" not in named({"url_params": {"value": "email", "x": ["email"], "1a": "email"}})
    assert "email" in named({"url_params": {"page": "email"}}), "but for a page's"
    assert "email" in named({"x": {"my url": "email"}}), "of any attribute"


@table(
    "text",
    [
        *("&#101;mail=1", "&#0000101;mail=1", "&#x65;mail=1", "&#X000065;mail=1", "&#101mail=1"),
        *("&#0000000101;mail=1", "&#x0000065;mail=1", f"&#{'0' * 9_000}101;mail=1"),
        *("a&ampemail=1", "a&lt;email=1", "a&ltemail=1", "a&gtemail=1", "a&quotemail=1"),
        *("a&#x3B;email=1", "a&#x3b;email=1", "a&QUOT;email=1", "a&Tab;email=1", "a&colon;email=1"),
        *("em&#x61;il=1", "emai&#x6C;=1", "emai&#x6c;=1", "email&equals;1", "a&sup2;&email=1"),
        *("%u0065mail=1", "\\u0065mail=1", "\\x65mail=1", "emai%u006C=1", "emai%u006c=1"),
        *("emai\\x6C=1", "emai\\x6c=1", "e\\mail=1", "e\\u006dail\\u003D1", "e%6Dail=1"),
        *(
            "email%3D1",
            "email%253D1",
            "email%25253D1",
            "%65mail",
            "\uff45mail\uff1d1",
            "email\ufe661",
        ),
    ],
)
def test_every_decoding_is_a_reading(text: str) -> None:
    """Entities with and without their semicolon, percent signs, escapes, compatible letters."""
    assert "email" in named({"url_params": text})
    assert "email" in named({"page_url": f"https://x.example/?{text}"})


@table("half", ["\\ud83d", "\\ude00", "%ud83d", "\\ud83d\\ude00", "%ude00%ud83d"])
@table("text", ['["{}", "email=1"]', '{{"a": "{}", "email": 1}}', '"{}&email=1'])
def test_halves_of_a_character_are_read_as_any_other(text: str, half: str) -> None:
    """JavaScript escapes an emoji as two halves; what a limit cuts may keep one of them."""
    page = f"https://x.example/?{quote(text.format(half))}"
    for value in (text.format(half), quote(text.format(half)), page):
        assert "email" in named({"url_params": value})


@table(
    ("text", "name"),
    [
        *((f"email&{entity};=1", "email") for entity in ("#9", "#x9", "#xA", "Tab", "NewLine")),
        *((f"email&{entity}=1", "email") for entity in ("#9", "#x9", "#009", "#X0009")),
        *(("email&equals;1", "email"), ("x&sup2;=1", "x2"), ("x&frac12;=1", "x1\u20442")),
        *((f"x&#{number};y=1", "x\U00100000y") for number in ("1048576", "x100000")),
        *((f"x&#{none};y=1", "x\ufffdy") for none in ("0", "x0", "10485761", "x1000001")),
        *((f"x&#{none};y=1", "x\ufffdy") for none in ("9" * 20, "9" * 5_000)),
        *((f"x&#x{each * 20};y=1", "x\ufffdy") for each in "9fF"),
        ("opt\\\nin=1", "opt_in"),
    ],
)
def test_an_entity_is_read_as_browsers_do(text: str, name: str) -> None:
    """All its digits are of it; what is no character's number is the sign for that."""
    assert fold(name) in named({"note": text})


@pytest.mark.parametrize("text", ["gr%F6%DFe=1", "gr%C3%B6%C3%9Fe=1", "gr\u00f6\u00dfe=1"])
def test_letters_are_decoded_as_utf_8_and_as_latin_1(text: str) -> None:
    assert fold("gr\u00f6\u00dfe") in named({"url_params": text})


@pytest.mark.parametrize(
    "text", ["&#10001;mail=1", "&#x10065;mail=1", "%u065mail=1", "\\x6mail=1", "&emai;l=1"]
)
def test_what_is_no_encoding_is_none(text: str) -> None:
    assert "email" not in named({"url_params": text})


def test_keys_of_objects_are_decoded_too() -> None:
    assert "email" in named({"url_params": {"e%6Dail": 1}})


def test_nothing_is_no_name() -> None:
    assert named({"url_params": "=1&&[]=2& =3"}) == set()


@pytest.mark.parametrize("text", ["email[]", "email[x][y]=1", "e%6Dail%5B%5D=1", "email%5Bx=1"])
def test_what_stands_before_brackets_is_a_name(text: str) -> None:
    assert "email" in named({"url_params": text})


def test_a_plus_is_a_space() -> None:
    assert "opt_in" in named({"url_params": "opt+in=1"})


@table(
    ("attributes", "read"),
    [
        ({"page_url": "a" * 65_536}, True),
        ({"page_url": "a" * 65_537}, False),
        ({"page_url": "a" * 65_530, "referrer": "b" * 6}, True),
        ({"page_url": "a" * 65_530, "referrer": "b" * 7}, False),
        ({"page_url": "[" * 8 + '"a"' + "]" * 8}, True),
        ({"page_url": [[[[[[[["a"]]]]]]]]}, True),
        ({"page_url": ["=" + "a" * 999] * 65}, True),
        ({"note": ["a" * 70_000], "city": "a" * 70_000}, True),
        ({"note": ["a=" + "a" * 70_000]}, False),
        ({"page_url": "a=" * 140}, True),
        ({"page_url": "a=" * 143 + "&" + "b" * 15_016}, True),
        ({"page_url": "a=" * 143 + "&" + "b" * 15_017}, False),
    ],
)
def test_how_much_is_read_at_most(attributes: dict[str, Any], read: bool) -> None:
    """Of all texts together: characters, and characters of names."""
    assert (read_parameters(attributes).unread is None) is read


def test_json_in_json_is_read_however_deep() -> None:
    """Anyone can write a link that holds lists in a text in lists: no depth is too much."""
    text = "email"
    for levels in range(8):
        assert read_parameters({"page_url": text}).reading("email"), levels
        assert read_parameters({"page_url": [text]}).reading("email"), levels
        text = "[" * 190 + json.dumps(text) + "]" * 190


@pytest.mark.parametrize("times", [1, 2, 11])
def test_a_text_in_quotes_is_read(times: int) -> None:
    """As are quotes in quotes: each time they are twice as long."""
    text = "email"
    for _ in range(times):
        text = json.dumps(text)
    assert "email" in named({"page_url": text})


@pytest.mark.parametrize(("times", "read"), [(14, True), (15, False)])
def test_how_often_a_text_is_decoded_at_most(times: int, read: bool) -> None:
    """Beyond it nothing is believed."""
    found = read_parameters({"page_url": "%" + "25" * times + "65mail=1"})
    assert (found.unread is None) is read
    assert found.reading("email")


def test_a_long_key_is_shown_in_part() -> None:
    """To a person, in a line."""
    for length, shown in ((64, "u" * 64), (65, "u" * 64 + "...")):
        found = read_parameters({"url" + "u" * (length - 3): "email=1"})
        assert found.reading("email") == f"{('url' + shown)[:64]}{shown[64:]} holds it as " + (
            "a name before a value"
        )


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"page_url": "a=1", "url_params": "b=" + "c" * 1_019}, True),
        ({"page_url": "a=1", "url_params": "b=" + "c" * 1_020}, False),
        ({"page_url": ["a=1"]}, False),
        ({"page_url": None}, False),
        ({"page_url": "a=1", "note": "x=1"}, False),
        ({"page_url": "a=1", "note": "x", "age": 3, "city": None}, True),
        ({"page_url": "a=1", "note": "x", "age": 3, "all": []}, False),
        ({"page_url": "a=1", "note": "x"}, True),
        ({"page_url": "a=1", "x=1": "x"}, False),
    ],
)
def test_only_short_texts_of_a_page_are_remembered(attributes: dict[str, Any], kept: bool) -> None:
    """Many shoppers come by the same link; what else a person writes is read each time."""
    url_parameters._known.cache_clear()
    assert read_parameters(attributes) == read_parameters(attributes)
    assert url_parameters._known.cache_info().currsize == kept


@pytest.mark.parametrize(
    "note",
    [
        "email=1",
        "email%3D1",
        "email&#61;1",
        "email\\x3d1",
        "email\uff1d1",
        ["email=1"],
        {"a": "email=1"},
        '{"url_params": {"email": 1}}',
        '[{"page": {"query": ["email"]}}]',
        {"a": '{"page_url": "/?email"}'},
        '"{\\"url_params\\": \\"email\\"}"',
    ],
)
def test_other_texts_are_read_where_they_may_assign(note: Any) -> None:
    """Alone, among texts, and among others."""
    for beside in ({}, {"city": "Rome"}, {"age": 3}, {"more": ["x"], "city": "Rome"}):
        assert "email" in named({"note": note, **beside})
        assert "email" in named({**beside, "note": note})
        assert "email" in named({"note": note, **beside, "why": "a=1"})
        assert "email" in named({"note": note, **beside, "a=1": "x"})
    assert named({"note": "email", "city": "a:b"}) == set()


def test_the_first_reading_is_told() -> None:
    """Of several places the first, of several ways the first."""
    found = read_parameters({"url_params": "email=1&email", "page_url": {"email": 1}})
    assert found.reading("email") == "url_params holds it as a name before a value"
    assert found.reading("opt_in") is None
