"""What an import tells more: rows that name somebody again, and people who get no mail"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("imports", sa.Column("duplicates", sa.Integer(), nullable=True))
    op.add_column("imports", sa.Column("suppressed", sa.Integer(), nullable=True))
