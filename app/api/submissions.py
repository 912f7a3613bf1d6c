"""Finding, explaining and replaying submissions."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import DESCRIBED, REFUSED, CurrentCaller, Protected
from app.api.problems import Problem, documented
from app.api.queries import Moment, seconds
from app.api.refusals import told
from app.api.state import CurrentContext
from app.api.views import CountsView, SubmissionSummary, SubmissionView
from app.ledger.integrations import UnknownIntegration
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import UnknownSubmission
from app.operations import discarding, erasing, replaying, submissions
from app.operations.people import NoAddress
from app.operations.submissions import Wanted

router = APIRouter(
    tags=["submissions"],
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)

_CODE = r"^[a-z0-9_-]+$"
_WANTED_EXAMPLE: dict[str, Any] = {"integration": "spring-quiz", "status": "dead", "since": "7d"}
_AN_ID = "01a20ac69210234f482e7fb8c55a324e"

SubmissionId = Annotated[
    str,
    Path(
        description="As GET /submissions and the webhook's answer show it.",
        openapi_examples={"one": {"value": _AN_ID}},
    ),
]


_FILTERED = documented(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    details={
        HTTPStatus.NOT_FOUND: told(UnknownIntegration("sprng-quiz")),
        HTTPStatus.UNPROCESSABLE_ENTITY: "reason: No submission has this reason. Do you mean "
        "rejected?",
    },
)
_UNKNOWN = {HTTPStatus.NOT_FOUND: told(UnknownSubmission(_AN_ID))}


class SubmissionPage(BaseModel):
    """A page of submissions, newest first."""

    submissions: list[SubmissionSummary]
    cursor: str | None = Field(description="Give it as `cursor` for the next page; null: no more.")


class SubmissionFilter(BaseModel):
    """Which submissions are meant; what is left out does not narrow."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    integration: str | None = Field(None, pattern=_CODE, max_length=100, examples=["spring-quiz"])
    status: SubmissionStatus | None = Field(None, examples=["dead"])
    reason: str | None = Field(
        None,
        pattern=_CODE,
        max_length=100,
        description="One that the docs list; any other is refused.",
        examples=["rejected"],
    )
    contact: str | None = Field(
        None, max_length=320, description="An email address or phone number."
    )
    since: Moment | None = Field(None, description="Received at or after.", examples=["7d"])
    until: Moment | None = Field(
        None, description="Received before.", examples=["2026-12-01T00:00:00Z"]
    )

    def wanted(self, now: float) -> Wanted:
        """Return it as operations take it; `now` is in unix seconds."""
        return Wanted(
            self.integration,
            self.status,
            self.reason,
            self.contact,
            seconds(self.since, now),
            seconds(self.until, now),
        )


def _in_query(
    integration: Annotated[
        str | None, Query(pattern=_CODE, max_length=100, examples=["spring-quiz"])
    ] = None,
    status: SubmissionStatus | None = None,
    reason: Annotated[
        str | None,
        Query(
            pattern=_CODE,
            max_length=100,
            description="One that the docs list; any other is refused.",
            examples=["rejected"],
        ),
    ] = None,
    contact: Annotated[
        str | None, Query(description="An email address or phone number.", max_length=320)
    ] = None,
    since: Annotated[Moment | None, Query(description="Received at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Received before.")] = None,
) -> SubmissionFilter:
    """Return the filter that a query holds."""
    return SubmissionFilter.model_construct(
        integration=integration,
        status=status,
        reason=reason,
        contact=contact,
        since=since,
        until=until,
    )


InQuery = Annotated[SubmissionFilter, Depends(_in_query)]


def _narrowed(
    in_query: InQuery,
    in_body: Annotated[
        SubmissionFilter | None,
        Body(
            description="The filter; it may as well stand in the query, as for the list.",
            openapi_examples={"dead": {"value": _WANTED_EXAMPLE}},
        ),
    ] = None,
) -> SubmissionFilter:
    """Return the filter of a change of many; without one, a slip would change everything."""
    queried = {name: value for name, value in in_query if value is not None}
    written = dict(in_body or ())
    if twice := [name for name in queried if written.get(name) is not None]:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{twice[0]}: stands in the query and in the body."
        )
    filters = SubmissionFilter.model_construct(**{**dict(in_query), **written, **queried})
    if not any(value is not None for _, value in filters):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "Say which ones: give a filter as GET /submissions takes it, such as status=dead.",
        )
    return filters


Narrowed = Annotated[SubmissionFilter, Depends(_narrowed)]


def _sure(
    confirm: Annotated[
        bool, Query(description="Do it. Without it, only count: look at the number first.")
    ] = False,
    dry_run: Annotated[
        bool | None, Query(description="Only count, which is what happens without `confirm` too.")
    ] = None,
) -> bool:
    """Return whether a change of many is to be made, and not only counted."""
    if dry_run is not None and dry_run is confirm:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "confirm: dry_run=true only counts, confirm=true does it; give one of them.",
        )
    return confirm


Sure = Annotated[bool, Depends(_sure)]


class ReplayedView(BaseModel):
    """What a replay of many did, or with `dry_run` would do."""

    dry_run: bool = Field(description="Nothing was changed; with `confirm=true` it would be.")
    replayed: int = Field(examples=[84])
    refused: int = Field(
        description="Newer answers of the contact were delivered, or the integration is gone.",
        examples=[2],
    )


class DiscardedView(BaseModel):
    """What discarding many did, or with `dry_run` would do."""

    dry_run: bool = Field(description="Nothing was changed; with `confirm=true` it would be.")
    discarded: int = Field(examples=[84])


class Erasure(BaseModel):
    """Who is to be erased."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: str | None = Field(None, max_length=320, examples=["ann@example.com"])
    phone: str | None = Field(None, max_length=40, examples=["+15555550101"])


class Erased(BaseModel):
    """What an erasure did."""

    erased: int = Field(description="Submissions in which nothing of the person is left.")
    dry_run: bool = Field(False, description="Nothing was changed; so many would be.")


@router.get(
    "/submissions",
    summary="List submissions",
    responses=_FILTERED,
)
async def list_submissions(
    context: CurrentContext,
    who: CurrentCaller,
    filters: InQuery,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> SubmissionPage:
    """Newest first. Start with `status=dead` when woken: `reason` says what a person must do."""
    wanted = filters.wanted(context.clock())
    before = _read_cursor(cursor) if cursor else None
    page = await submissions.list_submissions(context, who, wanted, limit=limit, before=before)
    return SubmissionPage(
        submissions=[SubmissionSummary.of(each) for each in page.submissions],
        cursor=None if page.next_before is None else _cursor(page.next_before),
    )


@router.get(
    "/submissions/{submission_id}",
    summary="Show and explain a submission",
    responses=documented(HTTPStatus.NOT_FOUND, details=_UNKNOWN),
)
async def get_submission(
    submission_id: SubmissionId, context: CurrentContext, who: CurrentCaller
) -> SubmissionView:
    """Everything known of it: history, payload, and the plan as it would be made now."""
    return SubmissionView.explained(await submissions.get(context, who, submission_id))


@router.post(
    "/submissions/{submission_id}/replay",
    status_code=HTTPStatus.ACCEPTED,
    summary="Send a submission again",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        details={
            **_UNKNOWN,
            HTTPStatus.CONFLICT: "A newer submission of this contact was delivered; sending this "
            "one would put older answers over newer ones. Add force=true to do that.",
        },
    ),
)
async def replay_submission(
    submission_id: SubmissionId,
    context: CurrentContext,
    who: CurrentCaller,
    force: Annotated[
        bool, Query(description="Also over newer answers of the same contact.")
    ] = False,
) -> SubmissionView:
    """Put it back in line, with the integration as it is now and a fresh schedule of tries.

    Use it for dead ones after the cause is mended, and for skipped ones after a rule was changed.
    """
    return SubmissionView.explained(
        await replaying.replay(context, who, submission_id, force=force)
    )


@router.post(
    "/submissions/replay",
    status_code=HTTPStatus.ACCEPTED,
    summary="Send many submissions again",
    responses=_FILTERED,
)
async def replay_submissions(
    context: CurrentContext,
    who: CurrentCaller,
    filters: Narrowed,
    sure: Sure,
    force: Annotated[
        bool, Query(description="Also over newer answers of the same contact.")
    ] = False,
) -> ReplayedView:
    """Count all that match; with `confirm=true`, put them back in line, the oldest first.

    The filter is that of `GET /submissions`, in the body or in the query. Refused are those of
    whose contact a newer one was delivered (unless `force`), and those whose integration is gone.
    """
    wanted = filters.wanted(context.clock())
    done = await replaying.replay_all(context, who, wanted, force=force, dry_run=not sure)
    return ReplayedView(dry_run=not sure, replayed=done.replayed, refused=done.refused)


@router.post(
    "/submissions/{submission_id}/discard",
    summary="Give a submission up",
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        details={
            **_UNKNOWN,
            HTTPStatus.CONFLICT: "It is delivered; only dead and pending ones are discarded.",
        },
    ),
)
async def discard_submission(
    submission_id: SubmissionId, context: CurrentContext, who: CurrentCaller
) -> SubmissionView:
    """End a dead or pending submission. It becomes `skipped`, reason `discarded`.

    Use it for what a person has dealt with, or for one that keeps others waiting. A replay brings
    it back while its payload is kept.
    """
    return SubmissionView.explained(await discarding.discard(context, who, submission_id))


@router.post(
    "/submissions/discard",
    summary="Give many submissions up",
    responses=_FILTERED,
)
async def discard_submissions(
    context: CurrentContext, who: CurrentCaller, filters: Narrowed, sure: Sure
) -> DiscardedView:
    """Count all dead and pending ones that match; with `confirm=true`, end them.

    The filter is that of `GET /submissions`, in the body or in the query. They become `skipped`.
    """
    wanted = filters.wanted(context.clock())
    discarded = await discarding.discard_all(context, who, wanted, dry_run=not sure)
    return DiscardedView(dry_run=not sure, discarded=discarded)


@router.post(
    "/erasures",
    summary="Erase a person",
    response_model_exclude_unset=True,
    responses=documented(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={HTTPStatus.UNPROCESSABLE_ENTITY: told(NoAddress())},
    ),
)
async def erase_person(
    context: CurrentContext,
    who: CurrentCaller,
    erasure: Erasure,
    dry_run: Annotated[bool, Query(description="Only count.")] = False,
) -> Erased:
    """Wipe a person's payloads and keys from the ledger; what is pending is not sent any more.

    Other people's submissions that mention the address are cleared of it. The rows stay for the
    counts, and nothing in them tells whose they were. Count first with `dry_run=true`. Give both
    addresses if you know both. Cordial is not told: erase the contact there too.
    """
    erased = await erasing.erase(
        context, who, email=erasure.email, phone=erasure.phone, dry_run=dry_run
    )
    return Erased(erased=erased, dry_run=True) if dry_run else Erased(erased=erased)


@router.get("/stats", summary="Count submissions")
async def count_submissions(context: CurrentContext) -> list[CountsView]:
    """Counts by status and the age of the oldest pending, for each integration."""
    return [CountsView.of(each) for each in await submissions.count(context)]


def _cursor(seq: int) -> str:
    return urlsafe_b64encode(str(seq).encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        seq = int(urlsafe_b64decode(cursor))
    except ValueError:
        seq = -1
    if not 0 <= seq < 2**63:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "cursor: give it as the page before gave it."
        )
    return seq
