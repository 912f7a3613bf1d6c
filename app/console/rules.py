"""The editor of an integration's rules: nothing is saved before it is seen on what came in."""

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.console import rules_settings
from app.console.changes import DifferenceLine, shown
from app.console.comparison import ChangeLine, change_lines
from app.console.forms import Form, read_form, whole_number
from app.console.rendering import render
from app.console.rules_form import RowForm, RulesForm
from app.console.rules_names import AttributeLine, RowNote, attribute_lines, notes_of
from app.console.rules_trial import SampleLine, TrialView, sample_lines, trial_of
from app.console.saving import CHANGED_MEANWHILE, refusal_of
from app.console.session import AdminPage
from app.console.state import Visit, visit_of
from app.jebbit.folding import fold
from app.ledger.changes import UnknownVersion
from app.ledger.documents import masked_document
from app.ledger.integrations import StoredIntegration
from app.operations import changes, comparing, integrations, naming
from app.operations.comparing import Comparison
from app.operations.describing import described_within, last_described
from app.operations.invalid import Invalid, WrongPlace
from app.operations.naming import Made, Names
from app.rules.values import FieldType

router = APIRouter(include_in_schema=False, route_class=AdminPage)

_PATIENCE_SECONDS = 3.0  # for Cordial's fields: rules are looked at while Cordial is down, too
_DIGITS: Final = 4  # of the number of a row
_STALE: Final = f"{CHANGED_MEANWHILE} Open it anew to go on; your text is below."


@dataclass(frozen=True, slots=True)
class RulesView:
    """The editor: the form, and what is known of what stands in it.

    `notes` are those of the rows. `compared` is None before the first comparison, and while
    anything is wrong. `is_changed`: anything differs from the rules that hold.
    """

    id: str
    name: str
    link: str
    back: str
    form: RulesForm
    names: Names
    notes: Sequence[RowNote]
    unused: Sequence[AttributeLine]
    seen: Sequence[AttributeLine]
    samples: Sequence[SampleLine]
    sample: str
    pasted: str
    is_changed: bool = False
    notice: str | None = None
    problem: str | None = None
    wrong: Sequence[tuple[str, WrongPlace]] = ()
    comparison: Comparison | None = None
    changes: Sequence[ChangeLine] = ()
    trial: TrialView | None = None
    can_insist: bool = False
    asks: bool = False
    meanwhile: Sequence[DifferenceLine] = ()

    @property
    def spec(self) -> Any:
        """What the form consists of."""
        return rules_settings

    @property
    def wrong_inputs(self) -> frozenset[str]:
        """The ids of the inputs that must be corrected."""
        return frozenset(each for each, _ in self.wrong if each)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What somebody typed: the integration as it is, and the change of it."""

    stored: StoredIntegration
    form: RulesForm
    patch: Mapping[str, Any]


@router.get("/integrations/{integration_id}/rules")
async def show(request: Request, integration_id: str) -> Response:
    """Show the rules as they are, to be changed."""
    visit = visit_of(request)
    stored = await integrations.get(visit.context, integration_id)
    if stored.unanswered:
        return _to_answer(visit, stored)
    form = RulesForm.of(masked_document(stored.integration), stored.version)
    draft = _Draft(stored, form, {})
    view = await _view(visit, draft, request.query_params.get("submission", ""), "")
    try:
        return _page(visit, await _tried(visit, draft, view))
    except Invalid as error:  # it could be saved once
        return _wrong(visit, view, error)


@router.post("/integrations/{integration_id}/rules")
async def try_or_save(request: Request, integration_id: str) -> Response:
    """Show what the rules in the form would do; save them if that is asked for.

    Rules that would subscribe people who are not subscribed today are saved only with the number
    of them confirmed.
    """
    visit, sent = visit_of(request), await read_form(request)
    stored = await integrations.get(visit.context, integration_id)
    if stored.unanswered:
        return _to_answer(visit, stored)
    form, made = await _asked(visit, stored, RulesForm.read(sent), sent.one("do") or "")
    began = await _began(visit, stored, form.version)
    draft = _Draft(stored, form.with_spare_rows(), form.patch(began))
    view = await _view(visit, draft, sent.one("sample") or "", sent.one("pasted") or "")
    view = replace(view, is_changed=bool(draft.patch))
    if made is not None:
        view = replace(view, notice=made.text) if made.done else replace(view, problem=made.text)
    try:
        view = await _tried(visit, draft, view)
        if sent.one("do") == "save":
            return await _save(visit, sent, draft, view)
        if sent.one("do") == "compare":
            view, _ = await _compared(visit, draft, view)
    except Invalid as error:
        return _wrong(visit, view, error)
    return _page(visit, await _looked_again(visit, draft, view))


async def _save(visit: Visit, sent: Form, draft: _Draft, view: RulesView) -> Response:
    def make(force: bool) -> Awaitable[object]:
        return integrations.change_seen(
            visit.context, visit.who, view.id, draft.patch, draft.form.version, force=force
        )

    view, found = await _compared(visit, draft, view)
    refused = await refusal_of(make, sent, found, "saved")
    if refused is None:
        link = visit.link(f"/integrations/{view.id}", urlencode({"done": "rules_saved"}))
        return RedirectResponse(link, HTTPStatus.SEE_OTHER)
    view = replace(
        view,
        problem=refused.problem,
        wrong=draft.form.places(refused.places),
        can_insist=refused.can_insist,
        asks=refused.asks,
    )
    return _page(visit, await _looked_again(visit, draft, view), refused.status)


async def _asked(
    visit: Visit, stored: StoredIntegration, form: RulesForm, wanted: str
) -> tuple[RulesForm, Made | None]:
    """Do what a button beside a rule asks for; return the form, and what came of it.

    `set INPUT TEXT` mends an input, `map ATTRIBUTE` adds a rule, `create ROW` creates the field.
    """
    verb, _, rest = wanted.partition(" ")
    if verb == "set":
        name, _, text = rest.partition(" ")
        return form.with_text(name, text), None
    if verb == "map":
        found = (await _names(visit, stored)).suggest(rest)
        field = "" if any(each.field == found.field for each in form.rows) else found.field or ""
        row = RowForm(rest, field, found.type, found.separator or "")
        return form.with_row(row), None
    number = whole_number(rest, _DIGITS)
    if verb == "create" and number is not None and number < len(form.rows):
        row = form.rows[number]
        kind_wanted = cast(FieldType, row.type)
        if row.type in rules_settings.TYPES:
            with suppress(Invalid):  # the page then says what is wrong with the rule
                made = await naming.create_field(
                    visit.context, visit.who, stored.id, row.field, kind_wanted
                )
                return form, made
    return form, None


def _wrong(visit: Visit, view: RulesView, error: Invalid) -> Response:
    text = "Something must be corrected."
    found = replace(view, problem=text, wrong=view.form.places(error.places))
    return _page(visit, found, HTTPStatus.UNPROCESSABLE_ENTITY)


def _to_answer(visit: Visit, stored: StoredIntegration) -> Response:
    """Lead to where it is answered whom to send: here something would be chosen beforehand."""
    link = visit.link(f"/integrations/new/{stored.id}/whom")
    return RedirectResponse(link, HTTPStatus.SEE_OTHER)


def _page(visit: Visit, view: RulesView, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return the page; to its own script only the regions that depend on what was typed."""
    if _is_live(visit):
        return render(visit, "rules_live.html", "", view)
    title = f"Rules of {view.name}"
    return render(
        visit, "rules.html", title, view, section="integrations", notice=view.notice, status=status
    )


async def _view(visit: Visit, draft: _Draft, sample: str, pasted: str) -> RulesView:
    stored, form = draft.stored, draft.form
    names = await _names(visit, stored)
    seen, named = attribute_lines(visit, names), form.named()
    page = visit.link(f"/integrations/{stored.id}")
    samples = await sample_lines(visit, stored.id, sample)
    return RulesView(
        id=stored.id,
        name=stored.integration.name,
        link=f"{page}/rules",
        back=page,
        form=form,
        names=names,
        notes=notes_of(visit, names, form),
        unused=[each for each in seen if fold(each.key) not in named],
        seen=seen,
        samples=samples,
        sample=sample or (samples[0].id if samples else ""),
        pasted=pasted,
    )


def _is_live(visit: Visit) -> bool:
    """Say whether the page's own script asks, while somebody types."""
    return visit.request.headers.get("x-refresh") is not None


async def _names(visit: Visit, stored: StoredIntegration) -> Names:
    """Return what rules can name; who types does not wait for Cordial."""
    context = visit.context
    told = (
        last_described(context, stored)
        if _is_live(visit)
        else await described_within(context, stored, _PATIENCE_SECONDS)
    )
    return await naming.names_of(context, visit.who, stored, told)


async def _tried(visit: Visit, draft: _Draft, view: RulesView) -> RulesView:
    trial = await trial_of(visit, view.id, draft.patch, view.sample, view.pasted)
    return replace(view, trial=trial)


async def _compared(visit: Visit, draft: _Draft, view: RulesView) -> tuple[RulesView, Comparison]:
    found = await comparing.compare(visit.context, view.id, draft.patch)
    return replace(view, comparison=found, changes=change_lines(visit, found)), found


async def _began(visit: Visit, stored: StoredIntegration, version: int) -> Mapping[str, Any]:
    """Return the configuration that a form began from; what holds now, if that one is not kept."""
    try:
        return (await changes.compare(visit.context, stored.id, version)).config
    except UnknownVersion:
        return masked_document(stored.integration)


async def _looked_again(visit: Visit, draft: _Draft, view: RulesView) -> RulesView:
    """Say if somebody else changed it since the form was opened, and what, as far as it is kept."""
    stored = draft.stored
    if draft.form.version == stored.version:
        return view
    try:
        found = await changes.compare(visit.context, stored.id, stored.version, draft.form.version)
    except UnknownVersion:
        return replace(view, problem=_STALE)
    return replace(view, problem=_STALE, meanwhile=shown(found.differences))
