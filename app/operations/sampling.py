"""The sample that an integration is set up by: the newest submission that can be read.

It came as a webhook, or a person gave it. What a person gives is stored as a test is: never sent,
wiped after its time, found by an erasure.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from app.jebbit.submission import MAX_KEYS, Item, Submission, UnreadableBody, parse, read
from app.ledger import listing, tallies
from app.ledger import submissions as ledger
from app.ledger.accepting import Arrival, NewSubmission, accept
from app.ledger.integrations import StoredIntegration
from app.ledger.schema import DeadReason
from app.ledger.submissions import LONGEST_READ, Filter, StoredSubmission
from app.ledger.tallies import RefusedWebhook
from app.operations.callers import Caller
from app.operations.context import Context
from app.operations.invalid import invalid_at
from app.rules.contact import identify

_LOOKED_AT: Final = 20  # newest submissions, for one that can be read
_SHOWN: Final = 5
_MOST_BYTES: Final = 1024 * 1024
_MOST_GIVEN: Final = 20  # submissions of a body that a person gives


@dataclass(frozen=True, slots=True)
class Sample:
    """A submission that was received (unix seconds) and can be read."""

    id: str
    received_at: float
    submission: Submission

    @property
    def attributes(self) -> Mapping[str, JsonValue]:
        """What it holds."""
        return self.submission.attributes


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came in while an integration is set up, the newest first.

    `sample` is the newest that can be read. `refused` was not kept; what cannot be read was, and
    is among what `came`.
    """

    sample: Sample | None
    came: Sequence[StoredSubmission]
    refused: Sequence[RefusedWebhook]

    @property
    def unreadable_last(self) -> float | None:
        """When the newest came (unix seconds), if it cannot be read."""
        newest = self.came[0] if self.came else None
        unreadable = newest is not None and newest.reason == DeadReason.UNREADABLE
        return newest.received_at if newest and unreadable else None

    @property
    def refused_last(self) -> bool:
        """Whether the newest that came was refused."""
        newest = self.came[0].received_at if self.came else 0.0
        return bool(self.refused) and self.refused[0].at > newest


async def sample_of(context: Context, stored: StoredIntegration) -> Sample | None:
    """Return the sample that an integration is set up by, if there is one.

    What came for another of its name, that was deleted, is none.
    """
    kept = await ledger.newest_readable(context.database, stored.id, limit=_LOOKED_AT)
    for each in kept:
        if each.received_at < stored.created_at:
            break
        submission = read(each.payload) if each.payload is not None else None
        if submission is not None:
            return Sample(each.id, each.received_at, submission)
    return None


async def arrivals(context: Context, stored: StoredIntegration) -> Arrivals:
    """Return what came in for an integration so far, and what was refused of it."""
    wanted = Filter(integration_id=stored.id, since=stored.created_at)
    return Arrivals(
        await sample_of(context, stored),
        await listing.newest(context.database, wanted, limit=_SHOWN, before=None),
        [
            each
            for each in await tallies.refused_of(context.database, stored.id)
            if each.at >= stored.created_at and each.reason != DeadReason.UNREADABLE
        ],
    )


async def give(context: Context, who: Caller, integration_id: str, body: bytes) -> int:
    """Store what a person gives as a sample, as tests; return how many submissions it held.

    Raises:
        UnknownIntegration: there is none.
        UnreadableBody, TooManyItems: it is no body of Jebbit's.
        Invalid: it holds no submission.
    """
    async with context.auditor.changing(who, "integration.give_sample", integration_id):
        stored = await context.integrations.get(integration_id)
        if len(body) > _MOST_BYTES:
            raise UnreadableBody("It is larger than 1 MB; one submission is enough.")
        found = [each for each in parse(body) if each.submission is not None][:_MOST_GIVEN]
        if not found:
            detail = (
                f"It holds no submission: an object of at most {MAX_KEYS:,} attributes is needed."
            )
            raise invalid_at("sample", detail)
        if not any(len(each.payload) <= LONGEST_READ for each in found):
            raise invalid_at("sample", "The submission is larger than 64 KB; give a shorter one.")
        now = context.clock()
        arrival = Arrival(
            integration_id=stored.id,
            fingerprint=f"{int(now):012x}{secrets.token_hex(26)}",
            expires_at=now,
            received_at=now,
            test=True,
            items=list(_kept(context, stored, found)),
            version=stored.version,
        )
        await accept(context.database, [arrival])
        return len(found)


def _kept(
    context: Context, stored: StoredIntegration, items: Iterable[Item]
) -> Iterable[NewSubmission]:
    for each in items:
        if each.submission is None:
            continue
        identity = identify(each.submission, stored.integration)
        keys = context.pseudonyms.keys(identity.email, identity.phone)
        yield NewSubmission(each.payload, True, *keys)
