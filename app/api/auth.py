"""The bearer token of the ops API."""

import hmac
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.api.problems import Problem
from app.api.state import CurrentState

_bearer = HTTPBearer(
    auto_error=False, scheme_name="OPS_TOKEN", description="The value of OPS_TOKEN."
)


def require_token(
    state: CurrentState,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Let only those in who have the ops token.

    Raises:
        Problem: 401.
    """
    token = given.credentials if given else ""
    if not token or not hmac.compare_digest(token.encode(), state.ops_token.encode()):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "Send Authorization: Bearer with the value of OPS_TOKEN.",
            headers={"WWW-Authenticate": "Bearer"},
        )
