"""The schema of the workspaces that were made before revisions were kept."""

from alembic import op

from core.migrations.baseline import create_baseline

revision = "0001_baseline"
down_revision = None


def upgrade() -> None:
    create_baseline(op.get_bind())
