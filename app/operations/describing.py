"""What an integration's Cordial account tells of itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.cordial.account import BadAccountUrl
from app.cordial.attributes import AccountAttribute
from app.delivery.accounts import Described as Told
from app.ledger.integrations import StoredIntegration
from app.operations.context import Context


@dataclass(frozen=True, slots=True)
class Described:
    """An account's attributes and lists by name; None, with a problem, for what it does not tell.

    `age` is how many seconds ago it told.
    """

    attributes: Sequence[AccountAttribute] | None
    lists: Sequence[str] | None
    problems: Sequence[str]
    age: float


async def account_of(context: Context, integration_id: str, *, refresh: bool) -> Described:
    """Return what an integration's account told lately, or with `refresh` tells now.

    Raises:
        UnknownIntegration: there is none.
    """
    return await described(context, await context.integrations.get(integration_id), refresh=refresh)


async def described(
    context: Context, stored: StoredIntegration, *, refresh: bool = False
) -> Described:
    """Return what the account of an integration told lately, or with `refresh` tells now."""
    try:
        found, age = await context.accounts.describe(stored, refresh=refresh)
    except BadAccountUrl as error:
        return Described(None, None, [str(error)], 0.0)
    return _described(found, age)


async def described_within(
    context: Context, stored: StoredIntegration, seconds: float
) -> Described:
    """Return what the account of an integration told lately, for a page that must not wait long."""
    try:
        async with asyncio.timeout(seconds):
            return await described(context, stored)
    except TimeoutError:
        problem = f"Cordial did not answer within {seconds:g} s."
        return replace(last_described(context, stored), problems=[problem])


def last_described(context: Context, stored: StoredIntegration) -> Described:
    """Return what the account of an integration told last, without asking it anew."""
    known = context.accounts.told(stored)
    return _described(*known) if known else Described(None, None, [], 0.0)


def _described(found: Told, age: float) -> Described:
    attributes, lists = found.account.attributes, found.account.lists
    return Described(
        attributes=None
        if attributes is None
        else sorted(attributes.values(), key=lambda each: each.key),
        lists=None if lists is None else sorted(lists),
        problems=[each.problem for each in found.untold],
        age=age,
    )
