"""Keep by which phone number a contact was subscribed to texts: no other may get them in its place.

A replica of the version before goes on beside this: it leaves the new column alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.add_column("contacts", sa.Column("texted_key", sa.String(32), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("contacts", "texted_key")
