"""Creating, showing, changing, pausing and deleting integrations."""

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass

from pydantic import JsonValue, ValidationError

from app.cordial.account import BadAccountUrl
from app.ledger.documents import document_of, unmasked
from app.ledger.integrations import Setup, StoredIntegration, VersionChanged
from app.operations.callers import Caller
from app.operations.checking import refuse_live, refuse_wrong
from app.operations.context import Context
from app.operations.invalid import invalid_at, invalid_by
from app.operations.strength import refuse_weak
from app.rules.integration import MASK, Integration, merge_patch, slug

_KEY_WANTED = (
    "the account's host changes, and the key must not go there unseen: give the key of that account"
)
_ONE_MUST_STAY = "needs at least 1 item: without it every webhook would be answered 401"
_NEW_REASON = "Created paused: look at a preview, then resume."
_PAUSED_REASON = "Paused by a person."
_WHOM = frozenset(("collect", "opt_in", "auto_subscribe"))  # that have no lawful default
_RESERVED = frozenset({"new"})  # /console/integrations/new


async def list_integrations(context: Context) -> list[StoredIntegration]:
    """Return all integrations by id."""
    return await context.integrations.list()


async def get(context: Context, integration_id: str) -> StoredIntegration:
    """Return one integration as it is now.

    Raises:
        UnknownIntegration: there is none.
    """
    return await context.integrations.get(integration_id)


async def create(
    context: Context, who: Caller, integration: Integration, *, paused: bool, force: bool = False
) -> StoredIntegration:
    """Store a new integration under an id made from its name.

    One that is to send at once is checked first, as it would be to resume it, unless by `force`.

    Raises:
        Invalid: its account URL is none, a webhook secret protects nothing, or its id is reserved.
        CheckFailed: it would send what is wrong; nothing is stored.
        NameTaken: another integration has that id.
    """
    async with context.auditor.changing(who, "integration.create", slug(integration.name)):
        refuse_reserved(slug(integration.name))
        _check_account(context, integration)
        refuse_weak(integration)
        if not paused and not force:
            await refuse_wrong(context, slug(integration.name), integration)
        reason = _NEW_REASON if paused else None
        return await context.integrations.create(
            integration, paused_reason=reason, now=context.clock(), by=who.name
        )


async def begin(
    context: Context, who: Caller, integration: Integration, *, reason: str
) -> StoredIntegration:
    """Store a new integration that is to be set up, paused for this reason.

    Raises:
        Invalid: its account URL is none, a webhook secret protects nothing, or its id is reserved.
        NameTaken: another integration has that id.
    """
    async with context.auditor.changing(who, "integration.create", slug(integration.name)):
        refuse_reserved(slug(integration.name))
        _check_account(context, integration)
        refuse_weak(integration)
        return await context.integrations.create(
            integration, paused_reason=reason, now=context.clock(), by=who.name, setup=Setup()
        )


def refuse_reserved(integration_id: str) -> None:
    """Refuse a new id that stands for something else in the console's addresses.

    Raises:
        Invalid: it is one.
    """
    if integration_id in _RESERVED:
        detail = f"{integration_id} is the console's own address, so no integration can have it"
        raise invalid_at("name", f"{detail}: choose another name")


@dataclass(frozen=True, slots=True)
class Change:
    """A patch (RFC 7396) of an integration's configuration.

    `versions`: the versions it may be applied to, None for any. `force`: apply it even if the check
    finds errors.
    """

    patch: Mapping[str, JsonValue]
    versions: Set[int] | None = None
    force: bool = False

    def answers(self, setup: Setup) -> Setup:
        """Return what it answers of a setting up: whoever names the choice has made it."""
        policy = self.patch.get("policy")
        whom = isinstance(policy, Mapping) and policy.keys() >= _WHOM
        return Setup(setup.mapped or "mapping" in self.patch, setup.whom or whom)


async def change(
    context: Context, who: Caller, integration_id: str, wanted: Change
) -> StoredIntegration:
    """Patch an integration; it holds for all that is sent from now on.

    A secret in the patch that is written as it is shown stands for the secret itself. One that is
    active is checked first, as it would be to resume it. A changed Cordial account opens a blocked
    gate.

    Raises:
        UnknownIntegration: there is none.
        VersionChanged: it has another version than the patch is meant for.
        Invalid: with the patch it would be no integration.
        CheckFailed: it is active, and with the patch it would send what is wrong.
    """
    async with context.auditor.changing(who, "integration.change", integration_id):
        changed = await replace_by(
            context,
            who,
            integration_id,
            lambda before: patched(context, before, wanted.patch),
            versions=wanted.versions,
            force=wanted.force,
            answers=wanted.answers,
        )
    context.wake()
    return changed


async def change_seen(
    context: Context,
    who: Caller,
    integration_id: str,
    patch: Mapping[str, JsonValue],
    version: int,
    *,
    force: bool = False,
) -> StoredIntegration:
    """Patch the version of an integration that a person looked at. Sent twice, it is done once.

    Raises:
        VersionChanged: somebody else changed it meanwhile, and it does not read as wanted.
        UnknownIntegration, Invalid, CheckFailed: as `change`.
    """
    try:
        return await change(context, who, integration_id, Change(patch, {version}, force=force))
    except VersionChanged:
        now = await context.integrations.get(integration_id)
        if patched(context, now.integration, patch) != now.integration:
            raise
        return now


async def replace_by(
    context: Context,
    who: Caller,
    integration_id: str,
    made: Callable[[Integration], Integration],
    *,
    versions: Set[int] | None,
    force: bool,
    restores: int | None = None,
    answers: Callable[[Setup], Setup] = lambda setup: setup,
) -> StoredIntegration:
    """Replace what was looked at, and look again if somebody else changed it meanwhile.

    Or resumed it: what was paused was not checked.

    Raises:
        UnknownIntegration: there is none.
        VersionChanged: it has another version than `versions`.
        CheckFailed: it is active, and would send what is wrong.
        Exception: whatever `made` raises.
    """
    while True:
        before = await context.integrations.get(integration_id)
        if versions is not None and before.version not in versions:
            raise VersionChanged(before.version)
        after = made(before.integration)
        if not force:
            await refuse_live(context, before, after)
        with suppress(VersionChanged):
            return await context.integrations.change(
                integration_id,
                _replacing_by(after),
                now=context.clock(),
                version=before.version,
                paused=before.paused,
                by=who.name,
                restores=restores,
                answers=answers,
            )


def _replacing_by(after: Integration) -> Callable[[Integration], Integration]:
    return lambda _: after


def patched(context: Context, before: Integration, patch: Mapping[str, JsonValue]) -> Integration:
    """Return an integration as a patch would make it.

    Raises:
        Invalid: it would be no integration.
    """
    document = unmasked(merge_patch(document_of(before), patch), before)
    try:
        after = Integration.model_validate(document)
    except ValidationError as error:
        raise invalid_by(error) from None
    return accepted(context, before, after, key_given=_gives_key(patch))


def accepted(
    context: Context, before: Integration, after: Integration, *, key_given: bool
) -> Integration:
    """Return what an integration is to become, if it may.

    Raises:
        Invalid: its account URL is none, a webhook secret protects nothing or the last one goes,
            or the key would go to another host unseen.
    """
    _check_account(context, after)
    refuse_weak(after, before)
    refuse_deaf(before, after)
    if not key_given and _moves(context, before, after):
        raise invalid_at("cordial.api_key", _KEY_WANTED)
    return after


def refuse_deaf(before: Integration, after: Integration) -> None:
    """Refuse to take the last webhook secret away.

    Raises:
        Invalid: it goes.
    """
    if before.jebbit.webhook_secrets and not after.jebbit.webhook_secrets:
        raise invalid_at("jebbit.webhook_secrets", _ONE_MUST_STAY)


def _gives_key(patch: Mapping[str, JsonValue]) -> bool:
    cordial = patch.get("cordial")
    key = cordial.get("api_key") if isinstance(cordial, Mapping) else None
    return isinstance(key, str) and not key.startswith(MASK)


def _moves(context: Context, before: Integration, after: Integration) -> bool:
    """Say whether the key would go to another host than before."""
    try:
        known = context.accounts.address(before.cordial.account_url)
    except BadAccountUrl:  # it was allowed once
        return True
    return known != context.accounts.address(after.cordial.account_url)


async def pause(context: Context, who: Caller, integration_id: str) -> StoredIntegration:
    """Stop sending; webhooks are accepted all the same.

    Raises:
        UnknownIntegration: there is none.
    """
    async with context.auditor.changing(who, "integration.pause", integration_id):
        return await context.integrations.pause(
            integration_id, reason=_PAUSED_REASON, now=context.clock()
        )


async def delete(context: Context, who: Caller, integration_id: str, *, force: bool) -> None:
    """Delete an integration; with `force` its pending submissions become dead.

    Raises:
        UnknownIntegration: there is none.
        StillPending: submissions are waiting and `force` is not set.
    """
    async with context.auditor.changing(who, "integration.delete", integration_id):
        await context.integrations.delete(integration_id, force=force, now=context.clock())


def _check_account(context: Context, integration: Integration) -> None:
    url = integration.cordial.account_url
    try:
        context.accounts.address(url)
    except BadAccountUrl as error:
        raise invalid_at("cordial.account_url", str(error)) from None
