"""Signing in and out."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.console.errors import told
from app.console.forms import read_form
from app.console.rendering import render_bare
from app.console.session import OpenPage, address_of, caller_of, forget, keep, safe_next
from app.console.state import console_of, prefix_of
from app.operations.signing_in import NotAllowed, NoToken, WrongToken, begin_session
from app.operations.slowdown import TooManyWrongTokens

router = APIRouter(include_in_schema=False, route_class=OpenPage)


@dataclass(frozen=True, slots=True)
class SignInView:
    """Where to go afterwards, and what was wrong with the last try.

    `is_lost`: what led here was a form, of which nothing is kept.
    """

    next: str
    problem: str | None = None
    is_lost: bool = False


@router.get("/sign-in")
async def show(request: Request) -> Response:
    """Ask for a token."""
    wanted = safe_next(request, request.query_params.get("next"))
    if caller_of(request):
        return RedirectResponse(wanted, status_code=303)
    return _page(request, SignInView(wanted, is_lost=request.query_params.get("lost") == "yes"))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Take a token, and give a session for it."""
    form = await read_form(request)
    wanted, given = safe_next(request, form.one("next")), (form.one("token") or "").strip()
    context = console_of(request).context
    try:
        session = await begin_session(context, given, address_of(request))
    except (NoToken, WrongToken, TooManyWrongTokens, NotAllowed) as error:
        status, problem = told(error) or (HTTPStatus.UNAUTHORIZED, "")
        return _page(request, SignInView(wanted, problem), status)
    return keep(RedirectResponse(wanted, status_code=303), request, session)


@router.get("/sign-in/{code}")
async def follow_invitation(request: Request, code: str) -> Response:
    """Begin a session by a link that is good once."""
    sessions = console_of(request).context.sessions
    name = sessions.redeem(code)
    if name is None:
        problem = "This link was used already, or is too old. Sign in with a token."
        return _page(request, SignInView(safe_next(request, None), problem), HTTPStatus.GONE)
    response = RedirectResponse(safe_next(request, None), status_code=303)
    return keep(response, request, sessions.begin(name))


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Let the browser forget the session."""
    response = RedirectResponse(f"{prefix_of(request)}/console/sign-in", status_code=303)
    return forget(response, request)


def _page(request: Request, view: SignInView, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return render_bare(request, "sign_in.html", "Sign in", view, status)
