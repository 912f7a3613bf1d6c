"""Why an account refuses a key: the key, its allow list, a permission and the address told apart.

Cordial answers a key that it does not know and a key used from the wrong address alike, as far as
is published. So several calls are made, each with a permission of its own, and one with a key that
nobody has: what is answered as that one is may be an unknown key; what is not, is a known one.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.cordial.attributes import Account
from app.cordial.client import CordialClient
from app.cordial.errors import AccessRefused, CordialError, NoAnswer, ProxyRefuses, RateLimited
from app.cordial.probe import write_access

Cause = Literal[
    "key", "allow_list", "region", "permission", "address", "unreachable", "proxy", "wait", "answer"
]
"""What keeps us from writing contacts. `region`: the account is in another one; `address`: this is
no address of Cordial's API; `answer`: it does not answer as it should."""

NOBODYS_KEY: Final = "no-key-of-anybody"
_WRITE, _ATTRIBUTES, _LISTS = (
    "POST contacts",
    "GET accountcontactattributes",
    "GET accountlists",
)


@dataclass(frozen=True, slots=True)
class Access:
    """What a key may do at an account.

    `causes` are what may be wrong, the likeliest first; none: contacts can be written. `missing`
    are the permissions that the key lacks, though it is known. `said` is Cordial's own word.
    """

    causes: Sequence[Cause]
    missing: Sequence[str]
    said: str | None
    account: Account

    @property
    def ok(self) -> bool:
        """Whether contacts can be written."""
        return not self.causes


async def access_of(client: CordialClient, stranger: CordialClient) -> Access:
    """Ask an account what its key may do.

    Args:
        client: with the account's address and key.
        stranger: with its address, and a key that nobody has.
    """
    attributes = lists = None
    refused: dict[str, CordialError] = {}
    try:
        attributes = {each.key: each for each in await client.attributes()}
    except CordialError as error:
        refused[_ATTRIBUTES] = error
    if (first := refused.get(_ATTRIBUTES)) and not isinstance(first, AccessRefused):
        return Access([_cause(first)], [], first.message, Account(None, None))
    try:
        lists = await client.lists()
    except CordialError as error:
        refused[_LISTS] = error
    account = Account(attributes, lists)
    write = await write_access(client)
    works = write.level != "error"
    if works or len(refused) < 2:
        missing = [name for name, error in refused.items() if isinstance(error, AccessRefused)]
        if works:
            return Access([], missing, None, account)
        if write.place == "cordial.api_key":
            return Access(["permission"], [_WRITE, *missing], write.problem, account)
        waits = write.place == "cordial.requests_per_second"
        return Access(["wait" if waits else "answer"], missing, write.problem, account)
    last = refused[_ATTRIBUTES]
    return Access(await _alike(last, stranger.attributes), [], last.message, account)


def _cause(error: CordialError) -> Cause:
    match error:
        case ProxyRefuses():
            return "proxy"
        case RateLimited():
            return "wait"
        case NoAnswer():
            return "unreachable"
        case _:
            return "answer"


async def _alike(refused: CordialError, ask: Callable[[], Awaitable[object]]) -> Sequence[Cause]:
    """Return what a refusal of every call means, beside what a stranger is told."""
    if isinstance(refused, ProxyRefuses):
        return ["proxy"]
    if refused.http_status == 404:
        return ["address"]
    try:
        await ask()
    except CordialError as error:
        told = error.http_status, error.message
        if told == (refused.http_status, refused.message):
            return ["key", "allow_list", "permission", "region"]
    return ["allow_list", "permission"]
