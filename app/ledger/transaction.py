"""Transactions on the drivers themselves, for the statements that every submission waits for.

SQLAlchemy writes the statements, once for each engine; what it does at every execution (a greenlet,
and on SQLite a change of threads, for each statement) would cost several times the statement. Here
a whole transaction is one job of one thread on SQLite, and plain calls of asyncpg on PostgreSQL.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import asyncpg
from pydantic_core import to_json
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Column,
    ColumnElement,
    Dialect,
    Insert,
    String,
    any_,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import replacement_traverse

Result = TypeVar("Result")


Names = tuple[str, ...]
Row = tuple[Any, ...]


class Transaction(Protocol):
    """An open transaction that writes.

    A statement is made once, with a named parameter for whatever changes, and a value is given for
    each: it is compiled when it is first seen.
    """

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        """Return the rows as tuples, with values as the driver gives them."""

    async def change(self, statement: Executable, **values: Any) -> int:
        """Execute once; return how many rows that concerned."""

    async def each(self, statement: Executable, names: Names, rows: Sequence[Row]) -> None:
        """Execute once for each of the rows, which hold the values of these parameters in order.

        No two rows update the same row of a table, and an insert holds no value but theirs.
        """


Work = Callable[[Transaction], Awaitable[Result]]
"""What is done within a transaction. It awaits nothing else, and may be done again from the start
where it raises."""


class among(ColumnElement[bool]):  # noqa: N801 - reads like the other words of a statement
    """Whether a column is one of a list that is given as one parameter, however long it is."""

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
    """A statement's text for one engine, and how its parameters are put in their places."""

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
        """Return rows of the values of these parameters as rows of all of the statement's."""
        given = [*names, *self._fixed]
        places = [given.index(name) for name in self._names]
        fixed = tuple(self._fixed.values())
        return [tuple([row[place] for place in places]) for row in (row + fixed for row in rows)]


def _compile(statement: Any, dialect: Dialect, names: Iterable[str]) -> SQLCompiler:
    keys = list(names) if isinstance(statement, Insert) and names else None
    compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=keys)
    return compiled


class _Statements:
    """The statements seen so far, prepared for one engine."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._prepared: dict[Executable, _Prepared] = {}
        self._of_lists: dict[Executable, _Prepared] = {}

    def prepare(self, statement: Executable, names: Iterable[str]) -> _Prepared:
        if (known := self._prepared.get(statement)) is None:
            known = _Prepared(_compile(statement, self._dialect, names))
            self._prepared[statement] = known
        return known

    def prepare_lists(self, statement: Executable, names: Names) -> _Prepared:
        """Prepare an insert or update of any number of rows, given as a list for each parameter."""
        if (known := self._of_lists.get(statement)) is None:
            of_one = _compile(statement, self._dialect, names)
            types = {name: of_one.binds[name].type for name in names}
            lists = [bindparam(name, type_=ARRAY(each)) for name, each in types.items()]
            columns = [Column(name, each) for name, each in types.items()]
            given = func.unnest(*lists).table_valued(*columns).render_derived("given")
            of_lists = _insert_lists if isinstance(statement, Insert) else _update_lists
            known = _Prepared(_compile(of_lists(statement, given), self._dialect, ()))
            self._of_lists[statement] = known
        return known


def _insert_lists(statement: Any, given: Any) -> Executable:
    return insert(statement.table).from_select(given.c.keys(), select(*given.c)).inline()


def _update_lists(statement: Any, given: Any) -> Executable:
    def replace(element: Any, **_: Any) -> Any:
        named = isinstance(element, BindParameter) and element.key in given.c
        return given.c[element.key] if named else None

    of_lists: Executable = replacement_traverse(statement, {}, replace)
    return of_lists


class _OnSqlite:
    """Never waits for anything but the database itself, so that it can run in a thread."""

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
    """Makes transactions one after the other, in a thread of their own."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], dialect: Dialect) -> None:
        """Take a function that opens a connection, to be used in any thread."""
        self._connect = connect
        self._statements = _Statements(dialect)
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
    """Run what never waits for the event loop to its end."""
    try:
        work.__await__().send(None)
    except StopIteration as done:
        result: Result = done.value
        return result
    raise AssertionError("the work of a transaction waits for nothing else")


class _OnPostgresql:
    def __init__(self, connection: Any, statements: _Statements) -> None:
        self._connection = connection
        self._statements = statements

    async def rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        prepared = self._statements.prepare(statement, values)
        found: Sequence[Any] = await self._connection.fetch(prepared.text, *prepared.places(values))
        return found

    async def change(self, statement: Executable, **values: Any) -> int:
        prepared = self._statements.prepare(statement, values)
        done: str = await self._connection.execute(prepared.text, *prepared.places(values))
        return int(done.rpartition(" ")[2])

    async def each(self, statement: Executable, names: Names, rows: Sequence[Row]) -> None:
        # As one statement with a list for each parameter, its text the same for any number of rows.
        prepared = self._statements.prepare_lists(statement, names)
        lists = dict(zip(names, zip(*rows, strict=True), strict=True))
        await self._connection.execute(prepared.text, *prepared.places(lists))


class PostgresqlTransactions:
    """Makes transactions, each on a connection that no other has meanwhile."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], dialect: Dialect) -> None:
        """Take what opens a connection."""
        self._connect = connect
        self._statements = _Statements(dialect)
        self._idle: list[Any] = []

    async def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once it is committed."""
        connection = await self._take()
        try:
            async with connection.transaction():
                result = await work(_OnPostgresql(connection, self._statements))
        except asyncpg.PostgresError:  # it refused something, and can be used again
            self._idle.append(connection)
            raise
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)
        return result

    async def _take(self) -> Any:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():  # as it is when the server went away meanwhile
                return connection
        return await self._connect()

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._idle.pop().close(timeout=5)
