"""Digests, seals, keyed hashes, password hashes and constant-time comparison; the only module that compares secrets.

Owns: how a secret is kept (digest when we need only recognise it, seal when we must read it again, argon2id when a person
chose it). Does not own: signing keys' life (idp/oauth/keys.py) nor password rules (policies/passwords.py).
Sources: OWASP Password Storage (argon2id 19 MiB, t=2, p=1), RFC 5869 (HKDF), NIST SP 800-38D (AES-GCM).
"""

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import ParamSpec, Protocol, TypeVar

import argon2
from argon2 import exceptions as argon2_errors
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from idp.clock import Clock
from idp.errors import VestibuleError

NONCE_BYTES = 12
P = ParamSpec("P")
T = TypeVar("T")


def digest(secret: str) -> str:
    """SHA-256 of a random secret as 43 URL-safe characters. Only for secrets of >= 128 random bits: those need no salt."""
    return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).rstrip(b"=").decode()


def same(left: str, right: str) -> bool:
    """Whether two texts are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


class Keyring:
    """Subkeys derived from the one master key, which lives outside the database.

    The master key is 32 bytes or more; each purpose gets its own HKDF-SHA256 subkey, so that a value made for one purpose is
    meaningless for another.
    """

    def __init__(self, master_key: bytes, clock: Clock) -> None:
        if len(master_key) < 32:
            raise VestibuleError("master_key_too_short", "the master key must hold at least 32 bytes")
        self._clock = clock
        self._derive: Callable[[str], bytes] = lru_cache(maxsize=32)(lambda purpose: _hkdf(master_key, purpose))

    def subkey(self, purpose: str) -> bytes:
        """The 32-byte subkey of a purpose."""
        return self._derive(purpose)

    def seal(self, purpose: str, plaintext: bytes, bound_to: str) -> bytes:
        """Encrypt and authenticate (AES-256-GCM); `bound_to` names the row, so that a seal copied to another row does not open."""
        nonce = self._clock.random_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.subkey(purpose)).encrypt(nonce, plaintext, bound_to.encode())

    def unseal(self, purpose: str, sealed: bytes, bound_to: str) -> bytes:
        """The plaintext of `seal`; raises VestibuleError("seal_broken") when altered, moved or sealed by another key."""
        try:
            return AESGCM(self.subkey(purpose)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError) as error:
            raise VestibuleError("seal_broken", f"{purpose} for {bound_to}") from error

    def keyed_hash(self, purpose: str, text: str) -> str:
        """HMAC-SHA256, 43 characters: recognises a guessable text (an unmatched identifier) without keeping it."""
        mac = hmac.digest(self.subkey(purpose), text.encode(), "sha256")
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _hkdf(master_key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"vestibule {purpose}".encode()).derive(master_key)


class InProgress(Protocol):
    """What is told how many hashes are under way (a metric)."""

    def inc(self) -> None:
        """One more."""
        ...

    def dec(self) -> None:
        """One less."""
        ...


class PasswordHasher:
    """argon2id at OWASP's 19 MiB figure, at most `concurrency` at once so that a login storm cannot starve the token endpoint.

    Hashes are computed on `concurrency` threads of their own: each keeps its 19 MiB for the next one. On the caller's thread every server thread
    would come to hold such a block, or the C library would take it from the system and give it back every time, which costs a quarter of the hash.
    `hash_count` counts every hash computed, for tests that every failing path does the same work.
    """

    def __init__(
        self, clock: Clock, *, concurrency: int, memory_kib: int = 19_456, iterations: int = 2, in_progress: InProgress | None = None
    ) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=iterations, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="hash")
        self._in_progress = in_progress
        self._count_lock = threading.Lock()
        self.hash_count = 0
        # Verified against when there is no account or no password, so that both cost one hash. No password opens it: what stands in the place of
        # the hash is 256 random bits (computing one would cost every start and every command a hash).
        salt, nothing = (base64.b64encode(clock.random_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={iterations},p=1${salt}${nothing}"

    def hash(self, password: str) -> str:
        """The encoded argon2id hash of a password."""
        return self._compute(self._hasher.hash, password)

    def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password opens the hash; None is verified against nobody's hash and is always False, at the same cost."""
        try:
            matched = self._compute(self._hasher.verify, encoded or self._nobody, password)
        except argon2_errors.VerifyMismatchError:
            return False
        except (argon2_errors.VerificationError, argon2_errors.InvalidHashError) as error:
            raise VestibuleError("password_hash_unreadable", str(error)) from error
        return matched and encoded is not None

    def needs_rehash(self, encoded: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def _compute(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work` on one of the threads; its exception is raised here."""
        if self._in_progress is not None:
            self._in_progress.inc()
        try:
            with self._count_lock:
                self.hash_count += 1
            return self._threads.submit(work, *args, **kwargs).result()
        finally:
            if self._in_progress is not None:
                self._in_progress.dec()
