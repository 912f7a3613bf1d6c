"""The account behind the sandbox: what a write does to Cordial's contacts. No HTTP and no clock.

The letters in comments say how a rule is known: S Cordial's Swagger file of API v2, H its help
centre, R recorded real answers, C code of working clients, ? not published. An open question that
a client could notice is one of the `Switches`; the others are settled where they arise.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from math import inf
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, JsonValue, field_validator

Json: TypeAlias = dict[str, JsonValue]
Errors: TypeAlias = dict[str, list[str]]
Status: TypeAlias = Literal["none", "subscribed", "unsubscribed", "pendingDOI"]
Permission: TypeAlias = Literal[
    "GET contacts",
    "POST contacts",
    "PUT contacts",
    "DELETE contacts",
    "PUT contacts/unsubscribe",
    "GET accountcontactattributes",
    "POST accountcontactattributes",
    "PUT accountcontactattributes",
    "DELETE accountcontactattributes",
    "GET accountlists",
    "POST accountlists",
]

# What a client may ask for; pendingDOI is only ever Cordial's answer to `subscribed`. S, H
ASKABLE: dict[str, Status] = {
    "none": "none",
    "subscribed": "subscribed",
    "unsubscribed": "unsubscribed",
}
RESERVED = {"channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID"}
GEO_NUMBERS = {"loc.lat", "loc.lon"}
GEO_PARTS = GEO_NUMBERS | {
    "street_address",
    "street_address2",
    "city",
    "state",
    "postal_code",
    "country",
    "countryISO",
    "tz",
}
MAX_CHARACTERS = 128  # of a string, or of one item of an array, where the account sets none. S
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
PHONE = re.compile(r"\+?[0-9]{7,15}")


class Fixture(BaseModel):
    """Base of what a person may write down: a misspelt key is refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Validators(Fixture):
    """Limits of an attribute: characters of a string or array item, value of a number. S."""

    min: int | float | None = None
    max: int | float | None = None
    required: bool = False
    maxitems: Annotated[int, Field(ge=1)] = 25


class Attribute(Fixture):
    """A contact attribute of the account. There is no boolean type: that is list membership. S."""

    type: Literal["string", "number", "date", "geo", "array"]
    name: str = ""
    validators: Validators = Validators()


class Account(Fixture):
    """What an administrator has set up in Cordial before the first contact arrives.

    `sms_channels` maps channel to program to keywords, `api_keys` maps a key to its permissions
    (None: all), `rate_limit` is the number of calls per `rate_window_seconds` and endpoint.
    """

    attributes: dict[str, Attribute] = {}
    lists: list[str] = []
    email_channels: list[str] = ["email"]
    sms_channels: dict[str, dict[str, list[str]]] = {"sms": {"main": ["join"]}}
    api_keys: dict[str, list[Permission] | None] = {"sandbox-key": None}
    allowed_ips: list[IPvAnyNetwork] | None = None
    timezone: str = "UTC"
    rate_limit: Annotated[int, Field(ge=1)] | None = None
    rate_window_seconds: Annotated[int, Field(ge=1)] = 1

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zone_of(name)
        except (KeyError, ValueError, OSError) as unknown:
            raise ValueError(f"no time zone named {name!r}") from unknown
        return name


class Switches(Fixture):
    """Open questions of Cordial's contract. A client must work with either setting of each."""

    unknown_field: Literal["reject", "drop"] = "reject"
    """An attribute or list the account lacks: 422 for the whole write (R), or just dropped."""

    update_status: Literal[200, 201] = 200
    """What POST answers when the contact was there before (C has seen both)."""

    denied_status: Literal[401, 403] = 401
    """What a wrong IP or a missing permission gets. A bad key is always 401."""

    unsubscribed: Literal["keep", "reject"] = "keep"
    """`subscribed` without forceSubscribe for someone unsubscribed: 2xx and unchanged, or 422."""

    force_on_post: bool = True
    """Whether POST honours forceSubscribe (H, C) or only PUT does (S)."""

    email_required: bool = False
    """Whether every write must carry channels.email (S), or SMS-only ones pass too (C)."""

    attributes_shape: Literal["array", "object"] = "array"
    """GET /accountcontactattributes: an array (S), or an object keyed by attribute (C)."""

    success_body: Literal["full", "bare"] = "full"
    """Whether a 2xx of POST carries `message` and `cID`, or `success` alone."""

    lists_when_none: Literal[404, 200] = 404
    """GET /accountlists of an account without lists: 404 (S), or an empty array."""


def default_account() -> Account:
    """The account the demo sends to."""
    strings = ("first_name", "last_name", "quiz_outcome", "signup_source", "opt_in_status")
    return Account(
        attributes={
            **{key: Attribute(type="string") for key in strings},
            "comment": Attribute(type="string", validators=Validators(max=128)),
            "colors": Attribute(type="array"),
            "age": Attribute(type="number"),
            "score": Attribute(type="number"),
            "quiz_date": Attribute(type="date"),
            "home": Attribute(type="geo"),
        },
        lists=["weekly_deals", "vip"],
    )


def zone_of(name: str) -> tzinfo:
    """The account's zone. UTC needs no zone files, so a bare machine can run the demo."""
    return UTC if name == "UTC" else ZoneInfo(name)


class InvalidContact(Exception):
    """422 with `messages.validationErrors`: fields the account does not know or accept."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors)
        self.errors = errors


class ContactRefused(Exception):
    """422 with GENERIC_ERROR_KEY: the request as a whole cannot be done."""


class _Wrong(Exception):
    """One field's complaint, until all are gathered."""


@dataclass(frozen=True, slots=True)
class Program:
    """A contact's standing in one SMS program."""

    status: Status = "none"
    keyword: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """An address and its status. SMS keeps the status per program instead. H, C."""

    address: str
    status: Status = "none"
    programs: dict[str, Program] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact as held. Geo values lie flat under the dotted keys they were sent by."""

    cid: str
    created_at: datetime
    modified_at: datetime
    channels: dict[str, Channel] = field(default_factory=dict)
    attributes: Json = field(default_factory=dict)
    lists: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """What a write asks of one SMS program."""

    status: Status | None
    keyword: str | None
    suppress_doi: bool


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """What a write asks of one channel; no status means no change of it."""

    address: str
    status: Status | None = None
    programs: dict[str, ProgramChange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArrayChange:
    """`{"add": [...]}` or `{"remove": [...]}` in place of a whole list. C."""

    add: list[JsonValue]
    remove: list[JsonValue]


@dataclass(slots=True)
class Change:
    """A write that has been read and found acceptable on its own."""

    force: bool
    suppress_triggers: bool
    attributes: Json = field(default_factory=dict)
    arrays: dict[str, ArrayChange] = field(default_factory=dict)
    lists: dict[str, bool] = field(default_factory=dict)
    channels: dict[str, ChannelChange] = field(default_factory=dict)


# --- Attribute values -----------------------------------------------------------------------


def _within(size: float, limits: Validators, default_max: float | None, unit: str) -> None:
    low, high = limits.min, default_max if limits.max is None else limits.max
    if low is not None and size < low:
        raise _Wrong(f"must be at least {low}{unit}")
    if high is not None and size > high:
        raise _Wrong(f"may not be greater than {high}{unit}")


def _string(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    if not isinstance(value, str):
        raise _Wrong("must be a string")
    _within(len(value), limits, MAX_CHARACTERS, " characters")
    return value


def _number(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    # JSON's 1e400 is read as infinity, which no JSON can give back.
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) == inf:
        raise _Wrong("must be a number")
    _within(value, limits, None, "")
    return value


def _date(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None:
        raise _Wrong("must be a date in ISO 8601 format")
    # The trap a client must step over: without an offset the account's zone decides. C
    return (read if read.tzinfo else read.replace(tzinfo=zone)).isoformat()


def _items(value: JsonValue, limits: Validators) -> list[JsonValue]:
    if not isinstance(value, list):
        raise _Wrong("must be an array")
    for item in value:
        if not isinstance(item, str):
            _number(item, Validators(), UTC)
        _within(len(str(item)), limits, MAX_CHARACTERS, " characters per item")
    return value


def _array(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    return _items(value, limits)[-limits.maxitems :]


def _array_change(value: Json, limits: Validators) -> ArrayChange:
    if not value or not value.keys() <= {"add", "remove"}:
        raise _Wrong("must be an array, or an object of add and remove")
    return ArrayChange(
        add=_items(value.get("add", []), limits), remove=_items(value.get("remove", []), limits)
    )


def _geo(value: JsonValue, limits: Validators, zone: tzinfo) -> JsonValue:
    raise _Wrong("geo values are set by dotted keys such as home.city")


_READERS: dict[str, Callable[[JsonValue, Validators, tzinfo], JsonValue]] = {
    "string": _string,
    "number": _number,
    "date": _date,
    "array": _array,
    "geo": _geo,
}


# --- Reading a write ------------------------------------------------------------------------


def read_change(body: Json, account: Account, switches: Switches) -> Change:
    """Read a write's body by itself, before any contact is looked at.

    Raises `InvalidContact` with every field at fault, `ContactRefused` for a bad flag.
    """
    change = Change(
        force=_flag(body, "forceSubscribe", default=False),
        # True unless said: on the API, automations do not fire by themselves. S
        suppress_triggers=_flag(body, "suppressTriggers", default=True),
    )
    errors: Errors = {}
    for key, value in body.items():
        if key not in RESERVED:
            try:
                _read_field(change, key, value, account, switches)
            except _Wrong as wrong:
                errors[key] = [str(wrong)]
    _read_channels(change, body.get("channels", {}), account, errors)
    if switches.email_required and not change.channels.keys() & set(account.email_channels):
        errors.setdefault("channels.email", ["channels.email is required"])
    if errors:
        raise InvalidContact(errors)
    return change


def _flag(body: Json, key: str, *, default: bool) -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        raise ContactRefused(f"Incorrect value for {key}")  # the words are Cordial's: S
    return value


def _read_field(
    change: Change, key: str, value: JsonValue, account: Account, switches: Switches
) -> None:
    attribute = account.attributes.get(key)
    if key in account.lists and (attribute is None or isinstance(value, bool)):
        change.lists[key] = _membership(value)
    elif attribute is not None and attribute.type == "array" and isinstance(value, dict):
        change.arrays[key] = _array_change(value, attribute.validators)
    elif attribute is not None:
        read = _READERS[attribute.type]
        change.attributes[key] = read(value, attribute.validators, zone_of(account.timezone))
    elif _is_geo(key, account):
        change.attributes[key] = _read_geo(key, value)
    elif switches.unknown_field == "reject":
        raise _Wrong(f"key {key} is not part of the schema for this resource")  # R


def _membership(value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("must be true or false: it is a list")
    return value


def _is_geo(key: str, account: Account) -> bool:
    base, _, part = key.partition(".")
    attribute = account.attributes.get(base)
    return attribute is not None and attribute.type == "geo" and part in GEO_PARTS


def _read_geo(key: str, value: JsonValue) -> JsonValue:
    read = _number if key.partition(".")[2] in GEO_NUMBERS else _string
    return read(value, Validators(), UTC)


def _read_channels(change: Change, channels: JsonValue, account: Account, errors: Errors) -> None:
    if not isinstance(channels, dict):
        errors["channels"] = ["must be an object"]
        return
    for name, value in channels.items():
        try:
            change.channels[name] = _read_channel(name, value, account)
        except _Wrong as wrong:
            errors[f"channels.{name}"] = [str(wrong)]


def _read_channel(name: str, value: JsonValue, account: Account) -> ChannelChange:
    if name in account.email_channels:
        return _read_email(_fields(value, {"address", "subscribeStatus"}))
    if name in account.sms_channels:
        sms = _fields(value, {"address", "programs"})
        return _read_sms(sms, account.sms_channels[name])
    raise _Wrong(f"key channels.{name} is not part of the schema for this resource")


def _fields(value: JsonValue, known: set[str]) -> Json:
    if not isinstance(value, dict):
        raise _Wrong("must be an object")
    unknown = value.keys() - known
    if unknown:
        raise _Wrong(f"key {min(unknown)} is not part of the schema for this resource")
    return value


def _read_email(value: Json) -> ChannelChange:
    address = value.get("address")
    if not isinstance(address, str) or not EMAIL.fullmatch(address):
        raise _Wrong("address must be an email address")
    return ChannelChange(address.lower(), _asked_status(value))


def _read_sms(value: Json, programs: dict[str, list[str]]) -> ChannelChange:
    address = value.get("address")
    # Cordial's example has digits with the country code and no plus; whether a plus passes: ?
    if not isinstance(address, str) or not PHONE.fullmatch(address):
        raise _Wrong("address must be a phone number: digits with country code")
    asked = _fields(value.get("programs", {}), set(programs))
    read = {name: _read_program(asked[name], programs[name]) for name in asked}
    return ChannelChange(address, programs=read)


def _read_program(value: JsonValue, keywords: list[str]) -> ProgramChange:
    program = _fields(value, {"keyword", "subscribeStatus", "suppressDOI"})
    keyword, suppress = program.get("keyword"), program.get("suppressDOI", False)
    if not isinstance(suppress, bool):
        raise _Wrong("suppressDOI must be true or false")
    if "keyword" not in program:
        return ProgramChange(_asked_status(program), None, suppress)
    if not isinstance(keyword, str) or keyword not in keywords:
        raise _Wrong("keyword does not exist in the program")
    return ProgramChange(_asked_status(program), keyword, suppress)


def _asked_status(value: Json) -> Status | None:
    if "subscribeStatus" not in value:
        return None
    asked = value["subscribeStatus"]
    status = ASKABLE.get(asked) if isinstance(asked, str) else None
    if status is None:
        raise _Wrong("subscribeStatus must be none, subscribed or unsubscribed")
    return status


# --- Subscribe statuses ---------------------------------------------------------------------


def next_status(
    current: Status, asked: Status | None, *, forced: bool, switches: Switches
) -> Status:
    """Where a status goes. Only a forced `subscribed` leads out of `unsubscribed`. S, H."""
    if asked is None or current != "unsubscribed":
        return asked or current
    if asked == "subscribed" and forced:
        return "subscribed"
    if asked == "subscribed" and switches.unsubscribed == "reject":
        raise ContactRefused("Contact is unsubscribed: forceSubscribe is needed")
    return "unsubscribed"


def _next_program(
    current: Program, change: ProgramChange, *, forced: bool, switches: Switches
) -> Program:
    status = next_status(current.status, change.status, forced=forced, switches=switches)
    if status == "subscribed" and current.status != "subscribed" and not change.suppress_doi:
        status = "pendingDOI"  # until the person answers the text: H
    return Program(status, change.keyword or current.keyword)


def _next_channel(
    current: Channel, change: ChannelChange, *, forced: bool, switches: Switches
) -> Channel:
    programs = {
        name: _next_program(
            current.programs.get(name, Program()), asked, forced=forced, switches=switches
        )
        for name, asked in change.programs.items()
    }
    return Channel(
        change.address,
        next_status(current.status, change.status, forced=forced, switches=switches),
        current.programs | programs,
    )


def _next_array(current: JsonValue, change: ArrayChange, maxitems: int) -> list[JsonValue]:
    gone = change.remove + change.add  # an item added again counts as new: ?
    kept = [item for item in current if item not in gone] if isinstance(current, list) else []
    return [*kept, *change.add][-maxitems:]


# --- The contacts ---------------------------------------------------------------------------


def _comparable(address: str) -> str:
    """Two spellings of one address compare equal: letter case of emails, the plus of phones."""
    return address.lower().removeprefix("+")


def _addresses(contact: Contact) -> list[tuple[str, str]]:
    return [(name, _comparable(one.address)) for name, one in contact.channels.items()]


def _shown_programs(channel: Channel) -> Json:
    return {
        name: {"keyword": program.keyword, "subscribeStatus": program.status}
        for name, program in channel.programs.items()
    }


def _has_another_email(contact: Contact, change: Change, email_channels: list[str]) -> bool:
    return any(
        name in contact.channels and contact.channels[name].address != change.channels[name].address
        for name in email_channels
        if name in change.channels
    )


def _has_value(contact: Contact, key: str) -> bool:
    return any(
        value not in ("", []) and (name == key or name.startswith(f"{key}."))
        for name, value in contact.attributes.items()
    )


class Contacts:
    """All contacts of one account, and what writing them set off (texts, triggers).

    Every write is all or nothing: the contact after it is built first, then put in place.
    """

    def __init__(self, account: Account, switches: Switches) -> None:
        self.account = account
        self.switches = switches
        self.texts: list[Json] = []
        self.triggers: list[Json] = []
        self._by_cid: dict[str, Contact] = {}
        self._by_address: dict[tuple[str, str], str] = {}
        self._created = 0

    def __iter__(self) -> Iterator[Contact]:
        """Go through all contacts, oldest first."""
        return iter(self._by_cid.values())

    def __len__(self) -> int:
        """Count the contacts."""
        return len(self._by_cid)

    def find(self, key: str, value: JsonValue) -> Contact | None:
        """Look one contact up by cID, by a channel's address, or by an attribute's value."""
        if not isinstance(value, str | int | float):
            return None
        if key == "cID":
            return self._by_cid.get(str(value))
        channel = self._channel_named(key)
        if channel is not None:
            return self._by_cid.get(self._by_address.get((channel, _comparable(str(value))), ""))
        return next((one for one in self if one.attributes.get(key) == value), None)

    def upsert(self, body: Json, now: datetime) -> tuple[Contact, bool]:
        """POST: update the contact the body names, or create it. Also tells if it is new."""
        change = read_change(body, self.account, self.switches)
        change.force = change.force and self.switches.force_on_post
        found = self._identified(body, change)
        if found is None and not change.channels:
            # Both messages are Cordial's own: S
            raise ContactRefused("Contact doesn't exist" if "cID" in body else "Address not exists")
        return self._write(found, change, now), found is None

    def update(self, contact: Contact, body: Json, now: datetime) -> Contact:
        """PUT: change one contact; forceSubscribe always counts here. S."""
        return self._write(contact, read_change(body, self.account, self.switches), now)

    def unsubscribe(self, contact: Contact, channel: str, now: datetime) -> None:
        """Unsubscribe one channel, with all its programs."""
        current = contact.channels.get(channel)
        if current is None:
            raise ContactRefused("Channel doesn't exist")  # S
        programs = {
            name: replace(current.programs.get(name, Program()), status="unsubscribed")
            for name in self.account.sms_channels.get(channel, {})
        }
        ended = Channel(current.address, "unsubscribed", programs)
        channels = {**contact.channels, channel: ended}
        self._by_cid[contact.cid] = replace(contact, channels=channels, modified_at=now)

    def channels_of(self, contact: Contact) -> Json:
        """The contact's channels as Cordial shows them: an SMS status lives per program."""
        return {
            name: {"address": one.address, "programs": _shown_programs(one)}
            if name in self.account.sms_channels
            else {"address": one.address, "subscribeStatus": one.status}
            for name, one in contact.channels.items()
        }

    def delete(self, contact: Contact) -> None:
        """Forget a contact; its addresses are free again."""
        del self._by_cid[contact.cid]
        for address in _addresses(contact):
            del self._by_address[address]

    def _channel_named(self, key: str) -> str | None:
        # `sms` in a path and `channels.sms.address` in identifyBy mean the same. S
        name = key.removeprefix("channels.").removesuffix(".address")
        known = name in self.account.email_channels or name in self.account.sms_channels
        return name if known else None

    def _identified(self, body: Json, change: Change) -> Contact | None:
        for key in self._identify_by(body):
            found = self.find(key, self._sent_value(key, body, change))
            if found is not None:
                return found
        for key in ("cID", *self.account.email_channels):
            found = self.find(key, self._sent_value(key, body, change))
            if found is not None:
                return found
        return self._by_sms(change)

    def _by_sms(self, change: Change) -> Contact | None:
        """By phone only someone without another email: a shared phone makes no two people one."""
        for name in self.account.sms_channels:
            sms = change.channels.get(name)
            found = self.find(name, sms.address) if sms else None
            if found and not _has_another_email(found, change, self.account.email_channels):
                return found
        return None

    def _identify_by(self, body: Json) -> list[str]:
        asked = body.get("identifyBy", [])
        keys = [asked] if isinstance(asked, str) else asked  # one name or several: S
        if not isinstance(keys, list):
            raise ContactRefused("Search field is not correct")  # S
        return [self._searchable(key) for key in keys]

    def _searchable(self, key: JsonValue) -> str:
        if isinstance(key, str) and (
            key == "cID" or key in self.account.attributes or self._channel_named(key)
        ):
            return key
        raise ContactRefused("Search field is not correct")

    def _sent_value(self, key: str, body: Json, change: Change) -> JsonValue:
        if key == "cID":
            return body.get("cID")
        channel = change.channels.get(self._channel_named(key) or "")
        return channel.address if channel else change.attributes.get(key)

    def _write(self, found: Contact | None, change: Change, now: datetime) -> Contact:
        before = found or Contact(self._next_cid(), created_at=now, modified_at=now)
        after = self._merged(before, change, now)
        self._check_addresses(after)
        self._check_required(after)
        self._put(before, after)
        self._note_texts(before, after, now)
        if not change.suppress_triggers:
            self._note_triggers(before, after, now)
        return after

    def _next_cid(self) -> str:
        self._created += 1
        return f"{0x604F_3025 << 64 | self._created:024x}"

    def _merged(self, before: Contact, change: Change, now: datetime) -> Contact:
        """The contact after the change; what was not sent stays. R, C."""
        channels = {
            name: _next_channel(
                before.channels.get(name, Channel("")),
                asked,
                forced=change.force,
                switches=self.switches,
            )
            for name, asked in change.channels.items()
        }
        arrays: Json = {
            key: _next_array(
                before.attributes.get(key), asked, self.account.attributes[key].validators.maxitems
            )
            for key, asked in change.arrays.items()
        }
        joined = {name for name, member in change.lists.items() if member}
        return replace(
            before,
            modified_at=now,
            channels={**before.channels, **channels},
            attributes={**before.attributes, **change.attributes, **arrays},
            lists=(before.lists - change.lists.keys()) | joined,
        )

    def _check_addresses(self, after: Contact) -> None:
        # "Unique channel key and address for the contact" (S); what a clash gets: ?
        for address in _addresses(after):
            if self._by_address.get(address, after.cid) != after.cid:
                raise ContactRefused(f"{address[0]} address belongs to another contact")

    def _check_required(self, after: Contact) -> None:
        missing = [
            key
            for key, attribute in self.account.attributes.items()
            if attribute.validators.required and not _has_value(after, key)
        ]
        if missing:
            raise InvalidContact({key: [f"{key} is required"] for key in missing})

    def _put(self, before: Contact, after: Contact) -> None:
        for address in _addresses(before):
            self._by_address.pop(address, None)
        self._by_cid[after.cid] = after
        self._by_address.update(dict.fromkeys(_addresses(after), after.cid))

    def _note_texts(self, before: Contact, after: Contact, now: datetime) -> None:
        """Record the opt-in text that goes out as a program starts to wait for its answer. H."""
        for name, channel in after.channels.items():
            known = before.channels.get(name, Channel("")).programs
            for program, state in channel.programs.items():
                was = known.get(program, Program()).status
                if state.status == "pendingDOI" and was != "pendingDOI":
                    self.texts.append(
                        {
                            "at": now.isoformat(),
                            "cID": after.cid,
                            "to": channel.address,
                            "program": program,
                            "keyword": state.keyword,
                        }
                    )

    def _note_triggers(self, before: Contact, after: Contact, now: datetime) -> None:
        changed: list[JsonValue] = [
            key for key, value in after.attributes.items() if before.attributes.get(key) != value
        ]
        if changed:
            self.triggers.append({"at": now.isoformat(), "cID": after.cid, "attributes": changed})
