"""Asking an account whether its key may write contacts, without writing one.

It is asked for a write that Cordial's description makes impossible: `suppressTriggers` is a
boolean, `channels` an object that must be there, and no form names a person.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from pydantic import JsonValue
from pydantic_core import from_json

from app.cordial.client import CordialClient
from app.cordial.errors import (
    AccessRefused,
    CordialError,
    NoAnswer,
    ProxyRefuses,
    RateLimited,
    Rejected,
    Unavailable,
)
from app.cordial.findings import Finding

# The second is for an account that takes the first: one that looks at no flag it does not know.
IMPOSSIBLE: Sequence[Mapping[str, JsonValue]] = (
    {"suppressTriggers": "neither true nor false"},
    {"channels": "no object", "suppressTriggers": {}},
)
_REFUSALS = (400, 422)  # by which Cordial refuses what a write says
_EXPECTED = ("suppresstriggers", "channel", "address", "contact", "email", "valid", "json", "body")
_DID_NOT_ANSWER = "Check that this machine reaches Cordial over HTTPS, then try again."


async def write_access(client: CordialClient) -> Finding:
    """Say whether the key may write contacts, and what Cordial answered to be asked."""
    taken = None
    for form in IMPOSSIBLE:
        try:
            taken = await client.upsert(form, tries=1)
        except CordialError as error:
            return _refused(error)
        if taken.doubt:
            return Finding("error", _URL, f"{taken.doubt}.", _BETWEEN)
        if taken.contact_id is not None:
            return await _removed(client, taken.contact_id)
    status = taken.http_status if taken else None
    return Finding(
        "warning",
        _KEY,
        f"Cordial answered {status} to a write that it cannot have done: whether the key may write "
        "contacts is not known.",
        "Send a test person before you go live, and look for them in Cordial.",
    )


_KEY, _URL = "cordial.api_key", "cordial.account_url"
_BETWEEN = "Compare cordial.account_url; look for a proxy or a firewall between here and Cordial."


def _refused(error: CordialError) -> Finding:
    """Say what an answer to an impossible write means."""
    said = f"Cordial answered {error.http_status}: {error.message}"
    match error:
        case Rejected() if error.http_status in _REFUSALS:
            return _as_it_should(error)
        case Rejected():
            problem = f"To a write that it should refuse with 422 {said}."
            return Finding("error", _URL, problem, _BETWEEN)
        case RateLimited(retry_after=seconds):
            when = "in a while" if seconds is None else f"in {seconds:.0f} s"
            return Finding(
                "error",
                "cordial.requests_per_second",
                f"Cordial asks to wait, so nothing was checked. {said}.",
                f"Check again {when}; set cordial.requests_per_second if others use the account.",
            )
        case ProxyRefuses():
            remedy = "Mend it at the proxy, or in the setting that is named. Cordial was not asked."
            return Finding("error", _URL, error.message, remedy)
        case AccessRefused() if error.http_status in _OF_ACCOUNT:
            return Finding("error", _URL, error.message, _OF_ACCOUNT[error.http_status])
        case AccessRefused():
            return Finding("error", _KEY, error.message, _ACCESS)
        case Unavailable() if error.http_status is not None and not isinstance(error, NoAnswer):
            return Finding(
                "error",
                _URL,
                f"Cordial does not answer as it should, so nothing was checked. {said}.",
                "An error of Cordial's side, or of what stands between: check again later.",
            )
        case _:
            problem = f"Cordial does not answer as it should: {error.message}"
            return Finding("error", _URL, problem, _DID_NOT_ANSWER)


_ACCESS = (
    "In Cordial under Settings > API keys: compare the key; add this machine's "
    "outbound IP address to the key's allow list; allow POST contacts. Compare "
    "cordial.account_url with the address you see when logged in."
)
_OF_ACCOUNT: Mapping[int | None, str] = {
    402: "Ask Cordial about the account's contract: its API is not open to it.",
    405: "Compare cordial.account_url: this address takes no contacts.",
    410: "Compare cordial.account_url: this address is no longer used.",
    451: "Ask Cordial why the account may not be used.",
}


def _as_it_should(error: Rejected) -> Finding:
    """Tell the refusal that is wanted; in words of another kind it may be another refusal."""
    said = f"{error.http_status}: {error.message}"
    if any(word in error.message.lower() for word in _EXPECTED):
        problem = (
            f"The key may write contacts: Cordial refused an impossible one as it should ({said})."
        )
        return Finding("note", _KEY, problem, "Nothing; nobody was written.")
    return Finding(
        "warning",
        _KEY,
        f"Cordial refused an impossible write in words that are not expected ({said}), so the key "
        "may be refused for another reason.",
        "Compare with what Cordial's words mean. Send a test person before you go live.",
    )


async def _removed(client: CordialClient, contact_id: str) -> Finding:
    """Remove a contact that nobody asked for; one with an address may be a person and stays."""
    problem = f"Cordial took a write that names nobody, and answered with the contact {contact_id}"
    try:
        if _has_address(await client.contact(contact_id)):
            return Finding(
                "error",
                _URL,
                f"{problem}, which has an address.",
                "It was not removed, as it may be a person: look at it in Cordial. Is "
                "cordial.account_url Cordial?",
            )
        await client.remove_contact(contact_id)
    except Rejected as error:
        if error.http_status != 404:
            return _not_removed(problem, error)
        with suppress(CordialError):
            await client.remove_contact(contact_id)
        return Finding("error", _URL, f"{problem}, which it does not know.", _BETWEEN)
    except CordialError as error:
        return _not_removed(problem, error)
    return Finding("error", _URL, f"{problem}, which was removed.", _BETWEEN)


def _not_removed(problem: str, error: CordialError) -> Finding:
    remedy = "Look at it in Cordial, and remove it there if it has no address."
    return Finding("error", _URL, f"{problem}, and it was not removed: {error.message}", remedy)


def _has_address(content: bytes) -> bool:
    """Whether a contact, as Cordial shows it, can be reached; what cannot be read may be."""
    try:
        channels = from_json(content)["channels"]
        return any(each.get("address") for each in channels.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return True
