"""Text is compared in its compatible form, and none of it takes longer than it is worth."""

import unicodedata

import pytest

from app.jebbit.folding import compatible, fold


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "ﬁ ①",
        "e\u0301",
        "a\u0323\u0307",
        "a\u0307\u0323",
        "\ufdfa",
        "ệ" * 100,
        "한국어",
    ],
)
def test_what_people_write_is_in_its_compatible_form(text: str) -> None:
    """As Unicode has it."""
    assert compatible(text) == unicodedata.normalize("NFKC", text)


def test_marks_that_no_script_needs_are_left_out() -> None:
    """Thirty on a letter stay, so that what follows them is compared as ever."""
    marks = "\u0301\u0327" * 10_000
    assert len(compatible("x" + marks + "y")) == 32
    assert fold("x" + marks + " Y").endswith("_y")
