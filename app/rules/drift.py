"""Drift: what a source sends no longer means what it meant. Judged from numbers alone. Pure.

Every kind waits for enough submissions: a new integration, a quiet one and chance wake nobody. Test
webhooks are not among the numbers. What is judged, and when it is over, is said at each kind.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from enum import StrEnum
from hashlib import blake2b
from typing import Final, NamedTuple

from app.jebbit.folding import fold, fold_label
from app.jebbit.submission import is_present
from app.rules.integration import AttributeNames, Integration
from app.rules.policy import OptInReading
from app.rules.survey import places
from app.rules.values import Answer


class DriftKind(StrEnum):
    """What may have changed its meaning."""

    OPT_IN_MISSING = "opt_in_missing"  # the opt-in used to be there: see `opt_in_is_missing`
    ATTRIBUTE_MISSING = "attribute_missing"  # one that the configuration names: see `_attributes`
    PHONES_UNUSABLE = "phones_unusable"  # more than half of the numbers: see `_phones`
    NEW_ANSWER = "new_answer"  # a word that no opt-in had before: see `_answers`
    NOTHING_RECEIVED = "nothing_received"  # where there was traffic: see `_silence`


class KeySeen(NamedTuple):
    """A key: the number of the last submission that had it, its usual gap, and how often it came.

    The gap is the longest of late between two submissions that had it; long ago counts less.
    """

    last: int
    gap: int
    times: int


class WordSeen(NamedTuple):
    """A word of answer: when it first came (unix seconds), after how many answers, read as what.

    `word` is a digest, see `word_of`.
    """

    word: str
    first_at: float
    before: int
    read_as: Answer


class Numbers(NamedTuple):
    """What the ledger counts of a source.

    Attributes:
        submissions: so many were received; they are numbered from 1.
        asked_last: the number of the last one that had the opt-in attribute.
        keys: those that are counted.
        crowded_at: the number of the last one that had more keys than are counted.
        phones: whether the last phone numbers could be used, the newest last.
        words: the words of answer seen; empty if there are too many to be labels of a box.
        last_at: when the last one was received (unix seconds).
        received: how many were received, by hour since 1970; only of `hours_to_ask`.
        lasting: the kinds that were judged to be so before.
    """

    submissions: int = 0
    asked_last: int | None = None
    keys: Mapping[str, KeySeen] = {}
    crowded_at: int | None = None
    phones: Sequence[bool] = ()
    words: Sequence[WordSeen] = ()
    last_at: float | None = None
    received: Mapping[int, int] = {}
    lasting: Set[DriftKind] = frozenset()


class Drift(NamedTuple):
    """One thing that drifted.

    Attributes:
        kind: what it is.
        place: where in the configuration it is looked at or mended.
        about: the attribute that is missing; blank for the other kinds.
        number: since so many submissions; so many numbers; so many hours.
        of: out of so many, or what there was before; 0: it never was there.
        read_as: of a new answer.
    """

    kind: DriftKind
    place: str
    about: str
    number: int
    of: int
    read_as: Answer = Answer.UNCLEAR


def judge(numbers: Numbers, integration: Integration, now: float) -> list[Drift]:
    """Say what has drifted; `now` is in unix seconds."""
    return [
        *_opt_in(numbers, integration),
        *_attributes(numbers, integration),
        *_phones(numbers, integration),
        *_answers(numbers, integration, now),
        *_silence(numbers, now),
    ]


OPT_IN_AFTER: Final = 50


def opt_in_is_missing(submissions: int | None, asked_last: int | None) -> bool:
    """Whether the opt-in attribute used to be there and is in none of the last 50 submissions.

    Fewer than for other attributes: meanwhile silence would subscribe people. An experience without
    a box, which never had it, is what it is. The first submission that has it ends this.
    """
    if submissions is None or asked_last is None:
        return False
    return submissions - asked_last >= OPT_IN_AFTER


_OPT_IN: Final = "jebbit.attributes.opt_in"


def _opt_in(numbers: Numbers, integration: Integration) -> Iterator[Drift]:
    number, last = numbers.submissions, numbers.asked_last
    if last is not None and opt_in_is_missing(number, last):
        name = integration.jebbit.attributes.opt_in or "the opt-in"
        yield Drift(DriftKind.OPT_IN_MISSING, _OPT_IN, name, number - last, number)


MISSING_AFTER: Final = 200
_GAPS: Final = 3
_OFTEN: Final = 20  # times


def _attributes(numbers: Numbers, integration: Integration) -> Iterator[Drift]:
    """Find attributes that the configuration names and that none of the last 200 submissions had.

    One that comes seldom must be away for three times its usual gap, so an optional question that
    few answer wakes nobody. One that never came, or less than 20 times, counts only if somebody
    must have meant it: a rule of the mapping, an opt-in, a name other than the default. The first
    submission with it ends it.
    """
    seen: dict[str, KeySeen] = {}
    for key, each in numbers.keys.items():
        seen[fold(key)] = max(each, seen.get(fold(key), each))
    crowded_at, number = numbers.crowded_at, numbers.submissions
    crowded = crowded_at is not None and number - crowded_at < MISSING_AFTER
    told = {fold(each.about) for each in _opt_in(numbers, integration)}
    for place, name in places(integration):
        known = seen.get(fold(name))
        last, gap, times = known or KeySeen(0, 0, 0)
        if (crowded and not known) or (times < _OFTEN and not _is_meant(place, name)):
            continue
        if number - last >= max(MISSING_AFTER, _GAPS * gap) and fold(name) not in told:
            told.add(fold(name))
            yield Drift(DriftKind.ATTRIBUTE_MISSING, place, name, number - last, last)


_DEFAULTS: Final = {f"jebbit.attributes.{place}": name for place, name in AttributeNames()}


def _is_meant(place: str, name: str) -> bool:
    return place == _OPT_IN or _DEFAULTS.get(place) != name


PHONES_KEPT: Final = 100
_FEWEST_PHONES: Final = 20


def _phones(numbers: Numbers, integration: Integration) -> Iterator[Drift]:
    """Find that more than half of the last 100 phone numbers cannot be used.

    Of fewer than 20 nothing can be said: where one in five is mistyped, more than half of 20 are
    once in 2,000 times. It is over at two in five, so that it does not come and go around half. A
    change of the configuration begins anew: it may have mended them.
    """
    place = _place_of_phone(integration)
    number, bad = len(numbers.phones), numbers.phones.count(False)
    lasting = DriftKind.PHONES_UNUSABLE in numbers.lasting
    if place and number >= _FEWEST_PHONES and bad > number * (0.4 if lasting else 0.5):
        yield Drift(DriftKind.PHONES_UNUSABLE, place, "", bad, number)


def _place_of_phone(integration: Integration) -> str | None:
    for number, rule in enumerate(integration.mapping):
        if rule.channel == integration.sms.channel:
            return f"mapping.{number}.attribute"
    return None


_DAY: Final = 86_400.0
_ANSWERS_BEFORE: Final = 100


def _answers(numbers: Numbers, integration: Integration, now: float) -> Iterator[Drift]:
    """Find an answer to an opt-in that came in the last 24 hours and never before.

    The source must have been known for a day, with 100 answers, when it came: before that every
    word is new. Nobody is harmed by a no; a label that the configuration lists is expected. After a
    day, or when it is listed, it is over.
    """
    began = min((each.first_at for each in numbers.words), default=0.0)
    labels = integration.jebbit.opt_in_labels.labels
    listed = {word_of(each) for each in labels.yes | labels.no}
    new = [
        each
        for each in numbers.words
        if now - each.first_at < _DAY <= each.first_at - began
        and each.before >= _ANSWERS_BEFORE
        and each.read_as is not Answer.NO
        and each.word not in listed
    ]
    if new:
        latest = max(new, key=lambda each: each.first_at)
        yield Drift(
            DriftKind.NEW_ANSWER,
            "jebbit.opt_in_labels",
            "",
            len(new),
            latest.before,
            latest.read_as,
        )


def word_of(text: str) -> str:
    """Return a digest of an answer, as it is compared: it tells whether two are the same."""
    return blake2b(fold_label(text).encode(errors="replace"), digest_size=6).hexdigest()


def words_of(readings: Iterable[OptInReading]) -> list[tuple[str, Answer]]:
    """Return the words of believed answers as digests, with how they are read; blanks are none."""
    return [
        (word_of(str(value)), each.answer)
        for each in readings
        if each.trusted and is_present(each.value)
        for value in (each.value if isinstance(each.value, list) else [each.value])
    ]


_HOUR: Final = 3_600.0
_WEEK: Final = 7 * 24  # hours
_FIRST_QUIET: Final = 6  # hours of silence
_LONG_QUIET: Final = 4 * 24  # hours: longer than a weekend with a holiday
_TRAFFIC: Final = 20  # submissions
_TRICKLE: Final = 5


def hours_to_ask(last_at: float | None, now: float) -> Sequence[int]:
    """Return the hours since 1970 whose numbers tell whether a silence is unusual."""
    silent = _silent(last_at, now)
    if len(silent) < _FIRST_QUIET:
        return ()
    like_it = {hour - week * _WEEK for week in (1, 2) for hour in silent}
    return sorted(like_it.union(range(silent.start - _LONG_QUIET, silent.start)))


def _silence(numbers: Numbers, now: float) -> Iterator[Drift]:
    """Find that nothing is received where there was traffic.

    For six whole hours at least, the same of which brought 20 submissions in each of the two weeks
    before: a shop that sleeps at night or at the weekend slept then too. So it takes two weeks to
    know a source; a younger one counts if 20 came on each of four days, and none on the four days
    since, which is longer than a weekend. Where fewer than five came on the last day, traffic had
    become a trickle before, and each one of it would begin another silence. A source with less
    traffic is never judged. The next submission ends it, and so does a pause.
    """
    silent, came = _silent(numbers.last_at, now), numbers.received
    weeks = [sum(came.get(hour - week * _WEEK, 0) for hour in silent) for week in (1, 2)]
    days = [
        sum(came.get(hour, 0) for hour in range(end - 24, end))
        for end in range(silent.start, silent.start - _LONG_QUIET, -24)
    ]
    usual = len(silent) >= _FIRST_QUIET and min(weeks) >= _TRAFFIC and days[0] >= _TRICKLE
    steady = len(silent) == _LONG_QUIET and min(days) >= _TRAFFIC
    if numbers.last_at is not None and (usual or steady):
        hours = int((now - numbers.last_at) // _HOUR)
        before = weeks[0] if usual else days[0]
        yield Drift(DriftKind.NOTHING_RECEIVED, "webhook_url", "", hours, before)


def _silent(last_at: float | None, now: float) -> range:
    """Return the whole hours since the last submission, the first four days of them."""
    if last_at is None:
        return range(0)
    first = int(last_at // _HOUR) + 1
    return range(first, min(int(now // _HOUR), first + _LONG_QUIET))


class Spell(NamedTuple):
    """Something that drifts since a time, or did until another (unix seconds).

    `again`: it had just been over. Such a one is not called over before a day has passed.
    """

    since: float
    over_at: float | None = None
    again: bool = False


Spells = Mapping[str, Mapping[str, Spell]]
"""What drifts, and what did a day ago: by kind and by what it is about."""


def lasting(spells: Spells) -> Mapping[DriftKind, float]:
    """Return the kinds that drift now, each with since when."""
    since = {
        DriftKind(kind): [each.since for each in of_kind.values() if each.over_at is None]
        for kind, of_kind in spells.items()
    }
    return {kind: min(times) for kind, times in since.items() if times}


class News(NamedTuple):
    """What a look found: what to keep, and what began and which kinds are over since the last."""

    spells: Spells
    began: Sequence[Drift]
    over: Sequence[DriftKind]


def follow(before: Spells, drifts: Iterable[Drift], now: float) -> News:
    """Say what is new. What comes and goes is told twice at most, and not again before a day."""
    after: dict[str, dict[str, Spell]] = {}
    began, over = list[Drift](), set[DriftKind]()
    for each in drifts:
        known = before.get(each.kind, {}).get(each.about)
        if known is None or (known.over_at is not None and not known.again):
            known = Spell(now, again=known is not None)
            began.append(each)
        after.setdefault(each.kind.value, {})[each.about] = known._replace(over_at=None)
    for kind, of_kind in before.items():
        for about, spell in of_kind.items():
            if about in after.get(kind, {}):
                continue
            gone = now if spell.over_at is None else spell.over_at
            past = now - gone >= _DAY
            if past if spell.again else spell.over_at is None:
                over.add(DriftKind(kind))
            if not past:
                after.setdefault(kind, {})[about] = spell._replace(over_at=gone)
    return News(after, began, [each for each in DriftKind if each in over - lasting(after).keys()])


class Said(NamedTuple):
    """Drift in plain words: what the integration does (after its name), why, and what to do."""

    state: str
    cause: str
    remedy: str


def say(drifts: Sequence[Drift], integration: Integration) -> Said:
    """Return drift of one kind in words for a person; nothing that anybody answered is in them."""
    first, *others = drifts
    if not others:
        return _WORDS[first.kind](first, integration)
    *names, last = [each.about for each in drifts]
    named = f"{', '.join(names)} and {last}"
    few = len(drifts) <= _MOST_NAMED
    verb = "no longer gets" if any(each.of for each in drifts) else "has never got"
    least = min(each.number for each in drifts)
    return Said(
        f"{verb} {named if few else f'{len(drifts)} of its attributes'}",
        f"None of the last {least:,} submissions has {'any of these' if few else named}.",
        "Name them in the rules as Jebbit sends them, or name none where the experience has none.",
    )


_MOST_NAMED: Final = 3  # attributes in a headline


def by_kind(drifts: Iterable[Drift]) -> Mapping[DriftKind, Sequence[Drift]]:
    """Return drifts by their kind, the worst first."""
    found: dict[DriftKind, list[Drift]] = {}
    for each in sorted(drifts, key=lambda each: list(DriftKind).index(each.kind)):
        found.setdefault(each.kind, []).append(each)
    return found


def _say_opt_in(drift: Drift, integration: Integration) -> Said:
    guarded = integration.policy.opt_in_guard
    then = "nobody is subscribed by silence meanwhile" if guarded else "silence goes on subscribing"
    return Said(
        f"no longer gets {drift.about}",
        f"It used to be there and is in none of the last {drift.number:,} submissions. Contacts "
        f"are still sent, but {then}.",
        "If Jebbit renamed it, name it in the rules as Jebbit sends it, then replay; if nobody is "
        "asked any more, set policy.opt_in_guard to false.",
    )


_EFFECTS: Final = {
    "opt_in": "Everybody counts as not asked (null), which policy.opt_in and policy.auto_subscribe "
    "may take for enough.",
    "sms_opt_in": "Nobody is subscribed to SMS.",
    "country": "The region is decided by what else there is, and phone numbers by the default.",
    "region": "The region is decided by what else there is.",
    "session": "Repeats are told by their content alone.",
    "occurred_at": "Answers count as given when they are received.",
    "campaign_id": "Campaigns are told by their name alone.",
    "campaign_name": "Campaigns are told by their id alone.",
}


def _say_attribute(drift: Drift, integration: Integration) -> Said:
    part, _, name = drift.place.partition(".")
    if part == "mapping":
        field = integration.mapping[int(name.split(".")[0])].field
        effect, remedy = f"It fills {field}.", "or remove the rule"
    else:
        effect = _EFFECTS[name.removeprefix("attributes.")]
        remedy = "or null if the experience has none"
    return Said(
        f"{'no longer gets' if drift.of else 'has never got'} {drift.about}",
        f"None of the last {drift.number:,} submissions has this attribute. {effect}",
        f"Name it in the rules as Jebbit sends it, {remedy}.",
    )


def _say_phones(drift: Drift, integration: Integration) -> Said:
    country = integration.jebbit.default_phone_country
    return Said(
        "gets phone numbers that cannot be used",
        f"{drift.number} of the last {drift.of} phone numbers are none. These people get no SMS.",
        "Look at what is sent: the attribute may hold something else, numbers of another country "
        f"than jebbit.default_phone_country ({country}), or come from the page's URL.",
    )


_READ_AS: Final = {
    Answer.YES: "yes",
    Answer.NULL: "no answer",
    Answer.UNCLEAR: "neither yes nor no",
}


def _say_answer(drift: Drift, integration: Integration) -> Said:
    return Said(
        "gets an answer that was never seen before",
        "In the last 24 hours an opt-in was answered with a word that none of the "
        f"{drift.of:,} answers before had. It is read as {_READ_AS[drift.read_as]}.",
        "Look at the newest submissions. If the box has a new label, add it to "
        "jebbit.opt_in_labels.true or .false, then replay.",
    )


def _say_silence(drift: Drift, integration: Integration) -> Said:
    return Said(
        "gets nothing any more",
        f"Nothing was received for {drift.number} hours; {drift.of:,} submissions came in a span "
        "before that was like it.",
        "Compare webhook_url with what is registered at Jebbit, and look at the refused webhooks. "
        "If the experience has ended, pause the integration.",
    )


_WORDS: Final = {
    DriftKind.OPT_IN_MISSING: _say_opt_in,
    DriftKind.ATTRIBUTE_MISSING: _say_attribute,
    DriftKind.PHONES_UNUSABLE: _say_phones,
    DriftKind.NEW_ANSWER: _say_answer,
    DriftKind.NOTHING_RECEIVED: _say_silence,
}
