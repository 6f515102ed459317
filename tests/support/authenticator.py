"""A software authenticator: makes passkeys and signs with them as a browser would hand it over, and can lie in every field.

Answers are the JSON that passkey.js posts. The cryptography is the `cryptography` package's own; nothing of py_webauthn is used, so that a mistake
there is not made here too. Source: WebAuthn Level 3 sections 6.1 (authenticator data), 5.8.1 (client data), 6.5.5 (COSE keys).
"""

import json
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40
SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Lies:
    """What to say instead of the truth; None is the truth. `flags` is added, `no_flags` taken away; `signs` replaces what is signed."""

    origin: str | None = None
    rp_id: str | None = None
    challenge: str | None = None
    kind: str | None = None
    cross_origin: bool = False
    flags: int = 0
    no_flags: int = 0
    count: int | None = None
    credential_id: bytes | None = None
    user_handle: str | None = None
    no_user_handle: bool = False
    signature: Callable[[bytes], bytes] | None = None
    public_key: bytes | None = None
    fmt: str = "none"
    statement: dict[str, Any] | None = None


TRUTH = Lies()


@dataclass(slots=True)
class Passkey:
    """A credential on the authenticator. `counts`: whether its counter moves (a synchronised one's never does)."""

    credential_id: bytes
    key: SigningKey
    user_handle: str
    count: int = 0
    counts: bool = True


@dataclass(slots=True)
class Authenticator:
    """One person's authenticator, in a browser that is on `origin`. `verifies`: it asks for a finger or a PIN."""

    origin: str
    verifies: bool = True
    synced: bool = False
    algorithm: int = -7
    passkeys: list[Passkey] = field(default_factory=list)

    def create(self, options: str, lies: Lies = TRUTH) -> str:
        """navigator.credentials.create(): a new passkey and its attestation."""
        asked = json.loads(options)
        if self.algorithm not in {parameter["alg"] for parameter in asked["pubKeyCredParams"]}:
            raise AssertionError("the site does not take the algorithm")
        held = {passkey.credential_id for passkey in self.passkeys}
        if held & {decode(entry["id"]) for entry in asked["excludeCredentials"]}:
            raise AssertionError("InvalidStateError: the authenticator holds one of the excluded credentials")
        handle = decode(asked["user"]["id"]).decode()
        made = Passkey(secrets.token_bytes(32), _new_key(self.algorithm), handle, counts=not self.synced)
        self.passkeys.append(made)
        credential_id = lies.credential_id or made.credential_id
        attested = bytes(16) + struct.pack(">H", len(credential_id)) + credential_id + (lies.public_key or cose(made.key))
        data = self._data(asked["rp"]["id"], lies, made, extra_flags=AT) + attested
        client_data = self._client_data("webauthn.create", asked["challenge"], lies)
        statement = lies.statement if lies.statement is not None else {}
        if lies.fmt == "packed" and lies.statement is None:
            statement = {"alg": self.algorithm, "sig": sign(made.key, data + sha256(client_data).digest())}
        attestation = cbor2.dumps({"fmt": lies.fmt, "attStmt": statement, "authData": data})
        response = {"clientDataJSON": encode(client_data), "attestationObject": encode(attestation), "transports": ["internal", "hybrid"]}
        return json.dumps({"id": encode(credential_id), "rawId": encode(credential_id), "type": "public-key", "response": response})

    def get(self, options: str, lies: Lies = TRUTH, *, passkey: Passkey | None = None) -> str:
        """navigator.credentials.get(): signs with a passkey that the site allows, or with the only one."""
        asked = json.loads(options)
        allowed = {decode(entry["id"]) for entry in asked["allowCredentials"]}
        chosen = passkey or next((held for held in self.passkeys if not allowed or held.credential_id in allowed), None)
        if chosen is None:
            raise AssertionError("NotAllowedError: no passkey that the site allows")
        if chosen.counts:
            chosen.count += 1
        data = self._data(asked["rpId"], lies, chosen)
        client_data = self._client_data("webauthn.get", asked["challenge"], lies)
        signature = sign(chosen.key, data + sha256(client_data).digest())
        credential_id = encode(lies.credential_id or chosen.credential_id)
        handle = lies.user_handle or chosen.user_handle
        response = {
            "clientDataJSON": encode(client_data),
            "authenticatorData": encode(data),
            "signature": encode(lies.signature(signature) if lies.signature else signature),
            "userHandle": None if lies.no_user_handle else encode(handle.encode()),
        }
        return json.dumps({"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response})

    def _data(self, rp_id: str, lies: Lies, passkey: Passkey, *, extra_flags: int = 0) -> bytes:
        flags = UP | (UV if self.verifies else 0) | (BE | BS if self.synced else 0) | extra_flags
        flags = (flags | lies.flags) & ~lies.no_flags
        count = passkey.count if lies.count is None else lies.count
        return sha256((lies.rp_id or rp_id).encode()).digest() + bytes([flags]) + struct.pack(">I", count)

    def _client_data(self, kind: str, challenge: str, lies: Lies) -> bytes:
        said: dict[str, Any] = {
            "type": lies.kind or kind,
            "challenge": lies.challenge or challenge,
            "origin": lies.origin or self.origin,
            "crossOrigin": lies.cross_origin,
        }
        return json.dumps(said).encode()


def cose(key: SigningKey) -> bytes:
    """The public half as a COSE key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = key.public_key().public_numbers()
        curve, size = (1, 32) if key.curve.name == "secp256r1" else (2, 48)
        return cbor2.dumps({1: 2, 3: -7, -1: curve, -2: numbers.x.to_bytes(size, "big"), -3: numbers.y.to_bytes(size, "big")})
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return cbor2.dumps({1: 1, 3: -8, -1: 6, -2: key.public_key().public_bytes_raw()})
    public = key.public_key().public_numbers()
    size = (public.n.bit_length() + 7) // 8
    return cbor2.dumps({1: 3, 3: -257, -1: public.n.to_bytes(size, "big"), -2: public.e.to_bytes(3, "big")})


def sign(key: SigningKey, data: bytes) -> bytes:
    """A signature as the key's algorithm has it."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Back."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _new_key(algorithm: int) -> SigningKey:
    if algorithm == -7:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == -8:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)
