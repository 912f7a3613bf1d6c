"""A person's time at the console: begun with a token, which then stays out of the browser."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.ledger.vault import Vault, WrongSecretKey
from app.operations.callers import Caller, Token, Tokens

LASTS_SECONDS: Final = 12 * 3600.0
INVITED_SECONDS: Final = 15 * 60.0
_MOST_INVITATIONS = 20
_LONGEST = 4_096  # characters that a browser may send as a session


@dataclass(frozen=True, slots=True)
class _Invitation:
    name: str
    until: float


class Sessions:
    """Begins sessions and knows them again.

    A session is a text that the vault encrypts and so signs: whose it is, until when, and a digest
    of the token. When the token is changed, the session ends.
    """

    def __init__(self, vault: Vault, tokens: Tokens, clock: Callable[[], float]) -> None:
        """Take the vault, the tokens in force, and what tells the time (unix seconds)."""
        self._vault = vault
        self._tokens = tokens
        self._clock = clock
        self._invitations: dict[str, _Invitation] = {}

    def begin(self, name: str) -> str:
        """Return a new session of somebody whose token is in force, for a browser to keep.

        Raises:
            KeyError: no token in force has this name.
        """
        token = self._tokens.named(name)
        if token is None:
            raise KeyError(name)
        kept = [token.name, token.digest, self._clock() + LASTS_SECONDS]
        return self._vault.encrypt(json.dumps(kept).encode()).decode()

    def resume(self, text: str, address: str) -> Caller | None:
        """Return whose session it is; None if it is none, is over, or its token was changed.

        Args:
            text: what the browser kept.
            address: the network address of the call.
        """
        token = self._token_of(text)
        return Caller(token.name, token.role, address) if token else None

    def _token_of(self, text: str) -> Token | None:
        if not text.isascii() or len(text) > _LONGEST:
            return None
        try:
            name, digest, until = json.loads(self._vault.decrypt(text.encode()))
        except (WrongSecretKey, ValueError, TypeError):
            return None
        token = self._tokens.named(str(name))
        if token is None or token.digest != digest or until <= self._clock():
            return None
        return token

    def invite(self, name: str) -> str:
        """Return a code that begins one session of somebody, once and soon, in this process."""
        code, now = secrets.token_urlsafe(24), self._clock()
        kept = [each for each in self._invitations.items() if each[1].until > now]
        self._invitations = dict(kept[-_MOST_INVITATIONS + 1 :])
        self._invitations[code] = _Invitation(name, now + INVITED_SECONDS)
        return code

    def redeem(self, code: str) -> str | None:
        """Return whom a code invites, and forget it; None if it was used, or is too old."""
        invitation = self._invitations.pop(code, None)
        if invitation is None or invitation.until <= self._clock():
            return None
        return invitation.name
