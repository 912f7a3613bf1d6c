"""A sandbox for each test: in process, and under a real server."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from app.sandbox.server import create_sandbox
from app.sandbox.state import Sandbox
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
    """The sandbox under a real uvicorn on a free port."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not running.started and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    host, port = running.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    running.should_exit = True
    thread.join()
