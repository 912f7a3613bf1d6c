"""Count what was there before the triggers, and find it by reason.

This is a step of its own: the triggers stop all writers for a moment only, then count beside us. On
PostgreSQL the index stops writers for as long as it takes to build; docs/scaling.md says how to
build it beforehand.

A replica of the version before goes on beside this.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    least, greatest = ("min", "max") if is_sqlite else ("least", "greatest")
    seconds = f"{least}({greatest}(received_at, 0), 7e12)"
    if not is_sqlite:
        seconds = f"floor({seconds})"
    # One statement, so one snapshot: what it sees of rows is what the triggers had counted.
    op.execute(
        f"""
        INSERT INTO submission_counts
          (integration_id, status, reason, hour, part, number, first_seq, last_seq)
        SELECT integration_id, status, reason, hour, 0, sum(number), min(first), max(last)
        FROM (
          SELECT integration_id, status, coalesce(reason, '') AS reason,
            CAST(CAST({seconds} AS bigint) / 3600 AS integer) AS hour,
            count(*) AS number, min(seq) AS first, max(seq) AS last
          FROM submissions GROUP BY 1, 2, 3, 4
          UNION ALL
          SELECT integration_id, status, reason, hour, -number, first_seq, last_seq
          FROM submission_counts
        ) AS standing
        WHERE 0 = 0
        GROUP BY integration_id, status, reason, hour HAVING sum(number) <> 0
        ON CONFLICT (integration_id, status, reason, hour, part) DO UPDATE SET
          number = submission_counts.number + excluded.number,
          first_seq = {least}(submission_counts.first_seq, excluded.first_seq),
          last_seq = {greatest}(submission_counts.last_seq, excluded.last_seq)
        """
    )
    op.create_index(
        "submissions_by_reason",
        "submissions",
        ["integration_id", "status", "reason", "seq"],
        unique=False,
        sqlite_where=sa.text("reason IS NOT NULL"),
        postgresql_where=sa.text("reason IS NOT NULL"),
        if_not_exists=True,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("submissions_by_reason", table_name="submissions")
    op.execute("DELETE FROM submission_counts")
