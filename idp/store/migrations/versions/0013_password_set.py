"""When a person's password in their directory was set, as the directory says: another instant ends what the former password opened."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("password_set_at", sa.BigInteger(), nullable=True))
