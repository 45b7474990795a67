"""Which accounts are sent several commands at once: all there are, until a person says otherwise"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column("pipelining", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
