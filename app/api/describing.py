"""The API's own description: what FastAPI cannot know of it is completed here, once."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api.problems import ProblemDocument, documented
from app.api.requests import HEADER

_HEADERS: Mapping[str, Mapping[str, Any]] = {
    HEADER: {
        "description": "The request's id, as its log lines have it: the caller's, or one of ours.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The version of the configuration, for If-Match.",
        "schema": {"type": "string", "examples": ['"7"']},
    },
    "Retry-After": {
        "description": "Seconds to wait.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "How to say who you are.",
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
}
_WITH_RETRY_AFTER = ("429", "503")


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation in a client: `createIntegration`."""
    first, *others = route.name.split("_")
    return first + "".join(each.capitalize() for each in others)


def describe(app: FastAPI) -> None:
    """Complete the description of the routes: problems, examples, headers, who may call."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        schema = described()  # kept by FastAPI, and so completed once
        _describe_problems(schema)
        examples = json.loads(files("app.api").joinpath("examples.json").read_text("utf-8"))
        for operation in _operations(schema):
            operation.setdefault("security", [])
            _add_headers(operation)
            _add_example(operation, examples, schema["components"]["schemas"])
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in schema["paths"].values():
        yield from path.values()


def _add_headers(operation: Mapping[str, Any]) -> None:
    for status, response in operation["responses"].items():
        names = [HEADER]
        if status in _WITH_RETRY_AFTER:
            names.append("Retry-After")
        if status == "401" and operation["security"]:
            names.append("WWW-Authenticate")
        shown = response.get("content", {}).get("application/json", {}).get("schema", {})
        if shown.get("$ref", "").endswith("/IntegrationView"):
            names.append("ETag")
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _add_example(
    operation: Mapping[str, Any], examples: Mapping[str, Any], schemas: Mapping[str, Any]
) -> None:
    """Show what the operation really answered once; else, what its fields' own examples make."""
    for status, response in operation["responses"].items():
        if not status.startswith("2"):
            continue
        for content in response.get("content", {}).values():
            if "example" not in content:
                made = _made_of(content["schema"], schemas)
                content["example"] = _completed(examples.get(operation["operationId"], made), made)


def _completed(recorded: Any, made: Any) -> Any:
    """Return what was recorded, with what answers have got since."""
    if isinstance(recorded, dict) and isinstance(made, dict):
        kept = {name: _completed(each, made.get(name)) for name, each in recorded.items()}
        return {**{name: made[name] for name in made if name not in kept}, **kept}
    if isinstance(recorded, list) and isinstance(made, list) and made:
        return [_completed(each, made[0]) for each in recorded]
    return recorded


def _made_of(described: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return a value of a schema, from the examples in it."""
    if "$ref" in described:
        return _made_of(schemas[described["$ref"].rpartition("/")[2]], schemas)
    for key in ("examples", "enum", "anyOf"):
        if key in described:
            first = described[key][0]
            return _made_of(first, schemas) if key == "anyOf" else first
    if "const" in described or "default" in described:
        return described.get("const", described.get("default"))
    if described.get("type") == "object":
        fields = described.get("properties", {})
        return {name: _made_of(each, schemas) for name, each in fields.items()}
    if described.get("type") == "array":
        return [_made_of(described["items"], schemas)]
    if described.get("format") == "date-time":
        return "2026-11-24T00:09:02+00:00"
    return _OF_TYPE.get(described.get("type", ""))


_OF_TYPE = {"string": "text", "integer": 1, "number": 1.0, "boolean": False}


def _describe_problems(schema: dict[str, Any]) -> None:
    """Say what `problems` does: every error is a problem document."""
    schemas = schema["components"]["schemas"]
    schema["components"]["headers"] = {name: dict(each) for name, each in _HEADERS.items()}
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["ProblemDocument"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for operation in _operations(schema):
        responses = operation["responses"]
        if "application/json" in responses.get("422", {}).get("content", {}):
            del responses["422"]
            responses.update(_invalid(operation))
        if "requestBody" in operation:  # FastAPI's answer to a body that is no text
            responses.setdefault("400", documented(HTTPStatus.BAD_REQUEST)[400])


def _invalid(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry for 422 that replaces FastAPI's, if an operation has none of its own.

    An id in the path is never invalid; it may be unknown.
    """
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    flag = next((each["name"] for each in operation["parameters"] if each["in"] == "query"), None)
    if flag is None and "requestBody" not in operation:
        return {}
    details = {status: f"{flag}: Input should be a valid boolean"} if flag else {}
    return {"422": documented(status, details=details)[422]}
