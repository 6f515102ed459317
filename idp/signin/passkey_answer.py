"""The verdict on what an authenticator answered: WebAuthn Level 3 sections 7.1 and 7.2, from the client data to the signature.

Owns what is read and in which order it is refused, each with its own reason; py_webauthn does the formats and the cryptography. Pure: no store, no
clock; ceremony.py hands in the challenge that it has taken. py_webauthn is imported when an answer is read: it brings OpenSSL.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from idp.audit import Reason
from idp.errors import Refused

if TYPE_CHECKING:
    from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
    from webauthn.helpers.structs import AttestationObject, AuthenticationCredential, AuthenticatorData, RegistrationCredential
    from webauthn.registration.verify_registration_response import VerifiedRegistration

LONGEST_ANSWER = 16_384
LONGEST_CHALLENGE = 200
CREDENTIAL_ID_BYTES = range(16, 1024)  # 100 random bits at least, section 7.1 at most
ES256, EDDSA, RS256 = -7, -8, -257
ALGORITHMS = (ES256, EDDSA, RS256)
SMALLEST_RSA_BITS = 2048
# Nobody asked for more than "none". A browser may still pass on what the key signed about itself; chains of makers' certificates are not for us.
ATTESTATIONS = frozenset({"none", "packed"})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """The relying party: the RP ID is the issuer's host, and the only origin the issuer itself."""

    rp_id: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A credential that an authenticator has just made. `public_key` is COSE; `transports` are space-separated; `is_synced`: it may be copied to
    other devices of its person (backup eligible).
    """

    credential_id: str
    public_key: bytes
    sign_count: int
    aaguid: str
    transports: str
    is_synced: bool
    is_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a right signature says. `is_verified`: the key asked its person for a finger or a PIN."""

    sign_count: int
    is_verified: bool


def read_registration(text: str) -> "RegistrationCredential":
    """What a browser sent after create(). Raises Refused(passkey_malformed)."""
    from webauthn.helpers import parse_registration_credential_json

    return _readable(parse_registration_credential_json, _short(text))


def read_assertion(text: str) -> "AuthenticationCredential":
    """What a browser sent after get(). Raises Refused(passkey_malformed)."""
    from webauthn.helpers import parse_authentication_credential_json

    return _readable(parse_authentication_credential_json, _short(text))


def read_challenge(client_data: bytes) -> str:
    """The challenge that an answer says it answers, base64url. Raises Refused(passkey_malformed)."""
    challenge = _readable(_client_data, client_data).get("challenge")
    if not isinstance(challenge, str) or len(challenge) > LONGEST_CHALLENGE or not challenge.isascii():
        raise Refused(Reason.PASSKEY_MALFORMED, "challenge")
    return challenge


def check_sender(client_data: bytes, site: Site, kind: Literal["webauthn.create", "webauthn.get"]) -> None:
    """The browser was on our own page, in no frame of another's. Raises Refused(passkey_malformed or passkey_wrong_origin)."""
    said = _readable(_client_data, client_data)
    if said.get("type") != kind:
        raise Refused(Reason.PASSKEY_MALFORMED, "an answer to another question")
    if said.get("origin") != site.origin or said.get("crossOrigin") or said.get("topOrigin"):
        raise Refused(Reason.PASSKEY_WRONG_ORIGIN, f"origin {str(said.get('origin'))[:100]!r}")


def verify_registration(given: "RegistrationCredential", challenge: bytes, site: Site) -> NewCredential:
    """A new credential. Raises Refused."""
    from webauthn.helpers import parse_attestation_object
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.registration.verify_registration_response import verify_registration_response

    check_sender(given.response.client_data_json, site, "webauthn.create")
    attested: AttestationObject = _readable(parse_attestation_object, given.response.attestation_object)
    _check_site(attested.auth_data, site)
    if str(attested.fmt) not in ATTESTATIONS or attested.att_stmt.x5c:
        raise Refused(Reason.PASSKEY_MALFORMED, f"attestation {attested.fmt!r} was not asked for")

    def verify() -> "VerifiedRegistration":
        return verify_registration_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )

    made = _readable(verify)
    _readable(_check_key, made.credential_public_key)
    if made.credential_id != given.raw_id or len(made.credential_id) not in CREDENTIAL_ID_BYTES:
        raise Refused(Reason.PASSKEY_MALFORMED, "credential id")
    return NewCredential(
        credential_id=encode(made.credential_id),
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        aaguid=made.aaguid,
        transports=" ".join(sorted({transport.value for transport in given.response.transports or ()})),
        is_synced=made.credential_device_type == "multi_device",
        is_verified=made.user_verified,
    )


def verify_assertion(given: "AuthenticationCredential", challenge: bytes, site: Site, *, public_key: bytes) -> Assertion:
    """What the signature covers, when it is right. Raises Refused.

    The counter is the caller's to judge: the library would do so before the signature, and anybody could then raise the alarm about copies.
    """
    from webauthn.authentication.verify_authentication_response import verify_authentication_response
    from webauthn.helpers import parse_authenticator_data

    check_sender(given.response.client_data_json, site, "webauthn.get")
    _check_site(_readable(parse_authenticator_data, given.response.authenticator_data), site)

    def verify() -> "VerifiedAuthentication":
        return verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
        )

    made = _readable(verify, otherwise=Reason.PASSKEY_WRONG_SIGNATURE)
    return Assertion(sign_count=made.new_sign_count, is_verified=made.user_verified)


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of `encode`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _readable(read: Callable[..., T], *given: Any, otherwise: Reason = Reason.PASSKEY_MALFORMED) -> T:
    """What `read` makes of bytes that anybody may have sent. The library leaks KeyError, TypeError and more of its own kin: each is a refusal."""
    try:
        return read(*given)
    except Refused:
        raise
    except Exception as error:
        raise Refused(otherwise, f"{type(error).__name__}: {error}"[:300]) from error


def _short(text: str) -> str:
    if not text or len(text) > LONGEST_ANSWER:
        raise Refused(Reason.PASSKEY_MALFORMED, f"{len(text)} characters")
    return text


def _client_data(raw: bytes) -> dict[str, Any]:
    said = json.loads(raw)
    if not isinstance(said, dict):
        raise Refused(Reason.PASSKEY_MALFORMED, "clientDataJSON")
    return said


def _check_site(data: "AuthenticatorData", site: Site) -> None:
    if data.rp_id_hash != sha256(site.rp_id.encode()).digest():
        raise Refused(Reason.PASSKEY_WRONG_ORIGIN, "signed for another site")
    if not data.flags.up:
        raise Refused(Reason.PASSKEY_NOT_VERIFIED, "nobody touched the key")


def _check_key(public_key: bytes) -> None:
    """Refuse a key that could never verify, or too weakly: it would be found out only at the next sign-in."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography

    decoded = decode_credential_public_key(public_key)
    key = decoded_public_key_to_cryptography(decoded)
    algorithm = int(decoded.alg)
    if isinstance(key, EllipticCurvePublicKey):
        is_sound = algorithm == ES256 and key.curve.name == "secp256r1"
    elif isinstance(key, RSAPublicKey):
        is_sound = algorithm == RS256 and key.key_size >= SMALLEST_RSA_BITS
    else:
        is_sound = algorithm == EDDSA
    if not is_sound:
        raise Refused(Reason.PASSKEY_MALFORMED, f"a key that does not fit its algorithm {algorithm}")
