"""What the editor says beside a rule: what came in, how its field fits the account, and mends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.console.decision import shown
from app.console.rules_form import RowForm, RulesForm
from app.console.rules_settings import LISTS_NEED, field_type
from app.console.state import Visit
from app.console.times import counted
from app.console.times import told as told_ago
from app.operations.naming import FieldFit, Names, SeenAttribute
from app.rules.mapping import check_field
from app.rules.values import FieldType

_LONGEST = 60  # characters of an example


@dataclass(frozen=True, slots=True)
class AttributeLine:
    """An attribute that came in: how often, when last, as what, and an example."""

    key: str
    times: int
    last_seen: float
    kinds: str
    example: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A button: what it says, and what it asks for."""

    label: str
    do: str


@dataclass(frozen=True, slots=True)
class RowNote:
    """What is said beside a rule: of its attribute, and of its field with what mends it."""

    seen: str = ""
    field: str = ""
    tone: Literal["", "warn"] = ""
    offers: Sequence[Offer] = ()


def attribute_lines(visit: Visit, names: Names) -> Sequence[AttributeLine]:
    """Return the attributes that came in."""
    return [
        AttributeLine(
            each.key,
            each.times,
            each.last_seen,
            ", ".join(each.kinds),
            _example(each),
            _said(visit, each),
        )
        for each in names.attributes
    ]


def notes_of(visit: Visit, names: Names, form: RulesForm) -> Sequence[RowNote]:
    """Return what is said beside each row of the form."""
    return [_note(visit, names, number, row) for number, row in enumerate(form.rows)]


def _note(visit: Visit, names: Names, number: int, row: RowForm) -> RowNote:
    seen = names.seen(row.attribute)
    told = _said(visit, seen) if seen else ""
    if row.attribute and not seen and names.submissions:
        told = "in nothing that came in"
    said = " · ".join(filter(None, (told, *_seldom(row))))
    kind = field_type(row.type)
    if not row.field:
        return RowNote(said)
    if row.field in names.addresses:
        return RowNote(said, "who the contact is")
    if not _can_be_filled(row.field, kind):
        return RowNote(said)  # the form says what is wrong with it
    fit = names.fit(row.field, kind)
    return RowNote(
        said,
        _field(row, kind, fit),
        "" if fit.how in ("fits", "untold") else "warn",
        list(_offers(number, row, kind, fit)),
    )


def _can_be_filled(field: str, kind: FieldType) -> bool:
    try:
        check_field(field, kind)
    except ValueError:
        return False
    return True


def _seldom(row: RowForm) -> Iterator[str]:
    """Say what of a rule is set behind "More"."""
    if row.default:
        yield f"{'else' if row.attribute else 'always'} {_cut(row.default)}"
    if row.separator:
        yield f"{'split' if row.type == 'array' else 'joined'} by “{row.separator}”"
    if row.too_long == "cut":
        yield "cut if too long"
    if row.type == "list" and row.lists_need != "not_no":
        yield dict(LISTS_NEED).get(row.lists_need, "")


def _field(row: RowForm, kind: str, fit: FieldFit) -> str:
    what = "list" if kind == "list" else "field"
    match fit.how:
        case "fits":
            return kind + (f", at most {fit.most}" if fit.most else "")
        case "case":
            return f"Cordial writes {fit.meant}; case counts"
        case "missing":
            return f"Cordial has no such {what}"
        case "other_kind":
            return "in Cordial this is " + ("a field" if kind == "list" else "a list")
        case "both":
            return "Cordial has a field and a list of this name"
        case "unknown_type":
            return f"in Cordial of type {fit.written}"
        case "type":
            return f"in Cordial of type {fit.type}"
        case _:
            return ""


def _offers(number: int, row: RowForm, kind: str, fit: FieldFit) -> Iterator[Offer]:
    field, of_type = f"mapping.{number}.field", f"mapping.{number}.type"
    if fit.how in ("case", "missing") and fit.meant:
        yield Offer(f"Write {fit.meant}", f"set {field} {fit.meant}")
    if fit.how == "missing":
        yield Offer(f"Create {row.field.partition('.')[0]} in Cordial", f"create {number}")
    if fit.how == "other_kind":
        meant = "list" if kind != "list" else fit.type or "string"
        yield Offer(f"Make it {meant}", f"set {of_type} {meant}")
    if fit.how == "type" and fit.type:
        yield Offer(f"Make it {fit.type}", f"set {of_type} {fit.type}")


def _said(visit: Visit, seen: SeenAttribute) -> str:
    last = told_ago(visit.times.now - seen.last_seen)
    example = _example(seen)
    return f"{counted(seen.times, 'time')}, last {last}" + (f": {example}" if example else "")


def _example(seen: SeenAttribute) -> str | None:
    text = shown(seen.example)
    return None if text is None else _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
