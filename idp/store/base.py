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
    merged_into: str | None = None
    grace_began_at: datetime | None = None
    email_changed_at: datetime | None = None
    phone_changed_at: datetime | None = None

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

    def is_valid(self, now: datetime) -> bool:
        """Whether it holds at an instant."""
        is_begun = self.valid_from is None or self.valid_from <= now
        return self.ended_at is None and is_begun and (self.valid_until is None or now < self.valid_until)


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
    """One thing that was proven in a Session: by what method (policies/assurance.py), with which factor, and when.

    `upstream_acr`: what an upstream provider said of it, where it is trusted to say so.
    """

    method: str
    at: datetime
    factor_id: str | None = None
    upstream_acr: str | None = None


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
    kind: Literal["backchannel_logout", "set_push", "set_poll"]
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
    cut_id: str | None = None
    stream_id: str | None = None
    event: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An application's Shared Signals stream (OpenID Shared Signals Framework 1.0 section 8.1.1).

    `events_requested` are the event types as the application named them, known here or not; none: whatever there is. `endpoint_url` and the seal of
    the Authorization header that goes there are a push stream's. A paused stream keeps what is due for it, a disabled one does not.
    """

    id: str
    client_id: str
    status: Literal["enabled", "paused", "disabled"]
    reason: str
    delivery: Literal["push", "poll"]
    endpoint_url: str | None
    authorization_seal: bytes | None
    events_requested: tuple[str, ...]
    description: str
    verified_at: datetime | None
    created_at: datetime
    changed_at: datetime
    ended_at: datetime | None = None


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
    `ends_at` is when the account ends there by itself, as far as was heard: nobody tells of an instant that passes. `password_set_at` is when the
    directory says that the password was set, by its own clock; None when it never said.
    `kind`: a "directory" can be asked at any time; an "upstream" provider only when the person comes, or while we hold its refresh token
    (`refresh_seal`); a "pushed" one writes to us itself (SCIM), and its last word stands. `how` it came to be: directory, immutable_id, proven,
    operator, created. `ended_at`: unlinked, nobody's until a proven act.
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
    kind: str = "directory"
    how: str = "directory"
    refresh_seal: bytes | None = None
    ended_at: datetime | None = None
    ends_at: datetime | None = None
    password_set_at: datetime | None = None

    @property
    def is_askable(self) -> bool:
        """Whether its source can be asked about the person without the person."""
        return self.ended_at is None and (self.kind == "directory" or self.refresh_seal is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two Accounts that were one person: everything of `retired_id` listed in `moved` (kind to row keys) went to `kept_id`."""

    id: str
    kept_id: str
    retired_id: str
    retired_status: str
    retired_cut_by: str | None
    moved: Mapping[str, Any]
    actor: str
    why: str
    merged_at: datetime
    undone_at: datetime | None


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
    windows: bool = False


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
    """An enrolled second proof. `sealed` holds a TOTP secret, a phone number or an e-mail address; `hint` is what may be shown of it.

    What belongs to another kind of factor is None.
    """

    id: str
    account_id: str
    kind: Literal["totp", "passkey", "sms", "email"]
    label: str
    hint: str
    sealed: bytes | None = None
    last_step: int | None = None
    credential_digest: str | None = None
    credential_id: str | None = None
    public_key: bytes | None = None
    sign_count: int | None = None
    transports: str | None = None
    is_synced: bool | None = None
    aaguid: str | None = None
    enrolled_zone: str
    last_used_at: datetime | None
    created_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What somebody entitled hands over, used once. `account_id` is whom it serves; a workstation's has a zone instead."""

    digest: str
    purpose: Literal["enrol", "sign_in", "workstation", "approve"]
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
class Reset:
    """A gated act on somebody's means of sign-in, and how far it is. Its halves are known by keyed hashes; its moves are kept beside it.

    asked -> proven -> (approved) -> issued -> redeemed -> done; or it ends as expired, cancelled, stopped (by its person) or burnt (guessed at).
    `source` is whose password it is: local, or a directory's name. `barred`: keyed marks of the agents' browsers and devices, and their account ids:
    none of them redeems it. `sealed`: a directory's interim password, which nobody sees, until the person has chosen their own.
    """

    id: str
    account_id: str
    establishment_id: str
    kind: Literal["password", "factor", "both"]
    source: str
    mode: Literal["admin", "admin+email_code", "self"]
    state: Literal["asked", "proven", "approved", "issued", "redeemed", "done", "expired", "cancelled", "stopped", "burnt"]
    is_own: bool
    asked_by: str
    why: str
    asked_at: datetime
    expires_at: datetime
    proof_kind: Literal["call_back", "in_person", "manager"] | None = None
    proof_note: str = ""
    proof_by: str | None = None
    proof_at: datetime | None = None
    needs_second: bool = False
    second_by: str | None = None
    second_how: Literal["passkey", "factor", "sealed_pass"] | None = None
    second_at: datetime | None = None
    carried_by: str | None = None
    carried_at: datetime | None = None
    spoken_digest: str | None = None
    spoken_until: datetime | None = None
    sent_digest: str | None = None
    sent_channel: Literal["sms", "email", "witness"] | None = None
    sent_hint: str = ""
    sent_until: datetime | None = None
    stop_digest: str | None = None
    tries: int = 0
    barred: tuple[str, ...] = ()
    sealed: bytes | None = None
    redeemed_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything may still come of it."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetMove:
    """One thing that was done with a Reset."""

    id: str
    reset_id: str
    at: datetime
    move: str
    actor: str
    details: Mapping[str, Any]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCursor:
    """How far a stream of the audit trail has got: the last line and the last seal that the other side took, by id and number.

    `settled`, `seen`, `begun` are a Horizon (trail.py). `trouble` says why it stands still since `failing_since`; "" when it does not.
    """

    name: str
    line: int
    settled: int = 0
    seen: int = 0
    begun: int = 0
    seal: int = 0
    sent_at: datetime | None = None
    failing_since: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class AlertSum:
    """What alerts have counted of a kind at an establishment (`place`, "" for none) and not told yet: how often, when last, of whom (the first few).

    `told_at`: when a mail was last queued about it.
    """

    kind: str
    place: str
    count: int = 0
    at: datetime | None = None
    accounts: tuple[str, ...] = ()
    told_at: datetime | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Access taken from a person, once and for a cause: an Account suspended or ended, or what stood on one establishment lost.

    `written_at`: when the directory says that it was written there; `heard_at`: when we were told, or read it; both None when it was decided here.
    `decided_at`: written with the endings, in their transaction. Whom it was told to, and what they answered, is in the outbox under `id`.
    """

    id: str
    account_id: str
    kind: Literal["suspended", "ended", "attachment"]
    establishment_id: str | None
    cause: str
    actor: str
    connector: str | None
    subject: str | None
    written_at: datetime | None
    heard_at: datetime | None
    decided_at: datetime
    sessions: int
    grants: int
    notices: int
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryRun:
    """One pass of the canary through a directory's path. `account_id`: its Account, None when the run could not begin; `written_at`: the directory is
    about to take the change that disables; `heard_at` and `decided_at`: as the Cut says; `delivered_at`: our own application was told; `restored_at`:
    it is enabled again. `trouble`: what broke it; "" when nothing did.
    """

    id: str
    connector: str
    began_at: datetime
    account_id: str | None = None
    written_at: datetime | None = None
    heard_at: datetime | None = None
    decided_at: datetime | None = None
    delivered_at: datetime | None = None
    restored_at: datetime | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How far a directory was listened to. `cursor`: its own word for "up to here"; None: everything must be read first. `since`: in this state."""

    connector: str
    cursor: bytes | None
    state: Literal["reading", "live", "failing", "held"]
    trouble: str
    since: datetime
    heard_at: datetime | None = None
    changed_at: datetime | None = None
    reconciled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimResource:
    """What a source wrote to us itself of a person or a group. `name`: userName or displayName, folded; unique within the source and kind.

    `body` is what it said, under the names of RFC 7643, without a group's members; `version` is its ETag.
    """

    id: str
    connector: str
    kind: Literal["User", "Group"]
    name: str
    external_id: str | None
    is_active: bool
    body: Mapping[str, Any]
    version: int
    created_at: datetime
    changed_at: datetime
