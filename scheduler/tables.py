"""The database's copy of the schedules' definitions, and what was found when the file and the copy differed."""

from sqlalchemy import JSON, Column, Integer, String, Table, Text

from storage.metadata import Instant, metadata

schedule_copies = Table(
    "schedule_copies",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("entry", JSON, nullable=False),  # the whole entry, keys we do not know included
    Column("saved_at", Instant, nullable=False),
    # When the entry went missing from the file, or was deleted: kept for 30 days.
    Column("gone_at", Instant),
    Column("gone_why", String(10)),  # missing, deleted
)

schedule_notices = Table(
    "schedule_notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(20), nullable=False),  # damage, old_version, missing, new_id, bad_entry
    Column("schedule_id", Integer),
    Column("message", Text, nullable=False),
    Column("detail", JSON),
    sqlite_autoincrement=True,
)
