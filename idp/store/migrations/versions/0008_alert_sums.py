"""What alerts have counted and not yet told, and when they last told of it: one row for each kind and establishment."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_sums",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("place", sa.String(length=36), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.Column("accounts", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "place", name=op.f("pk_alert_sums")),
    )
