"""The vendors' own descriptions of their APIs, to hold our requests against.

They are not ours to keep here: where they are not, nothing is compared.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

SPECS = Path(__file__).parents[2] / "shared" / "specs"
CORDIAL = SPECS / "cordial-v2.swagger.json"
JEBBIT = SPECS / "jebbit-v1.openapi.json"


@dataclass(frozen=True)
class Deviation:
    """What a description does not allow: the call (`POST /v2/contacts`), where in it, and why."""

    call: str
    place: tuple[str | int, ...]
    why: str


class Description:
    """One API as its vendor describes it, in Swagger 2 or OpenAPI 3.0."""

    def __init__(self, file: Path) -> None:
        """Read a description."""
        self._api = json.loads(file.read_text(encoding="utf-8"))
        self._validators: dict[str, jsonschema_rs.Draft4Validator] = {}
        self._paths = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path, calls)
            for path, calls in self._api["paths"].items()
        ]

    def deviations(
        self, method: str, path: str, query: dict[str, str], body: Any = None
    ) -> Iterator[Deviation]:
        """Yield what is not as described in a request; `body` is None where there is none."""
        described, called = self._call(method, path)
        call = f"{method} {path if described is None else called}"
        if described is None:
            yield Deviation(call, (), "is not described")
            return
        parameters = described.get("parameters", [])
        known = {each["name"]: each for each in parameters if each["in"] == "query"}
        for name in query.keys() - known.keys():
            yield Deviation(call, (name,), "is no parameter of this call")
        for name, each in known.items():
            if each.get("required") and name not in query:
                yield Deviation(call, (name,), "is required")
        schema = self._body(described)
        if schema is None:
            if body not in (None, {}):
                yield Deviation(call, (), "takes no body")
            return
        if call not in self._validators:
            self._validators[call] = jsonschema_rs.Draft4Validator(self._whole(schema))
        for error in self._validators[call].iter_errors(body):
            yield Deviation(call, tuple(error.instance_path), error.message)

    def _call(self, method: str, path: str) -> tuple[Any, str]:
        for pattern, template, calls in self._paths:
            if pattern.fullmatch(path) and method.lower() in calls:
                return calls[method.lower()], template
        return None, path

    def _body(self, described: Any) -> Any:
        for each in described.get("parameters", []):
            if each["in"] == "body":
                return each["schema"]
        content = described.get("requestBody", {}).get("content", {})
        return next((each["schema"] for each in content.values()), None)

    def _whole(self, schema: Any) -> Any:
        """Return a schema with all that it refers to; others of the file are no JSON Schema."""
        whole: dict[str, Any] = _as_json_schema(schema)
        wanted = [whole]
        while wanted:
            for path in re.findall(r'"#/([\w/.-]+)"', json.dumps(wanted.pop())):
                *folders, name = path.split("/")
                source, target = self._api, whole
                for folder in folders:
                    source, target = source[folder], target.setdefault(folder, {})
                if name not in target:
                    target[name] = _as_json_schema(source[name])
                    wanted.append(target[name])
        return whole


def _as_json_schema(node: Any) -> Any:
    """Return a schema as JSON Schema: without `required: []`, or a type in a schema's place."""
    if isinstance(node, list):
        return [_as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _properties(each) if key == "properties" else _as_json_schema(each)
        for key, each in node.items()
        if (key, each) != ("required", [])
    }


def _properties(named: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"type": each} if isinstance(each, str) else _as_json_schema(each)
        for name, each in named.items()
    }
