"""Network trust and second factors: zones, workstations, devices, factors, passes, roles, locks, messages; where a Session was and what was proven in it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "locks",
        sa.Column("key", sa.String(length=43), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=140), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_locks_account_id")),
        sa.PrimaryKeyConstraint("key", "side", name=op.f("pk_locks")),
    )
    op.create_index(op.f("ix_locks_account_id"), "locks", ["account_id"], unique=False)
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("purpose", sa.String(length=30), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=True),
        sa.Column("establishment_id", sa.String(length=36), nullable=True),
        sa.Column("hint", sa.String(length=80), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("abandoned_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_account_id"), "messages", ["account_id"], unique=False)
    op.create_index("ix_messages_due", "messages", ["next_attempt_at"], unique=False)
    op.create_index("ix_messages_month", "messages", ["channel", "created_at"], unique=False)
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("secret_digest", sa.String(length=43), nullable=False),
        sa.Column("previous_digest", sa.String(length=43), nullable=True),
        sa.Column("rotated_at", sa.BigInteger(), nullable=False),
        sa.Column("user_agent", sa.String(length=300), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("remembered_at", sa.BigInteger(), nullable=True),
        sa.Column("remembered_until", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_devices_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("secret_digest", name=op.f("uq_devices_secret_digest")),
    )
    op.create_index(op.f("ix_devices_account_id"), "devices", ["account_id"], unique=False)
    op.create_index(op.f("ix_devices_previous_digest"), "devices", ["previous_digest"], unique=False)
    op.create_table(
        "factors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("hint", sa.String(length=80), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("credential_digest", sa.String(length=43), nullable=True),
        sa.Column("credential_id", sa.Text(), nullable=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=True),
        sa.Column("sign_count", sa.BigInteger(), nullable=True),
        sa.Column("transports", sa.String(length=80), nullable=True),
        sa.Column("is_synced", sa.Boolean(), nullable=True),
        sa.Column("aaguid", sa.String(length=36), nullable=True),
        sa.Column("enrolled_zone", sa.String(length=80), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_factors_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_factors")),
        sa.UniqueConstraint("credential_digest", name=op.f("uq_factors_credential_digest")),
    )
    op.create_index(op.f("ix_factors_account_id"), "factors", ["account_id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("digest", sa.String(length=43), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_recovery_codes_account_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_account_id"), "recovery_codes", ["account_id"], unique=False)
    op.create_table(
        "roles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=30), nullable=False),
        sa.Column("establishment_id", sa.String(length=36), nullable=True),
        sa.Column("given_by", sa.String(length=140), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_roles_account_id")),
        sa.ForeignKeyConstraint(["establishment_id"], ["establishments.id"], name=op.f("fk_roles_establishment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
    )
    op.create_index(op.f("ix_roles_account_id"), "roles", ["account_id"], unique=False)
    op.create_table(
        "zones",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("establishment_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("networks", sa.JSON(), nullable=False),
        sa.Column("is_egress", sa.Boolean(), nullable=False),
        sa.Column("guests_apart", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("valid_from", sa.BigInteger(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["establishment_id"], ["establishments.id"], name=op.f("fk_zones_establishment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zones")),
    )
    op.create_index(op.f("ix_zones_establishment_id"), "zones", ["establishment_id"], unique=False)
    op.create_table(
        "passes",
        sa.Column("digest", sa.String(length=43), nullable=False),
        sa.Column("purpose", sa.String(length=12), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=True),
        sa.Column("establishment_id", sa.String(length=36), nullable=True),
        sa.Column("zone_id", sa.String(length=36), nullable=True),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("issued_by", sa.String(length=140), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_passes_account_id")),
        sa.ForeignKeyConstraint(["establishment_id"], ["establishments.id"], name=op.f("fk_passes_establishment_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("fk_passes_zone_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_passes")),
    )
    op.create_index(op.f("ix_passes_account_id"), "passes", ["account_id"], unique=False)
    op.create_index(op.f("ix_passes_expires_at"), "passes", ["expires_at"], unique=False)
    op.create_table(
        "workstations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("establishment_id", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("secret_digest", sa.String(length=43), nullable=False),
        sa.Column("previous_digest", sa.String(length=43), nullable=True),
        sa.Column("rotated_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("enrolled_by", sa.String(length=140), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["establishment_id"], ["establishments.id"], name=op.f("fk_workstations_establishment_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("fk_workstations_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workstations")),
        sa.UniqueConstraint("secret_digest", name=op.f("uq_workstations_secret_digest")),
    )
    op.create_index(op.f("ix_workstations_establishment_id"), "workstations", ["establishment_id"], unique=False)
    op.create_index(op.f("ix_workstations_previous_digest"), "workstations", ["previous_digest"], unique=False)
    op.add_column("accounts", sa.Column("grace_began_at", sa.BigInteger(), nullable=True))
    op.add_column("establishments", sa.Column("regulatory_level", sa.String(length=12), nullable=False, server_default="tolerant"))
    op.add_column("establishments", sa.Column("windows_approval", sa.Text(), nullable=False, server_default=""))
    op.add_column("establishments", sa.Column("remember_device_days", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("establishments", sa.Column("enrolment_grace_days", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("events", sa.Column("zone_kind", sa.String(length=20), nullable=False, server_default="outside"))
    op.add_column("events", sa.Column("zone_why", sa.String(length=40), nullable=False, server_default="not_concluded"))
    op.add_column("events", sa.Column("device_id", sa.String(length=36), nullable=True))
    op.add_column("events", sa.Column("workstation_id", sa.String(length=36), nullable=True))
    op.add_column("events", sa.Column("decision", sa.Text(), nullable=True))
    op.add_column("grants", sa.Column("zone_kind", sa.String(length=20), nullable=False, server_default="outside"))
    op.add_column("grants", sa.Column("zone_why", sa.String(length=40), nullable=False, server_default="not_concluded"))
    op.add_column("sessions", sa.Column("zone_kind", sa.String(length=20), nullable=False, server_default="outside"))
    op.add_column("sessions", sa.Column("zone_why", sa.String(length=40), nullable=False, server_default="not_concluded"))
    op.add_column("sessions", sa.Column("proofs", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("sessions", sa.Column("workstation_id", sa.String(length=36), nullable=True))
    op.add_column("sessions", sa.Column("is_shared", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("sessions", sa.Column("locked_at", sa.BigInteger(), nullable=True))
