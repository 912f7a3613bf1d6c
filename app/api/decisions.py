"""What was decided of a person, and how much was decided hour by hour."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from app.api.auth import DESCRIBED, REFUSED, CurrentCaller, Protected
from app.api.problems import documented
from app.api.queries import Moment, seconds
from app.api.refusals import told
from app.api.state import CurrentContext
from app.api.views import At, DecisionView, moment
from app.ledger.integrations import UnknownIntegration
from app.ledger.tallies import RefusedWebhook, Tally
from app.operations import deciding, tallying
from app.operations.people import NoAddress
from app.turns import in_turns

router = APIRouter(
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)

_CODE = r"^[a-z0-9_-]+$"
_UNKNOWN = {HTTPStatus.NOT_FOUND: told(UnknownIntegration("spring-quiz"))}
_USUALLY = timedelta(days=1)


class DecisionsView(BaseModel):
    """What was decided of a person, the newest first."""

    decisions: list[DecisionView]


@lru_cache(maxsize=1_000)
def _hour(number: int) -> str:
    return moment(number * 3600.0)


class HourView(BaseModel):
    """A count of one hour; null stands for none."""

    hour: At = Field(examples=["2026-11-24T09:00:00+00:00"])
    integration: str = Field(examples=["spring-quiz"])
    outcome: str = Field(
        description="The status that a submission settled with; `received` and `duplicate` count "
        "what came in.",
        examples=["delivered"],
    )
    reason: str | None = Field(examples=[None])
    region: str | None = Field(examples=["eu"])
    answer: str | None = Field(description="To the email opt-in.", examples=["yes"])
    email: str | None = Field(description="The status asked.", examples=["subscribed"])
    sms: str | None = Field(description="The status asked.", examples=[None])
    count: int = Field(examples=[12])


class HoursView(BaseModel):
    """Counts by hour, in order of time."""

    hours: list[HourView]


def _shown(tally: Tally, count: int) -> dict[str, str | int | None]:
    """Return a tally as `HourView` says: there may be very many, which we need not check."""
    return {
        "hour": _hour(tally.hour),
        "integration": tally.integration_id,
        "outcome": tally.outcome,
        "reason": tally.reason or None,
        "region": tally.region or None,
        "answer": tally.answer or None,
        "email": tally.email or None,
        "sms": tally.sms or None,
        "count": count,
    }


class RefusedView(BaseModel):
    """A webhook that was refused."""

    at: At
    reason: str = Field(examples=["bad_signature"])

    @classmethod
    def of(cls, refused: RefusedWebhook) -> Self:
        """Return the view of a refused webhook."""
        return cls(at=moment(refused.at), reason=refused.reason)


class RefusedPage(BaseModel):
    """The last refused webhooks of an integration, the newest first."""

    refused: list[RefusedView]


@router.get(
    "/decisions",
    tags=["submissions"],
    summary="Show what was decided of a person",
    responses=documented(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={HTTPStatus.UNPROCESSABLE_ENTITY: told(NoAddress())},
    ),
)
async def get_decisions(
    context: CurrentContext,
    who: CurrentCaller,
    contact: Annotated[
        str,
        Query(
            description="An email address or phone number.",
            max_length=320,
            openapi_examples={"one": {"value": "ann@example.com"}},
        ),
    ],
) -> DecisionsView:
    """What a person agreed to and when, as decided then; also after their payloads were wiped.

    It holds no address. `DECISION_RETENTION_DAYS` says how long it is kept; an erasure removes it.
    """
    found = await deciding.decisions_of(context, who, contact)
    return DecisionsView(decisions=[DecisionView.of(each) for each in found])


@router.get(
    "/stats/hourly",
    tags=["submissions"],
    summary="Count submissions by hour",
    response_model=HoursView,
    responses=documented(HTTPStatus.NOT_FOUND, details=_UNKNOWN),
)
async def get_hourly(
    context: CurrentContext,
    integration: Annotated[str | None, Query(pattern=_CODE, examples=["spring-quiz"])] = None,
    since: Annotated[
        Moment | None, Query(description="The first hour; without it, a day ago.")
    ] = None,
) -> Response:
    """Counts by hour, integration, outcome, reason, region, answer and status asked.

    A submission is counted as `received` when it comes in, and again when it settles. What is
    older than 40 days is added up by day, in its first hour.
    """
    start = seconds(_USUALLY if since is None else since, context.clock())
    found = await tallying.hourly(context, integration, start)
    return Response(await _written(found), media_type="application/json")


async def _written(counts: Sequence[tuple[Tally, int]]) -> bytes:
    """Return counts as `HoursView`: a month of them may be 8 MB, so others have turns meanwhile."""
    hours = [to_json(_shown(*each)) async for each in in_turns(counts)]
    return b'{"hours":[%b]}' % b",".join(hours)


@router.get(
    "/integrations/{integration_id}/refused-webhooks",
    tags=["integrations"],
    summary="Show the last refused webhooks",
    responses=documented(HTTPStatus.NOT_FOUND, details=_UNKNOWN),
)
async def get_refused_webhooks(
    integration_id: Annotated[str, Path(openapi_examples={"one": {"value": "spring-quiz"}})],
    context: CurrentContext,
) -> RefusedPage:
    """When and why, for at most 50; nothing of what they held. Compare secret and address."""
    found = await tallying.refused_webhooks(context, integration_id)
    return RefusedPage(refused=[RefusedView.of(each) for each in found])
