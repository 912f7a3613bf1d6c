"""What a source really sends, held against what an integration expects of it. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

from app.jebbit.folding import fold, fold_label
from app.jebbit.submission import Submission
from app.rules.integration import Integration
from app.rules.values import Answer, answer

Kind = Literal["blank", "text", "number", "yes/no", "list", "object"]

_MOST_ATTRIBUTES: Final = 500
_MOST_ANSWERS: Final = 50
_LONGEST_LABEL: Final = 120  # characters; what is longer is no label of a box
_PERSONAL: Final = re.compile(r"@|\d{5}")  # no label either, but perhaps an address
OTHER_TEXT: Final = "(another text)"


@dataclass(frozen=True, slots=True)
class SeenAttribute:
    """A key that came in: how often, when last (unix seconds), as what, and who uses it.

    `used_by` names places of the configuration; none: nothing does.
    """

    key: str
    times: int
    last_seen: float
    kinds: Sequence[Kind]
    used_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class UnclearAnswer:
    """An answer to an opt-in that is neither yes nor no, and how often it came."""

    attribute: str
    text: str
    times: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen in so many submissions.

    `missing` holds the attributes that the configuration names and none of them had, by place.
    """

    submissions: int
    attributes: Sequence[SeenAttribute]
    missing: Mapping[str, str]
    unclear: Sequence[UnclearAnswer]


def survey(seen: Iterable[tuple[float, Submission]], integration: Integration) -> Survey:
    """Look through submissions, each with the time of its receipt (unix seconds)."""
    times, kinds, last = Counter[str](), defaultdict[str, set[Kind]](set), dict[str, float]()
    unclear, number = Counter[tuple[str, str]](), 0
    for received_at, submission in seen:
        number += 1
        for key, value in submission.attributes.items():
            times[key] += 1
            kinds[key].add(kind_of(value))
            last[key] = max(received_at, last.get(key, received_at))
        unclear.update(_unclear(submission, integration))
    return Survey(
        number,
        [
            SeenAttribute(key, count, last[key], sorted(kinds[key]), used_by(key, integration))
            for key, count in times.most_common(_MOST_ATTRIBUTES)
        ],
        missing_of(times, integration) if number else {},
        [
            UnclearAnswer(key, text, count)
            for (key, text), count in unclear.most_common(_MOST_ANSWERS)
        ],
    )


def used_by(key: str, integration: Integration) -> Sequence[str]:
    """Return the places of the configuration that name this key, however it is spelled."""
    return [place for place, name in places(integration) if fold(name) == fold(key)]


def missing_of(keys: Iterable[str], integration: Integration) -> Mapping[str, str]:
    """Return the attributes that the configuration names and that none of these keys is."""
    folded = {fold(key) for key in keys}
    return {place: name for place, name in places(integration) if fold(name) not in folded}


def kind_of(value: JsonValue) -> Kind:
    """Say what a value is, in words that a marketer knows."""
    if isinstance(value, str):  # most are
        return "text" if value.strip() else "blank"
    match value:
        case None:
            return "blank"
        case bool():
            return "yes/no"
        case int() | float():
            return "number"
        case list():
            return "list"
        case _:
            return "object"


def places(integration: Integration) -> Iterator[tuple[str, str]]:
    """Yield each place of the configuration that names an attribute, and the name."""
    for place, name in integration.jebbit.attributes:
        if name is not None:
            yield f"jebbit.attributes.{place}", name
    for number, rule in enumerate(integration.mapping):
        if rule.attribute is not None:
            yield f"mapping.{number}.attribute", rule.attribute


def _unclear(submission: Submission, integration: Integration) -> Iterator[tuple[str, str]]:
    names, labels = integration.jebbit.attributes, integration.jebbit.opt_in_labels.labels
    for name in (names.opt_in, names.sms_opt_in):
        for found in submission.find_all(name) if name else ():
            if answer(found.value, labels) is Answer.UNCLEAR:
                yield found.key, _label(found.value)


def _label(value: JsonValue) -> str:
    """Return an answer as a label that can be shown; what may be personal is not shown."""
    if not isinstance(value, str) or len(value) > _LONGEST_LABEL or _PERSONAL.search(value):
        return OTHER_TEXT
    return fold_label(value)
