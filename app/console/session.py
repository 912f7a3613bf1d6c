"""Who is at the console: the session's cookie, and which requests of a browser count."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlencode, urlsplit

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from app.console import errors
from app.console.errors import OtherOrigin
from app.console.state import console_of, own_origins, prefix_of
from app.operations.callers import Caller, Role, network_address
from app.operations.sessions import LASTS_SECONDS
from app.operations.signing_in import LOOKERS, admit

COOKIE = "console_session"
_BETWEEN: Final = "."  # no session holds one
_MOST_SESSIONS: Final = 4  # a browser keeps 4 KB

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of each answer here: nothing is loaded from elsewhere, nobody frames a page."""

_READING = frozenset({"GET", "HEAD"})
_FROM_HERE = frozenset({"same-origin", "none"})  # "none": typed, or reloaded, by the person


class OpenPage(APIRoute):
    """A page for anybody: its errors are pages too, and its headers are those of the console."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                if request.method not in _READING:
                    refuse_other_origins(request)
                response = await self.let_in(request, answer)
            except Exception as error:
                response = errors.page_of(error, request)
            response.headers.update(HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guarded

    async def let_in(
        self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Response:
        """Answer whoever asks."""
        return await answer(request)


class Page(OpenPage):
    """A page for those who are signed in; only admins may change anything, or prepare it."""

    roles: ClassVar = LOOKERS

    async def let_in(
        self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]
    ) -> Response:
        """Send strangers to the sign-in, which leads back to the page they wanted."""
        who = caller_of(request)
        if who is None:
            return RedirectResponse(_sign_in(request), status_code=303)
        roles = self.roles if request.method in _READING else AdminPage.roles
        await admit(console_of(request).context, who, roles, f"{request.method} {self.path}")
        request.state.caller = who
        return await answer(request)


class AdminPage(Page):
    """A page for admins alone."""

    roles: ClassVar = frozenset({Role.ADMIN})


def caller_of(request: Request) -> Caller | None:
    """Return who is signed in, if anybody is."""
    known = (_resumed(request, each) for each in _kept(request))
    return next((each for each in known if each), None)


def _resumed(request: Request, session: str) -> Caller | None:
    return console_of(request).context.sessions.resume(session, address_of(request))


def _kept(request: Request) -> list[str]:
    """Return the sessions that the browser keeps.

    A cookie is for a host, whatever the port: so each console on it keeps its own session beside
    those of others, which only they can read.
    """
    return list(filter(None, request.cookies.get(COOKIE, "").split(_BETWEEN)))[:_MOST_SESSIONS]


def _of_others(request: Request) -> list[str]:
    return [each for each in _kept(request) if _resumed(request, each) is None]


def address_of(request: Request) -> str:
    """Return the network address of a request."""
    return network_address(request.client.host if request.client else None)


def refuse_other_origins(request: Request) -> None:
    """Let only this console's own pages ask for changes.

    Browsers say where a request comes from in Sec-Fetch-Site; by plain http, only in Origin. One
    that says neither comes from no browser. It may sign in, where the token speaks for itself.

    Raises:
        OtherOrigin: it comes from elsewhere, or does not say although a cookie would speak for it.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        if site not in _FROM_HERE:
            raise OtherOrigin
    elif origin is None:
        if COOKIE in request.cookies:
            raise OtherOrigin
    elif origin.lower() not in own_origins(request):
        raise OtherOrigin


def keep(response: Response, request: Request, session: str) -> Response:
    """Let the browser keep a session, where no script and no other site can use it."""
    return _set(response, request, [session, *_of_others(request)])


def forget(response: Response, request: Request) -> Response:
    """Let the browser forget its session here."""
    return _set(response, request, _of_others(request))


def _set(response: Response, request: Request, sessions: Sequence[str]) -> Response:
    response.set_cookie(
        COOKIE,
        _BETWEEN.join(sessions[:_MOST_SESSIONS]),
        max_age=int(LASTS_SECONDS) if sessions else 0,
        path=_path(request),
        secure=console_of(request).is_https,
        httponly=True,
        samesite="lax",
    )
    return response


def safe_next(request: Request, wanted: str | None) -> str:
    """Return the page to go to after the sign-in: one of ours, or the overview."""
    home = f"{prefix_of(request)}/console"
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return home
    parts = urlsplit(wanted)
    own = parts.path == home or parts.path.startswith(home + "/")
    return wanted if own and not parts.netloc and wanted.isprintable() else home


def _path(request: Request) -> str:
    return f"{prefix_of(request)}/console"


def _sign_in(request: Request) -> str:
    """Return the address of the sign-in, which leads back.

    Of what a form sent nothing is kept: it leads to the form's page, and says so.
    """
    address, home = f"{_path(request)}/sign-in", _path(request)
    if request.method not in _READING:
        return f"{address}?{urlencode({'next': _came_from(request), 'lost': 'yes'})}"
    path = request.url.path
    if not path.startswith(prefix_of(request)):
        path = prefix_of(request) + path
    wanted = path + (f"?{request.url.query}" if request.url.query else "")
    return address if wanted == home else f"{address}?{urlencode({'next': wanted})}"


def _came_from(request: Request) -> str:
    """Return the page of ours that sent a form, as the browser says; else the overview."""
    try:
        page = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return safe_next(request, None)
    return safe_next(request, page.path + (f"?{page.query}" if page.query else ""))
