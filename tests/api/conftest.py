"""One service for all tests of the API that need no worker, and an integration of their own."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.serving import serving
from app.settings import Settings
from tests.conftest import (
    OPS_TOKEN,
    SECRET_KEY,
    SandboxServer,
    Service,
    integration_body,
    signed,
)

_numbers = count(1)

ACCOUNT_URL = "https://admin.cordial.io"
ANN = {"email": "ann@example.com", "opt_in": "true", "outcome": "Bold"}


def body(**overrides: Any) -> dict[str, Any]:
    """Return the body of a paused integration: nothing asks the real Cordial about it."""
    return integration_body(ACCOUNT_URL, **{"state": "paused", **overrides})


def without(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a copy of a document without the member at a dotted path."""
    copied = json.loads(json.dumps(document))
    *parents, last = path.split(".")
    inner = copied
    for each in parents:
        inner = inner[each]
    del inner[last]
    return dict(copied)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["type"]) == (status, "about:blank")
    return dict(told)


class Clock:
    """The time the shared service goes by: the real one, unless a test sets it."""

    fixed: float | None = None

    def __call__(self) -> float:
        return time.time() if self.fixed is None else self.fixed


@dataclass
class SharedService(Service):
    """A service reached over one connection; `anyone` carries no token, `app` is what runs."""

    anyone: httpx.Client = field(kw_only=True)
    app: FastAPI = field(kw_only=True)

    def post(self, body: Any, integration: str = "spring-quiz", **how: Any) -> httpx.Response:
        """Post a signed webhook, as `Service.post` does."""
        return self.anyone.post(f"/webhooks/jebbit/{integration}", **signed(body, **how))


@pytest.fixture(scope="session")
def _shared(
    tmp_path_factory: pytest.TempPathFactory, _sandbox_server: SandboxServer
) -> Iterator[tuple[SharedService, Clock]]:
    place, clock = tmp_path_factory.mktemp("shared"), Clock()
    settings = Settings(
        _env_file=None,
        database_url=f"sqlite:///{place / 'ledger.db'}",
        data_dir=place,
        secret_key=SECRET_KEY,
        ops_token=OPS_TOKEN,
        run_worker=False,
        webhook_max_bytes=64 * 1024,
        cordial_extra_hosts=_sandbox_server.host,
        jebbit_api_url="http://127.0.0.1:1",  # nobody is there: no test calls out
    )
    app = create_app(settings, clock)
    headers = {"authorization": f"Bearer {OPS_TOKEN}"}
    with (
        serving(app) as url,
        httpx.Client(base_url=url, headers=headers) as client,
        httpx.Client(base_url=url) as anyone,
    ):
        running = SharedService(
            url,
            OPS_TOKEN,
            _sandbox_server.url,
            client,
            lambda: None,
            settings,
            anyone=anyone,
            app=app,
        )
        app.state.service.context.slowdown.free = sys.maxsize  # for hundreds of wrong tokens
        yield running, clock


@pytest.fixture
def shared(_shared: tuple[SharedService, Clock], _sandbox_server: SandboxServer) -> SharedService:
    """A service that stores and answers, and sends nothing; many tests use it in turn."""
    _sandbox_server.begin_anew()
    return _shared[0]


@pytest.fixture
def clock(_shared: tuple[SharedService, Clock]) -> Iterator[Clock]:
    """The shared service's clock, to be set."""
    yield _shared[1]
    _shared[1].fixed = None


@pytest.fixture
def create(shared: SharedService) -> Callable[..., str]:
    """Create an integration under a name of its own; gives its id."""

    def created(**overrides: Any) -> str:
        return str(
            shared.create_integration(**{"name": f"Quiz {next(_numbers)}", **overrides})["id"]
        )

    return created


@pytest.fixture
def quiz(create: Callable[..., str]) -> str:
    """The id of an integration of the test's own."""
    return create()
