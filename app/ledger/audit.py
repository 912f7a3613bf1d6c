"""Who asked for which change, and which tokens were refused."""

from dataclasses import asdict, dataclass, fields

from sqlalchemy import and_, delete, insert, or_, select, update

from app.ledger.database import Database
from app.ledger.schema import audit

_KEPT_SECONDS = 5 * 365 * 86_400.0  # as long as our decisions about people
_REFUSED_KEPT_SECONDS = 30 * 86_400.0  # of tokens that nobody has; strangers cause these rows
BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One call: who asked (None: unknown), for which operation, on what, from which address.

    `outcome` is `begun`, `done`, or a word for why not. The entry stands for so many `times` calls.
    `at` is in unix seconds.
    """

    at: float
    name: str | None
    role: str | None
    operation: str
    target: str | None
    address: str
    outcome: str = BEGUN
    times: int = 1


async def write(database: Database, entry: AuditEntry) -> int:
    """Store an entry, and return its number."""
    async with database.write() as connection:
        made = await connection.execute(insert(audit).returning(audit.c.id), asdict(entry))
        number: int = made.scalar_one()
    return number


async def finish(database: Database, number: int, outcome: str, target: str | None) -> None:
    """Store the outcome of a call that was begun, and what it was about."""
    async with database.write() as connection:
        await connection.execute(
            update(audit).where(audit.c.id == number).values(outcome=outcome, target=target)
        )


async def prune_audit(database: Database, now: float) -> None:
    """Delete entries that are past their time."""
    refused = and_(audit.c.name.is_(None), audit.c.at < now - _REFUSED_KEPT_SECONDS)
    async with database.write() as connection:
        await connection.execute(
            delete(audit).where(or_(refused, audit.c.at < now - _KEPT_SECONDS))
        )


async def newest_of(database: Database, operation: str, limit: int) -> list[AuditEntry]:
    """Return the newest entries of an operation."""
    names = [audit.c[each.name] for each in fields(AuditEntry)]
    query = select(*names).where(audit.c.operation == operation)
    async with database.read() as connection:
        found = await connection.execute(query.order_by(audit.c.id.desc()).limit(limit))
        return [AuditEntry(*row) for row in found]


async def newest(
    database: Database,
    limit: int,
    *,
    name: str | None = None,
    operation: str | None = None,
    since: float | None = None,
) -> list[AuditEntry]:
    """Return the newest entries, of a caller, an operation, or since a time (unix seconds)."""
    column = audit.c
    conditions = [
        *([column.name == name] if name is not None else []),
        *([column.operation == operation] if operation is not None else []),
        *([column.at >= since] if since is not None else []),
    ]
    names = [column[each.name] for each in fields(AuditEntry)]
    query = select(*names).where(*conditions).order_by(column.id.desc()).limit(limit)
    async with database.read() as connection:
        return [AuditEntry(*row) for row in await connection.execute(query)]
