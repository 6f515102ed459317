"""Our credential in Entra, a secret or a certificate with its key: as msal wants it, and until when it holds.

Entra never says that a secret will end: sign-ins simply stop one morning (AADSTS7000222). The day is therefore a setting, or the certificate's own.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from connectors.base import SourceUnreachable
from connectors.entra.settings import EntraSettings

WARNS_BEFORE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Credential:
    """`value` is msal's client_credential. `ends_at` is None when nobody said."""

    kind: str  # "secret" or "certificate"
    ends_at: datetime | None
    value: Any = field(repr=False)


def ends_at(settings: EntraSettings) -> datetime | None:
    """When the credential ends; None when nobody said, or the certificate cannot be read (`connector check` says so)."""
    try:
        return read_credential(settings).ends_at
    except SourceUnreachable:
        return None


def read_credential(settings: EntraSettings) -> Credential:
    """The credential of the settings. Raises SourceUnreachable (service_account) when the certificate's file is not what it should be."""
    if settings.certificate is None:
        day = settings.client_secret_expires
        # Entra gives an instant of that day that its page does not show: the beginning is the careful reading.
        return Credential("secret", datetime.combine(day, time.min, UTC) if day else None, settings.client_secret)
    return _read_certificate(settings.certificate)


def _read_certificate(path: Path) -> Credential:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    try:
        pem = path.read_bytes()
    except OSError as error:
        raise SourceUnreachable(f"cannot read the certificate {path}: {error.strerror}", trouble="service_account") from error
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        key = serialization.load_pem_private_key(pem[max(0, _key_begins(pem)) :], password=None)
    except (ValueError, TypeError) as error:
        words = f"{path} does not hold a certificate and its private key, both in PEM and the key without a passphrase"
        raise SourceUnreachable(words, trouble="service_account") from error
    own = next((one for one in certificates if one.public_key() == key.public_key()), None)
    if own is None or not isinstance(key, RSAPrivateKey):
        why = "the private key is not an RSA key, which Entra wants" if own else "the private key is not the certificate's"
        raise SourceUnreachable(f"{path}: {why}", trouble="service_account")
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = own.public_bytes(serialization.Encoding.PEM)
    # msal makes an x5t#S256 thumbprint and a PS256 assertion of these two; a thumbprint of our own would make it use SHA-1.
    value = {"private_key": private.decode("ascii"), "public_certificate": public.decode("ascii")}
    return Credential("certificate", own.not_valid_after_utc, value)


def _key_begins(pem: bytes) -> int:
    """Where the private key begins: the certificate may come first."""
    marks = [pem.find(mark) for mark in (b"-----BEGIN PRIVATE KEY", b"-----BEGIN RSA PRIVATE KEY", b"-----BEGIN ENCRYPTED PRIVATE KEY")]
    return min((mark for mark in marks if mark >= 0), default=0)
