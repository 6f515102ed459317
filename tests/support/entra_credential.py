"""A certificate of ours for the stand-in: the file that the connector reads, and what is uploaded there."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PEM, NO_PASSWORD = serialization.Encoding.PEM, serialization.NoEncryption()


@dataclass(frozen=True)
class ClientCertificate:
    """`file` holds the certificate and its key. `thumbprint` is x5t#S256, as Entra knows it."""

    file: Path
    thumbprint: str
    public_key: bytes


@cache
def _rsa(name: str) -> rsa.RSAPrivateKey:
    """One for each name: making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def make_certificate(
    folder: Path,
    *,
    ends_at: datetime,
    name: str = "ours",
    key_first: bool = False,
    elliptic: bool = False,
    key_of: str | None = None,
    passphrase: bytes | None = None,
) -> ClientCertificate:
    """A self-signed one. `key_of`: the file holds another's key."""
    key = ec.generate_private_key(ec.SECP256R1()) if elliptic else _rsa(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vestibule")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends_at - timedelta(days=365))
        .not_valid_after(ends_at)
        .sign(key, hashes.SHA256())
    )
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else NO_PASSWORD
    held = _rsa(key_of) if key_of else key
    parts = [certificate.public_bytes(PEM), held.private_bytes(PEM, serialization.PrivateFormat.PKCS8, protection)]
    file = folder / f"{name}.pem"
    file.write_bytes(b"".join(reversed(parts) if key_first else parts))
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return ClientCertificate(file, thumbprint, public)
