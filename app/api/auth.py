"""The bearer token of the ops API."""

import hmac
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from app.api.problems import Problem, documented
from app.api.state import state_of

_bearer = HTTPBearer(
    auto_error=False, scheme_name="OPS_TOKEN", description="The value of OPS_TOKEN."
)
DESCRIBED = Depends(_bearer)
"""Lets /docs show the lock; a dependency alone would let strangers have their bodies read."""


_WANTED = "Send Authorization: Bearer with the value of OPS_TOKEN."
REFUSED = documented(HTTPStatus.UNAUTHORIZED, details={HTTPStatus.UNAUTHORIZED: _WANTED})
"""The OpenAPI entry of what strangers are answered."""


class Protected(APIRoute):
    """A route that wants the ops token before anything else of a request is looked at."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request: 401 to those who do not have the token."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            await _require_token(request)
            return await answer(request)

        return guarded


async def _require_token(request: Request) -> None:
    given = await _bearer(request)
    token, known = given.credentials if given else "", state_of(request).ops_token
    if not token or not hmac.compare_digest(token.encode(), known.encode()):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            _WANTED,
            headers={"WWW-Authenticate": "Bearer"},
        )
