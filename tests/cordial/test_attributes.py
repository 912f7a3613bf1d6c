"""What an account tells of its attributes."""

import json
from typing import Any

from app.cordial.attributes import read_attributes
from app.rules.limits import Limit
from tests.table import table


@table(
    ("kind", "validators", "limit"),
    [
        ("string", {"max": 5}, Limit(characters=5)),
        ("string", {"max": "5"}, Limit(characters=5)),
        ("string", {"max": 1}, Limit(characters=1)),
        *(("string", {"max": none}, Limit()) for none in (0, -1, 0.5, None, "")),
        ("array", {"max": 5, "maxitems": 2}, Limit(characters=5, items=2)),
        ("array", {"max": 0, "maxitems": 2}, Limit(items=2)),
        ("array", {"max": 5, "maxitems": 0}, Limit(characters=5)),
        *(("number", {"max": most}, Limit(number=most)) for most in (5, 0, -1)),
        *(("date", {"max": 5}, Limit()), ("geo", {"max": 5}, Limit())),
    ],
)
def test_what_an_attribute_takes_at_most(kind: str, validators: Any, limit: Limit) -> None:
    """A text of no character, an array of no item: no maximum, or all would be cut away."""
    entry = {"key": "a", "type": kind, "validators": validators}
    [attribute] = read_attributes(json.dumps([entry]).encode())
    assert attribute.limit == limit
