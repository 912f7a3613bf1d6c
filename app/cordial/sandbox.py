"""A local Cordial: the REST API v2 as this service uses it, in memory.

It answers under `/v2` by the vendor's rules (`sandbox_account` decides what a write does), keeps
a journal of every request, fails on demand, and is steered under `/_sandbox` without a key.
The letters in comments say how a rule is known, as in `sandbox_account`.
"""

import asyncio
import base64
import binascii
import ipaddress
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar, cast
from urllib.parse import parse_qs, unquote

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from app.cordial.sandbox_account import (
    MAX_CHARACTERS,
    Account,
    Attribute,
    Contact,
    ContactRefused,
    Contacts,
    Fixture,
    InvalidContact,
    Json,
    Permission,
    Switches,
    Validators,
    default_account,
)

__all__ = [
    "Account",
    "Attribute",
    "Contact",
    "Fault",
    "JournalEntry",
    "Sandbox",
    "Switches",
    "Validators",
    "create_sandbox",
    "default_account",
]


FaultKind: TypeAlias = Literal[
    "rate_limited",
    "rate_limited_reset",
    "server_error",
    "html_502",
    "slow",
    "reset_after_write",
    "success_false",
    "empty_body",
    "unauthorized",
    "forbidden",
    "not_found",
]
LIST_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
Model = TypeVar("Model", bound=BaseModel)


class Fault(Fixture):
    """A failure to come.

    `times` is how many requests are still hit (None: until cleared), `email` limits it to bodies
    with that address. `retry_after` (s) is for `rate_limited` (no header when None) and
    `rate_limited_reset`, `seconds` is how long `slow` waits before it writes and answers.
    """

    kind: FaultKind
    times: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    retry_after: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] = 1.0
    email: str | None = None


class FaultPlan(Fixture):
    """Body of `PUT /_sandbox/faults`: replaces all faults; a seed restarts their randomness."""

    faults: list[Fault]
    seed: int | None = None


@dataclass(slots=True)
class JournalEntry:
    """One request, noted as it starts. Times are Unix seconds.

    `path` is as sent (percent-encoded), `key` the last four characters of the API key, `email`
    the address in the body. `ended` stays None while it runs, `status` where no answer was sent;
    `left` is when the caller hung up on a slow answer.
    """

    n: int
    started: float
    method: str
    path: str
    key: str | None
    ended: float | None = None
    status: int | None = None
    body: JsonValue = None
    fault: FaultKind | None = None
    email: str | None = None
    left: float | None = None


class Journal:
    """Every request to Cordial, in order of arrival; overlapping ones overlap here too."""

    def __init__(self) -> None:
        self._entries: list[JournalEntry] = []
        self._last = 0

    def __iter__(self) -> Iterator[JournalEntry]:
        """Go through the entries, oldest first."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def open(self, call: "Call", now: float) -> JournalEntry:
        """Note a request that starts now; the caller fills in the rest."""
        self._last += 1
        key = call.key[-4:] if call.key else None
        entry = JournalEntry(self._last, now, call.method, call.path, key)
        self._entries.append(entry)
        return entry

    def after(self, n: int) -> list[JournalEntry]:
        """Return the entries numbered above n."""
        return self._entries[max(0, len(self._entries) - self._last + n) :]

    def clear(self) -> None:
        """Drop all entries; the numbers go on, so a reader's `after` stays valid."""
        self._entries.clear()


class Quota(NamedTuple):
    """What is left of an endpoint's rate limit; `reset` is seconds until it is full again."""

    limit: int
    used: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """The vendor's headers: S. Retry-After only where it is exceeded."""
        told = {
            "X-Rate-Limit-Limit": str(self.limit),
            "X-Rate-Limit-Remaining": str(max(0, self.limit - self.used)),
            "X-Rate-Limit-Reset": str(self.reset),
        }
        return {"Retry-After": str(self.reset), **told} if self.exceeded else told

    @property
    def exceeded(self) -> bool:
        """Whether this call is one too many."""
        return self.used > self.limit


class RateLimiter:
    """Counts calls per method and endpoint (S) in fixed windows, whose real shape is open (?)."""

    def __init__(self) -> None:
        self._windows: dict[Permission, tuple[float, int]] = {}

    def count(self, endpoint: Permission, account: Account, now: float) -> Quota | None:
        """Count one call; None where the account has no limit."""
        if account.rate_limit is None:
            return None
        start, used = self._windows.get(endpoint, (now, 0))
        if now - start >= account.rate_window_seconds:
            start, used = now, 0
        self._windows[endpoint] = (start, used + 1)
        left = account.rate_window_seconds - (now - start)
        return Quota(account.rate_limit, used + 1, max(1, math.ceil(left)))


class Sandbox:
    """The state behind the app: set it up and look into it in process, or under `/_sandbox`."""

    contacts: Contacts
    journal: Journal
    faults: list[Fault]
    limiter: RateLimiter
    random: random.Random
    seed: int
    latency_seconds: float

    def __init__(self, account: Account, switches: Switches) -> None:
        self._first_switches = switches
        self.clock: Callable[[], float] = time.time
        self._start(account)

    def _start(self, account: Account) -> None:
        self.contacts = Contacts(account, self._first_switches.model_copy())
        self.journal = Journal()
        self.faults = []
        self.limiter = RateLimiter()
        self.latency_seconds = 0.0
        self.reseed(0)

    def reset(self) -> None:
        """Put everything back to the start, but for the account."""
        self._start(self.account)

    def reseed(self, seed: int) -> None:
        """Restart the randomness of faults."""
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - repeatable faults, nothing secret

    @property
    def account(self) -> Account:
        """What the account knows: attributes, lists, channels, keys."""
        return self.contacts.account

    @account.setter
    def account(self, account: Account) -> None:
        self.contacts.account = account

    @property
    def switches(self) -> Switches:
        """How the open questions of the contract are answered now."""
        return self.contacts.switches

    @switches.setter
    def switches(self, switches: Switches) -> None:
        self.contacts.switches = switches

    def now(self) -> datetime:
        """The clock's time, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def next_fault(self, email: str | None) -> Fault | None:
        """Take the first fault that hits a request with this address in its body, if any."""
        for at, fault in enumerate(self.faults):
            meant = fault.email is None or fault.email.lower() == email
            if meant and self.random.random() < fault.probability:
                self._use_up(at, fault)
                return fault
        return None

    def _use_up(self, at: int, fault: Fault) -> None:
        if fault.times == 1:
            del self.faults[at]
        elif fault.times is not None:
            self.faults[at] = fault.model_copy(update={"times": fault.times - 1})


# --- Requests and answers -------------------------------------------------------------------


@dataclass(slots=True)
class Call:
    """One request to Cordial. `path` is still percent-encoded: a key may hold a slash."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    client: str
    key: str | None
    names: list[str] = field(default_factory=list)
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


class Answer(JSONResponse):
    """JSON in ASCII: names come back whatever half a surrogate pair they were sent with."""

    def render(self, content: object) -> bytes:
        """Write the content as JSON."""
        return json.dumps(content, separators=(",", ":")).encode()


class _Refusal(Exception):
    """An answer in Cordial's usual shape of an error."""

    def __init__(self, status: int, error_key: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer(
            {"error": True, "errorKey": error_key, "message": message}, status_code=status
        )


def _read_call(scope: Scope) -> Call:
    headers = dict(scope["headers"])
    return Call(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"],
        headers=headers,
        client=scope["client"][0] if scope["client"] else "",
        key=_api_key(headers.get(b"authorization", b"")),
    )


def _api_key(header: bytes) -> str | None:
    """The key is the user name of HTTP Basic, the password empty. S, H."""
    scheme, _, credentials = header.partition(b" ")
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    key, colon, password = pair.partition(":")
    return key if scheme.lower() == b"basic" and colon and not password else None


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_not_json)


def _read_body(call: Call, raw: bytes) -> None:
    try:
        call.body = _decoder.decode(raw.decode()) if raw else None
    except (ValueError, RecursionError):
        call.broken = True


def _email_in(body: JsonValue, account: Account) -> str | None:
    channels = body.get("channels") if isinstance(body, dict) else None
    for name in account.email_channels if isinstance(channels, dict) else ():
        channel = cast("Json", channels).get(name)
        address = channel.get("address") if isinstance(channel, dict) else None
        if isinstance(address, str):
            return address.lower()
    return None


# --- Contacts -------------------------------------------------------------------------------


def _post_contact(sandbox: Sandbox, call: Call) -> Response:
    contact, created = sandbox.contacts.upsert(call.fields, sandbox.now())
    status = 201 if created else sandbox.switches.update_status
    if sandbox.switches.success_body == "bare":
        return Answer({"success": True}, status_code=status)
    # "contact created" is said of updates too: R, C
    told = {"success": True, "message": "contact created", "cID": contact.cid}
    return Answer(told, status_code=status)


def _get_contacts(sandbox: Sandbox, call: Call) -> Response:
    email = call.asked("email")
    if email is None:
        return Answer([_document(sandbox, one) for one in sandbox.contacts])
    return Answer([_document(sandbox, _known(_by_email(sandbox, email)))])


def _get_contact(sandbox: Sandbox, call: Call) -> Response:
    return Answer(_document(sandbox, _named_contact(sandbox, call)))


def _put_contact(sandbox: Sandbox, call: Call) -> Response:
    contact = _named_contact(sandbox, call, "CONTACTS_CONTACT_NOT_FOUND")
    sandbox.contacts.update(contact, call.fields, sandbox.now())
    return Answer({"success": True})


def _delete_contact(sandbox: Sandbox, call: Call) -> Response:
    sandbox.contacts.delete(_named_contact(sandbox, call))
    return Answer({"success": True})


def _put_unsubscribe(sandbox: Sandbox, call: Call) -> Response:
    contact = _named_contact(sandbox, call)
    sandbox.contacts.unsubscribe(contact, unquote(call.names[1]), sandbox.now())
    return Answer({"success": True})


def _named_contact(sandbox: Sandbox, call: Call, error_key: str = "RECORD_NOT_FOUND") -> Contact:
    """Find by `email:address`, `sms:number`, cID or the bare address, the primary key. S."""
    key, colon, value = call.names[0].partition(":")
    if colon:
        return _known(sandbox.contacts.find(unquote(key), unquote(value)), error_key)
    bare = unquote(key)
    return _known(sandbox.contacts.find("cID", bare) or _by_email(sandbox, bare), error_key)


def _by_email(sandbox: Sandbox, address: str) -> Contact | None:
    found = (sandbox.contacts.find(name, address) for name in sandbox.account.email_channels)
    return next((contact for contact in found if contact), None)


def _known(contact: Contact | None, error_key: str = "RECORD_NOT_FOUND") -> Contact:
    if contact is None:
        raise _Refusal(404, error_key, "record not found")
    return contact


def _document(sandbox: Sandbox, contact: Contact) -> Json:
    """A contact as GET shows it: attributes and lists at top level, geo values as objects. S."""
    document: Json = {"cID": contact.cid, "channels": sandbox.contacts.channels_of(contact)}
    for key, value in contact.attributes.items():
        *parents, leaf = key.split(".")
        branch = document
        for parent in parents:
            branch = cast("Json", branch.setdefault(parent, {}))
        branch[leaf] = value
    return {**document, **dict.fromkeys(sorted(contact.lists), True)}


# --- Account attributes and lists -----------------------------------------------------------


def _get_attributes(sandbox: Sandbox, call: Call) -> Response:
    wanted = call.asked("type")
    shown = {
        key: _shown_attribute(key, attribute)
        for key, attribute in sandbox.account.attributes.items()
        if wanted in (None, attribute.type)
    }
    as_array = sandbox.switches.attributes_shape == "array"
    return Answer(list(shown.values()) if as_array else shown)


def _get_attribute(sandbox: Sandbox, call: Call) -> Response:
    return Answer(_shown_attribute(*_named_attribute(sandbox, call)))


def _post_attribute(sandbox: Sandbox, call: Call) -> Response:
    key = call.fields.get("key")
    if not isinstance(key, str) or not key or key in sandbox.account.attributes:
        raise _refused("Key must be unique")
    attribute = _read_attribute(call.fields)
    if attribute.name in {one.name for one in sandbox.account.attributes.values()} - {""}:
        raise _refused("Name must be unique")
    sandbox.account.attributes[key] = attribute
    return Answer({"success": True})


def _put_attribute(sandbox: Sandbox, call: Call) -> Response:
    key, attribute = _named_attribute(sandbox, call)
    if call.fields.get("type", attribute.type) != attribute.type:
        raise _refused("You can not change type")
    limits = attribute.validators.model_dump() | _object(call.fields, "validators")
    merged = {"type": attribute.type, "name": attribute.name, **call.fields, "validators": limits}
    sandbox.account.attributes[key] = _read_attribute(merged)
    return Answer({"success": True})


def _delete_attribute(sandbox: Sandbox, call: Call) -> Response:
    if sandbox.account.attributes.pop(unquote(call.names[0]), None) is None:
        raise _Refusal(404, "RECORD_NOT_FOUND", "record not found")
    return Answer({"success": True})


def _named_attribute(sandbox: Sandbox, call: Call) -> tuple[str, Attribute]:
    key = unquote(call.names[0])
    if key not in sandbox.account.attributes:
        raise _refused("Key not exist")  # 422, not 404, on GET and PUT: S
    return key, sandbox.account.attributes[key]


def _read_attribute(body: Json) -> Attribute:
    limits = _object(body, "validators") | _object(body, "options")  # maxitems is an option: S
    known = {key: limits[key] for key in Validators.model_fields if key in limits}
    try:
        return Attribute.model_validate(
            {"type": body.get("type"), "name": body.get("name", ""), "validators": known}
        )
    except ValidationError as invalid:
        raise _refused("invalid field type") from invalid


def _object(body: Json, key: str) -> Json:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _shown_attribute(key: str, attribute: Attribute) -> Json:
    limits = attribute.validators.model_dump(exclude_none=True, exclude={"maxitems"})
    if attribute.type in ("string", "array"):
        limits = {"min": 0, "max": MAX_CHARACTERS, **limits}
    shown: Json = {
        "key": key,
        "name": attribute.name or key,
        "type": attribute.type,
        "index": False,
        "validators": limits,
    }
    is_array = attribute.type == "array"
    return {**shown, "options": {"maxitems": attribute.validators.maxitems}} if is_array else shown


def _get_lists(sandbox: Sandbox, call: Call) -> Response:
    wanted = call.asked("name")
    lists = [
        {"id": at, "name": name, "enhanced": False}
        for at, name in enumerate(sandbox.account.lists, start=1)
        if wanted in (None, name)
    ]
    if not lists and sandbox.switches.lists_when_none == 404:
        raise _Refusal(404, "RECORD_NOT_FOUND", "record not found")
    return Answer(lists)


def _post_list(sandbox: Sandbox, call: Call) -> Response:
    name = call.fields.get("name")
    # S names letters, numbers and dashes; underscores pass as well, as in other keys: ?
    if not isinstance(name, str) or not LIST_NAME.fullmatch(name):
        raise _refused("Name must contain only letters, numbers and dashes")
    if name in sandbox.account.lists:
        raise _refused("Name must be unique")
    sandbox.account.lists.append(name)
    return Answer({"success": True, "id": len(sandbox.account.lists)})


def _refused(message: str) -> _Refusal:
    return _Refusal(422, "GENERIC_ERROR_KEY", message)


# --- Cordial's front door -------------------------------------------------------------------


class Endpoint(NamedTuple):
    """One API call: the permission it takes (one per call: H) and how it is answered."""

    permission: Permission
    answer: Callable[[Sandbox, Call], Response]
    takes_body: bool = False


_ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "contacts"): Endpoint("GET contacts", _get_contacts),
    ("POST", "contacts"): Endpoint("POST contacts", _post_contact, takes_body=True),
    ("GET", "contacts/{}"): Endpoint("GET contacts", _get_contact),
    ("PUT", "contacts/{}"): Endpoint("PUT contacts", _put_contact, takes_body=True),
    ("DELETE", "contacts/{}"): Endpoint("DELETE contacts", _delete_contact),
    ("PUT", "contacts/{}/unsubscribe/{}"): Endpoint("PUT contacts/unsubscribe", _put_unsubscribe),
    ("GET", "accountcontactattributes"): Endpoint("GET accountcontactattributes", _get_attributes),
    ("POST", "accountcontactattributes"): Endpoint(
        "POST accountcontactattributes", _post_attribute, takes_body=True
    ),
    ("GET", "accountcontactattributes/{}"): Endpoint(
        "GET accountcontactattributes", _get_attribute
    ),
    ("PUT", "accountcontactattributes/{}"): Endpoint(
        "PUT accountcontactattributes", _put_attribute, takes_body=True
    ),
    ("DELETE", "accountcontactattributes/{}"): Endpoint(
        "DELETE accountcontactattributes", _delete_attribute
    ),
    ("GET", "accountlists"): Endpoint("GET accountlists", _get_lists),
    ("POST", "accountlists"): Endpoint("POST accountlists", _post_list, takes_body=True),
}


class Cordial:
    """The ASGI app under `/v2`: journal, faults, then access, then the endpoint."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or drop it where a fault says so."""
        sandbox, call = self.sandbox, _read_call(scope)
        entry = sandbox.journal.open(call, sandbox.clock())
        _read_body(call, await Request(scope, receive).body())
        entry.body, entry.email = call.body, _email_in(call.body, sandbox.account)
        fault = sandbox.next_fault(entry.email)
        entry.fault = fault.kind if fault else None
        if fault and fault.kind == "slow":
            entry.left = await _linger(sandbox, fault.seconds, receive)
        answer = _faulty_answer(sandbox, call, fault)
        if sandbox.latency_seconds:
            await asyncio.sleep(sandbox.latency_seconds)
        # Before the send: whoever has the answer must find the entry closed.
        entry.ended = sandbox.clock()
        if entry.fault == "reset_after_write":
            await _drop_connection(scope, receive)
        else:
            entry.status = answer.status_code
            await answer(scope, receive, send)


def _faulty_answer(sandbox: Sandbox, call: Call, fault: Fault | None) -> Response:
    if fault and fault.kind in _FAULT_ANSWERS:
        return _FAULT_ANSWERS[fault.kind](fault)
    return _answer(sandbox, call)


async def _linger(sandbox: Sandbox, seconds: float, receive: Receive) -> float | None:
    """Let time pass; return when the caller hung up. What it asked for is done all the same."""
    until = time.monotonic() + seconds
    left = None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            left = sandbox.clock()
    await asyncio.sleep(until - time.monotonic())
    return left


def _answer(sandbox: Sandbox, call: Call) -> Response:
    shape, call.names = _shape(call.path)
    endpoint = _ENDPOINTS.get((call.method, shape))
    if endpoint is None:  # also for a method that is not there, such as PATCH: ?
        return _path_not_found(call.path)
    denied = _denied(sandbox, call, endpoint.permission)
    if denied:
        return denied
    quota = sandbox.limiter.count(endpoint.permission, sandbox.account, sandbox.clock())
    answer = _too_fast() if quota and quota.exceeded else _endpoint_answer(sandbox, call, endpoint)
    answer.headers.update(quota.headers if quota else {})
    return answer


def _shape(path: str) -> tuple[str, list[str]]:
    """Split `/v2/contacts/email:a` into the endpoint's shape `contacts/{}` and its names."""
    parts = path.split("/")
    if parts[:2] != ["", "v2"]:
        return path, []
    shape = ["{}" if at % 2 else part for at, part in enumerate(parts[2:])]
    return "/".join(shape), parts[3::2]


def _denied(sandbox: Sandbox, call: Call, permission: Permission) -> Response | None:
    keys = sandbox.account.api_keys
    if call.key is None or call.key not in keys:
        return _authentication_failure()
    permissions = keys[call.key]
    permitted = permissions is None or permission in permissions
    if permitted and _ip_allowed(sandbox.account, call.client):
        return None
    forbidden = sandbox.switches.denied_status == 403
    return _forbidden() if forbidden else _authentication_failure()


def _ip_allowed(account: Account, client: str) -> bool:
    if account.allowed_ips is None:
        return True
    try:
        address = ipaddress.ip_address(client)
    except ValueError:  # a Unix socket has no address, so no list lets it in
        return False
    return any(address in network for network in account.allowed_ips)


def _endpoint_answer(sandbox: Sandbox, call: Call, endpoint: Endpoint) -> Response:
    try:
        if endpoint.takes_body:
            _check_body(call)
        return endpoint.answer(sandbox, call)
    except _Refusal as refusal:
        return refusal.answer
    except InvalidContact as invalid:  # R
        messages = {"validationErrors": invalid.errors}
        return Answer({"error": True, "messages": messages}, status_code=422)
    except ContactRefused as refused:  # `messages` may be an object or, as here, a string
        told = {"error": True, "errorKey": "GENERIC_ERROR_KEY", "messages": str(refused)}
        return Answer(told, status_code=422)


def _check_body(call: Call) -> None:
    media_type = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        message = "Unsupported Media Type: Content-Type header must be application/json"
        raise _Refusal(415, "UNSUPPORTED_MEDIA_TYPE", message)
    if call.broken or call.body is None:
        raise _Refusal(400, "GENERIC_ERROR_KEY", "The body is not JSON")
    if not isinstance(call.body, dict):
        raise _refused("The body must be an object")


async def _drop_connection(scope: Scope, receive: Receive) -> None:
    """Close the connection without a byte of answer.

    ASGI has no word for that, so this reaches for uvicorn's transport. Under a server without
    one (httpx.ASGITransport) the caller gets the exception itself.
    """
    transport = getattr(getattr(scope["sandbox.send"], "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox dropped the connection after the write")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass  # uvicorn takes a call that ends while connected for a broken app


def _path_not_found(path: str) -> Response:
    return Answer({"error": f"'{path}' is not found."}, status_code=404)


def _authentication_failure() -> Response:
    # `error` is a string here and a boolean elsewhere: S
    return Answer({"error": "Access Denied: Authentication Failure"}, status_code=401)


def _forbidden() -> Response:
    return Answer({"error": "Access Denied"}, status_code=403)


def _too_fast(headers: dict[str, str] | None = None) -> Response:
    return Answer({"error": "Too Many Requests"}, status_code=429, headers=headers)


def _rate_limited(fault: Fault) -> Response:
    told = fault.retry_after is not None
    return _too_fast({"Retry-After": str(fault.retry_after)} if told else None)


def _rate_limited_reset(fault: Fault) -> Response:
    return _too_fast(
        {"X-Rate-Limit-Reset": str(1 if fault.retry_after is None else fault.retry_after)}
    )


# Faults that answer in place of Cordial. The other two change the way there: `slow` waits and
# `reset_after_write` drops what would have been the answer.
_FAULT_ANSWERS: dict[FaultKind, Callable[[Fault], Response]] = {
    "rate_limited": _rate_limited,
    "rate_limited_reset": _rate_limited_reset,
    "server_error": lambda _: Answer({"error": "an error has occurred"}, status_code=500),
    # The edge in front of Cordial speaks HTML.
    "html_502": lambda _: Response(
        "<html><body><h1>502 Bad Gateway</h1></body></html>", 502, media_type="text/html"
    ),
    "success_false": lambda _: Answer({"success": False, "message": "contact not saved"}),
    "empty_body": lambda _: Response(b"", 200, media_type="application/json"),
    "unauthorized": lambda _: _authentication_failure(),
    "forbidden": lambda _: _forbidden(),
    "not_found": lambda _: _path_not_found("/v2/contacts"),
}


# --- The control API ------------------------------------------------------------------------


def _state(request: Request) -> Sandbox:
    return cast("Sandbox", request.app.state.sandbox)


async def _read(request: Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.body())


async def _get_journal(request: Request) -> Response:
    after = TypeAdapter(int).validate_python(request.query_params.get("after", "0"))
    entries = _state(request).journal.after(after)
    fields = JournalEntry.__slots__
    return Answer({"requests": [{key: getattr(one, key) for key in fields} for one in entries]})


async def _delete_journal(request: Request) -> Response:
    _state(request).journal.clear()
    return Response(status_code=204)


async def _get_faults(request: Request) -> Response:
    sandbox = _state(request)
    return Answer(FaultPlan(faults=sandbox.faults, seed=sandbox.seed).model_dump())


async def _put_faults(request: Request) -> Response:
    sandbox, plan = _state(request), await _read(request, FaultPlan)
    sandbox.faults = plan.faults
    if plan.seed is not None:
        sandbox.reseed(plan.seed)
    return await _get_faults(request)


async def _delete_faults(request: Request) -> Response:
    _state(request).faults.clear()
    return Response(status_code=204)


async def _get_switches(request: Request) -> Response:
    return Answer(_state(request).switches.model_dump())


async def _patch_switches(request: Request) -> Response:
    sandbox = _state(request)
    changes = TypeAdapter(Json).validate_json(await request.body())
    sandbox.switches = Switches.model_validate({**sandbox.switches.model_dump(), **changes})
    return await _get_switches(request)


async def _get_account(request: Request) -> Response:
    return Answer(_state(request).account.model_dump(mode="json"))


async def _put_account(request: Request) -> Response:
    _state(request).account = await _read(request, Account)
    return await _get_account(request)


async def _get_all_contacts(request: Request) -> Response:
    contacts = _state(request).contacts
    shown = [
        {
            "cID": one.cid,
            "channels": contacts.channels_of(one),
            "attributes": one.attributes,
            "lists": sorted(one.lists),
            "created_at": one.created_at.isoformat(),
            "modified_at": one.modified_at.isoformat(),
        }
        for one in contacts
    ]
    return Answer({"contacts": shown})


async def _get_texts(request: Request) -> Response:
    return Answer({"texts": _state(request).contacts.texts})


async def _get_triggers(request: Request) -> Response:
    return Answer({"triggers": _state(request).contacts.triggers})


async def _post_reset(request: Request) -> Response:
    _state(request).reset()
    return Response(status_code=204)


async def _bad_input(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, ValidationError) else []
    told = (
        "{}: {}".format(".".join(map(str, one["loc"])) or "body", one["msg"]) for one in problems
    )
    return Answer({"error": "; ".join(told)}, status_code=422)


_CONTROL = [
    Route("/journal", _get_journal, methods=["GET"]),
    Route("/journal", _delete_journal, methods=["DELETE"]),
    Route("/faults", _get_faults, methods=["GET"]),
    Route("/faults", _put_faults, methods=["PUT"]),
    Route("/faults", _delete_faults, methods=["DELETE"]),
    Route("/switches", _get_switches, methods=["GET"]),
    Route("/switches", _patch_switches, methods=["PATCH"]),
    Route("/account", _get_account, methods=["GET"]),
    Route("/account", _put_account, methods=["PUT"]),
    Route("/contacts", _get_all_contacts, methods=["GET"]),
    Route("/texts", _get_texts, methods=["GET"]),
    Route("/triggers", _get_triggers, methods=["GET"]),
    Route("/reset", _post_reset, methods=["POST"]),
]


class _SandboxApp(Starlette):
    """Starlette that keeps the server's own `send`, which its error middleware wraps."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["sandbox.send"] = send
        await super().__call__(scope, receive, send)


def create_sandbox(account: Account | None = None, switches: Switches | None = None) -> Starlette:
    """Build a local Cordial; its `Sandbox` is `app.state.sandbox`.

    Both arguments are copied: what happens in the sandbox does not change them.
    """
    sandbox = Sandbox(
        account.model_copy(deep=True) if account else default_account(), switches or Switches()
    )
    app = _SandboxApp(
        routes=[Mount("/_sandbox", routes=_CONTROL), Mount("/", app=Cordial(sandbox))],
        exception_handlers={ValidationError: _bad_input},
    )
    app.state.sandbox = sandbox
    return app
