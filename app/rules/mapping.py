"""The mapping: which Jebbit attribute becomes which Cordial field, as a customer writes it down."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticSerializationError, to_json

from app.jebbit.folding import fold
from app.jebbit.submission import Attribute, Submission, with_inner
from app.rules.limits import Limits, cut, excess
from app.rules.values import (
    Answer,
    Converter,
    FieldType,
    Labels,
    NotConvertible,
    agree,
    answer,
    convert,
    converter_of,
    is_plain,
    is_unfilled,
    to_string,
)

ListsNeed = Literal["yes", "not_no"] | None
"""Which opt-in a person must have given before a rule puts them on a list."""

TooLong = Literal["warn", "cut"]
"""What becomes of a value that is longer than the account takes."""

# Keys of Cordial's contact body that mean something else there than a contact attribute.
RESERVED_FIELDS = frozenset(
    ("channels", "suppressTriggers", "forceSubscribe", "identifyBy", "cID", "attributes")
)
# What a geo attribute consists of, by Cordial's description of contact attributes.
GEO_PARTS = frozenset(
    "street_address street_address2 city state postal_code country countryISO tz "
    "loc.lat loc.lon".split()
)
# Personal or technical, never meant as an answer: they flow only where a rule names them.
NEVER_UNMAPPED = frozenset(("ip_address", "user_agent", "page_url", "url_params"))

_CAN_BE_CUT: frozenset[FieldType] = frozenset(("string", "array"))
_CHANNEL_ADDRESS = re.compile(r"channels\.(?P<channel>[^.]+)\.address")


class Rule(BaseModel):
    """One line of the mapping: attribute -> field."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    attribute: str | None = Field(
        None, min_length=1, description="Jebbit attribute; leave it out for a constant."
    )
    field: str = Field(min_length=1, description="Cordial field, case-sensitive.")
    type: FieldType = Field("string", description="Type of the Cordial field.")
    separator: str | None = Field(
        None,
        min_length=1,
        description="Splits a string into an array; joins a list into a string (default `, `).",
    )
    default: JsonValue = Field(
        None, description="Sent where the attribute is absent, null or blank."
    )
    lists_need: ListsNeed = Field(
        "not_no",
        description="The email opt-in that joining a list needs: `yes`; `not_no`, which is a yes "
        "or none asked for; null: none. Leaving a list needs none.",
    )
    too_long: TooLong = Field(
        "warn",
        description="A text or array that is longer than the Cordial account takes: `warn` sends "
        "it as it is, with a warning; `cut` sends as much as fits.",
    )

    @property
    def channel(self) -> str | None:
        """The channel whose address this rule gives; None for an ordinary field."""
        match = _CHANNEL_ADDRESS.fullmatch(self.field)
        return match["channel"] if match else None

    @model_validator(mode="after")
    def _names_a_field_it_can_fill(self) -> Self:
        if self.channel is None:
            check_field(self.field, self.type)
        elif self.type != "string" or self.default is not None or self.attribute is None:
            raise ValueError(
                f"{self.field} is a person's address: give it an attribute, no type and no default"
            )
        if self.attribute is None and self.default is None:
            raise ValueError(f"the rule for {self.field} needs an attribute, a default, or both")
        if self.too_long == "cut" and (self.channel or self.type not in _CAN_BE_CUT):
            raise ValueError(f"{self.field} cannot be cut: only a string or an array can")
        return self

    def converted_default(self) -> JsonValue:
        """Return the default as it is sent; None if there is none.

        Raises:
            NotConvertible: it has no form of the field's type.
        """
        if self.default is None:
            return None
        return convert(self.default, self.type, self.separator, field=self.field)

    @model_validator(mode="after")
    def _default_converts(self) -> Self:
        if self.default == "":
            raise ValueError(f"the default of {self.field} is blank; leave it out instead")
        try:
            self.converted_default()
            to_json(self.default)
        except (NotConvertible, PydanticSerializationError):  # half of a surrogate pair
            raise ValueError(f"the default of {self.field} is no {self.type}") from None
        return self


def check_field(field: str, kind: FieldType) -> None:
    """Raise ValueError where `field` is none that a value of this type can be sent to."""
    head, _, part = field.partition(".")
    if head in RESERVED_FIELDS:
        raise ValueError(
            f"{field} is reserved by Cordial; of it a mapping can set only "
            "channels.<channel>.address"
        )
    if kind == "geo" and part not in GEO_PARTS:
        raise ValueError(
            f"a geo field is written attribute.part; {field} names none of the parts "
            + ", ".join(sorted(GEO_PARTS))
        )
    if kind != "geo" and part:
        raise ValueError(f'{field} has a dot; only a field of type "geo" has parts')


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """Something that was left out of a contact, named without the person's value."""

    code: str
    attribute: str | None
    field: str | None
    detail: str

    def as_json(self) -> dict[str, JsonValue]:
        """Return the warning as the ledger and the API show it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MappedField:
    """How one field came about: its source value and what is sent (None: nothing)."""

    field: str
    type: FieldType
    attribute: str | None
    source: JsonValue
    value: JsonValue


# A rule, its attribute, field, default and separator, and the converter of its type. Python takes
# twice as long to unpack a tuple that has names.
_Unpacked = tuple[Rule, str | None, str, JsonValue, str | None, Converter]


def _unpacked(rule: Rule) -> _Unpacked:
    converter = converter_of(rule.field, rule.type)
    return rule, rule.attribute, rule.field, rule.default, rule.separator, converter


class Mapped(NamedTuple):
    """What the mapping makes of one submission: the fields, and how they came about."""

    fields: Mapping[str, JsonValue]
    warnings: Sequence[PlanWarning]
    submission: Submission
    rules: Sequence[_Unpacked]

    @property
    def steps(self) -> Sequence[MappedField]:
        """What was tried, field by field; worked out when asked for, as only a preview does."""
        return [self._step(rule) for rule, *_ in self.rules]

    def _step(self, rule: Rule) -> MappedField:
        found = self.submission.find(rule.attribute) if rule.attribute else None
        return MappedField(
            rule.field,
            rule.type,
            attribute=found.key if found else rule.attribute,
            source=found.value if found else rule.default,
            value=self.fields.get(rule.field),
        )


MayJoin = Callable[[ListsNeed, Attribute | None], bool]
"""Whether a rule with this need may put the person on a list, by what the attribute holds."""


class FieldMapping:
    """The rules of a mapping that fill fields; addresses are not among them.

    Built once per integration: unpacking the rules costs more than applying them.
    """

    def __init__(
        self, rules: Sequence[Rule], labels: Labels, kept_free: Iterable[str] = ()
    ) -> None:
        """Take the rules, the words for yes and no, and fields that no unmapped attribute fills."""
        self._labels = labels
        self._rules = [_unpacked(rule) for rule in rules if rule.channel is None]
        sources = {fold(rule.attribute) for rule in rules if rule.attribute}
        self._never_unmapped = sources | NEVER_UNMAPPED
        self._cut = {rule.field for rule in rules if rule.too_long == "cut"}
        filled = {rule.field.partition(".")[0] for rule in rules}
        self._filled = filled | RESERVED_FIELDS | {*kept_free}

    @property
    def cuts(self) -> bool:
        """Whether a rule cuts what is too long, so that the account's limits must be known."""
        return bool(self._cut)

    def apply(
        self,
        submission: Submission,
        may_join: MayJoin,
        account_attributes: Mapping[str, FieldType] | None = None,
        limits: Limits | None = None,
    ) -> Mapped:
        """Translate a submission's attributes to contact fields.

        Args:
            submission: what Jebbit sent.
            may_join: says which lists the person may be put on.
            account_attributes: where unmapped attributes may flow, the attributes that exist in the
                Cordial account, with their types; else None.
            limits: what the account's attributes take at most, where that is known.
        """
        rules = self._rules
        if account_attributes:
            rules = [*rules, *map(_unpacked, self._unmapped(submission, account_attributes))]
        fields: dict[str, JsonValue] = {}
        warnings: list[PlanWarning] = []
        labels, get = self._labels, submission.attributes.get
        for rule, attribute, name, default, separator, converter in rules:
            source = get(attribute) if attribute else None
            if isinstance(source, str) and is_plain(source):
                if converter is to_string:
                    fields[name] = source
                    continue
            else:
                found = submission.find(attribute) if attribute else None
                source = found.value if found else None
                if is_unfilled(source):
                    warnings.append(_unfilled(rule))
                    source = None
                if source is None and (source := default) is None:
                    continue
            try:
                value = converter(source, separator, labels)
            except NotConvertible:
                warnings.append(_not_converted(rule))
                continue
            if value is True and (why := _kept_off(rule, submission, labels, may_join)):
                warnings.append(_not_joined(rule, why))
            elif value is not None:
                fields[name] = value
        if limits:
            warnings += self._fit(fields, limits, rules)
        return Mapped(fields, warnings, submission, rules)

    def _fit(
        self, fields: dict[str, JsonValue], limits: Limits, rules: Sequence[_Unpacked]
    ) -> list[PlanWarning]:
        """Cut what is to be cut, and return a warning for each field that is over its limit."""
        warnings = []
        for name, value in fields.items():
            limit = limits.get(name)
            if limit is None or (over := excess(value, limit)) is None:
                continue
            attribute = next(rule.attribute for rule, *_ in rules if rule.field == name)
            if name in self._cut:
                fields[name] = cut(value, limit)
            warnings.append(_too_long(attribute, name, over, is_cut=fields[name] != value))
        return warnings

    def _unmapped(self, submission: Submission, account: Mapping[str, FieldType]) -> Iterator[Rule]:
        """Yield a rule for each attribute that no rule names and the account has under that key."""
        for key, value in submission.attributes.items():
            head = key.partition(".")[0]  # of `channels.email.subscribeStatus`, as of `channels`
            if key not in account or head in self._filled or fold(key) in self._never_unmapped:
                continue
            if account[key] == "geo" or isinstance(value, dict) or _is_nested(value):
                continue
            yield Rule.model_construct(attribute=key, field=key, type=account[key])


def _kept_off(rule: Rule, submission: Submission, labels: Labels, may_join: MayJoin) -> str | None:
    """Say why a rule's true may not be sent: only to join a list takes a right to it.

    No other type converts to true.
    """
    found = submission.find(rule.attribute) if rule.attribute else None
    if not may_join(rule.lists_need, found):
        return f"their opt-in, or a later no, does not allow it (lists_need is {rule.lists_need})"
    if rule.attribute and _is_denied(rule.attribute, submission, labels):
        return f"the submission also holds another answer for {rule.attribute} that is no yes"
    return None


def _is_denied(name: str, submission: Submission, labels: Labels) -> bool:
    """Whether something under an attribute's name, or a name plainly like it, is no yes.

    Its spellings must agree; a no counts in every form, as it does for an opt-in. Under a name like
    it, a no beside a yes is none: it lists what could be chosen.
    """
    spelled = submission.find_all(name)
    agreed = agree([answer(each.value, labels) for each in spelled])
    if agreed not in (Answer.YES, Answer.NULL) or Answer.NO in _said(spelled, labels):
        return True
    alike = [_said([each], labels) for each in submission.find_alike(name)]
    return any(Answer.NO in said and Answer.YES not in said for said in alike)


def _said(found: Sequence[Attribute], labels: Labels) -> set[Answer]:
    return {answer(each.value, labels) for each in with_inner(found)}


def _not_converted(rule: Rule) -> PlanWarning:
    return PlanWarning(
        code="not_convertible",
        attribute=rule.attribute,
        field=rule.field,
        detail=f"The value of {rule.attribute} is no {rule.type}; {rule.field} was not sent.",
    )


def _too_long(attribute: str | None, field: str, over: str, *, is_cut: bool) -> PlanWarning:
    what = "The default" if attribute is None else f"The value of {attribute}"
    done = "it was cut" if is_cut else "it goes as it is, and Cordial may refuse it"
    return PlanWarning(
        code="too_long",
        attribute=attribute,
        field=field,
        detail=f"{what} {over} for {field}; {done}.",
    )


def _unfilled(rule: Rule) -> PlanWarning:
    return PlanWarning(
        code="not_filled",
        attribute=rule.attribute,
        field=rule.field,
        detail=f"{rule.attribute} holds the trace of a missing value, such as undefined or a "
        "template's {{name}}; it counts as absent. Mend the experience in Jebbit.",
    )


def _not_joined(rule: Rule, why: str) -> PlanWarning:
    return PlanWarning(
        code="list_not_joined",
        attribute=rule.attribute,
        field=rule.field,
        detail=f"The person is not put on the list {rule.field}: {why}.",
    )


def _is_nested(value: JsonValue) -> bool:
    return isinstance(value, list) and any(isinstance(item, list | dict) for item in value)
