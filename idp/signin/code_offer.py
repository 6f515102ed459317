"""Adding a telephone or an e-mail address as a factor: it counts once a code that was sent to it has come back.

Owns the offer (the address waits sealed in the ephemeral store, and is no factor until it is proven) and which addresses are served. A number that
the directory gave may be proposed, and is proven like any other. The guard is enrolment.py's, asked before anything is sent and again before anything
is written; the codes are one_time_codes.py's.
"""

import json
from dataclasses import dataclass
from datetime import timedelta

from idp.audit import Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring
from idp.errors import VestibuleError
from idp.messages.address import EMAIL, LONGEST_EMAIL, is_served, parse_phone
from idp.messages.texts import Language
from idp.signin.enrolment import Asking, Enrolment, tidy_label
from idp.signin.factor import FactorProof
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.local import normalise_identifier
from idp.signin.one_time_codes import METHODS, Destination, Kind, OneTimeCodes, Sent
from idp.store.base import Account, Ephemeral, Factor
from idp.store.database import Database

OFFER = "code.offer"
OFFER_SEAL = "code offer"
OFFER_LIFE = timedelta(minutes=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOffer:
    """A number or an address that is being proven. `sent` is None when its code is no good any more: another must be asked."""

    kind: Kind
    hint: str
    sent: Sent | None


class CodeOffers:
    """Offers and enrols telephones and addresses, one of each kind at a time for a person. Safe between threads and processes."""

    def __init__(
        self,
        config: Config,
        database: Database,
        ephemeral: Ephemeral,
        codes: OneTimeCodes,
        *,
        keyring: Keyring,
        clock: Clock,
        throttle: FactorThrottle,
        enrolment: Enrolment,
    ) -> None:
        self._config = config
        self._database = database
        self._ephemeral = ephemeral
        self._codes = codes
        self._keyring = keyring
        self._clock = clock
        self._throttle = throttle
        self._enrolment = enrolment

    def proposal(self, account: Account, kind: Kind) -> str | None:
        """What is known of the person and could be offered, to be proven: their directory's number (as people write it) or address."""
        if kind == "email":
            return account.email
        number = account.phone_number
        if number is None or not is_served(number, self._config.sms.prefixes):
            return None
        return "0" + number.removeprefix("+33") if number.startswith("+33") else number

    def begin(self, asking: Asking, kind: Kind, typed: str, *, origin: Origin, language: Language | None = None) -> CodeOffer:
        """Send a code to a number or an address that is to become a factor; what was being proven before is dropped.

        Raises EnrolmentRefused; FactorRefused as OneTimeCodes.send, and number_not_served.
        """
        self._enrolment.permit(asking, kind, origin)
        address = self._read(kind, typed)
        if address is None:
            raise self._codes.refuse(asking.account_id, Reason.NUMBER_NOT_SERVED, origin, kind=kind)
        where = Destination(factor_id=self._clock.new_id(), kind=kind, address=address, purpose="enrolment_code")
        return self._send(asking, where, origin, language)

    def resend(self, asking: Asking, kind: Kind, *, origin: Origin, language: Language | None = None) -> CodeOffer:
        """Send another code to the same place. Raises EnrolmentRefused; FactorRefused as OneTimeCodes.send, and offer_expired."""
        self._enrolment.permit(asking, kind, origin)
        where = self._open(asking.account_id, kind)
        if where is None:
            raise self._codes.refuse(asking.account_id, Reason.OFFER_EXPIRED, origin, kind=kind)
        return self._send(asking, where, origin, language)

    def pending(self, account_id: str, kind: Kind) -> CodeOffer | None:
        """What the person is proving now, for the page that asks the code."""
        where = self._open(account_id, kind)
        if where is None:
            return None
        code = self._codes.codes.get(account_id, where.factor_id)
        sent = Sent(kind=kind, hint=where.hint, expires_at=code.expires_at, resend_at=code.resend_at) if code else None
        return CodeOffer(kind=kind, hint=where.hint, sent=sent)

    def drop(self, account_id: str, kind: Kind) -> None:
        """The person wants to give another number or address."""
        self._ephemeral.forget(OFFER, _key(account_id, kind))

    def enrol(self, asking: Asking, kind: Kind, typed: str, *, label: str, origin: Origin) -> tuple[Factor, FactorProof]:
        """Add what was offered after a right code, which is a proof and has served. Raises FactorRefused, EnrolmentRefused; Events written."""
        permit = self._enrolment.permit(asking, kind, origin)
        where = self._open(asking.account_id, kind)
        if where is None:
            raise self._codes.refuse(asking.account_id, Reason.OFFER_EXPIRED, origin, kind=kind)
        attempt = self._throttle.admit(asking.account_id, kind, origin)
        code = self._codes.judge(attempt, where.factor_id, typed)
        with self._database.write() as tx:
            is_first = self._codes.codes.spend(tx, code)
        if not is_first:
            raise self._throttle.refused(attempt, Reason.CODE_ALREADY_USED)
        self._codes.codes.close(code)
        self._throttle.clear(attempt)
        now = self._clock.now()
        factor = Factor(
            id=where.factor_id,
            account_id=permit.account_id,
            kind=kind,
            label=tidy_label(label),
            hint=where.hint,
            sealed=self._codes.seal(where.factor_id, where.address),
            enrolled_zone=permit.zone,
            last_used_at=now,
            created_at=now,
        )
        added = self._enrolment.add(permit, factor, origin)
        self.drop(asking.account_id, kind)
        return added, FactorProof(account_id=permit.account_id, method=METHODS[kind], factor_id=factor.id, at=now)

    def _send(self, asking: Asking, where: Destination, origin: Origin, language: Language | None) -> CodeOffer:
        with self._database.read() as tx:
            account = tx.people.get(asking.account_id)
        if account is None:
            raise self._codes.refuse(asking.account_id, Reason.ACCOUNT_NOT_ACTIVE, origin, kind=where.kind)
        sent = self._codes.send_to(account, where, origin, language=language, establishment_id=asking.establishment_id)
        offered = {"factor": where.factor_id, "address": where.address}
        sealed = self._keyring.seal(OFFER_SEAL, json.dumps(offered).encode(), _key(account.id, where.kind))
        self._ephemeral.put(OFFER, _key(account.id, where.kind), sealed, OFFER_LIFE)
        return CodeOffer(kind=where.kind, hint=where.hint, sent=sent)

    def _read(self, kind: Kind, typed: str) -> str | None:
        """The number or the address that was typed, when codes are sent there."""
        if kind == "email":
            address = normalise_identifier(typed)
            return address if len(address) <= LONGEST_EMAIL and address.isascii() and EMAIL.match(address) else None
        try:
            number = parse_phone(typed[:40])
        except ValueError:
            return None
        return number if is_served(number, self._config.sms.prefixes) else None

    def _open(self, account_id: str, kind: Kind) -> Destination | None:
        """Where the offer leads; None when there is none, or it cannot be read any more."""
        key = _key(account_id, kind)
        sealed = self._ephemeral.get(OFFER, key)
        if sealed is None:
            return None
        try:
            offered = json.loads(self._keyring.unseal(OFFER_SEAL, sealed, key))
        except VestibuleError:
            return None  # of another account or kind, or of another master key
        return Destination(factor_id=offered["factor"], kind=kind, address=offered["address"], purpose="enrolment_code")


def _key(account_id: str, kind: str) -> str:
    return f"{account_id} {kind}"
