"""The mapping while it is written: row by row, on the sample and against the account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from pydantic import JsonValue

from app.cordial.account import BadAccountUrl
from app.cordial.attributes import Account
from app.cordial.preflight import examine
from app.jebbit.folding import fold
from app.ledger.integrations import StoredIntegration
from app.operations import integrations
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.integrations import patched
from app.operations.invalid import Invalid
from app.operations.sampling import Sample
from app.rules.contact import identify
from app.rules.integration import Integration
from app.rules.mapping import Rule
from app.rules.plan import plan, would_map
from app.rules.sheet import Sheet, SheetRow, misfit_of, read_sheet
from app.rules.suggestion import Offered, addresses_of, same_name, suggest
from app.rules.values import FieldType

_PLACE: Final = "mapping."


@dataclass(frozen=True, slots=True)
class Mend:
    """What puts a row right: another `field`, another `type`, or to `create` the field there."""

    kind: Literal["field", "type", "create"]
    value: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the mapping while it is written.

    `value` is what the sample has, `sent` what Cordial would get of it. `why` tells a suggestion's
    reason, `problem` what is wrong. A row without a field goes nowhere.
    """

    attribute: str
    field: str = ""
    type: FieldType = "string"
    separator: str = ""
    value: JsonValue = None
    sent: JsonValue = None
    why: str = ""
    problem: str | None = None
    mend: Mend | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What an account told of itself; `untold` says why it did not tell its attributes."""

    account: Account
    untold: str | None

    @property
    def fields(self) -> Sequence[Offered]:
        """The attributes and lists that it has."""
        attributes = (self.account.attributes or {}).values()
        offered = [Offered(each.key, each.type or "string") for each in attributes]
        return [*offered, *(Offered(each, "list") for each in sorted(self.account.lists or ()))]


async def told_by(context: Context, stored: StoredIntegration, *, refresh: bool = False) -> Told:
    """Ask the account of an integration what it has, unless it told lately; or with `refresh`."""
    try:
        described, _ = await context.accounts.describe(stored, refresh=refresh)
    except BadAccountUrl as error:
        return Told(Account(None, None), str(error))
    untold = " ".join(each.problem for each in described.untold) or "It gives no reason."
    tells = described.account.attributes is not None
    return Told(described.account, None if tells else untold)


@dataclass(frozen=True, slots=True)
class Rows:
    """The mapping while it is written, beside what the account has.

    `untold` says why the account does not tell; `problem` what is wrong with the mapping as a
    whole. `wrong` counts the rows that must be mended. `is_refused`: it is no mapping, and was not
    tried.
    """

    rows: Sequence[Row]
    fields: Sequence[Offered]
    untold: str | None = None
    problem: str | None = None
    constants: Sequence[Rule] = field(default=())
    is_refused: bool = False

    @property
    def wrong(self) -> int:
        """How many rows must be mended."""
        return sum(each.problem is not None for each in self.rows)


def suggested(
    context: Context, stored: StoredIntegration, sample: Sample | None, told: Told
) -> Rows:
    """Return the mapping to begin with: the stored one, or a suggested one if nobody saved any.

    Attributes of the sample that go nowhere have a row too.
    """
    given = sample.attributes if sample else {}
    names = stored.integration.jebbit.attributes
    read = {name for name in (names.opt_in, names.sms_opt_in, names.country, names.region) if name}
    offers = suggest(
        given, None if told.untold else told.fields, addresses_of(stored.integration), read
    )
    saved = stored.setup is None or stored.setup.mapped
    if saved or not offers:
        rows = [_row_of(rule) for rule in stored.integration.mapping if rule.attribute]
        known = {fold(each.attribute) for each in rows}
        rows += [
            Row(each.attribute, type=each.type)
            for each in offers
            if fold(each.attribute) not in known
        ]
    else:
        rows = [
            Row(each.attribute, each.field or "", each.type, each.separator or "", why=each.why)
            for each in offers
        ]
    return tried(context, stored, sample, told, rows)


def of_sheet(
    stored: StoredIntegration, sample: Sample | None, told: Told, content: bytes
) -> tuple[Sequence[Row], Sheet]:
    """Return the rows of a customer's sheet, and the sheet; the sample's other attributes follow.

    Who writes `Email` for the field means the contact's address, unless the account has such a
    field. So two lines may come to fill one field: the second does not fit.

    Raises:
        UnreadableSheet: it is no CSV.
    """
    given = sample.attributes if sample else {}
    keys = {each.key: each.type for each in told.fields}
    sheet = read_sheet(content, given, keys)
    addresses = addresses_of(stored.integration)
    rows, filled, misfits = [], dict[str, SheetRow](), list(sheet.misfits)
    for line in sheet.rows:
        name = line.field if line.field in keys else _ADDRESS.get(line.field.lower(), line.field)
        to = {"email": addresses.email, "phone": addresses.phone}.get(name, name)
        if (before := filled.setdefault(to, line)) is not line:
            misfits.append(misfit_of(line, before))
            continue
        near = same_name(to, list(keys))
        kind = line.type or (keys[near] if near else "string")
        attribute = same_name(line.attribute, list(given)) or line.attribute
        rows.append(Row(attribute, to, kind))
    known = {each.attribute for each in rows}
    others = (Row(each) for each in given if each not in known)
    return [*rows, *others], Sheet(list(filled.values()), sorted(misfits))


_ADDRESS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("email", "email address", "e-mail", "email_address"), "email"),
    **dict.fromkeys(("phone", "phone number", "sms", "mobile", "phone_number"), "phone"),
}


def tried(
    context: Context,
    stored: StoredIntegration,
    sample: Sample | None,
    told: Told,
    rows: Sequence[Row],
) -> Rows:
    """Try rows on the sample and against the account: what each sends, and what is wrong."""
    rows = [replace(each, value=_value(sample, each.attribute)) for each in rows]
    constants = [rule for rule in stored.integration.mapping if rule.attribute is None]
    made = Rows(rows, told.fields, told.untold, constants=constants)
    try:
        draft = patched(context, stored.integration, {"mapping": _mapping(stored, rows)})
    except Invalid as error:
        return _refused(made, error)
    made = _examined(told, draft, made)
    return made if sample is None else _sent(context, draft, sample, made)


async def save(
    context: Context, who: Caller, stored: StoredIntegration, rows: Sequence[Row], version: int
) -> StoredIntegration:
    """Store the mapping that somebody began to write at a version of the integration.

    Raises:
        VersionChanged: somebody else changed it meanwhile.
        Invalid: it is none; `Rows.problem` and the rows say why.
    """
    patch = {"mapping": _mapping(stored, rows)}
    return await integrations.change_seen(context, who, stored.id, patch, version)


def _value(sample: Sample | None, attribute: str) -> JsonValue:
    """Return what a sample has under a name, however it is spelled."""
    found = sample.submission.find(attribute) if sample and attribute else None
    return found.value if found else None


def _row_of(rule: Rule) -> Row:
    return Row(rule.attribute or "", rule.field, rule.type, rule.separator or "")


def _mapping(stored: StoredIntegration, rows: Sequence[Row]) -> list[JsonValue]:
    """Return the rows that go somewhere as rules; what a row does not show stays as it was."""
    before = {
        rule.field: rule.model_dump(exclude_defaults=True) for rule in stored.integration.mapping
    }
    made: list[JsonValue] = []
    for row in _going(rows):
        kept = before.get(row.field, {})
        kept = kept if kept.get("type", "string") == row.type else {}
        rule = {**kept, "attribute": row.attribute, "field": row.field, "type": row.type}
        rule.pop("separator", None)
        made.append(rule | ({"separator": row.separator} if row.separator else {}))
    constants = (rule for rule in stored.integration.mapping if rule.attribute is None)
    return [*made, *(rule.model_dump(exclude_defaults=True) for rule in constants)]


def _going(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.field]


def _refused(made: Rows, error: Invalid) -> Rows:
    """Put what is wrong beside its row, and the rest above them."""
    going, told = _going(made.rows), dict[int, str]()
    rest = []
    for place, detail in error.places:
        number = place.removeprefix(_PLACE).partition(".")[0]
        if place.startswith(_PLACE) and number.isdigit() and int(number) < len(going):
            row = going[int(number)]
            told[id(row)] = _sentence(detail, row.field) if row.attribute else _UNNAMED
        else:
            rest.append(_sentence(detail))
    rows = [replace(row, problem=told.get(id(row))) for row in made.rows]
    return replace(made, rows=rows, problem=" ".join(rest) or None, is_refused=True)


_UNNAMED: Final = "Name the Jebbit attribute that goes here, or empty the field."


def _sentence(text: str, name: str = "") -> str:
    """Return what is wrong as a sentence; a name that it begins with keeps its case."""
    begun = text if name and text.startswith(name) else text[:1].upper() + text[1:]
    return begun if begun.endswith(".") else f"{begun}."


def _examined(told: Told, draft: Integration, made: Rows) -> Rows:
    """Hold the rows against what the account has."""
    found = {
        int(each.place.removeprefix(_PLACE)): each
        for each in examine(draft, told.account)
        if each.level == "error" and each.place.removeprefix(_PLACE).isdigit()
    }
    going = {id(row): number for number, row in enumerate(_going(made.rows))}
    rows = []
    for row in made.rows:
        finding = found.get(going.get(id(row), -1))
        rows.append(
            replace(row, problem=finding.problem, mend=_mend(row, made.fields)) if finding else row
        )
    return replace(made, rows=rows)


def _mend(row: Row, fields: Sequence[Offered]) -> Mend:
    """Return what puts a row right that the account does not take."""
    head, dot, part = row.field.partition(".")
    near = same_name(head, [each.key for each in fields])
    if near is None:
        return Mend("create", head)
    if near != head:
        return Mend("field", near + dot + part)
    return Mend("type", next(each.type for each in fields if each.key == head))


def _sent(context: Context, draft: Integration, sample: Sample, made: Rows) -> Rows:
    """Say what Cordial would get of each row, if the person is sent at all."""
    decided = plan(
        sample.submission,
        draft,
        received_at=sample.received_at,
        now=context.clock(),
        jurisdictions=context.jurisdictions,
    )
    identity = identify(sample.submission, draft)
    addresses = addresses_of(draft)
    sent: dict[str, JsonValue] = {addresses.email: identity.email, addresses.phone: identity.phone}
    mapped = decided.evidence.mapped or would_map(sample.submission, draft, decided.evidence).steps
    sent |= {each.field: each.value for each in mapped}
    return replace(made, rows=[replace(row, sent=sent.get(row.field)) for row in made.rows])
