"""Cordial's answers, classified by what the caller can do about them.

Sources: Cordial's description of API v2, recorded answers of v1, and what working clients read;
where these differ, every form is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import islice

from pydantic import JsonValue
from pydantic_core import from_json

from app.egress import Proxy

_LONGEST_MESSAGE = 500
_LONGEST_READ = 4_000  # characters of Cordial's words that are looked at to make a message
_MOST_FIELDS = 100  # that a refusal may name
_LONGEST_HEADER = 100  # characters of a Retry-After that is read
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
    """Wait, with the whole account. `retry_after` is in seconds; None where Cordial did not say."""

    def __init__(self, message: str, http_status: int, retry_after: float | None) -> None:
        super().__init__(message, http_status)
        self.retry_after = retry_after


class AccessRefused(CordialError):
    """A person must act: key, allow list, permission or account URL."""


class Rejected(CordialError):
    """Give up: Cordial refuses this contact. `fields` are those its answer names."""

    def __init__(self, message: str, http_status: int, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, http_status)
        self.fields = fields


_CLASSES: dict[type[CordialError], str] = {
    TimedOut: "timeout",
    NoAnswer: "connection",
    Unavailable: "unavailable",
    RateLimited: "rate_limited",
    AccessRefused: "access_refused",
    Rejected: "rejected",
}


def error_class(error: CordialError) -> str:
    """Return the word by which an error is counted and logged."""
    return _CLASSES.get(type(error), "unavailable")


def refused_by_proxy(proxy: Proxy, status: int, host: str) -> CordialError:
    """Return what it means that a proxy answered, instead of opening a way to Cordial's host.

    Cordial has said nothing, so no contact is wrong. Who may pass is for a person to mend.
    """
    said = f"The proxy {proxy.name} ({proxy.setting}) answered {status}"
    if status == 407:
        return AccessRefused(f"{said}: it does not know the user and password given there.")
    if status in (401, 403):
        return AccessRefused(f"{said}: it does not let this service reach {host}.")
    return Unavailable(f"{said}.")


@dataclass(frozen=True, slots=True)
class Upserted:
    """Cordial has the contact; its id may be missing from the answer."""

    http_status: int
    contact_id: str | None


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
        return _read_success(status, body)
    message = _message(body) or f"HTTP {status}"
    if status == 429:
        raise RateLimited(message, status, _retry_after(headers, now))
    if status in (408, 409, 425) or status >= 500:
        raise Unavailable(message, status)
    # A 404 that has an errorKey speaks of a record; without one, of the address we called.
    names_record = isinstance(body, dict) and "errorKey" in body
    if status in (401, 403) or status < 400 or (status == 404 and not names_record):
        causes = "; ".join(ACCESS_CAUSES).format(call=call)
        raise AccessRefused(f"Cordial answered {status}: {message}. Likely: {causes}.", status)
    raise Rejected(message, status, _refused_fields(body))


def _read_success(status: int, body: JsonValue) -> Upserted:
    if not isinstance(body, dict):
        raise Unavailable(f"HTTP {status} with a body that is no JSON object", status)
    refused = body.get("success") is False or body.get("accepted") is False
    if refused or body.get("error") or body.get("errors"):
        raise Rejected(_message(body) or "success: false", status, _refused_fields(body))
    contact_id = body.get("cID")
    if isinstance(contact_id, str) and _CONTACT_ID.fullmatch(contact_id):
        return Upserted(status, contact_id)
    return Upserted(status, None)


_CONTACT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")  # 24 hex digits today


def _load(content: bytes) -> JsonValue:
    try:
        document: JsonValue = from_json(content)
    except ValueError:
        return None
    return document


def _message(body: JsonValue) -> str | None:
    """Return the text of any of the forms in which errors come, without personal data."""
    if not isinstance(body, dict):
        return None
    texts = _first(text for key in _MESSAGE_KEYS for text in _texts(body.get(key)))
    if isinstance(body.get("error"), str):
        texts.append(str(body["error"]))
    if not texts and isinstance(body.get("errorKey"), str):
        texts.append(str(body["errorKey"]))
    return _clean("; ".join(dict.fromkeys(texts)))[:_LONGEST_MESSAGE] or None


def _first(texts: Iterable[str]) -> list[str]:
    """Return texts until there are more than enough for a message."""
    found: list[str] = []
    room = _LONGEST_READ
    for text in texts:
        found.append(text[: room + 1])
        room -= len(text) + 1
        if room < 0:
            break
    return found


_MESSAGE_KEYS = ("message", "messages", "validationErrors", "fieldErrors", "errors")


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


def _refused_fields(body: JsonValue) -> tuple[str, ...]:
    return tuple(islice(_named_fields(body), _MOST_FIELDS))


def _named_fields(body: JsonValue) -> Iterator[str]:
    """Yield the fields that a refusal names, wherever its validation errors stand."""
    if not isinstance(body, dict):
        return
    for key, value in body.items():
        if key in ("validationErrors", "fieldErrors") and isinstance(value, dict):
            yield from value
        elif key in _MESSAGE_KEYS:
            yield from _named_fields(value)


# What looks like an address is not kept: Cordial's messages repeat what they refuse. Each pattern
# tries every run of characters once, so that no text takes more time than its length is worth.
_RUN = re.compile(
    r"""
    " [^"]{1,64} " (?=@)    # a quoted part before the @, which may hold spaces
    | [^\s"<>:,;]+
""",
    re.VERBOSE,
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
    return _REMOVED if text.startswith('"') or _AT.search(text) else text


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait, by `Retry-After` or else Cordial's seconds until the reset."""
    lower = {name.lower(): value.strip()[:_LONGEST_HEADER] for name, value in headers.items()}
    for name in ("retry-after", "x-rate-limit-reset"):
        if name in lower and (seconds := _seconds(lower[name], now)) is not None:
            return min(max(seconds, 0.0), _LONGEST_WAIT)
    return None


def _seconds(value: str, now: float) -> float | None:
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None
