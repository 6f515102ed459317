"""An application of the world: begins sign-ins with PKCE, exchanges codes, checks every JWT with joserfc, calls the machine endpoints.

It reads the endpoints from the discovery document, as a stranger's software would. Times are the world's, not the machine's.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from idp.clock import Clock
from tests.support.browser import Callback
from tests.support.cast import Registered

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SIGNATURES = ["RS256", "ES256"]
BACKCHANNEL_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token endpoint's good answer; `claims` are those of the checked ID token (empty when none came)."""

    answer: dict[str, Any]
    claims: dict[str, Any] = field(default_factory=dict)

    @property
    def access(self) -> str:
        """The access token."""
        return str(self.answer["access_token"])

    @property
    def refresh(self) -> str:
        """The refresh token."""
        return str(self.answer["refresh_token"])

    @property
    def identity(self) -> str:
        """The ID token."""
        return str(self.answer["id_token"])


@dataclass(slots=True)
class Begun:
    """A sign-in that was begun: what the callback is checked against."""

    state: str
    nonce: str
    verifier: str | None
    redirect_uri: str


class RelyingParty:
    """One application."""

    def __init__(self, registered: Registered, machine: httpx.Client, issuer: str, *, clock: Clock) -> None:
        self.registered = registered
        self.client_id = registered.client_id
        self.issuer = issuer
        self.machine = machine
        self.clock = clock
        self.begun: Begun | None = None
        self._metadata: dict[str, Any] | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The discovery document."""
        if self._metadata is None:
            response = self.machine.get("/.well-known/openid-configuration")
            assert response.status_code == 200, response.text
            self._metadata = response.json()
        return self._metadata

    def keys(self) -> KeySet:
        """The signing keys, fetched again each time: rotation must not break us."""
        return KeySet.import_key_set(self.machine.get(self.metadata["jwks_uri"]).json())

    def begin(self, **parameters: str | None) -> str:
        """The authorization URL of a new sign-in, with PKCE. A parameter given as None is left out; code_challenge=None: no PKCE at all."""
        has_pkce = "code_challenge" not in parameters or parameters["code_challenge"] is not None
        verifier = secrets.token_urlsafe(48) if has_pkce else None
        begun = Begun(secrets.token_urlsafe(16), secrets.token_urlsafe(16), verifier, self.registered.redirect_uri)
        query: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": begun.redirect_uri,
            "scope": "openid profile email establishment",
            "state": begun.state,
            "nonce": begun.nonce,
        }
        if verifier:
            query |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
        query |= parameters
        begun.redirect_uri = query["redirect_uri"] or begun.redirect_uri
        self.begun = begun
        sent = {name: value for name, value in query.items() if value is not None}
        return f"{self.metadata['authorization_endpoint']}?{urlencode(sent, quote_via=quote)}"

    def exchange(self, callback: Callback, **extra: str) -> Tokens:
        """Check the callback (state, iss) and exchange its code; the ID token is checked in full."""
        begun = self._begun()
        assert "error" not in callback.parameters, callback
        assert callback["state"] == begun.state, "the state did not come back as it was sent"
        assert callback["iss"] == self.issuer, "RFC 9207: iss must be the issuer"
        response = self.redeem(callback["code"], **extra)
        assert response.status_code == 200, (response.status_code, response.text)
        return self.read_tokens(response, nonce=begun.nonce)

    def redeem(self, code: str, **extra: str) -> httpx.Response:
        """POST the code to the token endpoint, nothing checked. An extra given as "" is left out."""
        begun = self._begun()
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": begun.redirect_uri}
        if begun.verifier:
            fields["code_verifier"] = begun.verifier
        return self.token(**{**fields, **extra})

    def refresh(self, refresh_token: str, **extra: str) -> httpx.Response:
        """A refresh, nothing checked."""
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **extra)

    def client_credentials(self, **extra: str) -> httpx.Response:
        """Tokens for the application itself."""
        return self.token(grant_type="client_credentials", **extra)

    def token(self, **fields: str) -> httpx.Response:
        """POST to the token endpoint as this client. A field given as "" is left out."""
        return self.post(self.metadata["token_endpoint"], fields)

    def introspect(self, token: str, **extra: str) -> httpx.Response:
        """RFC 7662."""
        return self.post(self.metadata["introspection_endpoint"], {"token": token, **extra})

    def revoke(self, token: str, **extra: str) -> httpx.Response:
        """RFC 7009."""
        return self.post(self.metadata["revocation_endpoint"], {"token": token, **extra})

    def userinfo(self, access_token: str) -> httpx.Response:
        """Userinfo by GET with a bearer header."""
        return self.machine.get(self.metadata["userinfo_endpoint"], headers={"Authorization": f"Bearer {access_token}"})

    def post(self, url: str, fields: Mapping[str, str]) -> httpx.Response:
        """POST with this client's authentication."""
        body = {name: value for name, value in fields.items() if value != ""}
        headers: dict[str, str] = {}
        method = self.registered.settings.token_endpoint_auth_method
        if method == "client_secret_basic":
            headers["Authorization"] = basic(self.client_id, self.registered.secret or "")
        elif method == "client_secret_post":
            body = {"client_id": self.client_id, "client_secret": self.registered.secret or "", **body}
        elif method == "private_key_jwt":
            body = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(), **body}
        else:
            body = {"client_id": self.client_id, **body}
        return self.machine.post(url, data=body, headers=headers)

    def assertion(self, **claims: Any) -> str:
        """A client assertion (RFC 7523); claims override, one given as None is left out."""
        key = self.registered.key
        assert key is not None
        now = self._seconds()
        payload: dict[str, Any] = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(16),
            **claims,
        }
        kept = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": key.kid}, kept, key, algorithms=["ES256"])

    def sign_out_url(self, **parameters: str | None) -> str:
        """The RP-initiated logout URL."""
        sent = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.metadata['end_session_endpoint']}?{urlencode(sent)}"

    def read_tokens(self, response: httpx.Response, *, nonce: str | None = None) -> Tokens:
        """A 200 answer of the token endpoint with its ID token checked (OpenID Connect Core 3.1.3.7)."""
        assert response.headers["Cache-Control"] == "no-store"
        answer = response.json()
        assert answer["token_type"] == "Bearer"
        if "id_token" not in answer:
            return Tokens(answer)
        token = self.decode(answer["id_token"], self.registered.settings.id_token_signed_response_alg)
        rules = jwt.JWTClaimsRegistry(
            now=self._seconds(),
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        rules.validate(token.claims)
        if nonce is not None:
            assert token.claims.get("nonce") == nonce, "the nonce did not come back"
        if "at_hash" in token.claims:
            assert token.claims["at_hash"] == half_hash(answer["access_token"])
        return Tokens(answer, dict(token.claims))

    def read_logout_token(self, logout_token: str) -> dict[str, Any]:
        """The claims of a logout token, checked as Back-Channel Logout 1.0 section 2.6 asks."""
        token = self.decode(logout_token, self.registered.settings.id_token_signed_response_alg)
        claims = token.claims
        jwt.JWTClaimsRegistry(
            now=self._seconds(),
            leeway=60,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            iat={"essential": True},
            exp={"essential": True},
            jti={"essential": True},
        ).validate(claims)
        assert token.header["typ"] == "logout+jwt"
        assert claims["events"] == {BACKCHANNEL_EVENT: {}}
        assert "nonce" not in claims
        assert "sub" in claims or "sid" in claims
        return dict(claims)

    def decode(self, token: str, alg: str) -> jwt.Token:
        """A JWT whose signature is good under the published keys, and whose alg is the registered one."""
        decoded = jwt.decode(token, self.keys(), algorithms=SIGNATURES)
        assert decoded.header["alg"] == alg
        return decoded

    def _seconds(self) -> int:
        return int(self.clock.now().timestamp())

    def _begun(self) -> Begun:
        assert self.begun is not None, "begin() first"
        return self.begun


def challenge(verifier: str) -> str:
    """RFC 7636 S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def basic(client_id: str, secret: str) -> str:
    """An Authorization header (RFC 6749 section 2.3.1: both form-encoded first)."""
    return "Basic " + base64.b64encode(f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()


def half_hash(value: str) -> str:
    """at_hash and c_hash for algorithms over SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()[:16]).rstrip(b"=").decode()
