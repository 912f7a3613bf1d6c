"""Remember when people said no, and which submissions were delivered once already.

A replica of the version before goes on beside this: it leaves both alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "refusals",
        sa.Column("address_key", sa.String(length=32), nullable=False),
        sa.Column("said_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("address_key"),
        sqlite_with_rowid=False,
    )
    op.add_column("submissions", sa.Column("delivered_before", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.drop_column("delivered_before")
    op.drop_table("refusals")
