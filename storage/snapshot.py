"""A copy of the database for a backup: as it stood at one moment, marked as a copy, and known to be sound.

The mark is in the copy only: whoever starts on it is told that it was restored, and holds what is unfinished.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import inspect, select

from foundation.errors import Unavailable
from storage import installation
from storage.database import Database
from storage.filesystem import make_private
from storage.migrate import migrate, revision_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a marked copy says of itself: the migration it has come to, whose it is, and when it was made."""

    revision: str
    installation: str
    made_at: datetime


def take(
    database: Database, path: Path, *, now: datetime, on_progress: Callable[[float], None]
) -> Snapshot:
    """Copy the database into a new file, mark the copy, and examine it; the original is only read.

    Nothing lies beside the copy when this returns. Raises Unavailable.
    """
    make_private(path)
    database.copy_to(path, on_progress=on_progress)
    copy = Database(path)
    try:
        # The copy alone: a backup made by a new program before its first start leaves the old one's database as it is.
        migrate(copy)
        with copy.write(durable=True) as tx:
            installation.ensure(tx, now)
            installation.mark_backup(tx, now)
    finally:
        _close(copy)
    return examine(path)


def examine(path: Path) -> Snapshot:
    """Say what a copy is, after reading all of it. Raises Unavailable when it is damaged, or no marked copy."""
    copy = Database(path)
    try:
        faults = copy.faults()
        if faults:
            raise Unavailable(f"The copy of the database is damaged ({faults[0]}).")
        revision = revision_of(copy)
        table = installation.installation
        with copy.read() as tx:
            row = tx.execute(select(table)).first() if inspect(tx).has_table(table.name) else None
    except ValueError:  # a time that is none
        raise Unavailable(
            "The mark of the backup in the copy of the database makes no sense."
        ) from None
    finally:
        _close(copy)
    if revision is None or row is None or row.backed_up_at is None:
        raise Unavailable("The copy of the database does not carry the mark of a backup.")
    return Snapshot(revision=revision, installation=row.name, made_at=row.backed_up_at)


def _close(copy: Database) -> None:
    """Close the copy so that all of it is in its one file."""
    copy.checkpoint()
    is_whole = copy.log_size_bytes() == 0
    copy.close()
    if not is_whole:
        raise Unavailable(
            f"The copy of the database can't be finished in {copy.path.parent}. Check free disk space."
        )
