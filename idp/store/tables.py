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
# Compared byte by byte on PostgreSQL too, whatever the locale of its database (alphabet.py).
Folded = String(170).with_variant(String(170, collation="C"), "postgresql")

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
    Column("sort_name", Folded, nullable=False, server_default=""),  # where they come in a list; people.py writes it with every name
    Column("email", String(254)),
    Column("email_verified", Boolean, nullable=False, default=False),
    Column("phone_number", String(20)),
    Column("phone_number_verified", Boolean, nullable=False, default=False),
    Column("address", JSON),
    Column("locale", String(10)),
    Column("is_demo", Boolean, nullable=False, default=False),
    Column("is_break_glass", Boolean, nullable=False, default=False),
    Column("cut_by", String(60)),  # operator, or the directory that said so; null while active
    Column("merged_into", Id),  # the account that this person goes on with; the id is never given again
    Column("grace_began_at", Instant),  # when a second factor was first wanted of somebody who has none
    Column("email_changed_at", Instant),  # null: as it was when the account was made
    Column("phone_changed_at", Instant),
    Column("last_establishment_id", Id),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index("ix_accounts_sort_name_id", "sort_name", "id"),
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

# What names are found by: their words in small letters without accents (search.py).
account_words = Table(
    "account_words",
    metadata,
    Column("word", String(80), primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), primary_key=True, index=True),
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
    Column("valid_until", Instant, index=True),
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
    Column("cut_id", Id),  # the departure that it tells of, whose certificate holds the receipt
    Column("stream_id", Id),  # a Shared Signals stream; null: Back-Channel Logout
    Column("event", JSON),  # what a Security Event Token will say; null: a logout token says all by itself
    Index("ix_outbox_due", "next_attempt_at"),
    Index("ix_outbox_cut", "cut_id"),
    Index("ix_outbox_stream", "stream_id", "delivered_at", "abandoned_at", "created_at"),
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
    # chain.py; all null in a line from before the chains
    Column("writer", Id),
    Column("sequence", BigInteger),
    Column("previous", Digest),
    Column("mac", Digest),
)

# The heads of the writers that moved, every minute. What a seal covers is in `heads`: JSON, [[writer, sequence, mac], ...].
seals = Table(
    "seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("heads", Text, nullable=False),
    Column("unsigned", BigInteger, nullable=False),  # lines without a writer among those that this seal settles
    Column("horizon", BigInteger, nullable=False),  # no line with this id or a lower one can appear any more
    Column("seen", BigInteger, nullable=False),
    Column("begun", BigInteger, nullable=False),
    Column("previous", Digest, nullable=False),
    Column("mac", Digest, nullable=False),
)

# What a purge took out of a chain, signed: `writer` is a writer, "seals", or "" for lines from before, of which `first` and `last` are ids.
purged_ranges = Table(
    "purged_ranges",
    metadata,
    Column("writer", Id, primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("previous", Digest, nullable=False),
    Column("last_mac", Digest, nullable=False),
    Column("until", Instant, nullable=False),
    Column("retention", String(40), nullable=False),
    Column("purged_at", Instant, nullable=False),
    Column("mac", Digest, nullable=False),
)

# How far each stream of the trail has got (idp/trail/stream.py).
stream_cursors = Table(
    "stream_cursors",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("line", BigInteger, nullable=False),
    Column("settled", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("begun", BigInteger, nullable=False),
    Column("seal", BigInteger, nullable=False),
    Column("sent_at", Instant),
    Column("failing_since", Instant),
    Column("trouble", String(300), nullable=False, default=""),
)

# What alerts have counted at an establishment ("": at none) and not told yet, and when they last told of it.
alert_sums = Table(
    "alert_sums",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("place", Id, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("at", Instant),
    Column("accounts", Text, nullable=False, default=""),  # ids, the first few, with spaces between
    Column("told_at", Instant),
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
    Column("kind", String(10), nullable=False, default="directory"),  # or upstream, which speaks when the person comes
    Column(
        "how", String(30), nullable=False, default="directory"
    ),  # or immutable_id, proven, operator, created: what joined it to the account
    Column("refresh_seal", LargeBinary),  # the upstream's refresh token: while it is there, the upstream can be asked
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),  # unlinked: known, and nobody's until a proven act links it again
    Column("ends_at", Instant, index=True),  # when the account ends there by itself
    Column("password_set_at", Instant),  # by the directory's clock
    Index("ix_links_account", "account_id", "word_at"),
    Index("ix_links_held", "held_by_run"),
)

# One natural person who had two accounts. The kept one is the older; what moved from the retired one is listed, so that it can be undone.
merges = Table(
    "merges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kept_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("retired_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("retired_status", String(10), nullable=False),
    Column("retired_cut_by", String(60)),
    Column("moved", JSON, nullable=False),  # kind to the keys of rows that now carry kept_id
    Column("actor", String(140), nullable=False),
    Column("why", Text, nullable=False, default=""),
    Column("merged_at", Instant, nullable=False),
    Column("undone_at", Instant),
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
    Column("windows", Boolean, nullable=False, default=False),  # its computers can show a Windows session (Kerberos)
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

# A gated act on somebody's means of sign-in. Codes are keyed hashes; what must be read again (a directory's interim password) is sealed.
resets = Table(
    "resets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("establishment_id", Id, ForeignKey("establishments.id"), nullable=False, index=True),
    Column("kind", String(10), nullable=False),  # password, factor, both
    Column("source", String(60), nullable=False),  # whose password: local, or a directory; local for a factor
    Column("mode", String(20), nullable=False),  # admin, admin+email_code, self
    Column("state", String(10), nullable=False),  # asked, proven, approved, issued, redeemed, done, expired, cancelled, stopped, burnt
    Column("is_own", Boolean, nullable=False, default=False),  # asked by the person, on the page before sign-in
    Column("asked_by", String(140), nullable=False),
    Column("why", Text, nullable=False, default=""),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("proof_kind", String(20)),  # call_back, in_person, manager
    Column("proof_note", Text, nullable=False, default=""),
    Column("proof_by", String(140)),
    Column("proof_at", Instant),
    Column("needs_second", Boolean, nullable=False, default=False),
    Column("second_by", String(140)),
    Column("second_how", String(20)),  # passkey, factor, sealed_pass
    Column("second_at", Instant),
    Column("carried_by", String(140)),
    Column("carried_at", Instant),
    Column("spoken_digest", Digest, unique=True),
    Column("spoken_until", Instant),
    Column("sent_digest", Digest),
    Column("sent_channel", String(10)),  # sms, email, witness
    Column("sent_hint", String(80), nullable=False, default=""),
    Column("sent_until", Instant),
    Column("stop_digest", Digest, unique=True),
    Column("tries", Integer, nullable=False, default=0),  # wrong sent halves after a right spoken one
    Column("barred", JSON, nullable=False, default=list),  # keyed marks of the agents' browsers, and their account ids
    Column("sealed", LargeBinary),
    Column("redeemed_at", Instant),
    Column("closed_at", Instant),
    Column("closed_by", String(140)),
    Index("ix_resets_open", "closed_at", "expires_at"),
)

# What was done with a reset, in order; the audit trail has the same and more, by account.
reset_moves = Table(
    "reset_moves",
    metadata,
    Column("id", Id, primary_key=True),
    Column("reset_id", Id, ForeignKey("resets.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("move", String(20), nullable=False),
    Column("actor", String(140), nullable=False),
    Column("details", JSON, nullable=False, default=dict),
)

# Departures, and whatever else took access from a person: what a certificate is made of, with the receipts in the outbox.
cuts = Table(
    "cuts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, nullable=False, index=True),
    Column("kind", String(12), nullable=False),  # suspended, ended, attachment
    Column("establishment_id", Id),  # of an attachment that was lost
    Column("cause", String(60), nullable=False),
    Column("actor", String(140), nullable=False),
    Column("connector", String(60)),
    Column("subject", String(200)),
    Column("written_at", Instant),  # in the directory, where it says so
    Column("heard_at", Instant),  # by us, where it was pushed or read
    Column("decided_at", Instant, nullable=False),
    Column("sessions", Integer, nullable=False, default=0),
    Column("grants", Integer, nullable=False, default=0),
    Column("notices", Integer, nullable=False, default=0),
    Column("request_id", String(10), nullable=False),
    Index("ix_cuts_decided_at", "decided_at"),
)

# How far each directory was listened to.
watches = Table(
    "watches",
    metadata,
    Column("connector", String(60), primary_key=True),
    Column("cursor", LargeBinary),  # the directory's own word for "up to here"; null: read everything first
    Column("state", String(12), nullable=False),  # reading, live, failing, held
    Column("trouble", String(300), nullable=False, default=""),
    Column("since", Instant, nullable=False),  # in this state
    Column("heard_at", Instant),  # the last sign of life
    Column("changed_at", Instant),  # the last change acted on
    Column("reconciled_at", Instant),  # the last whole reading
)

# The Shared Signals streams of applications (OpenID Shared Signals Framework 1.0 section 8.1.1).
streams = Table(
    "streams",
    metadata,
    Column("id", Id, primary_key=True),
    Column("client_id", String(100), nullable=False, index=True),
    Column("status", String(10), nullable=False),  # enabled, paused, disabled
    Column("reason", String(300), nullable=False, default=""),
    Column("delivery", String(4), nullable=False),  # push, poll
    Column("endpoint_url", String(2000)),
    Column("authorization_seal", LargeBinary),
    Column("events_requested", JSON, nullable=False),
    Column("description", String(300), nullable=False, default=""),
    Column("verified_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("ended_at", Instant),
)

# Whom a stream is told of beside those who signed in to its application, or is not told of although they did.
stream_subjects = Table(
    "stream_subjects",
    metadata,
    Column("stream_id", Id, ForeignKey("streams.id"), primary_key=True),
    Column("account_id", Id, primary_key=True),
    Column("is_told", Boolean, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# What a directory writes to us itself (SCIM 2.0, RFC 7643).
scim_resources = Table(
    "scim_resources",
    metadata,
    Column("id", Id, primary_key=True),
    Column("connector", String(60), nullable=False),
    Column("kind", String(5), nullable=False),  # User, Group
    Column("name", String(254), nullable=False),  # userName or displayName, folded
    Column("external_id", String(254)),
    Column("is_active", Boolean, nullable=False, default=True),
    Column("body", JSON, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Index("ix_scim_resources_name", "connector", "kind", "name", unique=True),
    Index("ix_scim_resources_external_id", "connector", "kind", "external_id"),
)
scim_members = Table(
    "scim_members",
    metadata,
    Column("group_id", Id, ForeignKey("scim_resources.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("scim_resources.id"), primary_key=True, index=True),
)

# The canary: somebody who does not exist, disabled and enabled again on purpose, to know that the path is whole.
canary_runs = Table(
    "canary_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("connector", String(60), nullable=False),
    Column("account_id", Id, index=True),
    Column("began_at", Instant, nullable=False),
    Column("written_at", Instant),  # the directory took the change
    Column("heard_at", Instant),
    Column("decided_at", Instant),
    Column("delivered_at", Instant),
    Column("restored_at", Instant),
    Column("trouble", String(300), nullable=False, default=""),
    Index("ix_canary_runs_began_at", "connector", "began_at"),
)
