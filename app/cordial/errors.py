"""Cordial's answers, classified by what the caller can do about them.

Sources: Cordial's description of API v2, recorded answers of v1, and what working clients read;
where these differ, every form is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import islice

from pydantic import JsonValue
from pydantic_core import from_json

from app.egress import Proxy

_LONGEST_MESSAGE = 500
_LONGEST_READ = 4_000  # characters of Cordial's words that are looked at to make a message
_MOST_TEXTS = 100  # that a message is made of
_MOST_FIELDS = 100  # that a refusal may name
_LONGEST_WAIT = 3600.0  # however long Cordial asks for, look again after an hour

ACCESS_CAUSES = (
    "the API key is wrong or was revoked",
    "this machine's outbound IP address is not on the key's allow list",
    "the key lacks the permission for this call ({call})",
    "the account URL belongs to another region or account",
)


class CordialError(Exception):
    """Cordial did not take the contact. `http_status` is None where there was no answer."""

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status


class Unavailable(CordialError):
    """Try again: Cordial is down, slow, or gave an answer that cannot be read."""


class NoAnswer(Unavailable):
    """Try again: Cordial could not be reached, or the connection broke."""


class TimedOut(NoAnswer):
    """Try again: Cordial took too long."""


class RateLimited(CordialError):
    """Wait, with the whole account: a 429, or a 503 that says for how long.

    `retry_after` is in seconds; None where Cordial did not say.
    """

    def __init__(self, message: str, http_status: int, retry_after: float | None) -> None:
        super().__init__(message, http_status)
        self.retry_after = retry_after


class AccessRefused(CordialError):
    """A person must act: key, allow list, permission or account URL."""


class ProxyRefuses(AccessRefused):
    """A person must act: a proxy on the way to Cordial does not let us through."""


class Rejected(CordialError):
    """Cordial refuses this contact. `fields` are the names in its answer, with its words of each.

    A name may be a field's, `channels.sms.address` or the like, or none that we sent.
    """

    def __init__(
        self, message: str, http_status: int, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, http_status)
        self.fields = fields or {}


_CLASSES: dict[type[CordialError], str] = {
    TimedOut: "timeout",
    NoAnswer: "connection",
    RateLimited: "rate_limited",
    AccessRefused: "access_refused",
    ProxyRefuses: "access_refused",
    Rejected: "rejected",
}


def error_class(error: CordialError) -> str:
    """Return the word by which an error is counted and logged."""
    return _CLASSES.get(type(error), "unavailable")  # `Unavailable`, and what is none of these


def refused_by_proxy(proxy: Proxy, status: int, host: str) -> CordialError:
    """Return what it means that a proxy answered, instead of opening a way to Cordial's host.

    Cordial has said nothing, so no contact is wrong. Who may pass is for a person to mend.
    """
    said = f"The proxy {proxy.name} ({proxy.setting}) answered {status}"
    if status == 407:
        return ProxyRefuses(f"{said}: it does not know the user and password given there.")
    if status in (401, 403):
        return ProxyRefuses(f"{said}: it does not let this service reach {host}.")
    return Unavailable(f"{said}.")


@dataclass(frozen=True, slots=True)
class Upserted:
    """Cordial has the contact; its id may be missing from the answer.

    `doubt` says what is odd about the answer, where nothing else in it speaks against a success.
    """

    http_status: int
    contact_id: str | None
    doubt: str | None = None


def read_answer(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    now: float,
    call: str = "POST contacts",
) -> Upserted:
    """Read Cordial's answer to an upsert, or to another call that it refuses.

    Args:
        status: the HTTP status.
        headers: names in any case.
        content: the body.
        now: unix seconds, for a `Retry-After` that is a date.
        call: what was called, as Cordial's permissions are named.

    Raises:
        CordialError: the subclass says what can be done.
    """
    body = _load(content)
    if 200 <= status < 300:
        return _read_success(status, content, body)
    message = _message(body) or f"HTTP {status}"
    if status == 429 or (status == 503 and _retry_after(headers, now) is not None):
        raise RateLimited(message, status, _retry_after(headers, now))
    if status in _PASSING or status >= 500:
        raise Unavailable(message, status)
    own = isinstance(body, dict | list)  # Cordial speaks JSON; HTML or nothing is somebody else
    if status in _NO_ACCESS or status < 400 or (status == 404 and not _names_record(body)):
        causes = "; ".join(ACCESS_CAUSES).format(call=call)
        raise AccessRefused(f"Cordial answered {status}: {message}. Likely: {causes}.", status)
    if not own:
        raise Unavailable(f"{message}, not in Cordial's words: {_SOMEBODY_ELSE}", status)
    if status in _OF_ALL:
        raise AccessRefused(
            f"Cordial answered {status}: {message}. It concerns every call.", status
        )
    raise Rejected(message, status, _named(body))


_PASSING = (
    408,
    409,
    425,
)  # timeout, conflict with another write, too early: they pass by themselves
_NO_ACCESS = (401, 403, 407)
_OF_ALL = (402, 405, 406, 410, 421, 426, 451)  # they speak of the account or address, of no contact
_SOMEBODY_ELSE = "a proxy, a firewall or Cordial's edge answered in its place"


def _names_record(body: JsonValue) -> bool:
    """Whether a 404 speaks of a record, not of the address that we called.

    Cordial's `error` is true of a record (mostly with an `errorKey`) and a sentence of a path.
    """
    return isinstance(body, dict) and ("errorKey" in body or body.get("error") is True)


def names_path(content: bytes) -> bool:
    """Whether the body of a 404 says that there is no such path: the address is wrong."""
    body = _load(content)
    if not content.strip():
        return False
    return not isinstance(body, dict | list) or (
        isinstance(body, dict) and not _names_record(body) and isinstance(body.get("error"), str)
    )


def _read_success(status: int, content: bytes, body: JsonValue) -> Upserted:
    """Read a 2xx: done, unless something in it speaks against that."""
    if isinstance(body, dict):
        if _speaks_against(body):
            raise Rejected(_message(body) or "success: false", status, _named(body))
        contact_id = body.get("cID")
        if isinstance(contact_id, str) and _CONTACT_ID.fullmatch(contact_id):
            return Upserted(status, contact_id)
        return Upserted(status, None)
    if isinstance(body, list) and any(isinstance(e, dict) and _speaks_against(e) for e in body):
        raise Rejected(_message(body) or "success: false", status, _named(body))
    if body is False:
        raise Rejected("false", status)
    if body is None and content.lstrip()[:1] in _PAGE_OR_CUT:
        raise Unavailable(f"HTTP {status} with a body that cannot be read", status)
    said = "nothing" if not content.strip() else "text that is not Cordial's usual JSON"
    return Upserted(status, None, f"Cordial answered {status} with {said}; it counts as done")


_PAGE_OR_CUT = (b"<", b"{", b"[")  # a page of HTML (a maintenance notice), or JSON cut short


def _speaks_against(body: Mapping[str, JsonValue]) -> bool:
    """Whether a 2xx says, in any of the forms seen, that the contact was not taken."""
    if any(key in body and _is_no(body[key]) for key in _FLAGS):
        return True
    for key in ("error", "errors", "errorKey", "validationErrors", "fieldErrors"):
        if body.get(key) and not _is_no(body[key]):
            return True
    status = body.get("status")
    if isinstance(status, str) and status.strip().lower() in _FAILED:
        return True
    inner = body.get("data")  # an envelope
    if isinstance(inner, dict) and any(key in inner and _is_no(inner[key]) for key in _FLAGS):
        return True
    told = body.get("messages")
    if isinstance(told, dict) and any(told.get(key) for key in _ERRORS_OF_FIELDS):
        return True
    parts = body.get("messagecontacts")  # what Cordial says of each contact of a message
    return isinstance(parts, list) and any(
        isinstance(each, dict) and "accepted" in each and _is_no(each["accepted"]) for each in parts
    )


_FLAGS = ("success", "accepted")
_FAILED = ("error", "fail", "failed", "failure")


def said_against(body: Mapping[str, JsonValue]) -> str | None:
    """Return what a 2xx says against itself, in words; None if it says nothing of the kind."""
    return (_message(dict(body)) or "success: false") if _speaks_against(body) else None


def _is_no(value: JsonValue) -> bool:
    """Whether a flag says no: false, null, 0, or one of them as text."""
    if isinstance(value, str):
        return value.strip().lower() in ("false", "0", "no", "null", "")
    return not value


_CONTACT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")  # 24 hex digits today


def _load(content: bytes) -> JsonValue:
    try:
        document: JsonValue = from_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None
    return document


def _message(body: JsonValue) -> str:
    """Return the text of any of the forms in which errors come; "" if it has none."""
    if not isinstance(body, dict):
        return _said(_texts(body)) if isinstance(body, list) else ""
    keys = (*_MESSAGE_KEYS, "error")
    said = _said(text for key in keys for text in _texts(body.get(key)))
    return said or _said(_texts(body.get("errorKey")))


def _said(texts: Iterable[str]) -> str:
    """Return the first of these texts as one, each once, without personal data."""
    return _clean("; ".join(dict.fromkeys(islice(texts, _MOST_TEXTS))))[:_LONGEST_MESSAGE]


_ERRORS_OF_FIELDS = ("validationErrors", "fieldErrors")
_MESSAGE_KEYS = (
    *("message", "messages", *_ERRORS_OF_FIELDS, "errors"),
    *("detail", "details", "fields", "invalid-params"),
)


def _texts(value: JsonValue, name: str = "") -> Iterator[str]:
    """Yield the texts in a message of any form: a string, a list, an object of either."""
    match value:
        case str():
            yield f"{name}: {value}" if name else value
        case list():
            for item in value:
                yield from _texts(item, name)
        case dict():
            for key, item in value.items():
                yield from _texts(item, "" if key in _MESSAGE_KEYS else key)


def _named(body: JsonValue) -> Mapping[str, str]:
    """Return the names that a refusal holds, each with its words, in the forms that are seen.

    Keys of an object of messages, or what an entry calls `field`: `{"messages": {"first_name":
    ["too long"]}}`, `{"errors": [{"field": "first_name", "message": "too long"}]}`. A place in the
    request is taken for the field: `attributes.first_name`, `/first_name`, `colors.0`.
    """
    found: dict[str, str] = {}
    for name, words in islice(_names_in(body, told=isinstance(body, list)), _MOST_FIELDS):
        found.setdefault(_field(name[:_LONGEST_NAME]), _said(_texts(words)))
    return found


def _names_in(value: JsonValue, *, told: bool) -> Iterator[tuple[str, JsonValue]]:
    """Yield names and their words; `told` within what tells of errors."""
    if isinstance(value, list):
        for item in value:
            yield from _names_in(item, told=told)
    elif isinstance(value, dict):
        source = value.get("source")  # as JSON:API says where
        where = {**source, **value} if isinstance(source, dict) else value
        named = [where[key] for key in _NAMING if isinstance(where.get(key), str)] if told else []
        if named:
            words = {key: item for key, item in value.items() if key in _WORDING}
            yield str(named[0]), words
            return
        for key, item in value.items():
            if key in (*_MESSAGE_KEYS, "error"):
                yield from _names_in(item, told=True)
            elif told and isinstance(item, str | list | dict):
                yield key, item


_NAMING = ("field", "attribute", "property", "param", "path", "pointer", "key", "name")
_WORDING = ("message", "messages", "error", "errors", "detail", "reason", "description", "msg")
_LONGEST_NAME = 200
_BEFORE_FIELD = ("body.", "data.", "contact.", "attributes.", "attribute.")
_INDEX = re.compile(r"(?:\.\d+|\[\d*\])+\Z")


def _field(name: str) -> str:
    """Return a field's name from a place in the request."""
    field = _INDEX.sub("", name.strip().lstrip("/").replace("/", "."))
    for before in _BEFORE_FIELD:
        field = field.removeprefix(before)
    return field or name


# What looks like an address is not kept: Cordial's messages repeat what they refuse. Each pattern
# tries every run of characters once, so that no text takes more time than its length is worth.
_RUN = re.compile(
    r"""
    " [^"]* " (?=@)    # a quoted part before the @, which may hold spaces
    | (?: &\#(?:64|x40); | [^\s"<>:,;] )+
""",
    re.VERBOSE | re.IGNORECASE,
)
_AT = re.compile(r"@|\uff20|%40|\\u0040|&\#(?:64|x40)", re.IGNORECASE)  # written in any way
_PHONE = re.compile(r"\+?\d[\d\s()./\u2010-\u2015-]{6,}\d")
_PART_OF_PHONE = "+0123456789 ()./-"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def _clean(text: str) -> str:
    """Return a message without addresses and control characters."""
    if len(text) > _LONGEST_READ:  # cut between words, so that no part of an address is left over
        text = text[:_LONGEST_READ].rpartition(" ")[0].rstrip(_PART_OF_PHONE)
    without = _RUN.sub(_without_address, _CONTROL.sub(" ", text))
    return _PHONE.sub(_REMOVED, without).strip()


_REMOVED = "[address]"


def _without_address(run: re.Match[str]) -> str:
    text = run[0]
    return _REMOVED if '"' in text or _AT.search(text) else text


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait, by `Retry-After` or else Cordial's seconds until the reset."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    for name in ("retry-after", "x-rate-limit-reset"):
        if name in lower and (seconds := _seconds(lower[name], now)) is not None:
            return min(max(seconds, 0.0), _LONGEST_WAIT)
    return None


def _seconds(value: str, now: float) -> float | None:
    """Read seconds, whole or not, or a date in any of HTTP's forms; without a zone it is UTC."""
    if _NUMBER.fullmatch(value):
        seconds = float(value)
        return seconds - now if seconds >= _A_TIME else seconds
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None


_A_TIME = 1e9  # more seconds than anybody waits: unix time, as other APIs give a reset
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?")
