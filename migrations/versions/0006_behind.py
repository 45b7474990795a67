"""An index of the schedules that the schedule file is behind of, which every tick asks for"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index(
        "ix_watermarks_behind",
        "watermarks",
        ["schedule_id"],
        sqlite_where=sa.text("behind = 1"),
        postgresql_where=sa.text("behind"),
    )
