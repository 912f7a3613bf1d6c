"""Why a write is refused. All three end in 422, and nothing is written."""

from typing import TypeAlias

Errors: TypeAlias = dict[str, list[str]]


class InvalidContact(Exception):
    """422 with `messages.validationErrors`: fields the account does not know or accept."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors)
        self.errors = errors


class ContactRefused(Exception):
    """422 with GENERIC_ERROR_KEY: the request as a whole cannot be done."""


class WrongValue(Exception):
    """One field's complaint; the reader of the write gathers all of them."""
