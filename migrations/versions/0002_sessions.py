"""What pages need: sessions, the first link, tries to sign in, where a form's answer leads, doubts at a glance"""

import sqlalchemy as sa
from alembic import op

import storage.metadata

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("user_version", sa.Integer(), nullable=False),
        sa.Column("created_at", storage.metadata.Instant(timezone=True), nullable=False),
        sa.Column("last_seen_at", storage.metadata.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_sessions_secret_sha256")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_last_seen_at"), ["last_seen_at"])
        batch_op.create_index(batch_op.f("ix_sessions_user_id"), ["user_id"])
    op.create_table(
        "first_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("created_at", storage.metadata.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_first_links")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_first_links_secret_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sign_in_tries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("by_a_stranger", sa.Boolean(), nullable=False),
        sa.Column("tried_at", storage.metadata.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_tries")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("sign_in_tries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_in_tries_tried_at"), ["tried_at"])
    op.add_column("replays", sa.Column("location", sa.String(length=2000), nullable=True))
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index(
            "ix_runs_in_doubt",
            ["id", "in_doubt"],
            sqlite_where=sa.text("in_doubt > 0"),
            postgresql_where=sa.text("in_doubt > 0"),
        )
