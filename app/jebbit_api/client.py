"""The HTTP client for the part of Jebbit's public API that sets up webhooks.

Source: Jebbit API v1 (JSON:API), "Auth", "Integrations" and "Integration Historic Backfills".
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import (
    BaseModel,
    JsonValue,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import from_json, to_json

from app.answers import Answer, exchange
from app.jebbit.credentials import ApiCredentials
from app.rules.integration import Secret

_TIMEOUT = 20.0  # s; it is asked a few times in an integration's life
_SHOWN = 200  # characters of what Jebbit says about an error
_MEDIA_TYPE = "application/vnd.api+json"


class JebbitError(Exception):
    """Jebbit did not do what was asked; the subclass says what can be done."""


class WrongCredentials(JebbitError):
    """The client id or the client secret is wrong."""


class Forbidden(JebbitError):
    """The client is known, but may not do this, or not for this business."""


class NotThere(JebbitError):
    """Jebbit does not know what the request names, or no longer."""


class WrongAddress(JebbitError):
    """What answers at this address is not Jebbit's API."""


class NotOffered(JebbitError):
    """Jebbit's API does not have this call."""


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


# PostgreSQL's text holds no zero.
_Id = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Integration(_Strict):
    id: _Id
    attributes: JsonValue = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A webhook integration at Jebbit; None for what its answer does not show.

    Jebbit's description requires the shared secret in the answer, and has none in its example.
    """

    id: str
    endpoint: str | None = None
    region: str | None = None
    shared_secret: SecretStr | None = None


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
        answer = await self._call("POST", "/api/v1/integrations", credentials, body)
        return _registered(_data(answer, _Integration))

    async def integrations(self, credentials: ApiCredentials) -> list[Registered]:
        """Return the integrations that there are.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        answer = await self._call("GET", "/api/v1/integrations", credentials)
        return [_registered(each) for each in _all_data(answer)]

    async def integration(self, credentials: ApiCredentials, jebbit_id: str) -> Registered:
        """Return one integration.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        answer = await self._call("GET", _path(jebbit_id), credentials)
        return _registered(_data(answer, _Integration))

    async def remove(self, credentials: ApiCredentials, jebbit_id: str) -> None:
        """Delete an integration.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        await self._call("DELETE", _path(jebbit_id), credentials)

    async def test(self, credentials: ApiCredentials, jebbit_id: str) -> None:
        """Let Jebbit send a test webhook.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        await self._call("POST", f"{_path(jebbit_id)}/test", credentials, {})

    async def backfill(self, credentials: ApiCredentials, jebbit_id: str) -> Backfill:
        """Let Jebbit send everything it has collected so far.

        Raises:
            JebbitError: the subclass says what can be done.
        """
        body = _document("integration_historic_backfills", {"integration_id": jebbit_id})
        path = "/api/v1/integration_historic_backfills"
        answer = await self._call("POST", path, credentials, body)
        return _data(answer, Backfill)

    async def _call(
        self,
        method: str,
        path: str,
        credentials: ApiCredentials,
        body: Mapping[str, JsonValue] | None = None,
    ) -> Answer:
        headers = {"Authorization": f"Bearer {await self._token(credentials)}"}
        if credentials.business_id is not None:
            headers["x-jebbit-business"] = credentials.business_id
        answer = await self._send(method, path, body, headers)
        if answer.status == 401:  # the token is good: it is not one for this business
            raise Forbidden(str(_error(answer)))
        if not answer.is_success:
            raise _error(answer)
        return answer

    async def _token(self, credentials: ApiCredentials) -> str:
        body: dict[str, JsonValue] = {
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
        answer = await self._send("POST", "/api/v1/auth", body, {})
        # The description knows 400 alone; nothing but the credentials can be wrong in this request.
        if answer.status in (400, 401, 403, 422):
            raise WrongCredentials
        if (answer.status < 400 and not answer.is_success) or answer.status in (404, 405, 410):
            raise WrongAddress(str(_error(answer)))
        if not answer.is_success:
            raise _error(answer)
        try:  # as in the description's example
            token = _data(answer, _Token)
        except Unreachable:  # as in its schema
            token = _data(answer, _TokenInside).attributes
        if not token.access_token.isascii() or not token.access_token.isprintable():
            raise Unreachable("its token cannot be used")
        return token.access_token

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, JsonValue] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        media = {"Accept": _MEDIA_TYPE}
        if body is not None:
            media["Content-Type"] = _MEDIA_TYPE
        content = None if body is None else to_json(body)
        request = self._http.build_request(
            method, self._base + path, content=content, headers={**media, **headers}
        )
        try:
            return await exchange(partial(self._http.send, stream=True), request, self._timeout)
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"no answer: {type(error).__name__}") from None


def _path(jebbit_id: str) -> str:
    return f"/api/v1/integrations/{quote(jebbit_id, safe='')}"


def _registered(shown: _Integration) -> Registered:
    """Return what an integration shows; an odd value counts as none, so that its id is not lost."""
    its = shown.attributes if isinstance(shown.attributes, dict) else {}
    endpoint, region, secret = its.get("endpoint"), its.get("region"), None
    with suppress(ValidationError):
        secret = _SECRET.validate_python(its.get("shared_secret"))
    return Registered(
        shown.id,
        endpoint if isinstance(endpoint, str) else None,
        region if isinstance(region, str) else None,
        secret,
    )


_SECRET: TypeAdapter[SecretStr] = TypeAdapter(Secret)


def _all_data(answer: Answer) -> list[_Integration]:
    """Read the `data` of a JSON:API document of several, without those that cannot be read."""
    try:
        document = from_json(answer.content)
    except ValueError:
        raise Unreachable("its answer cannot be read") from None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise Unreachable("its answer cannot be read")
    found = []
    for each in data:
        with suppress(ValidationError):
            found.append(_Integration.model_validate(each))
    return found


def _document(kind: str, attributes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {"data": {"type": kind, "attributes": dict(attributes)}}


_ERRORS: dict[int, type[JebbitError]] = {
    400: Refused,
    401: WrongCredentials,
    403: Forbidden,
    404: NotThere,
    405: NotOffered,
    501: NotOffered,
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
