"""Brings the database's tables to what this program needs, by Alembic, at every start."""

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, text

from foundation.errors import Unavailable
from storage.database import Database

_SCRIPTS = Path(__file__).parent.parent / "migrations"


def migrate(database: Database) -> None:
    """Apply the migrations that are missing. The caller holds a lock that keeps two starts apart.

    Raises Unavailable when the database was made by a newer program.
    """
    if revision_of(database) == _newest():
        return
    config = _config()
    with database.write(durable=True) as tx:
        config.attributes["connection"] = tx
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise Unavailable(
                f"The database was made by another version of Sendonce ({error}). Install that version or a newer one."
            ) from None


def revision_of(database: Database) -> str | None:
    """Return the migration that the database has come to; None before the first. Raises Unavailable."""
    with database.read() as tx:
        if not inspect(tx).has_table("alembic_version"):
            return None
        revision: str | None = tx.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision


def knows(revision: str) -> bool:
    """Say whether this program has the migration: a database of a newer program has come to one that it has not."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return revision in {script.revision for script in scripts}


@functools.cache
def _newest() -> str | None:
    # Reading all scripts takes longer than the rest of a start.
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
