"""WebAuthn ceremonies: what a browser is asked, and the challenge that it answers once.

Owns challenges (256 random bits in the ephemeral store, tied to one browser and one page, taken before anything is verified) and the options of
navigator.credentials as JSON; passkey_answer.py judges the answers. Knows no account: passkeys.py does. Source: WebAuthn Level 3 sections 5.4, 5.5
and 13.4.3.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from idp.audit import Reason
from idp.clock import Clock
from idp.crypto import digest, same
from idp.errors import Refused
from idp.signin.passkey_answer import (
    ALGORITHMS,
    Assertion,
    NewCredential,
    Site,
    check_sender,
    decode,
    encode,
    read_assertion,
    read_challenge,
    read_registration,
    verify_assertion,
    verify_registration,
)
from idp.store.base import Ephemeral, Factor

if TYPE_CHECKING:
    from webauthn.helpers.structs import AuthenticationCredential

KIND = "passkey.challenge"
CHALLENGE_BYTES = 32
# What a person is given to find a key and type its PIN (section 15.1: 5 to 10 minutes); a browser takes it as a hint.
PATIENCE = timedelta(minutes=5)
TRANSPORTS = frozenset({"usb", "nfc", "ble", "smart-card", "internal", "cable", "hybrid"})


class Purpose(StrEnum):
    """What a challenge was given for; it serves for nothing else."""

    ENROL = "enrol"
    SECOND_FACTOR = "second_factor"
    PASSWORDLESS = "passwordless"


@dataclass(frozen=True, slots=True)
class Tie:
    """Where a ceremony takes place: the browser's secret, and the Interaction or the Session that its page belongs to."""

    browser: str
    place: str

    def __repr__(self) -> str:
        return "Tie(…)"  # a traceback must not show the browser's secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a challenge stands for. `account_id` is None as long as nobody is known (passwordless)."""

    purpose: Purpose
    account_id: str | None
    requires_verification: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Whom a new passkey is for, as authenticators keep and show it. `handle` is opaque, lasting, and the same for all of one person's."""

    handle: str
    name: str
    displayed_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An assertion that answers a challenge of ours from our own page; who signed it is still to be shown."""

    credential_id: str
    user_handle: str | None
    asked: Asked
    challenge: bytes
    given: "AuthenticationCredential"


class Ceremonies:
    """Asks, and takes each challenge once."""

    def __init__(self, ephemeral: Ephemeral, clock: Clock, *, issuer: str, name: str) -> None:
        self._ephemeral = ephemeral
        self._clock = clock
        self._name = name
        self._site = Site(urlsplit(issuer).hostname or "", issuer)

    @property
    def is_possible(self) -> bool:
        """Whether browsers know passkeys at this issuer: a host with a name, never a bare address (section 5.1.3)."""
        try:
            ip_address(self._site.rp_id)
        except ValueError:
            return bool(self._site.rp_id)
        return False

    def ask_registration(self, account_id: str, user: User, tie: Tie, *, excluded: Sequence[Factor]) -> str:
        """The options of navigator.credentials.create() as JSON.

        The key is asked to keep the passkey itself (residentKey) and to verify the person, both where it can: such a one also serves without a
        password, which asks for both again. A plain security key is taken all the same, as a second factor.
        """
        asked = Asked(purpose=Purpose.ENROL, account_id=account_id)
        return json.dumps(
            {
                "rp": {"id": self._site.rp_id, "name": self._name},
                "user": {"id": encode(user.handle.encode()), "name": user.name, "displayName": user.displayed_name},
                "challenge": self._challenge(asked, tie, PATIENCE),
                "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
                "timeout": PATIENCE // timedelta(milliseconds=1),
                "attestation": "none",
                "authenticatorSelection": {"residentKey": "preferred", "requireResidentKey": False, "userVerification": "preferred"},
                "excludeCredentials": [_descriptor(factor) for factor in excluded],
            }
        )

    def ask_assertion(self, asked: Asked, tie: Tie, *, allowed: Sequence[Factor] = (), life: timedelta = PATIENCE) -> str:
        """The options of navigator.credentials.get() as JSON; nobody `allowed`: whichever passkey the browser holds for us."""
        return json.dumps(
            {
                "rpId": self._site.rp_id,
                "challenge": self._challenge(asked, tie, life),
                "timeout": PATIENCE // timedelta(milliseconds=1),
                "userVerification": "required" if asked.requires_verification else "preferred",
                "allowCredentials": [_descriptor(factor) for factor in allowed],
            }
        )

    def finish_registration(self, text: str, tie: Tie, *, account_id: str) -> NewCredential:
        """The credential in what a browser sent. Raises Refused with a passkey_* reason; the challenge is spent whatever comes of it."""
        given = read_registration(text)
        challenge, asked = self._take(given.response.client_data_json, tie, Purpose.ENROL)
        if asked.account_id != account_id:
            raise Refused(Reason.PASSKEY_CHALLENGE_MISPLACED, "given to another person")
        return verify_registration(given, challenge, self._site)

    def read_assertion(self, text: str, tie: Tie, purpose: Purpose) -> Answer:
        """What a browser sent, when it answers a challenge of this page. Raises Refused with a passkey_* reason; the challenge is spent."""
        given = read_assertion(text)
        challenge, asked = self._take(given.response.client_data_json, tie, purpose)
        check_sender(given.response.client_data_json, self._site, "webauthn.get")
        handle = given.response.user_handle
        return Answer(
            credential_id=encode(given.raw_id),
            user_handle=handle.decode("utf-8", "replace") if handle else None,
            asked=asked,
            challenge=challenge,
            given=given,
        )

    def verify_assertion(self, answer: Answer, public_key: bytes) -> Assertion:
        """The verdict on the signature, and that its person was verified where that was asked. Raises Refused."""
        assertion = verify_assertion(answer.given, answer.challenge, self._site, public_key=public_key)
        if answer.asked.requires_verification and not assertion.is_verified:
            raise Refused(Reason.PASSKEY_NOT_VERIFIED, "the key was touched, its person not verified")
        return assertion

    def _challenge(self, asked: Asked, tie: Tie, life: timedelta) -> str:
        challenge = encode(self._clock.random_bytes(CHALLENGE_BYTES))
        kept = [asked.purpose, asked.account_id, asked.requires_verification, _tie_digest(tie)]
        # Under its own digest and not under the page's: the same page may be open in two tabs.
        self._ephemeral.put(KIND, digest(challenge), json.dumps(kept).encode(), life)
        return challenge

    def _take(self, client_data: bytes, tie: Tie, purpose: Purpose) -> tuple[bytes, Asked]:
        challenge = read_challenge(client_data)
        stored = self._ephemeral.take(KIND, digest(challenge))
        if stored is None:
            raise Refused(Reason.PASSKEY_CHALLENGE_EXPIRED, "never given, too old, or used before")
        given_for, account_id, requires_verification, tied_to = json.loads(stored)
        if given_for != purpose or not same(tied_to, _tie_digest(tie)):
            raise Refused(Reason.PASSKEY_CHALLENGE_MISPLACED, f"given for {given_for}, or to another page")
        return decode(challenge), Asked(purpose=purpose, account_id=account_id, requires_verification=requires_verification)


def _tie_digest(tie: Tie) -> str:
    return digest(f"{tie.browser} {tie.place}")


def _descriptor(factor: Factor) -> dict[str, Any]:
    transports = [transport for transport in (factor.transports or "").split() if transport in TRANSPORTS]
    return {"type": "public-key", "id": factor.credential_id, **({"transports": transports} if transports else {})}
