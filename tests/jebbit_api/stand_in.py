"""A local Jebbit: its API's part for integrations, as published, in memory and on real HTTP.

It posts real, signed test webhooks to the endpoints registered with it.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.jebbit.signature import HEADER, TEST_HEADER, sign
from app.serving import serving

CLIENT_ID = "client-of-the-tests"
CLIENT_SECRET = "client-secret-of-the-tests-0123456789"
BUSINESS = "biz1"
MEDIA_TYPE = "application/vnd.api+json"

# The test webhook of Jebbit's own sample: an array, the opt-in a string.
TEST_BODY = [
    {
        "data": {
            "email": "test@example.com",
            "test_attribute": "test",
            "opt_in": "true",
            "outcome": "Bold",
        },
        "event": {"event_number": 0},
    }
]


@dataclass
class StandIn:
    """What this Jebbit knows, what it was asked, and how it is to misbehave."""

    url: str = ""
    businesses: set[str] = field(default_factory=lambda: {BUSINESS})
    token: str = "some.jwt.here"
    token_inside: bool = False  # in `attributes`, as its schema says; its example has it in `data`
    integrations: dict[str, dict[str, Any]] = field(default_factory=dict)
    shows_secret: bool = True  # in the answer to making one; Jebbit's own example does not
    tells_secret: bool = True  # in the answer to showing one
    backfills: list[str] = field(default_factory=list)
    answers: dict[str, Response | None] = field(default_factory=dict)  # by path; None: never
    listing: asyncio.Barrier | None = None  # so many ask for the list before any is answered
    journal: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)

    def asked(self, path: str) -> list[Any]:
        """Return the bodies that were posted to a path."""
        return [body for each, _, body in self.journal if each == path and body is not None]

    def reset(self) -> None:
        """Forget everything."""
        self.__init__(self.url)  # type: ignore[misc]


def _error(status: int, title: str) -> JSONResponse:
    errors = {"errors": [{"status": status, "title": title}]}
    return JSONResponse(errors, status, media_type=MEDIA_TYPE)


def _data(status: int, **data: Any) -> JSONResponse:
    return JSONResponse({"data": data}, status, media_type=MEDIA_TYPE)


def _attributes(body: Any) -> dict[str, Any]:
    return dict((body.get("data") or {}).get("attributes") or {})


Handler = Callable[[StandIn, Request, Any], Awaitable[Response]]


async def _auth(jebbit: StandIn, _: Request, body: Any) -> Response:
    if body != {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}:
        return _error(400, "Bad Request")
    token = {"access_token": jebbit.token, "token_type": "Bearer", "scope": "read:business:biz1"}
    return (
        _data(200, type="token", attributes=token) if jebbit.token_inside else _data(200, **token)
    )


async def _create(jebbit: StandIn, _: Request, body: Any) -> Response:
    attributes = _attributes(body)
    if attributes.get("region") not in ("us", "eu"):
        return _error(400, "must be a valid region (us|eu)")
    made = f"jebbit{len(jebbit.integrations) + 1}"
    jebbit.integrations[made] = {
        **attributes,
        "service_name": "webhook",
        "shared_secret": secrets.token_hex(17),  # 34 characters, as in Jebbit's sample
    }
    return _shown(jebbit, made, 201, secret=jebbit.shows_secret)


def _shown(jebbit: StandIn, jebbit_id: str, status: int, *, secret: bool) -> Response:
    attributes = dict(jebbit.integrations[jebbit_id])
    if not secret:
        del attributes["shared_secret"]
    return _data(status, id=jebbit_id, type="integration", attributes=attributes)


async def _list(jebbit: StandIn, _: Request, __: Any) -> Response:
    data = [
        {
            "id": each,
            "type": "integrations",
            "attributes": {"endpoint": its["endpoint"], "service_name": "webhook"},
        }
        for each, its in jebbit.integrations.items()
    ]
    if jebbit.listing is not None:
        await jebbit.listing.wait()
    return JSONResponse({"data": data}, 200, media_type=MEDIA_TYPE)


async def _one(jebbit: StandIn, request: Request, _: Any) -> Response:
    jebbit_id = request.path_params["integration_id"]
    if jebbit_id not in jebbit.integrations:
        return _error(404, "Not Found")
    if request.method == "DELETE":
        del jebbit.integrations[jebbit_id]
        return Response(status_code=204)
    return _shown(jebbit, jebbit_id, 200, secret=jebbit.tells_secret)


async def _integrations(jebbit: StandIn, request: Request, body: Any) -> Response:
    return await (_list if request.method == "GET" else _create)(jebbit, request, body)


async def _test(jebbit: StandIn, request: Request, _: Any) -> Response:
    integration = jebbit.integrations.get(request.path_params["integration_id"])
    if integration is None:
        return _error(404, "Not Found")
    post = httpx.Request("POST", integration["endpoint"], json=TEST_BODY)
    secret, now = integration["shared_secret"], int(time.time())
    post.headers[HEADER] = sign(body=post.content, secret=secret, at=now)
    post.headers[TEST_HEADER] = "true"
    async with httpx.AsyncClient() as http:
        await http.send(post)
    return Response(status_code=200)


async def _backfill(jebbit: StandIn, _: Request, body: Any) -> Response:
    integration_id = _attributes(body).get("integration_id")
    if integration_id is None:
        return _error(422, "no params given")
    if integration_id not in jebbit.integrations:
        return _error(404, "Not Found")
    if not jebbit.integrations[integration_id].get("is_active"):
        return _error(400, "cannot request a backfill for an inactive integration")
    jebbit.backfills.append(integration_id)
    attributes = {"status": "processing", "integration_id": integration_id}
    return _data(201, id="backfill1", type="integration_historic_backfills", attributes=attributes)


def _refusal(jebbit: StandIn, request: Request) -> Response | None:
    """Refuse who has no token, or does not say for which of several businesses."""
    if request.headers.get("authorization") != f"Bearer {jebbit.token}":
        return _error(401, "Unauthorized Request")
    business = request.headers.get("x-jebbit-business")
    if (business is None and len(jebbit.businesses) > 1) or (
        business is not None and business not in jebbit.businesses
    ):
        return _error(403, "Forbidden")
    return None


def create_stand_in(jebbit: StandIn) -> Starlette:
    """Return the app around a stand-in's state."""

    def route(path: str, handler: Handler, *methods: str) -> Route:
        async def answer(request: Request) -> Response:
            body = await request.json() if request.method == "POST" else None
            jebbit.journal.append((request.url.path, request.headers, body))
            for key in (f"{request.method} {request.url.path}", request.url.path):
                if key not in jebbit.answers:
                    continue
                if (given := jebbit.answers[key]) is not None:
                    return given
                await request.receive()  # until the client goes away
                return Response(status_code=499)
            refusal = None if handler is _auth else _refusal(jebbit, request)
            return refusal or await handler(jebbit, request, body)

        return Route(path, answer, methods=list(methods or ["POST"]))

    return Starlette(
        routes=[
            route("/api/v1/auth", _auth),
            route("/api/v1/integrations", _integrations, "GET", "POST"),
            route("/api/v1/integrations/{integration_id}", _one, "GET", "DELETE"),
            route("/api/v1/integrations/{integration_id}/test", _test),
            route("/api/v1/integration_historic_backfills", _backfill),
        ]
    )


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    """Run a stand-in on a free port."""
    jebbit = StandIn()
    with serving(create_stand_in(jebbit)) as url:
        jebbit.url = url
        yield jebbit
