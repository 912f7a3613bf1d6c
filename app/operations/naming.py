"""What rules can name: the attributes that came in, and the fields that the account has."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from app.cordial.account import BadAccountUrl
from app.cordial.attributes import Account, AccountAttribute
from app.cordial.fields import Fit, Fits, fit
from app.cordial.preflight import create
from app.jebbit.folding import fold
from app.jebbit.submission import is_present, read
from app.ledger import sources
from app.ledger import submissions as ledger
from app.ledger.integrations import StoredIntegration
from app.operations.attributes import survey_of
from app.operations.callers import Caller
from app.operations.checking import said
from app.operations.context import Context
from app.operations.describing import Described
from app.operations.invalid import invalid_at
from app.rules.mapping import GEO_PARTS, check_field
from app.rules.suggestion import Addresses, Offered, Suggestion, addresses_of, suggest
from app.rules.survey import Kind
from app.rules.values import FieldType
from app.turns import in_turns

_EXAMPLES_FROM = 20  # of the newest submissions


@dataclass(frozen=True, slots=True)
class SeenAttribute:
    """An attribute that came in: how often, when last (unix seconds), as what, and an example.

    `example` is None for who may not see people's answers, and where none is kept.
    """

    key: str
    times: int
    last_seen: float
    kinds: Sequence[Kind]
    example: JsonValue


@dataclass(frozen=True, slots=True)
class FieldFit:
    """How a field of a rule fits the account; see `cordial.fields.Fit`.

    `type` is the attribute's, `written` as Cordial writes it, `most` how much it takes in words.
    """

    how: Fits
    type: FieldType | None = None
    written: str | None = None
    most: str | None = None
    meant: str | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What rules can name: attributes in so many submissions, the most frequent first, and fields.

    `fields` have their type; `problem` says why the account does not tell.
    """

    submissions: int
    attributes: Sequence[SeenAttribute]
    fields: Sequence[tuple[str, str]]
    problem: str | None
    _addresses: Addresses
    _account: Account
    _folded: Mapping[str, SeenAttribute] = field(repr=False)

    @property
    def addresses(self) -> Set[str]:
        """The fields that name the contact."""
        return {*self._addresses}

    def seen(self, attribute: str) -> SeenAttribute | None:
        """Return the attribute of this name that came in, however it is spelled."""
        return self._folded.get(fold(attribute)) if attribute else None

    def suggest(self, attribute: str) -> Suggestion:
        """Say where an attribute may go, by its name and its example; perhaps nowhere."""
        seen = self.seen(attribute)
        account = self._account
        offered = None
        if account.attributes is not None:
            known = account.attributes.values()
            offered = [Offered(each.key, each.type) for each in known if each.type]
            offered += [Offered(each, "list") for each in account.lists or ()]
        (found,) = suggest({attribute: seen.example if seen else None}, offered, self._addresses)
        return found

    def fit(self, name: str, kind: FieldType) -> FieldFit:
        """Say how a field fits the account; of a place, its part before the dot counts."""
        found = fit(name.partition(".")[0], kind, self._account)
        attribute = found.attribute
        if attribute is None:
            return FieldFit(found.how, meant=_whole(name, found))
        most = _most(attribute)
        return FieldFit(found.how, attribute.type, attribute.written, most, found.meant)


async def names_of(
    context: Context, who: Caller, stored: StoredIntegration, told: Described
) -> Names:
    """Return what the rules of an integration can name, by what its account told."""
    source = await sources.source_of(context.database, stored.id)
    examples = await _examples(context, stored.id)
    seen: Any = source.keys
    number = source.submissions
    if not number:  # what came in before sources were counted
        surveyed = await survey_of(context, stored)
        seen, number = surveyed.attributes, surveyed.submissions
    attributes = [
        SeenAttribute(
            each.key,
            each.times,
            each.last_seen,
            each.kinds,
            examples.get(each.key) if who.sees_people else None,
        )
        for each in seen
        if each.key != sources.OTHERS
    ]
    found = told.attributes or ()
    return Names(
        number,
        attributes,
        sorted(
            [
                *((name, "list") for name in told.lists or ()),
                *((each.key, str(each.type or each.written)) for each in found),
            ]
        ),
        " ".join(told.problems) or None,
        addresses_of(stored.integration),
        Account(
            None if told.attributes is None else {each.key: each for each in found},
            None if told.lists is None else frozenset(told.lists),
        ),
        {fold(each.key): each for each in reversed(attributes)},
    )


async def _examples(context: Context, integration_id: str) -> Mapping[str, JsonValue]:
    """Return a value of each key of the newest submissions, the newest that there is."""
    found: dict[str, JsonValue] = {}
    kept = await ledger.payloads(context.database, integration_id, limit=_EXAMPLES_FROM)
    async for _, payload in in_turns(kept):
        if submission := read(payload):
            for key, value in submission.attributes.items():
                if is_present(value):
                    found.setdefault(key, value)
    return found


@dataclass(frozen=True, slots=True)
class Made:
    """What came of creating a field: whether it is there now, and a text that says it."""

    done: bool
    text: str


async def create_field(
    context: Context,
    who: Caller,
    integration_id: str,
    name: str,
    kind: FieldType,
    *,
    index: bool | None = None,
) -> Made:
    """Create a contact attribute or a list in the account of an integration.

    Of a place (`home.city`), the attribute before the dot. To choose an audience by it, it must
    have an `index`; None where nobody has said, which makes none.

    Returns:
        What came of it; that it was created only if the account then shows it.

    Raises:
        UnknownIntegration: there is none.
        Invalid: it is no name that a rule of this type can fill.
    """
    async with context.auditor.changing(who, "integration.create_field", integration_id):
        stored = await context.integrations.get(integration_id)
        try:
            check_field(name, kind)
        except ValueError as error:
            raise invalid_at("mapping", str(error)) from None
        try:
            client = context.accounts.asking(stored)
        except BadAccountUrl as error:
            raise invalid_at("cordial.account_url", str(error)) from None
        report = await create(client, name.partition(".")[0], kind, index=index)
        if report.account is not None:
            context.accounts.learn(stored.integration, report.account)
    (found,) = report.findings[:1]
    done = found.level == "note"
    return Made(done, found.problem if done else said(found))


def _whole(name: str, found: Fit) -> str | None:
    """Return what is meant in place of a name, with the part after the dot that the name has."""
    _, dot, part = name.partition(".")
    return f"{found.meant}{dot}{part}" if found.meant and part in GEO_PARTS else found.meant


def _most(attribute: AccountAttribute) -> str | None:
    limit = attribute.limit
    if limit.items is not None:
        return f"{limit.items} items"
    if limit.characters is not None:
        return f"{limit.characters} characters"
    return None if limit.number is None else f"{limit.number:g}"
