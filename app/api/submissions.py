"""Finding, explaining and replaying submissions."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import DESCRIBED, REFUSED, Protected
from app.api.problems import Problem, documented
from app.api.state import CurrentState, State
from app.api.views import (
    AttemptView,
    CountsView,
    PlanView,
    SubmissionSummary,
    SubmissionView,
    explain,
    moment,
    show_payload,
)
from app.jebbit.submission import read
from app.ledger import retention
from app.ledger import submissions as ledger
from app.ledger.integrations import UnknownIntegration
from app.ledger.schema import SubmissionStatus
from app.ledger.submissions import (
    Filter,
    NotReplayable,
    StoredSubmission,
    UnknownSubmission,
)
from app.rules.contact import normalize_email, normalize_phone

router = APIRouter(
    tags=["submissions"],
    route_class=Protected,
    dependencies=[DESCRIBED],
    responses={**REFUSED, **documented(HTTPStatus.SERVICE_UNAVAILABLE)},
)

_CODE = r"^[a-z0-9_-]+$"
_NO_ADDRESS = "Give an email address, or a phone number, best with its country code (+1...)."
_AN_ID = "01a20ac69210234f482e7fb8c55a324e"

SubmissionId = Annotated[
    str,
    Path(
        description="As GET /submissions and the webhook's answer show it.",
        openapi_examples={"one": {"value": _AN_ID}},
    ),
]


def _unknown_text(submission_id: str) -> str:
    return f"No submission has the id {submission_id!r}; GET /submissions lists them."


_UNKNOWN = {HTTPStatus.NOT_FOUND: _unknown_text(_AN_ID)}


class SubmissionPage(BaseModel):
    """A page of submissions, newest first."""

    submissions: list[SubmissionSummary]
    cursor: str | None = Field(description="Give it as `cursor` for the next page; null: no more.")


class ReplayFilter(BaseModel):
    """Which submissions are to be sent again."""

    model_config = ConfigDict(extra="forbid")

    integration: str = Field(pattern=_CODE, examples=["spring-quiz"])
    status: Literal["dead", "skipped", "delivered"] = Field(examples=["dead"])
    reason: str | None = Field(None, pattern=_CODE, examples=["rejected"])
    since: datetime | None = Field(
        None, description="Received at or after.", examples=["2026-11-01T00:00:00Z"]
    )
    until: datetime | None = Field(
        None, description="Received before.", examples=["2026-12-01T00:00:00Z"]
    )


class ReplayedView(BaseModel):
    """What a replay of many did, or with `dry_run` would do."""

    dry_run: bool
    replayed: int
    refused: int


class Erasure(BaseModel):
    """Who is to be erased."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: str | None = Field(None, max_length=320, examples=["ann@example.com"])
    phone: str | None = Field(None, max_length=40, examples=["+15555550101"])


class Erased(BaseModel):
    """What an erasure did."""

    erased: int = Field(description="Submissions of which nothing personal is left.")


@dataclass(frozen=True, slots=True)
class Person:
    """How the ledger knows a person: contact keys, and the address as it may stand in a text."""

    keys: list[str]
    texts: list[str]


@router.get(
    "/submissions",
    summary="List submissions",
    responses=documented(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={
            HTTPStatus.UNPROCESSABLE_ENTITY: "status: Input should be 'pending', 'delivered', "
            "'skipped', 'dead' or 'test'"
        },
    ),
)
async def list_submissions(
    state: CurrentState,
    integration: Annotated[str | None, Query(pattern=_CODE, examples=["spring-quiz"])] = None,
    status: SubmissionStatus | None = None,
    reason: Annotated[str | None, Query(pattern=_CODE, examples=["rejected"])] = None,
    contact: Annotated[
        str | None, Query(description="An email address or phone number.", max_length=320)
    ] = None,
    since: Annotated[datetime | None, Query(description="Received at or after.")] = None,
    until: Annotated[datetime | None, Query(description="Received before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> SubmissionPage:
    """Newest first. Start with `status=dead` when woken: `reason` says what a person must do."""
    wanted = Filter(
        integration_id=integration,
        status=status,
        reason=reason,
        contact_keys=(await _person(state, contact, contact)).keys if contact is not None else None,
        since=_seconds(since),
        until=_seconds(until),
    )
    before = _read_cursor(cursor) if cursor else None
    found = await ledger.newest(state.database, wanted, limit=limit + 1, before=before)
    page = found[:limit]
    more = _cursor(page[-1]) if len(found) > limit else None
    return SubmissionPage(submissions=[SubmissionSummary.of(each) for each in page], cursor=more)


@router.get(
    "/submissions/{submission_id}",
    summary="Show and explain a submission",
    responses=documented(HTTPStatus.NOT_FOUND, details=_UNKNOWN),
)
async def get_submission(submission_id: SubmissionId, state: CurrentState) -> SubmissionView:
    """Everything known of it: history, payload, and the plan as it would be made now."""
    try:
        stored = await ledger.find(state.database, submission_id)
    except UnknownSubmission:
        raise _unknown(submission_id) from None
    return await _view(state, stored)


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
    state: CurrentState,
    force: Annotated[
        bool, Query(description="Also over newer answers of the same contact.")
    ] = False,
) -> SubmissionView:
    """Put it back in line, with the integration as it is now and a fresh schedule of tries.

    Use it for dead ones after the cause is mended, and for skipped ones after a rule was changed.
    """
    try:
        await ledger.replay(state.database, submission_id, force=force, now=state.clock())
        stored = await ledger.find(state.database, submission_id)
    except UnknownSubmission:
        raise _unknown(submission_id) from None
    except NotReplayable as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    state.wake()
    return await _view(state, stored)


@router.post(
    "/submissions/replay",
    status_code=HTTPStatus.ACCEPTED,
    summary="Send many submissions again",
    responses=documented(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        details={
            HTTPStatus.UNPROCESSABLE_ENTITY: "status: Input should be 'dead', 'skipped' or "
            "'delivered'"
        },
    ),
)
async def replay_submissions(
    state: CurrentState,
    wanted: ReplayFilter,
    dry_run: Annotated[bool, Query(description="Only count; do this first.")] = False,
    force: Annotated[
        bool, Query(description="Also over newer answers of the same contact.")
    ] = False,
) -> ReplayedView:
    """Put all that match back in line, the oldest first; `status` and `integration` are needed.

    Refused are those of whose contact a newer one was delivered (unless `force`), and those whose
    integration is gone.
    """
    matching = Filter(
        integration_id=wanted.integration,
        status=SubmissionStatus(wanted.status),
        reason=wanted.reason,
        since=_seconds(wanted.since),
        until=_seconds(wanted.until),
    )
    done = await ledger.replay_all(
        state.database, matching, force=force, dry_run=dry_run, now=state.clock()
    )
    state.wake()
    return ReplayedView(dry_run=dry_run, replayed=done.replayed, refused=done.refused)


@router.post(
    "/erasures",
    summary="Erase a person",
    responses=documented(
        HTTPStatus.UNPROCESSABLE_ENTITY, details={HTTPStatus.UNPROCESSABLE_ENTITY: _NO_ADDRESS}
    ),
)
async def erase_person(state: CurrentState, erasure: Erasure) -> Erased:
    """Wipe a person's payloads and keys from the ledger; what is pending is not sent any more.

    The rows stay for the counts, and nothing in them tells whose they were. Cordial is not told:
    erase the contact there too. Give both addresses where both are known.
    """
    # Each by itself: one that cannot be read must not be passed over because of the other.
    known = [
        await _person(state, email, phone)
        for email, phone in ((erasure.email, None), (None, erasure.phone))
        if email is not None or phone is not None
    ]
    if not known:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _NO_ADDRESS)
    keys = [key for each in known for key in each.keys]
    texts = [text for each in known for text in each.texts]
    return Erased(erased=await retention.erase(state.database, keys, texts, state.clock()))


@router.get("/stats", summary="Count submissions")
async def stats(state: CurrentState) -> list[CountsView]:
    """Counts by status and the age of the oldest pending, for each integration."""
    return [CountsView.of(each) for each in await ledger.count(state.database, state.clock())]


async def _view(state: State, stored: StoredSubmission) -> SubmissionView:
    attempts = [
        AttemptView(
            at=moment(each.at) or "",
            ms=round(each.ms, 1),
            http_status=each.http_status,
            outcome=each.outcome,
            error=each.error,
        )
        for each in stored.attempts
    ]
    return SubmissionView.of(
        stored,
        attempts=attempts,
        payload=show_payload(stored.payload),
        plan=await _plan(state, stored),
    )


async def _plan(state: State, stored: StoredSubmission) -> PlanView | None:
    submission = read(stored.payload) if stored.payload is not None else None
    if submission is None:
        return None
    try:
        integration = await state.integrations.get(stored.integration_id)
    except UnknownIntegration:
        return None
    return await explain(state, submission, integration)


async def _person(state: State, email: str | None, phone: str | None) -> Person:
    """Return how the ledger knows a person.

    A phone number without a country code is read as each integration would read it.

    Raises:
        Problem: 422 where neither is an address.
    """
    stored = await state.integrations.list() if phone else []
    regions = {"US", *(each.integration.jebbit.default_phone_country for each in stored)}
    numbers = {normalize_phone(phone, region) for region in regions} - {None}
    address = normalize_email(email)
    if not numbers and not address:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _NO_ADDRESS)
    keys = [state.pseudonyms.phone(number) for number in numbers if number]
    texts = [number.removeprefix("+") for number in numbers if number]
    if address:
        return Person([*keys, state.pseudonyms.email(address)], [*texts, address])
    return Person(keys, texts)


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cursor(last: StoredSubmission) -> str:
    return urlsafe_b64encode(str(last.seq).encode()).decode()


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


def _unknown(submission_id: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, _unknown_text(submission_id))
