"""Alembic's environment: runs on the connection it is given, inside its transaction."""

from alembic import context

from app.ledger.schema import metadata
from app.ledger.versions import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
