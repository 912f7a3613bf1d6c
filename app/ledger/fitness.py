"""Can this database hold the ledger: asked once, when a process starts.

What a person must mend is said in one line, with the statement that mends it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.address import Postgresql
from app.ledger.postgresql import COMMAND_SECONDS, LIMITS, NEEDED, connect
from app.ledger.schema import metadata

log = structlog.get_logger("ledger")


class Unfit(Exception):
    """The database cannot hold the ledger as it is; the text says what to do."""


_POOLER = (
    "A pooler (as pgbouncer) stands between us and PostgreSQL: set DATABASE_POOLER=transaction, "
    "which suits its session mode too, or give the server's own address in DATABASE_URL"
)
_SESSION = """
SELECT pg_backend_pid() AS pid, current_user AS role, current_schema() AS schema,
  current_setting('search_path') AS path, current_setting('transaction_read_only') AS read_only,
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS of_role,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS of_database
"""


async def try_sessions(address: Postgresql) -> int | None:
    """Open a session, and see that it is PostgreSQL's own, or that we know of the pooler.

    Return how many of them role and database allow; None: no limit is set.

    Raises:
        Unfit: it is not, or nothing can be written through it.
        Exception: one of `database.UNAVAILABLE`.
    """
    try:
        session = await connect(address, LIMITS, COMMAND_SECONDS)
    except asyncpg.PostgresError as error:
        if "startup parameter" in str(error):  # pgbouncer takes only those it is told to
            raise Unfit(f"{_POOLER} (it says: {_first_line(error)})") from None
        raise
    told = session.get_server_pid()  # a pooler tells a number of its own
    try:
        async with session.transaction():
            # Without a prepared one: another client's may have the same name on the same session.
            (found,) = await _rows(session, _SESSION)
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.DuplicatePreparedStatementError) and not address.pooled:
            raise Unfit(_POOLER) from None
        raise
    finally:
        session.terminate()
    if not address.pooled and found["pid"] != told:
        raise Unfit(_POOLER)
    return _try_session(found)


async def _rows(session: Any, query: str) -> Any:
    statement = await session.prepare(query, name="")
    return await statement.fetch()


def _try_session(found: Any) -> int | None:
    if found["read_only"] == "on":
        raise Unfit(
            "The server only reads: it is a replica, or default_transaction_read_only is on. "
            "DATABASE_URL must name the primary; of several hosts, "
            "target_session_attrs=read-write finds it"
        )
    if found["schema"] is None:
        raise Unfit(
            f"The search_path {found['path']} names no schema that {found['role']} may use: "
            f"CREATE SCHEMA ledger AUTHORIZATION {found['role']}, and "
            "?options=-csearch_path%3Dledger at the end of DATABASE_URL"
        )
    limits = [each for each in (found["of_role"], found["of_database"]) if each is not None]
    least = min([each for each in limits if each >= 0], default=None)
    if least is not None and least < NEEDED:
        raise Unfit(
            f"{found['role']} may open {least} connections, and each process needs {NEEDED}: "
            f"ALTER ROLE {found['role']} CONNECTION LIMIT {NEEDED}, or more for more processes"
        )
    log.info("ledger_sessions", needs=NEEDED, role=found["role"], schema=found["schema"])
    return least


_LACKING = """
SELECT privilege, string_agg(name, ', ' ORDER BY name) AS names
FROM unnest(CAST(:names AS text[])) AS name,
  unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
WHERE NOT has_table_privilege(to_regclass(quote_ident(current_schema()) || '.' || name), privilege)
GROUP BY privilege ORDER BY privilege
"""


async def try_privileges(connection: AsyncConnection) -> None:
    """See that the role may use the tables.

    Raises:
        Unfit: it may not; the text names what it lacks.
    """
    found = await connection.execute(text(_LACKING), {"names": sorted(metadata.tables)})
    lacking = [f"{privilege} on {names}" for privilege, names in found]
    if not lacking:
        return
    role, schema = (await connection.execute(text("SELECT current_user, current_schema()"))).one()
    raise Unfit(
        f"{role} lacks {'; '.join(lacking)}: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES "
        f"IN SCHEMA {schema} TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
    )


@contextmanager
def explained() -> Iterator[None]:
    """Say in one line why the tables cannot be made, where the cause is known.

    Raises:
        Unfit: the role may not, or another application has tables of the same names.
    """
    try:
        yield
    except DBAPIError as error:
        said = _first_line(error.orig or error)
        code = getattr(error.orig, "sqlstate", None)
        if code == "42501":  # insufficient_privilege
            raise Unfit(
                f"The tables cannot be made: {said}. GRANT USAGE, CREATE ON SCHEMA ... TO the role "
                "in DATABASE_URL, which must own the tables that are there already; best is a "
                "schema of its own: CREATE SCHEMA ledger AUTHORIZATION ..., and "
                "?options=-csearch_path%3Dledger at the end of DATABASE_URL"
            ) from None
        if code == "42P07" or "already exists" in said:
            raise Unfit(
                f"The tables cannot be made: {said}, which is another application's. Use a "
                "database or schema of its own: ?options=-csearch_path%3Dname in DATABASE_URL"
            ) from None
        raise


def _first_line(error: BaseException) -> str:
    said = str(error).partition("\n")[0]
    return said.rpartition(">: ")[2].rstrip(".")
