"""Templates filled with view models; whatever a template misses is an error."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from app import __version__
from app.console import words
from app.console.state import ZONE_COOKIE, Visit, console_of, prefix_of
from app.console.times import Times, counted, duration, zone_of
from app.operations.callers import Caller

STATIC: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""The kinds of files that pages load."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around each page: who looks, where they are, and how times are shown."""

    title: str
    section: str
    prefix: str
    who: Caller | None
    times: Times
    notice: str | None = None
    refreshes: bool = False

    def link(self, path: str, query: str = "") -> str:
        """Return the address of a page of ours: `/submissions` is below `/console`."""
        return f"{self.prefix}/console{path}" + (f"?{query}" if query else "")

    def file(self, name: str) -> str:
        """Return the address of a file that pages load; another content has another address."""
        return f"{self.prefix}/console/static/{name}?v={version_of(name)}"

    @property
    def changes(self) -> bool:
        """Whether the reader may change anything."""
        return self.who is not None and self.who.sees_people


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("app.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"counted": counted, "duration": duration, "words": words}
    made.globals["program_version"] = __version__
    return made


def render(
    visit: Visit,
    template: str,
    title: str,
    view: Any,
    *,
    section: str = "",
    notice: str | None = None,
    refreshes: bool = False,
    status: HTTPStatus = HTTPStatus.OK,
) -> HTMLResponse:
    """Return a page for somebody who is signed in.

    Args:
        visit: who looks at what.
        template: the name of its file.
        title: what the browser's tab says.
        view: the page's view model.
        section: which part of the navigation it belongs to.
        notice: what was done just now.
        refreshes: whether the page renews its live regions by itself.
        status: of the answer.
    """
    frame = Frame(title, section, visit.prefix, visit.who, visit.times, notice, refreshes)
    return _answer(template, frame, view, status)


def render_bare(
    request: Request, template: str, title: str, view: Any, status: HTTPStatus = HTTPStatus.OK
) -> HTMLResponse:
    """Return a page that needs nobody to be signed in."""
    times = Times(console_of(request).context.clock(), zone_of(request.cookies.get(ZONE_COOKIE)))
    who: Caller | None = getattr(request.state, "caller", None)
    return _answer(template, Frame(title, "", prefix_of(request), who, times), view, status)


def _answer(template: str, frame: Frame, view: Any, status: HTTPStatus) -> HTMLResponse:
    text = _templates().get_template(template).render(frame=frame, view=view)
    return HTMLResponse(text, status)


@cache
def content_of(name: str) -> bytes | None:
    """Return a file that pages load; None if there is none of this name."""
    known = {each.name: each for each in files("app.console").joinpath("static").iterdir()}
    wanted = known.get(name)
    if wanted is None or PurePosixPath(name).suffix not in STATIC:
        return None
    return wanted.read_bytes()


@cache
def version_of(name: str) -> str:
    """Return what changes when the file does."""
    return sha256(content_of(name) or b"").hexdigest()[:12]
