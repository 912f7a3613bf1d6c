"""The versions of an integration: how they differ, and bringing one back."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue, ValidationError

from app.ledger import changes as ledger
from app.ledger.changes import ChangeKind, Made
from app.ledger.documents import document_of, masked_document
from app.ledger.integrations import StoredIntegration
from app.operations.callers import Caller
from app.operations.comparing import Comparison, compare_rules
from app.operations.context import Context
from app.operations.integrations import accepted, replace_by
from app.operations.invalid import invalid_by
from app.rules.integration import Integration


@dataclass(frozen=True, slots=True)
class Difference:
    """What one place of a configuration was and is; None: it was not there, or is no more."""

    place: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True, slots=True)
class Version:
    """A version, and how it differs from the one before it."""

    id: int
    made: Made
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class History:
    """Versions, the newest first; `more` if there are older ones."""

    versions: Sequence[Version]
    more: bool


async def history(
    context: Context, integration_id: str, limit: int, older_than: int | None = None
) -> History:
    """Return the newest versions of an integration, or those older than one (its `id`).

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    found = await ledger.newest(context.database, integration_id, limit + 1, older_than)
    versions = [
        Version(each.id, each.made, differences(each.before, each.config) if each.before else [])
        for each in found[:limit]
    ]
    if not found and older_than is None:  # it was not changed since versions are kept
        versions = [Version(0, _found(stored), [])]
    return History(versions, len(found) > limit)


async def versions(context: Context, integration_id: str, limit: int) -> Sequence[Made]:
    """Return the newest versions of an integration without their differences.

    Raises:
        UnknownIntegration: there is none.
    """
    stored = await context.integrations.get(integration_id)
    found = await ledger.newest_made(context.database, integration_id, limit)
    return found or [_found(stored)]


def _found(stored: StoredIntegration) -> Made:
    """Return the version of an integration that was not changed since versions are kept."""
    return Made(stored.version, stored.updated_at, None, ChangeKind.FOUND)


@dataclass(frozen=True, slots=True)
class Compared:
    """A version's configuration, secrets masked, and what it has in place of another one's."""

    config: Mapping[str, JsonValue]
    differences: Sequence[Difference]


async def compare(
    context: Context, integration_id: str, version: int, against: int | None = None
) -> Compared:
    """Return a version, and how it differs from another one.

    Args:
        context: the service's parts.
        integration_id: which integration.
        version: the one looked at.
        against: the other one; None: the one that holds now.

    Raises:
        UnknownIntegration: there is none.
        UnknownVersion: it had no such version.
    """
    stored = await context.integrations.get(integration_id)
    config = await _config(context, stored, version)
    other = await _config(context, stored, stored.version if against is None else against)
    return Compared(config, differences(other, config))


async def _config(
    context: Context, stored: StoredIntegration, version: int
) -> Mapping[str, JsonValue]:
    if version == stored.version:
        return masked_document(stored.integration)
    return await ledger.config_of(context.database, stored.id, version)


async def compare_restored(context: Context, integration_id: str, version: int) -> Comparison:
    """Plan the newest submissions by the rules of today, and with a version brought back.

    Raises:
        UnknownIntegration: there is none.
        UnknownVersion: it had no such version.
        Invalid: today it would be no integration.
    """
    stored = await context.integrations.get(integration_id)
    after = _restored(context, stored.integration, await _config(context, stored, version))
    return await compare_rules(context, stored, after)


async def restore(
    context: Context,
    who: Caller,
    integration_id: str,
    version: int,
    *,
    versions: Set[int] | None = None,
    force: bool = False,
) -> StoredIntegration:
    """Make a new version that reads as an earlier one; its secrets stay those of today.

    Secrets were taken away for a reason, and only masks of them are kept.

    Args:
        context: the service's parts.
        who: asks for it.
        integration_id: which integration.
        version: the one to bring back.
        versions: those that it may replace; None: any.
        force: also with errors in the check.

    Raises:
        UnknownIntegration: there is none.
        UnknownVersion: it had no such version.
        VersionChanged: it has another version than those it may replace.
        Invalid: today it would be no integration, or the key would go to another host.
        CheckFailed: it is active, and would send what is wrong.
    """
    async with context.auditor.changing(who, "integration.restore", integration_id):
        stored = await context.integrations.get(integration_id)
        config = await _config(context, stored, version)
        changed = await replace_by(
            context,
            who,
            integration_id,
            lambda before: _restored(context, before, config),
            versions=versions,
            force=force,
            restores=version,
        )
    context.wake()
    return changed


def _restored(
    context: Context, before: Integration, config: Mapping[str, JsonValue]
) -> Integration:
    document: dict[str, Any] = {**config}
    today = document_of(before)
    for part, secret in (("cordial", "api_key"), ("jebbit", "webhook_secrets")):
        document[part] = {**document[part], secret: today[part][secret]}
    try:
        after = Integration.model_validate(document)
    except ValidationError as error:
        raise invalid_by(error) from None
    return accepted(context, before, after, key_given=False)


def differences(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> list[Difference]:
    """Return what differs between two configurations, place by place.

    The rules of a mapping are told apart by their field: one that only moved is no difference.
    """
    return list(_differences(dict(before), dict(after), ""))


def _differences(before: JsonValue, after: JsonValue, place: str) -> Iterator[Difference]:
    was, is_ = _by_name(before), _by_name(after)
    if was is None or is_ is None:
        if before != after:
            yield Difference(place, before, after)
        return
    for name in {**was, **is_}:
        inner = name if not place or name.startswith("[") else f".{name}"
        yield from _differences(was.get(name), is_.get(name), place + inner)


def _by_name(value: JsonValue) -> Mapping[str, JsonValue] | None:
    """Return the parts of a configuration by their names; None for what has none."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(_field(each) for each in value):
        return {f"[{_field(each)}]": each for each in value}
    return None


def _field(rule: JsonValue) -> str | None:
    field = rule.get("field") if isinstance(rule, dict) else None
    return field if isinstance(field, str) else None
