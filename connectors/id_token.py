"""IdTokenValidator: whether an ID token is its provider's word to us, for this sign-in, now. Every upstream connector believes one only through here.

Owns the signature by the provider's published keys and the claims of OpenID Connect Core section 3.1.3.7; it does not fetch (it is given a function
that does), and it does not know what a claim means to us. The libraries that run the code flow validate a part of this at most.

    IdTokenValidator(fetch_keys, clock, *, algorithms=ALGORITHMS, leeway=60 s)
    .validate(token, *, issuer, audience, nonce, subject=None, authenticated_since=None, needs_auth_time=False, access_token=None) -> claims
    .verify(token) -> claims whose signature alone was checked (a signed userinfo answer)
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.errors import (
    BadSignatureError,
    JoseError,
    MissingAlgorithmError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry, deserialize_compact, extract_compact

from connectors.base import Clock, SourceMisbehaved, TokenProblem

# RFC 8725 section 3.1: agreed beforehand, never the token's choice. No "none" and no HS*: a client secret is not a signing key between two hosts.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
LEEWAY = timedelta(seconds=60)  # between their clock and ours
REREAD_AFTER = timedelta(minutes=1)  # a stranger can send tokens with an unknown kid as fast as he likes
KEYS_LIFE = timedelta(hours=1)  # a key that was withdrawn is believed no longer than this
LONGEST_TOKEN = 100_000  # characters
LONGEST_SUBJECT = 255  # Core section 2
KIND_OF_KEY = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

FetchKeys = Callable[[], Mapping[str, Any]]
IssuerOf = Callable[[Mapping[str, Any]], str]


class _Registry(JWSRegistry):
    """joserfc's, without its refusal of header parameters that it does not know (RFC 7515 section 4: ignored, except in `crit`)."""

    max_header_length = 8192  # an x5c header carries a chain

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)


@dataclass(frozen=True, slots=True)
class _KeySet:
    """What the provider published, as far as it is for verifying; `read_at` is when."""

    keys: tuple[tuple[str | None, str | None, Key], ...]  # kid, alg, key
    read_at: datetime

    def candidates(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """Those that may have signed: the kid's own, or, for a token that names none, every one of the kind."""
        kind = KIND_OF_KEY[algorithm[:2]]
        return tuple(
            key
            for its_kid, its_algorithm, key in self.keys
            if (kid is None or its_kid == kid) and key.key_type == kind and its_algorithm in (None, algorithm)
        )


class IdTokenValidator:
    """Validates the ID tokens of one provider. Safe to share between threads; keys are kept for an hour, and read again when a kid is unknown."""

    def __init__(
        self, fetch_keys: FetchKeys, clock: Clock, *, algorithms: Collection[str] = ALGORITHMS, leeway: timedelta = LEEWAY
    ) -> None:
        """`fetch_keys` answers the provider's JWK set as it is now (RFC 7517 section 5), or raises SourceUnreachable or SourceMisbehaved.

        `algorithms`: those agreed with the provider; ValueError for any that is not an asymmetric signature.
        """
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ValueError(f"ID tokens are signed with one of {', '.join(ALGORITHMS)}")
        self._fetch_keys = fetch_keys
        self._clock = clock
        self._registry = _Registry(tuple(algorithms))
        self._leeway = leeway
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._known: _KeySet | None = None

    def validate(
        self,
        token: str | None,
        *,
        issuer: str | IssuerOf,
        audience: str,
        nonce: str | None,
        subject: str | None = None,
        authenticated_since: datetime | None = None,
        needs_auth_time: bool = False,
        access_token: str | None = None,
    ) -> Mapping[str, Any]:
        """The claims of an ID token that is to be believed (`iss`, `sub`, `aud`, `exp` and `iat` are there and of their types).

        `issuer`: compared letter for letter; or a function of the claims, signature checked, that answers what it must be (Entra's tenant) and may
        raise SourceMisbehaved itself. `audience`: our client id there; with several audiences `azp` must be us too. `nonce`: this sign-in's; None
        only where the protocol has none (a refresh). `subject`: whom it must be about. `authenticated_since`: auth_time, when it is given or
        `needs_auth_time`, must not be before. `access_token`: what at_hash, when it is given, must fit (section 3.1.3.8).
        Raises SourceMisbehaved with its `problem`, or what fetching the keys raises.
        """
        if not token:
            raise SourceMisbehaved("the token answer holds no ID token", problem="token_missing")
        header, claims = self._verified(token)
        expected = issuer(claims) if callable(issuer) else issuer
        if claims.get("iss") != expected:
            raise _problem("issuer", f"iss is {_show(claims.get('iss'))}, expected {expected!r}")
        self._check_audience(claims, audience)
        self._check_times(claims)
        if nonce is not None and claims.get("nonce") != nonce:
            raise _problem("nonce", "the nonce is not this sign-in's" if "nonce" in claims else "there is no nonce")
        self._check_subject(claims, subject)
        self._check_auth_time(claims, authenticated_since, needs_auth_time=needs_auth_time)
        at_hash = claims.get("at_hash")
        if access_token is not None and at_hash is not None and at_hash != half_hash(access_token, header["alg"]):
            raise _problem("signature", "at_hash is not of the access token that came with it")
        return claims

    def verify(self, token: str) -> Mapping[str, Any]:
        """The claims of any JWT that the provider signed; nothing in them was looked at. Raises as `validate`."""
        return self._verified(token)[1]

    def count_keys(self) -> int:
        """How many keys of the provider can verify a signature. Raises what fetching them raises."""
        return len(self._keys().keys)

    def _verified(self, token: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
        header = self._read_header(token)
        kid, algorithm = header.get("kid"), header["alg"]
        known = self._keys()
        found = known.candidates(kid, algorithm)
        payload = self._signed_by(found, token)
        if payload is None and (kid is None or not found):
            # The provider may have changed its keys. A kid that is known and does not fit is a forgery: nothing to read again.
            known = self._keys_again(known)
            found = known.candidates(kid, algorithm)
            payload = self._signed_by(found, token)
        if payload is None and not found:
            raise _problem("key_unknown", f"no key {_show(kid)} for {algorithm} in the provider's set")
        if payload is None:
            raise _problem("signature", f"the signature does not fit key {_show(kid)}")
        try:
            claims = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise _problem("token_malformed", "the payload is not JSON") from error
        if not isinstance(claims, dict):
            raise _problem("token_malformed", "the payload is not an object")
        return header, claims

    def _read_header(self, token: str) -> Mapping[str, Any]:
        if len(token) > LONGEST_TOKEN or token.count(".") != 2:
            raise _problem("token_malformed", "not a compact JWS of reasonable length")
        try:
            header = extract_compact(token.encode("ascii"), registry=self._registry).headers()
        except MissingAlgorithmError as error:
            raise _problem("algorithm", "the token names no algorithm") from error
        except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _problem("token_malformed", type(error).__name__) from error
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(algorithm, str) or algorithm not in (self._registry.allowed or ()):
            raise _problem("algorithm", f"signed with {_show(algorithm)}, which is not agreed")
        if not isinstance(kid, str | None):
            raise _problem("token_malformed", "kid is not text")
        if not isinstance(kind, str | None) or (kind or "JWT").upper() != "JWT":
            # RFC 8725 section 3.11: an access token or a logout token of the same provider is signed with the same key.
            raise _problem("token_malformed", f"a token of type {_show(kind)}")
        return header

    def _signed_by(self, keys: tuple[Key, ...], token: str) -> bytes | None:
        for key in keys:
            try:
                return deserialize_compact(token, key, registry=self._registry).payload
            except BadSignatureError:
                continue
            except UnsupportedAlgorithmError as error:
                raise _problem("algorithm", str(error)) from error
            except (JoseError, ValueError, TypeError) as error:
                raise _problem("token_malformed", type(error).__name__) from error
        return None

    def _keys(self) -> _KeySet:
        known, now = self._last_read(), self._clock.now()
        if known is not None and now - known.read_at < KEYS_LIFE:
            return known
        # One reads for all. Where it takes long, those who come meanwhile go on with the keys of a moment ago.
        if known is not None and now - known.read_at < KEYS_LIFE + REREAD_AFTER and self._reading.locked():
            return known
        with self._reading:
            latest = self._last_read()
            return latest if latest is not None and latest is not known else self._read()

    def _keys_again(self, seen: _KeySet) -> _KeySet:
        with self._reading:
            known = self._last_read() or seen
            if known is seen and self._clock.now() - seen.read_at >= REREAD_AFTER:
                return self._read()
            return known

    def _last_read(self) -> _KeySet | None:
        with self._lock:
            return self._known

    def _read(self) -> _KeySet:
        published = self._fetch_keys().get("keys")
        if not isinstance(published, list):
            raise SourceMisbehaved("the provider's key set has no keys", problem="key_unknown")
        found = []
        for value in published:
            # RFC 7517 section 5: one that cannot be understood is passed over. A symmetric one is no public key.
            if not isinstance(value, dict) or value.get("use", "sig") != "sig" or value.get("kty") not in KIND_OF_KEY.values():
                continue
            try:
                key = JWKRegistry.import_key(value)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
            found.append((key.kid, key.alg, key))
        read = _KeySet(tuple(found), self._clock.now())
        with self._lock:
            self._known = read
        return read

    @staticmethod
    def _check_audience(claims: Mapping[str, Any], audience: str) -> None:
        given = claims.get("aud")
        audiences = [given] if isinstance(given, str) else given
        if not isinstance(audiences, list) or audience not in audiences:
            raise _problem("audience", f"aud is {_show(given)}, expected {audience!r}")
        if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != audience:
            raise _problem("audience", f"azp is {_show(claims.get('azp'))}, expected {audience!r}")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._clock.now().timestamp(), self._leeway.total_seconds()
        times = {name: _number(claims, name) for name in ("exp", "iat", "nbf")}
        expires, issued, begins = times["exp"], times["iat"], times["nbf"]
        if expires is None or issued is None:
            raise _problem("token_malformed", "exp or iat is missing")
        if expires <= now - leeway:
            raise _problem("expired", f"expired {now - expires:.0f} s ago by our clock")
        latest = max(issued, begins if begins is not None else issued)
        if latest > now + leeway:
            raise _problem("not_yet_valid", f"begins in {latest - now:.0f} s by our clock: is one of the clocks wrong?")

    @staticmethod
    def _check_subject(claims: Mapping[str, Any], subject: str | None) -> None:
        given = claims.get("sub")
        if not isinstance(given, str) or not 0 < len(given) <= LONGEST_SUBJECT or not given.isprintable():
            raise _problem("subject", "sub is missing or not text of a line")
        if subject is not None and given != subject:
            raise _problem("subject", "the token is about another person")

    def _check_auth_time(self, claims: Mapping[str, Any], since: datetime | None, *, needs_auth_time: bool) -> None:
        given = _number(claims, "auth_time")
        if given is None and needs_auth_time:
            raise _problem("too_old", "auth_time was asked for and is missing")
        if given is not None and since is not None and given < since.timestamp() - self._leeway.total_seconds():
            raise _problem("too_old", f"the person was there {since.timestamp() - given:.0f} s before what was asked")


def auth_time_of(claims: Mapping[str, Any]) -> datetime | None:
    """When the person was there, as a validated token says; None when it does not. Raises SourceMisbehaved when it is no time."""
    given = _number(claims, "auth_time")
    if given is None:
        return None
    try:
        return datetime.fromtimestamp(given, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise _problem("token_malformed", "auth_time is no time") from error


def half_hash(value: str, algorithm: str) -> str:
    """at_hash or c_hash: the left half of the digest that goes with the signature's algorithm, base64url (Core section 3.1.3.6)."""
    name = "sha512" if algorithm == "Ed25519" else f"sha{algorithm[-3:]}"
    digest = hashlib.new(name, value.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # json reads NaN and Infinity, and every comparison with NaN is false: an exp of NaN would never pass.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e15 < value < 1e15:
        raise _problem("token_malformed", f"{name} is no time")
    return float(value)


def _problem(problem: TokenProblem, detail: str) -> SourceMisbehaved:
    return SourceMisbehaved(detail, problem=problem)


def _show(value: object) -> str:
    """A claim for the log: it may be anything, of any length."""
    return ascii(value)[:120]
