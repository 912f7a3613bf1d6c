"""Which names may have come from the page's URL: whatever the text looks like, none is missed."""

import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jebbit.folding import fold
from app.jebbit.submission import Submission
from app.jebbit.url_parameters import read_parameters

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


@pytest.mark.parametrize(
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
