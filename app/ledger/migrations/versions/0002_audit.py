"""Write down who asked for which change.

A replica of the version before goes on beside this: it leaves the table alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=True),
        sa.Column("role", sa.String(length=10), nullable=True),
        sa.Column("operation", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=100), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_audit_at", table_name="audit")
    op.drop_table("audit")
