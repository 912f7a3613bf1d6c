"""The HTTP client for one Cordial account."""

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from pydantic import JsonValue
from pydantic_core import to_json
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from app.answers import Answer, UnreadableAnswer, exchange
from app.cordial.attributes import AccountAttribute, read_attributes, read_lists
from app.cordial.errors import (
    CordialError,
    NoAnswer,
    TimedOut,
    Unavailable,
    Upserted,
    error_class,
    names_path,
    read_answer,
    refused_by_proxy,
)
from app.egress import ProxyRefused
from app.pool import Body
from app.rules.values import FieldType

QUICK_TRIES = 3
_QUICK_WAIT = wait_random_exponential(multiplier=0.25, max=2)  # seconds, up to

Observe = Callable[[int | None, str, float], None]
"""Told of each request: HTTP status (None: no answer), class of error (`none`), seconds."""

Read = TypeVar("Read")


async def _nothing() -> None:
    """Do nothing after waiting."""


class CordialClient:
    """Calls one account's REST API v2, with retries for what passes within seconds.

    By the pool alone: httpx's client would follow redirects and keep cookies, neither of which may
    be, and takes for not doing so as long as the pool for a request.
    """

    def __init__(
        self,
        pool: httpx.AsyncBaseTransport,
        base: str,
        api_key: str,
        *,
        timeout: float,
        requests_per_second: float | None = None,
        clock: Callable[[], float] = time.time,
        observe: Observe = lambda status, error, seconds: None,
    ) -> None:
        """Take the account's API address, its key and the longest time (s) an answer may take."""
        self._pool = pool
        self._base = base
        # Cordial: HTTP Basic, the key is the user name, the password empty.
        credentials = b64encode(f"{api_key}:".encode()).decode()
        self._headers = httpx.Headers(
            [
                ("Host", httpx.URL(base).netloc.decode("ascii")),
                ("Authorization", f"Basic {credentials}"),
                ("Content-Type", "application/json"),
                ("Accept", "application/json"),
                ("Accept-Encoding", "gzip"),
                ("User-Agent", "jebbit-cordial-sync"),
            ]
        )
        self._urls: dict[str, httpx.URL] = {}
        self._timeout = timeout
        self._clock = clock
        self._limiter = _limiter(requests_per_second)
        self._observe = observe

    async def upsert(
        self,
        body: Mapping[str, JsonValue],
        *,
        tries: int = QUICK_TRIES,
        before_try: Callable[[], None] = lambda: None,
        after_waiting: Callable[[], Awaitable[None]] = _nothing,
    ) -> Upserted:
        """Create or update a contact; what the body does not name stays as it is.

        Args:
            body: as `rules.contact` builds it.
            tries: how often to try within seconds what may pass: no answer, timeout, 5xx.
            before_try: called before each request, and once more at the last moment before it is
                written; what it raises ends the trying.
            after_waiting: awaited before each request, once it is its turn; the same holds for what
                it raises.

        Raises:
            CordialError: the subclass says what can be done.
        """
        content = to_json(body)

        def read(answer: Answer) -> Upserted:
            return read_answer(answer.status, answer.headers, answer.content, self._clock())

        async def once() -> Upserted:
            return await self._request(
                "POST", "/contacts", content, read, before_try, after_waiting
            )

        try:
            return await once()
        except Unavailable as error:
            return await _again(once, error, tries)

    async def attributes(self) -> list[AccountAttribute]:
        """Return the contact attributes the account has.

        Raises:
            CordialError: the subclass says what can be done.
        """
        return read_attributes(await self._entries("accountcontactattributes"))

    async def lists(self) -> frozenset[str]:
        """Return the names of the account's lists.

        Raises:
            CordialError: the subclass says what can be done.
        """
        return read_lists(await self._entries("accountlists"))

    async def _entries(self, path: str) -> bytes:
        """Return what a look-up answers; where there is nothing, Cordial says 404."""

        def read(answer: Answer) -> bytes:
            none_there = answer.status == 404 and not names_path(answer.content)
            return b"[]" if none_there else _checked(answer, self._clock(), f"GET {path}")

        return await self._request("GET", f"/{path}", b"", read)

    async def contact(self, contact_id: str) -> bytes:
        """Return a contact as Cordial shows it.

        Raises:
            CordialError: the subclass says what can be done.
        """
        return await self._call("GET", f"/contacts/{quote(contact_id, safe='')}")

    async def remove_contact(self, contact_id: str) -> None:
        """Remove a contact.

        Raises:
            CordialError: the subclass says what can be done.
        """
        await self._call("DELETE", f"/contacts/{quote(contact_id, safe='')}")

    async def create_attribute(self, key: str, kind: FieldType, *, index: bool) -> None:
        """Create a contact attribute; an indexed one can be searched by.

        Raises:
            CordialError: the subclass says what can be done.
        """
        body: dict[str, JsonValue] = {"key": key, "name": key, "type": kind, "index": index}
        await self._change("/accountcontactattributes", body)

    async def create_list(self, name: str) -> None:
        """Create a list.

        Raises:
            CordialError: the subclass says what can be done.
        """
        await self._change("/accountlists", {"name": name})

    async def _change(self, path: str, body: Mapping[str, JsonValue]) -> None:
        """Change the account; a 2xx that says otherwise is a refusal."""
        call = f"POST {path.removeprefix('/')}"
        await self._request(
            "POST",
            path,
            to_json(body),
            lambda answer: read_answer(
                answer.status, answer.headers, answer.content, self._clock(), call
            ),
        )

    async def _call(self, method: str, path: str) -> bytes:
        call = f"{method} {path.split('/')[1]}"
        return await self._request(
            method, path, b"", lambda answer: _checked(answer, self._clock(), call)
        )

    async def _request(
        self,
        method: str,
        path: str,
        content: bytes,
        read: Callable[[Answer], Read],
        before_try: Callable[[], None] = lambda: None,
        after_waiting: Callable[[], Awaitable[None]] = _nothing,
    ) -> Read:
        """Return what `read` makes of the answer; either way the request is observed."""
        if self._limiter is not None:
            await self._limiter.acquire()
        await after_waiting()
        before_try()
        started = time.perf_counter()
        try:
            answer = await self._send(method, path, Body(content, before_try))
            result = read(answer)
        except CordialError as error:
            kind = error_class(error)
            self._observe(error.http_status, kind, time.perf_counter() - started)
            raise
        self._observe(answer.status, "none", time.perf_counter() - started)
        return result

    def _request_of(self, method: str, path: str, body: Body) -> httpx.Request:
        if (url := self._urls.get(path)) is None:
            url = self._urls[path] = httpx.URL(self._base + path)
        return httpx.Request(method, url, headers=self._headers, stream=body)

    async def _send(self, method: str, path: str, body: Body) -> Answer:
        request = self._request_of(method, path, body)
        try:
            return await exchange(self._pool.handle_async_request, request, self._timeout)
        except TimeoutError:
            raise TimedOut(f"no answer within {self._timeout:g} s") from None
        except ProxyRefused as refused:
            host = request.url.host
            raise refused_by_proxy(refused.proxy, refused.status, host) from None
        except UnreadableAnswer as error:
            raise NoAnswer(str(error)) from None
        except (httpx.HTTPError, OSError) as error:
            if body.refusal is not None:
                raise body.refusal from None
            raise NoAnswer(f"no answer: {_why(error)}") from None


async def _again(
    once: Callable[[], Awaitable[Upserted]], failure: Unavailable, tries: int
) -> Upserted:
    """Go on trying after a first failure.

    tenacity is told of that one as if it had tried: it takes half as long as a request does, and
    nearly every first try is the last.
    """
    failed = [failure]

    async def next_try() -> Upserted:
        if failed:
            raise failed.pop()
        return await once()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_attempt(tries),
        wait=_QUICK_WAIT,
        reraise=True,
    )
    return await retrying(next_try)


def _why(error: BaseException) -> str:
    """Say why there was no answer: in words of our own, as messages of these repeat addresses."""
    met: BaseException | None = error
    while met is not None:
        for kind, words in _WHY:
            if isinstance(met, kind):
                return words
        met = met.__cause__ or met.__context__
    return type(error).__name__


_WHY: Sequence[tuple[type[BaseException], str]] = (
    (socket.gaierror, "the name of the host is not known; look at the account URL and the DNS"),
    (ssl.SSLCertVerificationError, "the certificate is not trusted, or is another host's"),
    (ssl.SSLError, "TLS could not be agreed on"),
    (ConnectionRefusedError, "the connection was refused; nothing listens there, or a firewall"),
    (ConnectionResetError, "the connection was reset"),
    (aiohttp.ServerDisconnectedError, "the connection was closed"),
    (aiohttp.ClientPayloadError, "it broke off"),
    (aiohttp.ClientResponseError, "what came is no HTTP; look at the account URL and its port"),
)


_LONGEST_WAIT = 86_400.0  # seconds; of the smallest numbers, 1 / x is infinite


def _limiter(requests_per_second: float | None) -> AsyncLimiter | None:
    if requests_per_second is None:
        return None
    if requests_per_second < 1:
        return AsyncLimiter(1, min(1 / requests_per_second, _LONGEST_WAIT))
    return AsyncLimiter(requests_per_second, 1)


def _checked(answer: Answer, now: float, call: str) -> bytes:
    """Return the body of an answer that is a success; raise what else it means."""
    if not answer.is_success:
        read_answer(answer.status, answer.headers, answer.content, now, call)
    return answer.content
