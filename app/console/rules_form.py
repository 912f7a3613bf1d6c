"""The editor's form: an integration's rules as inputs, and what was typed as a change of them.

Only what differs from the rules that the form began from goes into the change. So what an input
cannot hold, such as a line break in a name, stays as it is unless somebody types over it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

from pydantic import JsonValue

from app.console.forms import Form, whole_number
from app.console.rules_settings import SETTINGS, Setting
from app.jebbit.folding import fold
from app.operations.invalid import WrongPlace, invalid_at
from app.rules.integration import EuPolicy, Sms

Document = Mapping[str, Any]
"""An integration as the ledger or a version has it."""

SPARE_ROWS: Final = 3
MOST_ROWS: Final = 1_000
_SENT_ROWS: Final = MOST_ROWS + SPARE_ROWS


@dataclass(frozen=True, slots=True)
class RowForm:
    """A rule of the mapping as it stands in the form.

    `origin` is the number of the rule that it was when the form was opened; blank: it is new.
    """

    attribute: str = ""
    field: str = ""
    type: str = "string"
    separator: str = ""
    default: str = ""
    lists_need: str = "not_no"
    too_long: str = "warn"
    origin: str = ""

    @classmethod
    def of(cls, rule: Document, number: int) -> Self:
        """Return a rule as a browser shows it."""
        need = rule.get("lists_need", "not_no")
        return cls(
            _line(rule.get("attribute") or ""),
            _line(rule["field"]),
            rule.get("type", "string"),
            _BREAKS.sub("", rule.get("separator") or ""),
            _line(_written(rule.get("default"))),
            "none" if need is None else need,
            rule.get("too_long", "warn"),
            str(number),
        )

    @classmethod
    def read(cls, form: Form, number: int) -> Self:
        """Read a row of a form that a browser sent."""
        said = {each: _line(form.one(f"mapping.{number}.{each}") or "") for each in _PARTS}
        said["separator"] = form.one(f"mapping.{number}.separator") or ""  # a space is one
        chosen = {each: said[each] or _NEW[each] for each in ("type", "lists_need", "too_long")}
        return cls(**{**said, **chosen})

    @property
    def is_blank(self) -> bool:
        """Whether nothing is written in it."""
        return not (self.attribute or self.field or self.default)

    def rule(self, began: Sequence[Document]) -> dict[str, Any]:
        """Return it as the configuration has it: the rule that it was, with what was changed."""
        number = _number(self.origin, -1)
        known = 0 <= number < len(began)
        was = RowForm.of(began[number], number) if known else _NEW_ROW
        rule: dict[str, Any] = dict(began[number]) if known else {"field": self.field}
        for part, text in zip(_PARTS, map(self.__getattribute__, _PARTS), strict=True):
            if part != "origin" and text != getattr(was, part):
                rule[part] = self._value(part, text)
        return rule

    def _value(self, part: str, text: str) -> JsonValue:
        if part == "default" and text:
            return _default(text, self.type)
        if part == "lists_need" and text == "none":
            return None
        return text or None if part in ("attribute", "separator", "default") else text


_PARTS: Final = tuple(each.name for each in fields(RowForm))
_NEW_ROW: Final = RowForm()
_NEW: Final = {each: str(getattr(_NEW_ROW, each)) for each in _PARTS}


@dataclass(frozen=True, slots=True)
class RulesForm:
    """The editor's form: the version that it began from, its rows, and each setting's text."""

    version: int
    rows: Sequence[RowForm]
    values: Mapping[str, str]

    @classmethod
    def of(cls, document: Document, version: int) -> Self:
        """Return the form of a configuration, with some blank rows.

        Raises:
            Invalid: it has more rules than the form can send.
        """
        _refuse_many(len(document["mapping"]))
        rows = [RowForm.of(rule, number) for number, rule in enumerate(document["mapping"])]
        values = {place: _shown(setting, document) for place, setting in SETTINGS.items()}
        return cls(version, rows, values).with_spare_rows()

    @classmethod
    def read(cls, form: Form) -> Self:
        """Read the form that a browser sent.

        Raises:
            Invalid: it has more rows than can be read; those beyond would get lost.
        """
        number = _number(form.one("rows") or "", 0)
        _refuse_many(number)
        rows = [RowForm.read(form, each) for each in range(number)]
        values = {
            place: _normal(setting, form.one(place) or "") for place, setting in SETTINGS.items()
        }
        return cls(_number(form.one("version") or "", 0), rows, values)

    def named(self) -> frozenset[str]:
        """Return the attributes that anything in it names, folded: spellings make no difference."""
        rows = (each.attribute for each in self.rows)
        read = (text for place, text in self.values.items() if SETTINGS[place].offers == "seen")
        return frozenset(map(fold, filter(None, (*rows, *read))))

    def with_row(self, row: RowForm) -> Self:
        """Return it with one more rule, in the first blank row."""
        free = next((n for n, each in enumerate(self.rows) if each.is_blank), len(self.rows))
        return replace(self, rows=[*self.rows[:free], row, *self.rows[free + 1 :]])

    def with_spare_rows(self) -> Self:
        """Return it with some blank rows at the end, as far as it can send them."""
        blank = 0
        while blank < len(self.rows) and self.rows[-1 - blank].is_blank:
            blank += 1
        spare = min(SPARE_ROWS - blank, _SENT_ROWS - len(self.rows))
        return replace(self, rows=[*self.rows, *[_NEW_ROW] * spare])

    def with_text(self, name: str, text: str) -> Self:
        """Return it with another text in one input of a row; unknown names change nothing."""
        match name.split("."):
            case ["mapping", number, part] if part in _PARTS and part != "origin":
                at = _number(number, len(self.rows))
                if at < len(self.rows):
                    row = replace(self.rows[at], **{part: text})
                    return replace(self, rows=[*self.rows[:at], row, *self.rows[at + 1 :]])
        return self

    def patch(self, began: Document) -> dict[str, Any]:
        """Return what differs from the configuration that the form began from (RFC 7396)."""
        made: dict[str, Any] = {}
        rules = [each.rule(began["mapping"]) for each in self.rows if not each.is_blank]
        if rules != began["mapping"]:
            made["mapping"] = rules
        for place, setting in SETTINGS.items():
            text = self.values[place]
            if text != _shown(setting, began):
                _put(made, place.split("."), _meant(setting, text))
        return made

    def places(self, found: Sequence[WrongPlace]) -> Sequence[tuple[str, WrongPlace]]:
        """Return what is wrong, each with the input that mends it; blank if there is none.

        Rules are told by their number on the page, where blank rows count.
        """
        filled = [number for number, each in enumerate(self.rows) if not each.is_blank]

        def here(wrong: WrongPlace) -> tuple[str, WrongPlace]:
            match wrong.place.split("."):
                case ["mapping", number, *rest] if _number(number, len(filled)) < len(filled):
                    row = filled[int(number)]
                    input_id = input_of(".".join(["mapping", str(row), *rest]))
                    return input_id, wrong._replace(place=" ".join([f"Rule {row + 1}", *rest]))
            place = _meant_place(wrong)
            return input_of(place), wrong._replace(place=place)

        return [here(each) for each in found]


def _refuse_many(number: int) -> None:
    if number > _SENT_ROWS:
        raise invalid_at("mapping", f"The editor holds {MOST_ROWS:,} rules; use the API.")


def _meant_place(wrong: WrongPlace) -> str:
    """Return the setting that is wrong: where only a whole part is told, the last that is named."""
    if wrong.place in SETTINGS:
        return wrong.place
    within = f"{wrong.place}." if wrong.place else ""
    named = [f"{within}{each}" for each in _NAME.findall(wrong.detail)]
    return next((each for each in reversed(named) if each in SETTINGS), wrong.place)


_NAME: Final = re.compile(r"[\w.]*\w")


def input_of(place: str) -> str:
    """Return the id of the input that mends a place of the configuration; blank: there is none."""
    match place.split("."):
        case ["mapping", number, *rest]:
            part = rest[0] if rest and rest[0] in _PARTS else "field"
            return f"mapping.{number}.{part}"
        case ["mapping"]:
            return "mapping.0.field"
    if place in SETTINGS:
        return place
    inner = (each for each in SETTINGS if place and each.startswith(f"{place}."))
    outer = (each for each in SETTINGS if place.startswith(f"{each}."))
    return next(inner, next(outer, ""))


# What a part of the configuration that is not there stands for.
_ABSENT: Final[Mapping[str, Document]] = {
    "sms": Sms().model_dump(mode="json"),
    "eu": EuPolicy().model_dump(mode="json"),
}


def _shown(setting: Setting, document: Document) -> str:
    """Return what an input shows of a configuration."""
    value: Any = document
    for part in setting.place.split("."):
        held = value.get(part)
        value = _ABSENT.get(part) if held is None and part in _ABSENT else held
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        # A line is an item: an item that holds a line break stays one.
        return _normal(setting, "\n".join(" ".join(str(each).splitlines()) for each in value))
    return _normal(setting, "" if value is None else str(value))


def _meant(setting: Setting, text: str) -> JsonValue:
    """Return what a text means in the configuration; None for nothing."""
    if setting.kind == "lines":
        return [line for line in text.split("\n") if line]
    if setting.kind == "number" and text:
        return _json(text, text)
    if setting.kind == "choice" and {"yes", "no"} & {value for value, _ in setting.options}:
        return {"yes": True, "no": False}.get(text)
    return text or None


def _normal(setting: Setting, text: str) -> str:
    if setting.kind == "lines":
        return "\n".join(filter(None, map(str.strip, text.splitlines())))
    return _line(text)


_BREAKS: Final = re.compile(r"[\r\n]+")


def _line(text: str) -> str:
    """Return a text as an input of one line sends it, without spaces around it."""
    return _BREAKS.sub("", text).strip()


def _put(document: dict[str, Any], path: Sequence[str], value: JsonValue) -> None:
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def _number(text: str, otherwise: int) -> int:
    number = whole_number(text, 18)
    return otherwise if number is None else number


def _written(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _default(text: str, kind: str) -> JsonValue:
    """Return a default as its type wants it: as text, or read as JSON if it is that."""
    return text if kind in ("string", "date", "geo") else _json(text, text)


def _json(text: str, otherwise: str) -> JsonValue:
    try:
        read: Any = json.loads(text)
    except ValueError:
        return otherwise
    return read if isinstance(read, bool | int | float | str | list) else otherwise
