"""A plan in plain words: what was read, what follows from it, and what Cordial is asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from app.console import words
from app.operations.previewing import Explanation
from app.rules.plan import Skip, Upsert
from app.rules.policy import OptInReading, RegionReading

_LONGEST: Final = 300  # characters of a value in a sentence or a table


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was read or decided: a sentence, and the place that it rests on."""

    title: str
    sentence: str
    place: str | None = None
    stops: bool = False


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
    """A decision as steps, with the fields and the request that follow from it."""

    steps: Sequence[Step]
    fields: Sequence[FieldLine]
    warnings: Sequence[str]
    request: str | None
    body: str | None
    note: str | None


def decision_of(explanation: Explanation) -> DecisionView:
    """Return an explanation in plain words."""
    decided, request = explanation.plan, explanation.request
    evidence = decided.evidence
    steps = [
        Step("Region", region_in_words(evidence.region), _PLACES[evidence.region.decided_by]),
        Step("Email opt-in", answer_in_words(evidence.opt_in), "jebbit.attributes.opt_in"),
    ]
    if evidence.sms_opt_in.attribute:
        sms = answer_in_words(evidence.sms_opt_in)
        steps.append(Step("SMS opt-in", sms, "jebbit.attributes.sms_opt_in"))
    steps.append(_result(decided))
    return DecisionView(
        steps=steps,
        fields=[
            FieldLine(each.attribute, shown(each.source), each.field, each.type, shown(each.value))
            for each in explanation.fields
        ],
        warnings=[each.detail for each in explanation.warnings],
        request=f"{request.method} {request.url}" if request else None,
        body=json.dumps(request.body, indent=2, ensure_ascii=False) if request else None,
        note=explanation.note,
    )


def shown(value: JsonValue) -> str | None:
    """Return a value as a reader sees it; None for none."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


_REGIONS = {"eu": "in the EU", "non_eu": "outside the EU", "unknown": "unknown"}
_PLACES: Mapping[str, str | None] = {
    "country": "jebbit.attributes.country",
    "region": "jebbit.attributes.region",
    "integration": "jebbit.region",
    "nothing": None,
}


def region_in_words(reading: RegionReading) -> str:
    """Return a person's region and what decided it, as a sentence."""
    where = _REGIONS[reading.region.value]
    if reading.decided_by == "nothing":
        said = "Unknown: nothing says where the person is, so EU rules hold."
    elif reading.decided_by == "integration":
        said = f"{where.capitalize()}, because the integration says so where nothing else does."
    else:
        value = shown(reading.value)
        is_ = f" is {value}" if value is not None else " says so"
        said = f"{where.capitalize()}, because {reading.attribute}{is_}."
        if reading.region.strict:
            said += " EU rules hold."
    if reading.express:
        said += " Silence is no consent there."
    if reading.doubtful:
        said += " Another country is named that is not believed or not understood, so silence is "
        said += "no consent."
    return said.replace("the eu", "the EU")


_ANSWERS = {
    "yes": "Yes",
    "no": "No",
    "null": "No answer",
    "unclear": "Unclear",
}


def answer_in_words(reading: OptInReading) -> str:
    """Return what a person answered and where it was read, as a sentence."""
    if reading.attribute is None:
        return "Nobody asks for it: the integration names no attribute."
    value = shown(reading.value)
    if not reading.trusted:
        return (
            f"No answer that can be believed: {reading.attribute} may come from the page's URL "
            f"({reading.doubt})."
        )
    said = _ANSWERS[reading.answer.value]
    if value is None:
        return (
            f"{said}: {reading.attribute} is blank or not there."
            if (reading.answer.value == "null")
            else f"{said}, by {reading.attribute}."
        )
    if reading.answer.value == "unclear":
        return f'{said}: {reading.attribute} is "{value}", which is neither yes nor no here.'
    return f'{said}: {reading.attribute} is "{value}".'


def _result(decided: Upsert | Skip) -> Step:
    if isinstance(decided, Skip):
        said = words.REASONS[decided.reason]
        sentence = f"Nothing is sent. {said.what} {decided.detail or ''}".strip()
        return Step("Result", sentence, stops=True)
    asked = _asked(decided.body)
    sentence = "The contact is sent to Cordial. " + " ".join(asked)
    if decided.body.get("forceSubscribe"):
        sentence += " Forced, also over an earlier unsubscribe."
    return Step("Result", sentence)


def _asked(body: Mapping[str, Any]) -> list[str]:
    """Say which status each channel is asked to have."""
    said = []
    for name, channel in body.get("channels", {}).items():
        asked = _status(channel)
        said.append(
            f"{name.upper() if name == 'sms' else name.capitalize()} is {asked or 'left as it is'}."
        )
    return said


def _status(channel: Mapping[str, Any]) -> str | None:
    status = channel.get("subscribeStatus")
    if status is None:
        programs = channel.get("programs") or {}
        given = (
            [each.get("subscribeStatus") for each in programs.values()]
            if isinstance(programs, dict)
            else []
        )
        status = next((each for each in given if each), None)
    return str(status) if status else None
