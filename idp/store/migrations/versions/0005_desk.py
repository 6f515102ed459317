"""The reset desk: gated resets with their moves, since when a contact detail is what it is, and the roles' names."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("email_changed_at", sa.BigInteger(), nullable=True))
    op.add_column("accounts", sa.Column("phone_changed_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "resets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("establishment_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(length=60), nullable=False),
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
        sa.Column("asked_by", sa.String(length=140), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("proof_kind", sa.String(length=20), nullable=True),
        sa.Column("proof_note", sa.Text(), nullable=False),
        sa.Column("proof_by", sa.String(length=140), nullable=True),
        sa.Column("proof_at", sa.BigInteger(), nullable=True),
        sa.Column("needs_second", sa.Boolean(), nullable=False),
        sa.Column("second_by", sa.String(length=140), nullable=True),
        sa.Column("second_how", sa.String(length=20), nullable=True),
        sa.Column("second_at", sa.BigInteger(), nullable=True),
        sa.Column("carried_by", sa.String(length=140), nullable=True),
        sa.Column("carried_at", sa.BigInteger(), nullable=True),
        sa.Column("spoken_digest", sa.String(length=43), nullable=True),
        sa.Column("spoken_until", sa.BigInteger(), nullable=True),
        sa.Column("sent_digest", sa.String(length=43), nullable=True),
        sa.Column("sent_channel", sa.String(length=10), nullable=True),
        sa.Column("sent_hint", sa.String(length=80), nullable=False),
        sa.Column("sent_until", sa.BigInteger(), nullable=True),
        sa.Column("stop_digest", sa.String(length=43), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("barred", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("redeemed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(length=140), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_resets_account_id")),
        sa.ForeignKeyConstraint(["establishment_id"], ["establishments.id"], name=op.f("fk_resets_establishment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resets")),
        sa.UniqueConstraint("spoken_digest", name=op.f("uq_resets_spoken_digest")),
        sa.UniqueConstraint("stop_digest", name=op.f("uq_resets_stop_digest")),
    )
    op.create_index(op.f("ix_resets_account_id"), "resets", ["account_id"], unique=False)
    op.create_index(op.f("ix_resets_establishment_id"), "resets", ["establishment_id"], unique=False)
    op.create_index(op.f("ix_resets_open"), "resets", ["closed_at", "expires_at"], unique=False)
    op.create_table(
        "reset_moves",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("reset_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("move", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=140), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["reset_id"], ["resets.id"], name=op.f("fk_reset_moves_reset_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reset_moves")),
    )
    op.create_index(op.f("ix_reset_moves_reset_id"), "reset_moves", ["reset_id"], unique=False)
    op.execute("UPDATE roles SET role = 'it_contact' WHERE role = 'establishment_administrator'")
