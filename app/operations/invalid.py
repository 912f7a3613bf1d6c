"""What the caller asks for cannot be meant: the places that are wrong."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError


class WrongPlace(NamedTuple):
    """One thing that is wrong: where (dotted; blank for the whole) and what."""

    place: str
    detail: str


class Invalid(Exception):
    """The caller must correct the request; `places` says where. It holds no value of a secret."""

    def __init__(self, places: Sequence[WrongPlace]) -> None:
        super().__init__("; ".join(f"{each.place or 'body'}: {each.detail}" for each in places))
        self.places = places


def invalid_at(place: str, detail: str) -> Invalid:
    """Return the error of a single place."""
    return Invalid([WrongPlace(place, detail)])


def invalid_by(error: ValidationError) -> Invalid:
    """Return pydantic's findings as ours, without the values."""
    return Invalid(
        [
            WrongPlace(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
            for each in error.errors(include_input=False)
        ]
    )
