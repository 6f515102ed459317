"""Where each person comes in a list: their folded names beside them, and an index that reads a page of the list."""

import sqlalchemy as sa
from alembic import op

from idp.store.alphabet import sort_name

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000


def upgrade() -> None:
    kind = sa.String(length=170).with_variant(sa.String(length=170, collation="C"), "postgresql")
    op.add_column("accounts", sa.Column("sort_name", kind, nullable=False, server_default=""))
    bind = op.get_bind()
    named = bind.execute(sa.text("SELECT id, given_name, family_name, username FROM accounts")).all()
    rows = [{"account": key, "sorted": sort_name(given, family, username)} for key, given, family, username in named]
    for first in range(0, len(rows), ROWS_AT_ONCE):
        bind.execute(sa.text("UPDATE accounts SET sort_name = :sorted WHERE id = :account"), rows[first : first + ROWS_AT_ONCE])
    op.create_index(op.f("ix_accounts_sort_name_id"), "accounts", ["sort_name", "id"], unique=False)
