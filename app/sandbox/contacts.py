"""All contacts of one account: how a write finds its contact, and whom each address belongs to."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from pydantic import JsonValue

from app.sandbox.account import Account, Json
from app.sandbox.contact import Contact, fired_triggers, merged, missing, opt_in_texts
from app.sandbox.fields import Assignment
from app.sandbox.refusals import ContactRefused, InvalidContact
from app.sandbox.statuses import Channel, Program
from app.sandbox.switches import Switches
from app.sandbox.writes import Change, read_change


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
        if not self.switches.force_on_post:
            change = replace(change, force=False)
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
        if channel is not None:
            return channel.address
        asked = change.fields.get(key)
        return asked.value if isinstance(asked, Assignment) else None

    def _write(self, found: Contact | None, change: Change, now: datetime) -> Contact:
        before = found or Contact(self._next_cid(), created_at=now, modified_at=now)
        after = merged(before, change, self.account, self.switches, now)
        self._check_addresses(after)
        if required := missing(after, self.account):
            raise InvalidContact({key: [f"{key} is required"] for key in required})
        self._put(before, after)
        self.texts.extend(opt_in_texts(before, after, now))
        if not change.suppress_triggers:
            self.triggers.extend(fired_triggers(before, after, now))
        return after

    def _next_cid(self) -> str:
        self._created += 1
        return f"{0x604F_3025 << 64 | self._created:024x}"

    def _check_addresses(self, after: Contact) -> None:
        # "Unique channel key and address for the contact" (S); what a clash gets: ?
        for address in _addresses(after):
            if self._by_address.get(address, after.cid) != after.cid:
                raise ContactRefused(f"{address[0]} address belongs to another contact")

    def _put(self, before: Contact, after: Contact) -> None:
        for address in _addresses(before):
            self._by_address.pop(address, None)
        self._by_cid[after.cid] = after
        self._by_address.update(dict.fromkeys(_addresses(after), after.cid))


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
