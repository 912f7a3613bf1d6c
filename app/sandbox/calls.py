"""Reading one HTTP request to Cordial."""

import base64
import binascii
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NoReturn
from urllib.parse import parse_qs

from pydantic import JsonValue
from starlette.types import Scope

from app.sandbox.account import Json


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Cordial. Paths are percent-encoded still: a contact's key may hold a slash.

    `endpoint` is the path with `{}` for each name in it, as in `contacts/{}`; `names` are those
    names. `broken` means that the body is no JSON.
    """

    method: str
    path: str
    endpoint: str
    names: tuple[str, ...]
    query: bytes
    media_type: bytes
    client: str
    key: str | None
    body: JsonValue = None
    broken: bool = False

    @property
    def fields(self) -> Json:
        """The body of a call that has passed as a JSON object."""
        return self.body if isinstance(self.body, dict) else {}

    def asked(self, name: str) -> str | None:
        """A value of the query string."""
        values = parse_qs(self.query.decode("latin-1")).get(name)
        return values[0] if values else None


def read_call(scope: Scope) -> Call:
    """Read all of a request but its body."""
    headers = dict(scope["headers"])
    path = scope["raw_path"].decode("latin-1")
    endpoint, names = _endpoint(path)
    return Call(
        method=scope["method"],
        path=path,
        endpoint=endpoint,
        names=names,
        query=scope["query_string"],
        media_type=headers.get(b"content-type", b"").partition(b";")[0].strip().lower(),
        client=scope["client"][0] if scope["client"] else "",
        key=_api_key(headers.get(b"authorization", b"")),
    )


def with_body(call: Call, raw: bytes) -> Call:
    """Add the body; an empty one is None."""
    try:
        return replace(call, body=_decoder.decode(raw.decode()) if raw else None)
    except (ValueError, RecursionError):
        return replace(call, broken=True)


def email_in(body: JsonValue, email_channels: Collection[str]) -> str | None:
    """Find the email address in a body, in lower case."""
    channels = body.get("channels") if isinstance(body, dict) else None
    if not isinstance(channels, dict):
        return None
    for name in email_channels:
        channel = channels.get(name)
        address = channel.get("address") if isinstance(channel, dict) else None
        if isinstance(address, str):
            return address.lower()
    return None


def _endpoint(path: str) -> tuple[str, tuple[str, ...]]:
    """Split `/v2/contacts/email:a` into the endpoint `contacts/{}` and its names."""
    parts = path.split("/")
    if parts[:2] != ["", "v2"]:
        return path, ()
    shape = ["{}" if at % 2 else part for at, part in enumerate(parts[2:])]
    return "/".join(shape), tuple(parts[3::2])


def _api_key(authorization: bytes) -> str | None:
    """The key is the user name of HTTP Basic, the password empty. S, H."""
    scheme, _, credentials = authorization.partition(b" ")
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    key, colon, password = pair.partition(":")
    return key if scheme.lower() == b"basic" and colon and not password else None


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_not_json)
