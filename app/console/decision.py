"""A plan as steps: what was read, what follows from it, and what Cordial is asked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from app.console.words import reason_in_words
from app.ledger.decisions import Decision
from app.operations.previewing import Explanation
from app.rules.explanation import Read, Step, Subject
from app.rules.mapping import MappedField

_LONGEST: Final = 300  # characters of a value in a table


@dataclass(frozen=True, slots=True)
class StepView:
    """One step: its title, a sentence, what was read, and the place that decided."""

    title: str
    sentence: str
    read: Sequence[str]
    place: str | None
    stops: bool


@dataclass(frozen=True, slots=True)
class FieldLine:
    """How one field came about."""

    attribute: str | None
    source: str | None
    field: str
    kind: str
    value: str | None


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision as steps, with the fields and the request that follow from it.

    Of a skip, `fields` are what would have been mapped (`is_moot`); `absent` are the others of the
    mapping, for which there is no value.
    """

    steps: Sequence[StepView]
    fields: Sequence[FieldLine]
    absent: Sequence[str]
    is_moot: bool
    warnings: Sequence[str]
    request: str | None
    body: str | None
    note: str | None


def decision_of(explanation: Explanation) -> DecisionView:
    """Return an explanation as a page shows it."""
    request, moot = explanation.request, not explanation.fields
    fields = explanation.would_map if moot else explanation.fields
    hidden = all(each.value is None for each in fields)  # as a viewer is shown them
    return DecisionView(
        steps=[_step(each) for each in explanation.steps],
        fields=[_field(each) for each in fields if each.value is not None or hidden],
        absent=[each.field for each in fields if each.value is None and not hidden],
        is_moot=moot,
        warnings=[each.detail for each in explanation.warnings],
        request=f"{request.method} {request.url}" if request else None,
        body=json.dumps(request.body, indent=2, ensure_ascii=False) if request else None,
        note=explanation.note,
    )


@dataclass(frozen=True, slots=True)
class DecidedView:
    """What was decided when a submission settled: when (unix seconds), and line by line.

    `version` is that of the rules that decided it.
    """

    at: float
    outcome: str
    version: int
    lines: Sequence[tuple[str, str]]


def decided_then(decision: Decision) -> DecidedView:
    """Return a decision that is kept as a page shows it."""
    reason = decision.reason
    outcome = decision.outcome.capitalize() + (f": {reason_in_words(reason)}" if reason else "")
    lines = list(_basis(decision.basis)) if decision.basis else []
    return DecidedView(decision.decided_at, outcome, decision.version, lines)


def _basis(basis: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    region = _REGIONS.get(str(basis["region"]), str(basis["region"]))
    yield "Region", region + _because(basis["region_attribute"], basis["region_value"])
    for name, title in (("opt_in", "Email opt-in"), ("sms_opt_in", "SMS opt-in")):
        answered = basis[name]
        if isinstance(answered, dict) and answered["attribute"]:
            said = _ANSWERS.get(str(answered["answer"]), str(answered["answer"]))
            said += _because(answered["attribute"], answered["label"])
            yield title, said if answered["believed"] else f"{said}, not believed"
    for name, title in (("email_status", "Email"), ("sms_status", "SMS")):
        if basis[name]:
            yield title, f"asked to be {basis[name]}"
    if basis["forced"]:
        yield "Forced", "also over an earlier unsubscribe"
    if basis["campaign"]:
        yield "Campaign", str(basis["campaign"])


def _because(attribute: JsonValue, value: JsonValue) -> str:
    if not attribute:
        return ""
    return f", {attribute}" if value is None else f", {attribute} = {value}"


_REGIONS: Final = {"eu": "in the EU", "non_eu": "outside the EU", "unknown": "unknown"}
_ANSWERS: Final = {"yes": "yes", "no": "no", "null": "no answer", "unclear": "unclear"}


def _step(step: Step) -> StepView:
    title, sentence = TITLES[step.subject], step.sentence
    if sentence.startswith(f"{title}: "):  # the title says it already
        rest = sentence.removeprefix(f"{title}: ")
        sentence = rest[0].upper() + rest[1:]
    return StepView(title, sentence, [_read(each) for each in step.read], step.place, step.stops)


def _read(read: Read) -> str:
    if read.key is None:
        return f"no {read.attribute}"
    value = shown(read.value)
    said = read.key if value is None else f"{read.key} = {value}"
    return said if read.believed else f"{said}, not believed: {read.why}"


TITLES: Final[Mapping[Subject, str]] = {
    "session": "Session",
    "contact": "Contact",
    "region": "Region",
    "opt_in": "Email opt-in",
    "sms_opt_in": "SMS opt-in",
    "audience": "Sent or not",
    "order": "Order",
    "email": "Email",
    "sms": "SMS",
    "force": "Earlier unsubscribe",
    "fields": "Fields",
    "result": "Result",
}


def _field(mapped: MappedField) -> FieldLine:
    return FieldLine(
        mapped.attribute, shown(mapped.source), mapped.field, mapped.type, shown(mapped.value)
    )


def shown(value: JsonValue) -> str | None:
    """Return a value as a reader sees it; None for none."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
