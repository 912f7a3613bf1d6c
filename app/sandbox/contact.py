"""One contact: what a write makes of it, and what the write sets off. No HTTP and no clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.sandbox.account import Account, Json
from app.sandbox.fields import ArrayChange, Assignment, Membership
from app.sandbox.statuses import Channel, Program, next_channel
from app.sandbox.switches import Switches
from app.sandbox.writes import Change


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact as held. Geo values lie flat under the dotted keys they were sent by."""

    cid: str
    created_at: datetime
    modified_at: datetime
    channels: dict[str, Channel] = field(default_factory=dict)
    attributes: Json = field(default_factory=dict)
    lists: frozenset[str] = frozenset()


def merged(
    before: Contact, change: Change, account: Account, switches: Switches, now: datetime
) -> Contact:
    """The contact after the change; what was not sent stays. R, C.

    Raises `ContactRefused` where a channel's status may not be asked for.
    """
    attributes, lists = dict(before.attributes), set(before.lists)
    for key, asked in change.fields.items():
        match asked:
            case Assignment(value):
                attributes[key] = value
            case ArrayChange():
                maxitems = account.attributes[key].validators.maxitems
                attributes[key] = asked.applied(before.attributes.get(key), maxitems)
            case Membership(member):
                (lists.add if member else lists.discard)(key)
    channels = {
        name: next_channel(
            before.channels.get(name, Channel("")), wanted, forced=change.force, switches=switches
        )
        for name, wanted in change.channels.items()
    }
    return replace(
        before,
        modified_at=now,
        channels={**before.channels, **channels},
        attributes=attributes,
        lists=frozenset(lists),
    )


def missing(contact: Contact, account: Account) -> list[str]:
    """Name the required attributes that the contact has no value for."""
    return [
        key
        for key, attribute in account.attributes.items()
        if attribute.validators.required and not _has_value(contact, key)
    ]


def _has_value(contact: Contact, key: str) -> bool:
    return any(
        value not in ("", []) and (name == key or name.startswith(f"{key}."))
        for name, value in contact.attributes.items()
    )


def opt_in_texts(before: Contact, after: Contact, now: datetime) -> Iterator[Json]:
    """The texts that go out: one for each program that starts to wait for an answer. H."""
    for name, channel in after.channels.items():
        known = before.channels.get(name, Channel("")).programs
        for program, state in channel.programs.items():
            was = known.get(program, Program()).status
            if state.status == "pendingDOI" and was != "pendingDOI":
                yield {
                    "at": now.isoformat(),
                    "cID": after.cid,
                    "to": channel.address,
                    "program": program,
                    "keyword": state.keyword,
                }


def fired_triggers(before: Contact, after: Contact, now: datetime) -> Iterator[Json]:
    """The automations that start, since attributes changed: at most one."""
    changed = [
        key for key, value in after.attributes.items() if before.attributes.get(key) != value
    ]
    if changed:
        yield {"at": now.isoformat(), "cID": after.cid, "attributes": [*changed]}
