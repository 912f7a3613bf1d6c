"""Every request that the suite makes us send to Cordial or Jebbit, held against their descriptions.

A test in which one is sent that is not as described fails, whatever else it asserts.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

import app.cordial.client
import app.jebbit_api.client
from app.answers import exchange
from app.cordial.probe import IMPOSSIBLE
from tests.descriptions import CORDIAL, JEBBIT, Description, Deviation

CONTACTS = "POST /v2/contacts"

# What we send on purpose though the description does not allow it, with the reason.
DEVIATIONS = {
    # A contact may have another channel than one of the key `email`; the description's own examples
    # of SMS contacts have none, and channels have the names that the account gave them.
    Deviation(CONTACTS, ("channels",), '"email" is a required property'),
}

_found: set[Deviation] = set()


@contextmanager
def compared() -> Iterator[None]:
    """Look at each request of both clients as it is sent."""
    clients = [(app.cordial.client, CORDIAL), (app.jebbit_api.client, JEBBIT)]
    with pytest.MonkeyPatch.context() as patched:
        for client, file in clients:
            if file.exists():
                description = Description(file)
                patched.setattr(client, "exchange", partial(_exchange, description))
        yield


async def _exchange(description: Description, send: Any, request: httpx.Request, *rest: Any) -> Any:
    stream: Any = request.stream
    content = stream.content if hasattr(stream, "content") else request.content
    body = from_json(content) if content else None
    if body not in IMPOSSIBLE:  # what the check sends to be refused
        path = request.url.raw_path.decode().partition("?")[0]
        query = dict(request.url.params)
        _found.update(description.deviations(request.method, path, query, body))
    return await exchange(send, request, *rest)


def not_as_described() -> set[Deviation]:
    """Return what was found since the last time, without the deviations that are listed."""
    found = _found - DEVIATIONS
    _found.clear()
    return found


def not_as_cordial_describes(journal: Iterable[Mapping[str, Any]]) -> list[Deviation]:
    """Return what is not as described in the requests that a sandbox elsewhere noted."""
    if not CORDIAL.exists():
        return []
    cordial = Description(CORDIAL)
    found = {
        deviation
        for each in journal
        for deviation in cordial.deviations(each["method"], each["path"], {}, each["body"])
    }
    return sorted(found - DEVIATIONS, key=str)
