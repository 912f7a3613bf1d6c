"""Whom an integration sends and subscribes, answer by answer: its policy as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.rules.integration import Integration
from app.rules.policy import (
    OptInReading,
    Region,
    RegionReading,
    Status,
    email_status,
    refuse_opt_in,
    refuse_region,
    terms,
)
from app.rules.values import Answer

REGIONS: Final = (Region.NON_EU, Region.EU, Region.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Treated:
    """What becomes of a person with an email address: sent or not, and the status asked."""

    sent: bool
    status: Status | None


def treated(integration: Integration) -> Mapping[tuple[Region, Answer], Treated]:
    """Return what becomes of a person by region and answer, by the rules that deliveries ask.

    It is that of somebody whose country is known and has no law of its own on silence, and who said
    no to nothing before.
    """
    policy = integration.policy
    found = {}
    for region in REGIONS:
        held = terms(policy, region)
        for answer in Answer:
            refused = refuse_region(policy, region) or refuse_opt_in(held.opt_in, answer)
            said = OptInReading(answer, integration.jebbit.attributes.opt_in)
            where = RegionReading(region, "country")
            status = None if refused else email_status(said, held, where, None)
            found[region, answer] = Treated(refused is None, status)
    return found
