"""What needs somebody, and how each integration does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.delivery.drift import drift_of_all
from app.ledger import figures, listing
from app.ledger.integrations import StoredIntegration, UnknownIntegration
from app.ledger.listing import Latest
from app.ledger.schema import GateState, SubmissionStatus
from app.ledger.submissions import Filter
from app.operations.context import Context
from app.rules.drift import DriftKind, Said, by_kind, lasting, say
from app.telemetry.metrics import IntegrationFigures

LONG_SECONDS: Final = 15 * 60.0
"""A pending submission that is older needs somebody, where nothing says why it waits."""

_NEVER = Latest(None, None)
_NOTHING_SAID = Said("", "", "")


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a person must do.

    `blocked`: Cordial refuses access, for `reason`. `dead`: so many are given up, for `reason`.
    `opt_in_missing` and `drift`: what comes in has changed its meaning, as `said`, to be mended at
    a `place` of the configuration. `closed`: Cordial fails. `slow`: the oldest pending waits since.
    `paused`: so many wait for a person. `unset`: there is no webhook secret, so nothing can come
    in. Times are unix seconds.
    """

    kind: Literal["blocked", "dead", "opt_in_missing", "closed", "slow", "drift", "paused", "unset"]
    integration_id: str
    name: str
    number: int = 0
    reason: str | None = None
    since: float | None = None
    drift: DriftKind | None = None
    said: Said = _NOTHING_SAID
    place: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How an integration does."""

    stored: StoredIntegration
    figures: IntegrationFigures
    latest: Latest


@dataclass(frozen=True, slots=True)
class Overview:
    """What needs somebody, the worst first; and how each integration does."""

    needs: Sequence[Need]
    health: Sequence[Health]


async def look_over(context: Context) -> Overview:
    """Look over all integrations."""
    now = context.clock()
    counted = {each.integration_id: each for each in await _figures(context, now)}
    latest = await listing.latest(context.database)
    health = [
        Health(each, counted[each.id], latest.get(each.id, _NEVER))
        for each in await context.integrations.list()
        if each.id in counted
    ]
    dead: dict[str, dict[str, int]] = {}
    for ((integration_id, status), reason), number in (
        await listing.count(context.database, Filter())
    ).items():
        if status is SubmissionStatus.DEAD:
            dead.setdefault(integration_id, {})[reason] = number
    needs = [need for each in health for need in _needs(each, dead, now)]
    needs += await _drifts(context, [each.stored for each in health], now)
    return Overview(sorted(needs, key=lambda need: _ORDER.index(need.kind)), health)


async def health_of(context: Context, integration_id: str) -> Health:
    """Return how one integration does.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    counted = {each.integration_id: each for each in await _figures(context, context.clock())}
    if stored.id not in counted:
        raise UnknownIntegration(integration_id)
    latest = await listing.latest(context.database)
    return Health(stored, counted[stored.id], latest.get(stored.id, _NEVER))


_ORDER = ("blocked", "dead", "opt_in_missing", "closed", "slow", "drift", "paused", "unset")


async def _drifts(
    context: Context, integrations: Sequence[StoredIntegration], now: float
) -> list[Need]:
    return [
        Need(
            "opt_in_missing" if kind is DriftKind.OPT_IN_MISSING else "drift",
            stored.id,
            stored.integration.name,
            since=lasting(spells).get(kind),
            drift=kind,
            said=say(drifts, stored.integration),
            place=drifts[0].place,
        )
        for stored, found, spells in await drift_of_all(context.database, integrations, now)
        for kind, drifts in by_kind(found).items()
    ]


async def _figures(context: Context, now: float) -> Sequence[IntegrationFigures]:
    return await figures.count_waiting(context.database, now)


def _needs(health: Health, reasons: Mapping[str, Mapping[str, int]], now: float) -> Iterator[Need]:
    stored, counted = health.stored, health.figures
    about, gate = (stored.id, stored.integration.name), stored.gate
    oldest = now - counted.oldest_pending_seconds
    if stored.state == "blocked":
        yield Need("blocked", *about, counted.pending, gate.reason, gate.since)
    for reason, number in sorted(reasons.get(stored.id, {}).items()):
        yield Need("dead", *about, number, reason)
    if stored.state == "active" and gate.state is GateState.CLOSED:
        yield Need("closed", *about, counted.pending, gate.reason, gate.since)
    elif stored.state == "active" and counted.oldest_pending_seconds > LONG_SECONDS:
        yield Need("slow", *about, counted.pending, None, oldest)
    if stored.state == "paused" and counted.pending:
        yield Need("paused", *about, counted.pending, stored.paused_reason, oldest)
    if stored.setup is None and not stored.integration.jebbit.webhook_secrets:
        yield Need("unset", *about)
