"""Keep how far an integration is set up: what only a person can answer.

A replica of the version before goes on beside this: it leaves the new column alone. What it resumes
before somebody has answered sends those who said yes, and subscribes nobody.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    op.add_column("integrations", sa.Column("setup", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("integrations", "setup")
