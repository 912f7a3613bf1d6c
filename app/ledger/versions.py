"""Which form the ledger's tables have, and how they get the newest one.

The form is kept in a table of our own name: another application's migrations may keep theirs in the
same schema, under the name that alembic gives by itself, as ours did before.
"""

from functools import cache
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, select, update

_MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "jebbit_cordial_version"


def _table(name: str) -> Table:
    return Table(name, MetaData(), Column("version_num", String(32), primary_key=True))


_OURS, _FORMER = _table(VERSION_TABLE), _table("alembic_version")
_SIGNS = {"integrations", "submissions", "contacts", "data_keys"}  # of every form there was


def current(connection: Connection) -> int:
    """Return the form of the tables in the schema that we write to; 0: none that we know."""
    if VERSION_TABLE not in inspect(connection).get_table_names():
        return 0
    found = list(connection.scalars(select(_OURS.c.version_num)))
    return int(found[0]) if len(found) == 1 and found[0].isdigit() else 0


@cache
def head() -> int:
    """Return the newest form: a growing number that begins the name of its migration's file."""
    return max(map(int, _known()))


@cache
def _known() -> tuple[str, ...]:
    return tuple(each.name[:4] for each in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def upgrade(connection: Connection) -> None:
    """Bring the tables to the next form, in the transaction that is open; new ones to the newest.

    One step is one transaction: what a step locks, others wait for no longer than it takes.
    """
    from alembic import (
        command,
    )  # takes a quarter of the start to load, and most starts do not need it
    from alembic.config import Config

    before = _take_over(connection)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    if (found := current(connection)) < head():
        command.upgrade(config, "+1" if found else "head")
    if before is not None:
        # A replica of the version before reads its name still: the tables are newer now, and well.
        newer = update(_FORMER).where(_FORMER.c.version_num == before)
        connection.execute(newer.values(version_num=f"{head():04d}"))


def _take_over(connection: Connection) -> str | None:
    """Keep the form under our own name, if it was kept under the former; return which it was.

    The former name may be another application's: only a form of ours counts, beside our tables.
    """
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE in names or not {_FORMER.name, *_SIGNS} <= names:
        return None
    found = [each for each in connection.scalars(select(_FORMER.c.version_num)) if each in _known()]
    if len(found) != 1:
        return None
    _OURS.create(connection)
    connection.execute(insert(_OURS).values(version_num=found[0]))
    return str(found[0])
