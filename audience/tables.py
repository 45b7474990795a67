"""Audiences, their recipients, imports, and suppressions."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from storage.metadata import Instant, metadata

audiences = Table(
    "audiences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("recipients", Integer, nullable=False),  # a counter: lists never count rows
    Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

recipients = Table(
    "recipients",
    metadata,
    # Never used again: a run's audience is frozen by the highest id at its claim.
    Column("id", Integer, primary_key=True),
    Column("audience_id", Integer, ForeignKey("audiences.id", ondelete="CASCADE"), nullable=False),
    Column("email", String(320), nullable=False),
    Column("address_key", String(320), nullable=False),
    Column("name", String(200), nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("audience_id", "address_key"),
    Index(None, "audience_id", "id"),  # serves: an audience's recipients by page, materialising
    Index(None, "address_key"),  # serves: which audiences is this person in
    sqlite_autoincrement=True,
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("email", String(320), nullable=False),
    Column("address_key", String(320), nullable=False, unique=True),
    Column("reason", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("source", String(20)),  # how it came here: one-click, page, hand, file, api
    Column("run_id", Integer),  # the run whose e-mail it was that somebody unsubscribed from
    sqlite_autoincrement=True,
)

imports = Table(
    "imports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("audience_id", Integer, ForeignKey("audiences.id", ondelete="CASCADE"), nullable=False),
    Column("status", String(10), nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("progress", Float, nullable=False),
    Column("added", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    # Of what was taken; null where nobody counted.
    Column("duplicates", Integer),
    Column("suppressed", Integer),
    Column("detail", String(1000)),
    # Which process works on it: one whose process died has failed.
    Column("boot_id", String(64)),
    Column("pid", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

import_rejections = Table(
    "import_rejections",
    metadata,
    Column("import_id", Integer, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("email", String(320), nullable=False),
    Column("reason", String(500), nullable=False),
)
