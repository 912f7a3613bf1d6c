"""The sheet in which a customer keeps the mapping: two columns of a table, saved as CSV.

It comes out of a spreadsheet, so nothing of its form is agreed on: what separates the columns, how
they are headed, in which order they stand, what stands beside them.
"""

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError

from app.jebbit.folding import fold
from app.rules.mapping import GEO_PARTS, Rule
from app.rules.values import FieldType

MOST_BYTES: Final = 256 * 1024
MOST_LINES: Final = 500  # of a mapping; what follows is not read
_LONGEST: Final = 200  # characters of a name
_SEPARATORS: Final = ("\t", ";", ",")  # the rarer in a name comes first
_SHOWN: Final = 60  # characters of a line that does not fit


class UnreadableSheet(Exception):
    """It is no CSV, or too large; the message says what to give instead."""


class SheetRow(NamedTuple):
    """One line of the mapping; `type` is None if the sheet does not say."""

    line: int
    attribute: str
    field: str
    type: FieldType | None = None


class Misfit(NamedTuple):
    """A line that is no rule: its number, as it stands there, and why."""

    line: int
    text: str
    reason: str


class Sheet(NamedTuple):
    """What was read of a sheet, in its order."""

    rows: Sequence[SheetRow]
    misfits: Sequence[Misfit]


class _Line(NamedTuple):
    number: int
    cells: Sequence[str]
    problem: str | None = None

    @property
    def text(self) -> str:
        said = " | ".join(" ".join(cell.split()) for cell in self.cells if cell)
        return said if len(said) <= _SHOWN else said[:_SHOWN] + "…"


class _Columns(NamedTuple):
    attribute: int
    field: int
    type: int | None = None


def read_sheet(
    content: bytes, attributes: Collection[str] = (), fields: Collection[str] = ()
) -> Sheet:
    """Read a mapping out of a sheet.

    Args:
        content: the file, or what was pasted, as UTF-8. Excel's UTF-16 is read too.
        attributes: what Jebbit is known to send, and
        fields: what Cordial is known to have: they tell which column is which, if none is headed.

    Raises:
        UnreadableSheet: it is no CSV.
    """
    lines = list(_lines(_decoded(content)))
    columns, head = _headed(lines)
    if columns is None:
        columns = _unheaded(lines, attributes, fields)
    rows: dict[str, SheetRow] = {}
    misfits = []
    for line in lines:
        if line is head or (head and line.cells == head.cells):
            continue
        read = _row(line, columns, rows)
        if isinstance(read, SheetRow):
            rows[read.field] = read
        elif read is not None:
            misfits.append(Misfit(line.number, line.text, read))
    return Sheet(list(rows.values()), misfits)


# --- From bytes to cells --------------------------------------------------------------------------


def _decoded(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise UnreadableSheet(f"It is larger than {MOST_BYTES // 1024} KB; a mapping is not.")
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UnreadableSheet("This is a file of a spreadsheet program. Save it as CSV.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # Excel's CSV on Windows
    if "\0" in text:
        raise UnreadableSheet("This is no text. Save the sheet as CSV.")
    return text


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines that are not blank, in cells; a cell may hold several lines."""
    texts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    told = _TELLS_SEPARATOR.fullmatch(texts[0])
    separator = told[1] if told else _separator(texts)
    start, found = 1 if told else 0, 0
    while start < len(texts):
        line, taken = _record(texts, start, separator)
        start += taken
        if not any(line.cells):
            continue
        found += 1
        if found > MOST_LINES:
            yield line._replace(
                problem=f"Only the first {MOST_LINES} lines are read; this one and what follows "
                "is left out."
            )
            return
        yield line


_TELLS_SEPARATOR: Final = re.compile(r'\ufeff?"?sep=([^"\w])"?', re.IGNORECASE)  # for Excel


def _separator(texts: Sequence[str]) -> str:
    """Return what parts most lines in two."""
    sample = [each for each in texts if each.strip()][:MOST_LINES]

    def parted(separator: str) -> int:
        found = (_lenient(each, separator) for each in sample)
        return sum(len([cell for cell in cells if cell]) > 1 for cells in found)

    return max(_SEPARATORS, key=parted)


_TOGETHER: Final = 20  # lines in one cell, at most


def _record(texts: Sequence[str], start: int, separator: str) -> tuple[_Line, int]:
    """Read the record that begins at a line; return it, and of how many lines it is."""
    number = start + 1
    window = (f"{each}\n" for each in texts[start : start + _TOGETHER])
    reader = csv.reader(window, delimiter=separator, strict=True)
    try:
        return _Line(number, _clean(next(reader))), reader.line_num
    except csv.Error:
        cells = _lenient(texts[start], separator)
    if texts[start].count('"') % 2:
        problem = "A quotation mark is opened here and never closed."
        return _Line(number, cells or [texts[start]], problem), 1
    return _Line(number, cells), 1


def _lenient(text: str, separator: str) -> list[str]:
    try:
        return _clean(next(csv.reader([text], delimiter=separator), []))
    except csv.Error:  # a cell that is larger than any name
        return [text[:_LONGEST]]


def _clean(cells: Sequence[str]) -> list[str]:
    return [cell.replace("\ufeff", "").replace("\xa0", " ").strip() for cell in cells]


# --- Which column is which ------------------------------------------------------------------------

_NOUNS: Final = frozenset(
    "attribute attributes field fields key keys name names column property variable parameter data "
    "contact api question questions label".split()
)
_OF_JEBBIT: Final = frozenset(
    "attribute attributes attribute_name source source_field source_attribute source_name from "
    "question questions experience_attribute".split()
)
_OF_CORDIAL: Final = frozenset(
    "field fields field_name key keys key_name attribute_key field_key destination target to "
    "destination_field target_field contact_field contact_attribute contact_attribute_key".split()
)
_OF_TYPE: Final = frozenset(
    "type types data_type field_type attribute_type cordial_type cordial_field_type".split()
)
_EITHER: Final = _OF_JEBBIT | _OF_CORDIAL | {"name", "names", "column"}


def _headed(lines: Sequence[_Line]) -> tuple[_Columns | None, _Line | None]:
    """Return the columns by their headings, and the line of these; None if there is none.

    Headings below a title must name one of the vendors, so that no rule is taken for them.
    """
    for place, line in enumerate(lines[:_TITLES]):
        names = [_heading(cell) for cell in line.cells]
        of_vendor = {vendor: _places(names, vendor) for vendor in ("jebbit", "cordial")}
        if place and not any(of_vendor.values()):
            continue
        if columns := _columns(names, of_vendor["jebbit"], of_vendor["cordial"]):
            return columns, line
    return None, None


_TITLES: Final = 10  # lines in which the headings are looked for


def _columns(
    names: Sequence[str], jebbit: Sequence[int], cordial: Sequence[int]
) -> _Columns | None:
    """Return the columns by the vendor that names them, else by the usual words."""
    of_jebbit = _EITHER if cordial else _OF_JEBBIT
    of_cordial = _EITHER if jebbit else _OF_CORDIAL
    jebbit = jebbit or [n for n, name in enumerate(names) if name in of_jebbit and n not in cordial]
    cordial = cordial or [
        n for n, name in enumerate(names) if name in of_cordial and n not in jebbit
    ]
    if not jebbit or not cordial:
        return None
    kind = next((place for place, name in enumerate(names) if name in _OF_TYPE), None)
    return _Columns(jebbit[0], cordial[0], kind)


def _heading(cell: str) -> str:
    """Return a heading without what stands in brackets and between its words."""
    return fold(_ASIDE.sub(" ", _CAMEL.sub(" ", cell)))


_ASIDE: Final = re.compile(r"\(.*?\)|\[.*?\]|[^\w\s-]|\b(?:in|of|the|s)\b", re.IGNORECASE)
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _places(names: Sequence[str], vendor: str) -> list[int]:
    """Return the columns headed `Jebbit attribute` or the like; `jebbit_id` is none."""
    return [
        place
        for place, name in enumerate(names)
        if vendor in (words := name.split("_"))
        and _NOUNS.issuperset(word for word in words if word != vendor)
    ]


def _unheaded(
    lines: Sequence[_Line], attributes: Collection[str], fields: Collection[str]
) -> _Columns:
    """Return the first two columns that are filled, the attribute before the field.

    Unless what is known of both sides speaks for the other order.
    """
    widest = max((len(line.cells) for line in lines), default=0)
    filled = [
        sum(place < len(line.cells) and bool(line.cells[place]) for line in lines)
        for place in range(widest)
    ]
    most = max(filled, default=0)
    places = [place for place, number in enumerate(filled) if number and number * 2 >= most]
    first, second = (places[0], places[1]) if len(places) > 1 else (0, 1)
    sent, held = {fold(each) for each in attributes}, {fold(each) for each in fields}

    def speaks_for(attribute: int, field: int) -> int:
        pairs = ((_cell(line, attribute), _cell(line, field)) for line in lines)
        return sum(
            (fold(left) in sent)
            + (fold(right) in held)
            + 2 * (right.startswith("channels.") and right.endswith(".address"))
            for left, right in pairs
        )

    swapped = speaks_for(second, first) > speaks_for(first, second)
    return _Columns(second, first) if swapped else _Columns(first, second)


# --- From cells to rules --------------------------------------------------------------------------

_TYPES: Final[dict[str, FieldType]] = {
    **dict.fromkeys(("string", "text", "str", "varchar", "char"), "string"),
    **dict.fromkeys(("number", "integer", "int", "float", "decimal", "numeric"), "number"),
    **dict.fromkeys(("date", "datetime", "date_time", "timestamp"), "date"),
    **dict.fromkeys(("array", "multi_select", "multiselect", "set"), "array"),
    **dict.fromkeys(("list", "list_membership", "boolean", "bool"), "list"),
    **dict.fromkeys(("geo", "location", "address"), "geo"),
}


def _cell(line: _Line, place: int) -> str:
    return " ".join(line.cells[place].split()) if place < len(line.cells) else ""


def _row(line: _Line, columns: _Columns, known: dict[str, SheetRow]) -> SheetRow | str | None:
    """Return a line as a row, or why it is none; None if it says nothing in these columns."""
    if line.problem:
        return line.problem
    attribute, field = _cell(line, columns.attribute), _cell(line, columns.field)
    if not attribute and not field:
        return None
    if not field:
        return "It names no Cordial field: the second column is blank."
    if not attribute:
        return "It names no Jebbit attribute: that column is blank."
    if len(attribute) > _LONGEST or len(field) > _LONGEST:
        return f"A name has at most {_LONGEST} characters."
    if before := known.get(field):
        return _filled(before, attribute)
    row = SheetRow(line.number, attribute, field, _type(line, columns, field))
    try:
        Rule(attribute=attribute, field=field, type=row.type or "string")
    except ValidationError as error:
        return _sentence(error.errors()[0]["msg"].removeprefix("Value error, "), field)
    return row


def misfit_of(row: SheetRow, before: SheetRow) -> Misfit:
    """Return a row as a line that does not fit, because one before it fills its field already."""
    return Misfit(row.line, f"{row.attribute} | {row.field}", _filled(before, row.attribute))


def _filled(before: SheetRow, attribute: str) -> str:
    if before.attribute == attribute:
        return f"It says the same as line {before.line}."
    return f"{before.field} is filled by line {before.line} already, from {before.attribute}."


def _type(line: _Line, columns: _Columns, field: str) -> FieldType | None:
    if field.partition(".")[2] in GEO_PARTS:
        return "geo"
    if field.startswith("channels.") or columns.type is None:
        return None
    return _TYPES.get(fold(_cell(line, columns.type)))


def _sentence(text: str, name: str) -> str:
    """Return pydantic's words as a sentence; a name keeps its case."""
    begun = text if text.startswith(name) else text[0].upper() + text[1:]
    return begun if begun.endswith(".") else f"{begun}."
