"""How the errors of operations are answered: a status and a text that says what to do."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request

from app.api.problems import Place, Problem, ProblemResponse, respond
from app.jebbit.submission import TooManyItems, UnreadableBody
from app.ledger.changes import UnknownVersion
from app.ledger.integrations import (
    NameTaken,
    NotAnswered,
    StillPending,
    UnknownIntegration,
    VersionChanged,
)
from app.ledger.replays import NotDiscardable, NotReplayable
from app.ledger.submissions import UnknownSubmission
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


class Refusal(NamedTuple):
    """The status of an error, and what is said, by the error."""

    status: HTTPStatus
    says: Callable[[Any], str]
    headers: Mapping[str, str] | None = None


_ASK_FOR_TOKEN = {"WWW-Authenticate": "Bearer"}
_WANTED = "Send Authorization: Bearer with the value of OPS_TOKEN."

_TABLE: Mapping[type[Exception], Refusal] = {
    # The caller may not.
    NoToken: Refusal(HTTPStatus.UNAUTHORIZED, lambda _: _WANTED, _ASK_FOR_TOKEN),
    WrongToken: Refusal(HTTPStatus.UNAUTHORIZED, lambda _: _WANTED, _ASK_FOR_TOKEN),
    TooManyWrongTokens: Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        lambda _: "Too many wrong tokens come from your address. Wait, then send the right one.",
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    ),
    NotAllowed: Refusal(
        HTTPStatus.FORBIDDEN,
        lambda error: (
            f"{error.who.name} has the role {error.who.role.value}, which does not "
            "allow this. Use the token of an admin."
        ),
    ),
    # What the request names is not there.
    UnknownIntegration: Refusal(
        HTTPStatus.NOT_FOUND,
        lambda error: f"No integration has the id {str(error)!r}; GET /integrations lists them.",
    ),
    UnknownSubmission: Refusal(
        HTTPStatus.NOT_FOUND,
        lambda error: f"No submission has the id {str(error)!r}; GET /submissions lists them.",
    ),
    UnknownVersion: Refusal(
        HTTPStatus.NOT_FOUND,
        lambda error: f"It had no version {error}; GET .../changes lists those that are kept.",
    ),
    UnknownSecret: Refusal(
        HTTPStatus.NOT_FOUND,
        lambda error: f"No webhook secret ends in {str(error)!r} or has that fingerprint.",
    ),
    # The request must be corrected.
    UnreadableBody: Refusal(HTTPStatus.BAD_REQUEST, str),
    TooManyItems: Refusal(HTTPStatus.BAD_REQUEST, str),
    Invalid: Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str),
    NoAddress: Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        lambda _: "Give an email address, or a phone number, best with its country code (+1...).",
    ),
    RefusedByJebbit: Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str),
    # Something else must happen first, or the caller must insist.
    NameTaken: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"An integration has the id {error} already. Choose another name, or change "
            f"that one with PATCH /integrations/{error}."
        ),
    ),
    StillPending: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"{error.count} submissions are pending. Wait until they are sent, or add "
            "?force=true: they become dead, reason integration_deleted."
        ),
    ),
    VersionChanged: Refusal(
        HTTPStatus.PRECONDITION_FAILED,
        lambda error: (
            f"It was changed meanwhile and is version {error.current} now. GET it, and "
            "send your change to what it is now."
        ),
    ),
    CheckFailed: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: f"The check finds errors; mend them, or add ?force=true. {error}",
    ),
    NotAnswered: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            "Nobody has said yet whom it sends and whom it subscribes. Answer at "
            f"/console/integrations/new/{error}/whom, or PATCH policy with collect, opt_in and "
            "auto_subscribe."
        ),
    ),
    AmbiguousSecret: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"Several webhook secrets end in {str(error)!r}. Name one by its fingerprint: "
            f"{', '.join(error.fingerprints)}. GET .../webhook-secrets shows them in the order in "
            "which they were added."
        ),
    ),
    LastSecret: Refusal(
        HTTPStatus.CONFLICT,
        lambda _: "This is the last webhook secret; add the new one first.",
    ),
    NotDiscardable: Refusal(HTTPStatus.CONFLICT, str),
    NotReplayable: Refusal(HTTPStatus.CONFLICT, str),
    NotReachable: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"Jebbit cannot post to {error}: set PUBLIC_URL to the https:// address "
            "under which the outside reaches this service."
        ),
    ),
    NotRegistered: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"{error} was not registered here. POST /integrations/{{id}}/jebbit/register "
            "registers it."
        ),
    ),
    RegisteredAlready: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"It is registered already, as Jebbit's integration {error}. Another one "
            "would send everything twice; if that one is gone at Jebbit, add ?force=true."
        ),
    ),
    ThereAlready: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: (
            f"Jebbit has this webhook_url already, in its integration {error}. Another one would "
            "send everything twice. Take that one (jebbit_id in the body), remove it by POST "
            ".../jebbit/orphans/{jebbit_id}/remove, or add ?force=true."
        ),
    ),
    NoOrphan: Refusal(
        HTTPStatus.CONFLICT,
        lambda error: f"{error} is the one that is registered here, and stays.",
    ),
    GoneAtJebbit: Refusal(
        HTTPStatus.CONFLICT,
        lambda _: (
            "Jebbit does not know it, or no longer. If the integration was deleted there, "
            "register it anew: POST .../jebbit/register?force=true."
        ),
    ),
    # Jebbit's API is at fault.
    JebbitUnreachable: Refusal(
        HTTPStatus.BAD_GATEWAY,
        lambda error: (
            f"Jebbit's API gives no usable answer ({error}). Try again; after a timeout "
            "look at Jebbit first, it may have done it."
        ),
    ),
}


def told(error: Exception) -> str:
    """Return what an error of an operation is answered with, also as an example for /docs."""
    return _TABLE[type(error)].says(error)


def install(app: FastAPI) -> None:
    """Answer the errors of operations with problem documents."""
    for kind, refusal in _TABLE.items():
        app.add_exception_handler(kind, _answering(refusal))


def _answering(
    refusal: Refusal,
) -> Callable[[Request, Exception], Coroutine[None, None, ProblemResponse]]:
    async def answer(_: Request, error: Exception) -> ProblemResponse:
        places = [
            Place(place=each.place or "body", detail=each.detail)
            for each in getattr(error, "places", ())
        ]
        return respond(
            Problem(refusal.status, refusal.says(error), errors=places, headers=refusal.headers)
        )

    return answer
