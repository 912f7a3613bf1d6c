"""A mapping suggested from a sample's attributes and an account's fields, with the reason of each.

It only suggests: a person sees each row with its value before anything is saved.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Final, NamedTuple

from pydantic import JsonValue

from app.jebbit.folding import fold, letters_of
from app.jebbit.submission import is_present
from app.rules.contact import read_email
from app.rules.integration import Integration
from app.rules.mapping import GEO_PARTS, NEVER_UNMAPPED, RESERVED_FIELDS
from app.rules.values import FieldType, NotConvertible, convert, parse_date


class Offered(NamedTuple):
    """A field that an account has: an attribute, or a list."""

    key: str
    type: FieldType


class Suggestion(NamedTuple):
    """Where an attribute may go; `field` is None if nowhere. `why` is a short sentence."""

    attribute: str
    field: str | None
    type: FieldType
    why: str
    separator: str | None = None  # what parts a text into the items of an array


class Addresses(NamedTuple):
    """The fields of a contact's addresses, by the channels of the integration."""

    email: str = "channels.email.address"
    phone: str = "channels.sms.address"


def addresses_of(integration: Integration) -> Addresses:
    """Return the fields of the addresses, by the channels of an integration."""
    email, sms = integration.cordial.email_channel, integration.sms.channel
    return Addresses(f"channels.{email}.address", f"channels.{sms}.address")


_USUAL_ADDRESSES: Final = Addresses()
_USUALLY_READ: Final = frozenset(("opt_in", "sms_opt_in", "country_code", "aws_region"))


def suggest(
    sample: Mapping[str, JsonValue],
    offered: Sequence[Offered] | None,
    addresses: Addresses = _USUAL_ADDRESSES,
    read: Set[str] = _USUALLY_READ,
) -> list[Suggestion]:
    """Suggest where each attribute of a sample goes, in the order of the sample.

    No field is suggested twice: the better reason has it, then the earlier attribute.

    Args:
        sample: the attributes with their values.
        offered: the fields of the account; None if it does not tell.
        addresses: the fields that name the contact.
        read: the attributes that the policy reads: they go to a field of their very name alone.
    """
    read = {letters_of(name) for name in read}
    fields = {each.key: each.type for each in offered or () if each.key not in RESERVED_FIELDS}
    found = dict(_named(sample, addresses))
    taken = {each.field for each in found.values()}
    ordinary = [key for key, value in sample.items() if key not in found and _may_go(key, value)]
    for reason in _REASONS:
        for key in ordinary:
            guessed = reason.guesses and (letters_of(key) in read or fold(key) in _TECHNICAL)
            if key in found or guessed:
                continue
            field = reason.find(key, sample[key], fields, taken)
            if field is not None:
                found[key] = _fitting(key, sample[key], field, fields, reason.says)
                taken.add(field)
    return [
        found.get(key)
        or Suggestion(key, None, *_nowhere(key, value, read, told=offered is not None))
        for key, value in sample.items()
    ]


def same_name(name: str, known: Sequence[str]) -> str | None:
    """Return the one of these that is the same but for case, spaces, dots and dashes."""
    if name in known:
        return name
    return next((each for each in known if letters_of(each) == letters_of(name)), None)


def type_of(value: JsonValue) -> FieldType:
    """Return the type of field that a value looks like."""
    match value:
        case list():
            return "array"
        case bool():
            return "list"
        case int() | float():
            return "number"
        case str() if _is_date(value):
            return "date"
        case _:
            return "string"


# --- Who the contact is ---------------------------------------------------------------------------

_EMAILS: Final = frozenset("email emailaddress mail mailaddress useremail customeremail".split())
_PHONES: Final = frozenset(
    "phone phonenumber mobile mobilephone mobilenumber cell cellphone cellnumber tel telephone "
    "telephonenumber smsnumber smsphone".split()
)


def _named(
    sample: Mapping[str, JsonValue], addresses: Addresses
) -> Iterator[tuple[str, Suggestion]]:
    """Yield the attributes that hold an address: one for each channel."""
    emails = [key for key in sample if letters_of(key) in _EMAILS]
    emails += [key for key, value in sample.items() if _is_email(value) and key not in emails]
    phones = [key for key in sample if letters_of(key) in _PHONES and key not in emails[:1]]
    for keys, field, what in (
        (emails, addresses.email, "email address"),
        (phones, addresses.phone, "phone number"),
    ):
        if keys:
            why = f"This {what} names the contact."
            if keys is emails and is_present(sample[keys[0]]) and not _is_email(sample[keys[0]]):
                why = (
                    "It should name the contact, but is no email address: is hash_pii on in Jebbit?"
                )
            yield keys[0], Suggestion(keys[0], field, "string", why)


def _is_email(value: JsonValue) -> bool:
    return isinstance(value, str) and "@" in value and read_email(value) is not None


# --- What is no answer ----------------------------------------------------------------------------

# Technical keys of a Jebbit session (its webhook's documentation): a person answers none of them.
_TECHNICAL: Final = NEVER_UNMAPPED | frozenset(
    "user_session_id jebbit_id elapsed_time business_name campaign_id is_mobile is_valid "
    "is_completed created_at form_field_dropdown_values aws_region device_type browser os".split()
)


def _may_go(key: str, value: JsonValue) -> bool:
    """Whether an attribute may be suggested for a field of its very name."""
    return not isinstance(value, dict) and not key.startswith("$") and fold(key) not in _UNSENT


_UNSENT: Final = NEVER_UNMAPPED | {"form_field_dropdown_values"}


def _nowhere(key: str, value: JsonValue, read: Set[str], *, told: bool) -> tuple[FieldType, str]:
    """Return what an attribute looks like that goes nowhere, and why it does not."""
    if isinstance(value, dict) or key.startswith("$"):
        return "string", "It holds several values in one, which no field takes."
    if letters_of(key) in read:
        why = "Read to decide whom to send and subscribe; it needs no field."
    elif fold(key) in _TECHNICAL:
        why = "Technical: no answer of the person."
    elif letters_of(key) in _EMAILS | _PHONES:
        why = "Another attribute names the contact already."
    elif told:
        why = "The account has no field like it."
    else:
        why = "The account does not tell what it has; write the field."
    return type_of(value), why


# --- Which field ----------------------------------------------------------------------------------

_Find = Callable[[str, JsonValue, Mapping[str, FieldType], set[str | None]], str | None]


class _Reason(NamedTuple):
    find: _Find
    says: str
    guesses: bool = True


def _same(
    key: str, value: JsonValue, fields: Mapping[str, FieldType], taken: set[str | None]
) -> str | None:
    return key if key in fields and key not in taken and fields[key] != "geo" else None


def _spelled(
    key: str, value: JsonValue, fields: Mapping[str, FieldType], taken: set[str | None]
) -> str | None:
    return _only(
        field
        for field, kind in _left(fields, taken)
        if letters_of(field) == letters_of(key) and kind != "geo"
    )


def _synonym(
    key: str, value: JsonValue, fields: Mapping[str, FieldType], taken: set[str | None]
) -> str | None:
    meant = _meaning(key)
    return _only(
        field for field, kind in _left(fields, taken) if _meaning(field) == meant and kind != "geo"
    )


def _part_of_place(
    key: str, value: JsonValue, fields: Mapping[str, FieldType], taken: set[str | None]
) -> str | None:
    """Return the part of the account's one place that an attribute is, such as `home.city`."""
    place = _only(field for field, kind in fields.items() if kind == "geo")
    part = _PARTS.get(_meaning(key))
    field = f"{place}.{part}" if place and part else None
    return field if field not in taken else None


def _longer(
    key: str, value: JsonValue, fields: Mapping[str, FieldType], taken: set[str | None]
) -> str | None:
    """Return the only field of which the name has all words of the attribute's, or the reverse."""
    words = set(_words(key))
    return _only(
        field
        for field, kind in _left(fields, taken)
        if kind != "geo"
        and (words < (others := set(_words(field))) or others < words)
        and _converts(value, kind)
    )


def _alike(
    key: str, value: JsonValue, fields: Mapping[str, FieldType], taken: set[str | None]
) -> str | None:
    if len(key) < _SHORTEST_ALIKE:
        return None
    by_name = {fold(field): field for field, kind in _left(fields, taken) if kind != "geo"}
    near = get_close_matches(fold(key), list(by_name), n=2, cutoff=_ALIKE)
    return (
        by_name[near[0]] if len(near) == 1 and _converts(value, fields[by_name[near[0]]]) else None
    )


_ALIKE: Final = 0.85  # of difflib's likeness
_SHORTEST_ALIKE: Final = 5  # letters: shorter names are alike by chance

_REASONS: Final[Sequence[_Reason]] = (
    _Reason(_same, "The account has a field of this name.", guesses=False),
    _Reason(_spelled, "The account writes it so.", guesses=False),
    _Reason(_synonym, "The account's word for it."),
    _Reason(_part_of_place, "A part of the account's place."),
    _Reason(_longer, "The only field with these words in its name."),
    _Reason(_alike, "Nearly the same name."),
)


def _left(
    fields: Mapping[str, FieldType], taken: set[str | None]
) -> Iterator[tuple[str, FieldType]]:
    return ((field, kind) for field, kind in fields.items() if field not in taken)


def _only(found: Iterator[str]) -> str | None:
    """Return what is found, if it is one alone: two are a guess."""
    first, second = next(found, None), next(found, None)
    return first if second is None else None


def _fitting(
    key: str, value: JsonValue, field: str, fields: Mapping[str, FieldType], says: str
) -> Suggestion:
    kind = fields.get(field, "geo")  # a part of a place is no key of its own
    doubt = "" if _converts(value, kind) else f" This value is no {kind}, so look twice."
    separator = _separator(value) if kind == "array" else None
    return Suggestion(key, field, kind, says + doubt, separator)


def _separator(value: JsonValue) -> str | None:
    """Return what parts a text into items."""
    return next((sign for sign in "|;," if sign in value), None) if isinstance(value, str) else None


def _converts(value: JsonValue, kind: FieldType) -> bool:
    """Whether a value has a form of this type; one that is absent speaks against none."""
    if not is_present(value):
        return True
    try:
        convert(value, kind, None)
    except NotConvertible:
        return False
    return not isinstance(value, list) or kind in ("array", "string")


def _is_date(text: str) -> bool:
    if not any(sign in text for sign in "-/:"):  # a bare number is none
        return False
    try:
        parse_date(text)
    except NotConvertible:
        return False
    return True


# --- Words ----------------------------------------------------------------------------------------

_SYNONYMS: Final = (
    "firstname first fname givenname forename",
    "lastname last lname surname familyname",
    "birthday birthdate dateofbirth dob bday birth",
    "zip zipcode postalcode postcode postal",
    "street streetaddress address address1 addressline1",
    "city town",
    "state province region stateprovince",
    "country countryname",
    "countrycode countryiso",
    "gender sex",
    "language lang locale preferredlanguage",
    "outcome result quizoutcome quizresult outcomename resultname",
    "score points quizscore",
    "newsletter newslettersignup newslettersubscription",
    "comment comments feedback message remark remarks",
    "company companyname organization organisation employer",
    "jobtitle job position occupation",
)
_MEANINGS: Final[Mapping[str, str]] = {
    word: each.split()[0] for each in _SYNONYMS for word in each.split()
}
_PARTS: Final[Mapping[str, str]] = {
    "zip": "postal_code",
    "street": "street_address",
    "countrycode": "countryISO",
    "timezone": "tz",
    "latitude": "loc.lat",
    "longitude": "loc.lon",
    **{part: part for part in GEO_PARTS if part.isalpha()},
}
_BRITISH: Final = (("colour", "color"), ("favourite", "favorite"))


def _meaning(name: str) -> str:
    letters = _american(letters_of(name))
    return _MEANINGS.get(letters, letters)


def _words(name: str) -> Sequence[str]:
    return [word.removesuffix("s") for word in _american(fold(name)).split("_") if len(word) > 1]


def _american(text: str) -> str:
    for british, american in _BRITISH:
        text = text.replace(british, american)
    return text
