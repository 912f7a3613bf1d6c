"""Who may call, and by which addresses."""

import pytest

from app.jebbit.signature import HEADER
from tests.api.conftest import problem

OPEN = {"/healthz", "/readyz", "/webhooks/jebbit/{integration_id}"}


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic b3BzOg==", "ops-token-of-the-tests",
     "Bearer ops-token-of-the-test", "Bearer ops-token-of-the-testss", b"Bearer \xff"],
)  # fmt: skip
def test_every_route_but_the_open_ones_wants_the_token(shared, quiz, authorization):
    """401 with the way to give it, before anything of the request is looked at."""
    headers = {} if authorization is None else {"Authorization": authorization}
    closed = 0
    for path, operations in shared.client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            if path in OPEN:
                continue
            address = path.replace("{integration_id}", quiz)
            answer = shared.anyone.request(method, address, headers=headers, content=b"{")
            told = problem(answer, 401)
            assert told["detail"] == "Send Authorization: Bearer with the value of OPS_TOKEN."
            assert answer.headers["www-authenticate"] == "Bearer"
            closed += 1
    assert closed >= 13


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_probes_and_docs_need_no_token(shared, path):
    """They tell nothing of anybody."""
    assert shared.anyone.get(path).status_code == 200


def test_the_scheme_is_read_in_any_case(shared):
    """RFC 9110: bearer, Bearer and BEARER are one scheme."""
    for scheme in ("bearer", "BEARER"):
        headers = {"authorization": f"{scheme} {shared.token}"}
        assert shared.anyone.get("/integrations", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/preview"),
        ("POST", "/webhook-secrets"),
        ("DELETE", "/webhook-secrets/abcd"),
    ],
)
@pytest.mark.parametrize("name", ["nobody", "%00", "é", "x" * 300])
def test_an_unknown_integration_is_told(shared, method, path, name):
    """404 says where the known ones are listed."""
    given = {"json": {"secret": "a-good-secret"}} if method != "DELETE" else {}
    answer = shared.client.request(method, f"/integrations/{name}{path}", **given)
    assert "GET /integrations lists them" in problem(answer, 404)["detail"]


@pytest.mark.parametrize("public_url", ["https://hooks.example.com", "https://hooks.example.com/"])
def test_the_webhook_address_is_the_public_one(service, public_url):
    """Behind a proxy the service does not know its own name: PUBLIC_URL says it."""
    running = service(public_url=public_url, run_worker=False)
    assert running.create_integration()["webhook_url"] == (
        "https://hooks.example.com/webhooks/jebbit/spring-quiz"
    )


def test_the_webhook_address_is_the_one_to_post_to(shared, quiz):
    """It is taken as it is shown."""
    address = shared.client.get(f"/integrations/{quiz}").json()["webhook_url"]
    assert shared.anyone.post(address, json={}, headers={HEADER: "x"}).status_code == 401
