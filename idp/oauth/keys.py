"""Signing keys and their life: next (published, not yet used), current (signs), retired (still verifies).

A key is published a while before it signs and stays published a while after, so that no token fails across a rotation whatever an application
caches. Private keys are unsealed once and kept: importing one costs 42 ms. Each process looks for a change every few seconds.
Calls: idp/store. Specification: OpenID Connect Core section 10.1.1.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc.jwk import ECKey, KeyParameters, RSAKey

from idp.audit import Event, EventType, Origin
from idp.clock import Clock
from idp.crypto import Keyring
from idp.errors import Refused
from idp.store.base import SigningKey
from idp.store.database import Database, Transaction

Algorithm = Literal["RS256", "ES256"]
ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256")
PUBLISHED_FOR = timedelta(minutes=5)  # Cache-Control of /jwks: how long an application may not know a new key
KEPT_FOR = timedelta(days=2)  # id_token_hint and logout tokens verify against retired keys for this long
RELOAD_EVERY = timedelta(seconds=5)
SEAL = "signing key"


@dataclass(frozen=True, slots=True)
class LoadedKeys:
    """One state of the keys, replaced whole when it changes."""

    signers: Mapping[str, RSAKey | ECKey]
    verifiers: Mapping[str, RSAKey | ECKey]
    jwks: bytes


class Keys:
    """The keys of this process."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = clock.now()
        self._loaded = self._load()

    def signer(self, algorithm: Algorithm) -> RSAKey | ECKey:
        """The current key of an algorithm."""
        return self._present().signers[algorithm]

    def verifier(self, kid: str) -> RSAKey | ECKey:
        """The published key of a kid; KeyError when there is none. Looks again at once, for another process may have rotated."""
        loaded = self._present()
        if kid not in loaded.verifiers:
            loaded = self._reload()
        return loaded.verifiers[kid]

    def is_published(self, kid: str) -> bool:
        """Whether what this key signed is still believed."""
        return kid in self._present().verifiers

    def jwks(self) -> bytes:
        """The public keys as the JSON of /jwks."""
        return self._present().jwks

    def _present(self) -> LoadedKeys:
        if self._clock.now() - self._looked_at >= RELOAD_EVERY:
            return self._reload()
        return self._loaded

    def _reload(self) -> LoadedKeys:
        with self._lock:
            self._looked_at = self._clock.now()
            with self._database.read() as tx:
                rows = tx.keys.all()
            if self._states_of(rows) != self._states:
                self._loaded = self._open(rows)
            return self._loaded

    def _states_of(self, rows: tuple[SigningKey, ...]) -> frozenset[str]:
        """What decides what is signed and published: a retired key that is past its time counts as gone, though its row has not changed."""
        now = self._clock.now()
        return frozenset(f"{row.kid} {row.state}" for row in rows if not _is_forgotten(row, now))

    def _load(self) -> LoadedKeys:
        with self._database.read() as tx:
            rows = tx.keys.all()
        if not any(row.state == "current" for row in rows):
            with self._database.write() as tx:
                ensure(tx, self._keyring, self._clock)
                rows = tx.keys.all()
        return self._open(rows)

    def _open(self, rows: tuple[SigningKey, ...]) -> LoadedKeys:
        self._states = self._states_of(rows)
        signers: dict[str, RSAKey | ECKey] = {row.alg: _unsealed(row, self._keyring) for row in rows if row.state == "current"}
        published = [dict(row.public_jwk) for row in rows if not _is_forgotten(row, self._clock.now())]
        verifiers = {str(jwk["kid"]): _import(jwk["alg"], jwk) for jwk in published}
        return LoadedKeys(signers, verifiers, json.dumps({"keys": published}).encode())


def ensure(tx: Transaction, keyring: Keyring, clock: Clock) -> None:
    """Make what is missing: one current and one next key of each algorithm."""
    tx.lock("keys")
    rows = tx.keys.all()
    now = clock.now()
    for algorithm in ALGORITHMS:
        states = {row.state for row in rows if row.alg == algorithm}
        if "current" not in states:
            tx.keys.add(_make(algorithm, "current", keyring, now=now))
        if "next" not in states:
            tx.keys.add(_make(algorithm, "next", keyring, now=now))


def rotate(tx: Transaction, keyring: Keyring, clock: Clock, *, actor: str, origin: Origin, is_urgent: bool = False) -> None:
    """next becomes current, current becomes retired, a new next is published.

    Refused("rotated_too_soon") when a next key was made less than PUBLISHED_FOR + RELOAD_EVERY ago: applications may not know it yet (a process
    may have given out the /jwks without it for RELOAD_EVERY). An urgent rotation (a stolen key) does not wait, and deletes the stolen key: what
    it signed is refused within RELOAD_EVERY, and applications refresh.
    """
    tx.lock("keys")
    now = clock.now()
    rows = tx.keys.all()
    known_after = PUBLISHED_FOR + RELOAD_EVERY
    if not is_urgent and any(row.state == "next" and now - row.created_at < known_after for row in rows):
        raise Refused("rotated_too_soon", f"the next key must have been published for {known_after}")
    for row in rows:
        if row.state == "current" and is_urgent:
            tx.keys.remove(row.kid)
        elif row.state == "current":
            tx.keys.move(row.kid, "retired", retired_at=now)
        elif row.state == "next":
            tx.keys.move(row.kid, "current", activated_at=now)
    ensure(tx, keyring, clock)
    tx.events.append(Event(type=EventType.KEYS_ROTATED, at=now, actor=actor, origin=origin, details={"urgent": is_urgent}))


def forget(tx: Transaction, clock: Clock) -> int:
    """Delete retired keys past KEPT_FOR; how many."""
    gone = [row for row in tx.keys.all() if _is_forgotten(row, clock.now())]
    for row in gone:
        tx.keys.remove(row.kid)
    return len(gone)


def _make(algorithm: Algorithm, state: Literal["next", "current"], keyring: Keyring, *, now: datetime) -> SigningKey:
    key: RSAKey | ECKey = RSAKey.generate_key(2048) if algorithm == "RS256" else ECKey.generate_key("P-256")
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm}
    return SigningKey(
        kid=kid,
        alg=algorithm,
        state=state,
        public_jwk=public,
        sealed_private=keyring.seal(SEAL, key.as_der(private=True), kid),
        created_at=now,
        activated_at=now if state == "current" else None,
        retired_at=None,
    )


def _unsealed(row: SigningKey, keyring: Keyring) -> RSAKey | ECKey:
    """The private key of a row. Its arithmetic is not checked again (0.1 to 0.4 s for RSA): the seal proves that it is the one we made."""
    der = keyring.unseal(SEAL, row.sealed_private, row.kid)
    private = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    parameters = cast(KeyParameters, {"kid": row.kid, "use": "sig", "alg": row.alg})
    return (
        RSAKey(private, der, parameters)
        if isinstance(private, RSAPrivateKey)
        else ECKey(cast(EllipticCurvePrivateKey, private), der, parameters)
    )


def _import(algorithm: str, jwk: dict[str, Any]) -> RSAKey | ECKey:
    return RSAKey.import_key(jwk) if algorithm == "RS256" else ECKey.import_key(jwk)


def _is_forgotten(row: SigningKey, now: datetime) -> bool:
    return row.retired_at is not None and now - row.retired_at > KEPT_FOR
