"""The connections that all requests to other servers share, as a transport of httpx.

httpx's own pool costs some 6 ms of CPU for each request at 50 at a time, aiohttp's a twentieth.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter

from app.egress import STRAIGHT, Proxy, ProxyRefused, Routes

_NO_TIMEOUTS = aiohttp.ClientTimeout(total=None)  # whoever asks has one for the whole answer


@asynccontextmanager
async def open_pool(connections: int, routes: Routes = STRAIGHT) -> AsyncIterator["Pool"]:
    """Open the pool of connections that all accounts share, and the ways out that it takes."""
    connector = aiohttp.TCPConnector(limit=connections, ssl=httpx.create_ssl_context())
    async with aiohttp.ClientSession(
        connector=connector,
        request_class=_Request,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=_NO_TIMEOUTS,
    ) as session:
        yield Pool(session, routes)


def client_on(pool: "Pool") -> httpx.AsyncClient:
    """Return a client for other calls than Cordial's, on the same pool; it keeps no cookies."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    headers = {"Accept-Encoding": "gzip"}  # what `exchange` reads
    return httpx.AsyncClient(transport=pool.others, cookies=no_cookies, headers=headers)


class Body(httpx.AsyncByteStream):
    """A request's body, which looks once more before it is written whether it may be.

    The process may have been stopped since the look before: while the request waited for a
    connection, or in the middle of a step. Headers go out together with the body, so that nothing
    is sent where the last look says no.
    """

    def __init__(self, content: bytes, before: Callable[[], None]) -> None:
        self.content = content
        self.refusal: Exception | None = None
        self._before = before

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the content, after a look; for other transports than `Pool`."""
        self.look()
        yield self.content

    def look(self) -> None:
        """Raise what `before` raises, and keep it: what comes out otherwise is a broken connection.

        Raises:
            Exception: what `before` raised.
        """
        try:
            self._before()
        except Exception as refusal:
            self.refusal = refusal
            raise


class Pool(httpx.AsyncBaseTransport):
    """The shared connections, by the way that Cordial is reached; `others` takes everybody's.

    A transport has no timeouts of its own: who sends a request bounds its whole time.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        routes: Routes = STRAIGHT,
        choose: Callable[[httpx.URL], Proxy | None] | None = None,
    ) -> None:
        self.routes = routes
        self._session = session
        self._choose = choose or routes.to_cordial

    @property
    def others(self) -> "Pool":
        """The same connections for calls of others than Cordial."""
        return Pool(self._session, self.routes, self.routes.to)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request by its way.

        Raises:
            ProxyRefused: a proxy is on the way, and does not let it through.
            httpx.TransportError: there is no answer; the cause tells why.
        """
        proxy = None if self.routes.straight else self._choose(request.url)
        headers = request.headers
        if proxy and request.url.scheme == "http":
            headers.update(proxy.headers)  # no CONNECT: the request itself carries them
        try:
            answer = await self._send(request, proxy)
        except (aiohttp.ClientError, OSError) as error:
            if proxy and isinstance(error, aiohttp.ClientHttpProxyError):
                raise ProxyRefused(proxy, error.status) from None
            raise _failure(error) from error
        if proxy and answer.status == 407:  # no server says this, only a proxy
            answer.close()
            raise ProxyRefused(proxy, answer.status)
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=_Content(answer), request=request
        )

    async def _send(self, request: httpx.Request, proxy: Proxy | None) -> aiohttp.ClientResponse:
        headers = [
            (name.decode("latin-1"), of.decode("latin-1")) for name, of in request.headers.raw
        ]
        for _ in range(_MOST_SPOILED):
            with suppress(_Spoiled):
                return await self._session.request(
                    request.method,
                    str(request.url),
                    headers=headers,
                    data=_payload(request),
                    allow_redirects=False,
                    proxy=proxy.url if proxy else None,
                    proxy_headers=proxy.headers if proxy else None,
                )
        raise _Spoiled


_MOST_SPOILED = 3  # connections that one request passes over


class _Spoiled(aiohttp.ClientConnectionError):
    """Something has come in on a connection that nobody has asked for."""


class _Request(aiohttp.ClientRequest):
    """A request that goes out only where nothing has come in before it.

    A server, or what stands before it, may answer once more than it was asked. aiohttp would take
    that for the answer to the next request, and close the connection before that one has gone.
    """

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Send it.

        Raises:
            _Spoiled: nothing has been sent; the connection is closed.
        """
        if conn.protocol is None or conn.protocol.should_close:
            raise _Spoiled
        return await super().send(conn)


def _failure(error: Exception) -> httpx.NetworkError:
    """Return an error of aiohttp's as one of httpx's, without its text, which repeats addresses."""
    connecting = isinstance(error, aiohttp.ClientConnectorError)
    return (httpx.ConnectError if connecting else httpx.ReadError)(type(error).__name__)


class _Payload(aiohttp.payload.BytesPayload):
    """A body that aiohttp writes after a last look."""

    def __init__(self, body: Body) -> None:
        super().__init__(body.content)
        self._look = body.look

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        self._look()
        await super().write_with_length(writer, content_length)


def _payload(request: httpx.Request) -> aiohttp.payload.Payload | bytes | None:
    if isinstance(request.stream, Body):
        return _Payload(request.stream) if request.stream.content else None
    return request.content or None


class _Content(httpx.AsyncByteStream):
    """An answer's body, as it comes; closed before its end, it takes its connection with it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._answer.content.readany():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error) from error

    async def aclose(self) -> None:
        self._answer.close()
