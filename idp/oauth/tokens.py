"""The single mint: access tokens (RFC 9068), ID tokens (OpenID Connect Core section 2), logout tokens, signed userinfo; and their checks.

Nothing else signs or verifies a JWT of ours. Calls: keys, claims. Lives come from the configuration.
"""

import base64
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, Key
from joserfc.jws import JWSRegistry

from idp.clock import Clock
from idp.config import Config
from idp.oauth import claims as claim_values
from idp.oauth.clients import OAuthClient
from idp.oauth.keys import ALGORITHMS, Algorithm, Keys
from idp.store.base import Account, Grant
from policies.sessions import LONG_AGO

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
ACCEPTED: list[str] = list(ALGORITHMS)
LONGEST_TOKEN = 16_384
VERIFIED_KEPT = 2_048  # about 3 MB
_encode_claims = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """A verified access token. `grant_id` is None for client_credentials."""

    jti: str
    subject: str
    client_id: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    grant_id: str | None
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Live:
    """A Grant that may give tokens, and its Account. `is_degraded`: its directory could not be asked, and its last word is used for a while."""

    grant: Grant
    account: Account
    is_degraded: bool


class _Verified:
    """The access tokens whose signature this process has checked lately, by their SHA-256, with the key that signed each.

    Only what verified comes in, so strangers cannot fill it, and a digest gives nobody a token. What may change later is not in the signature and is
    asked anew each time: the clock, whether the key is still published, and, by the callers, whether the Grant is alive.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, tuple[str, AccessClaims]] = OrderedDict()

    def get(self, digest: bytes) -> tuple[str, AccessClaims] | None:
        """The kid and the claims."""
        with self._lock:
            return self._found.get(digest)

    def keep(self, digest: bytes, kid: str, claims: AccessClaims) -> None:
        """Remember one more, and forget the one that came first."""
        with self._lock:
            self._found[digest] = (kid, claims)
            if len(self._found) > self._capacity:
                self._found.popitem(last=False)


class Mint:
    """Makes and checks tokens."""

    def __init__(self, config: Config, keys: Keys, clock: Clock) -> None:
        self._issuer = config.issuer
        self._keys = keys
        self._clock = clock
        self._access_seconds = int(config.tokens.access_token_life.total_seconds())
        self._id_seconds = int(config.tokens.id_token_life.total_seconds())
        self.default_audience = config.tokens.resource or config.issuer
        self.access_seconds = self._access_seconds
        self._verified_lately = _Verified(VERIFIED_KEPT)
        self._registry = JWSRegistry(algorithms=ACCEPTED)
        self._headers: dict[tuple[str, str], bytes] = {}

    def access_token(self, client: OAuthClient, scope: tuple[str, ...], audience: tuple[str, ...], *, live: Live | None) -> tuple[str, str]:
        """A signed access token and its jti; about a Grant's person, or about the client itself."""
        now = int(self._clock.now().timestamp())
        jti = self._clock.new_id()
        grant = live.grant if live else None
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": grant.account_id if grant else client.client_id,
            "aud": audience[0] if len(audience) == 1 else list(audience),
            "client_id": client.client_id,
            "iat": now,
            "exp": now + self._access_seconds,
            "jti": jti,
        }
        if scope:
            claims["scope"] = " ".join(scope)
        if live is not None and grant is not None:
            claims |= {
                **said_auth_time(grant),
                "acr": grant.acr,
                **said_amr(grant),
                "sid": grant.session_id,
                "grant": grant.id,
                "zone": grant.zone,
                "zone_kind": grant.zone_kind,
                "zone_why": grant.zone_why,
                **_degraded(live),
            }
        return self._sign(claims, client.settings.access_token_signed_response_alg, "at+jwt"), jti

    def id_token(self, client: OAuthClient, live: Live, subject: claim_values.Subject, *, nonce: str | None, access_token: str) -> str:
        """A signed ID token. `auth_time` is that of the proof, also after a refresh (section 12.2)."""
        now = int(self._clock.now().timestamp())
        grant = live.grant
        names = claim_values.released_to_id_token(grant.scope.split(), grant.claims) & claim_values.held_by(client.scopes)
        claims: dict[str, Any] = claim_values.gather_for_id_token(names, subject) | {
            "iss": self._issuer,
            "sub": grant.account_id,
            "aud": client.client_id,
            "iat": now,
            "exp": now + self._id_seconds,
            **said_auth_time(grant),
            "acr": grant.acr,
            **said_amr(grant),
            "sid": grant.session_id,
            "at_hash": half_hash(access_token),
            **_degraded(live),
        }
        if nonce is not None:
            claims["nonce"] = nonce
        return self._sign(claims, client.settings.id_token_signed_response_alg, "JWT")

    def userinfo(self, client: OAuthClient, values: Mapping[str, Any]) -> str:
        """Signed userinfo, for a client registered so (section 5.3.2)."""
        algorithm: Algorithm = client.settings.userinfo_signed_response_alg or "RS256"
        return self._sign({**values, "iss": self._issuer, "aud": client.client_id}, algorithm, "JWT")

    def logout_token(self, client: OAuthClient, account_id: str, session_id: str | None, *, jti: str) -> str:
        """A logout token (Back-Channel Logout 1.0 section 2.4): never a nonce, two minutes to live."""
        now = int(self._clock.now().timestamp())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": account_id,
            "aud": client.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": jti,
            "events": {LOGOUT_EVENT: {}},
        }
        if session_id is not None:
            claims["sid"] = session_id
        return self._sign(claims, client.settings.id_token_signed_response_alg, "logout+jwt")

    def security_event(self, claims: Mapping[str, Any]) -> str:
        """A signed Security Event Token (RFC 8417), RS256 as the interoperability profile of CAEP wants it. It never expires."""
        return self._sign({"iss": self._issuer, "iat": int(self._clock.now().timestamp()), **claims}, "RS256", "secevent+jwt")

    def read_access_token(self, token: str) -> AccessClaims | None:
        """The claims of one of our access tokens that has not expired; None for anything else."""
        if len(token) > LONGEST_TOKEN:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified_lately.get(digest)
        if known is not None and self._keys.is_published(known[0]):
            access = known[1]
        else:
            verified = self._verified(token, "at+jwt")
            if verified is None or verified.claims.get("iss") != self._issuer:
                return None
            access = _access_claims(verified.claims)
            self._verified_lately.keep(digest, verified.header["kid"], access)
        return access if access.expires_at > self._clock.now().timestamp() else None

    def read_id_token_hint(self, token: str) -> Mapping[str, Any] | None:
        """The claims of an ID token we issued, expired or not; None for anything else."""
        verified = self._verified(token, "JWT")
        claims = verified.claims if verified else {}
        return claims if claims.get("iss") == self._issuer and "at_hash" in claims else None

    def _sign(self, claims: dict[str, Any], algorithm: Algorithm, kind: str) -> str:
        """The JWS compact serialisation (RFC 7515 section 7.1). joserfc signs; its jwt.encode would check our own constant header each time."""
        key = self._keys.signer(algorithm)
        kid = str(key.kid)
        header = self._headers.get((kind, kid))
        if header is None:
            header = self._headers[kind, kid] = _base64url(_encode_claims({"alg": algorithm, "typ": kind, "kid": kid}).encode())
        signed = header + b"." + _base64url(_encode_claims(claims).encode())
        return (signed + b"." + _base64url(self._registry.get_alg(algorithm).sign(signed, key))).decode()

    def _verified(self, token: str, kind: str) -> jwt.Token | None:
        if len(token) > LONGEST_TOKEN or token.count(".") != 2:
            return None

        def find_key(parsed: GuestProtocol) -> Key:
            header = parsed.headers()
            if header.get("typ") != kind:
                raise ValueError("another kind of token")
            return self._keys.verifier(header["kid"])

        try:
            return jwt.decode(token, find_key, algorithms=ACCEPTED)
        except (JoseError, ValueError, KeyError, TypeError, RecursionError):
            return None


def said_auth_time(grant: Grant) -> dict[str, int]:
    """The `auth_time` claim; none at all when an upstream provider did not say when the person was there. Whoever asks for max_age is always told."""
    return {} if grant.auth_time == LONG_AGO else {"auth_time": int(grant.auth_time.timestamp())}


def said_amr(grant: Grant) -> dict[str, list[str]]:
    """The `amr` claim; none at all when nothing is known of how a person was recognised, by an upstream provider that does not say."""
    return {"amr": list(grant.amr)} if grant.amr else {}


def _degraded(live: Live) -> dict[str, Any]:
    """What an application may want to be careful about: the person's directory could not be asked whether they are still there."""
    return {"degraded": True} if live.is_degraded else {}


def half_hash(token: str) -> str:
    """at_hash: the left half of the token's SHA-256 (section 3.1.3.6); both our algorithms use SHA-256."""
    return _base64url(hashlib.sha256(token.encode()).digest()[:16]).decode()


def _access_claims(claims: Mapping[str, Any]) -> AccessClaims:
    audience = claims["aud"]
    return AccessClaims(
        jti=claims["jti"],
        subject=claims["sub"],
        client_id=claims["client_id"],
        audience=(audience,) if isinstance(audience, str) else tuple(audience),
        scope=tuple(claims.get("scope", "").split()),
        grant_id=claims.get("grant"),
        issued_at=claims["iat"],
        expires_at=claims["exp"],
    )


def _base64url(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
