"""Whose people which rules protect, country by country, from a table of our own.

Sources: ISO 3166-1, the EU's list of members, Annex II TFEU and the outermost regions of Article
349, the EEA agreement, and the laws named beside the code's own tables.
"""

from unicodedata import combining, normalize

import pytest

from app.jebbit.folding import fold_label
from app.rules.country_names import _NAMES, CODES_BY_NAME, plain_name
from app.rules.jurisdictions import _CODES, DEFAULT_JURISDICTIONS, Jurisdictions, country_code
from tests.table import table

EU = """
    AT AUT austria            | BE BEL belgium          | BG BGR bulgaria        | CY CYP cyprus
    CZ CZE czechia            | CZ "czech republic"     | DE DEU germany         | DE deutschland
    DK DNK denmark            | EE EST estonia          | ES ESP spain           | FI FIN finland
    FR FRA france             | GR GRC greece           | GR EL                  | HR HRV croatia
    HU HUN hungary            | IE IRL ireland          | IT ITA italy           | LT LTU lithuania
    LU LUX luxembourg         | LV LVA latvia           | MT MLT malta           | PL POL poland
    NL NLD netherlands        | NL "the netherlands"    | PT PRT portugal        | RO ROU romania
    SE SWE sweden             | SI SVN slovenia         | SK SVK slovakia
    AX ALA aland | AX åland | AX "aland islands" | AX "åland islands"
    GF GUF "french guiana"    | GP GLP guadeloupe       | MQ MTQ martinique      | YT MYT mayotte
    RE REU reunion            | RE réunion              | MF MAF "saint martin"
    IS ISL iceland            | LI LIE liechtenstein    | NO NOR norway
    GB GBR "united kingdom"   | GB UK                   | GB "great britain"     | GB england
    GB scotland               | GB wales                | GB "northern ireland"
"""
EXPRESS = """
    CA CAN canada             | CH CHE switzerland      | BR BRA brazil          | BR brasil
    GG GGY guernsey | GG "channel islands" | JE JEY jersey | IM IMN "isle of man"
    GI GIB gibraltar
"""
OTHERS = """
    US USA "united states"    | US "united states of america" | AU AUS australia | MX MEX mexico
    NZ NZL "new zealand"      | AQ                      | BV                     | GS
    HM                        | PN                      | TF                     | UM
    JP                        | IN
"""


OWN = """
    AT österreich oesterreich | BE belgië belgique belgien | BG българия
    CH schweiz suisse svizzera | CY κύπρος | CZ česko "česká republika" | DK danmark | EE eesti
    ES españa espana          | FI suomi               | GB cymru "royaume-uni" "u.k."
    GR ελλάδα                 | HR hrvatska            | HU magyarország        | IE éire
    IS ísland                 | IT italia              | LT lietuva             | LU luxemburg
    LV latvija                | NL nederland holland   | NO norge               | PL polska
    RO românia                | SE sverige             | SI slovenija           | SK slovensko
    DE allemagne alemania germania niemcy | FR frankreich francia | GB großbritannien
    MF "saint-martin"         | RE "la réunion"        | US "u.s.a." "estados unidos"
    IT włochy                 | AT østerrike
    IN india | JP japan       | CI "côte d'ivoire"     | BA "bosnia & herzegovina"
    GM "the gambia"           | MX méxico              | TR türkiye             | KR "south korea"
"""


def rows(table: str) -> list[tuple[str, str]]:
    """Return pairs of a code and a spelling of it."""
    pairs = []
    for row in table.replace("\n", "|").split("|"):
        plain, *quoted = row.split('"')
        code, *words = plain.split() or [""]
        pairs += [(code, each) for each in (code, *words, *quoted[::2]) if code]
    return pairs


def test_the_tables_are_read_whole():
    """27 members, 7 parts with a code of their own, 3 of the EEA, and the UK."""
    assert len({code for code, _ in rows(EU)}) == 27 + 7 + 3 + 1
    assert ("CZ", "czech republic") in rows(EU)


@table(("code", "spelled"), rows(EU))
def test_eu_rules_protect_people_of(code: str, spelled: str) -> None:
    """However a form spells the country."""
    assert country_code(spelled) == code
    assert code in DEFAULT_JURISDICTIONS.eu_countries


@table(("code", "spelled"), rows(EXPRESS))
def test_silence_is_no_consent_of_people_of(code: str, spelled: str) -> None:
    """They are outside the EU, and their law asks for an express yes."""
    assert country_code(spelled) == code
    assert code in DEFAULT_JURISDICTIONS.express_consent_countries
    assert code not in DEFAULT_JURISDICTIONS.eu_countries


@table(("code", "spelled"), rows(OTHERS))
def test_neither_rule_is_about_people_of(code: str, spelled: str) -> None:
    """Codes without telephone numbers of their own are countries all the same."""
    assert country_code(spelled) == code
    assert code not in DEFAULT_JURISDICTIONS.eu_countries
    assert code not in DEFAULT_JURISDICTIONS.express_consent_countries


@table(("code", "spelled"), rows(OWN))
def test_a_country_is_known_by_its_names_in_other_languages(code: str, spelled: str) -> None:
    """As a form in that language shows it, with marks and dots or without, however it is cased."""
    plain = "".join(each for each in normalize("NFD", spelled) if not combining(each))
    for text in (spelled, plain, spelled.upper()):
        assert country_code(fold_label(text)) == code


def test_no_name_is_of_two_countries_nor_a_code() -> None:
    """Which of them it meant would be chance."""
    assert {*CODES_BY_NAME.values()} <= _CODES
    assert all(len(name) > 2 and name == plain_name(name) for name in CODES_BY_NAME)
    assert len(CODES_BY_NAME) == sum(line.count(" | ") + 1 for line in _NAMES.strip().splitlines())


def test_no_other_country_is_protected_by_mistake():
    """What is in the code's tables is in these."""
    assert DEFAULT_JURISDICTIONS.eu_countries == {code for code, _ in rows(EU)}
    assert DEFAULT_JURISDICTIONS.express_consent_countries == {code for code, _ in rows(EXPRESS)}


def test_europe_as_a_whole_is_a_place():
    """What IP databases say where they know no more."""
    assert country_code("eu") == "EU"


@pytest.mark.parametrize("text", ["", "xx", "zz", "ap", "de fr", "elbonia", "q", "001", "uk gb"])
def test_what_names_no_country_is_none(text: str) -> None:
    """Not even two letters are believed to be a code that is none."""
    assert country_code(text) is None


@pytest.mark.parametrize(
    ("country", "asks"),
    [("DE", True), ("CA", True), ("EU", True), (None, True), ("US", False), ("JP", False)],
)
def test_where_silence_is_no_consent(country: str | None, asks: bool) -> None:
    """In a country that is not understood neither: it may be one of those."""
    assert DEFAULT_JURISDICTIONS.ask_for_a_yes(country) is asks


def test_the_countries_can_be_chosen() -> None:
    """`EU` and what is not understood stay doubtful, whichever they are."""
    own = Jurisdictions({"JP"}, {"AU"})
    countries = ("JP", "AU", "EU", None, "DE", "CA")
    assert [own.ask_for_a_yes(each) for each in countries] == [True] * 4 + [False] * 2
