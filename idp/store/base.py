"""The records, frozen, and the narrow protocol of the ephemeral store.

Owns the shapes that rooms above see; tables.py owns the columns. A repository answers None for "there is none" and raises StoreUnavailable when
the store does not answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

from idp.config import ClientSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Establishment:
    """A care home."""

    id: str
    slug: str
    name: str
    finess: str | None
    siret: str | None
    time_zone: str
    contact_name: str
    contact_phone: str
    contact_email: str
    logo_type: str | None
    source: str
    created_at: datetime
    ended_at: datetime | None
    regulatory_level: str = "tolerant"
    windows_approval: str = ""
    remember_device_days: int = 0
    enrolment_grace_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Our lasting record of one person; `id` is the OpenID Connect `sub`, and never changes or is reused."""

    id: str
    status: Literal["active", "suspended", "ended"]
    username: str | None
    given_name: str
    family_name: str
    email: str | None
    email_verified: bool
    phone_number: str | None
    phone_number_verified: bool
    address: Mapping[str, str] | None
    locale: str | None
    is_demo: bool
    last_establishment_id: str | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    is_break_glass: bool = False
    cut_by: str | None = None
    grace_began_at: datetime | None = None

    @property
    def name(self) -> str:
        """Given and family name, or the username when neither is known."""
        return f"{self.given_name} {self.family_name}".strip() or self.username or self.id

    @property
    def is_active(self) -> bool:
        """Whether the account may be used at all; suspended and ended may not."""
        return self.status == "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An Account at an Establishment. `valid_from` and `valid_until` are the instants of the two days in the establishment's time zone."""

    id: str
    account_id: str
    establishment_id: str
    profile: str
    sector: str | None
    first_day: date | None
    last_day: date | None
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime
    ended_at: datetime | None
    source: str = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A local password: argon2id hashes, the latest and up to three earlier ones."""

    account_id: str
    hash: str
    previous: tuple[str, ...]
    must_change: bool
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application. `settings.secret` is always None here; the secret is known by its digest."""

    client_id: str
    revision: int
    settings: ClientSettings
    secret_digest: str | None
    source: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProof:
    """One thing that was proven in a Session: by what method (policies/assurance.py), with which factor, and when."""

    method: str
    at: datetime
    factor_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One signed-in browser. `id` is the `sid` of tokens; the cookie is another secret, kept as a digest."""

    id: str
    cookie_digest: str
    account_id: str
    establishment_id: str
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str
    connector: str
    zone: str
    device_id: str | None
    address: str
    user_agent: str
    created_at: datetime
    last_active_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_cause: str | None
    zone_kind: str = "outside"
    zone_why: str = "not_concluded"
    proofs: tuple["StoredProof", ...] = ()
    workstation_id: str | None = None
    is_shared: bool = False
    locked_at: datetime | None = None

    @property
    def is_locked(self) -> bool:
        """Whether nothing goes on before the same person shows again who they are."""
        return self.locked_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a Session gave a Client, for one active establishment; parent of the code and of every token.

    A Grant without offline access lives as long as its Session; an offline one until `expires_at`.
    """

    id: str
    session_id: str
    account_id: str
    client_id: str
    establishment_id: str
    scope: str
    resources: tuple[str, ...]
    claims: Mapping[str, Any] | None
    claims_locales: str | None
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str
    zone: str
    is_offline: bool
    has_tokens: bool
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_cause: str | None
    zone_kind: str = "outside"
    zone_why: str = "not_concluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code, known by its digest. `used_at` is set by the one UPDATE that redeems it."""

    digest: str
    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str | None
    nonce: str | None
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token, known by its digest. After rotation it keeps the sealed answer for the retry window."""

    digest: str
    grant_id: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None
    successor_digest: str | None
    sealed_answer: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A row of the outbox: something an application must be told."""

    id: str
    kind: Literal["backchannel_logout"]
    client_id: str
    account_id: str
    session_id: str | None
    cause: str
    created_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    abandoned_at: datetime | None
    receipt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A signing key; the private part is sealed with a key that is not in the database."""

    kid: str
    alg: Literal["RS256", "ES256"]
    state: Literal["next", "current", "retired"]
    public_jwk: Mapping[str, Any]
    sealed_private: bytes
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Who an Account is in a directory: `subject` is the directory's lasting id; `word` its last answer (a connectors.base.State, or "gone").

    `seen_digest` is of all that it said then. While a sync waits for a human, those it would end are held: their word stands until `held_until`.
    `password_changed_at` is when the directory's password was last changed on our page: what was proven with an earlier one is worth nothing.
    """

    connector: str
    subject: str
    account_id: str
    word: str
    word_at: datetime
    seen_digest: str
    held_by_run: str | None
    held_until: datetime | None
    password_changed_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """One whole reading of a directory."""

    id: str
    connector: str
    state: Literal["running", "done", "held", "confirmed", "dismissed", "failed"]
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to do what only one may do at a time, until `expires_at`; `fence` grows at each change of holder."""

    name: str
    holder: str
    fence: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A place of an establishment on the network. Valid in [valid_from, valid_until) by the establishment's calendar; None means no bound.

    `is_egress`: a public address that a whole site leaves by, guests perhaps too; `guests_apart` is the recorded declaration that they do not.
    """

    id: str
    establishment_id: str
    name: str
    kind: str
    networks: tuple[str, ...]
    is_egress: bool
    guests_apart: str
    first_day: date | None
    last_day: date | None
    valid_from: datetime | None
    valid_until: datetime | None
    source: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workstation:
    """A machine that a contact has enrolled, known by a rotating secret; it counts only in its own zone."""

    id: str
    establishment_id: str
    zone_id: str
    name: str
    is_shared: bool
    secret_digest: str
    previous_digest: str | None
    rotated_at: datetime
    last_seen_at: datetime
    enrolled_by: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A browser in which a person has signed in, known by a rotating secret. Until `remembered_until` it spares the gesture."""

    id: str
    account_id: str
    secret_digest: str
    previous_digest: str | None
    rotated_at: datetime
    user_agent: str
    address: str
    remembered_at: datetime | None
    remembered_until: datetime | None
    last_seen_at: datetime
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """An enrolled second proof. `sealed` holds a TOTP secret, a phone number or an e-mail address; `hint` is what may be shown of it."""

    id: str
    account_id: str
    kind: Literal["totp", "passkey", "sms", "email"]
    label: str
    hint: str
    sealed: bytes | None
    last_step: int | None
    credential_digest: str | None
    credential_id: str | None
    public_key: bytes | None
    sign_count: int | None
    transports: str | None
    is_synced: bool | None
    aaguid: str | None
    enrolled_zone: str
    last_used_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What somebody entitled hands over, used once. `account_id` is whom it serves; a workstation's has a zone instead."""

    digest: str
    purpose: Literal["enrol", "sign_in", "workstation"]
    account_id: str | None
    establishment_id: str | None
    zone_id: str | None
    is_shared: bool
    label: str
    issued_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Who administers what: the whole group when `establishment_id` is None."""

    id: str
    account_id: str
    role: str
    establishment_id: str | None
    given_by: str
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """An identifier at which no password is tried until an operator unblocks: known by its keyed hash. `side` near closes outside too."""

    key: str
    side: Literal["outside", "near"]
    account_id: str | None
    at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something a person is to be told by SMS or e-mail; `sealed` holds whom and what until it is sent, `hint` what may be shown.

    `cost_micros` is what it has cost or may yet, in millionths of the currency of the price.
    """

    id: str
    channel: Literal["sms", "email"]
    purpose: str
    account_id: str | None
    establishment_id: str | None
    hint: str
    sealed: bytes | None
    created_at: datetime
    expires_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    sent_at: datetime | None
    abandoned_at: datetime | None
    receipt: str | None
    cost_micros: int = 0


class Ephemeral(Protocol):
    """What may be lost: interactions and counters. Every method is atomic; a value past its time to live is not there."""

    def put(self, kind: str, key: str, value: bytes, ttl: timedelta) -> None:
        """Store or replace."""
        ...

    def add(self, kind: str, key: str, value: bytes, ttl: timedelta) -> bool:
        """Store if absent: True for exactly one of several callers."""
        ...

    def get(self, kind: str, key: str) -> bytes | None:
        """The value, or None."""
        ...

    def take(self, kind: str, key: str) -> bytes | None:
        """Read and delete: the value for exactly one of several callers."""
        ...

    def touch(self, kind: str, key: str, ttl: timedelta) -> bool:
        """Give a present value a new time to live; False when it is not there."""
        ...

    def count(self, kind: str, key: str, window: timedelta) -> int:
        """Add one to a counter and return it; it falls back to zero `window` after its first count."""
        ...

    def uncount(self, kind: str, key: str) -> None:
        """Take one from a counter, never below zero; its window stays."""
        ...

    def peek(self, kind: str, key: str) -> int:
        """The counter's value without adding to it."""
        ...

    def forget(self, kind: str, key: str) -> None:
        """Delete a value or a counter; nothing when there is none."""
        ...

    def sweep(self) -> int:
        """Delete what is past its time; how many."""
        ...

    def ping(self) -> None:
        """Answer or raise StoreUnavailable."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """What an operator should know about how the store is set up, in English; empty when all is well or it does not answer."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...
