"""Jobs have a priority, a pause, a reason of their end, an author and limits."""

import sqlalchemy as sa
from alembic import op

revision = "0002_jobs"
down_revision = "0001_baseline"


def upgrade() -> None:
    # added one by one, not in a batch: a copy of the table would lose what refers to it while foreign keys are on
    for column in (
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("pause_requested", sa.DateTime()),
        sa.Column("exit_reason", sa.String(), nullable=False, server_default=""),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("author", sa.String(), nullable=False, server_default="local"),
        sa.Column("needs_bytes", sa.BigInteger()),
        sa.Column("memory_limit", sa.BigInteger()),
        sa.Column("boot", sa.String(), nullable=False, server_default=""),
    ):
        op.add_column("jobs", column)
