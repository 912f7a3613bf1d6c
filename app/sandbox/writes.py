"""Reading the body of a write by itself, before any contact is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from app.sandbox.account import Account, Json
from app.sandbox.channels import read_channel
from app.sandbox.fields import FieldChange, read_field
from app.sandbox.refusals import ContactRefused, Errors, InvalidContact, WrongValue
from app.sandbox.statuses import ChannelChange
from app.sandbox.switches import Switches

RESERVED = {"channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID"}


@dataclass(frozen=True, slots=True)
class Change:
    """A write that has been read and found acceptable on its own."""

    force: bool
    suppress_triggers: bool
    fields: Mapping[str, FieldChange]
    channels: Mapping[str, ChannelChange]


def read_change(body: Json, account: Account, switches: Switches) -> Change:
    """Read a write's body. Raises `InvalidContact` with every field at fault.

    Raises `ContactRefused` for a bad flag.
    """
    force = _flag(body, "forceSubscribe", switches, default=False)
    # True unless said: on the API, automations do not fire by themselves. S
    suppress_triggers = _flag(body, "suppressTriggers", switches, default=True)
    errors: Errors = {}
    fields = _read_fields(body, account, switches, errors)
    channels = _read_channels(body.get("channels", {}), account, errors)
    if switches.email_required and not channels.keys() & set(account.email_channels):
        errors.setdefault("channels.email", ["channels.email is required"])
    if errors:
        raise InvalidContact(errors)
    return Change(force, suppress_triggers, fields, channels)


def _flag(body: Json, key: str, switches: Switches, *, default: bool) -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        if switches.flags == "ignored":
            return default
        raise ContactRefused(f"Incorrect value for {key}")  # the words are Cordial's: S
    return value


def _read_fields(
    body: Json, account: Account, switches: Switches, errors: Errors
) -> dict[str, FieldChange]:
    """Read all fields but the channels; add what is wrong to `errors`."""
    fields: dict[str, FieldChange] = {}
    for key in [each for each in body if each not in RESERVED]:
        try:
            read = read_field(key, body[key], account, switches)
        except WrongValue as wrong:
            errors[key] = [str(wrong)]
            continue
        if read is not None:
            fields[key] = read
        elif switches.unknown_field == "reject":
            errors[key] = [f"key {key} is not part of the schema for this resource"]  # R
    return fields


def _read_channels(
    channels: JsonValue, account: Account, errors: Errors
) -> dict[str, ChannelChange]:
    """Read all channels; add what is wrong to `errors`."""
    if not isinstance(channels, dict):
        errors["channels"] = ["must be an object"]
        return {}
    read: dict[str, ChannelChange] = {}
    for name, value in channels.items():
        try:
            read[name] = read_channel(name, value, account)
        except WrongValue as wrong:
            errors[f"channels.{name}"] = [str(wrong)]
    return read
