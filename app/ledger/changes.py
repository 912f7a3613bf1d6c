"""The versions of each integration's configuration: how it read, when and by whom it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.database import Database
from app.ledger.documents import masked_document
from app.ledger.schema import changes
from app.rules.integration import Integration


class ChangeKind(StrEnum):
    """How a version came to be."""

    CREATED = "created"
    CHANGED = "changed"
    RESTORED = "restored"
    FOUND = "found"  # it was there before versions were kept; nobody knows who made it


class UnknownVersion(Exception):
    """The integration has, or had, no such version."""


@dataclass(frozen=True, slots=True)
class Made:
    """A version, when it was made (unix seconds), by whom, how, and which one it brought back."""

    version: int
    at: float
    by: str | None
    kind: ChangeKind
    restores: int | None = None


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version with its configuration, secrets masked; `before` is how the one before it read.

    `before` is None for the first one.
    """

    id: int
    made: Made
    config: Mapping[str, JsonValue]
    before: Mapping[str, JsonValue] | None


async def keep(
    connection: AsyncConnection, integration_id: str, made: Made, integration: Integration
) -> None:
    """Keep a version, in the commit that makes it."""
    row = {
        "integration_id": integration_id,
        "version": made.version,
        "at": made.at,
        "name": made.by,
        "kind": made.kind,
        "restores": made.restores,
        "config": masked_document(integration),
    }
    await connection.execute(insert(changes), row)


async def keep_missing(
    connection: AsyncConnection, integration_id: str, found: Made, integration: Integration
) -> None:
    """Keep the version that is there before it is changed, unless it is kept already."""
    if (await connection.execute(_query(integration_id, found.version))).first() is None:
        await keep(connection, integration_id, found, integration)


async def newest(
    database: Database, integration_id: str, limit: int, older_than: int | None = None
) -> list[KeptVersion]:
    """Return the newest versions, or those kept before one (its `id`)."""
    query = select(changes).where(changes.c.integration_id == integration_id)
    if older_than is not None:
        query = query.where(changes.c.id < older_than)
    query = query.order_by(changes.c.id.desc()).limit(limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [
        KeptVersion(
            row.id,
            _made(row),
            row.config,
            before.config if before and row.kind != ChangeKind.CREATED else None,
        )
        for row, before in zip(rows[:limit], [*rows[1:], None], strict=False)
    ]


async def newest_made(database: Database, integration_id: str, limit: int) -> list[Made]:
    """Return when and by whom the newest versions were made, without how they read."""
    column = changes.c
    query = (
        select(column.version, column.at, column.name, column.kind, column.restores)
        .where(column.integration_id == integration_id)
        .order_by(column.id.desc())
        .limit(limit)
    )
    async with database.read() as connection:
        return [_made(row) for row in await connection.execute(query)]


async def phone_countries(database: Database) -> frozenset[str]:
    """Return by which countries numbers were ever read, of integrations that are gone too."""
    async with database.read() as connection:
        found = await connection.stream_scalars(select(changes.c.config))
        return frozenset([each["jebbit"]["default_phone_country"] async for each in found])


def _made(row: Any) -> Made:
    return Made(row.version, row.at, row.name, ChangeKind(row.kind), row.restores)


async def config_of(
    database: Database, integration_id: str, version: int
) -> Mapping[str, JsonValue]:
    """Return the configuration of a version, its secrets masked.

    Raises:
        UnknownVersion: there was none.
    """
    async with database.read() as connection:
        found = (await connection.execute(_query(integration_id, version))).first()
    if found is None:
        raise UnknownVersion(version)
    config: Mapping[str, JsonValue] = found.config
    return config


def _query(integration_id: str, version: int) -> Select[tuple[object, ...]]:
    """Ask for a version; the newest, should one id have been given twice."""
    is_it = (changes.c.integration_id == integration_id) & (changes.c.version == version)
    return select(changes).where(is_it).order_by(changes.c.id.desc()).limit(1)
