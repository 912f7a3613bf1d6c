"""What of a contact can still be sent when Cordial refuses a part of it.

Cordial refuses a whole contact for one field, one status or one phone number. A person's other
answers, and the other channel's consent, must not be lost for that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, cast

from pydantic import JsonValue

from app.rules.mapping import RESERVED_FIELDS, PlanWarning
from app.rules.policy import Status
from app.rules.values import Answer

Body = Mapping[str, JsonValue]


class Refusal(NamedTuple):
    """Cordial's refusal of a contact: the names in it with its words of each, and all its words."""

    names: Mapping[str, str]
    message: str


class Channels(NamedTuple):
    """The keys of an account's channels.

    `texts_of_another`: the contact was subscribed to texts by another number than the body has.
    """

    email: str
    sms: str
    texts_of_another: bool = False


class Reduced(NamedTuple):
    """A body without what was refused, and a warning for each part that it lacks."""

    body: Body
    warnings: Sequence[PlanWarning]


class _Part(NamedTuple):
    """A part of a body: a field, a channel's status, the SMS channel, or `identifyBy`."""

    kind: str
    key: str


def without_refused(
    body: Body,
    refusal: Refusal,
    channels: Channels,
    *,
    fields: bool,
    answer_field: str | None = None,
) -> Reduced | None:
    """Return what can be sent once more; None where nothing is left out or nothing would help.

    Args:
        body: as it was refused.
        refusal: what Cordial said.
        channels: the account's.
        fields: whether fields, and what contacts are found by, may be left out.
        answer_field: the field that holds the answer to the opt-in, if there is one.
    """
    parts: dict[_Part, str] = {}
    for name, words in refusal.names.items():
        for part in _parts_of(name, body, channels):
            parts.setdefault(part, words or refusal.message)
    if not parts:  # no name, or none of ours: it may stand in the text alone
        parts = dict.fromkeys(_parts_in(refusal.message, body, channels), refusal.message)
    status = _Part("status", channels.sms)
    if channels.texts_of_another and status in parts and channels.email in _channels(body):
        # Without its status the number would get the texts that the other one agreed to.
        parts.setdefault(_Part("sms", channels.sms), parts[status])
    if any(part.kind == "address" for part in parts):
        return None
    if not fields and any(part.kind in ("field", "identifyBy") for part in parts):
        return None
    if any(_says_no(body, part, channels, answer_field) for part in parts):
        return None  # somebody's no must not be lost behind a success
    left = dict(body)
    for part in parts:
        left = _without(left, part)
    if left == body:
        return None
    return Reduced(left, [_warning(part, words) for part, words in parts.items()])


def _parts_of(name: str, body: Body, channels: Channels) -> Iterator[_Part]:
    """Yield the parts of a body that a name in a refusal means."""
    head, *rest = name.split(".")
    last = name.rpartition(".")[2]
    ours = [key for key in body if key not in RESERVED_FIELDS]
    if named := [key for key in ours if name in (key, key.partition(".")[0]) or head == key]:
        yield from (_Part("field", key) for key in named)
    elif head == "identifyBy":
        yield _Part("identifyBy", head)
    elif head == "channels" and rest:
        yield from _parts_of_channel(rest[0], last, body, channels)
    elif head in channels:
        yield from _parts_of_channel(head, last, body, channels)
    elif head in ("programs", "program", "keyword", "suppressDOI"):
        yield from _parts_of_channel(channels.sms, last, body, channels)
    elif head in ("subscribeStatus", "forceSubscribe"):
        yield from (_Part("status", each) for each in _subscribed(body))


def _parts_of_channel(channel: str, last: str, body: Body, channels: Channels) -> Iterator[_Part]:
    sent = _channels(body)
    if channel not in sent:
        return
    if last in ("subscribeStatus", "status"):
        yield _Part("status", channel)
    elif channel == channels.sms and channels.email in sent:
        yield _Part("sms", channel)
    else:
        yield _Part("address", channel)


_SMS_WORDS = re.compile(r"\b(?:sms|phone|mobile|program|keyword)\b", re.IGNORECASE)
_STATUS_WORDS = re.compile(r"unsubscribed|subscribeStatus|forceSubscribe", re.IGNORECASE)
_TOKEN = re.compile(r"\w[\w.-]*")


def _parts_in(text: str, body: Body, channels: Channels) -> list[_Part]:
    """Return the parts of a body that a text without names speaks of."""
    if "identifyBy" in body and "search field" in text.lower():
        return [_Part("identifyBy", "identifyBy")]
    tokens = {each.rstrip(".-") for each in _TOKEN.findall(text)}
    ours = [key for key in body if key not in RESERVED_FIELDS]
    if named := [key for key in ours if {key, key.partition(".")[0]} & tokens]:
        return [_Part("field", key) for key in named]
    of_sms = channels.sms in _channels(body) and bool(_SMS_WORDS.search(text))
    asked = [each for each in _subscribed(body) if not of_sms or each == channels.sms]
    if asked and _STATUS_WORDS.search(text):
        return [_Part("status", each) for each in asked]
    if of_sms and channels.email in _channels(body):
        return [_Part("sms", channels.sms)]
    return []


def _without(body: Body, part: _Part) -> dict[str, JsonValue]:
    """Return a body without a part; force goes with the last status that it could force."""
    if part.kind in ("field", "identifyBy"):
        return {key: value for key, value in body.items() if key != part.key}
    sent = dict(_channels(body))
    if part.kind == "sms":
        del sent[part.key]
    elif part.key in sent:  # the channel may have gone whole
        sent[part.key] = _without_status(sent[part.key])
    left = {**body, "channels": cast(JsonValue, sent)}
    if not _subscribed(left):
        left.pop("forceSubscribe", None)
    return left


def _without_status(channel: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: channel[key] for key in channel if key not in ("subscribeStatus", "programs")}


def _channels(body: Body) -> Mapping[str, Mapping[str, JsonValue]]:
    return cast(Mapping[str, Mapping[str, JsonValue]], body["channels"])


def _subscribed(body: Body) -> list[str]:
    """Return the channels that a body asks to subscribe."""
    return [
        name for name, channel in _channels(body).items() if Status.SUBSCRIBED in _statuses(channel)
    ]


def _says_no(body: Body, part: _Part, channels: Channels, answer_field: str | None) -> bool:
    """Whether a part holds somebody's no: a status, leaving a list, or the only word of it."""
    if part.kind in ("sms", "status"):
        return _asks_to_leave(body, part.key)
    said = body.get(part.key)  # Cordial may name `identifyBy` where it was not sent
    told = channels.email in _channels(body) and _asks_to_leave(body, channels.email)
    return said is False or (part.key == answer_field and said == Answer.NO and not told)


def _asks_to_leave(body: Body, channel: str) -> bool:
    """Whether a body asks to unsubscribe a channel, or a program of it."""
    return Status.UNSUBSCRIBED in _statuses(_channels(body)[channel])


def _statuses(channel: Mapping[str, JsonValue]) -> list[JsonValue]:
    programs = cast(Mapping[str, Mapping[str, JsonValue]], channel.get("programs", {}))
    told = [channel, *programs.values()]
    return [each.get("subscribeStatus") for each in told]


SAID: Final = " Cordial said: "
"""What stands in a warning before Cordial's words, which may repeat an answer."""


def _warning(part: _Part, words: str) -> PlanWarning:
    warning = _WARNINGS[part.kind]
    said = f"{SAID}{words}" if words else ""
    field = part.key if part.kind == "field" else None
    return replace(warning, field=field, detail=warning.detail.format(key=part.key) + said)


_WARNINGS: Mapping[str, PlanWarning] = {
    "field": PlanWarning(
        code="field_rejected",
        attribute=None,
        field=None,
        detail="Cordial did not take {key}; the contact was sent without it. Mend the mapping, or "
        "the attribute or list in Cordial, then replay.",
    ),
    "identifyBy": PlanWarning(
        code="identify_by_rejected",
        attribute=None,
        field=None,
        detail="Cordial cannot find contacts by what cordial.identify_by names; the contact was "
        "sent by its address alone. Mend cordial.identify_by.",
    ),
    "status": PlanWarning(
        code="status_rejected",
        attribute=None,
        field=None,
        detail="Cordial did not take the status asked for {key}, as of people who have "
        "unsubscribed; the contact was sent without it, and the subscription left alone.",
    ),
    "sms": PlanWarning(
        code="sms_rejected",
        attribute=None,
        field=None,
        detail="Cordial did not take the SMS channel ({key}); the contact was sent by email alone. "
        "Check the phone number, and cordial.sms against the account's programs.",
    ),
}
