"""Short ways to read the addresses that most people have.

email-validator and phonenumbers take twenty times as long for the same answer; docs/performance.md
says what that is worth. Each function answers only where it is sure to say what the library says,
else None: then the library is asked. Tests hold them against each other.
"""

import re
from collections.abc import Sequence
from typing import Final

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

_LONGEST_LABEL: Final = 63  # of a domain: an address no longer than one has none too long
_EMAIL: Final = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}"
)
# Under .test a team may rehearse; it is left to email-validator, as the others are.
_SPECIAL: Final = frozenset(SPECIAL_USE_DOMAIN_NAMES)

# Ten digits of the North American plan, possible wherever they do not start with one of the plan's
# prefixes.
_NORTH_AMERICAN: Final = re.compile(
    r"(?:\+?1[-. ]?)?\(?([2-9][0-9]{2})(?:\) ?|[-. ])?([0-9]{3})[-. ]?([0-9]{4})"
)
_NORTH_AMERICA: Final = frozenset(COUNTRY_CODE_TO_REGION_CODE[1])


def usual_email(text: str) -> str | None:
    """Return an address of the usual form, trimmed and lower-cased."""
    address = text.strip().lower()
    usual = len(address) <= _LONGEST_LABEL and _EMAIL.fullmatch(address)
    return address if usual and address.rpartition(".")[2] not in _SPECIAL else None


def usual_phone(text: str, regions: Sequence[str]) -> str | None:
    """Return a North American number in E.164.

    `regions` are those whose national form it may have (ISO 3166 alpha-2).
    """
    match = _NORTH_AMERICAN.fullmatch(text)
    if match and (text.startswith("+") or _NORTH_AMERICA.issuperset(regions)):
        return "+1" + "".join(match.groups())
    return None
