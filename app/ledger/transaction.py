"""Transactions on the database drivers themselves, for the statements every submission waits for.

SQLAlchemy compiles each statement once, but does not execute it: that takes a greenlet for each
statement, and on SQLite two changes of thread, and would nearly double what accepting a webhook
costs. On SQLite a whole transaction is one job for one thread, on PostgreSQL its statements are
plain calls of asyncpg, as few as may be. A test holds both against SQLAlchemy's own execution.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

import asyncpg
from pydantic_core import to_json
from sqlalchemy import (
    ARRAY,
    CTE,
    BindParameter,
    BooleanClauseList,
    Column,
    ColumnElement,
    Dialect,
    Insert,
    String,
    TableClause,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import eq
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from app.ledger.postgresql import Sessions, is_useless

Result = TypeVar("Result")


Names = tuple[str, ...]
Row = tuple[Any, ...]


class Transaction(Protocol):
    """An open transaction that writes.

    Make each statement once, at import, with a named parameter for every value that changes: it is
    compiled when it is first executed.
    """

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        """Return the rows as tuples of what the driver returns."""

    async def change(self, statement: Executable, **values: Any) -> int:
        """Execute once; return how many rows were changed."""

    async def each(self, statement: Executable, names: Names, rows: Sequence[Row]) -> None:
        """Execute once for each row; a row holds the values of the named parameters, in order.

        No two rows may update the same row of a table, and an insert may hold no other values. If
        it fails, that is raised here, by a later call, or by the commit.
        """


Work = Callable[[Transaction], Awaitable[Result]]
"""The body of a transaction. It awaits nothing but the transaction's methods; after an error a
caller may run it again from the start."""


class among(ColumnElement[bool]):  # noqa: N801 - reads like the other words of a statement
    """Whether a column is in a list; the list, of any length, is one parameter."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], parameter: str) -> None:
        self.column = column
        self.parameter = parameter


@compiles(among, "sqlite")
def _among_json(element: among, compiler: SQLCompiler, **more: Any) -> str:
    given = func.json_each(bindparam(element.parameter, type_=String()))
    found = element.column.in_(select(given.table_valued("value").c.value))
    return compiler.process(found, **more)


@compiles(among, "postgresql")
def _among_array(element: among, compiler: SQLCompiler, **more: Any) -> str:
    given = bindparam(element.parameter, type_=ARRAY(element.column.type))
    return compiler.process(element.column == any_(given), **more)


class _Prepared:
    """A statement's text for one engine, and the order of its parameters."""

    def __init__(self, compiled: SQLCompiler) -> None:
        self.text = str(compiled)
        self._names: Sequence[str] = compiled.positiontup or ()
        self._fixed: Mapping[str, Any] = {  # the literals in the statement
            name: getattr(each.value, "value", each.value)
            for name, each in compiled.binds.items()
            if not each.required
        }

    def places(self, values: Mapping[str, Any]) -> Row:
        fixed = self._fixed
        return tuple([values[name] if name in values else fixed[name] for name in self._names])

    def arrange(self, names: Names, rows: Sequence[Row]) -> Sequence[Row]:
        """Turn rows of the named parameters' values into rows of all the statement's values."""
        given = [*names, *self._fixed]
        places = [given.index(name) for name in self._names]
        fixed = tuple(self._fixed.values())
        return [tuple([row[place] for place in places]) for row in (row + fixed for row in rows)]


def _compile(statement: Any, dialect: Dialect, names: Iterable[str]) -> SQLCompiler:
    keys = list(names) if isinstance(statement, Insert) and names else None
    compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=keys)
    return compiled


class _Each(NamedTuple):
    """What `each` was told to do."""

    statement: Executable
    names: Names
    rows: Sequence[Row]


class _Statements:
    """The statements executed so far, prepared for one engine."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._prepared: dict[tuple[Executable, ...], _Prepared] = {}
        self._tables: dict[Executable, frozenset[TableClause]] = {}

    def prepare(
        self, statement: Any, names: Iterable[str], along: Sequence[_Each] = ()
    ) -> _Prepared:
        """Prepare a statement, and what is done along with it: none sees what the others do."""
        key = (statement, *[each.statement for each in along])
        if (known := self._prepared.get(key)) is None:
            parts = [self._of_lists(*each[:2], place) for place, each in enumerate(along)]
            if parts:
                statement = statement.add_cte(*parts)
            known = self._prepared[key] = _Prepared(_compile(statement, self._dialect, names))
        return known

    def _of_lists(self, statement: Executable, names: Names, place: int) -> CTE:
        """Return an insert or update of any number of rows: a list for each parameter."""
        of_one = _compile(statement, self._dialect, names)
        types = {name: of_one.binds[name].type for name in names}
        lists = [bindparam(_of(place, name), type_=ARRAY(each)) for name, each in types.items()]
        columns = [Column(name, each) for name, each in types.items()]
        given = func.unnest(*lists).table_valued(*columns).render_derived("given")
        if isinstance(statement, Insert):
            of_lists = _insert_lists(statement, given)
        else:
            of_lists = _update_lists(statement, given, dict(zip(types, lists, strict=True)))
        part: CTE = of_lists.cte(_of(place, "all"))
        return part

    def tables(self, statement: Any) -> frozenset[TableClause]:
        """Return the tables that a statement reads or writes."""
        if (known := self._tables.get(statement)) is None:
            found = (each for each in iterate(statement) if isinstance(each, TableClause))
            known = self._tables[statement] = frozenset(found)
        return known


def _of(place: int, name: str) -> str:
    return f"part_{place}_{name}"


_known: dict[str, _Statements] = {}


def _statements_for(dialect: Dialect) -> _Statements:
    """Return the statements of an engine; all databases of a process share what is prepared."""
    return _known.setdefault(dialect.name, _Statements(dialect))


def _insert_lists(statement: Any, given: Any) -> Any:
    return statement.from_select(given.c.keys(), select(*given.c))


def _update_lists(statement: Any, given: Any, lists: Mapping[str, Any]) -> Any:
    """Return an update of the rows that are given.

    Each column that must be equal to a value is also said to be in the list of all of them. Else
    PostgreSQL, where it takes a table to be nearly empty, goes through an index from end to end: it
    does when many rows came in since it last counted.
    """

    def replace(element: Any, **_: Any) -> Any:
        named = isinstance(element, BindParameter) and element.key in given.c
        return given.c[element.key] if named else None

    where = statement.whereclause
    conditions = where.clauses if isinstance(where, BooleanClauseList) else [where]
    within = [
        each.left == any_(lists[each.right.key])
        for each in conditions
        if each.operator is eq and getattr(each.right, "key", None) in lists
    ]
    return replacement_traverse(statement, {}, replace).where(*within)


class _OnSqlite:
    """Its methods never wait for the event loop, so a thread can run them."""

    def __init__(self, connection: sqlite3.Connection, statements: _Statements) -> None:
        self._connection = connection
        self._statements = statements

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        return self._execute(statement, values).fetchall()

    async def change(self, statement: Executable, **values: Any) -> int:
        return self._execute(statement, values).rowcount

    def _execute(self, statement: Executable, values: dict[str, Any]) -> sqlite3.Cursor:
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = to_json(value).decode()
        prepared = self._statements.prepare(statement, values)
        return self._connection.execute(prepared.text, prepared.places(values))

    async def each(self, statement: Executable, names: Names, rows: Sequence[Row]) -> None:
        prepared = self._statements.prepare(statement, names)
        self._connection.executemany(prepared.text, prepared.arrange(names, rows))


class SqliteTransactions:
    """Runs transactions one after the other, in a thread of their own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], dialect: Dialect) -> None:
        """Take a function that opens a connection, to be used in any thread."""
        self._connect = connect
        self._statements = _statements_for(dialect)
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once it is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Work[Result]) -> Result:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        # SQLite has one writer at a time. BEGIN IMMEDIATE waits for its turn now: SQLite could
        # refuse the first write of a transaction that has only read so far.
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = _finish(work(_OnSqlite(connection, self._statements)))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result

    async def close(self) -> None:
        """Close the connection, when the transaction under way is done."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            self._connection.close()


def _finish(work: Awaitable[Result]) -> Result:
    """Run a coroutine that never waits for the event loop, and return its result."""
    try:
        work.__await__().send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("the body of a transaction awaits nothing but its methods")


_NOTHING: Executable = select(literal_column("1"))


class _OnPostgresql:
    """Each statement is a round trip, so what `each` is told is done along with another one.

    That is the next one that touches none of the same tables: it cannot tell the difference.
    """

    def __init__(self, connection: Any, statements: _Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._waiting: list[_Each] = []
        self._touched: set[TableClause] = set()

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        text, places = await self._with_what_waits(statement, values)
        found: Sequence[Any] = await self._connection.fetch(text, *places)
        return found

    async def change(self, statement: Executable, **values: Any) -> int:
        text, places = await self._with_what_waits(statement, values)
        done: str = await self._connection.execute(text, *places)
        return int(done.rpartition(" ")[2])

    async def each(self, statement: Executable, names: Names, rows: Sequence[Row]) -> None:
        tables = self._statements.tables(statement)
        if tables & self._touched:
            await self.finish()
        self._waiting.append(_Each(statement, names, rows))
        self._touched |= tables

    async def finish(self) -> None:
        """Do what waits."""
        if self._waiting:
            text, places = await self._with_what_waits(_NOTHING, {})
            await self._connection.execute(text, *places)

    async def _with_what_waits(
        self, statement: Executable, values: dict[str, Any]
    ) -> tuple[str, Row]:
        if self._statements.tables(statement) & self._touched:
            await self.finish()
        along, self._waiting, self._touched = self._waiting, [], set()
        prepared = self._statements.prepare(statement, values, along)
        for place, (_, names, rows) in enumerate(along):
            lists = zip(*rows, strict=True)  # the text is the same for any number of rows
            values.update(zip((_of(place, name) for name in names), lists, strict=True))
        return prepared.text, prepared.places(values)


class PostgresqlTransactions:
    """Runs transactions side by side, each on a connection of its own."""

    def __init__(self, sessions: Sessions, dialect: Dialect) -> None:
        """Take the sessions to work on."""
        self._sessions = sessions
        self._statements = _statements_for(dialect)

    async def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once it is committed."""
        session = await self._sessions.take()
        try:
            try:
                await session.execute(self._sessions.begin)
                transaction = _OnPostgresql(session, self._statements)
                result = await work(transaction)
                await transaction.finish()
                if await session.execute("COMMIT") != "COMMIT":
                    raise asyncpg.InternalClientError("rolled back, not committed")
            except Exception as error:
                if is_useless(error):
                    raise
                await session.execute("ROLLBACK")  # the session is still good
                self._sessions.give_back(session)
                session = None
                raise
        except BaseException as error:
            if session is not None:
                self._sessions.drop(session, error)
            raise
        self._sessions.give_back(session)
        return result

    async def close(self) -> None:
        """Close the idle sessions."""
        await self._sessions.close()
