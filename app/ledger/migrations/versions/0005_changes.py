"""Keep each version of an integration's configuration.

A replica of the version before goes on beside this: it leaves the table alone, and what it changes
is kept as found when the next change is made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "changes",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("restores", sa.Integer(), nullable=True),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "changes_by_integration", "changes", ["integration_id", "version"], unique=False
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("changes")
