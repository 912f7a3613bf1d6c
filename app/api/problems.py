"""Errors as RFC 9457 problem documents, each saying what to do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from app.api.requests import HEADER, request_id_of
from app.ledger.database import UNAVAILABLE
from app.ledger.vault import WRONG_KEY, WrongSecretKey
from app.telemetry.logs import place_of

log = structlog.get_logger("api")

RETRY_AFTER_SECONDS = 5
# A connection that breaks during a commit leaves open whether it was made.
_LEDGER_UNAVAILABLE = "The ledger cannot be used now; what was sent may not be stored. Try again."


class Place(BaseModel):
    """One place in the request that is wrong."""

    place: str = Field(examples=["policy.opt_in"])
    detail: str = Field(examples=["Input should be 'opted_in_only', 'opted_in_or_null' ..."])


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["No integration has the id 'sprng-quiz'; GET /integrations."])
    errors: list[Place] | None = Field(None, description="For 422: the places that are wrong.")


class Problem(Exception):
    """An answer that says what is wrong and what to do."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[Place] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.members = members or {}  # RFC 9457's extension members


class ProblemResponse(JSONResponse):
    """A problem document as a response."""

    media_type = "application/problem+json"


def document_of(problem: Problem) -> dict[str, Any]:
    """Return a problem as the document that is answered."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
    }
    if problem.errors:
        content["errors"] = [place.model_dump() for place in problem.errors]
    content.update(problem.members)
    return content


def respond(problem: Problem) -> ProblemResponse:
    """Return the response for a problem."""
    headers = dict(problem.headers or {})
    return ProblemResponse(document_of(problem), problem.status, headers=headers)


def ledger_unavailable() -> Problem:
    """Return the problem of a ledger that cannot be reached or cannot store."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        _LEDGER_UNAVAILABLE,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def key_out_of_date() -> Problem:
    """Return the problem of secrets that this process has no key for; another one may have it."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{WRONG_KEY}.", headers=headers)


def defect(error: Exception, headers: Mapping[str, str] | None = None) -> Problem:
    """Log what should not have happened, and return its problem, which tells nothing of it."""
    log.error("defect", error=place_of(error))
    detail = "A defect of this service; its log says where."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, headers=headers)


def invalid(errors: Sequence[ErrorDetails]) -> Problem:
    """Return the problem of a body that does not validate, naming the places, not the values."""
    places = [_wrong(each) for each in errors]
    detail = "; ".join(f"{each.place}: {each.detail}" for each in places)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=places)


def _wrong(error: ErrorDetails) -> Place:
    if error["type"] == "json_invalid":  # its place is a character, its message says nothing
        _, character = error["loc"]
        detail = f"not JSON, at character {character}: {error['ctx']['error']}"
        return Place(place="body", detail=detail)
    return Place(place=_place(error["loc"]), detail=error["msg"].removeprefix("Value error, "))


def _place(loc: Sequence[str | int]) -> str:
    parts = loc[1:] if loc and loc[0] in ("body", "query", "path", "header") else loc
    return ".".join(map(str, parts)) or "body"


_NO_JSON = "it is not sent as JSON; add the header Content-Type: application/json"
_NOT_SENT_AS_JSON = Problem(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    f"body: {_NO_JSON}",
    errors=[Place(place="body", detail=_NO_JSON)],
)
# What the reading of a JSON body raises, besides that it is none.
_UNREADABLE: Mapping[type[BaseException | None], str] = {
    UnicodeDecodeError: "The body is not UTF-8; send it as that.",
    RecursionError: "The body is nested too deeply to be read.",
    ValueError: "A number in the body has too many digits to be read.",
}


def install(app: FastAPI) -> None:
    """Answer errors with problem documents; `refusals` does so for the errors of operations."""

    @app.exception_handler(Problem)
    async def on_problem(_: Request, problem: Problem) -> ProblemResponse:
        return respond(problem)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> ProblemResponse:
        if isinstance(error.body, bytes) and error.body:  # its type says that it is no JSON
            return respond(_NOT_SENT_AS_JSON)
        return respond(invalid(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> ProblemResponse:
        status = HTTPStatus(error.status_code)
        detail = _UNREADABLE.get(type(error.__cause__), str(error.detail))
        return respond(Problem(status, detail, headers=error.headers))

    async def on_unavailable(_: Request, error: Exception) -> ProblemResponse:
        log.warning("ledger_unavailable", error=place_of(error))
        return respond(ledger_unavailable())

    for kind in UNAVAILABLE:
        app.add_exception_handler(kind, on_unavailable)

    @app.exception_handler(WrongSecretKey)
    async def on_other_key(_: Request, __: Exception) -> ProblemResponse:
        log.error("secret_key_out_of_date")
        return respond(key_out_of_date())

    @app.exception_handler(Exception)
    async def on_defect(request: Request, error: Exception) -> ProblemResponse:
        # This answer goes out past the middleware that names the request's id.
        return respond(defect(error, headers={HEADER: request_id_of(request)}))


_EXAMPLES: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: _UNREADABLE[UnicodeDecodeError],
    HTTPStatus.NOT_FOUND: "No integration has the id 'sprng-quiz'; GET /integrations lists them.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "policy.opt_in: Input should be 'opted_in_only', "
    "'opted_in_or_null' or 'everyone'",
    HTTPStatus.SERVICE_UNAVAILABLE: _LEDGER_UNAVAILABLE,
}


def documented(
    *statuses: HTTPStatus, details: Mapping[HTTPStatus, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of these problem answers, each with an example.

    Args:
        statuses: of the answers.
        details: what they say at this operation, where it is not what they say at others. One
            that begins with a place and a colon has that place among its `errors`.
    """
    texts = {**_EXAMPLES, **(details or {})}
    return {each.value: _described(each, texts.get(each, each.phrase)) for each in statuses}


def _described(status: HTTPStatus, detail: str) -> dict[str, Any]:
    place, colon, what = detail.partition(": ")
    errors = [Place(place=place, detail=what)] if colon and " " not in place else []
    content = {
        "schema": {"$ref": "#/components/schemas/ProblemDocument"},
        "example": document_of(Problem(status, detail, errors=errors)),
    }
    return {"description": status.phrase, "content": {ProblemResponse.media_type: content}}
