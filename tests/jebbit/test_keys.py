"""What follows from the keys of a submission."""

import pytest

from app.jebbit import keys as subject
from app.jebbit.keys import Keys, is_alike, is_of_opting, keys_of, speaks_of_opting, speaks_of_page
from tests.table import table


def of(*keys: str) -> Keys:
    return keys_of(keys)


@table(
    ("key", "assigns"),
    [
        *(
            (f"a{sign}b", True)
            for sign in ("=", "%", "\\", "\uff1d", "\ufe66", "&#61;", "&equals;")
        ),
        *(
            (key, False)
            for key in ("a", "a&b", "a:b", "a?b", "&equal", "a&amp;b", "u", "x", "ff1d")
        ),
    ],
)
def test_keys_that_may_hold_a_name_and_its_value(key: str, assigns: bool) -> None:
    """By an equals sign, however encoded."""
    assert of(key, "z").assigning == ([key] if assigns else [])


@table(
    ("key", "speaks"),
    [
        *(
            ("page_url", True),
            ("URI", True),
            ("Href", True),
            ("deep link", True),
            ("my-page", True),
        ),
        *(("url_params", True), ("query", True), ("referer", True), ("HTTP Referrer", True)),
        *(("location", True), ("opt_in", False), ("city", False), ("", False)),
    ],
)
def test_keys_under_which_the_pages_address_stands(key: str, speaks: bool) -> None:
    """Jebbit's own, and those like it; the others are the rest."""
    assert speaks_of_page(key) is speaks
    found = of("a", key, "b")
    assert (found.of_page, found.others) == (
        ([key], ["a", "b"]) if speaks else ([], ["a", key, "b"])
    )


def test_keys_are_found_by_their_names_in_the_order_sent() -> None:
    """And in the order of the alphabet, for what is to be written alike."""
    found = of("Opt In", "b", "opt_in", "a")
    assert found.find("opt-in") == ["Opt In", "opt_in"]
    assert found.find("opt-in") is found.find("opt-in"), "looked for once"
    assert [*found.find("c")] == []
    assert found.in_order == ["Opt In", "a", "b", "opt_in"]


def test_keys_alike_have_the_letters_of_a_name_and_are_no_spelling_of_it() -> None:
    """A name without letters is like no other."""
    found = of("optIn", "opt_in", "opt.in", "?", "!", "option")
    assert found.alike("opt_in") == ["optIn", "opt.in"]
    assert found.alike("opt_in") is found.alike("opt_in"), "looked for once"
    assert found.alike("?") == []
    assert [is_alike("?", "!"), is_alike("XX", "xx"), is_alike("a", "b")] == [False, True, False]
    assert found.like_any(("optin", "option")) == ["optIn", "opt_in", "opt.in", "option"]
    names = ("optin", "option")
    assert found.like_any(names) is found.like_any(names), "looked for once"
    assert found.like_any(()) == []


def test_keys_that_speak_of_opting() -> None:
    """In or out, of whatever; but for those that are known."""
    speaking = ("optIn", "opted-out", "opt_out_2", "Unsubscribe", "subscribed", "smsOptedIn")
    assert all(map(speaks_of_opting, speaking))
    assert not any(map(speaks_of_opting, ("option", "optimal", "opt", "in", "out", "scribe")))
    found = of(*speaking, "city")
    known = ("opt_in", "sms_opted_in")
    assert found.opting(known) == ["opted-out", "opt_out_2", "Unsubscribe", "subscribed"]
    assert found.opting(known) is found.opting(known), "looked for once"
    assert is_of_opting("optIn", ())
    assert not is_of_opting("optIn", ("city", "opt_in"))


def test_what_was_looked_for_makes_no_difference() -> None:
    """Keys are equal by what they are."""
    one, other = subject._keys_of(("a",)), subject._keys_of(("a",))
    for names in (("a",), ("b",)):
        one.find(names[0]), one.alike(names[0]), one.like_any(names), one.opting(names)
    assert one == other


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        (tuple(map(str, range(200))), True),
        (tuple(map(str, range(201))), False),
        (("x" * 12_800,), True),
        (("x" * 12_801,), False),
        (("x" * 6_400, "y" * 6_401), False),
    ],
)
def test_only_keys_that_are_few_and_short_are_remembered(keys: tuple[str, ...], kept: bool) -> None:
    """Others would fill the memory."""
    subject._known.cache_clear()
    assert keys_of(keys).in_order == sorted(keys)
    assert subject._known.cache_info().currsize == kept
