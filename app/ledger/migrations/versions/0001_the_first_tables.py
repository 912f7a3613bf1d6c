"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "clocks",
        sa.Column("boot", sa.String(length=36), nullable=False),
        sa.Column("zero_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("boot"),
    )
    op.create_table(
        "contacts",
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("contact_key", sa.String(length=32), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("lease", sa.String(length=32), nullable=True),
        sa.Column("newest_content", sa.String(length=32), nullable=True),
        sa.Column("delivered_seq", sa.BigInteger(), nullable=True),
        sa.Column("delivered_occurred_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("integration_id", "contact_key"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("contacts", schema=None) as batch_op:
        batch_op.create_index(
            "contacts_due",
            ["integration_id", "due_at"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    op.create_table(
        "data_keys",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "integrations",
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("gate", sa.String(length=10), nullable=False),
        sa.Column("gate_reason", sa.Text(), nullable=True),
        sa.Column("gate_since", sa.Double(), nullable=True),
        sa.Column("gate_until", sa.Double(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "jebbit_registrations",
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("jebbit_id", sa.String(length=100), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["integration_id"], ["integrations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("integration_id"),
    )
    op.create_table(
        "notices",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("told_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index(
            "notices_dead",
            ["integration_id"],
            unique=True,
            sqlite_where=sa.text("kind = 'dead' AND due_at IS NOT NULL"),
            postgresql_where=sa.text("kind = 'dead' AND due_at IS NOT NULL"),
        )
        batch_op.create_index(
            "notices_due",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    op.create_table(
        "receipts",
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("integration_id", "fingerprint"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_receipts_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "submissions",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("integration_id", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("contact_key", sa.String(length=32), nullable=True),
        sa.Column("phone_key", sa.String(length=32), nullable=True),
        sa.Column("session_key", sa.String(length=32), nullable=True),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("occurred_at", sa.Double(), nullable=True),
        sa.Column("settled_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("warnings", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cordial_contact_id", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.create_index(
            "submissions_by_contact",
            ["contact_key", "integration_id", "status", "seq"],
            unique=False,
        )
        batch_op.create_index(
            "submissions_by_phone",
            ["phone_key"],
            unique=False,
            sqlite_where=sa.text("phone_key IS NOT NULL"),
            postgresql_where=sa.text("phone_key IS NOT NULL"),
        )
        batch_op.create_index(
            "submissions_by_session",
            ["session_key", "integration_id"],
            unique=True,
            sqlite_where=sa.text("session_key IS NOT NULL"),
            postgresql_where=sa.text("session_key IS NOT NULL"),
        )
        batch_op.create_index(
            "submissions_by_status", ["integration_id", "status", "seq"], unique=False
        )
        batch_op.create_index(
            "submissions_with_payload",
            ["status", "settled_at"],
            unique=False,
            sqlite_where=sa.text("payload IS NOT NULL"),
            postgresql_where=sa.text("payload IS NOT NULL"),
        )

    op.create_table(
        "attempts",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "submission_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("ms", sa.Double(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["submission_seq"], ["submissions.seq"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_attempts_submission_seq"), ["submission_seq"], unique=False
        )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_attempts_submission_seq"))

    op.drop_table("attempts")
    with op.batch_alter_table("submissions", schema=None) as batch_op:
        batch_op.drop_index(
            "submissions_with_payload",
            sqlite_where=sa.text("payload IS NOT NULL"),
            postgresql_where=sa.text("payload IS NOT NULL"),
        )
        batch_op.drop_index("submissions_by_status")
        batch_op.drop_index(
            "submissions_by_session",
            sqlite_where=sa.text("session_key IS NOT NULL"),
            postgresql_where=sa.text("session_key IS NOT NULL"),
        )
        batch_op.drop_index(
            "submissions_by_phone",
            sqlite_where=sa.text("phone_key IS NOT NULL"),
            postgresql_where=sa.text("phone_key IS NOT NULL"),
        )
        batch_op.drop_index("submissions_by_contact")

    op.drop_table("submissions")
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_receipts_expires_at"))

    op.drop_table("receipts")
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.drop_index(
            "notices_due",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "notices_dead",
            sqlite_where=sa.text("kind = 'dead' AND due_at IS NOT NULL"),
            postgresql_where=sa.text("kind = 'dead' AND due_at IS NOT NULL"),
        )

    op.drop_table("notices")
    op.drop_table("jebbit_registrations")
    op.drop_table("integrations")
    op.drop_table("data_keys")
    with op.batch_alter_table("contacts", schema=None) as batch_op:
        batch_op.drop_index(
            "contacts_due",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    op.drop_table("contacts")
    op.drop_table("clocks")
