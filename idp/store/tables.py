"""The tables, for SQLite and PostgreSQL alike; migrations/ is what creates them.

Instants are whole microseconds since 1970 (BIGINT) and come out as aware UTC datetimes. Tokens, codes and cookies are kept as SHA-256 digests,
things we must read again as seals. Rows end (`ended_at`, `used_at`); a sweep deletes later.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime kept as microseconds since 1970 UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Towards the database."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Id = String(36)
Digest = String(43)

establishments = Table(
    "establishments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("finess", String(9)),
    Column("siret", String(14)),
    Column("time_zone", String(64), nullable=False),
    Column("contact_name", String(120), nullable=False, default=""),
    Column("contact_phone", String(40), nullable=False, default=""),
    Column("contact_email", String(254), nullable=False, default=""),
    Column("logo", LargeBinary),
    Column("logo_type", String(20)),
    Column("regulatory_level", String(12), nullable=False, default="tolerant"),  # tolerant, rie-2026, psc
    Column(
        "windows_approval", Text, nullable=False, default=""
    ),  # who approved the Windows session as a means, and when; "" when nobody did
    Column("remember_device_days", Integer, nullable=False, default=0),  # 0: a device never spares the gesture
    Column("enrolment_grace_days", Integer, nullable=False, default=0),
    Column("source", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("status", String(10), nullable=False),  # active, suspended, ended
    Column("username", String(120)),
    Column("given_name", String(80), nullable=False, default=""),
    Column("family_name", String(80), nullable=False, default=""),
    Column("email", String(254)),
    Column("email_verified", Boolean, nullable=False, default=False),
    Column("phone_number", String(20)),
    Column("phone_number_verified", Boolean, nullable=False, default=False),
    Column("address", JSON),
    Column("locale", String(10)),
    Column("is_demo", Boolean, nullable=False, default=False),
    Column("is_break_glass", Boolean, nullable=False, default=False),
    Column("cut_by", String(60)),  # operator, or the directory that said so; null while active
    Column("grace_began_at", Instant),  # when a second factor was first wanted of somebody who has none
    Column("last_establishment_id", Id),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# What a person may type to say who they are. Staff numbers are unique in their establishment (scope), the rest everywhere (scope "").
identifiers = Table(
    "identifiers",
    metadata,
    Column("value", String(254), primary_key=True),
    Column("scope", Id, primary_key=True, default=""),
    Column("kind", String(12), nullable=False),  # username, email, number
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
)

passwords = Table(
    "passwords",
    metadata,
    Column("account_id", Id, ForeignKey("accounts.id"), primary_key=True),
    Column("hash", String(200), nullable=False),
    Column("previous", JSON, nullable=False, default=list),
    Column("must_change", Boolean, nullable=False, default=False),
    Column("changed_at", Instant, nullable=False),
)

attachments = Table(
    "attachments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("establishment_id", Id, ForeignKey("establishments.id"), nullable=False, index=True),
    Column("profile", String(60), nullable=False),
    Column("sector", String(120)),
    Column("first_day", Date),
    Column("last_day", Date),
    Column("valid_from", Instant),
    Column("valid_until", Instant),
    Column("source", String(60), nullable=False, default="operator"),  # operator, or the directory whose groups gave it
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

clients = Table(
    "clients",
    metadata,
    Column("client_id", String(100), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("registration", JSON, nullable=False),
    Column("secret_digest", Digest),
    Column("source", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),  # also the `sid` of tokens
    Column("cookie_digest", Digest, nullable=False, unique=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("establishment_id", Id, nullable=False),
    Column("auth_time", Instant, nullable=False),
    Column("amr", String(120), nullable=False),
    Column("acr", String(60), nullable=False),
    Column("connector", String(60), nullable=False),
    Column("zone", String(80), nullable=False),
    Column("zone_kind", String(20), nullable=False, default="outside"),
    Column("zone_why", String(40), nullable=False, default="not_concluded"),
    Column("proofs", JSON, nullable=False, default=list),  # what was proven, and when
    Column("device_id", Id),
    Column("workstation_id", Id),
    Column("is_shared", Boolean, nullable=False, default=False),  # on a workstation that several people use
    Column("locked_at", Instant),  # since when nothing goes on before the same person shows again who they are
    Column("address", String(64), nullable=False),
    Column("user_agent", String(300), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_active_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_cause", String(60)),
    Index("ix_sessions_open", "ended_at", "last_active_at"),
)

grants = Table(
    "grants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("session_id", Id, ForeignKey("sessions.id"), nullable=False, index=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("client_id", String(100), nullable=False, index=True),
    Column("establishment_id", Id, nullable=False),
    Column("scope", Text, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("claims", JSON),
    Column("claims_locales", String(60)),
    Column("auth_time", Instant, nullable=False),
    Column("amr", String(120), nullable=False),
    Column("acr", String(60), nullable=False),
    Column("zone", String(80), nullable=False),
    Column("zone_kind", String(20), nullable=False, default="outside"),
    Column("zone_why", String(40), nullable=False, default="not_concluded"),
    Column("is_offline", Boolean, nullable=False),
    Column("has_tokens", Boolean, nullable=False, default=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_cause", String(60)),
    Index("ix_grants_expiry", "expires_at"),
)

codes = Table(
    "codes",
    metadata,
    Column("digest", Digest, primary_key=True),
    Column("grant_id", Id, ForeignKey("grants.id"), nullable=False, index=True),
    Column("client_id", String(100), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", String(43)),
    Column("nonce", Text),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("used_at", Instant),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", Digest, primary_key=True),
    Column("grant_id", Id, ForeignKey("grants.id"), nullable=False, index=True),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("used_at", Instant),
    Column("successor_digest", Digest),
    Column("sealed_answer", LargeBinary),
)

# Identifiers seen once and refused ever after: revoked access tokens, client assertions.
spent_identifiers = Table(
    "spent_identifiers",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("value", String(86), primary_key=True),
    Column("expires_at", Instant, nullable=False, index=True),
)

consents = Table(
    "consents",
    metadata,
    Column("account_id", Id, ForeignKey("accounts.id"), primary_key=True),
    Column("client_id", String(100), primary_key=True),
    Column("scope", Text, nullable=False),
    Column("given_at", Instant, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(30), nullable=False),
    Column("client_id", String(100), nullable=False),
    Column("account_id", Id, nullable=False),
    Column("session_id", Id),
    Column("cause", String(60), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", Instant),
    Column("delivered_at", Instant),
    Column("abandoned_at", Instant),
    Column("receipt", String(300)),
    Index("ix_outbox_due", "next_attempt_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False, index=True),
    Column("type", String(40), nullable=False),
    Column("reason", String(60)),
    Column("actor", String(140), nullable=False),
    Column("account_id", Id, index=True),
    Column("identifier_hash", Digest),
    Column("client_id", String(100)),
    Column("establishment_id", Id),
    Column("session_id", Id),
    Column("grant_id", Id),
    Column("connector", String(60)),
    Column("zone", String(80), nullable=False),
    Column("zone_kind", String(20), nullable=False, default="outside"),
    Column("zone_why", String(40), nullable=False, default="not_concluded"),
    Column("device_id", Id),
    Column("workstation_id", Id),
    Column("decision", Text),  # JSON: the facts that a rule decided on, its verdict and its trace
    Column("address", String(64), nullable=False),
    Column("network_chain", Text, nullable=False),
    Column("user_agent", String(300), nullable=False),
    Column("amr", String(120), nullable=False),
    Column("acr", String(60)),
    Column("request_id", String(10), nullable=False, index=True),
    Column("details", Text, nullable=False),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(43), primary_key=True),
    Column("alg", String(10), nullable=False),
    Column("state", String(10), nullable=False),  # next, current, retired
    Column("public_jwk", JSON, nullable=False),
    Column("sealed_private", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("activated_at", Instant),
    Column("retired_at", Instant),
)

# One row a thing that changes rarely and is cached by every process; the number moves when it changes.
revisions = Table(
    "revisions",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("digest", Digest),
)

# Who an account is in a directory, by the directory's lasting id, and the directory's last word on them.
links = Table(
    "links",
    metadata,
    Column("connector", String(60), primary_key=True),
    Column("subject", String(200), primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False),
    Column("word", String(20), nullable=False),  # connectors.base.State, or gone
    Column("word_at", Instant, nullable=False),
    Column("seen_digest", Digest, nullable=False),  # of what the directory said: a sync passes over who has not changed
    Column("held_by_run", Id),
    Column("held_until", Instant),
    Column("password_changed_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("ix_links_account", "account_id", "word_at"),
    Index("ix_links_held", "held_by_run"),
)

# One row a whole reading of a directory.
sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("connector", String(60), nullable=False, index=True),
    Column("state", String(12), nullable=False),  # running, done, held, confirmed, dismissed, failed
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("counts", JSON, nullable=False),
    Column("detail", Text, nullable=False, default=""),
)

# Who does what only one may do at a time. `fence` grows at each change of holder: a write that carries an older one is refused.
leases = Table(
    "leases",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("holder", String(120), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

# Places of an establishment on the network. Names are unique among the open ones of an establishment.
zones = Table(
    "zones",
    metadata,
    Column("id", Id, primary_key=True),
    Column("establishment_id", Id, ForeignKey("establishments.id"), nullable=False, index=True),
    Column("name", String(60), nullable=False),
    Column("kind", String(20), nullable=False),  # trusted, shared_workstation, vpn, blocked
    Column("networks", JSON, nullable=False),
    Column("is_egress", Boolean, nullable=False, default=False),  # a public address that a whole site leaves by
    Column("guests_apart", Text, nullable=False, default=""),  # who declared that guests leave elsewhere, and when; "" when nobody did
    Column("first_day", Date),
    Column("last_day", Date),
    Column("valid_from", Instant),
    Column("valid_until", Instant),
    Column("source", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# Machines that a contact has enrolled. The secret rotates; the one before is still taken for a while, when an answer was lost.
workstations = Table(
    "workstations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("establishment_id", Id, ForeignKey("establishments.id"), nullable=False, index=True),
    Column("zone_id", Id, ForeignKey("zones.id"), nullable=False),
    Column("name", String(80), nullable=False),
    Column("is_shared", Boolean, nullable=False),
    Column("secret_digest", Digest, nullable=False, unique=True),
    Column("previous_digest", Digest, index=True),
    Column("rotated_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("enrolled_by", String(140), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# Browsers in which a person has signed in. `remembered_until`: until then the second factor that was given in it is not asked again.
devices = Table(
    "devices",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("secret_digest", Digest, nullable=False, unique=True),
    Column("previous_digest", Digest, index=True),
    Column("rotated_at", Instant, nullable=False),
    Column("user_agent", String(300), nullable=False),
    Column("address", String(64), nullable=False),
    Column("remembered_at", Instant),
    Column("remembered_until", Instant),
    Column("last_seen_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# Enrolled second proofs. What must be read again (a TOTP secret, a phone number) is sealed; `hint` is what people may see of it.
factors = Table(
    "factors",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("kind", String(10), nullable=False),  # totp, passkey, sms, email
    Column("label", String(80), nullable=False),
    Column("hint", String(80), nullable=False, default=""),
    Column("sealed", LargeBinary),
    Column("last_step", BigInteger),  # TOTP: the last time step that served
    Column("credential_digest", Digest, unique=True),  # passkeys, as what follows
    Column("credential_id", Text),
    Column("public_key", LargeBinary),
    Column("sign_count", BigInteger),
    Column("transports", String(80)),
    Column("is_synced", Boolean),
    Column("aaguid", String(36)),
    Column("enrolled_zone", String(80), nullable=False, default="outside"),
    Column("last_used_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# Used once each. `digest` is a keyed hash: they are short.
recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("digest", Digest, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("ended_at", Instant),
)

# What somebody entitled hands over, used once: to enrol a first factor, to sign in without one's factor, to enrol a workstation.
passes = Table(
    "passes",
    metadata,
    Column("digest", Digest, primary_key=True),
    Column("purpose", String(12), nullable=False),  # enrol, sign_in, workstation
    Column("account_id", Id, ForeignKey("accounts.id"), index=True),
    Column("establishment_id", Id, ForeignKey("establishments.id")),
    Column("zone_id", Id, ForeignKey("zones.id")),
    Column("is_shared", Boolean, nullable=False, default=False),
    Column("label", String(80), nullable=False, default=""),
    Column("issued_by", String(140), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("used_at", Instant),
    Column("ended_at", Instant),
)

# Who administers what: a role in the whole group (no establishment) or in one establishment.
roles = Table(
    "roles",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("role", String(30), nullable=False),  # group_administrator, ...
    Column("establishment_id", Id, ForeignKey("establishments.id")),
    Column("given_by", String(140), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# Identifiers at which too many tries failed, closed until an operator opens them again (lockout.mode admin and timed_then_admin).
locks = Table(
    "locks",
    metadata,
    Column("key", Digest, primary_key=True),  # keyed hash of what was typed, or of a directory's lasting id
    Column("side", String(10), primary_key=True),  # outside, near
    Column("account_id", Id, ForeignKey("accounts.id"), index=True),  # null: it names nobody here
    Column("at", Instant, nullable=False),
    Column("by", String(140), nullable=False),
)

# What people are to be told by SMS or e-mail; whom and what is sealed, and forgotten once it is sent or too old.
messages = Table(
    "messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("channel", String(10), nullable=False),  # sms, email
    Column("purpose", String(30), nullable=False),
    Column("account_id", Id, index=True),
    Column("establishment_id", Id),
    Column("hint", String(80), nullable=False),
    Column("sealed", LargeBinary),
    Column(
        "cost_micros", BigInteger, nullable=False, default=0
    ),  # what it has cost, or may yet, in millionths of the currency of sms.price
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", Instant),
    Column("sent_at", Instant),
    Column("abandoned_at", Instant),
    Column("receipt", String(300)),
    Index("ix_messages_due", "next_attempt_at"),
    Index("ix_messages_month", "channel", "created_at"),
)
