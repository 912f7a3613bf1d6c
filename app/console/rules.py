"""The editor of an integration's rules: nothing is saved before it is seen on what came in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Self, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import JsonValue

from app.console.changes import DifferenceLine, shown
from app.console.comparison import ChangeLine, change_lines
from app.console.decision import DecisionView, decision_of
from app.console.forms import Form, read_form
from app.console.rendering import render
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.ledger.changes import UnknownVersion
from app.ledger.integrations import VersionChanged
from app.operations import attributes, changes, comparing, drafting, integrations
from app.operations.checking import CheckFailed
from app.operations.comparing import Comparison
from app.operations.integrations import Change
from app.operations.invalid import Invalid, WrongPlace
from app.rules.integration import AttributeNames, Integration
from app.rules.values import FieldType

router = APIRouter(include_in_schema=False, route_class=AdminPage)

_SPARE_ROWS: Final = 3
_MOST_ROWS: Final = 200
_LISTS_NEED: Final = ("not_no", "yes", "none")
NAMES: Final = tuple(AttributeNames.model_fields)
TYPES: Final = get_args(FieldType)


@dataclass(frozen=True, slots=True)
class RowForm:
    """A rule of the mapping as it stands in the form."""

    attribute: str = ""
    field: str = ""
    type: str = "string"
    separator: str = ""
    default: str = ""
    lists_need: str = "not_no"

    @property
    def is_blank(self) -> bool:
        """Whether nothing is written in it."""
        return not (self.attribute or self.field or self.default)

    def rule(self) -> dict[str, JsonValue]:
        """Return it as the configuration has it; what is blank is left out."""
        rule: dict[str, JsonValue] = {"field": self.field, "type": self.type}
        for name in ("attribute", "separator"):
            if value := getattr(self, name):
                rule[name] = value
        if self.default:
            rule["default"] = _default(self.default, self.type)
        if self.type == "list":
            rule["lists_need"] = None if self.lists_need == "none" else self.lists_need
        return rule


@dataclass(frozen=True, slots=True)
class RulesForm:
    """The editor's form: what is stored, or what somebody typed."""

    version: int
    rows: Sequence[RowForm]
    values: Mapping[str, str]

    @classmethod
    def of(cls, integration: Integration, version: int) -> Self:
        """Return the form of an integration as it is stored."""
        policy, source, eu = integration.policy, integration.jebbit, integration.policy.eu
        values = {
            "collect": policy.collect,
            "opt_in": policy.opt_in,
            "auto_subscribe": _yes(policy.auto_subscribe),
            "opt_in_field": policy.opt_in_field or "",
            "resubscribe": policy.resubscribe,
            "on_opt_out": policy.on_opt_out,
            "has_eu": "yes" if eu else "",
            "eu_opt_in": (eu.opt_in if eu else None) or "",
            "eu_auto_subscribe": _yes(eu.auto_subscribe) if eu else "",
            "labels_true": "\n".join(source.opt_in_labels.true),
            "labels_false": "\n".join(source.opt_in_labels.false),
            "include": "\n".join(source.campaigns.include),
            "exclude": "\n".join(source.campaigns.exclude),
            **{f"name_{name}": getattr(source.attributes, name) or "" for name in NAMES},
        }
        rows = [
            RowForm(
                rule.attribute or "",
                rule.field,
                rule.type,
                rule.separator or "",
                _written(rule.default),
                rule.lists_need or "none",
            )
            for rule in integration.mapping
        ]
        return cls(version, rows, values)

    @classmethod
    def read(cls, form: Form) -> Self:
        """Read the form that a browser sent."""
        number = min(_number(form.one("rows")), _MOST_ROWS)
        rows = [
            RowForm(
                _text(form, f"row{each}_attribute"),
                _text(form, f"row{each}_field"),
                _one_of(form, f"row{each}_type", TYPES),
                form.one(f"row{each}_separator") or "",  # a space is one
                _text(form, f"row{each}_default"),
                _one_of(form, f"row{each}_lists_need", _LISTS_NEED),
            )
            for each in range(number)
        ]
        values = {name: _text(form, name) for name in _VALUES}
        return cls(
            _number(form.one("version")), [each for each in rows if not each.is_blank], values
        )

    def patch(self) -> dict[str, JsonValue]:
        """Return what it says as a patch of the configuration."""
        said = self.values
        eu: dict[str, JsonValue] = {
            "opt_in": said["eu_opt_in"] or None,
            "auto_subscribe": _choice(said["eu_auto_subscribe"]),
        }
        differs = bool(said["has_eu"] or said["eu_opt_in"] or said["eu_auto_subscribe"])
        return {
            "mapping": [each.rule() for each in self.rows],
            "policy": {
                "collect": said["collect"],
                "opt_in": said["opt_in"],
                "auto_subscribe": said["auto_subscribe"] == "yes",
                "opt_in_field": said["opt_in_field"] or None,
                "resubscribe": said["resubscribe"],
                "on_opt_out": said["on_opt_out"],
                **({"eu": eu} if differs else {}),
            },
            "jebbit": {
                "attributes": {name: said[f"name_{name}"] or None for name in NAMES},
                "opt_in_labels": {
                    "true": _lines(said["labels_true"]),
                    "false": _lines(said["labels_false"]),
                },
                "campaigns": {
                    "include": _lines(said["include"]),
                    "exclude": _lines(said["exclude"]),
                },
            },
        }


_VALUES = (
    *("collect", "opt_in", "auto_subscribe", "opt_in_field", "resubscribe", "on_opt_out"),
    *(
        "has_eu",
        "eu_opt_in",
        "eu_auto_subscribe",
        "labels_true",
        "labels_false",
        "include",
        "exclude",
    ),
    *(f"name_{name}" for name in NAMES),
)


@dataclass(frozen=True, slots=True)
class RulesView:
    """The editor."""

    id: str
    name: str
    link: str
    back: str
    form: RulesForm
    active: bool
    seen: Sequence[str]
    fields: Sequence[tuple[str, str]]
    fields_problem: str | None
    problem: str | None = None
    places: Sequence[WrongPlace] = ()
    comparison: Comparison | None = None
    changes: Sequence[ChangeLine] = ()
    sample: tuple[str, str] | None = None
    decision: DecisionView | None = None
    can_insist: bool = False
    asks: bool = False
    meanwhile: Sequence[DifferenceLine] = ()

    @property
    def spare(self) -> range:
        """The numbers of the blank rows at the end."""
        return range(len(self.form.rows), len(self.form.rows) + _SPARE_ROWS)


@router.get("/integrations/{integration_id}/rules")
async def show(request: Request, integration_id: str) -> Response:
    """Show the rules as they are, to be changed."""
    visit = visit_of(request)
    return _page(visit, await _view(visit, integration_id, None))


@router.post("/integrations/{integration_id}/rules")
async def compare_or_save(request: Request, integration_id: str) -> Response:
    """Show what the rules in the form would do; save them if that is asked for.

    Rules that would subscribe people who are not subscribed today are saved only with the number
    of them confirmed.
    """
    visit, sent = visit_of(request), await read_form(request)
    form = RulesForm.read(sent)
    view = await _view(visit, integration_id, form)
    try:
        view = await _compared(visit, view)
    except Invalid as error:
        return _page(
            visit,
            replace(view, problem="Something must be corrected.", places=error.places),
            HTTPStatus.UNPROCESSABLE_ENTITY,
        )
    if sent.one("do") != "save":
        return _page(visit, view)
    found = view.comparison
    if found and found.newly_subscribed and sent.one("confirmed") != str(found.newly_subscribed):
        return _page(visit, replace(view, asks=True), HTTPStatus.CONFLICT)
    change = Change(form.patch(), {form.version}, force=sent.one("force") == "yes")
    try:
        await integrations.change(visit.context, visit.who, integration_id, change)
    except VersionChanged:
        text = "Somebody else changed it meanwhile. Open it anew to go on; your text is below."
        found_now = replace(view, problem=text, meanwhile=await _meanwhile(visit, view))
        return _page(visit, found_now, HTTPStatus.PRECONDITION_FAILED)
    except CheckFailed as error:
        text = "It was not saved: it sends now, and the check finds errors."
        refused = replace(view, problem=text, places=error.places, can_insist=True)
        return _page(visit, refused, HTTPStatus.CONFLICT)
    link = visit.link(f"/integrations/{integration_id}", urlencode({"done": "rules_saved"}))
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


def _page(visit: Visit, view: RulesView, status: HTTPStatus = HTTPStatus.OK) -> Response:
    title = f"Rules of {view.name}"
    return render(visit, "rules.html", title, view, section="integrations", status=status)


async def _view(visit: Visit, integration_id: str, form: RulesForm | None) -> RulesView:
    stored = await integrations.get(visit.context, integration_id)
    seen = await attributes.attributes_seen(visit.context, integration_id)
    account = await drafting.account_fields(visit.context, integration_id)
    page = visit.link(f"/integrations/{stored.id}")
    return RulesView(
        id=stored.id,
        name=stored.integration.name,
        link=f"{page}/rules",
        back=page,
        form=form or RulesForm.of(stored.integration, stored.version),
        active=stored.state == "active",
        seen=[each.key for each in seen.attributes],
        fields=account.fields,
        fields_problem=account.problem,
    )


async def _compared(visit: Visit, view: RulesView) -> RulesView:
    patch = view.form.patch()
    found = await comparing.compare(visit.context, view.id, patch)
    sample = await drafting.preview_newest(visit.context, visit.who, view.id, patch)
    return replace(
        view,
        comparison=found,
        changes=change_lines(visit, found),
        sample=(sample[0][-8:], visit.link(f"/submissions/{sample[0]}")) if sample else None,
        decision=decision_of(sample[1]) if sample else None,
    )


async def _meanwhile(visit: Visit, view: RulesView) -> Sequence[DifferenceLine]:
    """Return what changed since the version that the form began from; nothing if it is not kept."""
    stored = await integrations.get(visit.context, view.id)
    began = view.form.version
    if began >= stored.version:
        return ()
    try:
        found = await changes.compare(visit.context, view.id, stored.version, began)
        return shown(found.differences)
    except UnknownVersion:
        return ()


def _text(form: Form, name: str) -> str:
    return (form.one(name) or "").strip()


def _one_of(form: Form, name: str, known: Sequence[str]) -> str:
    """Return a choice of a list; what is none is left to the rules to refuse."""
    return _text(form, name) or known[0]


def _number(text: str | None) -> int:
    small = text and text.isascii() and text.isdigit() and len(text) < 19
    return int(text) if text and small else 0


def _lines(text: str) -> list[JsonValue]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def input_of(place: str) -> str:
    """Return the id of the form's input that mends a place of the configuration; blank: none."""
    match place.split("."):
        case ["mapping", number, *_]:
            return f"row{number}_attribute"
        case ["jebbit", "attributes", name]:
            return f"name_{name}"
        case ["jebbit", "opt_in_labels", *_]:
            return "labels_true"
        case _:
            return ""


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


def _choice(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text)


def _written(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _default(text: str, kind: str) -> JsonValue:
    """Return a default as its type wants it: as text, or read as JSON if it is that."""
    if kind in ("string", "date", "geo"):
        return text
    try:
        read: Any = json.loads(text)
    except ValueError:
        return text
    return read if isinstance(read, bool | int | float | str | list) else text
