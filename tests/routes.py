"""FastAPI reads each route when it is first looked for: here once, not anew for each service."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import routing


@contextmanager
def read_once() -> Iterator[None]:
    """Let FastAPI read each route once, and not anew for each of hundreds of services."""
    contexts, read = routing._EffectiveRouteContext, {}
    first = contexts.from_api_route

    def from_api_route(*, original_route: Any, include_context: Any) -> Any:
        key = id(original_route), include_context.path_for(original_route)
        if key not in read:
            read[key] = first(original_route=original_route, include_context=include_context)
        return read[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contexts, "from_api_route", from_api_route)
        yield


def read_now(routes: list[Any]) -> None:
    """Read routes before they are looked for."""
    for each in routes:
        if isinstance(each, routing._IncludedRouter):
            read_now(each.effective_candidates())
