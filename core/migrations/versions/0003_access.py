"""People sign in, and what they do is written down."""

import sqlalchemy as sa
from alembic import op

revision = "0003_access"
down_revision = "0002_jobs"

KEPT = ("unchanged BEFORE UPDATE", "changed"), ("undeleted BEFORE DELETE", "shortened")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String()),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("disabled", sa.DateTime()),
    )
    op.create_table(
        "sign_ins",
        sa.Column("token_hash", sa.String(), primary_key=True),
        sa.Column("account", sa.String(), sa.ForeignKey("accounts.key"), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.Column("where", sa.String(), nullable=False, server_default=""),
    )
    op.create_index("ix_sign_ins_account", "sign_ins", ["account"])
    op.create_table(
        "sign_in_failures",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
    )
    op.create_index("sign_in_failures_by_key", "sign_in_failures", ["key", "at"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("where", sa.String(), nullable=False, server_default=""),
    )
    op.create_index("audit_by_actor", "audit", ["actor", "id"])
    for when, how in KEPT:
        op.execute(
            f"CREATE TRIGGER IF NOT EXISTS audit_{when} ON audit "
            f"BEGIN SELECT RAISE(ABORT, 'the audit log is never {how}'); END"
        )
