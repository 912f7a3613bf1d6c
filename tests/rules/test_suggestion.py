"""A suggested mapping: which field, of which type, and why; nothing reserved, nothing by chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.mapping import RESERVED_FIELDS, Rule
from app.rules.suggestion import Addresses, Offered, same_name, suggest, type_of
from app.sandbox.account import default_account
from app.sandbox.samples import SAMPLES
from tests.table import table

ACCOUNT = default_account()
OFFERED = [
    *(Offered(key, attribute.type) for key, attribute in ACCOUNT.attributes.items()),
    *(Offered(name, "list") for name in ACCOUNT.lists),
]
KINDS = ("string", "number", "date", "array", "geo", "list")


def of(sample, offered=OFFERED, **how):
    return {each.attribute: each for each in suggest(sample, offered, **how)}


def field(sample, name, *fields, kind="string"):
    return of({name: sample}, [Offered(each, kind) for each in fields])[name].field


def test_what_jebbit_sends_finds_its_fields():
    """In the order of the sample, each row with its type and its reason; what is technical, or
    read to decide, goes nowhere."""
    found = suggest(SAMPLES["flat_session"], OFFERED)
    assert [each.attribute for each in found] == list(SAMPLES["flat_session"])
    assert {each.attribute: each.field for each in found if each.field} == {
        "email": "channels.email.address",
        "first_name": "first_name",
        "outcome": "quiz_outcome",
    }
    assert all(each.why.endswith(".") for each in found)
    typed = of(SAMPLES["every_type"])
    assert typed["favorite_colors"][1:3] == ("colors", "array")
    assert typed["favorite_colors"].separator == "|"
    assert typed["age"][1:3] == ("age", "number")
    assert typed["city"][1:3] == ("home.city", "geo")
    assert of(SAMPLES["sms_opted_in"])["phone_number"].field == "channels.sms.address"


@table(
    ("name", "account"),
    [
        ("outcome", "outcome"),
        ("First Name", "first_name"),
        ("first_name", "FirstName"),
        ("quiz-outcome", "Quiz Outcome"),
        ("fname", "first_name"),
        ("Surname", "last_name"),
        ("date_of_birth", "birthday"),
        ("zip_code", "postal_code"),
        ("result", "outcome"),
        ("favourite_colour", "favorite_color"),
        ("skin_types", "skin_type"),
        ("outcome", "spring_outcome"),
        ("hair_texure", "hair_texture"),
    ],
)
def test_near_names_are_found(name, account):
    """The same name, another spelling, a usual synonym, more words, a slip of the pen."""
    assert field("Bold", name, account) == account


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("name", ["first_name", "last_name"]),  # two have it: a guess
        ("age", ["page", "wage"]),
        ("opt_in", ["opt_in_status"]),
        ("country_code", ["country"]),
        ("campaign_id", ["campaign"]),
        ("is_mobile", ["mobile"]),
        ("url_params", ["url_params"]),
        ("identifyBy", ["identifyBy"]),
        ("channels", ["channels"]),
        ("size", ["colour"]),
    ],
)
def test_what_is_a_guess_is_left_to_the_person(name, fields):
    """Nor is anything suggested that decides, is technical or is reserved."""
    assert field("Bold", name, *fields) is None


def test_the_better_reason_has_the_field():
    """However the sample is ordered; then the attribute that came first."""
    sample = {"result": "Calm", "quiz_outcome": "Bold", "email": "a@example.com", "mail": "x"}
    found = of(sample)
    assert found["quiz_outcome"].field == "quiz_outcome"
    assert found["result"].field is None
    assert found["mail"].field is None
    assert found["mail"].why == "Another attribute names the contact already."


def test_an_address_is_known_by_its_value_too():
    """Under the channels of the integration; a hash of one is none."""
    mine = Addresses("channels.newsletter.address", "channels.text.address")
    found = of({"q7": "Ann@Example.com", "cell": "555"}, addresses=mine)
    assert found["q7"].field == "channels.newsletter.address"
    assert found["cell"].field == "channels.text.address"
    hashed = "5d41402abc4b2a76b9719d911017c592"
    assert of({"q7": hashed})["q7"].field is None
    assert "hash_pii" in of({"email": hashed})["email"].why
    assert "hash_pii" not in of({"email": ""})["email"].why


def test_a_value_of_another_type_is_told():
    """Where the name speaks for the field; where only a part of it does, nothing is suggested."""
    assert "This value is no number" in of({"age": "old"})["age"].why
    assert field("many", "points", "points_won", kind="number") is None
    assert field("3", "points", "points_won", kind="number") == "points_won"


def test_an_account_that_does_not_tell_gets_the_addresses_alone():
    """And the rows say why."""
    found = of({"email": "a@example.com", "outcome": "Bold"}, None)
    assert [each.field for each in found.values()] == ["channels.email.address", None]
    assert "does not tell" in found["outcome"].why


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("Bold", "string"),
        (31, "number"),
        ("31", "string"),
        (True, "list"),
        (["a"], "array"),
        ("2026-11-20 10:15:00 UTC", "date"),
        ("20261120", "string"),
        (None, "string"),
    ],
)
def test_a_value_tells_its_type(value, kind):
    """As far as it can."""
    assert type_of(value) == kind


def test_the_same_name_in_another_case():
    """The one that is written so comes first."""
    assert same_name("quiz_outcome", ["Quiz_Outcome", "x"]) == "Quiz_Outcome"
    assert same_name("a", ["A", "a"]) == "a"
    assert same_name("a", ["b"]) is None


_names = st.sampled_from(
    [
        *RESERVED_FIELDS,
        "email",
        "Email",
        "phone",
        "First Name",
        "first_name",
        "fname",
        "city",
        "zip",
    ]
) | st.text(max_size=12)
_values = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("a@example.com")


@given(
    st.dictionaries(_names, _values | st.lists(_values, max_size=2), max_size=8),
    st.lists(st.builds(Offered, _names, st.sampled_from(KINDS)), max_size=8),
)
def test_every_suggestion_makes_a_rule(sample, offered):
    """Of each attribute one, always the same; no field twice, none that a mapping may not fill."""
    found = suggest(sample, offered)
    assert found == suggest(sample, offered)
    assert [each.attribute for each in found] == list(sample)
    fields = [each.field for each in found if each.field]
    assert len(set(fields)) == len(fields)
    for each in found:
        if each.field and each.attribute and "." not in each.field:
            Rule(attribute=each.attribute, field=each.field, type=each.type)
