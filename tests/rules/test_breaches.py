"""The test of the tests: breaches of the law, put in one by one, are noticed in every run.

Most are put in at the edge: the rules are asked under other circumstances than the oracle knows of.
What they then plan is what rules would plan that overlook those circumstances, however they are
written. The others change a line of the rules; one whose line is no longer there fails.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import pytest

from tests.rules import grid
from tests.rules.code_under_test import Rules
from tests.rules.grid import Rows, judged, scattered
from tests.rules.oracle import JsonObject, Law, When, fold_key, load
from tests.rules.situations import write

Text = Callable[[str], str]


def same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Breach:
    """What the rules are asked instead of what is so."""

    plane: Callable[[], Rows]
    text: Text = same
    config: Callable[[dict[str, Any]], dict[str, Any]] = same
    when: Callable[[When], When] = same
    law: Callable[[Law], Law] = same


class Breached(Rules):
    """The rules with a breach at the edge."""

    def __init__(self, breach: Breach) -> None:
        super().__init__()
        self.breach = breach

    def read(self, text: str) -> Any:
        return super().read(self.breach.text(text))

    def integration(self, body: Mapping[str, Any]) -> Any:
        return super().integration(self.breach.config(dict(body)))

    def plan(self, submission: Any, integration: Any, when: When, law: Law) -> Any:
        return super().plan(submission, integration, self.breach.when(when), self.breach.law(law))


# --- what is overlooked of an item


Pair = tuple[str, Any]
Change = Callable[[list[Pair]], Sequence[Pair]]


def pairs_changed(change: Change) -> Text:
    """Return what changes the pairs of each object that holds attributes."""

    def changed(value: Any) -> Any:
        if isinstance(value, JsonObject):
            inner = [(key, changed(each) if key == "data" else each) for key, each in value]
            return JsonObject(change(inner))
        return [changed(each) for each in value] if isinstance(value, list) else value

    return lambda text: write(as_pairs(changed(load(text))))


def as_pairs(value: Any) -> Any:
    """Return JSON as `write` takes it."""
    if isinstance(value, JsonObject):
        return [(key, as_pairs(each)) for key, each in value] or {}
    return [as_pairs(each) for each in value] if isinstance(value, list) else value


def without(*names: str) -> Text:
    """Return what overlooks the keys of these names."""
    return pairs_changed(lambda pairs: [pair for pair in pairs if fold_key(pair[0]) not in names])


def params(change: Callable[[Any], Any]) -> Text:
    """Return what changes the value of `url_params`."""

    def changed(pairs: list[Pair]) -> Sequence[Pair]:
        return [
            (key, change(value) if fold_key(key) == "url_params" else value) for key, value in pairs
        ]

    return pairs_changed(changed)


def first_spelling(pairs: list[Pair]) -> Iterator[Pair]:
    """Yield the first key of each name."""
    seen = set()
    for key, value in pairs:
        if fold_key(key) not in seen:
            seen.add(fold_key(key))
            yield key, value


def plain_spelling(pairs: list[Pair]) -> Iterator[Pair]:
    """Yield keys, those of other forms of Unicode as if they named something else."""
    for key, value in pairs:
        plain = key.strip().lower().replace(" ", "_").replace("-", "_")
        yield (key if plain == fold_key(key) else f"other {len(key)}"), value


KNOWN = ("email", "phone_number", "opt_in", "sms_opt_in", "url_params")


def strings(value: Any, change: Callable[[str], Any]) -> Any:
    return change(value) if isinstance(value, str) else value


def last_query(text: str) -> str:
    return text.rpartition("?")[2]


# --- what is overlooked of an integration


def policy(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {**body, "policy": {**body["policy"], **changes}}


def jebbit(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {**body, "jebbit": {**body["jebbit"], **changes}}


def unknown_is_non_eu(body: dict[str, Any]) -> dict[str, Any]:
    return jebbit(region=body["jebbit"].get("region", "us") or "us")(body)


def lists_need_nothing(body: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {**rule, "lists_need": None} if rule.get("type") == "list" else rule
        for rule in body["mapping"]
    ]
    return {**body, "mapping": rules}


def sms_by_email(body: dict[str, Any]) -> dict[str, Any]:
    return jebbit(attributes={**body["jebbit"]["attributes"], "sms_opt_in": "opt_in"})(body)


BREACHES: dict[str, Breach] = {
    "unknown region treated as non-EU": Breach(grid.places, config=unknown_is_non_eu),
    "EU null subscribed": Breach(grid.places, config=policy(eu={"null_is_consent": True})),
    "nobody is of the EU": Breach(grid.places, law=lambda law: law._replace(eu=frozenset())),
    "express consent countries ignored": Breach(
        grid.places, law=lambda law: law._replace(express=frozenset())
    ),
    "country not read": Breach(grid.places, without("country_code")),
    "region attribute not read": Breach(grid.places, without("aws_region")),
    "SMS by what was said of email": Breach(grid.places, config=sms_by_email),
    "SMS answer not read": Breach(grid.places, without("sms_opt_in")),
    "opt-in not read": Breach(grid.places, without("opt_in")),
    "policy for the EU ignored": Breach(grid.places, config=policy(eu=None)),
    "unclear answers count as yes": Breach(
        grid.places, config=jebbit(opt_in_labels={"true": ["maybe"]})
    ),
    "force whenever asked": Breach(grid.times, config=policy(resubscribe="explicit_opt_in")),
    "force without age": Breach(
        grid.times,
        without("experience_date"),
        when=lambda when: when._replace(now=when.received_at),
    ),
    "waiting does not age a yes": Breach(
        grid.times, when=lambda when: when._replace(now=when.received_at)
    ),
    "date not read": Breach(grid.times, without("experience_date")),
    "force on a replay": Breach(
        grid.times, when=lambda when: when._replace(delivered_before=False)
    ),
    "stale subscribes": Breach(grid.times, when=lambda when: when._replace(stale=False)),
    "refusals ignored": Breach(
        grid.refusals, when=lambda when: when._replace(email_refused_at=None, sms_refused_at=None)
    ),
    "refusals of SMS ignored": Breach(
        grid.refusals, when=lambda when: when._replace(sms_refused_at=None)
    ),
    "refusals of email ignored": Breach(
        grid.refusals, when=lambda when: when._replace(email_refused_at=None)
    ),
    "only what follows the last ? is read": Breach(
        grid.urls, params(lambda value: strings(value, last_query))
    ),
    "url_params not read": Breach(grid.urls, without("url_params")),
    "page_url not read": Breach(grid.urls, without("page_url")),
    "other texts not read": Breach(grid.urls, without("link", "http_referrer", "$metadata")),
    "JSON in url_params not read": Breach(
        grid.urls,
        params(lambda value: strings(value, lambda text: "" if "{" in text else text)),
    ),
    "objects in url_params not read": Breach(
        grid.urls, params(lambda value: value if isinstance(value, str) else None)
    ),
    "semicolons not read": Breach(
        grid.urls, params(lambda value: strings(value, lambda text: text.replace(";", "_")))
    ),
    "encoded text not read": Breach(
        grid.urls, params(lambda value: strings(value, lambda text: text.replace("%", "_")))
    ),
    "brackets not read": Breach(
        grid.urls, params(lambda value: strings(value, lambda text: text.replace("[", "_")))
    ),
    "hidden answers count": Breach(
        grid.urls, config=jebbit(trusted_url_params=["opt_in", "sms_opt_in"])
    ),
    "hidden addresses count": Breach(
        grid.urls, config=jebbit(trusted_url_params=["email", "phone_number"])
    ),
    "hidden countries count": Breach(grid.urls, config=jebbit(trusted_url_params=["country_code"])),
    "first spelling only": Breach(
        grid.spellings, pairs_changed(lambda each: [*first_spelling(each)])
    ),
    "last spelling only": Breach(
        grid.spellings, pairs_changed(lambda each: [*first_spelling(each[::-1])])
    ),
    "other forms of Unicode count as absent": Breach(
        grid.spellings, pairs_changed(lambda each: [*plain_spelling(each)])
    ),
    "of a key written twice the last counts": Breach(
        grid.spellings, lambda text: json.dumps(json.loads(text))
    ),
    "country's first spelling only": Breach(
        grid.country_spellings, pairs_changed(lambda each: [*first_spelling(each)])
    ),
    "the customer's words not read": Breach(
        grid.words, config=jebbit(opt_in_labels={"true": [], "false": []})
    ),
    "list membership ungated": Breach(grid.lists, config=lists_need_nothing),
    "keys that plainly mean the opt-in not read": Breach(
        grid.alike, pairs_changed(lambda pairs: [pair for pair in pairs if pair[0] in KNOWN])
    ),
    "an opt-in that went missing is silence": Breach(
        grid.guarded, when=lambda when: when._replace(opt_in_missing=False)
    ),
    "the guard is always on": Breach(grid.guarded, config=policy(opt_in_guard=True)),
    "included campaigns ignored": Breach(grid.campaigns, config=jebbit(campaigns={})),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_at_the_edge_is_noticed(name: str) -> None:
    """Rules that overlook it break the law somewhere on the grid."""
    breach = BREACHES[name]
    assert any(each.breaches for each in judged(Breached(breach), [scattered(breach.plane)]))


# --- lines of the rules that are changed


def holding(words: str, plane: Callable[[], Rows]) -> Callable[[], Rows]:
    """Return the rows of a plane whose webhook holds these words, where few others can show it."""
    return wraps(plane)(lambda: (row for row in plane() if words in row[0]))


class Changed(NamedTuple):
    """A line of the rules, and what stands there instead."""

    plane: Callable[[], Rows]
    module: str
    line: str
    instead: str


class _Loader(SourceFileLoader):
    """Loads a module with one line changed."""

    def __init__(self, name: str, path: str, change: Changed) -> None:
        super().__init__(name, path)
        self._change = change

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text()
        assert source.count(self._change.line) == 1, f"no longer there: {self._change.line}"
        changed = source.replace(self._change.line, self._change.instead)
        code: CodeType = self.source_to_code(changed.encode(), self.path)
        return code


class _Finder(MetaPathFinder):
    """Finds the module that is to be changed."""

    def __init__(self, change: Changed) -> None:
        self._change = change

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path) if fullname == self._change.module else None
        if found and found.origin:
            found.loader = _Loader(fullname, found.origin, self._change)
        return found


PURE = ("app.jebbit", "app.rules")


def rules_with(change: Changed) -> Rules:
    """Import the rules once more, with one line changed; those of others stay as they are."""
    known = {name: each for name, each in sys.modules.items() if name.startswith(PURE)}
    finder = _Finder(change)
    for name in known:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        return Rules()
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(PURE)]:
            del sys.modules[name]
        sys.modules.update(known)
        for name in PURE:
            setattr(sys.modules["app"], name.partition(".")[2], known[name])


POLICY, PLAN = "app.rules.policy", "app.rules.plan"
CHANGED: dict[str, Changed] = {
    "unknown region is non-EU": Changed(
        grid.places, POLICY, 'self.strict = name != "non_eu"', 'self.strict = name == "eu"'
    ),
    "silence consents everywhere": Changed(
        grid.places, POLICY, "return not self.region.strict and self.is_certain", "return True"
    ),
    "silence consents where the country is doubtful": Changed(
        grid.places, POLICY, "not (self.doubtful or self.express)", "not self.express"
    ),
    "silence consents where the law asks for a yes": Changed(
        grid.places, POLICY, "not (self.doubtful or self.express)", "not self.doubtful"
    ),
    "silence overrules a no": Changed(
        grid.refusals,
        POLICY,
        "if consents and refused_at is None else None",
        "if consents else None",
    ),
    "a yes of the same time overrules a no": Changed(
        grid.refusals, POLICY, "self.given_from > refused_at", "self.given_from >= refused_at"
    ),
    "SMS by the refusals of email": Changed(
        grid.refusals, PLAN, "held, told.refusals.sms)", "held, told.refusals.email)"
    ),
    "force where any channel rests on a fresh yes": Changed(
        grid.times,
        POLICY,
        "    return all(\n        reading.answer",
        "    return any(\n        reading.answer",
    ),
    "force by silence": Changed(grid.times, POLICY, "reading.answer is Answer.YES and now", "now"),
    "force by the newest of two dates": Changed(
        grid.times,
        POLICY,
        "now - reading.given_from <= FRESH",
        "now - reading.given_until <= FRESH",
    ),
    "a yes is fresh for longer": Changed(grid.times, POLICY, "= 24 * 3600.0", "= 48 * 3600.0"),
    "force on a replay": Changed(grid.times, PLAN, "None if delivered_before else now", "now"),
    "stale subscribes": Changed(grid.times, PLAN, "statuses = _only_no(statuses)", "pass"),
    "a list is joined over a later no": Changed(
        grid.lists, PLAN, "spoken = is_later and asked", "spoken = asked"
    ),
    "a list is joined by silence after a no": Changed(
        grid.lists, PLAN, "asked = refused_at is None or", "asked = True or"
    ),
    "a stale yes is written": Changed(
        grid.times, PLAN, "not (told.stale or overruled)", "not overruled"
    ),
    "an older phone number is sent": Changed(
        grid.times, PLAN, "reasons = told.stale,", "reasons = False,"
    ),
    "a yes before a later no is written": Changed(
        grid.refusals, PLAN, "not (told.stale or overruled)", "not told.stale"
    ),
    "hidden answers keep their status": Changed(
        grid.urls,
        POLICY,
        "return OptInReading(Answer.NULL, *hidden, *given, opted_out=opted_out)",
        "pass",
    ),
    "a hidden answer does not keep from a list": Changed(
        grid.lists, POLICY, "opt_in.trusted and opt_in.answer in", "opt_in.answer in"
    ),
    "a hidden attribute joins a list": Changed(
        grid.lists, PLAN, "return believable and not silenced", "return not silenced"
    ),
    "a no within an item of a list with a yes is overlooked": Changed(
        grid.alike, POLICY, "_no_within(found, labels)", "None"
    ),
    "a no to a list under another spelling is overlooked": Changed(
        grid.lists,
        "app.rules.mapping",
        "if rule.attribute and _is_denied(",
        "if rule is None and _is_denied(",
    ),
    "an excluded campaign within a value is overlooked": Changed(
        grid.campaigns, POLICY, "in with_inner(_of_campaigns(submission, names))", "in ()"
    ),
    "a session that is not completed by another spelling counts": Changed(
        grid.campaigns, POLICY, ", *submission.find_resembling(name)", ""
    ),
    "the page's address within a text of JSON is not read": Changed(
        grid.hinted, "app.jebbit.url_parameters", 'if "{" in text:', "if False:"
    ),
    "a date beside its name is none": Changed(
        grid.hinted, PLAN, "_date(each.value, math.inf) for each", "False for each"
    ),
    "JSON in a text of JSON is not read": Changed(
        grid.alike, "app.jebbit.nested", "waiting.append(level)", "pass"
    ),
    "an opt-out of both channels is of neither": Changed(
        grid.alike, POLICY, "own_channel.search(letters) or not", "not"
    ),
    "a no under a key that means the opt-in is only unclear": Changed(
        grid.alike, POLICY, "return Answer.NO, each", "pass"
    ),
    "a no of the URL is a no": Changed(
        holding("url_params", grid.alike),
        POLICY,
        "is Answer.NO and is_believed(each, source):",
        "is Answer.NO:",
    ),
    "a no beside a yes is overlooked": Changed(
        grid.alike, POLICY, "(Answer.UNCLEAR, no) if no else None", "None"
    ),
    "an opt-out under another name is overlooked": Changed(
        grid.alike,
        POLICY,
        "return said is Answer.YES or in_words",
        "return False",
    ),
    "a no under another name is silence": Changed(
        grid.alike, POLICY, "if _declines(each.value, labels):", "if False:"
    ),
    "a name beside a no is overlooked": Changed(
        grid.alike, POLICY, "in with_inner(submission.find_beside(name) if name else ()):", "in ():"
    ),
    "texts that are JSON are not read": Changed(
        grid.alike, "app.jebbit.nested", "level = unpacked(value) if", "level = None if"
    ),
    "a date of another spelling is none": Changed(
        grid.hinted,
        PLAN,
        "if not dates and name and _hints",
        "if not dates and not name and _hints",
    ),
    "a list is joined by silence that is none": Changed(
        grid.guarded, PLAN, "believable and not silenced and", "believable and"
    ),
    "fixed lines get texts": Changed(
        grid.channels, PLAN, "and not takes_sms(identity.phone)", "and False"
    ),
    "URLs are not decoded": Changed(
        grid.urls, "app.jebbit.url_parameters", "readings += dict.fromkeys(", "dict.fromkeys("
    ),
    "of a key written twice the first counts": Changed(
        grid.spellings, "app.jebbit.documents", "return different", "return different[:1]"
    ),
    "what stands beside `data` is overruled": Changed(
        grid.spellings, "app.jebbit.submission", "if beside[key] != data[key]:", "if False:"
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_line_is_noticed(name: str) -> None:
    """Rules with another line break the law somewhere on the grid."""
    change = CHANGED[name]
    assert any(each.breaches for each in judged(rules_with(change), [scattered(change.plane)]))
