"""The settings: their types, safe defaults and meaning. The docstring under a field is its documentation (docs/reference/configuration.md).

Owns what one section alone can say; rules between sections are in checks.py. ClientSettings is also the shape a client is kept in by the store.
"""

from datetime import time, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from connectors.settings import Duration, LocalPath, Secret, Settings
from idp.config.alerts import AlertSettings
from idp.config.audit import AuditSettings
from idp.config.console import ConsoleSettings
from idp.config.database import DatabaseSettings
from idp.config.directories import AnyDirectory, AnyProvider, StandingSettings, SyncSettings, WindowsSettings
from idp.config.ephemeral import EphemeralSettings, WorkSettings
from idp.config.factors import FactorSettings
from idp.config.messages import MailSettings, SmsSettings
from idp.config.operators import OperatorSettings
from idp.config.policy import PolicySettings
from idp.config.resets import ResetSettings
from idp.config.scim import ScimSettings
from idp.config.signals import LOOPBACK, EgressSettings, SignalSettings
from idp.config.values import (
    ApplicationRole,
    ClientId,
    ListenAddress,
    Network,
    ProfileName,
    Slug,
    TimeZoneName,
    WholeDays,
    is_loopback_host,
)
from idp.config.zones import ZoneSettings
from policies.sessions import SessionLimits

PROFILES = (
    "aide",
    "nurse",
    "doctor",
    "coordinating_doctor",
    "psychologist",
    "therapist",
    "pharmacist",
    "activity_leader",
    "administrative",
    "reception",
    "manager",
    "technician",
    "external",
    "it",
)


class Section(Settings):
    """A part of the file that is ours."""


class ServerSettings(Section):
    """How the program listens."""

    listen: ListenAddress = "127.0.0.1:8400"
    """Address and port of the public listener; put a TLS proxy in front."""
    admin_listen: ListenAddress = "127.0.0.1:8410"
    """Address and port of the admin listener (/metrics, /healthz); keep it private."""
    workers: int = Field(default=2, ge=1, le=64)
    """Server processes."""
    threads: int = Field(default=8, ge=1, le=128)
    """Threads in each server process."""
    backlog: int = Field(default=1024, ge=16, le=65535)
    """Connections that may wait: at peak hour people queue rather than being refused."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks whose X-Forwarded-For or Forwarded headers are believed. Empty: none."""
    hash_concurrency: int = Field(default=1, ge=1, le=64)
    """Password hashes computed at once in each process, each on a thread that keeps 19 MiB. More than the cores there are gains nothing."""
    stop_timeout: Duration = timedelta(seconds=30)
    """At a stop, how long requests that have begun may take to finish."""


class TokenSettings(Section):
    """Lives of codes and tokens."""

    code_life: Duration = timedelta(seconds=60)
    """Authorization codes."""
    access_token_life: Duration = timedelta(minutes=5)
    """Access tokens (JWT, RFC 9068)."""
    id_token_life: Duration = timedelta(minutes=5)
    """ID tokens."""
    refresh_retry_window: Duration = timedelta(seconds=10)
    """A confidential client that lost the answer to a refresh gets the same answer again for this long."""
    offline_life: Duration = timedelta(days=30)
    """Longest life of an offline Grant, where a client does not set its own."""
    resource: str | None = None
    """The audience of access tokens when no resource is asked. Default: the issuer."""


class SessionSettings(Section):
    """How long a signed-in browser stays so."""

    idle: Duration = timedelta(minutes=30)
    """Signed out after this long without a page of ours or an authorization."""
    shared_idle: Duration = timedelta(minutes=10)
    """The same in a shared zone and on a shared workstation: between 1m and 1h, and not longer than `idle`."""
    absolute: Duration = timedelta(hours=14)
    """Signed out after this long whatever happens: one shift with its handover."""
    concurrent: int | None = Field(default=5, ge=1, le=100)
    """Sessions a person may hold at once; the next sign-in offers to close the earliest. null: no limit."""
    interaction_life: Duration = timedelta(minutes=30)
    """How long a sign-in page may stay open."""

    @property
    def limits(self) -> SessionLimits:
        """As policies/sessions.py judges by them."""
        return SessionLimits(self.idle, self.absolute, self.concurrent, shared_idle=self.shared_idle)


class LockoutSettings(Section):
    """Slowing down guesses."""

    mode: Literal["timed", "admin", "timed_then_admin"] = "timed"
    """timed: growing waits; admin: locked after 10 failures until `vestibule account unblock`; timed_then_admin: waits, then locked at the daily cap.
    A lock from outside closes outside alone."""
    waits: tuple[Duration, ...] = tuple(timedelta(minutes=m) for m in (1, 2, 4, 8, 15, 30))
    """The wait after each failure, from `free_tries` on; the last one repeats."""
    free_tries: int = Field(default=5, ge=3, le=10)
    """The failure at which waiting begins."""
    daily_cap: int = Field(default=25, ge=10, le=100)
    """Failures in 24 hours after which the account waits a day (or an administrator). Outside uses up three fifths of them at most."""
    directory_threshold: int = Field(default=5, ge=2, le=100)
    """Wrong passwords after which a directory locks people, where it does not let us read that. Tries of ours stay below."""
    inside_reserve: int = Field(default=2, ge=1, le=50)
    """How many of the tries that a directory leaves are kept for trusted zones and known devices: strangers on the internet cannot use them up."""
    spraying_names: int = Field(default=10, ge=3, le=1000)
    """Different identifiers that may fail from one address outside within 15 minutes, before it waits. Trusted zones do not wait; 20 times as many
    are reported."""
    spraying_names_everywhere: int = Field(default=200, ge=20, le=100_000)
    """The same over all addresses outside; then each of them may fail with two."""
    address_failures: int = Field(default=100, ge=20, le=10_000)
    """Failures from one address outside within 15 minutes after which it waits; 20 times as many from a trusted zone."""


class PasswordSettings(Section):
    """Local passwords. Lengths and entropy are the CNIL's and are not settings."""

    block_list: LocalPath | None = None
    """A text file of words that passwords may not be made of, one a line, added to the French list that comes with the program."""
    max_age: Duration | None = Field(default=None, ge=timedelta(days=30), le=timedelta(days=1095))
    """After this long a local password must be changed at the next sign-in. null: never, as the CNIL and the ANSSI advise of ordinary users."""


class AttachmentSettings(Section):
    """When an attachment with a last day stops opening doors, in the establishment's time zone."""

    closes_at: time = time(12)
    """Time of day, for instance "12:00"."""
    closes_days_after: int = Field(default=1, ge=0, le=7)
    """Days after the last day. 1 with noon lets the night shift of the last day finish; 0 with midnight would cut it."""


class KeySettings(Section):
    """Signing keys."""

    rotate_every: Duration | None = timedelta(days=90)
    """A new signing key is taken into use this often, without a token failing. null: only `vestibule keys rotate`."""


class RetentionSettings(Section):
    """How long what has ended is kept before the sweep deletes it. Audit lines are purged by `audit`."""

    ended: Duration = timedelta(days=30)
    """Ended Sessions and Grants, with their codes and refresh tokens; told notices. Until then a second use is recognised."""
    cuts: Duration = Field(default=timedelta(days=1096), ge=timedelta(days=30), le=timedelta(days=1830))
    """Certificates of cuts, with what applications answered: three years, for the day when somebody asks whether a departure was acted on."""


class LogoutSettings(Section):
    """Telling applications (OpenID Connect Back-Channel Logout 1.0)."""

    timeout: Duration = timedelta(seconds=5)
    """How long an application has to answer one logout token."""
    retries: tuple[Duration, ...] = tuple(timedelta(seconds=s) for s in (1, 5, 30, 120, 600, 3600, 21600))
    """Waits before each new try; after the last the notice is abandoned and an alarm is raised."""


class PageSettings(Section):
    """What people see."""

    default_language: Literal["fr", "en"] = "fr"
    """Language when the browser asks for none that we speak."""
    product_name: str = "Vestibule"
    """Name shown where no establishment is known yet."""
    maintenance: str | None = None
    """A notice shown on the sign-in page, for instance a planned maintenance. Plain text."""
    support: str | None = None
    """How to reach the group's support when the establishment's contact cannot help. Plain text."""
    time_zone: TimeZoneName = "Europe/Paris"
    """Time zone of times shown where no establishment is known."""


class ContactSettings(Section):
    """The local IT contact, shown on pages."""

    name: str = Field(default="", max_length=120)
    """Name."""
    phone: str = Field(default="", max_length=40)
    """Phone."""
    email: str = Field(default="", max_length=254)
    """E-mail."""


class EstablishmentSettings(Section):
    """A care home."""

    slug: Slug
    """Short name in URLs and tokens; never changes."""
    name: str = Field(min_length=1, max_length=120)
    """Full name."""
    finess: str | None = Field(default=None, pattern=r"^[0-9AB]{9}$")
    """FINESS number, nine characters."""
    siret: str | None = Field(default=None, pattern=r"^[0-9]{14}$")
    """SIRET number, fourteen digits."""
    time_zone: TimeZoneName = "Europe/Paris"
    """IANA time zone: first and last days are counted in it."""
    contact: ContactSettings = ContactSettings()
    """Local IT contact, shown on the sign-in page and on refusals."""
    logo: LocalPath | None = None
    """PNG or SVG file of at most 64 kB, relative to this file."""
    regulatory_level: Literal["tolerant", "rie-2026", "psc"] = "tolerant"
    """What a sign-in must hold. tolerant: a password alone is enough in a trusted zone; rie-2026: two factors, even there; psc: Pro Santé Connect."""
    windows_approval: str = Field(default="", max_length=300)
    """Who approved the Windows session of this establishment's computers as a means of identification, and when. Empty: nobody."""
    remember_device: WholeDays = timedelta(0)
    """How long a second factor given in a browser spares the gesture in that browser, in days. 0d: never."""
    enrolment_grace: WholeDays = timedelta(0)
    """How long a person without a second factor is spared in a trusted zone, in days; then it must be enrolled there. 0d: at once."""
    zones: tuple[ZoneSettings, ...] = ()
    """Its places on the network; `vestibule zone add` adds others. None: everywhere is outside."""


class ClientSettings(Section):
    """An application that asks us to sign people in. The same shape is kept in the store."""

    client_id: ClientId
    """Identifier of the application."""
    name: str = Field(min_length=1, max_length=120)
    """Name shown to people."""
    secret: Secret | None = Field(default=None, repr=False)
    """Client secret (file: or env:); at least 32 characters of randomness. `vestibule client add` makes one."""
    token_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] = "client_secret_basic"  # noqa: S105 - a name, not a secret
    """How the application proves itself; `none` makes it a public client, for which PKCE is always required."""
    jwks: dict[str, Any] | None = None
    """Public keys of the application (private_key_jwt)."""
    application_type: Literal["web", "native"] = "web"
    """native: loopback redirect URIs match on any port (RFC 8252)."""
    redirect_uris: tuple[str, ...] = ()
    """Exact redirect URIs."""
    post_logout_redirect_uris: tuple[str, ...] = ()
    """Exact URIs to which a sign-out may return."""
    backchannel_logout_uri: str | None = None
    """Where logout tokens are sent."""
    backchannel_logout_session_required: bool = True
    """Whether logout tokens carry the sid."""
    grant_types: tuple[Literal["authorization_code", "refresh_token", "client_credentials"], ...] = ("authorization_code",)
    """Grants the application may use."""
    scopes: tuple[str, ...] = ("openid", "profile", "email", "establishment")
    """Scopes it may ask."""
    require_pkce: bool = True
    """false only for a confidential client that cannot send PKCE."""
    require_consent: bool = False
    """Ask the person before giving this application anything."""
    resources: tuple[str, ...] = ()
    """Resource indicators it may ask (RFC 8707)."""
    audiences: tuple[str, ...] = ()
    """Audiences that this application answers for as a protected API: introspection tells it about access tokens made for them (RFC 7662)."""
    establishments: tuple[Slug, ...] = ()
    """Establishments it serves; empty: all."""
    profiles: tuple[ProfileName, ...] = ()
    """Profiles it serves; empty: all."""
    roles: dict[ProfileName, tuple[ApplicationRole, ...]] = {}
    """What each profile is called there: its roles of that application. A profile that is not named has none. Empty: the profile is the role."""
    default_establishment: Slug | None = None
    """The establishment to show before anybody is known."""
    id_token_signed_response_alg: Literal["RS256", "ES256"] = "RS256"  # noqa: S105 - a name, not a secret
    """Signature of ID tokens and logout tokens."""
    access_token_signed_response_alg: Literal["ES256", "RS256"] = "ES256"  # noqa: S105 - a name, not a secret
    """Signature of access tokens."""
    userinfo_signed_response_alg: Literal["RS256", "ES256"] | None = None
    """Set to receive userinfo as a signed JWT instead of JSON."""
    default_max_age: Duration | None = None
    """Ask for a new proof when the last is older than this."""
    offline_life: Duration | None = None
    """Longest life of this client's offline Grants."""

    @property
    def is_public(self) -> bool:
        """Whether the application can keep no secret."""
        return self.token_endpoint_auth_method == "none"  # noqa: S105 - a name, not a secret


class Config(Section):
    """The whole file."""

    issuer: str
    """The one public URL of this deployment, https, without a trailing slash. It never changes: applications and accounts depend on it."""
    master_key: Secret = Field(repr=False)
    """Key that seals what the database holds, kept outside it: file:<path> or env:<NAME>. `vestibule keys new-master` makes one."""
    include: tuple[str, ...] = ()
    """Other YAML files, relative to this one; their lists are added, their keys may not repeat. A pattern (`homes/*.yaml`) stands for the files that
    it fits, in the order of their names."""
    demo: bool = False
    """Allow demonstration accounts; refused on an issuer that is not loopback."""
    server: ServerSettings = ServerSettings()
    """How the program listens."""
    database: DatabaseSettings = DatabaseSettings()
    """Where lasting things are kept."""
    ephemeral: EphemeralSettings = EphemeralSettings()
    """Where sign-ins in progress and counters are kept."""
    tokens: TokenSettings = TokenSettings()
    """Lives of codes and tokens."""
    sessions: SessionSettings = SessionSettings()
    """How long a signed-in browser stays so."""
    lockout: LockoutSettings = LockoutSettings()
    """Slowing down guesses."""
    passwords: PasswordSettings = PasswordSettings()
    """Local passwords."""
    console: ConsoleSettings = ConsoleSettings()
    """The administrators' console."""
    operators: tuple[OperatorSettings, ...] = ()
    """Who may run which commands. None: whoever can run them may all, as the operating system lets them."""
    resets: ResetSettings = ResetSettings()
    """Resets: who may begin one, when two people are needed, how long its halves live."""
    policy: PolicySettings = PolicySettings()
    """Who gets in with which proofs."""
    factors: FactorSettings = FactorSettings()
    """Second factors."""
    sms: SmsSettings = SmsSettings()
    """Codes sent to telephones."""
    mail: MailSettings = MailSettings()
    """Mail to people: codes, and what changes in their means of signing in."""
    attachments: AttachmentSettings = AttachmentSettings()
    """When attachments close."""
    profiles: tuple[ProfileName, ...] = PROFILES
    """The profiles an attachment may have; applications receive them as `roles`, by their own names where their registration gives them."""
    keys: KeySettings = KeySettings()
    """Signing keys."""
    retention: RetentionSettings = RetentionSettings()
    """How long what has ended is kept."""
    audit: AuditSettings = AuditSettings()
    """The audit trail: how long it is kept, where it is streamed."""
    alerts: AlertSettings = AlertSettings()
    """Mails to the establishments' contacts and the DPO about what they should look at."""
    logout: LogoutSettings = LogoutSettings()
    """Telling applications."""
    signals: SignalSettings = SignalSettings()
    """Telling applications more: Shared Signals streams."""
    egress: EgressSettings = EgressSettings()
    """Where applications may be told."""
    work: WorkSettings = WorkSettings()
    """The jobs that no request waits for."""
    pages: PageSettings = PageSettings()
    """What people see."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Detail of the structured log on standard error."""
    directories: tuple[AnyDirectory, ...] = ()
    """Directories that people sign in with, asked in this order."""
    providers: tuple[AnyProvider, ...] = ()
    """Upstream providers that people are sent to: Entra ID, Pro Santé Connect, any OpenID Provider."""
    windows: tuple[WindowsSettings, ...] = ()
    """The Windows session: Kerberos, one entry a realm."""
    scim: tuple[ScimSettings, ...] = ()
    """Sources that write their people and groups to us themselves (SCIM 2.0, at /scim/v2)."""
    standing: StandingSettings = StandingSettings()
    """How long a directory's word is believed."""
    sync: SyncSettings = SyncSettings()
    """Reading a whole directory."""
    establishments: tuple[EstablishmentSettings, ...] = ()
    """Care homes; `vestibule establishment add` adds others."""
    clients: tuple[ClientSettings, ...] = ()
    """Applications; `vestibule client add` adds others."""

    @property
    def is_loopback(self) -> bool:
        """Whether the issuer is on this very machine (demonstration, development)."""
        return is_loopback_host(urlsplit(self.issuer).hostname or "")

    @property
    def reachable_networks(self) -> tuple[Network, ...]:
        """Where applications may be told, beside public addresses: on a trial, this very machine too."""
        return (*self.egress.networks, *(LOOPBACK if self.is_loopback else ()))

    @property
    def uses_https(self) -> bool:
        """Whether the issuer is served over HTTPS: decides Secure cookies and HSTS."""
        return self.issuer.startswith("https://")
