"""What is kept of a decision about a person: what it rests on and what was asked, no address."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from pydantic import JsonValue

from app.jebbit.submission import Submission
from app.rules.integration import Integration
from app.rules.plan import Plan, Upsert
from app.rules.policy import OptInReading, find_believed

_LONGEST: Final = 120  # characters; what is longer is no label of a box
_PERSONAL: Final = re.compile(r"@|\d{7}")  # a wrongly named attribute may hold an address
HIDDEN: Final = "(another text)"


class Asked(NamedTuple):
    """The statuses that a contact's body asks for; None leaves a channel as it is."""

    email: str | None
    sms: str | None
    forced: bool


class Answered(NamedTuple):
    """What a person answered: under which attribute, in which words, and whether it is believed."""

    answer: str
    attribute: str | None
    label: str | None
    believed: bool


class Basis(NamedTuple):
    """What a decision rests on, and what follows from it for consent.

    `given_at` (unix seconds) is when the person answered; None where that is in doubt.
    """

    region: str
    region_by: str
    region_attribute: str | None
    region_value: str | None
    opt_in: Answered
    sms_opt_in: Answered
    email_status: str | None
    sms_status: str | None
    forced: bool
    campaign: str | None
    given_at: float | None

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as the ledger keeps it and the API shows it."""
        return {
            **self._asdict(),
            "opt_in": self.opt_in._asdict(),
            "sms_opt_in": self.sms_opt_in._asdict(),
        }


def basis_of(
    made: Plan,
    submission: Submission,
    integration: Integration,
    body: Mapping[str, JsonValue] | None = None,
) -> Basis:
    """Return what is kept of a plan.

    Args:
        made: the plan.
        submission: what it was made of.
        integration: the integration it was made by.
        body: what was sent in the end, if that is less than planned.
    """
    region, opt_in, sms_opt_in, *_ = made.evidence
    planned = made.body if isinstance(made, Upsert) else {}
    asked = asked_of(planned if body is None else body, integration)
    given = opt_in.given_from if opt_in.given_from == opt_in.given_until else None
    return Basis(
        region.region.value,
        region.decided_by,
        region.attribute,
        _label(region.value),
        _answered(opt_in),
        _answered(sms_opt_in),
        *asked,
        _campaign(submission, integration),
        given,
    )


def asked_of(body: Mapping[str, JsonValue], integration: Integration) -> Asked:
    """Return the statuses that a body asks for."""
    channels = body.get("channels")
    channels = channels if isinstance(channels, dict) else {}
    email = next(_statuses(channels.get(integration.cordial.email_channel)), None)
    sms = next(_statuses(channels.get(integration.sms.channel)), None)
    return Asked(email, sms, bool(body.get("forceSubscribe")))


def _statuses(channel: JsonValue) -> Iterator[str]:
    """Yield the statuses that a channel asks for, its own or its programs'."""
    if isinstance(channel, dict):
        if isinstance(asked := channel.get("subscribeStatus"), str):
            yield asked
        programs = channel.get("programs")
        for each in programs.values() if isinstance(programs, dict) else ():
            yield from _statuses(each)


def _answered(reading: OptInReading) -> Answered:
    return Answered(reading.answer.value, reading.attribute, _label(reading.value), reading.trusted)


def _campaign(submission: Submission, integration: Integration) -> str | None:
    source = integration.jebbit
    for name in (source.attributes.campaign_name, source.attributes.campaign_id):
        if found := find_believed(submission, name, source):
            return _label(found.value)
    return None


def _label(value: JsonValue) -> str | None:
    """Return a value as text that may be kept; what may be personal is not."""
    if value is None:
        return None
    text = str(value)
    return HIDDEN if len(text) > _LONGEST or _PERSONAL.search(text) else text
