"""What was said, from where and when: each by one reading or several, from tables of their own."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from tests.rules.oracle.documents import JsonObject, load
from tests.rules.oracle.folding import fold_word, squash
from tests.rules.oracle.items import Alike, Group, Item, all_said
from tests.rules.oracle.source import Source

# --- places

# ISO 3166-1: the codes that are assigned.
ISO = frozenset(
    """AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ
    BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO
    DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU
    GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW
    KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU
    MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF
    TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA
    ZM ZW
    XK""".split()  # Kosovo has the last by agreement
)
EU = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE"  # EU
    " IS LI NO"  # EEA
    " GB"
    " AX GF GP MQ YT RE MF".split()  # EU soil with a code of its own
)
EXPRESS = frozenset("CA CH BR GG JE IM GI".split())
OTHER_CODES = {"UK": "GB", "EL": "GR"}  # written by people and by the European Commission
PARENTS = {"AX": "FI"} | dict.fromkeys("GF GP MQ YT RE MF".split(), "FR")
NAMES = {  # as people write them; a name that is not here may be understood or not
    "germany": "DE",
    "france": "FR",
    "ireland": "IE",
    "spain": "ES",
    "united kingdom": "GB",
    "united states": "US",
    "united states of america": "US",
    "usa": "US",
    "canada": "CA",
    "switzerland": "CH",
    "brazil": "BR",
}

# --- words

YES = frozenset("true 1 yes y on t ✓ opted_in opt_in subscribed subscribe checked".split())
NO = frozenset("false 0 no n off f opted_out opt_out unsubscribed unsubscribe unchecked".split())
NULL = frozenset(("", "null", "none"))


DAY = 24 * 3600.0
Reading = tuple[tuple[Any, bool], ...]  # each value with whether it is hard


# --- readings: what was said, from where, when


def certain(value: Any) -> Reading:
    """Return the reading that has no other beside it."""
    return ((value, True),)


def answer_of(value: Any, labels: Mapping[str, Any]) -> str:
    """Read one answer as yes, no, null or unclear."""
    if isinstance(value, str):
        word = fold_word(value)
        for meaning, own in (("yes", labels["true"]), ("no", labels["false"])):
            if word in map(fold_word, own) and (word or meaning == "no"):
                return meaning
        if word.startswith("[") and (items := _list_in(value)) is not None:
            return answer_of(items, labels)
        word = word.replace(" ", "_").replace("-", "_")
        return (
            "yes" if word in YES else "no" if word in NO else "null" if word in NULL else "unclear"
        )
    if value is None:
        return "null"
    if isinstance(value, JsonObject):
        return "unclear"
    if isinstance(value, list):
        each = {answer_of(item, labels) for item in _leaves(value)}
        if "yes" in each and "no" not in each:
            return "yes"
        return "no" if each == {"no"} else "unclear"
    return "yes" if value == 1 else "no" if value == 0 else "unclear"  # True is 1, False is 0


def _leaves(value: list[Any]) -> Iterator[Any]:
    """Yield the items of a list and of all lists within, those written as text too."""
    for item in value:
        inner = _list_in(item) if isinstance(item, str) else item
        if isinstance(inner, list) and not isinstance(inner, JsonObject):
            yield from _leaves(inner)
        else:
            yield item


def _list_in(text: str) -> list[Any] | None:
    try:
        found = load(text)
    except ValueError:
        return None
    return found if isinstance(found, list) and not isinstance(found, JsonObject) else None


def read_answer(group: Group, labels: Mapping[str, Any]) -> Reading:
    """Return yes, no, null, unclear or hidden, where a stranger may have spoken."""
    if group.hidden:
        return certain("hidden")
    spoken = {answer_of(value, labels) for value in group.values} - {"null"}
    if group.written_twice:
        readings = {"unclear": True, **({"no": False} if "no" in spoken else {})}
    elif len(spoken) > 1:
        readings = {"no" if "no" in spoken else "unclear": True}
    else:
        readings = {spoken.pop() if spoken else "null": True}
    inner = {answer_of(each, labels) for value in group.values for each in all_said(value)}
    if "yes" in readings and "no" in inner:
        readings = {"unclear": True}
    if group.doubted:
        readings["hidden"] = False
    return tuple(readings.items())


def read_opt_in(item: Item, name: str | None, source: Source) -> Reading:
    """Return what an opt-in's own keys say, and what those do to it that plainly mean it.

    Without a name it is silence, against which others may still speak.
    """
    readings: dict[str, bool] = {}
    for answer, hard in read_answer(item.group(name, source.trusted), source.labels):
        for said, also_hard in _objected(answer, item.alike(name, source.trusted), source.labels):
            for left in _left_of(said, item, name, source):
                readings[left] = readings.get(left, False) or (hard and also_hard)
    return tuple(readings.items())


_CHANNELS = {
    "email": ("sms", "text", "phone", "mobile", "call", "push", "whatsapp"),
    "sms": ("mail", "newsletter"),
}  # what a key says that is about another channel


_DO_NOT = [
    f"{dont}{it}"
    for dont in ("donot", "dont")
    for it in "mail email contact call text send".split()
]
_NAMED = [f"opt{of}{way}" for of in ("", "ed", "ing", "me", "us") for way in ("in", "out")]


def _says_out(letters: str) -> bool:
    return any(each in letters for each in ("optout", "optedout", "unsubscri"))


def _is_of_out(letters: str) -> bool:
    """Whether a name is that of an opt-out."""
    outs = [each for each in _NAMED if each.endswith("out")]
    return any(each in letters for each in (*outs, "unsubscri", *_DO_NOT))


def _declines(value: Any) -> bool:
    """Whether a text begins as a refusal: `No thanks`, `I don't want emails`, `Please stop`."""
    if not isinstance(value, str):
        return False
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", fold_word(value))
    while words and words[0] in ("please", "i", "i'd", "we", "would", "rather", "prefer"):
        del words[0]
    first, second, third = [*words, "", "", ""][:3]
    if (first in ("don't", "dont")) or (first, second) == ("do", "not"):
        return (third if first == "do" else second) not in ("miss", "mind", "forget")
    if first in ("opt", "opting"):
        return second == "out" or (second in ("me", "us") and third == "out")
    return first in "no not nope decline stop cancel remove unsubscribe".split()


def _wants_out(value: Any, said: str) -> bool:
    """Whether a text speaks of leaving: `Unsubscribe me`, `opt me out`; no address or name."""
    if not isinstance(value, str):
        return False
    word, pronouns = squash(value), ("", "me", "us")
    if _tells_to_stop(fold_word(value).replace("\u2019", "'")):
        return True
    if said == "no" or len(fold_word(value).split()) > 1:
        return _says_out(word) or any(f"opt{each}out" in word for each in ("ing", "me", "us"))
    leaving = [f"opt{each}out" for each in ("", "ed", "ing", "me", "us")]
    leaving += [f"unsubscri{end}{whom}" for end in ("", "be", "bed", "bing") for whom in pronouns]
    return word in leaving


def _tells_to_stop(said: str) -> bool:
    """Whether a text says it by itself (`STOP`), or in a sentence: `I don't want emails`."""
    words = re.findall(r"[\w']+", said)
    if len(said.split()) == 1:
        return said in ("stop", "stopall", "cancel", "end", "quit")
    pairs = {" ".join(words[place : place + 2]) for place in range(len(words))}
    alone = {"stop", "cancel", "remove", "leave", "never", "don't", "dont"}
    return bool(alone & {*words} or {"do not", "no more", "no longer", "me off", "us off"} & pairs)


def _affirms(value: Any, labels: Mapping[str, Any]) -> bool:
    """Whether a text is a cross, or begins with a yes: `Yes, unsubscribe me`."""
    said = fold_word(value) if isinstance(value, str) else ""
    words = ["yes", *"✓✔☑✅", *filter(None, map(fold_word, labels["true"]))]
    return said == "x" or any(re.match(rf"{re.escape(each)}(?![^\W_])", said) for each in words)


def _left_of(answer: str, item: Item, name: str | None, source: Source) -> tuple[str, ...]:
    """Return what is left of a yes, or of silence, where another name speaks against it."""
    if answer not in ("yes", "null"):
        return (answer,)
    named = item.beside(name) if name else ()
    beside = [answer_of(e, source.labels) for each in named for e in all_said(each)]
    if "no" in beside or (answer == "null" and {*beside} - {"null"}):
        return ("unclear",)
    own = {squash(each) for each in (source.opt_in, source.sms_opt_in) if each}
    of_sms = name and name == source.sms_opt_in and name != source.opt_in
    channel = "sms" if of_sms else "email"
    for part in (*_NAMED, "subscri", *_DO_NOT):
        for key, value in ((k, e) for k, each in item.said_under(part) for e in all_said(each)):
            letters, said = squash(key), answer_of(value, source.labels)
            other = "email" if channel == "sms" else "sms"  # of whose table are the own words
            elsewhere = any(each in letters for each in _CHANNELS[channel])
            if letters in own or (
                elsewhere and not any(each in letters for each in _CHANNELS[other])
            ):
                continue
            out = _is_of_out(letters)
            says_out = _wants_out(value, said) or _affirms(value, source.labels)
            if out and (said == "yes" or says_out):
                return ("unclear",)
            if answer == "null" and (time_of(value) if out else said == "no" or _declines(value)):
                return ("unclear",)
    return (answer,)


def _objected(answer: str, alike: Sequence[Alike], labels: Mapping[str, Any]) -> Reading:
    """Return what an answer becomes: a yes or silence does not stand against other keys."""
    said = [(each, answer_of(each.value, labels)) for each in alike]
    noes = [each for each, says in said if says == "no"]
    if answer == "yes":
        every = {answer_of(e, labels) for each in alike for e in all_said(each.value)}
        return certain("unclear" if "no" in every else "yes")
    if answer == "null":
        believable = [each for each in noes if not each.forbidden]
        sure = [each for each in believable if not each.written_twice]
        if sure:
            doubted = all(each.doubted for each in sure)
            return (("no", True), ("unclear", False)) if doubted else certain("no")
        if any(each.forbidden or not _is_empty(each.value) for each, _ in said):
            return (("unclear", True), ("no", False)) if believable else certain("unclear")
    return certain(answer)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


class Place(NamedTuple):
    """Where a person is; `doubtful` where the country was given and not understood."""

    region: str
    express: bool
    doubtful: bool


class Law(NamedTuple):
    """Which countries' people are protected how."""

    eu: frozenset[str] = EU
    express: frozenset[str] = EXPRESS


LAW = Law()


@lru_cache(maxsize=5_000)
def _country(text: str, law: Law) -> tuple[tuple[str | None, bool, bool], ...]:
    """Return readings of a country: region or None, whether express, whether hard."""
    word = fold_word(text)
    code = OTHER_CODES.get(word.upper(), word.upper())
    if word == "eu":
        return (("eu", False, True),)
    named = NAMES.get(word)
    if code not in ISO and named is None:
        other = () if len(word) == 2 else (("eu", False, False), ("non_eu", False, False))
        return ((None, False, True), *other)
    code = named or code
    spelled = {code, *(other for other, iso in OTHER_CODES.items() if iso == code)}
    express = bool(spelled & law.express)
    region = "eu" if spelled & law.eu else "non_eu"
    readings = [(region, express, True)]
    if region == "non_eu" and PARENTS.get(code) in law.eu:
        readings.append(("eu", express, False))
    if named:
        readings.append((None, False, False))
    return tuple(readings)


def _countries(group: Group, law: Law) -> list[tuple[str | None, bool, bool, bool]]:
    """Return readings of the country: region or None, express, doubtful, hard."""
    if group.hidden or group.written_twice:
        return [(None, False, True, True)]
    readings: list[tuple[str | None, bool, bool, bool]] = []
    for value in group.spoken:
        if isinstance(value, str):
            each = _country(value, law)
            readings += [(place, express, place is None, hard) for place, express, hard in each]
        else:
            readings.append((None, False, True, True))
    hard = {each[:2] for each in readings if each[3]}
    if len(hard) > 1:  # spellings that differ: the strictest counts, and silence is none
        places = {place for place, _ in hard}
        strictest = "eu" if "eu" in places else "non_eu" if "non_eu" in places else None
        soft = [(place, express, doubtful, False) for place, express, doubtful, _ in readings]
        readings = [(strictest, any(express for _, express in hard), True, True), *soft]
    if len(group.spoken) > 1 or (group.doubted and group.values):
        readings.append((None, False, True, False))
    return readings or [(None, False, False, True)]


_REGIONS = {"EU": "eu", "US": "non_eu"}


def _spoken_regions(group: Group) -> list[tuple[str | None, bool, bool]]:
    """Return readings of the region attribute: region or None, doubtful, hard."""
    if group.hidden or group.written_twice:
        own = [(_region_of(value), True, True) for value in group.spoken if not group.hidden]
        return own or [(None, True, True)]
    readings = [(region, region is None, True) for region in map(_region_of, group.spoken)] or [
        (None, False, True)
    ]
    if len(group.spoken) > 1 or group.doubted:
        readings.append((None, True, False))
    return readings


def _region_of(value: Any) -> str | None:
    text = fold_word(value).upper() if isinstance(value, str) else ""
    return _REGIONS.get(text.partition("-")[0])


def read_place(item: Item, source: Source, law: Law) -> Reading:
    """Return the readings of where a person is."""
    countries = _countries(item.group(source.country, source.trusted), law)
    hinted = [each.value for each in item.alike(source.country, source.trusted)]
    hinted += item.beside(source.country) if source.country else []
    if not item.group(source.country, source.trusted).spoken:
        hinted += [value for _, value in item.said_under("country")]
    if any(not _is_empty(each) for each in hinted):
        countries += [(region, express, True, False) for region, express, _, _ in countries]
    regions: list[tuple[str | None, bool, bool]] | None = None
    own = _REGIONS.get(str(source.own_region).upper(), "unknown")
    readings: dict[Place, bool] = {}
    for region, express, doubtful, hard in countries:
        if region is not None:
            _note(readings, Place(region, express, doubtful), hard)
            continue
        if regions is None:
            regions = _spoken_regions(item.group(source.region, source.trusted))
            hinted = [each.value for each in item.alike(source.region, source.trusted)]
            hinted += item.beside(source.region) if source.region else []
            if any(not _is_empty(each) for each in hinted):
                regions += [(spoken, True, False) for spoken, _, _ in regions]
        for spoken, unsure, also_hard in regions:
            place = Place(spoken or own, express, doubtful or unsure)
            _note(readings, place, hard and also_hard)
    return tuple(readings.items())


def _note(readings: dict[Place, bool], place: Place, hard: bool) -> None:
    readings[place] = readings.get(place, False) or hard


def time_of(value: Any) -> float | None:
    """Return unix seconds; None where a text or number is no time."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    if re.fullmatch(r"\d{10}", text):
        return float(text)
    if re.fullmatch(r"\d{13}", text):
        return int(text) / 1000
    try:
        at = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def read_given(group: Group, received_at: float, hinted: bool = False) -> Reading:
    """Return when the answers were given, in unix seconds, never after they were received.

    Where a date is not understood or not believed, they may as well have been given long ago. So
    where it is only `hinted` at, by a key that is no spelling of its name.
    """
    if hinted:
        return ((0.0, True),)
    if not group.values:
        return certain(received_at)
    times = {None if group.hidden else time_of(value) for value in group.spoken}
    times = {at if at is None or at <= received_at + DAY else None for at in times}  # a wrong clock
    readable = times - {None}
    readings = {min(at, received_at): True for at in readable} or {received_at: True}
    if group.doubted or times != readable or group.hidden or group.written_twice:
        readings.setdefault(received_at, False)
        readings.setdefault(0.0, False)
    return tuple(readings.items())
