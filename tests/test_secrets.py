"""No secret is given away: not by an answer, a log line, a notice, a command or the ledger."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.ledger.schema import metadata
from app.serving import serving
from tests.conftest import SandboxServer, database_url_on, engines, integration_body, post_webhook
from tests.jebbit_api.stand_in import CLIENT_ID, CLIENT_SECRET, StandIn, running_stand_in
from tests.waiting import wait_for

SECRET_KEY = "marked-secret-key-of-old-0123456789abcdef"
NEW_SECRET_KEY = "marked-secret-key-of-now-0123456789abcdef"
OPS_TOKEN = "marked-ops-token-1111"
WRONG_TOKEN = "marked-wrong-token-2222"
API_KEY = "marked-cordial-key-3333"
NEW_API_KEY = "marked-cordial-key-4444"
REFUSED_KEY = "marked-refused-key-5555"
WEBHOOK_SECRET = "marked-webhook-secret-6666"
NEW_WEBHOOK_SECRET = "marked-webhook-secret-7777"
REFUSED_SECRET = "marked-refused-secret-8888"
WRONG_CLIENT_SECRET = "marked-client-secret-9999"
JEBBIT_TOKEN = "marked.jebbit.token"
NOTIFY_PATH = "marked-notify-path-aaaa"
MARKED = [value for value in list(globals().values()) if str(value).startswith("marked")]

ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}
PATH = "/integrations/spring-quiz"


class Told:
    """Everything that anybody was told by the service."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.statuses: set[int] = set()

    def take(self, answer: httpx.Response) -> None:
        """Keep an answer of the service, with its headers."""
        answer.read()
        self.statuses.add(answer.status_code)
        self.texts += [str(answer.headers), answer.text]

    async def notice(self, request: Request) -> Response:
        """Keep a notice."""
        self.texts.append((await request.body()).decode())
        return Response()


@pytest.fixture
def told() -> Told:
    return Told()


database_url = database_url_on(engines())


@pytest.fixture
def environment(
    tmp_path: Path, database_url: str, sandbox_server: SandboxServer, told: Told
) -> Iterator[dict[str, str]]:
    """The settings of a service: all that is secret marked, all that can be asked for on."""
    account = sandbox_server.sandbox.account
    account.api_keys = {API_KEY: None, NEW_API_KEY: None}
    with serving(
        Starlette(routes=[Route(f"/{NOTIFY_PATH}", told.notice, methods=["POST"])])
    ) as hook:
        yield {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(tmp_path),
            "SECRET_KEY": SECRET_KEY,
            "OPS_TOKEN": OPS_TOKEN,
            "NOTIFY_URL": f"{hook}/{NOTIFY_PATH}",
            "CORDIAL_EXTRA_HOSTS": sandbox_server.host,
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "json",
        }


@pytest.fixture
def jebbit() -> Iterator[StandIn]:
    with running_stand_in() as running:
        running.token = JEBBIT_TOKEN
        yield running


def drive(url: str, client: httpx.Client, sandbox: SandboxServer, jebbit: StandIn) -> None:
    """Call everything that takes, keeps or may repeat a secret, well and badly."""
    wrong = {"cordial": {"api_key": f" {REFUSED_KEY}"}, "jebbit": {"webhook_secrets": [""]}}
    given = {"api_key": API_KEY}, {"webhook_secrets": [WEBHOOK_SECRET], "region": "us"}
    body = integration_body(sandbox.url, state="paused", cordial=given[0], jebbit=given[1])
    credentials = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    refused: list[Any] = [
        ("POST", "/integrations", {**body, **wrong}),
        ("POST", "/integrations", {**body, "cordial": {"api_key": [REFUSED_KEY]}}),
        ("POST", "/integrations", {**body, "jebbit": {"webhook_secrets": {"x": REFUSED_SECRET}}}),
        ("PATCH", PATH, wrong),
        ("PATCH", PATH, {"cordial": {"api_key": {"key": REFUSED_KEY}}}),
        ("PATCH", PATH, {"jebbit": {"webhook_secrets": [f"{REFUSED_SECRET} "]}}),
        ("POST", f"{PATH}/webhook-secrets", {"secret": f"{REFUSED_SECRET} "}),
        ("POST", f"{PATH}/webhook-secrets", {"secret": [REFUSED_SECRET]}),
        ("POST", f"{PATH}/webhook-secrets", {"secret": REFUSED_SECRET, "extra": REFUSED_KEY}),
        ("POST", f"{PATH}/jebbit/register", {"client_secret": [WRONG_CLIENT_SECRET]}),
        ("POST", f"{PATH}/jebbit/test", {**credentials, "client_secret": WRONG_CLIENT_SECRET}),
    ]
    client.post("/integrations", json=body).raise_for_status()
    client.post("/integrations", json=body)  # 409
    client.post(f"{PATH}/jebbit/register", json={**credentials, "client_secret": "\u0000"})
    client.post(f"{PATH}/jebbit/register", json={**credentials, "remember": True})
    for method, path, wrong_body in refused:
        assert client.request(method, path, json=wrong_body).status_code == 422, path
    for path in ("/integrations", f"{PATH}/webhook-secrets"):
        client.post(path, content=f'{{"secret": "{REFUSED_SECRET}'.encode())
    for method, path in (
        ("GET", PATH),
        ("GET", "/integrations"),
        ("POST", f"{PATH}/check"),
        ("POST", f"{PATH}/resume"),
        ("POST", f"{PATH}/jebbit/test"),
        ("POST", f"{PATH}/jebbit/backfill"),
        ("GET", f"{PATH}/jebbit"),
    ):
        assert client.request(method, path).is_success, path
    client.post(f"{PATH}/preview", json=ANN).raise_for_status()
    client.post(f"{PATH}/webhook-secrets", json={"secret": NEW_WEBHOOK_SECRET})
    settled(client, post_webhook(url, ANN, secret=NEW_WEBHOOK_SECRET), "delivered")
    client.delete(f"{PATH}/webhook-secrets/{WEBHOOK_SECRET[-4:]}").raise_for_status()
    assert post_webhook(url, ANN, secret=WEBHOOK_SECRET).status_code == 401

    refused_key = {"cordial": {"api_key": REFUSED_KEY}}
    assert client.patch(PATH, json=refused_key).status_code == 409
    client.patch(f"{PATH}?force=true", json=refused_key).raise_for_status()
    blocked = post_webhook(url, {**ANN, "outcome": "Calm"}, secret=NEW_WEBHOOK_SECRET)
    wait_for(lambda: client.get(PATH).json()["state"] == "blocked")
    client.post(f"{PATH}/check")
    assert client.post(f"{PATH}/resume").status_code == 409
    client.patch(PATH, json={"cordial": {"api_key": NEW_API_KEY}}).raise_for_status()
    settled(client, blocked, "delivered")
    post_webhook(url, b"no json", secret=NEW_WEBHOOK_SECRET)
    jebbit.answers["/api/v1/auth"] = Response(CLIENT_SECRET, status_code=500)
    assert client.post(f"{PATH}/jebbit/test").status_code == 502
    for each in ("/submissions", "/stats", "/metrics", "/openapi.json", "/docs", "/nothing"):
        client.get(each)
    client.get("/integrations", headers={"authorization": f"Bearer {WRONG_TOKEN}"})
    client.get("/integrations", headers={"authorization": WRONG_TOKEN})


def settled(client: httpx.Client, answer: httpx.Response, status: str) -> None:
    [submission] = answer.json()["submissions"]
    wait_for(lambda: client.get(f"/submissions/{submission}").json()["status"] == status)


def commands(command: Callable[..., Any], environment: dict[str, str]) -> Iterator[str]:
    """Yield what the commands say that know the secrets, and how they fail."""
    secrets = ("API_KEY", "JEBBIT_WEBHOOK_SECRET", "JEBBIT_WEBHOOK_SECRET_2")
    values = (API_KEY, NEW_WEBHOOK_SECRET, WEBHOOK_SECRET)
    names = [f"SPRING_QUIZ_{each}".replace("QUIZ_API", "QUIZ_CORDIAL_API") for each in secrets]
    variables = dict(zip(names, values, strict=True))
    rotated = {**environment, "SECRET_KEY": f"{NEW_SECRET_KEY},{SECRET_KEY}"}
    for arguments, given in [
        (("export", "--file", "file.yaml"), environment),
        (("export",), environment),
        (("apply", "file.yaml", "--dry-run"), {**environment, **variables}),
        (("apply", "file.yaml", "--yes"), {**environment, **variables}),
        (("apply", "file.yaml", "--yes"), {**environment, **variables, names[1]: f" {API_KEY}"}),
        (("rotate-secrets",), rotated),
        (("export",), environment),  # the old key alone: refused
        (("serve",), {**environment, "SECRET_KEY": "marked-short"}),
    ]:
        ran = command(*arguments, **given)
        yield ran.out + ran.err


def dump(request: pytest.FixtureRequest, database_url: str) -> str:
    """Return every row of the ledger; of SQLite the files themselves are looked through."""
    if database_url.startswith("sqlite"):
        return ""
    name = urlsplit(database_url).path.removeprefix("/")
    copies = "".join(f"COPY {table.name} TO STDOUT;" for table in metadata.sorted_tables)
    rows = str(request.getfixturevalue("postgresql_server").psql(f"\\c {name}\n{copies}"))
    assert "spring-quiz" in rows
    return rows


def forms(secret: str) -> set[bytes]:
    """Return how a secret may be written: as it is, as HTTP Basic writes it, and in hex."""
    plain = secret.encode()
    return {plain, b64encode(plain[: len(plain) // 3 * 3]), plain.hex().encode()}


def test_no_full_secret_is_given_away(
    environment, told, jebbit, sandbox_server, forked, command, tmp_path, request, database_url
):
    """By no answer, log line, notice, command, nor the ledger itself, on either engine."""
    environment |= {"JEBBIT_API_URL": jebbit.url}
    service = forked("serve", **environment)
    service.until_ready()
    headers = {"authorization": f"Bearer {OPS_TOKEN}"}
    hooks: dict[str, Any] = {"response": [told.take]}
    with httpx.Client(
        base_url=service.url, headers=headers, event_hooks=hooks, verify=False
    ) as client:
        drive(service.url, client, sandbox_server, jebbit)
        wait_for(lambda: {"created", "resumed", "blocked", "opened", "dead"} <= noticed(told))
    assert service.end() == 0
    assert {200, 201, 202, 401, 404, 409, 422, 502} <= told.statuses
    told.texts += commands(command, environment)

    [theirs] = [each["shared_secret"] for each in jebbit.integrations.values()]
    said = "".join(told.texts)
    kept = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert b'"event":"attempt"' in kept[service.output]
    everything = {"said": said.encode(), "dumped": dump(request, database_url).encode(), **kept}
    for secret in [*MARKED, CLIENT_SECRET, theirs]:
        for where, content in everything.items():
            assert not [each for each in forms(secret) if each in content], (secret, where)


def noticed(told: Told) -> set[str]:
    """Return the kinds of notices that were told."""
    kinds = ("created", "resumed", "blocked", "opened", "dead")
    return {each for each in kinds if f'"event":"{each}"' in "".join(told.texts)}
