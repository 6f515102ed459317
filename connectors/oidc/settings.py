"""What an operator writes of an upstream OpenID Provider. The docstring under a field is its documentation."""

from datetime import timedelta
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from connectors.oidc.presets import fill_in
from connectors.settings import Duration, LocalPath, Secret, Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
WELL_KNOWN = "/.well-known/openid-configuration"

ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]


class OidcClaims(Settings):
    """Where the provider's word on a person is found: names of claims; a point leads into an object (`realm_access.roles`), and into each object of a
    list. null: not read."""

    username: str | None = "preferred_username"
    """The name that the person signs in with there. Shown and searched; never what an Account is found by."""
    email: str | None = "email"
    """E-mail address; kept when the provider says `email_verified`. Never what an Account is found by."""
    given_name: str | None = "given_name"
    """Given name."""
    family_name: str | None = "family_name"
    """Family name."""
    number: str | None = None
    """A lasting number of the person: of the staff file, or national."""
    phone: str | None = None
    """Telephone number."""
    groups: tuple[str, ...] = ("groups",)
    """Groups, for mapping rules that say `group`."""
    roles: tuple[str, ...] = ("roles",)
    """Roles, for mapping rules that say `role` (or `group`)."""
    attributes: tuple[str, ...] = ()
    """More claims, for mapping rules that say `attributes`."""


class OidcSettings(Settings):
    """Any OpenID Provider."""

    preset: Literal["pro-sante-connect"] | None = None
    """A provider that is known: fills in the settings that are not written. `pro-sante-connect`: docs/pro-sante-connect.md."""
    environment: Literal["production", "sandbox"] | None = None
    """With a preset: which of its environments. null: production."""
    issuer: str
    """Its issuer, exactly as its metadata and tokens write it. https, except on this very machine. A preset knows it."""
    metadata_url: str | None = None
    """Where its metadata is. null: the issuer followed by /.well-known/openid-configuration."""
    client_id: str
    """Our client id there."""
    client_secret: Secret | None = Field(default=None, repr=False)
    """Our secret there: file:<path> or env:<NAME>. Or a key."""
    client_key: LocalPath | None = None
    """PEM file with our private key (private_key_jwt), whose public half is registered there: better than a secret."""
    client_key_id: str | None = None
    """The key's id (`kid`) there. null: its RFC 7638 thumbprint."""
    client_authentication: ClientAuthentication | None = None
    """How we prove ourselves at its token endpoint. null: private_key_jwt with a key, else what its metadata says."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What we ask; `openid` is always among them. Many providers give a refresh token only for `offline_access`."""
    acr_values: tuple[str, ...] = ()
    """Levels of assurance to ask for, the preferred one first; one that is given must be among them."""
    mfa_acr: tuple[str, ...] = ()
    """Levels that mean two factors there; asked for when a second factor is needed. Empty: its proof counts as one factor."""
    acr_request: Literal["acr_values", "claims"] = "acr_values"
    """How levels are asked for. acr_values: as a wish, which a session there may answer in silence with less (it is then refused here). claims: as an
    essential claim, where the provider takes the claims parameter; it must then ask the person for what is missing."""
    auth_time_required: bool = True
    """Refuse a sign-in that was to be a fresh one when the provider does not say when the person was there (auth_time). false: believe it."""
    userinfo: Literal["plain", "signed", "either", "none"] = "plain"
    """Whether its userinfo endpoint is asked, and what it may answer: JSON over TLS, a JWT that it signed, or either."""
    trusts_unverified_email: bool = False
    """Keep an e-mail address also where the provider does not say `email_verified`. Only where its administrators write the addresses."""
    keeps_refresh_token: bool = True
    """Ask the provider again about people who are signed in, with the refresh token that it gave. false: a sign-in is believed for
    standing.upstream_life."""
    claims: OidcClaims = OidcClaims()
    """Where its word on a person is found."""
    ca_file: LocalPath | None = None
    """PEM file of the authority that signed its certificate. null: this machine's authorities."""
    proxy: str | None = None
    """HTTP proxy to reach it through, for instance http://proxy.example.fr:3128. null: none; the environment's is not used."""
    timeout: Duration = timedelta(seconds=5)
    """How long it may take to accept a connection, and again to answer."""
    concurrency: int = Field(default=8, ge=1, le=64)
    """Requests under way at once, per server process."""
    failures: int = Field(default=5, ge=1)
    """After so many failures in a row it is left alone for `pause`."""
    pause: Duration = timedelta(seconds=10)
    """How long it is left alone; then one request tries."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, written: Any) -> Any:
        return fill_in(written) if isinstance(written, dict) else written

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, url in (("issuer", self.issuer), ("metadata_url", self.metadata_url)):
            if url is not None and not is_safe(url):
                raise ValueError(f"`{name}` is an https address, without ? or #: {url}")
        if self.proxy is not None and (not is_address(self.proxy) or not self.proxy.startswith(("http://", "https://"))):
            raise ValueError("`proxy` is an address such as http://proxy.example.fr:3128")
        if (self.client_secret is None) == (self.client_key is None):
            raise ValueError("one of `client_secret` and `client_key` is needed")
        if self.client_authentication is not None and (self.client_authentication == "private_key_jwt") != (self.client_key is not None):
            raise ValueError("`client_authentication: private_key_jwt` goes with `client_key`, the others with `client_secret`")
        if "openid" not in self.scopes:
            raise ValueError("`scopes` must hold openid")
        return self

    @property
    def document_url(self) -> str:
        """Where its metadata is."""
        return self.metadata_url or self.issuer.removesuffix("/") + WELL_KNOWN


def is_address(url: str) -> bool:
    """Whether it is the address of a server, without anybody's name in it, query or fragment."""
    try:
        parts = urlsplit(url)
        has_server = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return has_server and parts.username is None and not set("#? ") & set(url) and url.isprintable()


def is_safe(url: str) -> bool:
    """Whether an address of the provider may be used: https, or http to this very machine."""
    return is_address(url) and (url.startswith("https://") or (url.startswith("http://") and urlsplit(url).hostname in LOOPBACK))
