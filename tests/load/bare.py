"""What the service is measured against, each a process of its own.

`python -m tests.load.bare fastapi PORT` (or `starlette`) serves an endpoint that reads a body and
answers, with the service's uvicorn settings. `python -m tests.load.bare through PORT STUB` posts
the person in each body to the stub, with the service's HTTP client, before it answers.
`python -m tests.load.bare post PORT SECONDS CONNECTIONS` reads requests as the stub shows them from
standard input, posts them again and again with that client, and prints how many a second were
answered.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

import uvloop
from fastapi import FastAPI, Request
from fastapi.telemetry import TelemetryConfig
from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.pool import client_on, open_pool
from app.serving import DrainingServer

_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
_AT_ONCE = 50  # requests to Cordial


def fastapi_app() -> FastAPI:
    """Return an endpoint as FastAPI's users write it."""
    app = FastAPI(telemetry=_NO_TELEMETRY)

    @app.post("/webhooks/jebbit/{integration_id}", status_code=202)
    async def receive(integration_id: str, request: Request) -> dict[str, int]:
        return {"accepted": len(await request.body())}

    return app


def starlette_app() -> Starlette:
    """Return the same without FastAPI."""

    async def receive(request: StarletteRequest) -> JSONResponse:
        return JSONResponse({"accepted": len(await request.body())}, 202)

    return Starlette(routes=[Route("/webhooks/jebbit/{integration_id}", receive, methods=["POST"])])


def through_app(stub: int) -> FastAPI:
    """Return an endpoint that answers when Cordial has: nothing is stored."""

    @asynccontextmanager
    async def open_client(app: FastAPI) -> AsyncIterator[None]:
        async with open_pool(_AT_ONCE) as pool, client_on(pool) as http:
            app.state.http = http
            yield

    app = FastAPI(telemetry=_NO_TELEMETRY, lifespan=open_client)
    headers = {"content-type": "application/json", "authorization": "Basic a2V5Og=="}

    @app.post("/webhooks/jebbit/{integration_id}", status_code=202)
    async def receive(integration_id: str, request: Request) -> dict[str, int]:
        person = from_json(await request.body())[0]["data"]
        body = {"channels": {"email": {"address": person["email"]}}, **person}
        url = f"http://127.0.0.1:{stub}/v2/contacts"
        answer = await app.state.http.post(url, headers=headers, content=to_json(body))
        answer.raise_for_status()
        return {"accepted": 1}

    return app


async def post(port: int, seconds: float, connections: int, seen: list[tuple[str, str]]) -> float:
    """Return how many requests a second are answered when they are only posted."""
    requests = cycle([(_headers(head), body.encode()) for head, body in seen])
    url = f"http://127.0.0.1:{port}/v2/contacts"
    answers = 0

    async def loop() -> None:
        nonlocal answers
        while time.monotonic() < end:
            headers, body = next(requests)
            answer = await http.post(url, headers=headers, content=body)
            answer.raise_for_status()
            answers += 1

    async with open_pool(connections) as pool, client_on(pool) as http:
        started = time.monotonic()
        end = started + seconds
        await asyncio.gather(*(loop() for _ in range(connections)))
        return answers / (time.monotonic() - started)


def _headers(head: str) -> dict[str, str]:
    """Return the headers that the service gives to its client; the others are the client's own."""
    pairs = (line.partition(":")[::2] for line in head.splitlines()[1:])
    named = {name.lower(): value.strip() for name, value in pairs}
    given = ("authorization", "content-type", "accept", "content-length")
    return {name: named[name] for name in given}


def _app(kind: str, numbers: list[str]) -> Starlette:
    if kind == "through":
        return through_app(int(numbers[0]))
    return fastapi_app() if kind == "fastapi" else starlette_app()


if __name__ == "__main__":
    what, port_, *numbers = sys.argv[1:]
    if what == "post":
        duration, at_once = float(numbers[0]), int(numbers[1])
        print(uvloop.run(post(int(port_), duration, at_once, json.load(sys.stdin))))
    else:
        app_ = _app(what, numbers)
        DrainingServer(app_, "127.0.0.1", int(port_), log_level="ERROR").run()
