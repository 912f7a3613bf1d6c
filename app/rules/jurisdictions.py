"""Where a person is: the countries whose rules hold, and the names by which forms say them."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from phonenumbers import SUPPORTED_REGIONS

from app.rules.country_names import CODES_BY_NAME, plain_name

# The EU, the EEA and the UK, and the parts of the EU that have a country code of their own
# (Aland, French Guiana, Guadeloupe, Martinique, Mayotte, Reunion, Saint Martin).
EU_COUNTRIES: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK "
    "IS LI NO GB AX GF GP MQ YT RE MF".split()
)

# Elsewhere silence is no consent either: Canada (CASL), Switzerland (UWG), Brazil (LGPD), and
# Guernsey, Jersey, the Isle of Man and Gibraltar, whose laws follow the UK's.
EXPRESS_CONSENT_COUNTRIES: Final = frozenset("CA CH BR GG JE IM GI".split())

EUROPE: Final = "EU"  # what IP databases say where they know no more; counts as an EU country


@dataclass(frozen=True, slots=True)
class Jurisdictions:
    """Whose people which rules protect, as ISO 3166 alpha-2 codes."""

    eu_countries: Set[str] = EU_COUNTRIES
    express_consent_countries: Set[str] = EXPRESS_CONSENT_COUNTRIES

    def ask_for_a_yes(self, country: str | None) -> bool:
        """Whether silence is no consent in a country; one that is not understood may be such."""
        return (
            country is None
            or country == EUROPE
            or country in self.eu_countries
            or country in self.express_consent_countries
        )


DEFAULT_JURISDICTIONS: Final = Jurisdictions()

# Besides ISO 3166 alpha-2: codes that are in use for two of them, the second by the EU itself.
_OTHER_CODES: Final = {"UK": "GB", "EL": "GR"}
# Codes in use that have no telephone numbers of their own, which SUPPORTED_REGIONS leaves out.
_CODES = SUPPORTED_REGIONS | EU_COUNTRIES | frozenset("AQ BV GS HM PN TF UM".split()) | {EUROPE}


def country_code(folded: str) -> str | None:
    """Return the country that a folded text names, as ISO 3166 alpha-2 (or `EU`).

    None for what names no country: not even two letters are believed to be one that is none.
    """
    name = plain_name(folded)
    code = CODES_BY_NAME.get(name) or _OTHER_CODES.get(name, name)
    return code if code in _CODES else None
