"""Who the contact is, and the body that Cordial's upsert takes.

Source of the body's form: Cordial's description of `POST /v2/contacts`, and its help pages for the
SMS channel (a status per program, `suppressDOI`) and for `forceSubscribe`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumberType
from pydantic import JsonValue

from app.jebbit.documents import SHOWS_NOTHING
from app.jebbit.submission import Attribute, Submission
from app.rules.integration import Integration, Sms
from app.rules.mapping import PlanWarning
from app.rules.policy import Status, is_believed, read_countries
from app.rules.usual_addresses import usual_email, usual_phone

_LONGEST_ADDRESS = 320  # what no address exceeds is not worth parsing


class Identity(NamedTuple):
    """The addresses a submission gives its contact; `phone` is E.164, with the plus.

    `doubt` says why an address that is there may have come from the page's URL.
    """

    email: str | None
    phone: str | None
    doubt: str | None
    warnings: Sequence[PlanWarning]

    @property
    def known(self) -> bool:
        """Whether there is any usable address."""
        return bool(self.email or self.phone)

    @property
    def phone_usable(self) -> bool | None:
        """Whether the phone number can be used; None where none is given."""
        unusable = any(each.code == "phone_not_usable" for each in self.warnings)
        return not unusable if self.phone or unusable else None


class Statuses(NamedTuple):
    """What a contact's channels are asked to become; None leaves one as it is."""

    email: Status | None = None
    sms: Status | None = None
    force: bool = False


def identify(
    submission: Submission,
    integration: Integration,
    countries: Sequence[str | None] | None = None,
) -> Identity:
    """Read the addresses of a submission, by the rules that name them.

    `countries` is what `read_countries` makes of it, where the caller has asked already.
    """
    source = integration.jebbit
    email_name, phone_name = integration.email_attribute, integration.phone_attribute
    email = submission.find(email_name) if email_name else None
    phone = submission.find(phone_name) if phone_name else None
    address = number = doubt = None
    warnings = []
    if phone:
        if is_believed(phone, source):
            if countries is None:
                countries = read_countries(submission, source)
            regions = dict.fromkeys([*filter(None, countries), source.default_phone_country])
            number = normalize_phone(_text(phone), tuple(regions))
        else:
            doubt = phone.doubt
    if email:
        if is_believed(email, source):
            address = normalize_email(_text(email))
        else:
            doubt = email.doubt
        if not address:
            warnings.append(_unusable(email, "email"))
    if phone and not number:
        warnings.append(_unusable(phone, "phone"))
    return Identity(address, number, doubt, warnings)


def normalize_email(text: str | None) -> str | None:
    """Return an email address as contacts are compared: trimmed and lower-cased; else None.

    A hash, which Jebbit's `hash_pii` sends in its place, is no address.
    """
    if text is None or len(text) > _LONGEST_ADDRESS:
        return None
    return usual_email(text) or read_email(text)


def read_email(text: str) -> str | None:
    """Return what email-validator makes of a text, lower-cased."""
    try:
        # test_environment asks no name server, and lets a team rehearse with addresses under .test
        found = validate_email(text.strip(SHOWS_NOTHING), test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


def normalize_phone(text: str | None, regions: Sequence[str]) -> str | None:
    """Return a phone number, as people write them, in E.164; None where it cannot be one.

    A number that a country's plan knows goes before one that only has a possible length. Possible
    is enough: Jebbit's own sample is 555-555-5555, and number plans change faster than the tables
    that describe them. Too short to be dialled from elsewhere is not possible.

    Args:
        text: as the person typed it.
        regions: ISO 3166 alpha-2, whose national form counts where no country code is given; the
            likeliest first. One that has no telephone numbers says nothing.
    """
    if text is None or len(text) > _LONGEST_ADDRESS:
        return None
    return usual_phone(text, regions) or read_phone(text, regions)


def read_phone(text: str, regions: Sequence[str]) -> str | None:
    """Return what phonenumbers makes of a text, however people write it, in E.164."""
    plain = _DECIMAL.sub("", text.strip())
    if match := _INTERNATIONAL_PREFIX.match(plain):
        plain = f"+{plain[match.end() :]}"
    possible = list(filter(None, (_parse(plain, region) for region in regions)))
    known = [each for each in possible if phonenumbers.is_valid_number(each)]
    if not possible:  # it may lack the plus before the country's code
        with_plus = _parse(f"+{plain}")
        known = [with_plus] if with_plus and phonenumbers.is_valid_number(with_plus) else []
    number = next(iter([*known, *possible]), None)
    if number is None:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_DECIMAL: Final = re.compile(r"\.0{,9}\Z")  # a spreadsheet's number: 5555555555.0
_INTERNATIONAL_PREFIX: Final = re.compile(r"\(?00[\s-]{0,3}(?=[1-9(])")
# Mexico's mobile numbers had a 1 after the country code until 2019. People still write it;
# phonenumbers does not read it any more.
_MEXICAN_MOBILE: Final = re.compile("1[0-9]{10}")


def _parse(text: str, region: str | None = None) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    national = str(number.national_number)
    if text.startswith("+52") and _MEXICAN_MOBILE.fullmatch(national):
        number = phonenumbers.PhoneNumber(52, int(national[1:]))
    reason = phonenumbers.is_possible_number_with_reason(number)
    return number if reason == phonenumbers.ValidationResult.IS_POSSIBLE else None


def national_digits(e164: str) -> str:
    """Return the digits of a number without its country's code."""
    return phonenumbers.national_significant_number(phonenumbers.parse(e164))


def takes_sms(e164: str) -> bool:
    """Whether a number may get texts: a mobile's, or one whose kind its country does not tell."""
    return phonenumbers.number_type(phonenumbers.parse(e164)) in _TAKE_SMS


_TAKE_SMS: Final = frozenset(
    (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.UNKNOWN)
)


def contact_body(
    integration: Integration,
    identity: Identity,
    statuses: Statuses,
    fields: Mapping[str, JsonValue],
    identify_by: Sequence[str] = (),
) -> dict[str, JsonValue]:
    """Build the upsert's body; what is not in it stays in Cordial as it is.

    `identify_by` are the secondary keys by which Cordial may look for the contact.
    """
    cordial = integration.cordial
    channels: dict[str, JsonValue] = {}
    if identity.email:
        channels[cordial.email_channel] = _email_channel(identity.email, statuses.email)
    if identity.phone:
        channels[integration.sms.channel] = _sms_channel(
            identity.phone, statuses.sms, integration.sms
        )
    body: dict[str, JsonValue] = {"channels": channels, **fields}
    body["suppressTriggers"] = cordial.suppress_triggers
    if statuses.force:
        body["forceSubscribe"] = True
    if identify_by:
        body["identifyBy"] = list[JsonValue](identify_by)
    return body


def _email_channel(address: str, status: Status | None) -> dict[str, JsonValue]:
    channel: dict[str, JsonValue] = {"address": address}
    if status:
        channel["subscribeStatus"] = status.value
    return channel


def _sms_channel(phone: str, status: Status | None, sms: Sms) -> dict[str, JsonValue]:
    address = phone if sms.address_format == "e164" else phone.removeprefix("+")
    channel: dict[str, JsonValue] = {"address": address}
    if status and sms.program:
        program: dict[str, JsonValue] = {"subscribeStatus": status.value}
        if status is Status.SUBSCRIBED:
            program["suppressDOI"] = sms.suppress_doi
            if sms.keyword:
                program["keyword"] = sms.keyword
        channel["programs"] = {sms.program: program}
    return channel


def _text(attribute: Attribute) -> str | None:
    """Return an address as text; a form may send a phone number as a JSON number."""
    value = attribute.value
    if isinstance(value, int | float) and 0 < value < 10**15 and value == int(value):
        return str(int(value))  # E.164 has at most 15 digits
    return value if isinstance(value, str) else None


def _unusable(found: Attribute, kind: str) -> PlanWarning:
    return PlanWarning(
        code=f"{kind}_not_usable",
        attribute=found.key,
        field=None,
        detail=f"{found.key} holds no {kind} address that can be used and believed.",
    )
