"""The bearer tokens of the ops API: who calls, and what they may do."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, cast

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from app.api.problems import documented
from app.api.queries import known_to, refuse_others
from app.api.refusals import told
from app.api.state import context_of
from app.operations.callers import Caller, Role, network_address
from app.operations.signing_in import NotAllowed, NoToken, admit, identify
from app.operations.slowdown import TooManyWrongTokens

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="OPS_TOKEN",
    description="The value of OPS_TOKEN, or one of the tokens of OPS_TOKENS.",
)
DESCRIBED = Depends(_bearer)
"""Lets /docs show the lock; a dependency alone would let strangers have their bodies read."""

REFUSED = documented(
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    details={
        HTTPStatus.UNAUTHORIZED: told(NoToken()),
        HTTPStatus.FORBIDDEN: told(NotAllowed(Caller("maria", Role.VIEWER, "192.0.2.1"))),
        HTTPStatus.TOO_MANY_REQUESTS: told(TooManyWrongTokens()),
    },
)
"""The OpenAPI entries of what those are answered who may not call."""

_READING = frozenset({"GET", "HEAD"})


class Protected(APIRoute):
    """A route that wants a token before anything else of a request is looked at.

    Viewers may read; only admins may change anything. A query parameter that the handler does not
    take is refused.
    """

    readers: ClassVar = frozenset({Role.ADMIN, Role.VIEWER})
    changers: ClassVar = frozenset({Role.ADMIN})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request: 401 to strangers, 403 to those whose role is another."""
        answer, known = super().get_route_handler(), known_to(self.dependant)

        async def guarded(request: Request) -> Response:
            roles = self.readers if request.method in _READING else self.changers
            request.state.caller = await _caller(request, f"{request.method} {self.path}", roles)
            refuse_others(request.query_params.multi_items(), known)
            return await answer(request)

        return guarded


class ForAdmins(Protected):
    """A route that viewers may not read either."""

    readers: ClassVar = Protected.changers


class ProtectedMetrics(Protected):
    """A route that Prometheus may read too, by a token that is good for nothing else."""

    readers: ClassVar = frozenset(Role)


async def _caller(request: Request, operation: str, roles: frozenset[Role]) -> Caller:
    context, given = context_of(request), await _bearer(request)
    token = given.credentials if given else None
    who = await identify(context, token, address_of(request), operation)
    await admit(context, who, roles, operation)
    return who


def address_of(request: Request) -> str:
    """Return the network address of a call."""
    return network_address(request.client.host if request.client else None)


def caller_of(request: Request) -> Caller:
    """Return who calls a protected route."""
    return cast(Caller, request.state.caller)


CurrentCaller = Annotated[Caller, Depends(caller_of)]
