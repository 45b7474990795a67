"""Alembic's environment: runs on the connection it is given, and sees the tables of every room."""

from alembic import context

import accounts.tables
import audience.tables
import campaigns.tables
import delivery.tables
import identity.tables
import scheduler.tables
import storage.aliveness
import storage.installation
import storage.replays
import storage.sequence
from storage.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    user_module_prefix="storage.metadata.",
)
context.run_migrations()
