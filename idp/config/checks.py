"""What no single field can tell: rules between settings, and the registration of a client whoever writes it (the file or the command line).

Pure functions on the models; each yields Findings. Sources: RFC 6749 section 4.1.2, RFC 8252 section 7, RFC 9700 section 4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from idp.config.alerts import check_alerts
from idp.config.audit import check_audit
from idp.config.connector_checks import check_connectors
from idp.config.ephemeral import redis_address
from idp.config.findings import Finding
from idp.config.message_checks import check_messages
from idp.config.models import ClientSettings, Config, EstablishmentSettings
from idp.config.operators import check_operators
from idp.config.policy import check_policy
from idp.config.reset_checks import check_resets
from idp.config.scim_checks import check_scim
from idp.config.signals import SCOPE_MANAGE, SCOPE_READ
from idp.config.values import is_loopback_host
from idp.config.zone_checks import check_levels, check_zones
from policies.egress import may_reach

KNOWN_SCOPES = frozenset(
    {
        "openid",
        "profile",
        "email",
        "phone",
        "address",
        "offline_access",
        "establishment",
        "establishments",
        "scim",
        SCOPE_READ,
        SCOPE_MANAGE,
    }
)
LOCAL_CONNECTORS = frozenset({"local"})  # what needs no directory
LOGO_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
MAX_LOGO_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Parts:
    """What could be read of a file, so that the rest is still checked when one setting is wrong.

    `config` holds defaults where a section could not be read; `broken` names its top-level keys that could not. Establishments and clients
    are by their index in the file.
    """

    config: Config
    broken: frozenset[str]
    establishments: Mapping[int, EstablishmentSettings]
    clients: Mapping[int, ClientSettings]


def cross_check(parts: Parts) -> Iterable[Finding]:
    """Every rule between settings."""
    config = parts.config
    if "issuer" not in parts.broken:
        yield from _check_issuer(config)
    if "master_key" not in parts.broken and len(config.master_key) < 32:
        yield Finding("error", "master_key", "must hold at least 32 characters of randomness (vestibule keys new-master makes one)")
    yield from _check_limits(config)
    yield from _check_ephemeral(config)
    yield from _check_establishments(parts)
    yield from check_zones(parts.establishments, config.server.trusted_proxies)
    if not config.demo:
        yield from check_levels(parts.establishments.values())
    yield from _check_clients(parts)
    yield from check_connectors(config, tuple(parts.establishments.values()))
    yield from check_scim(config, tuple(parts.establishments.values()))
    yield from check_messages(config)
    yield from check_audit(config.audit)
    if not config.demo:
        yield from check_alerts(config)
    yield from check_operators(config)
    yield from check_policy(config.policy, _known(parts))
    yield from check_resets(
        config.resets, known=_known(parts), directories=[one.name for one in config.directories], has_mail=config.mail.is_set
    )


def _known(parts: Parts) -> dict[str, frozenset[str]]:
    """What a rule may name, by criterion. Where the file holds none of a kind, all may have been added by command."""
    establishments = tuple(parts.establishments.values())
    held = {
        "establishment": frozenset(establishment.slug for establishment in establishments),
        "client": frozenset(client.client_id for client in parts.clients.values()),
        "zone": frozenset(f"{establishment.slug}/{zone.name}" for establishment in establishments for zone in establishment.zones),
        "profile": frozenset(parts.config.profiles),
        "connector": frozenset(directory.name for directory in parts.config.directories) | LOCAL_CONNECTORS,
    }
    return {name: words for name, words in held.items() if words}


def _check_issuer(config: Config) -> Iterable[Finding]:
    try:
        parts = urlsplit(config.issuer)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        yield Finding("error", "issuer", f"{config.issuer!r} is not a URL")
        return
    if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
        yield Finding("error", "issuer", "must be a URL such as https://connexion.example.fr")
        return
    if parts.scheme == "http" and not config.is_loopback:
        yield Finding("error", "issuer", "must use https; http is only for this machine")
    if parts.path or parts.query or parts.fragment or config.issuer != config.issuer.lower():
        yield Finding("error", "issuer", "must be in lower case, with no path, no trailing slash, no query and no fragment")
    if config.demo and not config.is_loopback:
        yield Finding("error", "demo", "demonstration accounts are only for an issuer on this machine")
    if not config.demo and config.is_loopback:
        yield Finding("warning", "issuer", "the issuer is on this machine: nobody else can sign in")
    behind_proxy = is_loopback_host(config.server.listen.rpartition(":")[0])
    if not config.is_loopback and behind_proxy and not config.server.trusted_proxies:
        yield Finding(
            "warning",
            "server.trusted_proxies",
            "the listener is on this machine, so a proxy is in front: name it (127.0.0.1), or everybody will seem to come from it",
        )


def _check_limits(config: Config) -> Iterable[Finding]:
    if config.sessions.idle > config.sessions.absolute:
        yield Finding("error", "sessions.idle", "the idle limit is longer than the absolute one")
    if not timedelta(minutes=1) <= config.sessions.shared_idle <= timedelta(hours=1):
        yield Finding("error", "sessions.shared_idle", "between 1m and 1h: people follow one another at a shared workstation")
    elif config.sessions.shared_idle > config.sessions.idle and "shared_idle" in config.sessions.model_fields_set:
        yield Finding("error", "sessions.shared_idle", "longer than sessions.idle")
    for path, value in (
        ("sessions.idle", config.sessions.idle),
        ("sessions.absolute", config.sessions.absolute),
        ("sessions.interaction_life", config.sessions.interaction_life),
        ("tokens.code_life", config.tokens.code_life),
        ("tokens.access_token_life", config.tokens.access_token_life),
        ("tokens.id_token_life", config.tokens.id_token_life),
        ("tokens.offline_life", config.tokens.offline_life),
        ("logout.timeout", config.logout.timeout),
    ):
        if value < timedelta(seconds=1):
            yield Finding("error", path, "must be at least 1s")
    if config.sessions.idle > timedelta(hours=2):
        yield Finding("warning", "sessions.idle", "long for one's own computer: 30m is usual")
    if config.tokens.code_life > timedelta(minutes=10):
        yield Finding("error", "tokens.code_life", "codes live at most 10m (RFC 6749 section 4.1.2)")
    if config.tokens.access_token_life > timedelta(hours=1):
        yield Finding("error", "tokens.access_token_life", "at most 1h: a person who left keeps access for as long")
    if config.tokens.refresh_retry_window > timedelta(minutes=1):
        yield Finding("error", "tokens.refresh_retry_window", "at most 1m: the window weakens the detection of stolen tokens")
    if not config.lockout.waits or any(wait <= timedelta(0) for wait in config.lockout.waits):
        yield Finding("error", "lockout.waits", "there is at least one wait, and each is longer than nothing")
    elif list(config.lockout.waits) != sorted(config.lockout.waits):
        yield Finding("error", "lockout.waits", "the waits never get shorter")
    if config.directories and config.lockout.inside_reserve >= config.lockout.directory_threshold - 1:
        yield Finding(
            "warning",
            "lockout.inside_reserve",
            "leaves outside no more than one try below directory_threshold: people in new places will often have to wait",
        )
    if config.keys.rotate_every is not None and config.keys.rotate_every < timedelta(days=1):
        yield Finding("error", "keys.rotate_every", "at least 1d: applications keep our keys for hours")
    if config.server.listen == config.server.admin_listen:
        yield Finding("error", "server.admin_listen", "must differ from server.listen")
    if not is_loopback_host(config.server.admin_listen.rpartition(":")[0]):
        yield Finding("warning", "server.admin_listen", "metrics are readable by whoever reaches this address: keep it private")
    if (block_list := config.passwords.block_list) is not None and not block_list.is_file():
        yield Finding("error", "passwords.block_list", f"cannot read {block_list}")


def _check_ephemeral(config: Config) -> Iterable[Finding]:
    if config.database.url == config.ephemeral.url:
        yield Finding("error", "ephemeral.url", "must be another file than database.url")
    if config.ephemeral.is_embedded:
        if not config.database.url.startswith("sqlite:"):
            yield Finding("warning", "ephemeral.url", "a file is for one host: with several, sign-ins are lost between them; use Redis")
        return
    address = redis_address(config.ephemeral.url)
    if not address.uses_tls and not all(is_loopback_host(host) for host, _ in address.servers):
        yield Finding("warning", "ephemeral.url", "goes over the network in clear: use rediss://, or rediss+sentinel://")


def _check_establishments(parts: Parts) -> Iterable[Finding]:
    seen: set[str] = set()
    for index, establishment in parts.establishments.items():
        at = f"establishments[{index}]"
        if establishment.slug in seen:
            yield Finding("error", f"{at}.slug", f"{establishment.slug} is already used")
        seen.add(establishment.slug)
        if establishment.logo is not None:
            yield from _check_logo(establishment, f"{at}.logo")
        contact = establishment.contact
        if not (contact.phone or contact.email):
            yield Finding("warning", f"{at}.contact", "no phone and no e-mail: people who cannot sign in are told to call nobody")


def _check_logo(establishment: EstablishmentSettings, path: str) -> Iterable[Finding]:
    logo = establishment.logo
    if logo is None:
        return
    if logo.suffix.lower() not in LOGO_TYPES:
        yield Finding("error", path, "must be a .png or .svg file")
    try:
        size = logo.stat().st_size
    except OSError as error:
        yield Finding("error", path, f"cannot read {logo}: {error.strerror}")
        return
    if size > MAX_LOGO_BYTES:
        yield Finding("error", path, f"{size} bytes: at most {MAX_LOGO_BYTES}")


def _check_clients(parts: Parts) -> Iterable[Finding]:
    seen: set[str] = set()
    slugs = {establishment.slug for establishment in parts.establishments.values()}
    for index, client in parts.clients.items():
        at = f"clients[{index}]"
        if client.client_id in seen:
            yield Finding("error", f"{at}.client_id", f"{client.client_id} is already used")
        seen.add(client.client_id)
        for finding in check_client(client):
            yield Finding(finding.severity, f"{at}.{finding.path}", finding.message)
        if client.token_endpoint_auth_method.startswith("client_secret") and client.secret is None:
            yield Finding("error", f"{at}.secret", "this application proves itself by a secret: give it as file:<path> or env:<NAME>")
        for finding in check_reach(client, parts.config):
            yield Finding(finding.severity, f"{at}.{finding.path}", finding.message)
        for number, slug in enumerate(client.establishments):
            if slug not in slugs:
                yield Finding("warning", f"{at}.establishments[{number}]", f"{slug} is not in this file: right only if added by command")
        if client.default_establishment is not None and client.default_establishment not in slugs:
            path = f"{at}.default_establishment"
            yield Finding("warning", path, f"{client.default_establishment} is not in this file: right only if added by command")
        for number, profile in enumerate(client.profiles):
            if profile not in parts.config.profiles:
                yield Finding("error", f"{at}.profiles[{number}]", f"{profile} is not one of `profiles`: nobody could use the application")
        for finding in check_roles(client, parts.config.profiles):
            yield Finding(finding.severity, f"{at}.{finding.path}", finding.message)


def check_reach(client: ClientSettings, config: Config) -> Iterable[Finding]:
    """Whether an application can be told where it says, as far as that is known here: a name is looked up at each delivery."""
    host = urlsplit(client.backchannel_logout_uri or "").hostname or ""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return
    if not may_reach(address, config.reachable_networks):
        message = "is a private address outside egress.networks: the application would never be told"
        yield Finding("warning", "backchannel_logout_uri", message)


def check_roles(client: ClientSettings, profiles: Iterable[str]) -> Iterable[Finding]:
    """What is wrong with the roles that profiles have in an application: none may be taken for those of another profile."""
    known = {profile.casefold(): profile for profile in profiles}
    for profile, roles in client.roles.items():
        if profile not in known.values():
            yield Finding("error", f"roles.{profile}", f"{profile} is not one of `profiles`")
        elif client.profiles and profile not in client.profiles:
            yield Finding("warning", f"roles.{profile}", f"the application is not open to {profile}: nobody gets these roles")
        for number, role in enumerate(roles):
            if (other := known.get(role.casefold())) is not None and other != profile:
                yield Finding(
                    "error", f"roles.{profile}[{number}]", f"{role} is another profile: nobody is given the role of one they do not have"
                )
    for profile in client.profiles if client.roles else ():
        if profile not in client.roles:
            yield Finding("warning", "roles", f"{profile} has no role there: write `{profile}: []` when that is meant")


def check_client(client: ClientSettings) -> Iterable[Finding]:
    """What is wrong with a client's registration; paths are relative to the client."""
    if client.token_endpoint_auth_method.startswith("client_secret") and client.secret is not None and len(client.secret) < 32:
        yield Finding("error", "secret", "must hold at least 32 random characters")
    if not client.token_endpoint_auth_method.startswith("client_secret") and client.secret is not None:
        yield Finding("error", "secret", f"has no use with {client.token_endpoint_auth_method}")
    if client.token_endpoint_auth_method == "private_key_jwt":  # noqa: S105 - a method's name
        yield from _check_keys(client)
    if client.is_public and "client_credentials" in client.grant_types:
        yield Finding("error", "grant_types", "a public client cannot use client_credentials")
    if client.is_public and not client.require_pkce:
        yield Finding("error", "require_pkce", "a public client always sends PKCE")
    if not client.grant_types:
        yield Finding("error", "grant_types", "at least one is needed")
    if "authorization_code" in client.grant_types and not client.redirect_uris:
        yield Finding("error", "redirect_uris", "authorization_code needs at least one redirect URI")
    if "refresh_token" in client.grant_types and "authorization_code" not in client.grant_types:
        yield Finding("error", "grant_types", "refresh_token comes after authorization_code")
    if "offline_access" in client.scopes and "refresh_token" not in client.grant_types:
        yield Finding("error", "scopes", "offline_access needs refresh_token among grant_types")
    if not client.require_pkce and not client.is_public:
        yield Finding("warning", "require_pkce", "off: this application is open to code injection; switch it on when it can")
    for number, scope in enumerate(client.scopes):
        if scope not in KNOWN_SCOPES and "authorization_code" in client.grant_types and "client_credentials" not in client.grant_types:
            yield Finding("warning", f"scopes[{number}]", f"{scope} is not a scope that gives claims (check its spelling)")
    is_native = client.application_type == "native"
    for index, uri in enumerate(client.redirect_uris):
        yield from _check_uri(uri, f"redirect_uris[{index}]", is_native=is_native)
    for index, uri in enumerate(client.post_logout_redirect_uris):
        yield from _check_uri(uri, f"post_logout_redirect_uris[{index}]", is_native=is_native)
    if not {SCOPE_MANAGE, SCOPE_READ}.isdisjoint(client.scopes) and "client_credentials" not in client.grant_types:
        yield Finding(
            "error", "grant_types", f"{SCOPE_MANAGE} and {SCOPE_READ} go with client_credentials: the application asks for itself"
        )
    if client.backchannel_logout_uri:
        yield from _check_uri(client.backchannel_logout_uri, "backchannel_logout_uri", is_native=False)


def _check_keys(client: ClientSettings) -> Iterable[Finding]:
    keys = (client.jwks or {}).get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        yield Finding("error", "jwks", "private_key_jwt needs the application's public keys, as a JWK set: {keys: [...]}")
        return
    for index, key in enumerate(keys):
        if key.get("kty") not in {"RSA", "EC"}:
            yield Finding("error", f"jwks.keys[{index}].kty", "RSA or EC")
        if {"d", "p", "q", "k"} & key.keys():
            yield Finding("error", f"jwks.keys[{index}]", "this is a private key: only the application may know it")


def _check_uri(uri: str, path: str, *, is_native: bool) -> Iterable[Finding]:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        yield Finding("error", path, f"{uri!r} is not a URL")
        return
    if parts.fragment or "#" in uri:
        yield Finding("error", path, "must have no fragment")
    if "*" in uri or any(ord(character) <= 32 or ord(character) > 126 for character in uri):
        yield Finding("error", path, "must be one exact URL: no wildcard, no space, ASCII only")
    if parts.scheme in {"http", "https"} and not parts.hostname:
        yield Finding("error", path, "must name a host")
    elif parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        yield Finding("error", path, "must use https (http is only for this machine)")
    elif parts.scheme not in {"http", "https"} and not (is_native and "." in parts.scheme):
        yield Finding("error", path, "must be https, or a reverse-domain scheme for a native application")
