"""Tokens say who calls; what they are made of is checked at the start."""

import pytest

from app.operations.callers import Role, Token, Tokens, read_tokens

MARIA = "maria:viewer:a-token-of-maria-0123456789"
SCRAPER = "prometheus:metrics:a-token-of-the-scraper-01"


def test_tokens_are_read_with_names_and_roles():
    """In any number, with spaces around commas; none is none."""
    assert read_tokens("") == []
    assert read_tokens(f" {MARIA} , {SCRAPER},") == [
        Token("maria", Role.VIEWER, "a-token-of-maria-0123456789"),
        Token("prometheus", Role.METRICS, "a-token-of-the-scraper-01"),
    ]


def test_a_token_may_hold_colons():
    """Only the first two part name, role and token."""
    assert read_tokens("m:admin:a:b:c-0123456789abc")[0].secret == "a:b:c-0123456789abc"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("maria", "write name:role:token"),
        ("maria:viewer", "write name:role:token"),
        ("maria:viewer:", "write name:role:token"),
        (":viewer:a-token-of-maria-0123456789", "write name:role:token"),
        ("Maria Smith:viewer:a-token-of-maria-0123456789", "write name:role:token"),
        ("maria:owner:a-token-of-maria-0123456789", "the role of maria must be one of admin, "),
        ("ops:viewer:a-token-of-maria-0123456789", "the name ops is that of OPS_TOKEN"),
        (f"{MARIA},maria:admin:another-token-0123456789", "several tokens are named maria"),
        (f"{MARIA},ben:admin:a-token-of-maria-0123456789", "two names have the same token"),
    ],
)
def test_what_is_wrong_is_told_without_the_token(text, told):
    """A start that is refused goes to a log."""
    with pytest.raises(ValueError, match=told) as refused:
        read_tokens(text)
    assert "0123456789" not in str(refused.value)


def test_a_token_is_found_whole_or_not_at_all():
    """Whatever bytes are given."""
    tokens = Tokens(read_tokens(f"{MARIA},{SCRAPER}"))
    found = tokens.find("a-token-of-maria-0123456789")
    assert found is not None
    assert (found.name, found.role) == ("maria", Role.VIEWER)
    for wrong in ("", "a-token-of-maria-012345678", "a-token-of-maria-01234567890", "é", "\ud800"):
        assert tokens.find(wrong) is None
    assert "a-token" not in repr(found)
