"""The password proof: throttle, then one hash, then the verdict; the same work and the same words on every failing path.

Owns the order of these steps, the Event with the true reason, and what the person may be told (nothing but "wrong", or how long to wait). Calls
local.py and throttle.py; no SQL transaction is open while a hash is computed. Sources: CNIL 2017-012 and 2022-100, OWASP Authentication.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, PasswordHasher
from idp.errors import Refused
from idp.signin.interaction import Proof
from idp.signin.local import ACR_PASSWORD, AMR_PASSWORD, CONNECTOR, Candidate, find_candidate, normalise_identifier, verify
from idp.signin.throttle import LoginThrottle, TryKeys
from idp.store.database import Database
from policies.lockout import Throttle


class LoginRefused(Refused):
    """A try at a password failed or was not admitted. The public learns `is_throttled`, the wait and the tries left; never the reason."""

    def __init__(self, reason: Reason, *, wait: timedelta = timedelta(0), tries_left: int | None = None) -> None:
        super().__init__(reason)
        self.is_throttled = reason is Reason.THROTTLED
        self.wait = wait
        self.tries_left = tries_left

    @property
    def wait_minutes(self) -> int:
        """Whole minutes to wait, rounded up; 0 when waiting does not help and the contact must."""
        return math.ceil(self.wait / timedelta(minutes=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPlace:
    """Where a try is made: the client asking (None for our own pages) and the establishment we think of."""

    client_id: str | None
    establishment_id: str | None
    origin: Origin


class Login:
    """Checks passwords of local accounts."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        *,
        throttle: LoginThrottle,
        keyring: Keyring,
        clock: Clock,
        allows_demo: bool,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._throttle = throttle
        self._keyring = keyring
        self._clock = clock
        self._allows_demo = allows_demo

    def prove(self, typed: str, password: str, place: LoginPlace) -> Proof:
        """Who has typed this. Raises LoginRefused (the Event is written), StoreUnavailable when a try cannot be counted.

        The successful proof writes no Event of its own: the end of the sign-in, or its refusal, does.
        """
        began = self._clock.now()
        identifier = normalise_identifier(typed)
        with self._database.read() as tx:
            candidate = find_candidate(tx, identifier, place.establishment_id)
        keys = self._throttle.keys(identifier, candidate.account.id if candidate.account else None)
        self._admit(keys, candidate, identifier, place=place)
        reason = verify(self._hasher, candidate, password)
        if reason is None and candidate.account and candidate.account.is_demo and not self._allows_demo:
            reason = Reason.DEMO_ACCOUNT
        if reason is not None or candidate.account is None or candidate.password is None:
            self._record(reason or Reason.NOTHING_SAID, candidate, identifier, place=place)
            outlook = self._throttle.outlook(keys)
            raise LoginRefused(reason or Reason.NOTHING_SAID, tries_left=outlook.tries_left_before_wait)
        self._throttle.clear(keys)
        self._strengthen(candidate.account.id, candidate.password.hash, password)
        return Proof(
            account_id=candidate.account.id,
            auth_time=began,
            amr=AMR_PASSWORD,
            acr=ACR_PASSWORD,
            connector=CONNECTOR,
            must_change_password=candidate.password.must_change,
            credential_at=candidate.password.changed_at,
        )

    def _admit(self, keys: TryKeys, candidate: Candidate, identifier: str, *, place: LoginPlace) -> Throttle:
        answer = self._throttle.admit(keys)
        if not answer.is_allowed:
            self._record(Reason.THROTTLED, candidate, identifier, place=place, throttle=answer.reason)
            raise LoginRefused(Reason.THROTTLED, wait=answer.wait)
        return answer

    def _strengthen(self, account_id: str, encoded: str, password: str) -> None:
        """Hash again with today's parameters when they have grown since (OWASP Password Storage: upgrading the work factor)."""
        if self._hasher.needs_rehash(encoded):
            stronger = self._hasher.hash(password)
            with self._database.write() as tx:
                tx.people.rehash_password(account_id, encoded, stronger)

    def _record(self, reason: Reason, candidate: Candidate, identifier: str, *, place: LoginPlace, throttle: str | None = None) -> None:
        account = candidate.account
        event = Event(
            type=EventType.SIGNIN_REFUSED,
            at=self._clock.now(),
            actor="anonymous",
            origin=place.origin,
            reason=reason,
            account_id=account.id if account else None,
            # People type passwords in the wrong field: what matched nobody is never kept as it is.
            identifier_hash=None if account else self._keyring.keyed_hash("identifier", identifier),
            client_id=place.client_id,
            establishment_id=place.establishment_id,
            connector=CONNECTOR,
            details={"throttle": throttle} if throttle else {},
        )
        with self._database.write() as tx:
            tx.events.append(event)
