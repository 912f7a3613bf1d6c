"""An address is found in whatever form a person or a program wrote it."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.mentions import Mentions
from tests.table import table

ANN = Mentions(["ann.o'neil+quiz@example.com"], ["+16175550123", "6175550123"])
GERMAN = Mentions([], ["+49301234567", "301234567"])


@table(
    "text",
    [
        "write to Ann.O'Neil+Quiz@Example.com!",
        "email=ann.o%27neil%2Bquiz%40example.com&x=1",
        "email%3Dann.o%2527neil%252Bquiz%2540example.com",
        "ann.o'neil quiz@example.com",
        '{"email":"ann.o\\u0027neil\\u002bquiz\\u0040example.com"',
        '{"email":"ann.o\\u0027neil\\u002Bquiz\\u0040example.com"',
        "ann.o&#39;neil+quiz&#64;example.com",
        "\uff41nn.o'neil+quiz\uff20example.com",
        *("6175550123", "(617) 555-0123", "+1 617.555.0123", "001 617 555 0123", "617-555-0123 x1"),
        *("1-617-555-0123", "tel:+16175550123", '"phone":6175550123,', "%2B1+617+555+0123"),
        *("617\u2009555\u20130123", "\uff16175550123", "617\x7f555:0123"),
    ],
)
def test_found(text: str) -> None:
    """Encoded, escaped, in capitals, with any punctuation."""
    assert ANN.stand_in(text)


@pytest.mark.parametrize("text", ["030 1234567", "+49 (0)30 1234567", "0049-30-1234567"])
def test_found_with_its_trunk_zero(text: str) -> None:
    """As people dial a number at home."""
    assert GERMAN.stand_in(text)


@pytest.mark.parametrize(
    "text",
    [
        *("bob@example.com", "ann@example.com", "6175550124", "61755501234", "26175550123"),
        *("617 555", "", "6 apples, 17 pears and 5550123 plums"),
    ],
)
def test_others_are_left_alone(text: str) -> None:
    """Neither other people nor longer numbers are taken for the person."""
    assert not ANN.stand_in(text)


def test_what_mentions_the_person_is_replaced() -> None:
    """Texts, numbers and keys; the rest of a payload stays as it is."""
    given = {
        "email": "bob@example.com",
        "friend": {"ann.o'neil+quiz@example.com": 1, "phone": 6175550123, "age": 30},
        "notes": ["ask 617 555 0123", True, None, 1.5],
    }
    assert ANN.removed_from(given) == {
        "email": "bob@example.com",
        "friend": {"[erased]": 1, "phone": "[erased]", "age": 30},
        "notes": ["[erased]", True, None, 1.5],
    }


NUMBERS = st.floats(allow_nan=False) | st.integers(-(10**4000), 10**4000)  # as in bodies


@given(st.recursive(st.none() | st.booleans() | st.text() | NUMBERS, st.lists))
def test_any_json_is_looked_through(value: object) -> None:
    """Nothing raises, and what mentions nobody is given back as it was."""
    assert ANN.removed_from(value) == value  # type: ignore[arg-type]


def test_any_of_a_person_s_addresses_is_found() -> None:
    """One of several is enough; letters are compared as people read them."""
    both = Mentions(["ann@example.com", "straße@example.com"], ["+16175550123"])
    assert both.stand_in("ann@example.com")
    assert both.stand_in("STRASSE@EXAMPLE.COM")
    assert both.stand_in("1 617 555 0123")
    assert not both.stand_in("617 555 0123")
    assert Mentions([], ["+1 (617) 555-0123"]).stand_in("16175550123")


def test_an_address_encoded_three_times_is_found_and_no_more() -> None:
    """A text is not decoded without end."""
    text = "ann.o'neil+quiz@example.com"
    for times in range(1, 6):
        text = quote(text, safe="")
        assert ANN.stand_in(text) is (times <= 3)


def test_a_number_of_few_digits_is_nobody_s() -> None:
    """Less than seven digits stand in too many texts by chance."""
    assert Mentions([], ["1234567"]).stand_in("call 123 45 67")
    assert not Mentions([], ["123456"]).stand_in("call 123456")
