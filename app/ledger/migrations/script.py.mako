"""${message}.

What it changes must leave the version before able to work, since replicas are replaced one by one:
add first; rename and remove only what no version in use knows. Revisions are numbers that grow.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Apply."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo."""
    ${downgrades if downgrades else "pass"}
