"""Drift: when what a source sends is said to have changed its meaning, and when it is not."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from app.rules.drift import (
    PHONES_KEPT,
    Drift,
    DriftKind,
    KeySeen,
    Numbers,
    Said,
    Spell,
    WordSeen,
    by_kind,
    follow,
    hours_to_ask,
    judge,
    lasting,
    opt_in_is_missing,
    say,
    word_of,
    words_of,
)
from app.rules.integration import Integration
from app.rules.policy import OptInReading
from app.rules.values import Answer
from tests.conftest import integration_body

HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
MONDAY = 1_699_833_600.0  # 2023-11-13, 00:00 UTC
NOW = MONDAY + 4 * WEEK


def integration(**overrides: Any) -> Integration:
    body = integration_body("https://admin.cordial.io", **overrides)
    del body["state"]
    return Integration.model_validate(body)


SMS = integration(
    mapping=[
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "phone_number", "field": "channels.sms.address"},
    ],
    cordial={"sms": {"channel": "sms", "program": "main"}},
)
QUIZ = integration(
    mapping=[
        {"attribute": "email", "field": "channels.email.address"},
        {"attribute": "Quiz Outcome", "field": "quiz_outcome"},
    ]
)
USUAL = {
    "email": KeySeen(1000, 0, 99),
    "quiz_outcome": KeySeen(1000, 0, 99),
    "opt_in": KeySeen(1000, 0, 99),
}


def found(numbers: Numbers, of: Integration = QUIZ, now: float = NOW) -> list[DriftKind]:
    return [each.kind for each in judge(numbers, of, now)]


# --- Attributes ---------------------------------------------------------------------------------


def missing(submissions: int, of: Integration = QUIZ, **more: Any) -> list[str]:
    """Return which attributes are missing among so many submissions, the usual ones counted."""
    numbers = Numbers(submissions, 1000, **{"keys": USUAL, **more})
    return [
        each.about for each in judge(numbers, of, NOW) if each.kind is DriftKind.ATTRIBUTE_MISSING
    ]


@pytest.mark.parametrize(("away", "names"), [(0, []), (199, []), (200, ["Quiz Outcome"])])
def test_an_attribute_is_missing_after_200_submissions_without_it(away, names):
    """However it is spelled; the place is the rule that names it."""
    keys = {**USUAL, "quiz_outcome": KeySeen(1000 - away, 0, 99)}
    numbers = Numbers(1000, 1000, keys)
    assert [each.about for each in judge(numbers, QUIZ, NOW)] == names
    assert {each.place for each in judge(numbers, QUIZ, NOW)} <= {"mapping.1.attribute"}


def test_an_attribute_that_comes_seldom_is_missed_later():
    """After three times its usual gap: an optional question that few answer wakes nobody."""
    for away, names in ((200, []), (899, []), (900, ["Quiz Outcome"])):
        keys = {**USUAL, "quiz_outcome": KeySeen(1000 - away, 300, 99)}
        assert missing(1000, keys=keys) == names


def test_an_attribute_that_never_came_is_missed_if_somebody_meant_it():
    """A rule of the mapping, an opt-in, a name of one's own; not the defaults that nobody wrote."""
    named = integration(jebbit={"attributes": {"opt_in": "box", "country": "land"}})
    keys = {"email": KeySeen(1000, 0, 99), "outcome": KeySeen(1000, 0, 99)}
    assert missing(1000, keys=keys, of=named) == ["box", "land"]
    assert missing(1000, keys={"email": KeySeen(1000, 0, 99)}) == ["opt_in", "Quiz Outcome"]
    assert missing(199, keys={"email": KeySeen(199, 0, 99)}) == []
    for times, names in ((19, []), (20, ["country_code"])):
        assert missing(1000, keys={**USUAL, "country_code": KeySeen(9, 0, times)}) == names


def test_an_attribute_among_too_many_keys_is_not_called_missing():
    """Where not all keys are counted, it may be one of those that are not."""
    keys = {"email": KeySeen(1000, 0, 99), "opt_in": KeySeen(1000, 0, 99)}
    assert missing(1000, keys=keys, crowded_at=900) == []
    assert missing(1000, keys=keys, crowded_at=700) == ["Quiz Outcome"]


def test_the_opt_in_is_missing_after_50_and_told_once():
    """As the guard has it; at 200 it is not a second kind."""
    for away, kinds in ((49, []), (50, [DriftKind.OPT_IN_MISSING])):
        assert found(Numbers(1000, 1000 - away, USUAL)) == kinds
    keys = {**USUAL, "opt_in": KeySeen(500, 0, 99)}
    assert found(Numbers(1000, 500, keys)) == [DriftKind.OPT_IN_MISSING]
    assert found(Numbers(1000, None, USUAL)) == []
    (drift,) = judge(Numbers(1000, 940, USUAL), QUIZ, NOW)
    assert drift == Drift(DriftKind.OPT_IN_MISSING, "jebbit.attributes.opt_in", "opt_in", 60, 1000)
    unnamed = integration(jebbit={"attributes": {"opt_in": None}})
    assert judge(Numbers(1000, 940, USUAL), unnamed, NOW)[0].about == "the opt-in"
    for nothing in ((None, None), (None, 5), (60, None)):
        assert opt_in_is_missing(*nothing) is False


def test_what_is_missing_is_told_with_its_numbers():
    """Since how many submissions, and the last that had it; once, though two rules name it."""
    twice = integration(
        mapping=[
            {"attribute": "email", "field": "channels.email.address"},
            {"attribute": "outcome", "field": "first"},
            {"attribute": "Outcome", "field": "second"},
        ]
    )
    kind, place = DriftKind.ATTRIBUTE_MISSING, "mapping.1.attribute"
    keys = {**USUAL, "outcome": KeySeen(300, 0, 5)}
    known = Numbers(1000, 1000, keys, crowded_at=1000)
    assert judge(known, twice, NOW) == [Drift(kind, place, "outcome", 700, 300)]
    never = Numbers(1000, 1000, USUAL)
    assert judge(never, twice, NOW) == [Drift(kind, place, "outcome", 1000, 0)]
    assert judge(never._replace(crowded_at=801), twice, NOW) == []
    assert len(judge(never._replace(crowded_at=800), twice, NOW)) == 1


def test_an_attribute_in_several_spellings_is_there_if_one_is():
    """The newest counts, in whichever order they came."""
    old, new = KeySeen(9, 0, 99), KeySeen(1000, 0, 99)
    for first, second in ((old, new), (new, old)):
        assert missing(1000, keys={**USUAL, "Quiz-Outcome": first, "quiz_outcome": second}) == []


# --- Phone numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "number", "before", "is_drift"),
    [
        (19, 19, False, False),  # too few
        (10, 20, False, False),
        (11, 20, False, True),
        (50, 100, False, False),
        (51, 100, False, True),
        (41, 100, True, True),  # it does not come and go around half
        (40, 100, True, False),
    ],
)
def test_more_than_half_of_the_phone_numbers_are_unusable(bad, number, before, is_drift):
    """Of twenty at least; over at two in five."""
    phones = [False] * bad + [True] * (number - bad)
    spells = {DriftKind.PHONES_UNUSABLE} if before else set()
    keys = {**USUAL, "phone_number": KeySeen(1000, 0, 99)}
    numbers = Numbers(1000, 1000, keys, phones=phones, lasting=spells)
    drift = Drift(DriftKind.PHONES_UNUSABLE, "mapping.1.attribute", "", bad, number)
    assert judge(numbers, SMS, NOW) == [drift] * is_drift
    assert found(numbers) == []  # no rule names a phone number


# --- Answers ------------------------------------------------------------------------------------


def answers(*words: WordSeen, of: Integration = QUIZ) -> list[Answer]:
    """Return as what the new answers are read, of a source known for weeks."""
    old = WordSeen(word_of("yes"), NOW - 2 * WEEK, 0, Answer.YES)
    numbers = Numbers(1000, 1000, USUAL, words=[old, *words])
    drifts = judge(numbers, of, NOW)
    return [each.read_as for each in drifts if each.kind is DriftKind.NEW_ANSWER]


def word(text: str, at: float = NOW - HOUR, before: int = 500, **how: Any) -> WordSeen:
    return WordSeen(word_of(text), at, before, how.get("read_as", Answer.UNCLEAR))


def test_an_answer_is_new_if_it_was_never_seen_before_today():
    """It is read as neither, or as a yes; after a day it is over."""
    assert answers() == []
    assert answers(word("Count me in")) == [Answer.UNCLEAR]
    assert answers(word("on", read_as=Answer.YES)) == [Answer.YES]
    assert answers(word("Count me in", at=NOW - DAY)) == []


def test_of_new_answers_the_newest_is_told():
    """With how many answers there were before; known for a day, to the second, is known."""
    old = WordSeen(word_of("yes"), NOW - DAY - HOUR, 0, Answer.YES)
    words = [
        old,
        word("on", at=NOW - 1, before=200, read_as=Answer.YES),
        word("perhaps", before=100),
    ]
    (told,) = judge(Numbers(1000, 1000, USUAL, words=words), QUIZ, NOW)
    assert told == Drift(
        DriftKind.NEW_ANSWER, "jebbit.opt_in_labels", "", 2, 200, read_as=Answer.YES
    )


def test_an_answer_is_not_new_if_it_was_to_be_expected():
    """A no, a label that is listed, a source that was not known for a day and 100 answers."""
    assert answers(word("no", read_as=Answer.NO)) == []
    assert answers(word("Count me in", before=99)) == []
    listed = integration(jebbit={"opt_in_labels": {"true": ["Count me in"], "false": []}})
    assert answers(word("COUNT me in"), of=listed) == []
    young = [WordSeen(word_of(each), NOW - HOUR, 200, Answer.YES) for each in ("yes", "on")]
    assert found(Numbers(1000, 1000, USUAL, words=young)) == []


def test_a_word_is_told_by_a_digest_of_what_is_believed():
    """Each item of a list, a blank is none; what may come from the page's URL is none."""
    readings = [
        OptInReading(Answer.YES, "opt_in", ["Yes", "NO "]),
        OptInReading(Answer.NULL, "sms", "  "),
        OptInReading(Answer.YES, "sms", True),
        OptInReading(Answer.NULL, "opt_in", "yes", "url_params"),
    ]
    assert words_of(readings) == [
        (word_of("yes"), Answer.YES),
        (word_of("no"), Answer.YES),
        (word_of("true"), Answer.YES),
    ]
    assert "yes" not in word_of("yes")


def test_a_word_of_an_earlier_version_is_known_again():
    """Its digest is stored: else each word would be new after an upgrade."""
    assert word_of("Yes ") == "3b98e3c88e9e"
    assert word_of("\ud800") == word_of("?")  # half a character, which JSON can hold


# --- Silence ------------------------------------------------------------------------------------


@dataclass
class Traffic:
    """What was received by hour; `each` adds to every hour of a span that `when` allows."""

    by_hour: dict[int, int] = field(default_factory=dict)

    def each(self, since: float, until: float, number: int, when: Any = None) -> "Traffic":
        for hour in range(int(since // HOUR), int(until // HOUR)):
            if when is None or when(hour * HOUR):
                self.by_hour[hour] = number
        return self

    def silent_at(self, now: float) -> bool:
        """Whether silence is found: from the numbers of the hours that are asked for alone."""
        return bool(self.told_at(now))

    def told_at(self, now: float) -> list[Drift]:
        last_at = (max(self.by_hour) + 1) * HOUR - 1
        hours = hours_to_ask(last_at, now)
        received = {each: self.by_hour[each] for each in hours if each in self.by_hour}
        numbers = Numbers(1000, 1000, USUAL, last_at=last_at, received=received)
        return judge(numbers, QUIZ, now)


def by_day(at: float) -> bool:
    return 8 <= at % DAY // HOUR < 20


def by_day_in_the_week(at: float) -> bool:
    return by_day(at) and (at - MONDAY) % WEEK < 5 * DAY


def test_a_silence_where_there_was_traffic_is_found_after_six_whole_hours():
    """And lasts, until something comes."""
    traffic = Traffic().each(MONDAY, NOW, 5)
    assert not traffic.silent_at(NOW + 6 * HOUR - 1)
    assert traffic.silent_at(NOW + 6 * HOUR)
    assert traffic.silent_at(NOW + 10 * WEEK)
    traffic.each(NOW + 10 * HOUR, NOW + 11 * HOUR, 1)
    assert not traffic.silent_at(NOW + 11 * HOUR)


@pytest.mark.parametrize("when", [by_day, by_day_in_the_week])
def test_a_shop_that_sleeps_is_not_silent(when):
    """At night or at the weekend: not in any hour of a week."""
    traffic = Traffic().each(MONDAY, NOW, 40, when)
    for hour in range(7 * 24):
        so_far = Traffic(
            {
                each: n
                for each, n in traffic.by_hour.items()
                if each * HOUR < NOW - WEEK + hour * HOUR
            }
        )
        assert not so_far.silent_at(NOW - WEEK + hour * HOUR), hour


def test_a_shop_that_slept_and_does_not_wake_is_silent():
    """The hours after the weekend are compared too."""
    traffic = Traffic().each(MONDAY, NOW, 40, by_day_in_the_week)
    assert not traffic.silent_at(NOW + 8 * HOUR)
    assert traffic.silent_at(NOW + 10 * HOUR)


def silence(hours: int, before: int) -> list[Drift]:
    return [Drift(DriftKind.NOTHING_RECEIVED, "webhook_url", "", hours, before)]


def test_a_silence_is_told_with_what_came_in_a_span_like_it():
    """In the same hours of the week before, 20 at least; or on the last day."""
    traffic = Traffic().each(MONDAY, NOW, 2).each(NOW - 7 * DAY, NOW - 6 * DAY, 3)
    assert traffic.told_at(NOW + 9 * HOUR) == []
    assert traffic.told_at(NOW + 10 * HOUR) == silence(10, 30)
    steady = Traffic().each(NOW - 5 * DAY, NOW, 2).each(NOW - DAY, NOW, 3)
    assert steady.told_at(NOW + 4 * DAY - 1) == []
    assert steady.told_at(NOW + 4 * DAY) == silence(96, 72)
    everything = Numbers(
        1000, 1000, USUAL, last_at=NOW - 1, received=Traffic().each(MONDAY, NOW, 99).by_hour
    )
    assert judge(everything, QUIZ, NOW + 6 * HOUR - 1) == []


def test_both_weeks_before_must_have_had_traffic():
    """One alone may have been a campaign; hours in which nothing came count as none."""
    only_last = Traffic().each(NOW - 8 * DAY, NOW, 5)
    assert not only_last.silent_at(NOW + 20 * HOUR)
    only_before = Traffic().each(NOW - 15 * DAY, NOW - 13 * DAY, 5).each(NOW - DAY, NOW, 5)
    assert not only_before.silent_at(NOW + 20 * HOUR)
    four_hours = Traffic().each(MONDAY, NOW, 4, lambda at: at % DAY < 4 * HOUR)
    four_hours.each(NOW - HOUR, NOW, 10)
    assert not four_hours.silent_at(NOW + 20 * HOUR)
    two_hours = Traffic().each(MONDAY, NOW, 10, by_day_in_the_week)
    assert two_hours.silent_at(NOW + 10 * HOUR)


@pytest.mark.parametrize(
    ("hours", "is_silent"),
    [
        ({-1: 20, -25: 20, -49: 20, -73: 20}, True),
        ({-1: 20, -25: 20, -49: 20, -73: 19}, False),
        ({-1: 1, -24: 19, -48: 20, -72: 20, -96: 20}, True),
        ({-1: 1, -25: 20, -48: 20, -72: 20, -96: 20}, False),
    ],
)
def test_a_steady_source_had_20_on_each_of_four_days(hours, is_silent):
    """Days of 24 hours, back from when it fell silent."""
    traffic = Traffic({int(NOW // HOUR) + hour: number for hour, number in hours.items()})
    assert traffic.silent_at(NOW + 5 * DAY) is is_silent


def test_a_new_source_is_silent_after_four_days_if_it_was_steady():
    """Within two weeks nobody knows its weekends; a rehearsal of one day is not steady."""
    steady = Traffic().each(NOW - 5 * DAY, NOW, 2)
    assert not steady.silent_at(NOW + 2 * DAY)
    assert steady.silent_at(NOW + 4 * DAY + HOUR)
    rehearsal = Traffic().each(NOW - 5 * HOUR, NOW, 1000)
    assert not rehearsal.silent_at(NOW + 20 * DAY)


def test_few_submissions_or_a_trickle_are_never_silent():
    """A source of two a day; and one that has nearly dried up does not fall silent each time."""
    few = Traffic().each(MONDAY, NOW, 1, lambda at: at % (12 * HOUR) == 0)
    assert not any(few.silent_at(NOW + day * DAY) for day in range(20))
    for number, is_silent in ((4, False), (5, True)):
        dried = Traffic().each(MONDAY, NOW, 5).each(NOW + 2 * DAY, NOW + 2 * DAY + HOUR, number)
        assert dried.silent_at(NOW + 3 * DAY) is is_silent


def test_nothing_is_asked_for_where_something_came_lately():
    """So the usual look costs nothing."""
    assert not hours_to_ask(NOW - 5 * HOUR, NOW)
    assert not hours_to_ask(None, NOW)
    assert len(hours_to_ask(NOW - 30 * DAY, NOW)) <= 3 * 96


def test_a_source_that_sent_nothing_drifts_nowhere():
    """As one that gets test webhooks alone: none of them is among the numbers."""
    assert judge(Numbers(), SMS, NOW) == []
    assert Numbers().submissions == 0


# --- News ---------------------------------------------------------------------------------------

PHONES = Drift(DriftKind.PHONES_UNUSABLE, "mapping.1.attribute", "", 30, 50)
FIRST = Drift(DriftKind.ATTRIBUTE_MISSING, "mapping.0.attribute", "a", 200, 9)
SECOND = Drift(DriftKind.ATTRIBUTE_MISSING, "mapping.1.attribute", "b", 250, 0)


def test_drift_is_news_when_it_begins_and_when_it_is_over():
    """Not in between; what is kept says since when."""
    begun = follow({}, [PHONES], NOW)
    assert begun.began == [PHONES]
    assert lasting(begun.spells) == {DriftKind.PHONES_UNUSABLE: NOW}
    again = follow(begun.spells, [PHONES], NOW + 5)
    assert (again.spells, again.began, again.over) == (begun.spells, [], [])
    over = follow(begun.spells, [], NOW + 10)
    assert over.over == [DriftKind.PHONES_UNUSABLE]
    assert lasting(over.spells) == {}
    assert follow(over.spells, [], NOW + 20) == (over.spells, [], [])
    assert over.spells == {"phones_unusable": {"": Spell(NOW, NOW + 10, again=False)}}
    assert follow(over.spells, [], NOW + 10 + DAY - 1) == (over.spells, [], [])
    assert follow(over.spells, [], NOW + 10 + DAY) == ({}, [], [])
    assert Spell(NOW) == Spell(NOW, None, again=False)  # as earlier versions stored it


def test_drift_that_comes_and_goes_is_told_twice_at_most():
    """Then it is not called over before it has been so for a day."""
    spells, told = {}, []
    for step in range(100):
        news = follow(spells, [PHONES] * (step % 2 == 0), NOW + step * HOUR)
        spells = news.spells
        told += [*news.began, *news.over]
    assert told == [PHONES, DriftKind.PHONES_UNUSABLE, PHONES]
    assert follow(spells, [], NOW + 98 * HOUR + DAY).over == []
    assert follow(spells, [], NOW + 99 * HOUR + DAY).over == [DriftKind.PHONES_UNUSABLE]


def test_another_attribute_is_news_and_the_kind_is_over_with_the_last():
    """Each is told when it begins."""
    spells = follow({}, [FIRST], NOW).spells
    more = follow(spells, [FIRST, SECOND], NOW + 5)
    assert more.began == [SECOND]
    assert lasting(more.spells) == {DriftKind.ATTRIBUTE_MISSING: NOW}
    assert follow(more.spells, [FIRST], NOW + 10).spells["attribute_missing"]["b"].over_at
    less = follow(more.spells, [SECOND], NOW + 10)
    assert less.over == []
    assert follow(less.spells, [], NOW + 15).over == [DriftKind.ATTRIBUTE_MISSING]


def test_each_kind_is_said_in_words():
    """What it does, why, and what to do; several attributes in one."""
    for kind in DriftKind:
        said = say([Drift(kind, "mapping.1.attribute", "outcome", 60, 100)], SMS)
        assert all(said)
        assert said.cause.endswith(".")
        assert said.remedy.endswith(".")
    assert "30 of the last 50" in say([PHONES], SMS).cause
    assert "default_phone_country (US)" in say([PHONES], SMS).remedy
    (told,) = silence(7, 1234)
    assert "for 7 hours; 1,234 submissions" in say([told], QUIZ).cause
    assert say([FIRST, SECOND], QUIZ).state == "no longer gets a and b"
    assert say([SECOND], QUIZ).state == "has never got b"
    assert say([FIRST, SECOND] * 2, QUIZ).state == "no longer gets 4 of its attributes"
    assert "has a, b, a and b." in say([FIRST, SECOND] * 2, QUIZ).cause
    opt_in = Drift(DriftKind.OPT_IN_MISSING, "jebbit.attributes.opt_in", "opt_in", 50, 60)
    assert list(by_kind([PHONES, SECOND, FIRST, opt_in])) == [
        DriftKind.OPT_IN_MISSING,
        DriftKind.ATTRIBUTE_MISSING,
        DriftKind.PHONES_UNUSABLE,
    ]


def test_the_kinds_have_names_that_stay():
    """They are in notices, metrics and the API."""
    assert [each.value for each in DriftKind] == [
        "opt_in_missing",
        "attribute_missing",
        "phones_unusable",
        "new_answer",
        "nothing_received",
    ]
    assert PHONES_KEPT == 100  # "of the last 100 phone numbers"


def test_a_missing_opt_in_says_whether_silence_subscribes_meanwhile():
    """By the guard of the policy."""
    drift = Drift(DriftKind.OPT_IN_MISSING, "jebbit.attributes.opt_in", "box", 1050, 2000)
    unguarded = integration(policy={"opt_in_guard": False})
    for of, then in (
        (QUIZ, "nobody is subscribed by silence meanwhile"),
        (unguarded, "silence goes on subscribing"),
    ):
        said = say([drift], of)
        assert said.state == "no longer gets box"
        assert said.cause == (
            "It used to be there and is in none of the last 1,050 submissions. Contacts are still "
            f"sent, but {then}."
        )


def test_a_missing_attribute_is_said_with_what_it_fills():
    """Or with what comes of it, if a setting names it; and whether it ever came."""
    assert say([FIRST._replace(place="mapping.1.attribute", number=1200)], QUIZ) == Said(
        "no longer gets a",
        "None of the last 1,200 submissions has this attribute. It fills quiz_outcome.",
        "Name it in the rules as Jebbit sends it, or remove the rule.",
    )
    assert say([SECOND._replace(place="jebbit.attributes.sms_opt_in")], QUIZ) == Said(
        "has never got b",
        "None of the last 250 submissions has this attribute. Nobody is subscribed to SMS.",
        "Name it in the rules as Jebbit sends it, or null if the experience has none.",
    )


def test_several_missing_attributes_are_said_together():
    """Named in the headline up to three; missing since the last of them went missing."""
    third = SECOND._replace(about="c", number=2_000)
    said = say([SECOND, third, SECOND], QUIZ)
    assert said.state == "has never got b, c and b"
    assert said.cause == "None of the last 250 submissions has any of these."
    assert say([third, third], QUIZ).cause.startswith("None of the last 2,000 submissions")
    assert say([FIRST, SECOND, third], QUIZ).state == "no longer gets a, b and c"


@pytest.mark.parametrize(
    ("read_as", "words"),
    [
        (Answer.YES, "yes"),
        (Answer.NULL, "no answer"),
        (Answer.UNCLEAR, "neither yes nor no"),
    ],
)
def test_a_new_answer_is_said_with_how_it_is_read(read_as, words):
    """A yes subscribes: then it matters most."""
    drift = Drift(DriftKind.NEW_ANSWER, "jebbit.opt_in_labels", "", 1, 1200, read_as)
    assert say([drift], QUIZ).cause == (
        "In the last 24 hours an opt-in was answered with a word that none of the 1,200 answers "
        f"before had. It is read as {words}."
    )


@pytest.mark.parametrize("name", [each for each, _ in integration().jebbit.attributes])
def test_each_place_of_an_attribute_says_what_comes_of_it(name):
    """So that a person knows how bad it is."""
    drift = Drift(DriftKind.ATTRIBUTE_MISSING, f"jebbit.attributes.{name}", "x", 200, 1)
    assert "x" in say([drift], QUIZ).state
