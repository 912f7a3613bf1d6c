"""A sandbox for each test: in process, and under a real server."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from app.sandbox.server import create_sandbox
from app.sandbox.state import Sandbox
from app.serving import serving
from tests.sandbox.caller import AUTH


@pytest.fixture
def app() -> Any:
    return create_sandbox()


@pytest.fixture
def sandbox(app: Any) -> Sandbox:
    return app.state.sandbox


@pytest.fixture
async def cordial(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cordial", auth=AUTH) as one:
        yield one


@pytest.fixture
def server(app: Any) -> Iterator[str]:
    """The sandbox under a real server, on a free port."""
    with serving(app) as url:
        yield url
