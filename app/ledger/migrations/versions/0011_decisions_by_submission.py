"""Find what was decided of a contact by its submissions; the index of contacts' keys goes.

A replica of the version before goes on beside this: it finds and erases by the same columns, if
more slowly. What it makes another contact's meanwhile is found by the submission alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply."""
    op.add_column("decisions", sa.Column("former_key", sa.String(length=32), nullable=True))
    op.execute(
        """
        UPDATE decisions SET former_key = contact_key WHERE id IN (
          SELECT decisions.id FROM decisions JOIN submissions ON seq = submission_seq
          WHERE submissions.contact_key <> decisions.contact_key
        )
        """
    )
    op.create_index(
        "decisions_by_former_key",
        "decisions",
        ["former_key"],
        unique=False,
        sqlite_where=sa.text("former_key IS NOT NULL"),
        postgresql_where=sa.text("former_key IS NOT NULL"),
    )
    op.drop_index("ix_decisions_contact_key", table_name="decisions")


def downgrade() -> None:
    """Undo."""
    op.create_index("ix_decisions_contact_key", "decisions", ["contact_key"], unique=False)
    op.drop_index("decisions_by_former_key", table_name="decisions")
    op.drop_column("decisions", "former_key")
