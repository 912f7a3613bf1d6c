"""Quick transactions: the same statements on both engines, all of them or nothing."""

import asyncio
import json
import os
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert, select, text, update

from app.ledger import postgresql
from app.ledger.database import UNAVAILABLE
from app.ledger.postgresql import FAST, Sessions
from app.ledger.schema import contacts, submissions, tallies
from app.ledger.transaction import among
from tests.ledger.conftest import on_postgresql

ADD = {  # a statement for each choice of columns, as it is compiled once
    names: insert(contacts).inline()
    for names in (("due_at",), ("newest_content",), ("due_at", "newest_content"))
}
DUE = (
    select(contacts.c.contact_key, contacts.c.due_at)
    .where(contacts.c.integration_id == bindparam("of"), among(contacts.c.contact_key, "keys"))
    .order_by(contacts.c.contact_key)
)
SET_DUE = (
    update(contacts)
    .where(contacts.c.contact_key == bindparam("key"), contacts.c.integration_id == "quiz")
    .values(due_at=bindparam("due"))
)


ADD_DUE = (
    update(contacts)
    .where(contacts.c.contact_key == bindparam("key"))
    .values(due_at=contacts.c.due_at + bindparam("more"))
)
copied = contacts.alias("copied")
SET_DUE_OF_COPY = (
    update(contacts)
    .where(contacts.c.contact_key == bindparam("key"))
    .values(
        due_at=1.0
        + select(copied.c.due_at)
        .where(copied.c.contact_key == bindparam("copied"))
        .scalar_subquery()
    )
)


def contact(key, due=None):
    return "quiz", key, due


def adding(*rows, third="due_at"):
    async def add(transaction):
        await transaction.each(ADD[third,], ("integration_id", "contact_key", third), rows)

    return add


async def due(database, *keys):
    async def read(transaction):
        return [tuple(row) for row in await transaction.rows(DUE, of="quiz", keys=list(keys))]

    return await database.transact(read)


async def test_what_was_written_is_there(database):
    """Rows, lists as one parameter, literals in a statement, and how many rows were changed."""

    async def change(transaction):
        await transaction.each(SET_DUE, ("key", "due"), [("a", 1.5), ("b", None)])
        return [await transaction.change(SET_DUE, key=key, due=2.5) for key in ("c", "nobody")]

    await database.transact(adding(*map(contact, "abc")))
    assert await database.transact(change) == [1, 0]
    assert await due(database, "c", "a", "nobody") == [("a", 1.5), ("c", 2.5)]
    assert await due(database) == []


async def test_many_rows_are_written_at_once(database):
    """However many."""
    keys = [f"{number:04}" for number in range(999)]
    await database.transact(adding(*(contact(key, float(key)) for key in keys)))
    assert await due(database, *keys) == [(key, float(key)) for key in keys]


async def test_what_follows_sees_what_was_written(database):
    """In the same transaction, in the order of the calls, whatever tables they have in common."""

    async def change(transaction):
        await adding(contact("a", 1.0))(transaction)
        await transaction.each(SET_DUE, ("key", "due"), [("a", 2.0)])
        before = await transaction.rows(DUE, of="quiz", keys=["a"])
        await transaction.each(SET_DUE, ("key", "due"), [("a", 3.0)])
        await transaction.change(ADD_DUE, key="a", more=0.5)
        await transaction.each(SET_DUE_OF_COPY, ("key", "copied"), [("a", "a")])
        return *before, *await transaction.rows(DUE, of="quiz", keys=["a"])

    seen = await database.transact(change)
    assert [tuple(row) for row in seen] == [("a", 2.0), ("a", 4.5)]


async def test_rows_that_are_there_are_added_to(database):
    """In one statement with rows that are new; others are left alone."""
    add, row = database.insert_or_add(tallies, "number"), (1, "quiz", "dead", "", "", "", "")
    names = tuple(tallies.columns.keys())
    for numbers in ({"a": 1, "b": 2}, {"b": 3, "c": 4}):
        rows = [(*row, each, number) for each, number in numbers.items()]
        await database.transact(lambda transaction, rows=rows: transaction.each(add, names, rows))
    async with database.read() as connection:
        kept = await connection.execute(select(tallies.c.sms, tallies.c.number).order_by("sms"))
        assert kept.all() == [("a", 1), ("b", 5), ("c", 4)]


class SqlAlchemysWay:
    """A transaction by SQLAlchemy's own execution, which every other statement goes through."""

    def __init__(self, connection, on_sqlite):
        self._connection = connection
        self._on_sqlite = on_sqlite

    async def rows(self, statement, **values):
        if self._on_sqlite:  # which has no type for the list of `among`
            values = {k: json.dumps(v) if isinstance(v, list) else v for k, v in values.items()}
        return (await self._connection.execute(statement, values)).all()

    async def change(self, statement, **values):
        return (await self._connection.execute(statement, values)).rowcount

    async def each(self, statement, names, rows):
        await self._connection.execute(
            statement, [dict(zip(names, row, strict=True)) for row in rows]
        )


# PostgreSQL takes no NUL in a text, and half of a surrogate pair has no UTF-8.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10)
TIME = st.none() | st.floats(-1e10, 1e10)
OPTIONAL = ("payload", "phone_key")
ALL = ("id", "integration_id", "contact_key", "status", "test", "forced", "tries", "received_at")
ADD_ALL = insert(submissions).inline()
SHOWN = select(*(submissions.c[name] for name in (*ALL, *OPTIONAL))).order_by("id")


@dataclass(frozen=True)
class Written:
    """What goes into a transaction."""

    contacts: dict[str, tuple[float | None, str | None]]
    due: dict[str, float | None]
    asked: list[str]
    submissions: list[tuple[bool, bool, int, float, bytes | None, str | None]]


@st.composite
def written(draw):
    found = draw(st.dictionaries(TEXT, st.tuples(TIME, st.none() | TEXT), min_size=1, max_size=9))
    known = st.sampled_from(sorted(found))
    row = (st.booleans(), st.booleans(), st.integers(0, 9), st.floats(0, 1e10))
    optional = (st.none() | st.binary(), st.none() | TEXT)
    return Written(
        contacts=found,
        due=draw(st.dictionaries(known, TIME, min_size=1)),
        asked=draw(st.lists(known | TEXT)),
        submissions=draw(st.lists(st.tuples(*row, *optional), min_size=1, max_size=9)),
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(written())
async def test_the_drivers_are_told_what_sqlalchemy_would_tell_them(database, new):
    """Each kind of statement, with values of every type, does and returns the same both ways."""

    async def work(transaction):
        rows = [("quiz", key, *row) for key, row in new.contacts.items()]
        more = ("due_at", "newest_content")
        await transaction.each(ADD[more], ("integration_id", "contact_key", *more), rows)
        await transaction.each(SET_DUE, ("key", "due"), [*new.due.items()])
        rows = [(f"{n:032}", "quiz", "ann", "dead", *row) for n, row in enumerate(new.submissions)]
        await transaction.each(ADD_ALL, (*ALL, *OPTIONAL), rows)
        counts = [await transaction.change(SET_DUE, key=key, due=0.5) for key in new.asked]
        due = await transaction.rows(DUE, of="quiz", keys=new.asked)
        raise Undone(counts, *map(tuple, [*due, *await transaction.rows(SHOWN)]))

    with pytest.raises(Undone) as by_drivers:
        await database.transact(work)
    with pytest.raises(Undone) as by_sqlalchemy:
        async with database.write() as connection:
            await work(SqlAlchemysWay(connection, database.is_sqlite))
    assert by_drivers.value.args == by_sqlalchemy.value.args


class Undone(Exception):
    """Carries what was found out of a transaction that is rolled back."""


async def test_nothing_is_left_of_work_that_fails(database):
    """Whatever it raises, and the next transaction is as if it had never been."""

    async def fail(transaction):
        await adding(contact("a"))(transaction)
        raise LookupError

    with pytest.raises(LookupError):
        await database.transact(fail)
    with pytest.raises(UNAVAILABLE):
        await database.transact(adding(contact("b"), contact("b")))
    assert await due(database, "a", "b") == []


async def test_a_value_that_is_not_given_is_a_mistake(database):
    """It is not taken for null."""

    async def change(transaction):
        await transaction.change(SET_DUE, key="a")

    with pytest.raises(KeyError):
        await database.transact(change)


async def test_transactions_do_not_mix(database):
    """Many at once, each seeing what it has written itself."""

    async def count_up(transaction):
        ((_, before),) = await transaction.rows(DUE, of="quiz", keys=["a"])
        await transaction.change(SET_DUE, key="a", due=before + 1)

    async def lock_then_count_up(transaction):
        await transaction.change(SET_DUE_AGAIN, key="a")  # on SQLite the transaction is the lock
        await count_up(transaction)

    await database.transact(adding(contact("a", 0.0)))
    await asyncio.gather(*(database.transact(lock_then_count_up) for _ in range(10)))
    assert await due(database, "a") == [("a", 10.0)]


SET_DUE_AGAIN = (
    update(contacts)
    .where(contacts.c.contact_key == bindparam("key"))
    .values(due_at=contacts.c.due_at)
)


async def test_the_write_ahead_log_is_begun_again(database):
    """However much is written without a pause; and all of it is there after that."""
    if not database.is_sqlite:
        pytest.skip("PostgreSQL keeps its own")
    long = "x" * 5_000
    for batch in range(20):
        rows = (("quiz", f"{batch}-{each}", long) for each in range(1_000))
        await database.transact(adding(*rows, third="newest_content"))
    file, written = database.address.path, 20 * 1_000 * len(long)
    assert os.stat(f"{file}-wal").st_size < written / 2
    assert os.stat(file).st_size > written / 2
    assert len(await due(database, *(f"{batch}-999" for batch in range(20)))) == 20


async def test_a_connection_that_was_cut_is_replaced(database, postgresql_server):
    """After a restart of the server, the next transaction finds a new one."""
    if database.is_sqlite:
        pytest.skip("nothing there can be cut")
    await database.transact(adding(contact("a")))
    async with database.read() as connection:
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        await connection.execute(text(f"{others} AND datname = current_database()"))
    for _ in range(2):  # at most one is lost to it: that the other end is gone is heard of soon
        try:
            await database.transact(adding(contact("b")))
            break
        except UNAVAILABLE:
            await asyncio.sleep(0)
    assert [key for key, _ in await due(database, "a", "b")] == ["a", "b"]


@on_postgresql
async def test_a_session_that_is_left_while_it_is_asked_is_closed(database, monkeypatch):
    """Whoever waits for its answer is told to end: it is open for nobody, and its place is free."""
    monkeypatch.setattr(postgresql, "_TRUSTED_SECONDS", 0.0)
    sessions = Sessions(database.address)
    session = await sessions.take()
    sessions.give_back(session)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await sessions.take()
    assert session.is_closed()
    for each in [await sessions.take() for _ in range(FAST)]:
        sessions.give_back(each)
    await sessions.close()
