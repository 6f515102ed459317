"""TOTP: six digits of an authenticator application (RFC 6238: SHA-1, 30 s), enrolled with a QR code that is drawn here.

Owns the secret (160 random bits, sealed to its factor's id), the offer of a new one, and the judgement of a code: right for a step from one before
to one after the present one, once; right for another time within ten minutes, which says that the telephone's clock is wrong; or wrong. That no step
serves twice is one conditional UPDATE in SQL (RFC 6238 section 5.2), whatever worker or store fails meanwhile.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, same
from idp.errors import VestibuleError
from idp.signin.enrolment import Asking, Enrolment, tidy_label
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.typed_code import read_digits
from idp.store.base import Account, Ephemeral, Factor
from idp.store.database import Database
from policies.assurance import Method

KIND = "totp"
SEAL = "totp secret"
OFFER_SEAL = "totp offer"
SECRET_BYTES = 20
DIGITS = 6
STEP = timedelta(seconds=30)
WINDOW = (0, -1, 1)
DRIFT_STEPS = 20  # ten minutes either way
OFFER_LIFE = timedelta(minutes=20)
TOLD = "totp.told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A secret to put into an authenticator application. `token` goes back with the first code; `svg` is the QR code of `uri`."""

    token: str
    secret: str
    uri: str
    svg: str

    @property
    def typed(self) -> str:
        """The secret in groups of four, for who cannot scan."""
        return " ".join(self.secret[start : start + 4] for start in range(0, len(self.secret), 4))

    def __repr__(self) -> str:
        return "Offer(…)"  # a traceback or a log line must not show a secret


class Totp:
    """Offers, enrols and proves. Safe between threads and processes. `issuer` is the name that applications show."""

    def __init__(
        self,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        *,
        clock: Clock,
        throttle: FactorThrottle,
        enrolment: Enrolment,
        issuer: str,
    ) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._throttle = throttle
        self._enrolment = enrolment
        self._issuer = issuer.replace(":", " ")

    def begin(self, account: Account) -> Offer:
        """A new secret. Nothing is kept here: the token holds it, sealed to the account, for OFFER_LIFE."""
        factor_id = self._clock.new_id()
        secret = self._clock.random_bytes(SECRET_BYTES)
        offered = {"secret": base64.b64encode(secret).decode(), "until": (self._clock.now() + OFFER_LIFE).isoformat()}
        sealed = self._keyring.seal(OFFER_SEAL, json.dumps(offered).encode(), f"{account.id} {factor_id}")
        return self._show(account, secret, f"{factor_id}.{base64.urlsafe_b64encode(sealed).decode()}")

    def again(self, account: Account, token: str) -> Offer:
        """The same offer, to be shown again after a wrong code; a new one when it is over."""
        opened = self._open(account.id, token)
        return self._show(account, opened[1], token) if opened else self.begin(account)

    def enrol(self, asking: Asking, token: str, typed: str, *, label: str, origin: Origin) -> tuple[Factor, FactorProof]:
        """Add the offered factor after a right code, which is a proof and has served. Raises FactorRefused, EnrolmentRefused; Events written."""
        permit = self._enrolment.permit(asking, KIND, origin)
        opened = self._open(permit.account_id, token)
        if opened is None:
            raise self._refused(permit.account_id, Reason.OFFER_EXPIRED, origin)
        factor_id, secret = opened
        now = self._clock.now()
        step = _find(secret, typed, now, WINDOW)
        if step is None:
            is_drift = _find(secret, typed, now, _drift()) is not None
            raise self._refused(permit.account_id, Reason.TOTP_CLOCK_DRIFT if is_drift else Reason.WRONG_CODE, origin)
        factor = Factor(
            id=factor_id,
            account_id=permit.account_id,
            kind="totp",
            label=tidy_label(label),
            hint="",
            sealed=self._keyring.seal(SEAL, secret, factor_id),
            last_step=step,
            enrolled_zone=permit.zone,
            last_used_at=now,
            created_at=now,
        )
        added = self._enrolment.add(permit, factor, origin)
        return added, FactorProof(account_id=permit.account_id, method=Method.TOTP, factor_id=factor_id, at=now)

    def prove(self, account_id: str, typed: str, origin: Origin, *, factor_id: str | None = None) -> FactorProof:
        """Judge a code against the person's applications, or one of them. Raises FactorRefused (the Event is written), StoreUnavailable."""
        attempt = self._throttle.admit(account_id, KIND, origin)
        with self._database.read() as tx:
            enrolled = [one for one in tx.factors.open_of(account_id) if one.kind == KIND and factor_id in {None, one.id}]
        now = self._clock.now()
        secrets = {one.id: self._keyring.unseal(SEAL, one.sealed or b"", one.id) for one in enrolled}
        for found_id, secret in secrets.items():
            if (step := _find(secret, typed, now, WINDOW)) is None:
                continue
            if not self._serve(found_id, step, now):
                raise self._throttle.refused(attempt, Reason.CODE_ALREADY_USED, factor_id=found_id)
            self._throttle.clear(attempt)
            return FactorProof(account_id=account_id, method=Method.TOTP, factor_id=found_id, at=now)
        for found_id, secret in secrets.items():
            if (step := _find(secret, typed, now, _drift())) is not None:
                # Who guessed a code of the future is told so: it must not serve when its time has come.
                self._ephemeral.put(TOLD, f"{found_id} {step}", b"1", DRIFT_STEPS * STEP * 2)
                raise self._throttle.refused(attempt, Reason.TOTP_CLOCK_DRIFT, factor_id=found_id)
        raise self._throttle.refused(attempt, Reason.WRONG_CODE if enrolled else Reason.NO_SUCH_FACTOR)

    def _serve(self, factor_id: str, step: int, now: datetime) -> bool:
        if self._ephemeral.get(TOLD, f"{factor_id} {step}") is not None:
            return False
        with self._database.write() as tx:
            return tx.factors.use_step(factor_id, step, now)

    def _show(self, account: Account, secret: bytes, token: str) -> Offer:
        import segno  # only who adds a factor needs it

        text = base64.b32encode(secret).decode()
        name = (account.username or account.email or account.name).replace(":", " ")
        uri = pyotp.TOTP(text, name=name, issuer=self._issuer).provisioning_uri()
        # Dark on light in every theme: many telephones do not read the reverse.
        svg = segno.make_qr(uri, error="m").svg_inline(border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None)
        return Offer(token=token, secret=text, uri=uri, svg=svg)

    def _open(self, account_id: str, token: str) -> tuple[str, bytes] | None:
        """The factor's id and secret of an offer to this account; None when it is over, or no offer of ours."""
        factor_id, _, sealed = token[:1_000].partition(".")
        try:
            offered = json.loads(self._keyring.unseal(OFFER_SEAL, base64.urlsafe_b64decode(sealed), f"{account_id} {factor_id}"))
        except (VestibuleError, binascii.Error, ValueError):
            return None  # somebody else's, altered, or no token at all
        if self._clock.now() > datetime.fromisoformat(offered["until"]):
            return None
        return factor_id, base64.b64decode(offered["secret"])

    def _refused(self, account_id: str, reason: Reason, origin: Origin) -> FactorRefused:
        """A first code that is not right is not counted: whoever types it has the secret before their eyes."""
        event = Event(
            type=EventType.FACTOR_REFUSED,
            at=self._clock.now(),
            actor=f"account:{account_id}",
            origin=origin,
            reason=reason,
            account_id=account_id,
            details={"kind": KIND, "enrolling": True},
        )
        with self._database.write() as tx:
            tx.events.append(event)
        return FactorRefused(reason)


def _drift() -> tuple[int, ...]:
    """Steps beside the window, the nearest first."""
    return tuple(offset for distance in range(2, DRIFT_STEPS + 1) for offset in (-distance, distance))


def _find(secret: bytes, typed: str, now: datetime, offsets: tuple[int, ...]) -> int | None:
    """The time step near `now` whose code was typed; every code is compared, whichever is right."""
    code = read_digits(typed, DIGITS)
    if code is None:
        return None
    generator = pyotp.TOTP(base64.b32encode(secret).decode())
    present = int(now.timestamp()) // int(STEP.total_seconds())
    right = [present + offset for offset in offsets if same(generator.generate_otp(present + offset), code)]
    return max(right, default=None)  # by chance one code may be right for two steps: then it has served for both
