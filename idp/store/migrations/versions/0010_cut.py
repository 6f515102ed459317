"""The cut: departures and their certificates, how far directories were listened to, Shared Signals streams, SCIM, the canary."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("cut_id", sa.String(length=36), nullable=True))
    op.add_column("outbox", sa.Column("stream_id", sa.String(length=36), nullable=True))
    op.add_column("outbox", sa.Column("event", sa.JSON(), nullable=True))
    op.create_index(op.f("ix_outbox_cut"), "outbox", ["cut_id"], unique=False)
    op.create_index(op.f("ix_outbox_stream"), "outbox", ["stream_id"], unique=False)
    op.create_table(
        "cuts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("establishment_id", sa.String(length=36), nullable=True),
        sa.Column("cause", sa.String(length=60), nullable=False),
        sa.Column("actor", sa.String(length=140), nullable=False),
        sa.Column("connector", sa.String(length=60), nullable=True),
        sa.Column("subject", sa.String(length=200), nullable=True),
        sa.Column("written_at", sa.BigInteger(), nullable=True),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("grants", sa.Integer(), nullable=False),
        sa.Column("notices", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cuts")),
    )
    op.create_index(op.f("ix_cuts_account_id"), "cuts", ["account_id"], unique=False)
    op.create_index(op.f("ix_cuts_decided_at"), "cuts", ["decided_at"], unique=False)
    op.create_table(
        "watches",
        sa.Column("connector", sa.String(length=60), nullable=False),
        sa.Column("cursor", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("trouble", sa.String(length=300), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("reconciled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("connector", name=op.f("pk_watches")),
    )
    op.create_table(
        "streams",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("delivery", sa.String(length=4), nullable=False),
        sa.Column("endpoint_url", sa.String(length=2000), nullable=True),
        sa.Column("authorization_seal", sa.LargeBinary(), nullable=True),
        sa.Column("events_requested", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=300), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_streams")),
    )
    op.create_index(op.f("ix_streams_client_id"), "streams", ["client_id"], unique=False)
    op.create_table(
        "stream_subjects",
        sa.Column("stream_id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("is_told", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["streams.id"], name=op.f("fk_stream_subjects_stream_id")),
        sa.PrimaryKeyConstraint("stream_id", "account_id", name=op.f("pk_stream_subjects")),
    )
    op.create_table(
        "scim_resources",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("connector", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=5), nullable=False),
        sa.Column("name", sa.String(length=254), nullable=False),
        sa.Column("external_id", sa.String(length=254), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scim_resources")),
    )
    op.create_index(op.f("ix_scim_resources_external_id"), "scim_resources", ["connector", "kind", "external_id"], unique=False)
    op.create_index(op.f("ix_scim_resources_name"), "scim_resources", ["connector", "kind", "name"], unique=True)
    op.create_table(
        "scim_members",
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["scim_resources.id"], name=op.f("fk_scim_members_group_id")),
        sa.ForeignKeyConstraint(["user_id"], ["scim_resources.id"], name=op.f("fk_scim_members_user_id")),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_scim_members")),
    )
    op.create_index(op.f("ix_scim_members_user_id"), "scim_members", ["user_id"], unique=False)
    op.create_table(
        "canary_runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("connector", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=True),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=True),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("restored_at", sa.BigInteger(), nullable=True),
        sa.Column("trouble", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_canary_runs")),
    )
    op.create_index(op.f("ix_canary_runs_account_id"), "canary_runs", ["account_id"], unique=False)
    op.create_index(op.f("ix_canary_runs_began_at"), "canary_runs", ["connector", "began_at"], unique=False)
