"""One sign-in: upstream providers and their refresh tokens, unlinked and merged people, zones whose computers show a Windows session."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "merges",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kept_id", sa.String(length=36), nullable=False),
        sa.Column("retired_id", sa.String(length=36), nullable=False),
        sa.Column("retired_status", sa.String(length=10), nullable=False),
        sa.Column("retired_cut_by", sa.String(length=60), nullable=True),
        sa.Column("moved", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(length=140), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("merged_at", sa.BigInteger(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["kept_id"], ["accounts.id"], name=op.f("fk_merges_kept_id")),
        sa.ForeignKeyConstraint(["retired_id"], ["accounts.id"], name=op.f("fk_merges_retired_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merges")),
    )
    op.create_index(op.f("ix_merges_kept_id"), "merges", ["kept_id"], unique=False)
    op.create_index(op.f("ix_merges_retired_id"), "merges", ["retired_id"], unique=False)
    op.add_column("accounts", sa.Column("merged_into", sa.String(length=36), nullable=True))
    op.add_column("links", sa.Column("kind", sa.String(length=10), nullable=False, server_default="directory"))
    op.add_column("links", sa.Column("how", sa.String(length=30), nullable=False, server_default="directory"))
    op.add_column("links", sa.Column("refresh_seal", sa.LargeBinary(), nullable=True))
    op.add_column("links", sa.Column("ended_at", sa.BigInteger(), nullable=True))
    op.add_column("zones", sa.Column("windows", sa.Boolean(), nullable=False, server_default=sa.false()))
