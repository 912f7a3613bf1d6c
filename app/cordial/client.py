"""The HTTP client for one Cordial account."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from httpx_aiohttp import AiohttpTransport
from pydantic import JsonValue
from pydantic_core import from_json, to_json
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from app.cordial.errors import Unavailable, Upserted, read_answer
from app.rules.values import FieldType

QUICK_TRIES = 3
_QUICK_WAIT = wait_random_exponential(multiplier=0.25, max=2)  # seconds, up to

_NO_ANSWER = (httpx.HTTPError, aiohttp.ClientError, TimeoutError, OSError)


@asynccontextmanager
async def open_http(connections: int) -> AsyncIterator[httpx.AsyncClient]:
    """Open the pool of connections that all accounts share.

    httpx's own pool costs some 6 ms of CPU for each request at 50 at a time, aiohttp's a tenth.
    Cookies are not kept: one customer's account must not see another's.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, ssl=httpx.create_ssl_context())
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    transport = AiohttpTransport(client=session)
    async with httpx.AsyncClient(transport=transport, follow_redirects=False) as http:
        yield http


class CordialClient:
    """Calls one account's REST API v2, with retries for what passes within seconds."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base: str,
        api_key: str,
        *,
        timeout: float,
        requests_per_second: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the account's API address, its key and the longest time (s) an answer may take."""
        self._http = http
        self._base = base
        # Cordial: HTTP Basic, the key is the user name, the password empty.
        credentials = b64encode(f"{api_key}:".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._timeout = timeout
        self._clock = clock
        self._limiter = _limiter(requests_per_second)

    async def upsert(
        self,
        body: Mapping[str, JsonValue],
        *,
        tries: int = QUICK_TRIES,
        before_try: Callable[[], None] = lambda: None,
    ) -> Upserted:
        """Create or update a contact; what the body does not name stays as it is.

        Args:
            body: as `rules.contact` builds it.
            tries: how often to try within seconds what may pass: no answer, timeout, 5xx.
            before_try: called before each request; what it raises ends the trying.

        Raises:
            CordialError: the subclass says what can be done.
        """
        content = to_json(body)

        async def once() -> Upserted:
            before_try()
            answer = await self._request("POST", "/contacts", content)
            return read_answer(answer.status_code, answer.headers, answer.content, self._clock())

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(tries),
            wait=_QUICK_WAIT,
            reraise=True,
        )
        return await retrying(once)

    async def attributes(self) -> dict[str, FieldType]:
        """Return the contact attributes the account has, with their types.

        Raises:
            CordialError: the subclass says what can be done.
        """
        answer = await self._request("GET", "/accountcontactattributes", b"")
        if answer.status_code != 200:
            read_answer(answer.status_code, answer.headers, answer.content, self._clock())
        return _attribute_types(answer.content)

    async def _request(self, method: str, path: str, content: bytes) -> httpx.Response:
        if self._limiter is not None:
            await self._limiter.acquire()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._http.request(
                    method, self._base + path, content=content, headers=self._headers
                )
        except TimeoutError:
            raise Unavailable(f"no answer within {self._timeout:g} s") from None
        except _NO_ANSWER as error:
            # The class alone: messages of connection errors repeat addresses.
            raise Unavailable(f"no answer: {type(error).__name__}") from None


def _limiter(requests_per_second: float | None) -> AsyncLimiter | None:
    if requests_per_second is None:
        return None
    if requests_per_second < 1:
        return AsyncLimiter(1, 1 / requests_per_second)
    return AsyncLimiter(requests_per_second, 1)


def _attribute_types(content: bytes) -> dict[str, FieldType]:
    """Read the attributes; Cordial describes an array, working clients read an object by key."""
    try:
        document = from_json(content)
    except ValueError:
        raise Unavailable("the account's attributes cannot be read", 200) from None
    if isinstance(document, dict):
        document = [
            {"key": key, **each} for key, each in document.items() if isinstance(each, dict)
        ]
    entries = document if isinstance(document, list) else []
    types = {each.get("key"): each.get("type") for each in entries if isinstance(each, dict)}
    return {
        key: _TYPES[kind] for key, kind in types.items() if isinstance(key, str) and kind in _TYPES
    }


_TYPES: dict[object, FieldType] = {
    "string": "string",
    "number": "number",
    "date": "date",
    "array": "array",
    "geo": "geo",
}
