"""Failures on demand: what Cordial, its edge or the network may do to a request."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue
from starlette.responses import Response
from starlette.types import Receive, Scope

from app.sandbox.account import Fixture
from app.sandbox.answers import (
    Answer,
    authentication_failure,
    forbidden,
    path_not_found,
    too_fast,
)

FaultKind: TypeAlias = Literal[
    "rate_limited",
    "rate_limited_reset",
    "server_error",
    "html_502",
    "slow",
    "reset_after_write",
    "success_false",
    "empty_body",
    "no_content",
    "text_body",
    "cut_body",
    "unauthorized",
    "forbidden",
    "html_403",
    "not_found",
    "answer",
]


class GivenAnswer(Fixture):
    """An answer of one's own, for `answer`: a JSON body, or text as it stands.

    `written` says whether the contact is written before.
    """

    status: Annotated[int, Field(ge=200, le=599)]
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonValue = None
    text: str | None = None
    written: bool = False


class Fault(Fixture):
    """A failure to come.

    `times` is how many requests are still hit (None: until cleared), `email` limits it to bodies
    with that address, `holding` to those whose JSON holds that text, `path`
    to addresses that end so. `retry_after` (s) is for
    `rate_limited` (no header when None) and `rate_limited_reset`, `seconds` is how long `slow`
    waits before it writes and answers, `answer` is for `answer`.
    """

    kind: FaultKind
    times: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    retry_after: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] = 1.0
    email: str | None = None
    holding: str | None = None
    path: str | None = None
    answer: GivenAnswer | None = None


class FaultPlan(Fixture):
    """Body of `PUT /_sandbox/faults`: replaces all faults; a seed restarts their randomness."""

    faults: list[Fault]
    seed: int | None = None


def take_fault(
    faults: list[Fault], email: str | None, path: str, body: JsonValue, random: Random
) -> Fault | None:
    """Take from `faults` the first that hits a request with this email, path and body, if any."""
    for at, fault in enumerate(faults):
        meant = fault.email is None or fault.email.lower() == email
        if fault.path is not None:
            meant = meant and path.endswith(fault.path)
        if fault.holding is not None:
            meant = meant and fault.holding in json.dumps(body, ensure_ascii=False)
        if meant and random.random() < fault.probability:
            faults[at : at + 1] = _left_of(fault)
            return fault
    return None


def _left_of(fault: Fault) -> list[Fault]:
    if fault.times is None:
        return [fault]
    return [fault.model_copy(update={"times": fault.times - 1})] if fault.times > 1 else []


# --- Faults that answer in Cordial's place --------------------------------------------------


def answer_in_place(fault: Fault) -> Response | None:
    """Return what the caller gets instead of Cordial's answer; None if Cordial still answers."""
    if fault.kind == "answer" and fault.answer and not fault.answer.written:
        return _given(fault.answer)
    answer = _ANSWERS.get(fault.kind)
    return answer(fault) if answer else None


def answer_after(fault: Fault) -> Response | None:
    """Return what the caller gets once Cordial has done what it was asked; None: its own answer."""
    if fault.kind == "answer" and fault.answer and fault.answer.written:
        return _given(fault.answer)
    answer = _AFTER.get(fault.kind)
    return answer() if answer else None


def _given(answer: GivenAnswer) -> Response:
    content = json.dumps(answer.body) if answer.text is None else answer.text
    kind = "application/json" if answer.text is None else "text/html"
    response = Response(content, answer.status, media_type=kind)
    response.headers.update(answer.headers)
    return response


def _rate_limited(fault: Fault) -> Response:
    told = fault.retry_after is not None
    return too_fast({"Retry-After": str(fault.retry_after)} if told else None)


def _rate_limited_reset(fault: Fault) -> Response:
    seconds = 1 if fault.retry_after is None else fault.retry_after
    return too_fast({"X-Rate-Limit-Reset": str(seconds)})


_ANSWERS: dict[FaultKind, Callable[[Fault], Response]] = {
    "rate_limited": _rate_limited,
    "rate_limited_reset": _rate_limited_reset,
    "server_error": lambda _: Answer({"error": "an error has occurred"}, status_code=500),
    # The edge in front of Cordial speaks HTML.
    "html_502": lambda _: Response(
        "<html><body><h1>502 Bad Gateway</h1></body></html>", 502, media_type="text/html"
    ),
    "success_false": lambda _: Answer({"success": False, "message": "contact not saved"}),
    "cut_body": lambda _: Response(b'{"success": tr', 200, media_type="application/json"),
    "unauthorized": lambda _: authentication_failure(),
    "forbidden": lambda _: forbidden(),
    # A firewall in front of Cordial refuses what a request holds.
    "html_403": lambda _: Response(
        "<html><body><h1>403 Forbidden</h1></body></html>", 403, media_type="text/html"
    ),
    "not_found": lambda _: path_not_found("/v2/contacts"),
}


_AFTER: dict[FaultKind, Callable[[], Response]] = {
    "empty_body": lambda: Response(b"", 200, media_type="application/json"),
    "no_content": lambda: Response(status_code=204),
    "text_body": lambda: Response("OK", 200, media_type="text/plain"),
}


# --- Faults on the way: `slow` and `reset_after_write` --------------------------------------


async def linger(seconds: float, receive: Receive, clock: Callable[[], float]) -> float | None:
    """Let time pass. Return when the caller hung up, by `clock`; None if it did not.

    Cordial does what it was asked all the same.
    """
    until = time.monotonic() + seconds
    left = None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            left = clock()
    await asyncio.sleep(until - time.monotonic())
    return left


async def drop_connection(scope: Scope, receive: Receive) -> None:
    """Close the connection without a byte of answer.

    ASGI has no word for that, so this reaches for uvicorn's transport. Under a server without
    one (httpx.ASGITransport) the caller gets the exception itself.
    """
    transport = getattr(getattr(scope["sandbox.send"], "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox dropped the connection after the write")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass  # uvicorn takes a call that ends while connected for a broken app
