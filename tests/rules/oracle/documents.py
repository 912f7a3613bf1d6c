"""JSON as it is written, with keys that come twice."""

import json
from typing import Any


class JsonObject(list[tuple[str, Any]]):
    """A JSON object as it is written: with keys that come twice."""


def load(text: str | bytes) -> Any:
    """Read JSON; each object becomes its `JsonObject`."""
    return json.loads(text, object_pairs_hook=JsonObject)
