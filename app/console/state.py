"""What the pages work with; built in `main`, found on each request."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast
from urllib.parse import urlsplit

from fastapi import Request

from app.console.times import Times, zone_of
from app.operations.callers import Caller
from app.operations.context import Context

ZONE_COOKIE = "console_zone"


@dataclass(frozen=True, slots=True)
class Console:
    """The parts of the running service that pages use; `public_url` as it is set."""

    context: Context
    public_url: str | None

    @property
    def is_https(self) -> bool:
        """Whether the outside reaches the service by https alone."""
        return (self.public_url or "").startswith("https://")


def console_of(request: Request) -> Console:
    """Return what pages work with."""
    return cast(Console, request.app.state.console)


def prefix_of(request: Request) -> str:
    """Return the path under which a proxy shows the service, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is signed in."""

    request: Request
    who: Caller

    @cached_property
    def context(self) -> Context:
        """What operations work with."""
        return console_of(self.request).context

    @cached_property
    def times(self) -> Times:
        """Shows times in the reader's zone."""
        return Times(self.context.clock(), zone_of(self.request.cookies.get(ZONE_COOKIE)))

    @cached_property
    def prefix(self) -> str:
        """The path under which a proxy shows the service."""
        return prefix_of(self.request)

    @cached_property
    def outside_url(self) -> str:
        """The address by which the outside reaches the service, without a slash at its end."""
        return (console_of(self.request).public_url or str(self.request.base_url)).rstrip("/")

    def link(self, path: str, query: str = "") -> str:
        """Return the address of a page of ours: `/submissions` is below `/console`."""
        return f"{self.prefix}/console{path}" + (f"?{query}" if query else "")


def visit_of(request: Request) -> Visit:
    """Return the visit of a page that needs somebody to be signed in."""
    return Visit(request, cast(Caller, request.state.caller))


def own_origins(request: Request) -> set[str]:
    """Return the `scheme://host` by which a browser may know this service."""
    host = request.headers.get("host", "")
    public = urlsplit(console_of(request).public_url or "")
    known = {f"{request.url.scheme}://{host}", f"{public.scheme}://{public.netloc}"}
    return {each.lower() for each in known if not each.endswith("://")}
