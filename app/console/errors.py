"""Errors as pages: what happened, and what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from fastapi import Request, Response
from starlette.exceptions import HTTPException

from app.console.rendering import render_bare
from app.jebbit.submission import TooManyItems, UnreadableBody
from app.ledger.changes import UnknownVersion
from app.ledger.database import UNAVAILABLE
from app.ledger.integrations import (
    NameTaken,
    NotAnswered,
    StillPending,
    UnknownIntegration,
    VersionChanged,
)
from app.ledger.replays import NotDiscardable, NotReplayable
from app.ledger.submissions import UnknownSubmission
from app.ledger.vault import WRONG_KEY, WrongSecretKey
from app.operations.checking import CheckFailed
from app.operations.invalid import Invalid
from app.operations.people import NoAddress
from app.operations.registering import (
    GoneAtJebbit,
    JebbitUnreachable,
    NoOrphan,
    NotReachable,
    NotRegistered,
    RefusedByJebbit,
    RegisteredAlready,
    ThereAlready,
)
from app.operations.rotating import AmbiguousSecret, LastSecret, UnknownSecret
from app.operations.signing_in import NotAllowed, NoToken, WrongToken
from app.operations.slowdown import RETRY_AFTER_SECONDS, TooManyWrongTokens
from app.telemetry.logs import place_of

log = structlog.get_logger("console")


class Refusal(NamedTuple):
    """The status of an error, and what is said, by the error."""

    status: HTTPStatus
    says: Callable[[Any], str]


_TABLE: Mapping[type[Exception], Refusal] = {
    NoToken: Refusal(HTTPStatus.UNAUTHORIZED, lambda _: "Paste a token."),
    WrongToken: Refusal(
        HTTPStatus.UNAUTHORIZED, lambda _: "Nobody has this token. Check that all of it was copied."
    ),
    TooManyWrongTokens: Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        lambda _: (
            "Too many wrong tokens come from your address. "
            f"Wait {RETRY_AFTER_SECONDS} seconds, then paste the right one."
        ),
    ),
    NotAllowed: Refusal(
        HTTPStatus.FORBIDDEN,
        lambda error: (
            f"{error.who.name} has the role {error.who.role.value}, which does not allow this. "
            "Ask an admin."
        ),
    ),
    UnknownIntegration: Refusal(
        HTTPStatus.NOT_FOUND, lambda _: "There is no such integration. It may have been deleted."
    ),
    UnknownSubmission: Refusal(
        HTTPStatus.NOT_FOUND, lambda _: "There is no such submission. Check the id."
    ),
    UnknownVersion: Refusal(
        HTTPStatus.NOT_FOUND, lambda _: "There was no such version. Look at those that are kept."
    ),
    UnknownSecret: Refusal(
        HTTPStatus.NOT_FOUND,
        lambda _: "No webhook secret ends like this. It may be removed already.",
    ),
    UnreadableBody: Refusal(HTTPStatus.BAD_REQUEST, str),
    TooManyItems: Refusal(HTTPStatus.BAD_REQUEST, str),
    Invalid: Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str),
    NoAddress: Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        lambda _: "Give an email address, or a phone number, best with its country code (+1...).",
    ),
    RefusedByJebbit: Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str),
    NameTaken: Refusal(
        HTTPStatus.CONFLICT, lambda error: f"An integration has the id {error} already."
    ),
    StillPending: Refusal(
        HTTPStatus.CONFLICT, lambda error: f"{error.count} submissions are still waiting."
    ),
    VersionChanged: Refusal(
        HTTPStatus.PRECONDITION_FAILED, lambda _: "Somebody else changed it meanwhile. Look again."
    ),
    CheckFailed: Refusal(
        HTTPStatus.CONFLICT, lambda error: f"The check finds errors; mend them first. {error}"
    ),
    NotAnswered: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            "It was not resumed: nobody has said yet whom it sends and whom it subscribes. Answer "
            f"at /console/integrations/new/{error}/whom."
        ),
    ),
    AmbiguousSecret: Refusal(
        HTTPStatus.CONFLICT, lambda _: "Several webhook secrets end like this."
    ),
    LastSecret: Refusal(
        HTTPStatus.CONFLICT, lambda _: "This is the last webhook secret; add the new one first."
    ),
    NotDiscardable: Refusal(HTTPStatus.CONFLICT, str),
    NotReplayable: Refusal(HTTPStatus.CONFLICT, str),
    NotReachable: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"Jebbit cannot post to {error}: set PUBLIC_URL to the https:// address under which "
            "the outside reaches this service."
        ),
    ),
    NotRegistered: Refusal(
        HTTPStatus.CONFLICT, lambda _: "It was not registered at Jebbit from here."
    ),
    RegisteredAlready: Refusal(
        HTTPStatus.CONFLICT, lambda error: f"It is registered already, as {error}."
    ),
    ThereAlready: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: f"Jebbit has this webhook's address already, in its integration {error}.",
    ),
    NoOrphan: Refusal(
        HTTPStatus.CONFLICT, lambda error: f"{error} is the one that is registered here."
    ),
    GoneAtJebbit: Refusal(
        HTTPStatus.CONFLICT, lambda _: "Jebbit does not know this integration, or no longer."
    ),
    JebbitUnreachable: Refusal(
        HTTPStatus.BAD_GATEWAY,
        lambda error: (
            f"Jebbit's API gives no usable answer ({error}). Try again; after a timeout look at "
            "Jebbit first, it may have done it."
        ),
    ),
}
_TITLES: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "This cannot be read",
    HTTPStatus.UNAUTHORIZED: "You are not signed in",
    HTTPStatus.FORBIDDEN: "You may not do this",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page takes no such request",
    HTTPStatus.CONFLICT: "This cannot be done now",
    HTTPStatus.PRECONDITION_FAILED: "It was changed meanwhile",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something must be corrected",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many tries",
    HTTPStatus.INTERNAL_SERVER_ERROR: "This is a defect of the service",
    HTTPStatus.BAD_GATEWAY: "Jebbit does not answer",
    HTTPStatus.SERVICE_UNAVAILABLE: "The ledger cannot be used now",
}


_LATER = "Nothing is lost. Load this page again in a moment."
# A connection that breaks during a commit leaves open whether the change was made.
_NOT_DONE = "What you asked for may not be done. Go back, look, and do it again in a moment."


class OtherOrigin(Exception):
    """Another site lets the browser ask for a change."""


class UnreadableAddress(Exception):
    """The page's address holds a filter that cannot be meant; the message says which."""


@dataclass(frozen=True, slots=True)
class ErrorView:
    """What went wrong, and what to do."""

    title: str
    text: str


def told(error: Exception) -> tuple[HTTPStatus, str] | None:
    """Return the status of an error that a person may cause, and what they are told."""
    if refusal := _TABLE.get(type(error)):
        return refusal.status, refusal.says(error)
    if isinstance(error, UnreadableAddress):
        return HTTPStatus.UNPROCESSABLE_ENTITY, str(error)
    if isinstance(error, HTTPException):
        return HTTPStatus(error.status_code), "Check the address."
    return None


def page_of(error: Exception, request: Request) -> Response:
    """Return an error as a page; what should not have happened is logged, and tells nothing."""
    if known := told(error):
        return _page(request, *known)
    if isinstance(error, OtherOrigin):
        text = "This change was asked for by another site, so nothing was changed."
        return _page(request, HTTPStatus.FORBIDDEN, text)
    if isinstance(error, UNAVAILABLE):
        log.warning("ledger_unavailable", error=place_of(error))
        return _later(request, _LATER if request.method in ("GET", "HEAD") else _NOT_DONE)
    if isinstance(error, WrongSecretKey):
        log.error("secret_key_out_of_date")
        return _later(request, f"{WRONG_KEY}. Nothing is lost.")
    log.error("defect", error=place_of(error))
    text = "The service's log says where it went wrong."
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, text)


def _later(request: Request, text: str) -> Response:
    response = _page(request, HTTPStatus.SERVICE_UNAVAILABLE, text)
    response.headers["Retry-After"] = "5"
    return response


def _page(request: Request, status: HTTPStatus, text: str) -> Response:
    title = _TITLES.get(status, status.phrase)
    return render_bare(request, "error.html", title, ErrorView(title, text), status)
