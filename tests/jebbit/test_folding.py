"""How names and words are compared: what looks the same is the same."""

import pytest

from app.jebbit.folding import fold, fold_label, unescape


@pytest.mark.parametrize(
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
