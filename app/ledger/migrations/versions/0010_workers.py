"""Keep which workers listen on PostgreSQL: what a dead one held goes on within seconds.

A replica of the version before goes on beside this: its leases run out by time, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "workers", sa.Column("number", sa.BigInteger(), nullable=False, primary_key=True)
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("workers")
