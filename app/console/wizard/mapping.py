"""The fourth step: which attribute goes to which field, seen on the sample."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, cast

from fastapi import APIRouter, Request, Response

from app.console.decision import shown
from app.console.forms import Form, read_form, whole_number
from app.console.rules_settings import field_type
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
from app.ledger.integrations import StoredIntegration, VersionChanged
from app.operations import mapping_rows, naming, sampling
from app.operations.invalid import Invalid
from app.operations.mapping_rows import Row, Rows
from app.operations.sampling import Sample
from app.rules.sheet import Misfit, Sheet, UnreadableSheet
from app.rules.values import FieldType

router = APIRouter(include_in_schema=False, route_class=StepPage)

_MOST_ROWS: Final = 1_000
_SPARE_ROWS: Final = 1
_SPARE_ROWS_UNSUGGESTED: Final = 4  # without a sample every rule is written by hand
_DIGITS: Final = 4  # of the number of a row
_IN_WORDS: Final = {
    "string": "text",
    "number": "number",
    "date": "date",
    "array": "several values",
    "geo": "part of a place",
    "list": "list: on or off",
}


@dataclass(frozen=True, slots=True)
class MendView:
    """A button that puts a row right."""

    do: str
    label: str


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the form: `number` is its place there."""

    number: int
    attribute: str
    value: str | None
    field: str
    type: FieldType
    separator: str
    sent: str | None
    why: str
    problem: str | None
    mend: MendView | None


@dataclass(frozen=True, slots=True)
class MappingView:
    """The step: the rows that go somewhere, the others, and what the account offers."""

    wizard: Wizard
    version: int
    going: Sequence[RowView]
    others: Sequence[RowView]
    total: int
    spare: int
    fields: Sequence[tuple[str, str]]
    types: Sequence[tuple[str, str]]
    has_sample: bool
    untold: str | None
    problem: str | None
    wrong: int
    creates: bool
    index: bool
    is_refused: bool = False
    can_go_on: bool = False
    read: int | None = None
    misfits: Sequence[Misfit] = ()
    sheet_problem: str | None = None
    pasted: str = ""
    constants: Sequence[tuple[str, str]] = ()


@router.get("/integrations/new/{integration_id}/mapping")
async def show(request: Request) -> Response:
    """Show the mapping, suggested if nobody saved one."""
    visit, stored = visit_of(request), stored_of(request)
    sample = await sampling.sample_of(visit.context, stored)
    told = await mapping_rows.told_by(visit.context, stored)
    rows = mapping_rows.suggested(visit.context, stored, sample, told)
    return page(visit, "mapping", await _view(visit, stored, sample, rows))


@router.post("/integrations/new/{integration_id}/mapping")
async def change(request: Request) -> Response:
    """Try the rows, mend one, read a sheet, or save."""
    visit, stored, form = visit_of(request), stored_of(request), await read_form(request)
    sample = await sampling.sample_of(visit.context, stored)
    if form.one("do") == "sheet":
        return await _sheet(visit, stored, sample, form)
    rows: Sequence[Row] = _rows(form)
    (do, number), problem = _asked(form), None
    if do == "create" and number < len(rows):
        index = form.one("index") == "yes"
        row = rows[number]
        try:
            made = await naming.create_field(
                visit.context, visit.who, stored.id, row.field, row.type, index=index
            )
            problem = None if made.done else made.text
        except Invalid as error:
            problem = error.places[0].detail
    elif do in ("field", "type") and number < len(rows):
        rows = await _mended(visit, stored, sample, rows, number)
    told = await mapping_rows.told_by(visit.context, stored)
    tried = mapping_rows.tried(visit.context, stored, sample, told, rows)
    if tried.wrong:  # somebody may have mended it in Cordial meanwhile
        told = await mapping_rows.told_by(visit.context, stored, refresh=True)
        tried = mapping_rows.tried(visit.context, stored, sample, told, rows)
    if problem:
        tried = replace(tried, problem=problem)
    if do == "save":
        try:
            version = version_in(form)
            saved = await mapping_rows.save(visit.context, visit.who, stored, rows, version)
        except VersionChanged:
            view = await _view(visit, stored, sample, replace(tried, problem=MEANWHILE), form)
            return page(visit, "mapping", view, status=HTTPStatus.PRECONDITION_FAILED)
        except Invalid:
            view = await _view(visit, stored, sample, tried, form)
            return page(visit, "mapping", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        if not tried.wrong:
            return to(visit, saved, "whom", "mapped")
        view = replace(await _view(visit, saved, sample, tried, form), can_go_on=True)
        return page(visit, "mapping", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return page(visit, "mapping", await _view(visit, stored, sample, tried, form))


async def _mended(
    visit: Visit,
    stored: StoredIntegration,
    sample: Sample | None,
    rows: Sequence[Row],
    number: int,
) -> Sequence[Row]:
    """Return the rows with one put right as the page offered it."""
    told = await mapping_rows.told_by(visit.context, stored)
    tried = mapping_rows.tried(visit.context, stored, sample, told, rows)
    row = tried.rows[number]
    match row.mend:
        case None:
            return rows
        case mend if mend.kind == "type":
            better = replace(row, type=cast(FieldType, mend.value), problem=None, mend=None)
        case mend:
            better = replace(row, field=mend.value, problem=None, mend=None)
            kind = next((each.type for each in tried.fields if each.key == mend.value), row.type)
            better = replace(better, type=kind)
    return [better if place == number else each for place, each in enumerate(rows)]


async def _sheet(
    visit: Visit, stored: StoredIntegration, sample: Sample | None, form: Form
) -> Response:
    """Show the rows of a sheet, and the lines that do not fit; nothing is saved."""
    pasted = form.one("sheet") or ""
    content = form.file("file") or (pasted.encode() if pasted.strip() else b"")
    told = await mapping_rows.told_by(visit.context, stored)
    misfits: Sequence[Misfit] = ()
    try:
        if not content:
            raise UnreadableSheet("Paste the sheet, or choose its file.")
        rows, sheet = mapping_rows.of_sheet(stored, sample, told, content)
        misfits = sheet.misfits
        if not sheet.rows:
            raise UnreadableSheet("No line of it fits, so the rows stay as they were.")
    except UnreadableSheet as error:
        found = mapping_rows.suggested(visit.context, stored, sample, told)
        view = await _view(visit, stored, sample, found)
        view = replace(view, sheet_problem=str(error), misfits=misfits, pasted=pasted)
        return page(visit, "mapping", view, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    tried = mapping_rows.tried(visit.context, stored, sample, told, rows)
    view = await _view(visit, stored, sample, tried)
    return page(visit, "mapping", _of_sheet(view, sheet, pasted))


def _of_sheet(view: MappingView, sheet: Sheet, pasted: str) -> MappingView:
    return replace(view, read=len(sheet.rows), misfits=sheet.misfits, pasted=pasted)


def _asked(form: Form) -> tuple[str, int]:
    """Return what a button asks for, and of which row."""
    do, _, number = (form.one("do") or "look").partition("-")
    return do, whole_number(number, _DIGITS) or 0


def _rows(form: Form) -> list[Row]:
    total = whole_number(form.text("rows"), _DIGITS) or 0
    read = [
        Row(
            form.text(f"row{each}_attribute"),
            form.text(f"row{each}_field"),
            field_type(form.text(f"row{each}_type")),
            form.one(f"row{each}_separator") or "",  # a space is one
            why=form.text(f"row{each}_why"),
        )
        for each in range(min(total, _MOST_ROWS))
    ]
    return [each for each in read if each.attribute or each.field]


async def _view(
    visit: Visit,
    stored: StoredIntegration,
    sample: Sample | None,
    found: Rows,
    form: Form | None = None,
) -> MappingView:
    lines = [_line(number, row) for number, row in enumerate(found.rows[:_MOST_ROWS])]
    return MappingView(
        await wizard_of(visit, stored, "mapping"),
        stored.version,
        [each for each in lines if each.field],
        [each for each in lines if not each.field],
        len(lines),
        _SPARE_ROWS if sample else _SPARE_ROWS_UNSUGGESTED,
        [(each.key, each.type) for each in found.fields],
        list(_IN_WORDS.items()),
        sample is not None,
        found.untold,
        found.problem,
        found.wrong,
        any(row.mend and row.mend.kind == "create" for row in found.rows),
        form is not None and form.one("index") == "yes",
        is_refused=found.is_refused,
        constants=[(rule.field, str(rule.default)) for rule in found.constants],
    )


def _line(number: int, row: Row) -> RowView:
    return RowView(
        number,
        row.attribute,
        shown(row.value),
        row.field,
        row.type,
        row.separator,
        _sent(row),
        row.why,
        row.problem,
        _mend(number, row),
    )


def _sent(row: Row) -> str | None:
    """Return what Cordial gets in words."""
    match row.sent:
        case True:
            return "on the list"
        case False:
            return "off the list"
        case list() as items:
            return ", ".join(shown(each) or "" for each in items)
        case value:
            return shown(value)


def _mend(number: int, row: Row) -> MendView | None:
    if row.mend is None:
        return None
    if row.mend.kind == "create":
        what = "list" if row.type == "list" else "field"
        return MendView(f"create-{number}", f"Create the {what} {row.mend.value} in Cordial")
    if row.mend.kind == "field":
        return MendView(f"field-{number}", f"Write {row.mend.value}")
    return MendView(f"type-{number}", f"Make it a {_IN_WORDS[row.mend.value]}")
