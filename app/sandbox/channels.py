"""Reading what a write asks of a contact's channels."""

import re

from pydantic import JsonValue

from app.sandbox.account import Account, Json
from app.sandbox.refusals import WrongValue
from app.sandbox.statuses import ChannelChange, ProgramChange, Status

# What a client may ask for; pendingDOI is only ever Cordial's answer to `subscribed`. S, H
ASKABLE: dict[str, Status] = {
    "none": "none",
    "subscribed": "subscribed",
    "unsubscribed": "unsubscribed",
}
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
PHONE = re.compile(r"\+?[0-9]{7,15}")


def read_channel(name: str, value: JsonValue, account: Account) -> ChannelChange:
    """Read one channel of a write; raises `WrongValue`."""
    if name in account.email_channels:
        return _read_email(_fields(value, {"address", "subscribeStatus"}))
    if name in account.sms_channels:
        sms = _fields(value, {"address", "programs"})
        return _read_sms(sms, account.sms_channels[name])
    raise WrongValue(f"key channels.{name} is not part of the schema for this resource")


def _fields(value: JsonValue, known: set[str]) -> Json:
    if not isinstance(value, dict):
        raise WrongValue("must be an object")
    unknown = value.keys() - known
    if unknown:
        raise WrongValue(f"key {min(unknown)} is not part of the schema for this resource")
    return value


def _read_email(value: Json) -> ChannelChange:
    address = value.get("address")
    if not isinstance(address, str) or not EMAIL.fullmatch(address):
        raise WrongValue("address must be an email address")
    return ChannelChange(address.lower(), _asked_status(value))


def _read_sms(value: Json, programs: dict[str, list[str]]) -> ChannelChange:
    address = value.get("address")
    # Cordial's example has digits with the country code and no plus; whether a plus passes: ?
    if not isinstance(address, str) or not PHONE.fullmatch(address):
        raise WrongValue("address must be a phone number: digits with country code")
    asked = _fields(value.get("programs", {}), set(programs))
    read = {name: _read_program(asked[name], programs[name]) for name in asked}
    return ChannelChange(address, programs=read)


def _read_program(value: JsonValue, keywords: list[str]) -> ProgramChange:
    program = _fields(value, {"keyword", "subscribeStatus", "suppressDOI"})
    keyword, suppress = program.get("keyword"), program.get("suppressDOI", False)
    if not isinstance(suppress, bool):
        raise WrongValue("suppressDOI must be true or false")
    if "keyword" not in program:
        return ProgramChange(_asked_status(program), None, suppress)
    if not isinstance(keyword, str) or keyword not in keywords:
        raise WrongValue("keyword does not exist in the program")
    return ProgramChange(_asked_status(program), keyword, suppress)


def _asked_status(value: Json) -> Status | None:
    if "subscribeStatus" not in value:
        return None
    asked = value["subscribeStatus"]
    status = ASKABLE.get(asked) if isinstance(asked, str) else None
    if status is None:
        raise WrongValue("subscribeStatus must be none, subscribed or unsubscribed")
    return status
