"""All pages under `/console`, and the way there."""

from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from app.console import (
    changes,
    changing,
    consent,
    erasures,
    integration,
    overview,
    rules,
    signing_in,
    submission,
    submissions,
    wizard,
)
from app.console.rendering import STATIC, content_of
from app.console.session import OpenPage, Page
from app.console.state import prefix_of

_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

_open = APIRouter(include_in_schema=False, route_class=OpenPage)
_home = APIRouter(include_in_schema=False, route_class=OpenPage)
_rest = APIRouter(include_in_schema=False, route_class=Page)


@_home.get("/")
async def home(request: Request) -> Response:
    """Lead to the console."""
    return RedirectResponse(f"{prefix_of(request)}/console", status_code=303)


@_open.get("/static/{name}")
async def file(name: str) -> Response:
    """Return a file that pages load; its address changes with its content."""
    content = content_of(name)
    if content is None:
        raise HTTPException(404)
    return Response(content, media_type=STATIC[PurePosixPath(name).suffix], headers=_KEPT)


@_rest.api_route("/{rest:path}", methods=_METHODS)
async def nothing(rest: str) -> Response:
    """Say that there is no such page."""
    raise HTTPException(404)


router = APIRouter()
router.include_router(_home)
for each in (
    _open,
    signing_in.router,
    overview.router,
    changing.router,
    submissions.router,
    submission.router,
    submission.changes,
    wizard.router,
    integration.router,
    integration.changes,
    rules.router,
    changes.router,
    changes.admins,
    erasures.router,
    consent.router,
    _rest,
):
    router.include_router(each, prefix="/console")
