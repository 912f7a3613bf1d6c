"""Who calls: names with roles, and the tokens that prove them."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

OPS = "ops"
"""The name of the admin whose token is OPS_TOKEN."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_FORM = "write name:role:token, several with commas between them"


class Role(StrEnum):
    """What a caller may do."""

    ADMIN = "admin"  # everything
    VIEWER = "viewer"  # look, but see no payload and no address
    METRICS = "metrics"  # read /metrics, and nothing else


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose token was right, and the network address of the call."""

    name: str
    role: Role
    address: str

    @property
    def sees_people(self) -> bool:
        """Whether payloads and addresses may be shown."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class Token:
    """Whose token it is, and what it lets them do."""

    name: str
    role: Role
    secret: str = field(repr=False)

    @property
    def digest(self) -> str:
        """What tells this token from another one without telling it."""
        return _digest(self.secret).hex()


class Tokens:
    """The tokens in force."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = [(_digest(each.secret), each) for each in tokens]

    def find(self, given: str) -> Token | None:
        """Return the token that was given, in a time that tells nothing of any."""
        digest, found = _digest(given), None
        for known, token in self._tokens:
            if hmac.compare_digest(digest, known):
                found = token
        return found

    def named(self, name: str) -> Token | None:
        """Return the token of this name, if it is in force."""
        return next((each for _, each in self._tokens if each.name == name), None)


def network_address(host: str | None) -> str:
    """Return the network address of a call; behind a trusted proxy, the one that the proxy names.

    What a proxy passes on may be any text, also somebody's: only an address is kept. `host` is None
    for a call that came by no network.
    """
    try:
        return "local" if host is None else str(ip_address(host))
    except ValueError:
        return "unknown"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def read_tokens(text: str) -> list[Token]:
    """Return the tokens of `OPS_TOKENS`.

    Raises:
        ValueError: something in it is wrong; the message repeats no token.
    """
    tokens = [_token(each.strip()) for each in text.split(",") if each.strip()]
    if twice := _repeated(each.name for each in tokens):
        raise ValueError(f"several tokens are named {twice}")
    if _repeated(each.secret for each in tokens):
        raise ValueError("two names have the same token")
    return tokens


def _token(text: str) -> Token:
    name, _, rest = text.partition(":")
    role, _, secret = rest.partition(":")
    if not _NAME.fullmatch(name) or not secret:
        raise ValueError(_FORM)
    if name == OPS:
        raise ValueError(f"the name {OPS} is that of OPS_TOKEN")
    if role not in set(Role):
        raise ValueError(f"the role of {name} must be one of {', '.join(Role)}")
    return Token(name, Role(role), secret.strip())


def _repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for each in values:
        if each in seen:
            return each
        seen.add(each)
    return None
