"""The stand-in's keys and ID tokens: as Entra signs them, and every way in which somebody could forge or stale one."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

Claims = dict[str, Any]
FOREIGN_TENANT = "f0f0f0f0-0000-4000-8000-00000000f0f0"


@dataclass(frozen=True)
class SigningKey:
    """One RSA key; `tenant` is None for one of the whole authority, and empty for one that does not say whose it is."""

    key: RSAKey
    kid: str
    tenant: str | None = None

    @classmethod
    def make(cls, kid: str, tenant: str | None = None) -> "SigningKey":
        return cls(RSAKey.generate_key(2048), kid, tenant)

    @cached_property
    def public(self) -> dict[str, Any]:
        """Its n and e."""
        return {name: value for name, value in self.key.as_dict(private=False).items() if name in {"kty", "n", "e"}}

    def published(self, authority: str) -> dict[str, Any]:
        """As in Entra's key set: no `alg`, and whose tokens it may sign."""
        whose = {} if self.tenant == "" else {"issuer": f"{authority}/{self.tenant or '{tenantid}'}/v2.0"}
        return {**self.public, "use": "sig", "kid": self.kid, "x5t": self.kid, **whose}

    def sign(self, claims: Claims, *, algorithm: str = "RS256", **header: Any) -> str:
        return jwt.encode({"typ": "JWT", "alg": algorithm, "kid": self.kid, **header}, claims, self.key, algorithms=[algorithm])


@dataclass(frozen=True)
class Bench:
    """What a forger has at hand: the right claims, the right key, and keys of his own."""

    claims: Claims
    key: SigningKey
    foreign: SigningKey  # published, of another tenant
    unpublished: SigningKey
    now: int
    authority: str

    def with_claims(self, **changed: Any) -> str:
        claims = {name: value for name, value in {**self.claims, **changed}.items() if value is not ...}
        return self.key.sign(claims)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unsigned(bench: Bench, algorithm: str = "none") -> str:
    header = {"typ": "JWT", "alg": algorithm, "kid": bench.key.kid}
    return f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(bench.claims).encode())}."


def _with_the_public_key_as_secret(bench: Bench) -> str:
    header = {"typ": "JWT", "alg": "HS256", "kid": bench.key.kid}
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(bench.claims).encode())}"
    return f"{signed}.{_b64(hmac.digest(bench.key.key.as_pem(private=False), signed.encode(), 'sha256'))}"


def _other_signature(bench: Bench) -> str:
    head, payload, _ = bench.key.sign(bench.claims).split(".")
    return ".".join((head, payload, bench.key.sign({**bench.claims, "oid": "x"}).split(".")[2]))


def _changed_payload(bench: Bench) -> str:
    head, _, signature = bench.key.sign(bench.claims).split(".")
    return ".".join((head, _b64(json.dumps({**bench.claims, "oid": "00000000-0000-4000-8000-000000000001"}).encode()), signature))


def _foreign_tenant(bench: Bench) -> str:
    """Right in everything, and of a tenant that nobody allowed."""
    claims = {**bench.claims, "tid": FOREIGN_TENANT, "iss": f"{bench.authority}/{FOREIGN_TENANT}/v2.0"}
    return bench.key.sign(claims)


def _with_its_own_key(bench: Bench) -> str:
    key = bench.unpublished
    return SigningKey(key.key, bench.key.kid).sign(bench.claims, jwk=key.public)


def _elliptic(bench: Bench) -> str:
    key = ECKey.generate_key("P-256")
    return jwt.encode({"typ": "JWT", "alg": "ES256", "kid": bench.key.kid}, bench.claims, key, algorithms=["ES256"])


def _half_hash_of_another(bench: Bench) -> str:
    digest = hashlib.sha256(b"another").digest()
    return bench.with_claims(at_hash=_b64(digest[:16]))


# What is done to the token -> the problem that we must name.
FORGERIES: dict[str, tuple[Callable[[Bench], str | None], str]] = {
    "no token": (lambda bench: None, "token_missing"),
    "rubbish": (lambda bench: "not.a.token", "token_malformed"),
    "an encrypted token": (lambda bench: "a.b.c.d.e", "token_malformed"),
    "alg none": (_unsigned, "algorithm"),
    "alg nOnE": (lambda bench: _unsigned(bench, "nOnE"), "algorithm"),
    "the public key as an HMAC secret": (_with_the_public_key_as_secret, "algorithm"),
    "an algorithm that is not agreed": (lambda bench: bench.key.sign(bench.claims, algorithm="RS384"), "algorithm"),
    "PS256 with the right key": (lambda bench: bench.key.sign(bench.claims, algorithm="PS256"), "algorithm"),
    "an elliptic key": (_elliptic, "algorithm"),
    "another token's signature": (_other_signature, "signature"),
    "a changed payload": (_changed_payload, "signature"),
    "a key that it brings along": (_with_its_own_key, "signature"),
    "at_hash of another access token": (_half_hash_of_another, "signature"),
    "a key that nobody published": (lambda bench: bench.unpublished.sign(bench.claims), "key_unknown"),
    "a key of another tenant": (lambda bench: bench.foreign.sign(bench.claims), "key_unknown"),
    "no key named": (lambda bench: bench.key.sign(bench.claims, kid=""), "key_unknown"),
    "another issuer": (lambda bench: bench.with_claims(iss="https://login.evil.example/x/v2.0"), "issuer"),
    "the issuer of version 1.0": (lambda bench: bench.with_claims(iss=f"https://sts.windows.net/{bench.claims['tid']}/"), "issuer"),
    "the issuer's template": (lambda bench: bench.with_claims(iss=f"{bench.authority}/{{tenantid}}/v2.0"), "issuer"),
    "the issuer of another tenant": (lambda bench: bench.with_claims(iss=f"{bench.authority}/{FOREIGN_TENANT}/v2.0"), "issuer"),
    "another audience": (lambda bench: bench.with_claims(aud="00000000-1111-4222-8333-444444444444"), "audience"),
    "several audiences and azp of another": (
        lambda bench: bench.with_claims(aud=[bench.claims["aud"], "other"], azp="other"),
        "audience",
    ),
    "azp of another": (lambda bench: bench.with_claims(azp="00000000-1111-4222-8333-444444444444"), "audience"),
    "expired": (lambda bench: bench.with_claims(exp=bench.now - 61, iat=bench.now - 4000, nbf=bench.now - 4000), "expired"),
    "no end": (lambda bench: bench.with_claims(exp=...), "token_malformed"),
    "nbf to come": (lambda bench: bench.with_claims(nbf=bench.now + 120), "not_yet_valid"),
    "iat to come": (lambda bench: bench.with_claims(iat=bench.now + 120), "not_yet_valid"),
    "another nonce": (lambda bench: bench.with_claims(nonce="of-another-sign-in"), "nonce"),
    "no nonce": (lambda bench: bench.with_claims(nonce=...), "nonce"),
    "a tenant that is not allowed": (_foreign_tenant, "tenant"),
    "no tenant": (lambda bench: bench.with_claims(tid=...), "tenant"),
    "a tenant that is no text": (lambda bench: bench.with_claims(tid=[bench.claims["tid"]]), "tenant"),
    "no oid": (lambda bench: bench.with_claims(oid=...), "subject"),
    "an oid that is none": (lambda bench: bench.with_claims(oid="claire@example.fr"), "subject"),
    "somebody else's oid": (lambda bench: bench.with_claims(oid="00000000-0000-4000-8000-000000000001"), "subject"),
    "no sub": (lambda bench: bench.with_claims(sub=...), "subject"),
    "version 1.0": (lambda bench: bench.with_claims(ver="1.0"), "token_malformed"),
    "an access token's type": (lambda bench: bench.key.sign(bench.claims, typ="at+jwt"), "token_malformed"),
}
