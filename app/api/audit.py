"""Who did what."""

from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import DESCRIBED, REFUSED, ForAdmins
from app.api.problems import documented
from app.api.queries import Moment, seconds
from app.api.state import CurrentContext
from app.api.views import At, moment
from app.ledger.audit import AuditEntry

router = APIRouter(
    tags=["audit"],
    route_class=ForAdmins,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)


_NO_ZERO = r"^[^\u0000]*$"  # PostgreSQL's text holds none: it would refuse the query


class AuditView(BaseModel):
    """A call that changed something or was refused."""

    at: At
    name: str | None = Field(description="Whose token; null: nobody's.", examples=["maria"])
    role: str | None = Field(examples=["admin"])
    operation: str = Field(examples=["submissions.replay"])
    target: str | None = Field(description="The id of what it concerned.", examples=["spring-quiz"])
    address: str = Field(description="The network address of the call.", examples=["192.0.2.1"])
    outcome: str = Field(description="`begun`, `done`, or a word for why not.", examples=["done"])
    times: int = Field(description="For how many calls it stands.", examples=[1])

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Return the view of an entry."""
        return cls(
            at=moment(entry.at),
            name=entry.name,
            role=entry.role,
            operation=entry.operation,
            target=entry.target,
            address=entry.address,
            outcome=entry.outcome,
            times=entry.times,
        )


@router.get("/audit", summary="List who did what")
async def list_audit(
    context: CurrentContext,
    name: Annotated[str | None, Query(max_length=40, pattern=_NO_ZERO, examples=["maria"])] = None,
    operation: Annotated[
        str | None, Query(max_length=100, pattern=_NO_ZERO, examples=["submissions.replay"])
    ] = None,
    since: Annotated[Moment | None, Query(description="Not before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[AuditView]:
    """Calls that changed something, and those with a wrong token, newest first. For admins."""
    found = await context.auditor.newest(
        limit,
        name=name,
        operation=operation,
        since=seconds(since, context.clock()),
    )
    return [AuditView.of(each) for each in found]
