"""Who the contact is, and the body that Cordial's upsert takes.

Source of the body's form: Cordial's description of `POST /v2/contacts`, and its help pages for the
SMS channel (a status per program, `suppressDOI`) and for `forceSubscribe`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import phonenumbers
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import JsonValue

from app.jebbit.submission import Attribute, Submission
from app.rules.integration import Integration, JebbitSource, Sms
from app.rules.mapping import RESERVED_FIELDS, PlanWarning
from app.rules.policy import Status, believed, read_country

_LONGEST_ADDRESS = 320  # what no address exceeds is not worth parsing


@dataclass(slots=True)
class Identity:
    """The addresses a submission gives its contact; `phone` is E.164, with the plus.

    `untrusted` says that an address was there but may have come from the page's URL.
    """

    email: str | None
    phone: str | None
    untrusted: bool
    warnings: Sequence[PlanWarning]

    @property
    def known(self) -> bool:
        """Whether there is any usable address."""
        return bool(self.email or self.phone)


@dataclass(slots=True)
class Statuses:
    """What a contact's channels are asked to become; None leaves one as it is."""

    email: Status | None = None
    sms: Status | None = None
    force: bool = False


def identify(submission: Submission, integration: Integration) -> Identity:
    """Read the addresses of a submission, by the rules that name them."""
    source = integration.jebbit
    email_name, phone_name = integration.email_attribute, integration.phone_attribute
    email = submission.find(email_name) if email_name else None
    phone = submission.find(phone_name) if phone_name else None
    emails = phones = None
    believed_email, believed_phone = believed(email, source), believed(phone, source)
    if believed_email:
        emails = normalize_email(_text(believed_email.value))
    if believed_phone:
        text = _text(believed_phone.value)
        phones = normalize_phone(text, _phone_region(submission, source))
    warnings = []
    if email and not emails:
        warnings.append(_unusable(email, "email"))
    if phone and not phones:
        warnings.append(_unusable(phone, "phone"))
    untrusted = email is not believed_email or phone is not believed_phone
    return Identity(emails, phones, untrusted, warnings)


def _phone_region(submission: Submission, source: JebbitSource) -> str:
    country = read_country(submission, source)
    return country if country in phonenumbers.SUPPORTED_REGIONS else source.default_phone_country


def normalize_email(text: str | None) -> str | None:
    """Return an email address as contacts are compared: trimmed and lower-cased; else None.

    A hash, which Jebbit's `hash_pii` sends in its place, is no address.
    """
    if text is None or "@" not in text or len(text) > _LONGEST_ADDRESS:
        return None
    address = text.strip().lower()
    if (
        len(address) <= _LONGEST_LABEL
        and _PLAIN_EMAIL.fullmatch(address)
        and address.rpartition(".")[2] not in _SPECIAL
    ):
        return address
    try:
        # test_environment lets a team rehearse with addresses under .test
        found = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return found.normalized.lower()


# The many addresses that email-validator takes as they are; it takes twenty times as long for the
# same answer. Whatever is longer than one label of a domain may be, or written in any less usual
# way, is left to it.
_LONGEST_LABEL = 63
_PLAIN_EMAIL = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}"
)
# Under .test a team may rehearse; it is left to email-validator, as the others are.
_SPECIAL = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)


def normalize_phone(text: str | None, region: str) -> str | None:
    """Return a phone number in E.164, or None where it cannot be one.

    Args:
        text: as the person typed it.
        region: ISO 3166 alpha-2, whose national form counts where no country code is given.
    """
    if text is None or len(text) > _LONGEST_ADDRESS:
        return None
    plain = _NORTH_AMERICAN.fullmatch(text)
    if plain and (text.startswith("+") or region in _NORTH_AMERICA):
        return "+1" + "".join(plain.groups())
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # Possible, not "valid": Jebbit's own sample is 555-555-5555, and number plans change faster
    # than the tables that describe them. Too short to be dialled from elsewhere is not possible.
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# The usual ways to write a number of the North American plan: ten digits, possible wherever they
# do not start with one of the plan's prefixes. phonenumbers reads the same, twenty times slower.
_NORTH_AMERICAN = re.compile(
    r"(?:\+?1[-. ]?)?\(?([2-9][0-9]{2})(?:\) ?|[-. ])?([0-9]{3})[-. ]?([0-9]{4})"
)
_NORTH_AMERICA = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])


def contact_body(
    integration: Integration,
    identity: Identity,
    statuses: Statuses,
    fields: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """Build the upsert's body; what is not in it stays in Cordial as it is."""
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
    if cordial.identify_by:
        body["identifyBy"] = list[JsonValue](cordial.identify_by)
    return body


def without_fields(
    body: Mapping[str, JsonValue], fields: Sequence[str]
) -> dict[str, JsonValue] | None:
    """Return a body without the fields that Cordial refused.

    A geo attribute goes with all its parts. None where there is nothing to leave out, or where a
    refused one is no field of ours (an address, a status): the rest would not be taken either.
    """
    refused = set(fields)
    dropped = {
        key for key in body if key not in RESERVED_FIELDS and {key, key.partition(".")[0]} & refused
    }
    named = dropped | {key.partition(".")[0] for key in dropped}
    if not refused or refused - named:
        return None
    return {key: value for key, value in body.items() if key not in dropped}


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


def _text(value: JsonValue) -> str | None:
    """Return an address as text; a form may send a phone number as a JSON number."""
    match value:
        case str():
            return value
        case bool():
            return None
        case int() if 0 < value < 10**15:  # E.164 has at most 15 digits
            return str(value)
        case _:
            return None


def _unusable(found: Attribute, kind: str) -> PlanWarning:
    return PlanWarning(
        code=f"{kind}_not_usable",
        attribute=found.key,
        field=None,
        detail=f"{found.key} holds no {kind} address that can be used and believed.",
    )
