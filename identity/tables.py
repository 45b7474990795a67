"""Users and how they get in: tokens, sessions, links that work once, second factors, tries; and the audit log."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

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
    # None: a password is enough.
    Column("totp_sealed", LargeBinary),
    # The last time step (30 s) whose code was taken: none is taken twice.
    Column("totp_step", Integer),
    sqlite_autoincrement=True,
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("code_sha256", String(64), nullable=False),
    sqlite_autoincrement=True,
)

one_time_links = Table(
    "one_time_links",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    # An invitation names the address and the role that it gives; a new password is for a user that there is.
    Column("purpose", String(10), nullable=False),
    Column("email", String(320), nullable=False),
    Column("role", String(10)),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("made_by", String(320), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    CheckConstraint("purpose IN ('invitation', 'password')", name="purpose"),
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
    # Where it was last used from, and by which browser: so that its owner knows it again.
    Column("address", String(64)),
    Column("agent", String(300)),
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

audit_entries = Table(
    "audit_entries",
    metadata,
    # 1, 2, 3 … without a gap: the head counts them.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("by", String(320), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(400), nullable=False, index=True),
    Column("label", String(320), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("address", String(64)),
    Column("seal", String(64), nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("entries", Integer, nullable=False),
    Column("seal", String(64), nullable=False),
    # What the entries are sealed with, itself sealed with the installation's key: that one can be changed.
    Column("key_sealed", LargeBinary),
    CheckConstraint("id = 1", name="one_row"),
)
