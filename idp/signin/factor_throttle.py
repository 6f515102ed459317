"""Counting tries at second factors, in the ephemeral store; policies/lockout.py says what the counts mean.

A try is counted before anything is checked, per person and kind, and over all kinds in a day; a success forgets the kind's failures and gives the
day one try back, so that a person who signs in every morning does not reset the count of whoever guesses at night. Every refusal is written here
as an Event. A store that does not answer raises StoreUnavailable: nothing is admitted. Figures: CNIL 2022-100, idp/config/factors.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import FactorSettings
from idp.crypto import Keyring
from idp.signin.factor import FactorRefused
from idp.store.base import Ephemeral
from idp.store.database import Database
from policies.lockout import LOCKED_UNTIL_ADMIN, LockoutFacts, LockoutMode, LockoutRules, Throttle, decide

KINDS = ("totp", "passkey", "sms", "email", "recovery", "pass")
FAILURES = "factor.failures"
LAST = "factor.last_failure"
DAY_OF_PERSON = "factor.day"
DAY = timedelta(hours=24)
UNTIL_UNBLOCKED = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorTry:
    """One admitted try: already counted as a failure. `tries_left` counts it: 1 means that its failure brings a wait or a block."""

    account_id: str
    kind: str
    origin: Origin
    tries_left: int


class FactorThrottle:
    """Admits tries at the second factors of one person and writes why one is refused. Safe between threads and processes."""

    def __init__(self, database: Database, ephemeral: Ephemeral, keyring: Keyring, *, clock: Clock, settings: FactorSettings) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._rules = LockoutRules(
            mode=LockoutMode.TIMED_THEN_ADMIN,
            first_wait_at=settings.free_tries,
            waits=settings.waits,
            max_failures_24h=settings.daily_cap,
            lock_at=settings.block_after,
        )

    def admit(self, account_id: str, kind: str, origin: Origin) -> FactorTry:
        """Count a try at a kind of factor (one of KINDS). Raises FactorRefused(throttled or factor_blocked), StoreUnavailable.

        End it with `clear` when it succeeds, `refused` when it fails, `forgive` when nothing could be checked.
        """
        key, person = self._keys(account_id, kind)
        seen, seen_today, last = self._seen(key, person)
        answer = self._decide(seen, seen_today, last)
        if answer.is_allowed:
            now = self._clock.now()
            # The instant is written before the count, and the count read before the instant: whoever sees the count sees the instant too.
            self._ephemeral.put(LAST, key, now.isoformat().encode(), UNTIL_UNBLOCKED)
            before = self._ephemeral.count(FAILURES, key, UNTIL_UNBLOCKED) - 1
            before_today = self._ephemeral.count(DAY_OF_PERSON, person, DAY) - 1
            # Others may have been admitted meanwhile: this try is judged as coming after theirs.
            answer = self._decide(before, before_today, now if before != seen else last)
        attempt = FactorTry(account_id=account_id, kind=kind, origin=origin, tries_left=answer.tries_left_before_wait)
        if not answer.is_allowed:
            reason = Reason.FACTOR_BLOCKED if answer.reason == LOCKED_UNTIL_ADMIN else Reason.THROTTLED
            self._record(attempt, reason, {"kind": kind, "throttle": answer.reason})
            raise FactorRefused(reason, wait=answer.wait, tries_left=0)
        return attempt

    def clear(self, attempt: FactorTry) -> None:
        """The try succeeded."""
        key, person = self._keys(attempt.account_id, attempt.kind)
        self._ephemeral.forget(FAILURES, key)
        self._ephemeral.forget(LAST, key)
        self._ephemeral.uncount(DAY_OF_PERSON, person)

    def forgive(self, attempt: FactorTry) -> None:
        """Take the try back: it could not be checked at all."""
        key, person = self._keys(attempt.account_id, attempt.kind)
        self._ephemeral.uncount(FAILURES, key)
        self._ephemeral.uncount(DAY_OF_PERSON, person)

    def refused(self, attempt: FactorTry, reason: Reason, *, factor_id: str | None = None) -> FactorRefused:
        """The try failed: write the Event; the exception to raise says what the next try would be told."""
        details: dict[str, str | int | bool | None] = {"kind": attempt.kind}
        self._record(attempt, reason, {**details, "factor": factor_id} if factor_id else details)
        next_try = self._decide(*self._seen(*self._keys(attempt.account_id, attempt.kind)))
        return FactorRefused(reason, wait=next_try.wait, tries_left=next_try.tries_left_before_wait)

    def blocked(self, account_id: str) -> frozenset[str]:
        """The kinds at which no try would be admitted now."""
        states = ((kind, self._decide(*self._seen(*self._keys(account_id, kind)))) for kind in KINDS)
        return frozenset(kind for kind, answer in states if not answer.is_allowed)

    def clear_all(self, account_id: str) -> None:
        """Forget every failure of a person: an operator vouches for them."""
        for kind in KINDS:
            key, person = self._keys(account_id, kind)
            self._ephemeral.forget(FAILURES, key)
            self._ephemeral.forget(LAST, key)
            self._ephemeral.forget(DAY_OF_PERSON, person)

    def _keys(self, account_id: str, kind: str) -> tuple[str, str]:
        hashed = self._keyring.keyed_hash
        return hashed("throttle", f"factor:{kind}:{account_id}"), hashed("throttle", f"factors:{account_id}")

    def _seen(self, key: str, person: str) -> tuple[int, int, datetime | None]:
        failures = self._ephemeral.peek(FAILURES, key)
        today = self._ephemeral.peek(DAY_OF_PERSON, person)
        stored = self._ephemeral.get(LAST, key)
        return failures, today, datetime.fromisoformat(stored.decode()) if stored else None

    def _decide(self, failures: int, today: int, last: datetime | None) -> Throttle:
        return decide(
            LockoutFacts(consecutive_failures=failures, failures_24h=today, last_failure_at=last, now=self._clock.now()), self._rules
        )

    def _record(self, attempt: FactorTry, reason: Reason, details: Mapping[str, str | int | bool | None]) -> None:
        event = Event(
            type=EventType.FACTOR_REFUSED,
            at=self._clock.now(),
            actor=f"account:{attempt.account_id}",
            origin=attempt.origin,
            reason=reason,
            account_id=attempt.account_id,
            details=details,
        )
        with self._database.write() as tx:
            tx.events.append(event)
