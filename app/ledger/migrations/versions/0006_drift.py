"""Keep what tells whether the meaning of what a source sends has drifted.

A replica of the version before goes on beside this: it leaves the new columns alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.add_column("sources", sa.Column("watched", sa.Text(), nullable=True))
    op.add_column("sources", sa.Column("drift", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("sources", "drift")
    op.drop_column("sources", "watched")
