"""How names and words are compared: what looks the same is the same."""

import pytest

from app.jebbit import folding
from app.jebbit.folding import compatible, fold, fold_label, letters_of, unescape
from tests.table import table


@table(
    "name",
    [
        *("opt_in", "Opt In", "OPT-IN", "opt  in", "opt__in", " opt_in ", "_opt_in_"),
        *(
            "Opt\u00a0In",
            "Opt\u2003In",
            "Opt\u200b In",
            "\ufeffopt_in",
            "Opt\u2013In",
            "Opt\u2212In",
        ),
        *(
            "\uff2fpt\u3000\uff29n",
            "opt\u00ad_in",
            "opt\u2800in",
            "opt\u3164in",
            "opt_i\u200dn",
            "opt_in\u034f",
            "opt\U000e0041_in",
            "o\u2063pt_in",
            "o\0pt in",
            "opt\tin",
            "opt\u0600_in",
        ),
    ],
)
def test_spellings_of_one_name(name: str) -> None:
    """Case, every kind of space and dash, and what shows nothing make no difference."""
    assert fold(name) == "opt_in"


@pytest.mark.parametrize("name", ["optin", "opt.in", "opt_in2", "\u043ept_in", "opt/in", ""])
def test_other_names_stay_others(name: str) -> None:
    """A name that looks different, or has a letter of another script, is another."""
    assert fold(name) != "opt_in"


@pytest.mark.parametrize(
    "label",
    [
        *("I don't want news & more", "i DON\u2019T  want\u00a0news &amp; more"),
        *("I don\u02bct want news &#38; more ", "I don&#x27;t want news &amp; more\ufe0f"),
    ],
)
def test_spellings_of_one_label(label: str) -> None:
    """Quotes, entities, case and spaces of a label make no difference."""
    assert fold_label(label) == "i don't want news & more"


def test_dashes_and_spaces_stay_apart_in_labels() -> None:
    """A label is a text that a person reads."""
    assert fold_label("Sign\u2013up  now") == "sign-up now"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *(
            ("a &amp; b", "a & b"),
            ("&lt;3", "<3"),
            ("&#x2713;", "\u2713"),
            ("&nosuch;", "&nosuch;"),
        ),
        *(("AT&T", "AT&T"), ("a&copy=1", "a&copy=1"), ("&" * 9, "&" * 9)),
    ],
)
def test_whole_entities_are_decoded(text: str, plain: str) -> None:
    """`&amp;` is `&`; what only begins like an entity stays."""
    assert unescape(text) == plain


def test_what_shows_nothing_does_not_come_between_a_letter_and_its_mark() -> None:
    """The first and the last of each range of such characters."""
    for first, last in (
        *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F)),
        *((0xFEFF, 0xFEFF), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
        (0xE0000, 0xE0FFF),
    ):
        for hidden in (first, last):
            assert fold(f"cafe{chr(hidden)}\u0301") == "caf\u00e9", hex(hidden)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *(
            ("\u2018a\u2019", "'a'"),
            ("`a\u00b4", "'a'"),
            ("`a`", "'a'"),
            ("X\u00e9", "x\u00e9"),
            ("\u201ca\u201d", '"a"'),
            ("\u00aba\u00bb", '"a"'),
        ),
        *(("a\u2212b", "a-b"), ("a\u2043b", "a-b"), ("a\u2800b", "a b"), ("A\tB", "a b")),
    ],
)
def test_what_looks_like_ascii_is_ascii(text: str, plain: str) -> None:
    """Quotes, a minus and a blank letter."""
    assert fold_label(text) == plain


def test_letters_and_digits_of_a_name_are_told_alone() -> None:
    """However it joins its words."""
    assert [letters_of(each) for each in ("Opt In 2", "opt.in-2", "?")] == ["optin2", "optin2", ""]
    assert [letters_of(each) for each in ("OptIn2", "Stra\u00dfe")] == ["optin2", "strasse"]


def test_a_letter_keeps_as_many_marks_as_writing_needs() -> None:
    """Thirty; a text may begin with marks, and each letter has its own."""
    mark = "\u0316"
    for letter in ("", "x"):
        for many, kept in ((29, 29), (30, 30), (31, 30), (99, 30)):
            assert compatible(letter + mark * many) == letter + mark * kept
    assert compatible(f"x{mark * 30}y{mark * 30}") == f"x{mark * 30}y{mark * 30}"


@table(
    ("text", "plain"),
    [
        *(("&#9;", "\t"), ("&#0000065;", "A"), ("&#00000065;", "&#00000065;"), ("&#;", "&#;")),
        *(("&#xA;", "\n"), ("&#X00004a;", "J"), ("&#x000004A;", "&#x000004A;"), ("&#9", "&#9")),
        *(("&#x3f;", "?"), ("&Auml;", "\u00c4"), ("&frac12;", "\u00bd"), ("&nGg;", "\u22d9\u0338")),
        *(("&#x5F;", "_"), ("&CounterClockwiseContourIntegral;", "\u2233")),
    ],
)
def test_every_form_of_an_entity(text: str, plain: str) -> None:
    """With as many digits as a character's number can have."""
    assert unescape(text) == plain


@pytest.mark.parametrize(
    ("compared", "kept"), [(fold, folding._known_name), (fold_label, folding._known_label)]
)
def test_only_short_texts_are_remembered(compared, kept) -> None:
    """A long one is a person's, comes once and would fill the memory."""
    kept.cache_clear()
    for _ in range(2):
        compared("a" * 65)
    assert kept.cache_info().currsize == 0
    for _ in range(2):
        compared("a" * 64)
    assert (kept.cache_info().currsize, kept.cache_info().hits) == (1, 1)
