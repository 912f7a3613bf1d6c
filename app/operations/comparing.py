"""What a change of the rules would do: both rules planned over what really came in."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from app.jebbit.submission import Submission, read
from app.ledger import refusals, sources
from app.ledger import submissions as ledger
from app.ledger.integrations import StoredIntegration
from app.ledger.refusals import Addresses
from app.ledger.submissions import Kept
from app.operations.context import Context
from app.operations.describing import described_within
from app.operations.integrations import patched
from app.operations.people import address_keys
from app.rules.contact import identify
from app.rules.integration import Integration
from app.rules.mapping import RESERVED_FIELDS
from app.rules.plan import Plan, Upsert, plan
from app.rules.policy import Refusals
from app.rules.values import FieldType
from app.turns import in_turns

LAST: Final = 500
"""So many of the newest submissions are compared, unless the caller says."""

MOST: Final = 5_000
"""So many are compared at most."""

_EXAMPLES = 5
_PATIENCE_SECONDS = 3.0  # for the account's attributes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan comes to; `email` and `sms` are the statuses asked, None leaves a channel."""

    outcome: Literal["upsert", "skip"]
    reason: str | None = None
    email: str | None = None
    sms: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """So many submissions would have another outcome; `examples` are the ids of some."""

    before: Outcome
    after: Outcome
    count: int
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """In so many submissions a field would be sent that was not, or otherwise, or no more."""

    field: str
    added: int
    changed: int
    removed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Today's rules and the changed ones, over the newest submissions.

    `not_compared` are those whose payload was wiped, is too large or cannot be read. What Cordial
    would refuse, and which answers are stale, is not known.
    """

    compared: int
    not_compared: int
    changes: Sequence[Change]
    fields: Sequence[FieldChange]

    @property
    def newly_subscribed(self) -> int:
        """For how many a channel would be subscribed, or forced to be, that is not today."""
        return sum(each.count for each in self.changes if _subscribes(each.before, each.after))


def _subscribes(before: Outcome, after: Outcome) -> bool:
    return any(
        asks == "subscribed" and (asked != "subscribed" or after.force > before.force)
        for asked, asks in ((before.email, after.email), (before.sms, after.sms))
    )


async def compare(
    context: Context, integration_id: str, patch: Mapping[str, JsonValue], last: int = LAST
) -> Comparison:
    """Plan the newest submissions by the rules as they are, and as a patch would make them.

    Args:
        context: the service's parts.
        integration_id: which integration.
        patch: of its configuration (RFC 7396).
        last: how many submissions, at most.

    Raises:
        UnknownIntegration: there is none.
        Invalid: with the patch it would be no integration.
    """
    stored = await context.integrations.get(integration_id)
    after = patched(context, stored.integration, patch)
    return await compare_rules(context, stored, after, last)


async def compare_rules(
    context: Context, stored: StoredIntegration, after: Integration, last: int = LAST
) -> Comparison:
    """Plan the newest submissions of an integration by its rules before and after a change."""
    rules = _Rules(
        context,
        stored.integration,
        after,
        await _attributes(context, stored, after),
        opt_in_missing=await sources.opt_in_is_missing(context.database, stored.id),
    )
    looked_at = compared = 0
    tally = _Tally()
    async for some in ledger.newest_kept(context.database, stored.id, limit=last):
        looked_at += len(some)
        known = [found async for each in in_turns(some) if (found := rules.read(each))]
        people = {keys for each in known for keys in (each.before, each.after)}
        said = await refusals.find(context.database, people)
        async for each in in_turns(known):
            was, is_ = rules.planned(each, said, context.clock())
            tally.add(each.kept.id, was, is_, stored.integration, after)
        compared += len(known)
    return Comparison(compared, looked_at - compared, tally.changes(), tally.fields())


async def _attributes(
    context: Context, stored: StoredIntegration, after: Integration
) -> Mapping[str, FieldType] | None:
    """Return the account's attributes if unmapped ones may flow; None if it does not tell."""
    if "known" not in (stored.integration.unmapped, after.unmapped):
        return None
    told = (await described_within(context, stored, _PATIENCE_SECONDS)).attributes
    return None if told is None else {each.key: each.type for each in told if each.type}


class _Readable(NamedTuple):
    """A submission that can be planned, with the address keys that each of both rules finds."""

    kept: Kept
    submission: Submission
    before: Addresses
    after: Addresses


class _Rules:
    """Both rules, as they plan at the present time: as a replay would."""

    def __init__(
        self,
        context: Context,
        before: Integration,
        after: Integration,
        attributes: Mapping[str, FieldType] | None,
        *,
        opt_in_missing: bool,
    ) -> None:
        self._context = context
        self._before, self._after = before, after
        self._attributes = attributes
        self._opt_in_missing = opt_in_missing
        # What finds people's addresses: as long as it is the same, so are they.
        self._same_people = all(
            getattr(before, part) == getattr(after, part)
            for part in ("cordial", "jebbit", "mapping")
        )

    def read(self, kept: Kept) -> _Readable | None:
        """Return a submission as it can be planned; None if it cannot be read."""
        found = read(kept.payload) if kept.payload is not None else None
        if found is None:
            return None
        keys = address_keys(self._context, identify(found, self._before))
        others = keys
        if not self._same_people:
            others = address_keys(self._context, identify(found, self._after))
        return _Readable(kept, found, keys, others)

    def planned(
        self, each: _Readable, said: Mapping[Addresses, Refusals], now: float
    ) -> tuple[Plan, Plan]:
        """Plan a submission by both, given when people said no."""
        return (
            self._planned(each, self._before, each.before, said, now),
            self._planned(each, self._after, each.after, said, now),
        )

    def _planned(
        self,
        each: _Readable,
        integration: Integration,
        addresses: Addresses,
        said: Mapping[Addresses, Refusals],
        now: float,
    ) -> Plan:
        return plan(
            each.submission,
            integration,
            received_at=each.kept.received_at,
            now=now,
            delivered_before=each.kept.delivered_before,
            refusals=said[addresses],
            jurisdictions=self._context.jurisdictions,
            account_attributes=self._attributes,
            opt_in_missing=self._opt_in_missing,
        )


class _Tally:
    """Counts what differs between plans."""

    def __init__(self) -> None:
        self._counted = Counter[tuple[Outcome, Outcome]]()
        self._examples = defaultdict[tuple[Outcome, Outcome], list[str]](list)
        self._added, self._changed, self._removed = Counter[str](), Counter[str](), Counter[str]()

    def add(
        self, submission_id: str, was: Plan, is_: Plan, before: Integration, after: Integration
    ) -> None:
        """Count a submission by the plans of both rules."""
        pair = outcome_of(was, before), outcome_of(is_, after)
        if pair[0] != pair[1]:
            self._counted[pair] += 1
            if len(self._examples[pair]) < _EXAMPLES:
                self._examples[pair].append(submission_id)
        old, new = _fields(was), _fields(is_)
        self._added.update(new.keys() - old.keys())
        self._removed.update(old.keys() - new.keys())
        self._changed.update(name for name in old.keys() & new.keys() if old[name] != new[name])

    def changes(self) -> Sequence[Change]:
        """Return the changes of outcome, the most frequent first."""
        return [
            Change(*pair, number, self._examples[pair])
            for pair, number in self._counted.most_common()
        ]

    def fields(self) -> Sequence[FieldChange]:
        """Return the fields that change, by name."""
        return [
            FieldChange(name, self._added[name], self._changed[name], self._removed[name])
            for name in sorted({*self._added, *self._changed, *self._removed})
        ]


def outcome_of(made: Plan, integration: Integration) -> Outcome:
    """Return what a plan comes to that an integration's rules made."""
    if not isinstance(made, Upsert):
        return Outcome("skip", made.reason.value)
    channels = made.body.get("channels")
    channels = channels if isinstance(channels, dict) else {}
    email = next(_statuses(channels.get(integration.cordial.email_channel)), None)
    sms = next(_statuses(channels.get(integration.sms.channel)), None)
    return Outcome("upsert", None, email, sms, bool(made.body.get("forceSubscribe")))


def _statuses(channel: JsonValue) -> Iterator[str]:
    """Yield the statuses that a channel of a body asks for, its own or its programs'."""
    if isinstance(channel, dict):
        if isinstance(asked := channel.get("subscribeStatus"), str):
            yield asked
        programs = channel.get("programs")
        for each in programs.values() if isinstance(programs, dict) else ():
            yield from _statuses(each)


def _fields(made: Plan) -> Mapping[str, JsonValue]:
    if not isinstance(made, Upsert):
        return {}
    return {name: value for name, value in made.body.items() if name not in RESERVED_FIELDS}
