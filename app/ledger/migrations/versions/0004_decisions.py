"""Keep what was decided of a person, tallies by hour, and what each source sends.

A replica of the version before goes on beside this: it leaves the tables alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "decisions",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("contact_key", sa.String(length=32), nullable=False),
        sa.Column("phone_key", sa.String(length=32), nullable=True),
        sa.Column("submission_seq", sa.BigInteger(), nullable=False),
        sa.Column("submission_id", sa.String(length=32), nullable=False),
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_decisions_contact_key", "decisions", ["contact_key"], unique=False)
    op.create_index("ix_decisions_submission_seq", "decisions", ["submission_seq"], unique=False)
    op.create_index(
        "decisions_by_phone",
        "decisions",
        ["phone_key"],
        unique=False,
        sqlite_where=sa.text("phone_key IS NOT NULL"),
        postgresql_where=sa.text("phone_key IS NOT NULL"),
    )
    op.create_table(
        "tallies",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=10), nullable=False),
        sa.Column("answer", sa.String(length=10), nullable=False),
        sa.Column("email", sa.String(length=12), nullable=False),
        sa.Column("sms", sa.String(length=12), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour", "integration_id", "outcome", "reason", "region", "answer", "email", "sms"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sources",
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("submissions", sa.BigInteger(), nullable=False),
        sa.Column("asked_last", sa.BigInteger(), nullable=True),
        sa.Column("seen_keys", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("integration_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "refused_webhooks",
        sa.Column("id", _Serial, autoincrement=True, nullable=False),
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_refused_webhooks_integration_id", "refused_webhooks", ["integration_id"], unique=False
    )
    op.create_index("submissions_by_receipt", "submissions", ["received_at"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("submissions_by_receipt", table_name="submissions")
    for table in ("refused_webhooks", "sources", "tallies", "decisions"):
        op.drop_table(table)
