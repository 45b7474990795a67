"""Sender accounts, and how much went through each."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    true,
)

from storage.metadata import Instant, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("host", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("security", String(10), nullable=False),
    # False only where an admin has said so: whoever sits between can read the password then.
    Column("verify_tls", Boolean, nullable=False, server_default=true()),
    Column("username", String(320)),
    Column("password_sealed", LargeBinary),
    Column("from_email", String(320), nullable=False),
    Column("from_name", String(200)),
    Column("reply_to", String(320)),
    Column("max_connections", Integer, nullable=False),
    Column("pipelining", Boolean, nullable=False, server_default=true()),
    Column("rate_per_second", Float),
    Column("limit_per_hour", Integer),
    Column("limit_per_day", Integer),
    Column("state", String(10), nullable=False),
    Column("state_reason", String(1000)),
    Column("rest_until", Instant),
    # When its server first did as it should, in a test or while sending; null: it was never tried.
    Column("worked_at", Instant),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("kind IN ('sandbox', 'smtp')", name="kind"),
    CheckConstraint("state IN ('ok', 'failing', 'paused')", name="state"),
    sqlite_autoincrement=True,
)

account_usage = Table(
    "account_usage",
    metadata,
    Column("account_id", Integer, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    # The minute's beginning; limits per hour and day are sums of the last 60 and 1,440 minutes.
    Column("minute", Instant, primary_key=True),
    Column("messages", Integer, nullable=False),
)
