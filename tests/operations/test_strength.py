"""A secret that anybody could guess protects nothing, and is not taken."""

import secrets
import string

import pytest

from app.operations.strength import PUBLISHED, weakness
from tests.table import table


@pytest.mark.parametrize("secret", sorted(PUBLISHED))
def test_what_was_printed_is_refused(secret):
    """In the README, /docs or by the demo."""
    assert "example" in str(weakness(secret))


@table(
    ("secret", "why"),
    [
        ("", "at least 16"),
        ("x7Kq9-mP2vL4wRz", "at least 16"),
        ("changeme-changeme", "example"),
        ("Please-Change-Me-Now", "example"),
        ("replace_me_in_production", "example"),
        ("your-secret-goes-here", "example"),
        ("YOUR_TOKEN_YOUR_TOKEN", "example"),
        ("a-placeholder-for-now", "example"),
        ("k" * 32, "easy to guess"),
        ("0000000000000001", "easy to guess"),
        ("abababababababab", "easy to guess"),
        ("passwordpassword", "easy to guess"),
        ("1234567890123456", "easy to guess"),
        ("0123456789abcdef", "easy to guess"),
        ("abcdefghijklmnop", "easy to guess"),
        ("zyxwvutsrqponmlkj", "easy to guess"),
        ("secretsecretsecretsecret", "easy to guess"),
    ],
)
def test_what_can_be_guessed_is_refused(secret, why):
    """Short, an example, few characters, a repetition or a row."""
    assert why in str(weakness(secret))


@pytest.mark.parametrize(
    "alphabet",
    [string.hexdigits[:16], string.ascii_lowercase, string.ascii_letters + "-_0123456789"],
)
def test_what_is_random_is_taken(alphabet):
    """Jebbit makes its secrets by itself: none of those may be refused by chance."""
    for _ in range(2000):
        secret = "".join(secrets.choice(alphabet) for _ in range(24))
        assert weakness(secret) is None, secret


@pytest.mark.parametrize(
    "secret",
    ["whsec-0123456789abcdef", "correct horse battery staple", "$super_secure_shared_secret!"],
)
def test_words_of_some_length_are_taken(secret):
    """People make such ones; we cannot tell them from better ones."""
    assert weakness(secret) is None
