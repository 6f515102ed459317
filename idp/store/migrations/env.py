"""Alembic's entry point; run by idp.store.migrations.upgrade with a connection in hand."""

from alembic import context

from idp.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
context.run_migrations()
