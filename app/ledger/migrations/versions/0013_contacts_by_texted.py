"""Find the contacts that get texts by their key: other integrations ask for them at each claim.

A replica of the version before goes on beside this: it does without.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "contacts_by_texted",
        "contacts",
        ["contact_key"],
        unique=False,
        sqlite_where=sa.text("texted_key IS NOT NULL"),
        postgresql_where=sa.text("texted_key IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("contacts_by_texted", table_name="contacts")
