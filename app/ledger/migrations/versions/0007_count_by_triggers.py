"""Count submissions by triggers, find them by reason; the index by time of receipt goes.

A replica of the version before goes on beside this: the triggers count what it writes, and it finds
by the order of receipt what it found by time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_LAST = "7e12"  # a time beyond, or before 1970, is no reason to refuse what has it
_COUNTS = "integration_id, status, reason, hour, part, number, first_seq, last_seq"
_ADDED = """
ON CONFLICT (integration_id, status, reason, hour, part) DO UPDATE SET
  number = submission_counts.number + excluded.number,
  first_seq = {least}(submission_counts.first_seq, excluded.first_seq),
  last_seq = {greatest}(submission_counts.last_seq, excluded.last_seq)
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "submission_counts",
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "status", "reason", "hour", "part"),
        sqlite_with_rowid=False,
    )
    op.drop_index("submissions_by_receipt", table_name="submissions")
    _count_on_sqlite() if _is_sqlite() else _count_on_postgresql()


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _count_on_sqlite() -> None:
    """Count row by row: there is one writer at a time, and nobody to wait for."""

    def counted(row: str, number: int) -> str:
        values = (
            f"{row}.integration_id, {row}.status, coalesce({row}.reason, ''), "
            f"CAST(min(max({row}.received_at, 0), {_LAST}) AS INTEGER) / 3600, 0, {number}, "
            f"{row}.seq, {row}.seq"
        )
        insert = f"INSERT INTO submission_counts ({_COUNTS}) VALUES ({values})"
        return insert + _ADDED.format(least="min", greatest="max") + ";"

    moved = " OR ".join(
        f"OLD.{name} IS NOT NEW.{name}"
        for name in ("status", "reason", "integration_id", "received_at")
    )
    for name, event, body in (
        ("added", "INSERT", counted("NEW", 1)),
        ("removed", "DELETE", counted("OLD", -1)),
        (
            "moved",
            "UPDATE OF status, reason, integration_id, received_at",
            counted("OLD", -1) + counted("NEW", 1),
        ),
    ):
        when = f"WHEN {moved}" if name == "moved" else ""
        op.execute(
            f"CREATE TRIGGER submissions_{name} AFTER {event} ON submissions {when} "
            f"BEGIN {body} END"
        )


def _count_on_postgresql() -> None:
    """Count all rows of a statement at once, in a part that is the transaction's own.

    A row that all transactions change would let each wait until the one before has committed.
    """

    def counted(*tables: tuple[str, int]) -> str:
        rows = " UNION ALL ".join(
            "SELECT integration_id, status, coalesce(reason, '') AS reason, "
            f"CAST(CAST(floor(least(greatest(received_at, 0), {_LAST})) AS bigint) / 3600 "
            f"AS integer) AS hour, {number} AS number, seq FROM {table}"
            for table, number in tables
        )
        return f"""
        INSERT INTO submission_counts ({_COUNTS})
        SELECT integration_id, status, reason, hour, txid_current(), sum(number), min(seq), max(seq)
        FROM ({rows}) AS row GROUP BY integration_id, status, reason, hour HAVING sum(number) <> 0
        {_ADDED.format(least="least", greatest="greatest")};
        """

    op.execute(
        f"""
        CREATE FUNCTION count_submissions() RETURNS trigger LANGUAGE plpgsql
        SET search_path FROM CURRENT AS $$
        BEGIN
          IF TG_OP = 'INSERT' THEN {counted(("added", 1))}
          ELSIF TG_OP = 'DELETE' THEN {counted(("removed", -1))}
          ELSE {counted(("removed", -1), ("added", 1))}
          END IF;
          RETURN NULL;
        END $$
        """
    )
    for name, event, tables in (
        ("added", "INSERT", "NEW TABLE AS added"),
        ("removed", "DELETE", "OLD TABLE AS removed"),
        ("moved", "UPDATE", "OLD TABLE AS removed NEW TABLE AS added"),
    ):
        op.execute(
            f"CREATE TRIGGER submissions_{name} AFTER {event} ON submissions "
            f"REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION count_submissions()"
        )


def downgrade() -> None:
    """Undo."""
    for name in ("added", "removed", "moved"):
        on = "" if _is_sqlite() else " ON submissions"
        op.execute(f"DROP TRIGGER submissions_{name}{on}")
    if not _is_sqlite():
        op.execute("DROP FUNCTION count_submissions()")
    op.drop_table("submission_counts")
    op.create_index("submissions_by_receipt", "submissions", ["received_at"], unique=False)
