"""The attributes that an integration's source really sends."""

from dataclasses import replace

from app.cordial.findings import Finding
from app.delivery.drift import drift_of
from app.jebbit.submission import read
from app.ledger import sources
from app.ledger import submissions as ledger
from app.ledger.integrations import StoredIntegration
from app.operations.context import Context
from app.rules.drift import DriftKind, Said, by_kind, say
from app.rules.survey import OTHER_TEXT, SeenAttribute, Survey, survey, used_by
from app.turns import in_turns

_SEEN = 500  # of the newest submissions whose payload is kept


async def attributes_seen(context: Context, integration_id: str) -> Survey:
    """Return what an integration's source sent so far.

    Keys, how often and as what are of all submissions, also of those whose payload was wiped; what
    is missing and unclear, of the newest that are kept.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    seen = await survey_of(context, stored)
    source = await sources.source_of(context.database, stored.id)
    if not source.submissions:
        return seen
    of_all = [
        SeenAttribute(
            each.key,
            each.times,
            each.last_seen,
            each.kinds,
            used_by(each.key, stored.integration),
        )
        for each in source.keys
    ]
    return replace(seen, submissions=source.submissions, attributes=of_all)


async def survey_of(context: Context, stored: StoredIntegration) -> Survey:
    """Look through the newest submissions of an integration that still have a payload."""
    kept = await ledger.payloads(context.database, stored.id, limit=_SEEN)
    seen = [(at, found) async for at, payload in in_turns(kept) if (found := read(payload))]
    return survey(seen, stored.integration)


async def findings_of(context: Context, stored: StoredIntegration) -> list[Finding]:
    """Say where the source does not send what is expected of it, or no longer sends what it did."""
    drifted = await _drifted(context, stored)
    told = {each.place for each in drifted}
    seen = findings(await survey_of(context, stored))
    return [*drifted, *(each for each in seen if each.place not in told or each.place == _LABELS)]


async def drift_in_words(
    context: Context, stored: StoredIntegration
) -> list[tuple[DriftKind, Said]]:
    """Say what has changed its meaning, kind by kind, the worst first."""
    found = await drift_of(context.database, stored, context.clock())
    return [(kind, say(each, stored.integration)) for kind, each in by_kind(found).items()]


async def _drifted(context: Context, stored: StoredIntegration) -> list[Finding]:
    found = await drift_of(context.database, stored, context.clock())
    words = [(each, say([each], stored.integration)) for each in found]
    return [
        Finding(
            "warning",
            each.place,
            f"{stored.integration.name} {said.state}. {said.cause}",
            said.remedy,
        )
        for each, said in words
    ]


def findings(seen: Survey) -> list[Finding]:
    """Say where the source does not send what the configuration expects of it."""
    found = [
        Finding(
            "warning",
            place,
            f"None of the last {seen.submissions} submissions has an attribute {name}: "
            f"{_COMES_OF_IT[place]}",
            "Name the attribute as Jebbit sends it (GET /integrations/{id}/attributes lists them), "
            "or null if the experience has no such box.",
        )
        for place, name in seen.missing.items()
        if place in _COMES_OF_IT
    ]
    found += [
        Finding(
            "note",
            place,
            f"None of the last {seen.submissions} submissions has an attribute {name}.",
            "Name it as Jebbit sends it, or remove the rule.",
        )
        for place, name in seen.missing.items()
        if place.startswith("mapping.")
    ]
    return found + [
        Finding(
            "warning",
            _LABELS,
            f'{each.attribute} was answered "{each.text}" {each.times} times, which is neither yes '
            "nor no here.",
            "Look at the payloads: this is no label."
            if each.text == OTHER_TEXT
            else "Add it to jebbit.opt_in_labels.true or .false, then replay.",
        )
        for each in seen.unclear
    ]


_LABELS = "jebbit.opt_in_labels"
_COMES_OF_IT = {
    "jebbit.attributes.opt_in": "everybody counts as not asked (null), which policy.opt_in and "
    "policy.auto_subscribe may take for enough.",
    "jebbit.attributes.sms_opt_in": "nobody is subscribed to SMS.",
}
