"""Probes: is the process alive, and is it ready for webhooks."""

import asyncio
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.problems import Problem, documented
from app.api.state import CurrentState, State
from app.children import Delivering
from app.ledger.database import UNAVAILABLE
from app.ledger.vault import WRONG_KEY

router = APIRouter(tags=["health"])

_SECONDS = 3.0


class Health(BaseModel):
    """The answer of a probe that succeeds."""

    status: Literal["ok"] = "ok"


class Checks(BaseModel):
    """What readiness is made of."""

    ledger: Literal["ok", "unreachable", "read_only", "other_key"]
    migrations: Literal["ok", "newer", "not_current", "unknown"]
    draining: Literal["no", "yes"]
    delivering: Delivering


class Readiness(Health):
    """The answer when all is ready; a failure carries the same checks."""

    checks: Checks


@router.head("/healthz", include_in_schema=False)
@router.get(
    "/healthz",
    summary="Is the process alive",
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def get_health(state: CurrentState) -> Health:
    """Whether the process serves and its worker comes round; restart it when this fails.

    It also fails when the processes it has started to deliver end again and again: a single one
    that ends is started anew.

    A ledger or a Cordial that is away does not make it fail: a restart would not bring them back.
    """
    if wrong := state.stalled():
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{wrong} Restart this process.")
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    summary="Is the service ready",
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def get_readiness(state: CurrentState) -> Readiness:
    """Whether webhooks may be sent here: `checks` says what of it holds.

    `ledger` says whether a write was stored just now. Unreachable: look at the database and
    `DATABASE_URL`. Read only: the server has become a replica, or was told to take no writes; this
    mends itself when `DATABASE_URL` leads to one that does. Other key: secrets are encrypted with a
    key that this process does not have; add it to `SECRET_KEY` and start anew.

    `migrations` not current: the ledger is of an older version, or of none; start this one anew.
    Newer is well: replicas are being replaced one by one. `draining`: this process is going.

    `delivering` says whether this process, or those it has started for it, deliver; webhooks are
    taken all the same. Starting: they are being started, or the ledger is away. Failing: they end
    again and again, or hang; look at the log. Elsewhere: `RUN_WORKER` is false.
    """
    checks = await _check(state)
    for wrong, detail in (
        (checks.draining == "yes", "Shutting down: finishing what is under way."),
        (
            checks.ledger == "unreachable",
            "The ledger cannot be reached; look at DATABASE_URL.",
        ),
        (
            checks.ledger == "read_only",
            "The ledger takes no writes: its server is a replica now, or was told so.",
        ),
        (checks.ledger == "other_key", f"{WRONG_KEY}."),
        (
            checks.migrations == "not_current",
            "The ledger's tables are of an older version, or of none; start this process anew.",
        ),
    ):
        if wrong:
            members = {"checks": checks.model_dump()}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, members=members)
    return Readiness(checks=checks)


async def _check(state: State) -> Checks:
    checks = Checks(
        ledger=await state.readiness.read(),
        migrations="unknown",
        draining="yes" if state.draining else "no",
        delivering=state.delivering(),
    )
    if checks.ledger in ("unreachable", "read_only"):
        return checks
    try:
        async with asyncio.timeout(_SECONDS):
            checks.migrations = await state.database.migrations()
    except UNAVAILABLE:
        checks.ledger = "unreachable"
    return checks
