"""Last days: when a directory's account ends by itself, and an index of the Attachments whose last day is past."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("ends_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_links_ends_at"), "links", ["ends_at"], unique=False)
    op.create_index(op.f("ix_attachments_valid_until"), "attachments", ["valid_until"], unique=False)
