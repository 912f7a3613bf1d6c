"""Where a person is: the countries whose rules hold, and the names by which forms say them."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from phonenumbers import SUPPORTED_REGIONS

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

# Besides ISO 3166 alpha-2: codes that the EU itself uses for two members, and the names that a
# form's country box is likely to show.
_NAMES: Mapping[str, str] = {
    "UK": "GB",
    "EL": "GR",
    **{
        name: code
        for code, names in {
            "AT": ("AUT", "AUSTRIA"),
            "AX": ("ALA", "ALAND", "ALAND ISLANDS", "ÅLAND", "ÅLAND ISLANDS"),
            "BE": ("BEL", "BELGIUM"),
            "BG": ("BGR", "BULGARIA"),
            "CY": ("CYP", "CYPRUS"),
            "CZ": ("CZE", "CZECHIA", "CZECH REPUBLIC"),
            "DE": ("DEU", "GERMANY", "DEUTSCHLAND"),
            "DK": ("DNK", "DENMARK"),
            "EE": ("EST", "ESTONIA"),
            "ES": ("ESP", "SPAIN"),
            "FI": ("FIN", "FINLAND"),
            "FR": ("FRA", "FRANCE"),
            "GB": (
                *("GBR", "UNITED KINGDOM", "GREAT BRITAIN"),
                *("ENGLAND", "SCOTLAND", "WALES", "NORTHERN IRELAND"),
            ),
            "GF": ("GUF", "FRENCH GUIANA"),
            "GP": ("GLP", "GUADELOUPE"),
            "GR": ("GRC", "GREECE"),
            "HR": ("HRV", "CROATIA"),
            "HU": ("HUN", "HUNGARY"),
            "IE": ("IRL", "IRELAND"),
            "IS": ("ISL", "ICELAND"),
            "IT": ("ITA", "ITALY"),
            "LI": ("LIE", "LIECHTENSTEIN"),
            "LT": ("LTU", "LITHUANIA"),
            "LU": ("LUX", "LUXEMBOURG"),
            "LV": ("LVA", "LATVIA"),
            "MF": ("MAF", "SAINT MARTIN"),
            "MQ": ("MTQ", "MARTINIQUE"),
            "MT": ("MLT", "MALTA"),
            "NL": ("NLD", "NETHERLANDS", "THE NETHERLANDS"),
            "NO": ("NOR", "NORWAY"),
            "PL": ("POL", "POLAND"),
            "PT": ("PRT", "PORTUGAL"),
            "RE": ("REU", "REUNION", "RÉUNION"),
            "RO": ("ROU", "ROMANIA"),
            "SE": ("SWE", "SWEDEN"),
            "SI": ("SVN", "SLOVENIA"),
            "SK": ("SVK", "SLOVAKIA"),
            "YT": ("MYT", "MAYOTTE"),
            "BR": ("BRA", "BRAZIL", "BRASIL"),
            "CA": ("CAN", "CANADA"),
            "CH": ("CHE", "SWITZERLAND"),
            "GG": ("GGY", "GUERNSEY", "CHANNEL ISLANDS"),  # as one, they are Guernsey and Jersey
            "GI": ("GIB", "GIBRALTAR"),
            "IM": ("IMN", "ISLE OF MAN"),
            "JE": ("JEY", "JERSEY"),
            "AU": ("AUS", "AUSTRALIA"),
            "MX": ("MEX", "MEXICO"),
            "NZ": ("NZL", "NEW ZEALAND"),
            "US": ("USA", "UNITED STATES", "UNITED STATES OF AMERICA"),
        }.items()
        for name in names
    },
}
# Codes in use that have no telephone numbers of their own, which SUPPORTED_REGIONS leaves out.
_CODES = SUPPORTED_REGIONS | EU_COUNTRIES | frozenset("AQ BV GS HM PN TF UM".split()) | {EUROPE}


def country_code(folded: str) -> str | None:
    """Return the country that a folded text names, as ISO 3166 alpha-2 (or `EU`).

    None for what names no country: not even two letters are believed to be one that is none.
    """
    text = folded.upper()
    code = _NAMES.get(text, text)
    return code if code in _CODES else None
