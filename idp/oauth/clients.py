"""Applications at the protocol's edge: the cached registry, and how an application proves who it is.

Client secrets are random, so a SHA-256 digest recognises them; private_key_jwt follows RFC 7523 with the audience rule of
draft-ietf-oauth-rfc7523bis (the issuer, as a string) and each jti used once. One method only per request (RFC 6749 section 2.3).
"""

import base64
import json
import re
import threading
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import ClientMixin
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from idp.audit import Reason
from idp.clock import Clock
from idp.config import is_loopback_host
from idp.crypto import digest, same
from idp.oauth.message import ProtocolRequest, Refusal
from idp.store.base import Client
from idp.store.database import Transaction

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ["RS256", "ES256", "PS256"]
LONGEST_ASSERTION = timedelta(minutes=10)
LOOPBACK = re.compile(r"http://(?P<host>[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<rest>|[/?][^#]*)")
SKEW = timedelta(seconds=30)


class OAuthClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A Client as Authlib wants to see it."""

    def __init__(self, client: Client) -> None:
        self.record = client
        self.settings = client.settings
        self.client_id = client.client_id
        self.scopes = frozenset(client.settings.scopes)

    def get_client_id(self) -> str:
        """Its identifier."""
        return self.client_id

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may use a grant."""
        return grant_type in self.settings.grant_types

    def accepts_redirect(self, uri: str) -> bool:
        """Whether a redirect URI is registered, letter for letter; a native application's loopback port is free (RFC 8252 section 7.3)."""
        if uri in self.settings.redirect_uris:
            return True
        if self.settings.application_type != "native":
            return False
        bare = without_loopback_port(uri)
        return bare is not None and any(bare == without_loopback_port(registered) for registered in self.settings.redirect_uris)


def without_loopback_port(uri: str) -> str | None:
    """A loopback http URI without its port, or None when it is not one; `localhost` is a name, not the loopback address."""
    found = LOOPBACK.fullmatch(uri)
    if found is None or not is_loopback_host(found["host"]) or int(found["port"] or 0) > 65535:
        return None
    # Cut out and never parsed and put together again: everything but the port is compared letter for letter.
    return f"http://{found['host']}{found['rest']}"


class ClientRegistry:
    """Clients by id, parsed once a revision. Safe between threads."""

    def __init__(self, capacity: int = 1000) -> None:
        self._cache: OrderedDict[str, OAuthClient] = OrderedDict()
        self._capacity = capacity
        self._lock = threading.Lock()

    def get(self, tx: Transaction, client_id: str) -> OAuthClient | None:
        """The client, or None when unknown or withdrawn; one short query tells whether the cached one still holds."""
        revision = tx.clients.revision(client_id)
        if revision is None:
            return None
        with self._lock:
            cached = self._cache.get(client_id)
        if cached is not None and cached.record.revision == revision:
            return cached
        record = tx.clients.get(client_id)
        if record is None or record.ended_at is not None:
            return None
        fresh = OAuthClient(record)
        with self._lock:
            self._cache[client_id] = fresh
            if len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        return fresh

    def record(self, tx: Transaction, client_id: str) -> Client | None:
        """The stored Client behind `get`, for rooms that know nothing of Authlib."""
        client = self.get(tx, client_id)
        return client.record if client else None


class ClientAuthenticator:
    """Proves which application is calling a machine endpoint."""

    def __init__(self, registry: ClientRegistry, issuer: str, clock: Clock) -> None:
        self._registry = registry
        self._issuer = issuer
        self._clock = clock

    def authenticate(self, tx: Transaction, request: ProtocolRequest, form: dict[str, str]) -> OAuthClient:
        """The client; Refusal(invalid_client, 401) otherwise, always with the same words."""
        authorization = request.headers.get("authorization", "")
        used = [
            method
            for method, is_used in (
                ("client_secret_basic", bool(authorization)),
                ("client_secret_post", "client_secret" in form),
                ("private_key_jwt", "client_assertion" in form or "client_assertion_type" in form),
            )
            if is_used
        ]
        if len(used) > 1:
            raise Refusal("invalid_request", Reason.CLIENT_AUTHENTICATION_FAILED, "More than one client authentication method was used")
        method = used[0] if used else "none"
        if method == "client_secret_basic":
            client_id, secret = _basic(authorization)
            if form.get("client_id", client_id) != client_id:
                raise _unproven()
            return self._by_secret(tx, client_id, secret, method)
        if method == "client_secret_post":
            return self._by_secret(tx, form.get("client_id", ""), form["client_secret"], method)
        if method == "private_key_jwt":
            return self._by_assertion(tx, form)
        client = self._registered(tx, form.get("client_id", ""), "none")
        if client is None:
            raise _unproven()
        return client

    def _registered(self, tx: Transaction, client_id: str, method: str) -> OAuthClient | None:
        client = self._registry.get(tx, client_id) if client_id else None
        return client if client is not None and client.settings.token_endpoint_auth_method == method else None

    def _by_secret(self, tx: Transaction, client_id: str, secret: str, method: str) -> OAuthClient:
        client = self._registered(tx, client_id, method)
        kept = client.record.secret_digest if client else None
        if not same(digest(secret), kept or digest("")) or client is None or kept is None:
            raise _unproven()
        return client

    def _by_assertion(self, tx: Transaction, form: dict[str, str]) -> OAuthClient:
        assertion = form.get("client_assertion", "")
        if form.get("client_assertion_type") != ASSERTION_TYPE or not assertion:
            raise _unproven()
        client_id = _unverified_subject(assertion)
        if form.get("client_id", client_id) != client_id:
            raise _unproven()
        client = self._registered(tx, client_id, "private_key_jwt")
        if client is None or not client.settings.jwks:
            raise _unproven()
        try:
            keys = KeySet.import_key_set(cast(Any, client.settings.jwks))
            claims = jwt.decode(assertion, keys, algorithms=ASSERTION_ALGORITHMS).claims
        except (JoseError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _unproven() from error
        expires_at = self._checked(claims, client_id)
        if not tx.grants.spend("assertion", digest(f"{client_id} {claims['jti']}"), expires_at=expires_at + SKEW):
            raise Refusal("invalid_client", Reason.CLIENT_ASSERTION_REPLAYED, "Client authentication failed", status=401)
        return client

    def _checked(self, claims: dict[str, Any], client_id: str) -> datetime:
        now = self._clock.now()
        expires, issued, not_before = (claims.get(name) for name in ("exp", "iat", "nbf"))
        jti = claims.get("jti")
        # The audience must be the issuer as a single string: a list, or the token endpoint's URL, allows an assertion made for one server to
        # be used at another (draft-ietf-oauth-rfc7523bis).
        if claims.get("aud") != self._issuer or claims.get("iss") != client_id or claims.get("sub") != client_id:
            raise _unproven()
        # JSON can hold half a character (a lone surrogate), which nothing can encode or store.
        if not isinstance(jti, str) or not 1 <= len(jti) <= 255 or not jti.isprintable() or not _is_instant(expires):
            raise _unproven()
        expires_at = datetime.fromtimestamp(cast(float, expires), UTC)
        if not now - SKEW < expires_at <= now + LONGEST_ASSERTION:
            raise _unproven()
        for instant in (issued, not_before):
            if instant is not None and (not _is_instant(instant) or datetime.fromtimestamp(instant, UTC) > now + SKEW):
                raise _unproven()
        return expires_at


def _is_instant(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**33


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _unproven()
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError as error:
        raise _unproven() from error
    if not colon:
        raise _unproven()
    return unquote_plus(client_id), unquote_plus(secret)


def _unverified_subject(assertion: str) -> str:
    try:
        payload = assertion.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("sub")
    except (IndexError, ValueError, AttributeError, RecursionError) as error:
        raise _unproven() from error
    return subject if isinstance(subject, str) and subject.isprintable() else ""


def _unproven() -> Refusal:
    return Refusal("invalid_client", Reason.CLIENT_AUTHENTICATION_FAILED, "Client authentication failed", status=401)
