"""What the proof needs: who decided what, runs for the missing, the name of a data directory, and doubts about it"""

import sqlalchemy as sa
from alembic import op

import storage.metadata

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    instant = storage.metadata.Instant(timezone=True)
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("made_at", instant, nullable=False),
        sa.Column("backed_up_at", instant, nullable=True),
        sa.Column("doubted_reason", sa.Text(), nullable=True),
        sa.Column("doubted_at", instant, nullable=True),
        sa.Column("doubt_spares_send", sa.Boolean(), nullable=False),
        sa.Column("clock_step_seconds", sa.Float(), nullable=True),
        sa.Column("clock_accepts", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_installation_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=True),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("by", sa.String(length=320), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("at", instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["deliveries.id"],
            name=op.f("fk_decisions_delivery_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_decisions_run_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_decisions_run_id_id"), ["run_id", "id"])
    op.add_column("epochs", sa.Column("heartbeat_elapsed", sa.Float(), nullable=True))
    op.add_column("runs", sa.Column("made_from", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("family", sa.Integer(), nullable=True))
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index(
            "ix_runs_family",
            ["family"],
            sqlite_where=sa.text("family IS NOT NULL"),
            postgresql_where=sa.text("family IS NOT NULL"),
        )
    with op.batch_alter_table("slots", schema=None) as batch_op:
        batch_op.create_index(
            "ix_slots_until",
            ["until"],
            sqlite_where=sa.text("until IS NOT NULL"),
            postgresql_where=sa.text("until IS NOT NULL"),
        )
    # What was sent again before decisions were kept: only the rule could have done it.
    op.execute(
        "INSERT INTO decisions (run_id, delivery_id, action, by, at)"
        " SELECT run_id, id, 'resend', 'the campaign''s rule', updated_at FROM deliveries WHERE resends > 0"
    )
