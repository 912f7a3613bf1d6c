"""Who the contact is, and the body of the upsert."""

from collections.abc import Callable
from typing import Any

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import event, given
from hypothesis import strategies as st

from app.jebbit.submission import Submission
from app.rules.contact import (
    Identity,
    Statuses,
    contact_body,
    identify,
    national_digits,
    normalize_email,
    normalize_phone,
    read_email,
    read_phone,
    takes_sms,
)
from app.rules.mapping import PlanWarning
from app.rules.policy import Status
from app.rules.usual_addresses import usual_phone
from tests.table import table

Make = Callable[..., Any]
BOTH = [
    {"attribute": "email", "field": "channels.email.address"},
    {"attribute": "phone_number", "field": "channels.sms.address"},
]
ADA = "ada@example.com"
SUBSCRIBED, UNSUBSCRIBED = Status.SUBSCRIBED, Status.UNSUBSCRIBED


@table(
    ("text", "address"),
    [
        (ADA, ADA),
        (" Ada@Example.COM\n", ADA),
        *((f"{each}{ADA}{each}", ADA) for each in "\u200b\ufeff\xad\u200e\u202a\u2068\u3000\xa0"),
        ("ada+quiz@mail.example.co.uk", "ada+quiz@mail.example.co.uk"),
        ("o'neil@example.com", "o'neil@example.com"),
        *((text, None) for text in (None, "", "ada", "ada@", "@example.com", "ada@example")),
        *((text, None) for text in ("a@b@c", "ada@example..com", "ada @example.com")),
        *((text, None) for text in ("Ada <ada@example.com>", "ada@example.com, bob@example.com")),
        *((("0123456789abcdef" * 4)[:length], None) for length in (32, 40, 64)),
        ("a" * 10_000 + "@example.com", None),
    ],
)
def test_email(text: str | None, address: str | None) -> None:
    """An address is trimmed, also of what does not show, and lower-cased; a hash, a fragment or a
    list of them is none."""
    assert normalize_email(text) == address


@table(
    ("text", "region", "number"),
    [
        ("555-555-5555", "US", "+15555555555"),
        ("(617) 555-0123", "US", "+16175550123"),
        ("16175550123", "US", "+16175550123"),
        ("+1 617 555 0123", "DE", "+16175550123"),
        ("030 1234567", "DE", "+49301234567"),
        ("0049 30 1234567", "DE", "+49301234567"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("01 23 45 67 89", "FR", "+33123456789"),
        *((text, "US", None) for text in (None, "", "n/a", "12", "555-5555")),
        *((text, "US", None) for text in ("1" * 20, "+", "+999 1")),
        ("5" * 10_000, "US", None),
        *(
            (text, "US", "+15555555555")
            for text in ("5555555555.0", " 555.555.5555 ", "5555555555.")
        ),
        *((text, "US", "+49301234567") for text in ("00 49 30 1234567", "0049301234567")),
        *((text, "US", "+49301234567") for text in ("49 30 1234567", "+49 (0)30 1234567")),
        *((text, "US", "+525512345678") for text in ("+52 1 55 1234 5678", "00 52 1 55 12345678")),
        *((text, "US", text.replace(" ", "")) for text in ("+52 55 1234 5678", "+52 11 1111 1111")),
        ("12425550123", "MX", None),
    ],
)
def test_phone(text: str | None, region: str, number: str | None) -> None:
    """A number is read in the form of its country, or with its country code, or not at all."""
    assert normalize_phone(text, [region]) == number


@given(st.text(), st.sampled_from(["US", "DE", "GB"]))
def test_any_text_is_an_address_or_none(text: str, region: str) -> None:
    """No text raises anything, and an address that was made is made of itself again."""
    for made in (normalize_email(text), normalize_email(f"{text}@example.com")):
        assert made is None or normalize_email(made) == made
    number = normalize_phone(text, [region])
    assert number is None or normalize_phone(number, [region]) == number


# --- plain addresses are read without the libraries, and as the libraries read them


def by_email_validator(text: str) -> str | None:
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


def by_phonenumbers(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != 0:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


LABELS = ["example", "mail", "a-b", "a--b", "ab--cd", "xn--abc", "xn--bcher-kva", "-a", "a-", ""]
TOPS = ["com", "uk", "test", "local", "localhost", "onion", "arpa", "invalid", "c", "c1", "co-m"]
local_parts = st.text("abK09_+-.!'\"\\ <\u212a\u00e9", min_size=1, max_size=6)
domains = st.builds(
    lambda labels, top: ".".join([*labels, top]),
    st.lists(st.sampled_from(LABELS) | st.text("ab0-\u212a", max_size=4), max_size=3),
    st.sampled_from(TOPS),
)
long = st.sampled_from([1] * 9 + [40, 50, 60, 63, 64, 240, 250])
emails = st.builds(
    lambda local, often, domain, times: f"{local * often}@{'a' * (times - 1)}{domain}",
    *(local_parts, long, domains, long),
)


@given(emails)
def test_emails_are_read_as_email_validator_does(text: str) -> None:
    """What is an address, and which, is email-validator's to say, for plain ones too."""
    made = normalize_email(text)
    event("address" if made else "none")
    assert made == (by_email_validator(text) if len(text) <= 320 else None)


def grouped(prefix: str, digits: str, marks: list[str]) -> str:
    """Return ten digits as people group them, with some mark before each group and at the end."""
    groups = (prefix, digits[:3], digits[3:6], digits[6:])
    return "".join(group + mark for group, mark in zip(groups, marks, strict=True))


american = st.builds(
    grouped,
    st.sampled_from(["", "", "1", "+1", "011", "0", "+", "++1", "+44", "\uff0b1"]),
    st.text("0123456789", min_size=9, max_size=11) | st.just("2425550123"),
    st.tuples(
        st.sampled_from(["", "", " ", "-", "(", " ("]),
        st.sampled_from(["", "-", ".", " ", ")", ") ", "x"]),
        st.sampled_from(["", "-", ".", " ", "/"]),
        st.sampled_from(["", "", "", " ", "\n", " x1", "#"]),
    ),
)
region_codes = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])) | (
    st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS))
)


@given(american, region_codes)
def test_phones_are_read_as_phonenumbers_does(text: str, region: str) -> None:
    """What is a number, and which, is phonenumbers' to say, for American ones too."""
    usual, made = usual_phone(text, [region]), normalize_phone(text, [region])
    event("usual" if usual else "number" if made else "none")
    assert usual in (None, read_phone(text, [region]))
    # Beyond that, it may be written in some way that is no number to phonenumbers alone.
    abroad = text.lstrip(" (").startswith("00")
    assert abroad or by_phonenumbers(text, region) in (None, made)


@table("area", [200, 242, 345, 500, 555, 617, 787, 800, 876, 900, 911, 999])
def test_all_of_the_plan_is_read_alike(area: int) -> None:
    """In no country of the North American plan does its own metadata say otherwise."""
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        for text in (f"{area}-555-0123", f"1 ({area}) 000-0000", f"+1{area}9999999"):
            assert normalize_phone(text, [region]) == by_phonenumbers(text, region), region


@table(
    ("attributes", "email", "phone", "untrusted", "warned"),
    [
        ({"email": ADA, "phone_number": "617-555-0123"}, ADA, "+16175550123", False, []),
        ({"Email": ADA, "Phone Number": "617-555-0123"}, ADA, "+16175550123", False, []),
        ({"email": ADA}, ADA, None, False, []),
        ({"phone_number": 6175550123}, None, "+16175550123", False, []),
        ({}, None, None, False, []),
        ({"email": "", "phone_number": None}, None, None, False, []),
        ({"email": ADA, "phone_number": "12"}, ADA, None, False, ["phone_not_usable"]),
        ({"email": "a" * 32}, None, None, False, ["email_not_usable"]),
        ({"email": [ADA]}, None, None, False, ["email_not_usable"]),
        ({"email": True, "phone_number": True}, None, None, False, None),
        ({"email": 7, "phone_number": 1.5}, None, None, False, None),
        ({"email": {}, "phone_number": {}}, None, None, False, None),
        ({"email": ADA, "phone_number": 10**30}, ADA, None, False, ["phone_not_usable"]),
        ({"email": ADA, "url_params": "email=x"}, None, None, True, ["email_not_usable"]),
        (
            {"phone_number": "617-555-0123", "url_params": "phone_number=1"},
            *(None, None, True, ["phone_not_usable"]),
        ),
        ({"phone_number": "020 7946 0018", "country_code": "UK"}, None, "+442079460018", False, []),
        ({"phone_number": "617-555-0123", "country_code": "EU"}, None, "+16175550123", False, []),
        ({"phone_number": "617-555-0123", "country_code": "??"}, None, "+16175550123", False, []),
    ],
)
def test_identify(
    make_integration: Make,
    attributes: dict[str, Any],
    email: str | None,
    phone: str | None,
    untrusted: bool,
    warned: list[str] | None,
) -> None:
    """Addresses are read by the rules that name them; one there but of no use is a warning."""
    made = identify(Submission(attributes), make_integration(mapping=BOTH))
    assert (made.email, made.phone, made.doubt is not None) == (email, phone, untrusted)
    assert made.known is bool(email or phone)
    both = ["email_not_usable", "phone_not_usable"]
    assert [each.code for each in made.warnings] == (both if warned is None else warned)


@pytest.mark.parametrize(("mapping", "known"), [(BOTH[:1], (ADA, None)), (BOTH[1:], (None, "+1"))])
def test_what_no_rule_names_is_no_address(
    make_integration: Make, mapping: Any, known: tuple[str | None, str | None]
) -> None:
    """Nor is its channel in the body."""
    integration = make_integration(mapping=mapping, cordial={"sms": {"program": "main"}})
    made = identify(Submission({"email": ADA, "phone_number": "617-555-0123"}), integration)
    assert (made.email, made.phone and made.phone[:2]) == known
    assert contact_body(integration, made, Statuses(), {})["channels"] == (
        {"email": {"address": ADA}} if made.email else {"sms": {"address": "16175550123"}}
    )


def test_trusted_url_param(make_integration: Make) -> None:
    """An address in the URL counts where the integration says that it may."""
    submission = Submission({"Email": ADA, "url_params": "Email=ada%40example.com"})
    integration = make_integration(jebbit={"trusted_url_params": ["email"]})
    assert identify(submission, integration) == Identity(ADA, None, doubt=None, warnings=[])


def test_warning_names_the_attribute_not_the_address(make_integration: Make) -> None:
    """A warning can be shown and logged: it holds no person's value."""
    submission = Submission({"E-Mail": "ada at example", "phone_number": "617-555-0123"})
    mapping = [{"attribute": "e-mail", "field": "channels.email.address"}, BOTH[1]]
    (warning,) = identify(submission, make_integration(mapping=mapping)).warnings
    assert (warning.attribute, warning.field) == ("E-Mail", None)
    assert "ada" not in str(warning.as_json())


@pytest.mark.parametrize(
    ("sms", "statuses", "channels"),
    [
        (None, Statuses(), {"email": {"address": ADA}, "sms": {"address": "16175550123"}}),
        (
            {"address_format": "e164"},
            Statuses(SUBSCRIBED, None),
            {
                "email": {"address": ADA, "subscribeStatus": "subscribed"},
                "sms": {"address": "+16175550123"},
            },
        ),
        (
            {"program": "main", "keyword": "join"},
            Statuses(None, SUBSCRIBED),
            {
                "email": {"address": ADA},
                "sms": {
                    "address": "16175550123",
                    "programs": {
                        "main": {
                            "subscribeStatus": "subscribed",
                            "keyword": "join",
                            "suppressDOI": False,
                        }
                    },
                },
            },
        ),
        (
            {"channel": "text", "program": "vip", "suppress_doi": True},
            Statuses(UNSUBSCRIBED, SUBSCRIBED),
            {
                "email": {"address": ADA, "subscribeStatus": "unsubscribed"},
                "text": {
                    "address": "16175550123",
                    "programs": {
                        "vip": {
                            "subscribeStatus": "subscribed",
                            "keyword": "join",
                            "suppressDOI": True,
                        }
                    },
                },
            },
        ),
        (
            {"program": "main"},
            Statuses(None, UNSUBSCRIBED),
            {
                "email": {"address": ADA},
                "sms": {
                    "address": "16175550123",
                    "programs": {"main": {"subscribeStatus": "unsubscribed"}},
                },
            },
        ),
        (
            {},
            Statuses(None, SUBSCRIBED),
            {"email": {"address": ADA}, "sms": {"address": "16175550123"}},
        ),
    ],
)
def test_channels(make_integration: Make, sms: Any, statuses: Statuses, channels: Any) -> None:
    """A channel carries its address, and a status only where one is asked for; SMS has it by
    program."""
    channel = (sms or {}).get("channel", "sms")
    mapping = [BOTH[0], {"attribute": "phone_number", "field": f"channels.{channel}.address"}]
    integration = make_integration(cordial={"sms": sms}, mapping=mapping)
    identity = Identity(ADA, "+16175550123", doubt=None, warnings=[])
    body = contact_body(integration, identity, statuses, {})
    assert body == {"channels": channels, "suppressTriggers": True}


def test_options_of_the_account(make_integration: Make) -> None:
    """Triggers, secondary keys and force are sent as configured and asked for."""
    integration = make_integration(
        cordial={"suppress_triggers": False, "email_channel": "mail"},
        mapping=[{"attribute": "email", "field": "channels.mail.address"}],
    )
    identity = Identity(ADA, None, doubt=None, warnings=[])
    statuses = Statuses(SUBSCRIBED, None, force=True)
    fields = {"uid": "c-1", "home.city": "Bonn"}
    assert contact_body(integration, identity, statuses, fields, ["uid"]) == {
        "channels": {"mail": {"address": ADA, "subscribeStatus": "subscribed"}},
        "uid": "c-1",
        "home.city": "Bonn",
        "suppressTriggers": False,
        "forceSubscribe": True,
        "identifyBy": ["uid"],
    }


@pytest.mark.parametrize(("local", "read"), [(307, True), (308, True), (309, False)])
def test_the_longest_texts_that_are_looked_at(local: int, read: bool) -> None:
    """No address is longer than 320 characters, with the blanks around it."""
    assert len(f"{ADA}{' ' * (local - 3)}") == local + 12
    assert (normalize_email(f"{ADA}{' ' * (local - 3)}") is not None) is read
    number = "+16175550123"
    padded = number + " " * (local + 12 - len(number))
    assert (normalize_phone(padded, ["US"]) is not None) is read


def test_an_address_under_test_may_rehearse() -> None:
    """Capital letters and blanks make no difference."""
    assert read_email(" Ann@Host.TEST ") == "ann@host.test"
    assert read_email("\u212ann@example.com") == "knn@example.com"


def test_no_name_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a domain takes mail is Cordial's to find out; a delivery waits for nobody else."""
    asked: list[Any] = []
    resolve = "email_validator.deliverability.validate_email_deliverability"
    monkeypatch.setattr(resolve, lambda *_, **__: asked.append(True) or {})
    assert read_email("o'neil@shop.com") == "o'neil@shop.com"
    assert asked == []


@table(
    ("text", "regions", "number"),
    [
        ("5555555555.0", ["US"], "+15555555555"),
        ("5555555555.000000000", ["US"], "+15555555555"),
        ("5555555555.0000000000", ["US"], None),
        ("5555555555.", ["US"], "+15555555555"),
        (" 0044 7400 123456 ", ["US"], "+447400123456"),
        ("(00) 44 7400 123456", ["US"], None),
        ("(0049) 1512 3456789", ["US"], "+4915123456789"),
        ("00--49 1512 3456789", ["US"], "+4915123456789"),
        ("00 - 49 1512 3456789", ["US"], "+4915123456789"),
        ("00  - 49 1512 3456789", ["US"], None),
        ("00(49) 1512 3456789", ["US"], "+4915123456789"),
        ("0044 20 7946 0018", ["DE"], "+442079460018"),  # 442079460018 is possible in Germany too
        ("4915123456789", ["US"], "+4915123456789"),  # without its plus, and of no length here
        ("4915123456789", ["US", "FR"], "+4915123456789"),
        ("447400123456", ["FR", "US"], "+447400123456"),
        ("07400 123456", ["FR", "GB"], "+447400123456"),  # known there, only possible in France
        ("7400 123456", ["US", "GB"], "+447400123456"),
        ("+49", ["US"], None),
        ("+", ["US"], None),
    ],
)
def test_numbers_as_people_write_them(text: str, regions: list[str], number: str | None) -> None:
    """A spreadsheet's number, a prefix for abroad, a code without its plus; a number that is known
    goes before one that is only possible."""
    assert read_phone(text, regions) == number


@table(
    ("value", "number"),
    [
        *((value, "+16175550123") for value in (6175550123, 6175550123.0, "6175550123")),
        *((value, None) for value in (True, False, 0, 0.5, 1, -6175550123, 1e15, 10**15, 10**300)),
        *((value, None) for value in (float("1e300"), [6175550123], {}, {"a": 1})),
        (123456789012345, None),
        (999_999_999_999_999, None),
        (4915123456789, "+4915123456789"),
        (6175550123.5, None),
    ],
)
def test_a_number_that_is_sent_as_a_number(make_integration: Make, value: Any, number: Any) -> None:
    """Digits are a phone number; a truth, a fraction, a list and what is too long are none."""
    found = identify(Submission({"phone_number": value}), make_integration(mapping=BOTH))
    assert (found.phone, found.known) == (number, number is not None)
    if number is None:
        assert found.warnings == [
            PlanWarning(
                "phone_not_usable",
                "phone_number",
                None,
                "phone_number holds no phone address that can be used and believed.",
            )
        ]


@pytest.mark.parametrize(
    ("country", "value", "number"),
    [
        ("DE", 999_999_999_999_999, "+49999999999999999"),
        ("DE", 0.5, None),  # not 0500000
        ("DE", 1.5, None),
        ("JP", 10**15, None),
        ("JP", 10.0**15, None),
    ],
)
def test_where_many_lengths_are_possible(
    make_integration: Make, country: str, value: Any, number: str | None
) -> None:
    """At most the 15 digits of E.164 are a number there too, and a fraction is none."""
    integration = make_integration(mapping=BOTH, jebbit={"default_phone_country": country})
    assert identify(Submission({"phone_number": value}), integration).phone == number


@pytest.mark.parametrize(
    ("given", "usable"),
    [
        ({"phone_number": "617 555 0123"}, True),
        ({"phone_number": "617 555 0123", "email": "nobody"}, True),
        ({"phone_number": "12"}, False),
        ({"phone_number": "12", "email": ADA}, False),
        ({"phone_number": "12", "email": "nobody"}, False),
        ({"email": "nobody"}, None),
        ({"email": ADA}, None),
    ],
)
def test_whether_a_phone_number_can_be_used(
    make_integration: Make, given: Any, usable: Any
) -> None:
    """Drift counts those that cannot."""
    found = identify(Submission(given), make_integration(mapping=BOTH))
    assert found.phone_usable is usable


def test_countries_that_were_read_already_say_whose_number_it_is(make_integration: Make) -> None:
    """One that has no telephone numbers says nothing; then the integration's own does."""
    given = Submission({"phone_number": "07400 123456", "country_code": "GB"})
    integration = make_integration(mapping=BOTH)
    assert identify(given, integration).phone == "+447400123456"
    assert identify(given, integration, ["FR"]).phone != "+447400123456"
    for none in (["AQ"], [None], []):
        found = identify(Submission({"phone_number": "617 555 0123"}), integration, none)
        assert found.phone == "+16175550123"


def test_the_digits_of_a_number_and_whether_it_takes_texts() -> None:
    """By its own country's plan."""
    assert national_digits("+4915123456789") == "15123456789"
    for each in ("+4915123456789", "+16175550123", "+15555555555"):  # the last of no kind known
        assert takes_sms(each)
    assert not any(map(takes_sms, ("+4930123456", "+19005551234")))


def test_without_a_keyword_none_is_sent(make_integration: Make) -> None:
    """With one, it is."""
    for keyword in (None, "join"):
        integration = make_integration(cordial={"sms": {"program": "main", "keyword": keyword}})
        identity = Identity(None, "+16175550123", None, [])
        body = contact_body(integration, identity, Statuses(sms=SUBSCRIBED), {})
        program = body["channels"]["sms"]["programs"]["main"]
        assert program.get("keyword", None) == keyword
        assert ("keyword" in program) is (keyword is not None)
