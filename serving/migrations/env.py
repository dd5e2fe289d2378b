"""Alembic's way in: the store hands over the transaction in which its tables are brought to their newest form."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
