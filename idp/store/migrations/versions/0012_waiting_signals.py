"""Waiting signals: a stream's events that wait are found without reading those that were taken, which certificates keep for years."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index(op.f("ix_outbox_stream"), table_name="outbox")
    columns = ["stream_id", "delivered_at", "abandoned_at", "created_at"]
    op.create_index(op.f("ix_outbox_stream"), "outbox", columns, unique=False)
