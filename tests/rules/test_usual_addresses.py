"""The short ways to read addresses: what they read, and what they leave to the libraries."""

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES

from app.rules.contact import read_email, read_phone
from app.rules.usual_addresses import usual_email, usual_phone
from tests.table import table


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ann@example.com",
            "a@b.co",
            "0@9.com",
            "z_z-z+z.z_z-z+z9@z-z9.z.museum",
            "+_-@a-b-c.org",
        ),
        *("a.b.c@mail.example.co.uk", " Ann@Example.COM\n", f"a@{'b' * 57}.com"),
    ],
)
def test_most_emails_are_read(text: str) -> None:
    """As email-validator reads them."""
    assert usual_email(text) == text.strip().lower() == read_email(text)


@table(
    "text",
    [
        *(
            "",
            "ann",
            "@b.co",
            "ann@",
            ".a@b.co",
            "a.@b.co",
            "a..b@b.co",
            "o'neil@b.co",
            "zo\u00eb@b.co",
        ),
        *("a b@b.co", "a@b@b.co", "a@b", "a@.co", "a@b..co", "a@b.co.", "a@-b.co", "a@b-.co"),
        *(
            "a@b--c.co",
            "a@b_c.co",
            "a@b.c",
            "a@b.c0",
            "a@b.0c",
            "a@b.c-d",
            "a@z\u00fc.co",
            "a@b.co\nx",
        ),
        f"a@{'b' * 58}.com",
    ],
)
def test_other_emails_are_left_to_the_library(text: str) -> None:
    """What is not of the usual form, and what may be too long."""
    assert usual_email(text) is None


@pytest.mark.parametrize("name", SPECIAL_USE_DOMAIN_NAMES)
def test_names_that_are_none_on_the_net_are_left_to_the_library(name: str) -> None:
    """All that email-validator knows, those of its next version too."""
    assert usual_email(f"a@{name}") is None
    assert usual_email(f"a.b@c.d.{name}") is None


@table(
    "text",
    [
        *("6175550123", "617-555-0123", "617.555.0123", "617 555 0123", "(617) 555-0123"),
        *("(617)555-0123", "(617)5550123", "617-5550123", "617555-0123", "617555.0123"),
        *("16175550123", "1 617 555 0123", "1-617-555-0123", "1.617.555.0123", "1(617)5550123"),
        *("+16175550123", "+1 617 555 0123", "+1-617-555-0123", "+1.617.555.0123"),
        *("2005550199", "9995550199", "+1 (617) 555 0123", "617) 555-0123"),
    ],
)
def test_most_american_phones_are_read(text: str) -> None:
    """As phonenumbers reads them, for every country of the North American plan."""
    for regions in (["US"], ["CA"], ["JM", "US"]):
        number = usual_phone(text, regions)
        assert number is not None
        assert number == read_phone(text, regions)
        assert number.removeprefix("+1") in "".join(filter(str.isdigit, text))


@table(
    "text",
    [
        *(
            "",
            "617555012",
            "61755501234",
            "117-555-0123",
            "017-555-0123",
            "+1",
            "1",
            "2 6175550123",
        ),
        *("++16175550123", "+2 617 555 0123", "1--6175550123", "617--5550123"),
        *("617555--0123", "((617) 555-0123", "(617))5550123", "(617)  5550123", "(617)-5550123"),
        *("617/555/0123", " 617-555-0123", "617-555-0123 ", "617-555-0123 x1", "617-555-\u0660123"),
        *("617-555-01\n23", "1/617-555-0123", "617)-555-0123", "011 617 555 0123"),
    ],
)
def test_other_phones_are_left_to_the_library(text: str) -> None:
    assert usual_phone(text, ["US"]) is None


def test_a_number_without_its_country_is_american_only_in_america() -> None:
    """All the countries whose national form it may have must say so."""
    for regions in (["DE"], ["US", "DE"], ["DE", "US"], ["MX"]):
        assert usual_phone("617-555-0123", regions) is None
        assert usual_phone("1 617 555 0123", regions) is None
        assert usual_phone("+1 617 555 0123", regions) == "+16175550123"
