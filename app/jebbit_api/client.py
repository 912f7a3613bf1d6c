"""The HTTP client for the part of Jebbit's public API that sets up webhooks.

Source: Jebbit API v1 (JSON:API), "Auth", "Integrations" and "Integration Historic Backfills".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

import aiohttp
import httpx
from pydantic import BaseModel, JsonValue, SecretStr, StringConstraints, ValidationError
from pydantic_core import from_json, to_json

from app.answers import Answer, exchange
from app.jebbit.credentials import ApiCredentials
from app.rules.integration import Secret

_TIMEOUT = 20.0  # s; it is asked a few times in an integration's life
_SHOWN = 200  # characters of what Jebbit says about an error
_MEDIA_TYPE = "application/vnd.api+json"
_NO_ANSWER = (httpx.HTTPError, aiohttp.ClientError, TimeoutError, OSError)


class JebbitError(Exception):
    """Jebbit did not do what was asked; the subclass says what can be done."""


class WrongCredentials(JebbitError):
    """The client id or the client secret is wrong."""


class Forbidden(JebbitError):
    """The client is known, but may not do this, or not for this business."""


class NotThere(JebbitError):
    """Jebbit does not know what the request names, or no longer."""


class Refused(JebbitError):
    """Jebbit refuses the request as it is; the message is Jebbit's own."""


class Unreachable(JebbitError):
    """Jebbit gave no usable answer; it may have done what was asked."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook integration to create at Jebbit: the address, the region and the options."""

    endpoint: str
    region: Literal["us", "eu"]
    options: Mapping[str, JsonValue]


class _Strict(BaseModel, strict=True, hide_input_in_errors=True):
    pass


_Id = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _SharedSecret(_Strict):
    shared_secret: Secret


class _Made(_Strict):
    id: _Id
    attributes: _SharedSecret


@dataclass(frozen=True, slots=True)
class Registered:
    """A webhook integration that was made at Jebbit."""

    id: str
    shared_secret: SecretStr


class _Status(_Strict):
    status: str | None = None


class Backfill(_Strict):
    """A historic backfill that Jebbit has begun."""

    id: _Id
    attributes: _Status = _Status()


class _Token(_Strict):
    access_token: str


class _TokenInside(_Strict):
    attributes: _Token


_Model = TypeVar("_Model", bound=BaseModel)


class JebbitApi:
    """Calls Jebbit's API, each time with a fresh token: neither it nor the credentials are kept."""

    def __init__(self, http: httpx.AsyncClient, base: str, *, timeout: float = _TIMEOUT) -> None:
        """Take a pool of connections, the API's address and the longest time (s) of an answer."""
        self._http = http
        self._base = base
        self._timeout = timeout

    @property
    def is_stand_in(self) -> bool:
        """Whether this is a stand-in of Jebbit's API: settings allow plain http to no other."""
        return self._base.startswith("http://")

    async def register(self, credentials: ApiCredentials, webhook: Webhook) -> Registered:
        """Make a webhook integration; return its id and the secret that signs its webhooks.

        Not tried twice by itself: each call that succeeds makes another one.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        attributes: dict[str, JsonValue] = {
            "endpoint": webhook.endpoint,
            "region": webhook.region,
            "is_active": True,
            "additional_options": dict(webhook.options),
        }
        body = _document("integrations", attributes)
        made = _data(await self._call("/api/v1/integrations", credentials, body), _Made)
        return Registered(made.id, made.attributes.shared_secret)

    async def test(self, credentials: ApiCredentials, jebbit_id: str) -> None:
        """Let Jebbit send a test webhook.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        await self._call(f"/api/v1/integrations/{quote(jebbit_id, safe='')}/test", credentials, {})

    async def backfill(self, credentials: ApiCredentials, jebbit_id: str) -> Backfill:
        """Let Jebbit send everything it has collected so far.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        body = _document("integration_historic_backfills", {"integration_id": jebbit_id})
        answer = await self._call("/api/v1/integration_historic_backfills", credentials, body)
        return _data(answer, Backfill)

    async def _call(
        self, path: str, credentials: ApiCredentials, body: Mapping[str, JsonValue]
    ) -> Answer:
        headers = {"Authorization": f"Bearer {await self._token(credentials)}"}
        if credentials.business_id is not None:
            headers["x-jebbit-business"] = credentials.business_id
        answer = await self._post(path, body, headers)
        if not answer.is_success:
            raise _error(answer)
        return answer

    async def _token(self, credentials: ApiCredentials) -> str:
        body: dict[str, JsonValue] = {
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
        answer = await self._post("/api/v1/auth", body, {})
        # The description knows 400 alone; nothing but the credentials can be wrong in this request.
        if answer.status in (400, 401, 403, 422):
            raise WrongCredentials
        if not answer.is_success:
            raise _error(answer)
        try:  # as in the description's example
            token = _data(answer, _Token)
        except Unreachable:  # as in its schema
            token = _data(answer, _TokenInside).attributes
        if not token.access_token.isascii() or not token.access_token.isprintable():
            raise Unreachable("its token cannot be used")
        return token.access_token

    async def _post(
        self, path: str, body: Mapping[str, JsonValue], headers: Mapping[str, str]
    ) -> Answer:
        media = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE}
        request = self._http.build_request(
            "POST", self._base + path, content=to_json(body), headers={**media, **headers}
        )
        try:
            return await exchange(partial(self._http.send, stream=True), request, self._timeout)
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout:g} s") from None
        except _NO_ANSWER as error:
            raise Unreachable(f"no answer: {type(error).__name__}") from None


def _document(kind: str, attributes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"data": {"type": kind, "attributes": dict(attributes)}}


_ERRORS: dict[int, type[JebbitError]] = {
    400: Refused,
    401: WrongCredentials,
    403: Forbidden,
    404: NotThere,
    409: Refused,
    422: Refused,
}


def _error(answer: Answer) -> JebbitError:
    kind = _ERRORS.get(answer.status, Unreachable)
    said = _said(answer.content)
    status = f"HTTP {answer.status}"
    return kind(f"{status}: {said}" if said else status)


def _said(content: bytes) -> str:
    """Return the titles of a JSON:API error document; blank where it is none."""
    try:
        document = from_json(content)
    except ValueError:
        return ""
    errors = document.get("errors") if isinstance(document, dict) else None
    texts = [
        str(each.get("detail") or each.get("title") or "")
        for each in (errors if isinstance(errors, list) else [])
        if isinstance(each, dict)
    ]
    return "; ".join(filter(None, texts))[:_SHOWN]


def _data(answer: Answer, model: type[_Model]) -> _Model:
    """Read the `data` of a JSON:API document; its values are never repeated, some are secret."""
    try:
        document = from_json(answer.content)
        return model.model_validate(document.get("data") if isinstance(document, dict) else None)
    except (ValueError, ValidationError):
        raise Unreachable("its answer cannot be read") from None
