"""Directories: links, sync runs, leases; who cut an account, where an attachment comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The first schema's trigger is for rows: TRUNCATE asks none of those.
NO_TRUNCATE_POSTGRESQL = """
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_append_only()
"""


def upgrade() -> None:
    op.add_column("accounts", sa.Column("is_break_glass", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("accounts", sa.Column("cut_by", sa.String(length=60), nullable=True))
    op.add_column("attachments", sa.Column("source", sa.String(length=60), nullable=False, server_default="operator"))
    op.execute("UPDATE accounts SET cut_by = 'operator' WHERE status <> 'active'")
    op.create_table(
        "links",
        sa.Column("connector", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("word", sa.String(length=20), nullable=False),
        sa.Column("word_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_digest", sa.String(length=43), nullable=False),
        sa.Column("held_by_run", sa.String(length=36), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("password_changed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_links_account_id")),
        sa.PrimaryKeyConstraint("connector", "subject", name=op.f("pk_links")),
    )
    op.create_index("ix_links_account", "links", ["account_id", "word_at"], unique=False)
    op.create_index("ix_links_held", "links", ["held_by_run"], unique=False)
    op.create_table(
        "sync_runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("connector", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
    )
    op.create_index(op.f("ix_sync_runs_connector"), "sync_runs", ["connector"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("holder", sa.String(length=120), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(NO_TRUNCATE_POSTGRESQL)
