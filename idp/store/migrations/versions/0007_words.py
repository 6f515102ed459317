"""The words that people are found by: their names without accents, one row each."""

import sqlalchemy as sa
from alembic import op

from idp.store.search import words_of

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000


def upgrade() -> None:
    words = op.create_table(
        "account_words",
        sa.Column("word", sa.String(length=80), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_account_words_account_id")),
        sa.PrimaryKeyConstraint("word", "account_id", name=op.f("pk_account_words")),
    )
    op.create_index(op.f("ix_account_words_account_id"), "account_words", ["account_id"], unique=False)
    named = op.get_bind().execute(sa.text("SELECT id, given_name, family_name FROM accounts")).all()
    rows = [{"account_id": key, "word": word} for key, given, family in named for word in words_of(f"{family} {given}")]
    for first in range(0, len(rows), ROWS_AT_ONCE):
        op.bulk_insert(words, rows[first : first + ROWS_AT_ONCE])
