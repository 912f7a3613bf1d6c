"""What a change of the rules would do: both rules planned over what really came in."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

from app.jebbit.submission import Submission, read
from app.ledger import refusals
from app.ledger import submissions as ledger
from app.ledger.submissions import Kept
from app.operations.context import Context
from app.operations.integrations import patched
from app.rules.contact import identify
from app.rules.integration import Integration
from app.rules.mapping import RESERVED_FIELDS
from app.rules.plan import Plan, Upsert, plan
from app.rules.policy import Refusals

LAST: Final = 500
"""So many of the newest submissions are compared, unless the caller says."""

MOST: Final = 5_000
"""So many are compared at most."""

_AT_ONCE = 20  # planned before deliveries and webhooks have their turn
_EXAMPLES = 5


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
    return await compare_rules(context, stored.id, stored.integration, after, last)


async def compare_rules(
    context: Context, integration_id: str, before: Integration, after: Integration, last: int = LAST
) -> Comparison:
    """Plan the newest submissions of an integration by its rules before and after a change."""
    kept = await ledger.newest_kept(context.database, integration_id, limit=last)
    compared = 0
    counted = Counter[tuple[Outcome, Outcome]]()
    examples = defaultdict[tuple[Outcome, Outcome], list[str]](list)
    added, changed, removed = Counter[str](), Counter[str](), Counter[str]()
    for start in range(0, len(kept), _AT_ONCE):
        batch = [(each, found) for each in kept[start : start + _AT_ONCE] if (found := _read(each))]
        compared += len(batch)
        for one, was, is_ in await _planned(context, batch, before, after):
            pair = outcome_of(was, before), outcome_of(is_, after)
            if pair[0] != pair[1]:
                counted[pair] += 1
                if len(examples[pair]) < _EXAMPLES:
                    examples[pair].append(one.id)
            old, new = _fields(was), _fields(is_)
            added.update(new.keys() - old.keys())
            removed.update(old.keys() - new.keys())
            changed.update(name for name in old.keys() & new.keys() if old[name] != new[name])
        await asyncio.sleep(0)
    return Comparison(
        compared,
        len(kept) - compared,
        [
            Change(*pair, number, examples[pair])
            for pair, number in sorted(counted.items(), key=lambda each: -each[1])
        ],
        [
            FieldChange(name, added[name], changed[name], removed[name])
            for name in sorted({*added, *changed, *removed})
        ],
    )


def _read(kept: Kept) -> Submission | None:
    return read(kept.payload) if kept.payload is not None else None


async def _planned(
    context: Context,
    batch: Sequence[tuple[Kept, Submission]],
    before: Integration,
    after: Integration,
) -> list[tuple[Kept, Plan, Plan]]:
    """Plan each by both rules, at the present time, as a replay would."""
    rules = (before, after)
    keys = [[_keys(context, submission, each) for each in rules] for _, submission in batch]
    wanted = {key for both in keys for pair in both for key in pair if key}
    said = await refusals.find(context.database, wanted)
    now = context.clock()

    def planned(kept: Kept, submission: Submission, integration: Integration, of: _Keys) -> Plan:
        email_key, phone_key = of
        return plan(
            submission,
            integration,
            received_at=kept.received_at,
            now=now,
            delivered_before=kept.delivered_before,
            refusals=Refusals(said.get(email_key or ""), said.get(phone_key or "")),
            jurisdictions=context.jurisdictions,
        )

    return [
        (
            kept,
            planned(kept, submission, before, of_before),
            planned(kept, submission, after, of_after),
        )
        for (kept, submission), (of_before, of_after) in zip(batch, keys, strict=True)
    ]


_Keys = tuple[str | None, str | None]
"""Of an email address and of a phone number."""


def _keys(context: Context, submission: Submission, integration: Integration) -> _Keys:
    identity = identify(submission, integration)
    return (
        context.pseudonyms.email(identity.email) if identity.email else None,
        context.pseudonyms.phone(identity.phone) if identity.phone else None,
    )


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
