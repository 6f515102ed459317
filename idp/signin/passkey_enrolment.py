"""Adding a passkey: behind the guard when it is offered, and again when it is made.

Owns the two ends of the registration ceremony for one person, and the Factor that comes of it. The guard and the writing are enrolment.py's, what
WebAuthn says ceremony.py's. Source: WebAuthn Level 3 section 7.1.
"""

from typing import Literal

from idp.audit import Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, digest
from idp.errors import Refused
from idp.signin.ceremony import Ceremonies, Tie, User
from idp.signin.enrolment import Asking, Enrolment, EnrolmentRefused, tidy_label
from idp.signin.factor import FactorProof
from idp.signin.passkey_answer import NewCredential
from idp.store.base import Factor
from idp.store.database import Database, Transaction
from policies.assurance import Method

KIND: Literal["passkey"] = "passkey"


class PasskeyEnrolment:
    """Offers a registration and turns what comes back into a Factor. Safe between threads; build one per process."""

    def __init__(self, ceremonies: Ceremonies, enrolment: Enrolment, *, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._ceremonies = ceremonies
        self._enrolment = enrolment
        self._database = database
        self._keyring = keyring
        self._clock = clock

    def begin(self, asking: Asking, tie: Tie, *, origin: Origin) -> str:
        """The options of navigator.credentials.create() as JSON. Raises EnrolmentRefused (the Event is written), StoreUnavailable.

        An authenticator that holds a passkey of this person already is not asked for another.
        """
        self._check_possible(asking, origin)
        self._enrolment.permit(asking, KIND, origin)
        with self._database.read() as tx:
            account, present = tx.people.get(asking.account_id), passkeys_of(tx, asking.account_id)
        if account is None or not account.is_active:
            raise self._enrolment.refused(asking, Reason.ACCOUNT_NOT_ACTIVE, origin, kind=KIND)
        user = User(user_handle(self._keyring, account.id), account.username or account.email or account.name, account.name)
        return self._ceremonies.ask_registration(account.id, user, tie, excluded=present)

    def finish(self, asking: Asking, response: str, tie: Tie, *, label: str, origin: Origin) -> tuple[Factor, FactorProof]:
        """The new Factor, which was just proven by being made. Raises EnrolmentRefused (the Event is written), StoreUnavailable.

        The guard is asked again: much may have changed since `begin`.
        """
        self._check_possible(asking, origin)
        permit = self._enrolment.permit(asking, KIND, origin)
        try:
            made = self._ceremonies.finish_registration(response, tie, account_id=asking.account_id)
        except Refused as error:
            raise self._enrolment.refused(asking, Reason(error.reason), origin, kind=KIND) from error
        factor = self._factor(asking.account_id, made, label=label, zone=permit.zone)
        method = Method.PASSKEY_VERIFIED if made.is_verified else Method.PASSKEY
        try:
            added = self._enrolment.add(permit, factor, origin)
        except EnrolmentRefused as refused:
            if refused.reason != Reason.OFFER_EXPIRED:
                raise
            # The id is new, so it is the credential that is there already: this person's, or somebody else's, living or ended.
            raise self._enrolment.refused(asking, Reason.PASSKEY_ALREADY_ENROLLED, origin, kind=KIND) from refused
        return added, FactorProof(account_id=added.account_id, method=method, factor_id=added.id, at=added.created_at)

    def _check_possible(self, asking: Asking, origin: Origin) -> None:
        if not self._ceremonies.is_possible:
            raise self._enrolment.refused(asking, Reason.PASSKEY_NOT_OFFERED, origin, kind=KIND)

    def _factor(self, account_id: str, made: NewCredential, *, label: str, zone: str) -> Factor:
        now = self._clock.now()
        return Factor(
            id=self._clock.new_id(),
            account_id=account_id,
            kind=KIND,
            label=tidy_label(label),
            hint="",
            credential_digest=digest(made.credential_id),
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            transports=made.transports,
            is_synced=made.is_synced,
            aaguid=made.aaguid,
            enrolled_zone=zone,
            last_used_at=now,
            created_at=now,
        )


def passkeys_of(tx: Transaction, account_id: str) -> tuple[Factor, ...]:
    """A person's passkeys that have not ended, oldest first."""
    return tuple(factor for factor in tx.factors.open_of(account_id) if factor.kind == KIND)


def user_handle(keyring: Keyring, account_id: str) -> str:
    """What authenticators keep of a person: 43 characters that say nothing and are the same for all their passkeys (section 14.6.1)."""
    return keyring.keyed_hash("passkey user handle", account_id)
