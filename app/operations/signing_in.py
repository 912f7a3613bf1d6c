"""Telling who calls by a token."""

from collections.abc import Collection

from app.operations.callers import Caller, Role
from app.operations.context import Context

WRONG_TOKEN = "wrong_token"  # noqa: S105 -- an outcome
NOT_ALLOWED = "not_allowed"
LOOKERS = frozenset({Role.ADMIN, Role.VIEWER})
"""The roles of those who may look at what there is."""

_SIGN_IN = "console.sign_in"


class NoToken(Exception):
    """The call carries no token."""


class WrongToken(Exception):
    """Nobody has the token that was given."""


class NotAllowed(Exception):
    """The caller's role does not allow what is asked for."""

    def __init__(self, who: Caller) -> None:
        super().__init__(who.name)
        self.who = who


async def identify(context: Context, given: str | None, address: str, operation: str) -> Caller:
    """Return whose token was given.

    Args:
        context: the service's parts.
        given: the token, if any.
        address: the network address of the call.
        operation: what is asked for.

    Raises:
        NoToken: none is given.
        WrongToken, TooManyWrongTokens: it is nobody's. The more wrong ones have come from the
            address, the longer this takes.
    """
    if not given:
        raise NoToken
    token = context.tokens.find(given)
    if token is None:
        await context.auditor.refused(operation, address, WRONG_TOKEN)
        await context.slowdown.wait(address)
        raise WrongToken
    return Caller(token.name, token.role, address)


async def admit(context: Context, who: Caller, roles: Collection[Role], operation: str) -> None:
    """Let a caller pass who has one of these roles.

    Raises:
        NotAllowed: the caller has not.
    """
    if who.role not in roles:
        await context.auditor.refused(operation, who.address, NOT_ALLOWED, who)
        raise NotAllowed(who)


async def begin_session(context: Context, given: str | None, address: str) -> str:
    """Return a session for the console, for the token of somebody who may look.

    Raises:
        NoToken, WrongToken, TooManyWrongTokens: as `identify`.
        NotAllowed: the token is good for `/metrics` alone.
    """
    who = await identify(context, given, address, _SIGN_IN)
    await admit(context, who, LOOKERS, _SIGN_IN)
    async with context.auditor.changing(who, _SIGN_IN):
        return context.sessions.begin(who.name)
