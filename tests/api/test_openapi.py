"""The API describes itself: what /docs says is what it does."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import hypothesis
import jsonschema_rs
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st

from app.api.integrations import EXAMPLE
from app.main import create_app
from app.settings import Settings
from tests.conftest import OPS_TOKEN
from tests.thorough import thorough

METHODS = {"get", "post", "put", "patch", "delete"}
OPEN = {"/healthz", "/readyz", "/webhooks/jebbit/{integration_id}"}


@pytest.fixture
def schema(shared) -> dict[str, Any]:
    return dict(shared.anyone.get("/openapi.json").json())


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, each in schema["paths"].items():
        for method, operation in each.items():
            assert method in METHODS
            yield method, path, operation


def test_every_operation_can_be_acted_on(schema):
    """A summary, a description for the person on call, and a described group to find it under."""
    known = list(operations(schema))
    groups = {each["name"] for each in schema["tags"] if each["description"]}
    assert groups == {tag for _, _, operation in known for tag in operation["tags"]}
    assert len(known) >= 17
    summaries = [operation["summary"] for _, _, operation in known]
    assert len(set(summaries)) == len(summaries)
    for method, path, operation in known:
        where = f"{method} {path}"
        assert 5 < len(operation["summary"]) < 60, where
        assert len(operation.get("description", "")) > 40, where
        assert len(operation["tags"]) == 1, where


def test_every_protected_operation_says_so(schema):
    """/docs shows the lock and its Authorize button, and the 401 is described."""
    assert schema["components"]["securitySchemes"]["OPS_TOKEN"]["scheme"] == "bearer"
    for _, path, operation in operations(schema):
        assert operation["security"] == ([] if path in OPEN else [{"OPS_TOKEN": []}])
        assert ("401" in operation["responses"]) == (path not in OPEN or "webhooks" in path)


def test_every_problem_is_described_as_one(schema):
    """4xx and 5xx are problem documents, in the description as on the wire."""
    for method, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            if status[0] in "45":
                content = response["content"]
                assert list(content) == ["application/problem+json"], (method, path, status)
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_every_problem_has_an_example_that_says_what_to_do(schema):
    """Of its own status, and in more words than the status has."""
    for method, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            if status[0] in "45":
                where = f"{method} {path} {status}"
                example = response["content"]["application/problem+json"]["example"]
                assert str(example["status"]) == status, where
                assert path in OPEN or len(example["detail"]) > len(example["title"]), where
                for each in example.get("errors", ()):
                    assert example["detail"] == f"{each['place']}: {each['detail']}", where


def test_every_answer_has_a_real_example(schema):
    """What somebody who tries it will see; the next test validates it."""
    for method, path, operation in operations(schema):
        for status, response in operation["responses"].items():
            if status.startswith("2") and status != "204":
                [content] = response["content"].values()
                assert content.get("example"), f"{method} {path}"


def test_every_time_is_described_as_one(schema):
    """A client's `received_at` is a date, not a text."""
    for name, described in schema["components"]["schemas"].items():
        for key, each in described.get("properties", {}).items():
            if (key.endswith("_at") and key != "look_at") or key in (
                "at",
                "since",
                "until",
                "last_seen",
            ):
                if name in ("SubmissionFilter", "AttributeNames"):  # spans; names of attributes
                    continue
                assert '"format": "date-time"' in json.dumps(each), f"{name}.{key}"


def test_operations_are_named_as_a_client_calls_them(schema):
    """By what they do, in the language's own words: `createIntegration`."""
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch("[a-z]+([A-Z][a-z0-9]*)*", name), name
    assert {"createIntegration", "listSubmissions", "getSubmission"} <= set(names)


def test_headers_of_answers_are_described_as_they_are(shared, schema, quiz):
    """Each that a caller can use: the request's id, the version, how long to wait."""
    answer = shared.client.get(f"/integrations/{quiz}")
    told = schema["paths"]["/integrations/{integration_id}"]["get"]["responses"]
    assert {each.lower() for each in told["200"]["headers"]} == {"x-request-id", "etag"}
    assert all(each in answer.headers for each in told["200"]["headers"])
    assert "Retry-After" in told["503"]["headers"]
    stranger = shared.anyone.get(f"/integrations/{quiz}")
    assert all(each in stranger.headers for each in told["401"]["headers"])
    assert schema["servers"] == [{"url": "/", "description": "This service"}]
    assert schema["info"]["contact"]


def test_every_reference_leads_somewhere(schema):
    """No schema is named that is not there."""
    named = set(re.findall(r"#/components/schemas/([^\"']+)", str(schema)))
    assert named <= schema["components"]["schemas"].keys()


def examples(node: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each schema with each example given for it, on any level."""
    if isinstance(node, list):
        for each in node:
            yield from examples(each)
    if not isinstance(node, dict):
        return
    inner = node.get("schema", {})
    if isinstance(inner, dict):
        if "example" in node:
            yield inner, node["example"]
        named = node.get("examples")
        if isinstance(named, dict):
            yield from ((inner, each["value"]) for each in named.values() if "value" in each)
    if isinstance(node.get("examples"), list):
        yield from ((node, each) for each in node["examples"])
    for each in node.values():
        yield from examples(each)


def test_every_example_is_valid(schema):
    """What is offered can be sent; PATCH is described as any object, so its example is tried."""
    found = list(examples(schema))
    assert len(found) >= 6
    for described, example in found:
        whole = {**described, "components": schema["components"]}
        jsonschema_rs.Draft202012Validator(whole).validate(example)


def test_every_example_of_a_body_is_taken(shared, schema):
    """Sent as they stand, none is refused as invalid."""
    assert shared.client.post("/integrations", json=EXAMPLE).status_code == 201
    try:
        for method, path, operation in operations(schema):
            content = (
                operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            )
            given = [each for each in content.get("examples", {}).values() if "value" in each]
            for example in given:
                address = path.replace("{integration_id}", "spring-quiz")
                answer = shared.client.request(method, address, json=example["value"])
                assert answer.status_code in (200, 201, 202, 204, 409, 502), answer.text
    finally:
        shared.client.delete("/integrations/spring-quiz?force=true")


def test_every_body_has_an_example(schema):
    """Nobody on call writes JSON from a schema."""
    for method, path, operation in operations(schema):
        if "requestBody" in operation:
            [content] = operation["requestBody"]["content"].values()
            described = content["schema"]
            if "$ref" in described:
                described = schema["components"]["schemas"][described["$ref"].rpartition("/")[2]]
            fields = described.get("properties", {}).values()
            by_field = any("example" in each or "examples" in each for each in fields)
            assert by_field or "example" in content or "examples" in content, f"{method} {path}"


def prefilled(parameter: dict[str, Any]) -> str | None:
    """Return what /docs puts into the box of a parameter; of a schema's examples it does not."""
    return next((each["value"] for each in parameter.get("examples", {}).values()), None)


def prefilled_body(schema: dict[str, Any], operation: dict[str, Any]) -> Any:
    """Return the body that /docs offers: an example of its own, or one of each of its fields."""
    if "requestBody" not in operation:
        return None
    content = operation["requestBody"]["content"]["application/json"]
    if "examples" in content:
        return prefilled(content)
    described = schema["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    return {name: each["examples"][0] for name, each in described["properties"].items()}


def test_an_operation_tried_out_as_it_stands_is_answered_as_described(shared, schema):
    """Every box that must be filled is; nothing is refused for its form."""
    shared.create_integration(name="Spring quiz")
    try:
        for method, path, operation in operations(schema):
            where = f"{method} {path}"
            needed = [each for each in operation.get("parameters", ()) if each.get("required")]
            if path in OPEN or method == "delete":
                continue
            values = {each["name"]: prefilled(each) for each in needed}
            assert None not in values.values(), where
            body = prefilled_body(schema, operation)
            query = {each["name"]: values[each["name"]] for each in needed if each["in"] == "query"}
            url = path.format(**values)
            answer = shared.client.request(method, url, json=body, params=query)
            assert str(answer.status_code) in operation["responses"], where
            if method == "post" and path.endswith(
                "/webhook-secrets"
            ):  # what anybody can read is no secret
                assert "is an example" in answer.json()["detail"]
                continue
            assert answer.status_code not in (401, 422, 500), where
    finally:
        shared.client.delete("/integrations/spring-quiz?force=true")


def test_the_docs_page_is_served(shared):
    """To anyone: it holds no data, and starts from the API's own description."""
    answer = shared.anyone.get("/docs")
    assert answer.status_code == 200
    assert "docs/swagger-ui-bundle.js" in answer.text
    assert "openapi.json" in shared.anyone.get("/docs/start.js").text


async def test_pages_can_be_turned_off():
    """CONSOLE=false leaves the API and its description, and nothing for a browser."""
    app = create_app(Settings(_env_file=None, console=False))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as anyone:
        for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css", "/console", "/"):
            assert (await anyone.get(path)).status_code == 404, path
        assert (await anyone.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/integration", 404),
        ("PUT", "/integrations", 405),
        ("GET", "/webhooks", 404),
    ],
)
def test_an_address_that_is_not_there_is_a_problem_too(shared, method, path, status):
    """Every error has one form."""
    answer = shared.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


# --- Anything at all ----------------------------------------------------------------------------

CONFORMS = [
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]


@pytest.fixture(params=["POSITIVE", "NEGATIVE"])
def mode(request: pytest.FixtureRequest) -> Any:
    """How requests are made; schemathesis loads for long, and few workers need it."""
    from schemathesis import GenerationMode

    return GenerationMode[request.param]


def is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_body_that_is_no_text_is_answered_as_described(shared, schema):
    """Bytes that are not UTF-8 get one of the described answers."""
    headers = {"content-type": "application/json"}
    answer = shared.client.post("/integrations", content=b"\xff", headers=headers)
    assert str(answer.status_code) in schema["paths"]["/integrations"]["post"]["responses"]


def test_no_request_breaks_the_api_or_its_description(shared, quiz, mode):
    """Whatever is sent: never a 5xx, and every answer is one that the description names.

    And whatever strangers send to a protected route, well formed or not, with or without a token,
    they are told nothing: 401.
    """
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    conforms = CHECKS.get_by_names(CONFORMS)
    expected = CHECKS.get_by_names(["not_a_server_error", *CONFORMS])
    shared.post([{"email": "ann@example.com"}, 5], quiz)
    [newest, *_] = shared.client.get("/submissions").json()["submissions"]
    known = {
        "integration_id": quiz,
        "submission_id": newest["id"],
        "last4": "cdef",
        "jebbit_id": "x",
        "version": shared.client.get(f"/integrations/{quiz}").json()["version"],
    }
    headers = {"Authorization": f"Bearer {OPS_TOKEN}"}
    strangers: dict[str, set[int]] = {}

    def call(case: Any, chance: int) -> None:
        if case.operation.path not in OPEN:
            wrong = {"Authorization": "Bearer wrong-token"} if chance % 2 else {}
            answer = case.call(headers=wrong)
            strangers.setdefault(case.operation.label, set()).add(answer.status_code)
        for name in (case.path_parameters or {}) if chance else {}:
            case.path_parameters[name] = known[name]
        hypothesis.assume(not isinstance(case.body, bytes) or is_text(case.body))
        # Where Jebbit is asked too, 502 says that it is not there, as it is not in this test.
        asks_jebbit = "502" in case.operation.definition.raw["responses"]
        case.call_and_validate(headers=headers, checks=conforms if asks_jebbit else expected)

    assert broken_by(shared, mode, call) == {}
    assert len(strangers) >= 20
    assert {label: each for label, each in strangers.items() if each != {401}} == {}
    shared.client.delete("/integrations/spring-quiz?force=true")  # an example was sent, perhaps


def broken_by(shared: Any, mode: Any, call: Callable[[Any, int], None]) -> Any:
    """Make requests of every kind for each operation; return what `call` raised, by operation."""
    import schemathesis

    described = schemathesis.openapi.from_url(f"{shared.url}/openapi.json")
    broken: dict[str, str] = {}
    for each in described.get_all_operations():
        operation = each.ok()

        @hypothesis.given(operation.as_strategy(generation_mode=mode), st.integers(0, 3))
        @hypothesis.settings(
            max_examples=40 if thorough() else 1,  # of each operation
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def attempt(case: Any, chance: int) -> None:
            call(case, chance)

        try:
            attempt()
        except (hypothesis.errors.Unsatisfiable, hypothesis.errors.InvalidArgument):
            continue  # nothing can be wrong about a request without parameters or body
        except (Exception, BaseExceptionGroup) as error:
            broken[operation.label] = str(error)
    return broken


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b""], ids=len)
def test_a_stranger_s_body_is_not_looked_at(shared, quiz, content):
    """Broken, no text or too deep: still 401."""
    headers = {"content-type": "application/json"}
    for method, path in (("POST", "/integrations"), ("PATCH", f"/integrations/{quiz}")):
        answer = shared.anyone.request(method, path, content=content, headers=headers)
        assert answer.status_code == 401
