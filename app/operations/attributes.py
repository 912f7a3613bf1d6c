"""The attributes that an integration's source really sends."""

from app.cordial.findings import Finding
from app.jebbit.submission import read
from app.ledger import submissions as ledger
from app.ledger.integrations import StoredIntegration
from app.operations.context import Context
from app.rules.survey import OTHER_TEXT, Survey, survey

_SEEN = 500  # of the newest submissions whose payload is kept


async def attributes_seen(context: Context, integration_id: str) -> Survey:
    """Return what was seen in the newest submissions of an integration.

    Raises:
        UnknownIntegration: there is none.
    """
    return await survey_of(context, await context.integrations.get(integration_id))


async def survey_of(context: Context, stored: StoredIntegration) -> Survey:
    """Look through the newest submissions of an integration that still have a payload."""
    kept = await ledger.payloads(context.database, stored.id, limit=_SEEN)
    read_again = ((received_at, read(payload)) for received_at, payload in kept)
    return survey(((at, each) for at, each in read_again if each), stored.integration)


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
            "jebbit.opt_in_labels",
            f'{each.attribute} was answered "{each.text}" {each.times} times, which is neither yes '
            "nor no here.",
            "Look at the payloads: this is no label."
            if each.text == OTHER_TEXT
            else "Add it to jebbit.opt_in_labels.true or .false, then replay.",
        )
        for each in seen.unclear
    ]


_COMES_OF_IT = {
    "jebbit.attributes.opt_in": "everybody counts as not asked (null), which policy.opt_in and "
    "policy.auto_subscribe may take for enough.",
    "jebbit.attributes.sms_opt_in": "nobody is subscribed to SMS.",
}
