"""The judgement: what a plan does that a reading forbids, or leaves out that all demand."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from tests.rules.oracle.folding import fold_word
from tests.rules.oracle.items import Item, all_said
from tests.rules.oracle.law import SUB, UNSUB, When, World, Worlds, worlds
from tests.rules.oracle.readings import LAW, Law
from tests.rules.oracle.source import Source

# --- addresses: what of them is certain

EMAIL = re.compile(r"[a-z0-9]+([._+-][a-z0-9]+)*@([a-z0-9-]+\.)+(com|de|org)")
PHONES = {  # number as written: its digits, and whether it takes a text message
    "+1 617 555 0123": ("16175550123", True),
    "+44 7400 123456": ("447400123456", True),
    "+49 1512 3456789": ("4915123456789", True),
    "+49 30 123456": ("4930123456", False),  # a fixed line
    "+1 900 555 1234": ("19005551234", False),  # a premium number
}


# --- addresses


class Addresses(NamedTuple):
    """What may be sent as address, and whether one has to be: None where it is not certain."""

    allowed: frozenset[str]
    demanded: bool | None


def emails(item: Item, source: Source) -> Addresses:
    """Return the email addresses that an item names of itself, not by the page's URL."""
    return item.once(("emails", source.key), lambda: _emails(item, source))


def _emails(item: Item, source: Source) -> Addresses:
    group = item.group(source.email, source.trusted)
    if group.forbidden:
        return Addresses(frozenset(), False)
    texts = [value.strip().lower() for value in group.single if isinstance(value, str)]
    sure = len(texts) == len(group.spoken) and not group.doubted and not group.written_twice
    if not group.spoken or all(isinstance(each, str) and "@" not in each for each in group.spoken):
        return Addresses(frozenset(), False)
    return Addresses(frozenset(texts), (sure and all(map(EMAIL.fullmatch, texts))) or None)


def phones(item: Item, source: Source) -> Addresses:
    """Return the phone numbers that an item names of itself: digits, as far as they are known."""
    return item.once(("phones", source.key), lambda: _phones(item, source))


def _phones(item: Item, source: Source) -> Addresses:
    group = item.group(source.phone, source.trusted)
    if group.forbidden or not group.single:
        return Addresses(frozenset(), False)
    known = {PHONES.get(value) if isinstance(value, str) else None for value in group.single}
    sure = None not in known and not group.doubted and not group.written_twice
    return Addresses(frozenset(each[0] for each in known if each), True if sure else None)


def takes_sms(item: Item, source: Source) -> bool | None:
    """Say whether the number can take a text message; None where it is not known."""
    group = item.group(source.phone, source.trusted)
    known = {
        PHONES[value][1] for value in group.spoken if isinstance(value, str) and value in PHONES
    }
    return known.pop() if len(known) == 1 and len(group.spoken) == 1 else None


# --- campaigns and sessions


def session_refused(item: Item, source: Source) -> bool | None:
    """Say whether the campaign or an unfinished session keeps the item back; None in doubt."""
    return item.once(("session", source.key), lambda: _session_refused(item, source))


def _session_refused(item: Item, source: Source) -> bool | None:
    groups = [item.group(name, source.trusted) for name in source.campaign]
    doubt = any(each.doubted or each.forbidden or each.written_twice for each in groups)
    texts = [
        fold_word(str(value)) for group in groups if not group.forbidden for value in group.spoken
    ]
    if source.excluded & {fold_word(_number(each)) for each in _of_campaigns(item, source)}:
        return True
    for name in ("is_completed", "is_valid"):
        own = item.own_alike(name)
        if any(each is False for each in own):
            return True
        doubt = doubt or bool(own)
        group = item.group(name, source.trusted)
        said = list(group.values)
        if said and (group.forbidden or group.doubted or said not in ([False], [True])):
            doubt = True
        elif said == [False]:
            return True
    if source.excluded and (set(texts) & source.excluded):
        return None if any(group.written_twice for group in groups) else True
    if source.excluded and any(group.hidden for group in groups):
        return True
    if source.included and not set(texts) & source.included:
        return True
    return None if doubt or len(texts) > len(groups) else False


def _of_campaigns(item: Item, source: Source) -> Iterator[Any]:
    """Yield all that stands under the campaign's names, those like them and beside them."""
    for name in filter(None, source.campaign):
        values = [*item.group(name, source.trusted).values, *item.beside(name)]
        values += [each.value for each in item.alike(name, source.trusted)]
        for value in values:
            yield from all_said(value)


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value % 1 == 0 else str(value)


# --- the judgement


class Judgement(NamedTuple):
    """What an item says, by each reading, and what a plan does against the law, in words."""

    worlds: Worlds
    breaches: list[str]


def judge(
    item: Item, source: Source, when: When, body: Mapping[str, Any] | None, law: Law = LAW
) -> Judgement:
    """Judge a plan; `body` is what would be sent to Cordial, None where nothing would."""
    every = worlds(item, source, when, law)
    found = (
        _kept_back(item, source, when, every)
        if body is None
        else _sent(item, source, when, every, body)
    )
    return Judgement(every, list(found))


def _kept_back(item: Item, source: Source, when: When, every: Worlds) -> Iterator[str]:
    known = emails(item, source).demanded
    if not when.stale:  # of a stale one it is the channel's own no that is sent
        known = known or phones(item, source).demanded
    elif any(each.email_answer != "no" for each in every):
        return
    if known and session_refused(item, source) is False and not any(each.skip for each in every):
        yield "skipped, though every reading sends"


def _sent(
    item: Item, source: Source, when: When, every: Worlds, body: Mapping[str, Any]
) -> Iterator[str]:
    channels = body.get("channels") or {}
    email, sms = channels.get(source.email_channel), channels.get(source.sms_channel)
    programs = (sms or {}).get("programs") or {}
    asked = Status(
        (email or {}).get("subscribeStatus"),
        frozenset(each.get("subscribeStatus") for each in programs.values()),
        bool(body.get("forceSubscribe")),
        tuple(field for field in source.lists if body.get(field) is True),
        body.get(source.opt_in_field) if source.opt_in_field else None,
        email is not None,
        sms is not None and takes_sms(item, source),
    )
    if session_refused(item, source):
        yield "sent, though the session does not count"
    if channels.keys() - {source.email_channel, source.sms_channel}:
        yield "a channel that nobody named"
    if programs and programs.keys() != {source.program}:
        yield "an SMS program that nobody named"
    if when.stale:
        yield from (f"stale, and {key} sent" for key in body if key not in _told_when_stale(source))
    yield from _addresses(item, source, email, sms, when)
    yield from _against(source, when, every, asked)


class Status(NamedTuple):
    """What is asked of Cordial for a contact, and of which channels."""

    email: str | None
    sms: frozenset[str]
    force: bool
    joined: tuple[str, ...]
    answer: str | None
    has_email: bool
    takes_sms: bool | None


@lru_cache(maxsize=50_000)
def _against(source: Source, when: When, every: Worlds, asked: Status) -> tuple[str, ...]:
    """Return what of it is against the law; many items come to the same."""
    found: list[str] = []
    if all(each.skip for each in every):
        found.append("sent, though every reading skips")
    for world in every:
        if world.hard:
            found += _forbidden(world, when, asked)
    found += _unfounded(every, asked)
    found += _missing(every, asked)
    if source.opt_in_field:
        answer = _agreed(every, lambda world: _told(world, when))
        if when.stale and asked.answer not in (None, "no"):
            found.append(f"{source.opt_in_field} tells of an older answer that is no no")
        elif answer not in (DOUBT, "hidden", asked.answer) and not (when.stale and answer != "no"):
            found.append(f"{source.opt_in_field} is not {answer}")
    return tuple(found)


def _forbidden(world: World, when: When, asked: Status) -> Iterator[str]:
    """Yield what one reading forbids."""
    if asked.email == SUB and world.email != SUB:
        yield f"email subscribed: {world}"
    if SUB in asked.sms and (world.sms != SUB or asked.takes_sms is False):
        yield f"SMS subscribed: {world}"
    if asked.force and not _may_force(world, asked):
        yield f"forced: {world}"
    if asked.answer == "yes" and world.email_answer == "yes" and _told(world, when) is None:
        yield f"the answer is told, though a later no is known: {world}"
    for field in asked.joined:
        if when.stale or not world.may_join[field]:
            yield f"joined to {field}: {world}"


def _told(world: World, when: When) -> str | None:
    """Return the answer as its field tells it: a yes before a later no is not told."""
    refused = when.email_refused_at
    overruled = world.email_answer == "yes" and refused is not None and world.given <= refused
    return None if overruled else world.email_answer


def _unfounded(every: Worlds, asked: Status) -> Iterator[str]:
    """Yield who is unsubscribed though no reading has a no."""
    if asked.email == UNSUB and all(world.email != UNSUB for world in every):
        yield "email unsubscribed without a no"
    if UNSUB in asked.sms and all(world.sms != UNSUB for world in every):
        yield "SMS unsubscribed without a no"


def _missing(every: Worlds, asked: Status) -> Iterator[str]:
    """Yield what every reading demands and the plan does not ask for, of channels it sends."""
    status = _agreed(every, lambda world: world.email)
    if asked.has_email and status not in (DOUBT, asked.email):
        yield f"email {asked.email}, though every reading says {status}"
    status = _agreed(every, lambda world: world.sms)
    if asked.takes_sms and status is not DOUBT and asked.sms != ({status} if status else set()):
        yield f"SMS {set(asked.sms)}, though every reading says {status}"
    if not asked.force and all(_may_force(world, asked) for world in every):
        yield "not forced, though every reading forces"


def _told_when_stale(source: Source) -> frozenset[str | None]:
    return frozenset(("channels", "suppressTriggers", "identifyBy", source.opt_in_field))


DOUBT = "doubt"


def _agreed(every: Worlds, what: Callable[[World], str | None]) -> str | None:
    found = {what(world) for world in every}
    return found.pop() if len(found) == 1 else DOUBT


def _may_force(world: World, asked: Status) -> bool:
    subscribed = zip(world.forceable, (asked.email == SUB, SUB in asked.sms), strict=True)
    each = [forceable for forceable, is_asked in subscribed if is_asked]
    return bool(each) and all(each)


def _addresses(item: Item, source: Source, email: Any, sms: Any, when: When) -> Iterator[str]:
    allowed, demanded = emails(item, source)
    if email is None and demanded and session_refused(item, source) is False:
        yield "no email address, though every reading has one"
    if email is not None and email.get("address") not in allowed:
        yield f"an email address that no believed key holds: {email.get('address')}"
    allowed, demanded = phones(item, source)
    if sms is None and demanded and not (when.stale and email):
        yield "no phone number, though every reading has one"
    if sms and email and when.stale and not sms.get("programs"):
        yield "a stale phone number that asks for nothing"
    if sms is not None and demanded is not None:
        number = str(sms.get("address")).removeprefix("+")
        if number not in allowed:
            yield f"a phone number that no believed key holds: {sms.get('address')}"
