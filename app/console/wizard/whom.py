"""The fifth step: whom to send and whom to subscribe. Nothing is chosen for anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import APIRouter, Request, Response

from app.console.decision import shown
from app.console.forms import read_form
from app.console.state import Visit, visit_of
from app.console.wizard.steps import (
    MEANWHILE,
    StepPage,
    Wizard,
    page,
    stored_of,
    to,
    version_in,
    wizard_of,
)
from app.jebbit.folding import fold_label
from app.ledger.integrations import StoredIntegration, VersionChanged
from app.operations import mapping_rows, sampling, setting_up
from app.operations.invalid import Invalid
from app.operations.sampling import Sample
from app.operations.setting_up import Choice, Label, SmsChoice, Whom
from app.rules.integration import OptInRule
from app.rules.policy import Region, Status, read_region
from app.rules.values import Answer, answer

router = APIRouter(include_in_schema=False, route_class=StepPage)

NO_BOX: Final = "-"  # the experience asks nobody
_SEND: Final[Sequence[tuple[OptInRule, str]]] = (
    ("opted_in_only", "Who said yes"),
    ("opted_in_or_null", "Who said yes, and who was not asked or did not answer"),
    ("everyone", "Everyone, also who said no; the answer is written to a field"),
)
_COLLECT: Final = (
    ("both", "People everywhere"),
    ("non_eu", "People outside the EU alone"),
    ("eu", "People in the EU alone"),
)
_REGION: Final = (
    ("none", "In the EU, to be strict"),
    ("us", "Outside the EU: the experience is for people there"),
    ("eu", "In the EU: the experience is for people there"),
)
_SAYS: Final[Mapping[Answer, str]] = {
    Answer.YES: "a yes",
    Answer.NO: "a no",
    Answer.NULL: "no answer",
    Answer.UNCLEAR: "neither yes nor no, so nobody is subscribed by it",
}


@dataclass(frozen=True, slots=True)
class Option:
    """A choice in words, and what becomes of the sample's person by it."""

    value: str
    text: str
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its choices, none of which is made beforehand."""

    name: str
    text: str
    options: Sequence[Option]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of one kind of people."""

    title: str
    text: str
    questions: Sequence[Question]


@dataclass(frozen=True, slots=True)
class WhomView:
    """The step: what was chosen, and what is wrong or missing by the name of its input."""

    wizard: Wizard
    version: int
    values: Mapping[str, str]
    keys: Sequence[str]
    sample_says: str
    groups: Sequence[Group]
    takes_sms: bool
    unclear: str | None
    fields: Sequence[str]
    wrong: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@router.get("/integrations/new/{integration_id}/whom")
async def show(request: Request) -> Response:
    """Ask; what was answered before is shown."""
    visit, stored = visit_of(request), stored_of(request)
    return page(visit, "whom", await _view(visit, stored, _answered(stored)))


@router.post("/integrations/new/{integration_id}/whom")
async def take(request: Request) -> Response:
    """Store the answers, if all are given."""
    visit, stored, form = visit_of(request), stored_of(request), await read_form(request)
    values = {name: form.text(name) for name in _NAMES}
    sample = await sampling.sample_of(visit.context, stored)
    unclear = _unclear(stored, sample, values["opt_in"])
    if unclear is None or fold_label(unclear) != fold_label(form.text("label")):
        values["means"] = ""  # they were asked about other words: a newer sample came meanwhile
    if form.one("do") == "look":
        return page(visit, "whom", await _view(visit, stored, values))
    wrong = _missing(stored, values, unclear)
    if not wrong:
        try:
            whom = _whom(stored, values, unclear)
            saved = await setting_up.answer_whom(
                visit.context, visit.who, stored.id, whom, version_in(form)
            )
            return to(visit, saved, "check", "answered")
        except VersionChanged:
            view = await _view(visit, stored, values, problem=MEANWHILE)
            return page(visit, "whom", view, status=HTTPStatus.PRECONDITION_FAILED)
        except Invalid as error:
            refused, problem = _told(error)
            view = await _view(visit, stored, values, wrong=refused, problem=problem)
            return page(visit, "whom", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    view = await _view(visit, stored, values, wrong=wrong)
    return page(visit, "whom", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _told(error: Invalid) -> tuple[Mapping[str, str], str]:
    """Return what is wrong by the name of its input, and what is said above all."""
    here = [each.detail for each in error.places if each.place == "policy.opt_in_field"]
    rest = [each.detail for each in error.places if each.place != "policy.opt_in_field"]
    said = " ".join(f"{each[:1].upper()}{each[1:]}." for each in rest)
    wrong = {"answer_field": f"It cannot be this one: {' '.join(here)}."} if here else {}
    return wrong, said or "Nothing is saved: one answer is wrong, and marked below."


_NAMES: Final = (
    *("opt_in", "collect", "region", "send", "subscribe", "eu_send", "eu_subscribe"),
    *("sms", "sms_attribute", "sms_program", "sms_keyword", "answer_field", "means"),
)
_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "collect": [value for value, _ in _COLLECT],
    "region": [value for value, _ in _REGION],
    "send": [value for value, _ in _SEND],
    "eu_send": [value for value, _ in _SEND],
    "subscribe": ["yes", "no"],
    "eu_subscribe": ["yes", "no"],
    "sms": ["yes", "no"],
    "means": ["yes", "no", "neither"],
}


def _answered(stored: StoredIntegration) -> Mapping[str, str]:
    """Return what was answered before; nothing of what nobody has said."""
    if stored.unanswered:
        return dict.fromkeys(_NAMES, "")
    configured = stored.integration
    policy, names = configured.policy, configured.jebbit.attributes
    here, eu, sms = policy.terms, policy.eu_terms, configured.cordial.sms
    return {
        "opt_in": names.opt_in or NO_BOX,
        "collect": policy.collect,
        "region": configured.jebbit.region or "none",
        "send": here.opt_in,
        "subscribe": _yes(here.auto_subscribe),
        "eu_send": eu.opt_in,
        "eu_subscribe": _yes(eu.auto_subscribe),
        "sms": _yes(names.sms_opt_in is not None),
        "sms_attribute": names.sms_opt_in or "",
        "sms_program": (sms.program if sms else None) or "",
        "sms_keyword": (sms.keyword if sms else None) or "",
        "answer_field": policy.opt_in_field or "",
        "means": "neither",  # of what is still unclear
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _missing(
    stored: StoredIntegration, values: Mapping[str, str], unclear: str | None
) -> dict[str, str]:
    """Return what is not answered, by the name of its input."""
    asked = ["collect", "region"]
    if values["collect"] != "eu":
        asked += ["send", "subscribe"]
    if values["collect"] != "non_eu":
        asked += ["eu_send", "eu_subscribe"]
    if _takes_sms(stored):
        asked.append("sms")
    if unclear is not None:
        asked.append("means")
    wrong = {name: "Choose one." for name in asked if values[name] not in _CHOICES[name]}
    if not values["opt_in"]:
        wrong["opt_in"] = "Choose the attribute, or say that nobody is asked."
    if values["sms"] == "yes" and _takes_sms(stored):
        for name, text in (
            ("sms_attribute", "Name the attribute of the SMS box: a yes to email is none to SMS."),
            ("sms_program", "Name the program, as it is written in Cordial's SMS settings."),
        ):
            if not values[name]:
                wrong[name] = text
    sends = {
        values["send"] if "send" in asked else "",
        values["eu_send"] if "eu_send" in asked else "",
    }
    if "everyone" in sends and not values["answer_field"]:
        wrong["answer_field"] = "Name the field that gets the answer."
    return wrong


def _whom(stored: StoredIntegration, values: Mapping[str, str], unclear: str | None) -> Whom:
    def choice(send: str, subscribe: str) -> Choice:
        return Choice(cast(OptInRule, values[send]), values[subscribe] == "yes")

    collect = cast(Any, values["collect"])
    elsewhere = None if collect == "eu" else choice("send", "subscribe")
    eu = None if collect == "non_eu" else choice("eu_send", "eu_subscribe")
    everyone = "everyone" in {each.send for each in (elsewhere, eu) if each}
    sms = None
    if values["sms"] == "yes" and _takes_sms(stored):
        sms = SmsChoice(
            values["sms_attribute"], values["sms_program"], values["sms_keyword"] or None
        )
    return Whom(
        opt_in=None if values["opt_in"] == NO_BOX else values["opt_in"],
        collect=collect,
        region=None if values["region"] == "none" else cast(Any, values["region"]),
        elsewhere=elsewhere,
        eu=eu,
        sms=sms,
        answer_field=values["answer_field"] if everyone else None,
        label=Label(unclear, values["means"] == "yes")
        if unclear is not None and values["means"] in ("yes", "no")
        else None,
    )


def _takes_sms(stored: StoredIntegration) -> bool:
    return stored.integration.phone_attribute is not None


async def _view(
    visit: Visit,
    stored: StoredIntegration,
    values: Mapping[str, str],
    wrong: Mapping[str, str] | None = None,
    problem: str | None = None,
) -> WhomView:
    sample = await sampling.sample_of(visit.context, stored)
    keys = list(sample.attributes) if sample else []
    usual = stored.integration.jebbit.attributes.opt_in
    if not values["opt_in"] and usual in keys and wrong is None:
        values = {**values, "opt_in": usual or ""}
    said = _said(stored, sample, values["opt_in"])
    told = _in_words(sample, values["opt_in"], said)
    if said is Answer.UNCLEAR:
        said = _MEANS.get(values["means"], said)
    account = await mapping_rows.told_by(visit.context, stored)
    return WhomView(
        await wizard_of(visit, stored, "whom"),
        stored.version,
        values,
        keys,
        told,
        _groups(visit, stored, sample, said if sample else None),
        _takes_sms(stored),
        _unclear(stored, sample, values["opt_in"]),
        [each.key for each in account.fields if each.type == "string"],
        wrong or {},
        problem,
    )


def _said(stored: StoredIntegration, sample: Sample | None, name: str) -> Answer:
    """Return what the sample's person answered, by the attribute that was chosen."""
    found = sample.submission.find(name) if sample and name and name != NO_BOX else None
    labels = stored.integration.jebbit.opt_in_labels.labels
    return answer(found.value, labels) if found else Answer.NULL


def _unclear(stored: StoredIntegration, sample: Sample | None, name: str) -> str | None:
    """Return the sample's answer if it is a text that is neither yes nor no: a label of the box."""
    found = sample.submission.find(name) if sample and name and name != NO_BOX else None
    if found is None or not isinstance(found.value, str) or len(found.value) > _LONGEST_LABEL:
        return None
    return found.value if _said(stored, sample, name) is Answer.UNCLEAR else None


_LONGEST_LABEL: Final = 120
_MEANS: Final = {"yes": Answer.YES, "no": Answer.NO}


def _in_words(sample: Sample | None, name: str, said: Answer) -> str:
    if sample is None:
        return "There is no sample, so no outcome is shown."
    if not name:
        return "Choose the attribute, and each choice below shows what becomes of the sample."
    found = sample.submission.find(name) if name != NO_BOX else None
    if found is None:
        return "The sample has no answer: its person was not asked, or did not answer."
    return f"In the sample it is “{shown(found.value)}”: {_SAYS[said]}."


def _groups(
    visit: Visit, stored: StoredIntegration, sample: Sample | None, said: Answer | None
) -> Sequence[Group]:
    where = None
    if sample is not None:
        source, jurisdictions = stored.integration.jebbit, visit.context.jurisdictions
        where = read_region(sample.submission, source, jurisdictions).region
    return [
        Group(
            "Who is collected",
            "",
            [
                Question(
                    "collect",
                    "Whom does this integration collect?",
                    [Option(value, text) for value, text in _COLLECT],
                ),
                Question(
                    "region",
                    "Where does somebody count as from if Jebbit does not tell their country?",
                    [Option(value, text) for value, text in _REGION],
                ),
            ],
        ),
        _group(stored, said, Region.NON_EU, is_there=where is Region.NON_EU),
        _group(stored, said, Region.EU, is_there=where is Region.EU),
    ]


_ABOUT: Final[Mapping[Region, str]] = {
    Region.NON_EU: "Where the law asks everybody for a yes, as in Canada or Brazil, silence "
    "subscribes nobody, whatever is chosen here.",
    Region.EU: "The EEA and the UK count as the EU.",
}


def _group(
    stored: StoredIntegration, said: Answer | None, region: Region, *, is_there: bool
) -> Group:
    eu = region is Region.EU
    prefix, where = ("eu_", "in the EU") if eu else ("", "outside the EU")
    yes = (
        "Yes: who said yes. Who was not asked stays as they are"
        if eu
        else "Yes: who said yes, and who was not asked or did not answer, if they are sent"
    )

    def sent(rule: OptInRule) -> str:
        if said is None:
            return ""
        found = setting_up.outcome(stored, Choice(rule, subscribe=False), region, said)
        return f"With the sample's answer: {'sent' if found.sent else 'not sent'}."

    def status(*, subscribe: bool) -> str:
        if said is None:
            return ""
        found = setting_up.outcome(stored, Choice("everyone", subscribe), region, said)
        done = "subscribed" if found.status is Status.SUBSCRIBED else "left as they are"
        return f"With the sample's answer, if sent: {done}."

    return Group(
        f"People {where}",
        _ABOUT[region] + (" The sample's person is one of them." if is_there else ""),
        [
            Question(
                f"{prefix}send",
                f"Whom of the people {where} does it send to Cordial?",
                [Option(rule, text, sent(rule)) for rule, text in _SEND],
            ),
            Question(
                f"{prefix}subscribe",
                f"Does it subscribe people {where} to email?",
                [
                    Option("yes", yes, status(subscribe=True)),
                    Option("no", "No: every subscription stays as it is", status(subscribe=False)),
                ],
            ),
        ],
    )
