"""Users, tokens, sessions, the link of the first start, and the latest tries to sign in."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from storage.metadata import Instant, metadata

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("email", String(320), nullable=False),
    Column("email_key", String(320), nullable=False, unique=True),
    Column("password_hash", String(200), nullable=False),
    Column("role", String(10), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    # None: begun by the one-time link of a data directory that has no user yet.
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    # The user's version when it began: a new password, role or refusal ends it.
    Column("user_version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False, index=True),  # serves: forgetting old ones
    sqlite_autoincrement=True,
)

first_links = Table(
    "first_links",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    # The process that printed it: with it the link is gone.
    Column("boot_id", String(64)),
    Column("pid", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("id", Integer, primary_key=True),
    # A keyed hash: what was typed for an address is nobody's business, least of all a password in the wrong field.
    Column("subject", String(64), nullable=False),
    # False: from a browser that its user is known to have signed in with.
    Column("by_a_stranger", Boolean, nullable=False),
    Column("tried_at", Instant, nullable=False, index=True),  # serves: counting, forgetting
    sqlite_autoincrement=True,
)
