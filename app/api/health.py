"""Probes: is the process alive, and is it ready for webhooks."""

import asyncio
from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.problems import Problem, documented
from app.api.state import CurrentState
from app.ledger.database import UNAVAILABLE

router = APIRouter(tags=["health"])

_PING_SECONDS = 3.0


class Health(BaseModel):
    """The answer of a probe that succeeds."""

    status: str = "ok"


@router.get("/healthz", summary="Is the process alive")
async def healthz() -> Health:
    """Answers as long as the process serves requests; restart it when this fails."""
    return Health()


@router.get(
    "/readyz",
    summary="Is the service ready",
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def readyz(state: CurrentState) -> Health:
    """Ready when the ledger can be reached and the service is not shutting down."""
    if state.draining:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Shutting down: finishing what is under way.")
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await state.database.ping()
    except UNAVAILABLE:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "The ledger cannot be reached; look at DATABASE_URL."
        ) from None
    return Health()
