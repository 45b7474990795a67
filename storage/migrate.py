"""Brings the database's tables to what this program needs, by Alembic, at every start."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from foundation.errors import Unavailable
from storage.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent.parent / "migrations"


def migrate(database: Database) -> None:
    """Apply the migrations that are missing. The caller holds a lock that keeps two starts apart.

    Raises Unavailable when the database was made by a newer program.
    """
    if revision_of(database) == max(_revisions()):
        return
    # Only here: it takes half a second and ten megabytes, and most starts have nothing to do.
    from alembic import command
    from alembic.util import CommandError

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
    return revision in _revisions()


def _revisions() -> set[str]:
    """Return the migrations there are: each file's name begins with the one it holds."""
    return {path.name[:4] for path in (_SCRIPTS / "versions").glob("[0-9]*.py")}


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
