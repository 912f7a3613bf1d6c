"""Receiving Jebbit's webhooks."""

import asyncio
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.bodies import TOO_SLOW, read_body, size_announced
from app.api.noting import Note, write_down
from app.api.problems import (
    Problem,
    defect,
    documented,
    key_out_of_date,
    ledger_unavailable,
    respond,
)
from app.api.requests import HEADER, RAW_HEADER, begin_request
from app.api.state import State
from app.jebbit import signature
from app.jebbit.signature import InvalidSignature, Signature
from app.jebbit.submission import Item, TooManyItems, UnreadableBody, parse
from app.ledger.accepting import Accepted, Arrival, IntegrationGone, NewSubmission
from app.ledger.database import UNAVAILABLE
from app.ledger.group_commit import GroupCommit, TooManyWaiting
from app.ledger.integrations import StoredIntegration, UnknownIntegration
from app.ledger.vault import WrongSecretKey
from app.rules.drift import words_of
from app.rules.integration import Integration
from app.rules.plan import facts
from app.rules.survey import kind_of
from app.telemetry.logs import place_of
from app.telemetry.metrics import UNKNOWN
from app.turns import in_turns

_WEBHOOK = re.compile("/webhooks/jebbit/([^/]+)/?")  # people paste it with a slash
_SIGNATURE = signature.HEADER.encode()
_TEST = signature.TEST_HEADER.encode()
_LONGEST_SHOWN = 100  # characters of an unknown id, which may be as long as a URL

# What takes the event loop no longer than a moment; what is larger is split in its turn.
_BRIEF_BYTES = 16 * 1024
_WAITING_BYTES = 64 * 1024 * 1024  # of bodies that wait to be split, before they are turned away

# A webhook waits for the ledger for less than the 10 s that we promise, its body not counted.
_LEDGER_SECONDS = 9.0
_READ_SECONDS = 4.0  # of them, to read its integration

RawHeaders = Sequence[tuple[bytes, bytes]]

_WRONG_SIGNATURE = "The signature does not hold. Check the shared secret and the sender's clock."
_UNKNOWN = "No integration has the id {!r}. Its webhook_url says where to post."
_TOO_LARGE = "A webhook may hold {} bytes; WEBHOOK_MAX_BYTES sets that."

router = APIRouter(tags=["webhooks"])


class WebhookAnswer(BaseModel):
    """What became of a webhook. What is counted is on disk."""

    accepted: int = Field(description="Submissions now pending.")
    duplicates: int = Field(description="Submissions that we had already; not stored again.")
    unreadable: int = Field(description="Items that are no objects; kept as dead.")
    test: bool = Field(description="A test webhook: stored, never sent.")
    submissions: list[str] = Field(description="Ids of all that was stored, in order.")


@router.post(
    "/webhooks/jebbit/{integration_id}",
    status_code=HTTPStatus.ACCEPTED,
    summary="Receive a signed webhook from Jebbit",
    description=(
        "The address to register at Jebbit. The signature is checked over the raw bytes, with any "
        "of the integration's secrets; 202 is answered when everything is on disk. On 401, compare "
        "the integration's webhook secret with Jebbit's shared secret, and this machine's clock."
    ),
    responses={
        HTTPStatus.ACCEPTED: {"model": WebhookAnswer, "description": "Stored."},
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.SERVICE_UNAVAILABLE,
            details={
                HTTPStatus.BAD_REQUEST: "The body is JSON, but neither an object nor an array of "
                "objects. It is kept as the dead submission 018bcfe568000f1e2d3c4b5a69788796.",
                HTTPStatus.UNAUTHORIZED: _WRONG_SIGNATURE,
                HTTPStatus.NOT_FOUND: _UNKNOWN.format("sprng-quiz"),
                HTTPStatus.REQUEST_TIMEOUT: TOO_SLOW,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _TOO_LARGE.format(1_048_576),
            },
        ),
    },
    openapi_extra={
        "parameters": [
            {
                "name": signature.HEADER,
                "in": "header",
                "required": True,
                "schema": {"type": "string"},
                "example": "t=1700000000,v1=U0eHcQjggqv6WJKmzZItnxEbnu/2pYMGbq+c1hqGLJE=",
            },
            {
                "name": signature.TEST_HEADER,
                "in": "header",
                "description": "Present on test webhooks.",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {},
                    "example": [{"data": {"email": "ann@example.com", "opt_in": "true"}}],
                }
            },
        },
    },
)
async def receive_webhook(
    integration_id: Annotated[
        str, Path(openapi_examples={"spring-quiz": {"value": "spring-quiz"}})
    ],
) -> Response:
    """Describe the operation in the OpenAPI document; its requests come in by the door below."""
    raise NotImplementedError


class Door:
    """Takes webhooks in before anything else of the application is asked.

    FastAPI's way to an endpoint, with nothing here for it to check or convert, would take longer
    than all that is done with a webhook; so would requests and responses as objects.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._line = _line()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a webhook, and leave everything else to the application."""
        path = scope["path"].removeprefix(scope["root_path"]) if scope["type"] == "http" else ""
        named = _WEBHOOK.fullmatch(path)
        if not named or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        state: State = scope["app"].state.service
        note = Note(begin_request(scope))
        try:
            answer = await _noted(state, self._line, named[1], scope["headers"], receive, note)
        except Problem as problem:
            response = respond(problem)
        except UNAVAILABLE:
            response = respond(ledger_unavailable())
        except WrongSecretKey:
            response = respond(key_out_of_date())
        except Exception as error:
            response = respond(defect(error))
        else:
            await _send(send, answer, note.request_id)
            return
        response.headers[HEADER] = note.request_id
        await response(scope, receive, send)


async def _send(send: Send, answer: bytes, request_id: str) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answer)),
        (RAW_HEADER, request_id.encode()),
    ]
    start = {"type": "http.response.start", "status": HTTPStatus.ACCEPTED.value, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer})


async def _noted(
    state: State,
    line: "_Line",
    integration_id: str,
    headers: RawHeaders,
    receive: Receive,
    note: Note,
) -> bytes:
    """Take a webhook, return the answer, and write down how it went, however that was."""
    started, head = time.perf_counter(), dict(headers)
    with state.traces.webhook(head) as span:
        try:
            taken = _Webhook(integration_id, headers, head, receive, span.traceparent, line)
            return await _take(state, taken, note)
        except BaseException as error:
            note.failed(error)
            raise
        finally:
            write_down(note, state.metrics, span, time.perf_counter() - started)
            if note.refused:
                reason = note.reason or note.outcome
                state.refused.note(note.integration, state.clock(), reason)


class _Webhook(NamedTuple):
    """A webhook as it came in, its body still to be read."""

    integration_id: str
    headers: RawHeaders
    head: Mapping[bytes, bytes]  # the same, the last one of each name
    receive: Receive
    traceparent: str | None
    line: "_Line"

    @property
    def signature(self) -> str | None:
        """The signature header; several are one, as HTTP has it."""
        given = [value for name, value in self.headers if name == _SIGNATURE]
        return b",".join(given).decode("latin-1") if given else None


async def _take(state: State, webhook: _Webhook, note: Note) -> bytes:
    """Take a webhook: size, integration, signature, parse, store, answer, in this order.

    What its head alone shows to be wrong is refused before its body is read.
    """
    if state.integrations.has_read(webhook.integration_id):
        note.integration = webhook.integration_id
    most = state.settings.webhook_max_bytes
    announced = webhook.head.get(b"content-length", b"")
    if size_announced(announced) > most:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE.format(most))
    started = time.monotonic()
    stored = await _integration(state, webhook.integration_id, note)
    waited = time.monotonic() - started
    signed = _read_signature(state, webhook, note)
    too_large = _TOO_LARGE.format(most)
    body = await read_body(webhook.receive, announced, most, state.arriving, too_large)
    note.size = len(body)
    now = state.clock()
    started = time.monotonic()
    stored, signed_at = await _signed_by(state, stored, signed, body, now, note)
    waited += time.monotonic() - started
    note.test = _TEST in webhook.head
    items, unreadable = await _items(webhook.line, _Signed(state, stored, body, now), note)
    arrival = Arrival(
        integration_id=stored.id,
        fingerprint=f"{signed_at:012x}{hashlib.sha256(body).hexdigest()[:52]}",
        expires_at=signed_at + state.settings.webhook_tolerance_seconds,
        received_at=now,
        test=note.test,
        items=items,
        request_id=note.request_id,
        traceparent=webhook.traceparent,
        version=stored.version,
    )
    del body  # the items hold what is kept of it while they wait
    accepted = note.accepted = await _store(state, arrival, note, _LEDGER_SECONDS - waited)
    if accepted.pending:
        state.wake()
    if unreadable is not None:
        kept = f"as the dead submission {accepted.ids[0]}" if accepted.ids else "already"
        raise Problem(HTTPStatus.BAD_REQUEST, f"{unreadable} It is kept {kept}.")
    return to_json(
        {
            "accepted": accepted.pending,
            "duplicates": accepted.duplicates,
            "unreadable": accepted.unreadable,
            "test": arrival.test,
            "submissions": accepted.ids,
        }
    )


async def _integration(state: State, integration_id: str, note: Note) -> StoredIntegration:
    stored = state.integrations.known(integration_id)
    if stored is None:  # hardly ever: a time limit costs more than the look
        try:
            async with asyncio.timeout(_READ_SECONDS):
                stored = await state.integrations.recent(integration_id)
        except UnknownIntegration:
            raise _unknown(integration_id) from None
    note.integration = stored.id
    return stored


def _read_signature(state: State, webhook: _Webhook, note: Note) -> Signature:
    """Return what the signature header says, if it may be true."""
    tolerance = state.settings.webhook_tolerance_seconds
    try:
        return signature.read(webhook.signature, state.clock(), tolerance)
    except InvalidSignature as error:
        raise _untrue(error, note) from None


async def _signed_by(
    state: State,
    stored: StoredIntegration,
    signed: Signature,
    body: bytes,
    now: float,
    note: Note,
) -> tuple[StoredIntegration, int]:
    """Return the integration whose secret the webhook was signed with, and when."""

    def verified(by: StoredIntegration) -> tuple[StoredIntegration, int]:
        secrets = by.integration.jebbit.webhook_secrets
        return by, signed.verify(body, [each.get_secret_value() for each in secrets])

    try:
        signed.check_age(now, state.settings.webhook_tolerance_seconds)  # a body takes its time
        try:
            return verified(stored)
        except InvalidSignature:
            # The secret may have been added a moment ago, through another replica.
            fresh = await state.integrations.doubted(stored.id)
            if fresh is None or fresh.version == stored.version:
                raise
            return verified(fresh)
    except UnknownIntegration:
        note.integration = UNKNOWN
        raise _unknown(stored.id) from None
    except InvalidSignature as error:
        raise _untrue(error, note) from None


def _untrue(error: InvalidSignature, note: Note) -> Problem:
    """Return the refusal, the same for every cause: it tells a forger nothing."""
    note.reason = error.reason
    return Problem(HTTPStatus.UNAUTHORIZED, _WRONG_SIGNATURE)


def _unknown(integration_id: str) -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND,
        _UNKNOWN.format(integration_id[:_LONGEST_SHOWN]),
    )


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed body that is to be split."""

    state: State
    stored: StoredIntegration
    body: bytes
    now: float


_Items = tuple[list[NewSubmission], UnreadableBody | None]
_Line = GroupCommit[_Signed, _Items]


def _line() -> _Line:
    """Return the line in which large bodies wait to be split: one at a time, sources in turn."""

    async def split_next(next_one: Sequence[_Signed]) -> Sequence[_Items]:
        return [await _split(each) for each in next_one]

    return GroupCommit(
        split_next,
        weigh=lambda signed: len(signed.body),
        source=lambda signed: signed.stored.id,
        group_weight=1,
        waiting_weight=_WAITING_BYTES,
    )


async def _items(line: _Line, signed: _Signed, note: Note) -> _Items:
    """Split a body, a large one in its turn: what is short goes on meanwhile."""
    if len(signed.body) <= _BRIEF_BYTES:
        return await _split(signed)
    try:
        return await line.submit(signed)
    except TooManyWaiting:
        note.reason = "too_many_waiting"
        raise ledger_unavailable() from None


async def _split(signed: _Signed) -> _Items:
    """Split a body; one that cannot be read is kept whole, as one item."""
    try:
        items = parse(signed.body)
    except TooManyItems as error:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from None
    except UnreadableBody as error:
        return [NewSubmission(signed.body, readable=False)], error
    state, integration, now = signed.state, signed.stored.integration, signed.now
    return [_new(state, integration, each, now) async for each in in_turns(items)], None


def _new(state: State, integration: Integration, item: Item, received_at: float) -> NewSubmission:
    if item.submission is None:
        return NewSubmission(item.payload, readable=False)
    read = facts(item.submission, integration, received_at)
    identity, session, occurred_at = read.identity, read.session, read.occurred_at
    attributes, pseudonyms = item.submission.attributes, state.pseudonyms
    contact_key, phone_key = pseudonyms.keys(identity.email, identity.phone)
    content = to_json(item.submission.in_order)
    session_key = pseudonyms.session(session, content, occurred_at) if session else None
    return NewSubmission(
        payload=item.payload,
        readable=True,
        contact_key=contact_key,
        phone_key=phone_key,
        content=session_key or pseudonyms.content(content),
        session_key=session_key,
        occurred_at=occurred_at,
        refused=pseudonyms.refused(
            identity.email,
            identity.phone,
            email_at=read.refusals.email,
            sms_at=read.refusals.sms,
        ),
        kinds=tuple(zip(attributes, map(kind_of, attributes.values()), strict=True)),
        asked=read.asked,
        phone=read.identity.phone_usable,
        words=words_of(read.answers),
    )


async def _store(state: State, arrival: Arrival, note: Note, seconds: float) -> Accepted:
    """Return when the arrival is on disk; anything else is a 503, so that it is sent again."""
    try:
        accepted = await state.accepting.submit(arrival, patience=seconds)
    except TooManyWaiting:
        note.reason = "too_many_waiting"
        raise ledger_unavailable() from None
    except UNAVAILABLE as error:
        note.reason = place_of(error)
        raise ledger_unavailable() from None
    if isinstance(accepted, IntegrationGone):
        raise _unknown(arrival.integration_id)
    return accepted
