"""What alembic runs for each migration: on the connection that `database.migrate` hands over."""

from alembic import context

from optimizer_ops.history.tables import metadata

# SQLite cannot alter a column in place: a batch copies the table.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
