"""Counting failed tries at passwords, in the ephemeral store; policies/lockout.py says what the counts mean.

Keys are keyed hashes of what was typed, so that an identifier nobody carries slows down like any other and the store never holds what people
type. A try is counted before its hash is computed and forgotten when it succeeds: tries in flight at once cannot outrun the limit. The daily cap
also counts by account, or one person could be tried under each of their identifiers. A store that does not answer raises StoreUnavailable.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.clock import Clock
from idp.config import LockoutSettings
from idp.crypto import Keyring
from idp.store.base import Ephemeral
from policies.lockout import LockoutFacts, LockoutMode, LockoutRules, Throttle, decide

FAILURES = "login.failures"
DAY_OF_ACCOUNT = "login.account_failures"
LAST = "login.last_failure"
DAY = timedelta(hours=24)
UNTIL_UNBLOCKED = timedelta(days=400)
LOCK_AT = 10


@dataclass(frozen=True, slots=True)
class TryKeys:
    """Where one try is counted: under what was typed, and under whom it names (the same when it names nobody)."""

    identifier: str
    person: str


class LoginThrottle:
    """Admits tries, and forgets failures after a success. Safe between threads and processes."""

    def __init__(self, ephemeral: Ephemeral, keyring: Keyring, *, clock: Clock, settings: LockoutSettings) -> None:
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        has_lock = settings.mode != "timed"
        self._window = UNTIL_UNBLOCKED if has_lock else DAY
        self._rules = LockoutRules(
            mode=LockoutMode(settings.mode),
            first_wait_at=settings.free_tries,
            waits=settings.waits,
            max_failures_24h=settings.daily_cap,
            lock_at=LOCK_AT if settings.mode == "admin" else settings.daily_cap,
        )

    def keys(self, identifier: str, account_id: str | None) -> TryKeys:
        """The keys of a try with a normalised identifier that names `account_id`, or nobody."""
        typed = self._keyring.keyed_hash("throttle", f"identifier:{identifier}")
        return TryKeys(typed, self._keyring.keyed_hash("throttle", f"account:{account_id}") if account_id else typed)

    def admit(self, keys: TryKeys) -> Throttle:
        """Whether a try may be made now. When allowed it is already counted as a failure; call `clear` if it succeeds."""
        seen = self._ephemeral.peek(FAILURES, keys.identifier)
        seen_of_person = self._ephemeral.peek(DAY_OF_ACCOUNT, keys.person)
        last = self._last(keys)
        answer = self._decide(seen, seen_of_person, last)
        if not answer.is_allowed:
            return answer
        now = self._clock.now()
        # The instant is written before the count, and the count read before the instant: whoever sees the count sees the instant too.
        self._ephemeral.put(LAST, keys.identifier, now.isoformat().encode(), self._window)
        before = self._ephemeral.count(FAILURES, keys.identifier, self._window) - 1
        before_of_person = self._ephemeral.count(DAY_OF_ACCOUNT, keys.person, DAY) - 1
        if before != seen:  # others were admitted meanwhile: judge this try as coming after theirs
            last = now
        return self._decide(before, before_of_person, last)

    def forgive(self, keys: TryKeys) -> None:
        """Take an admitted try back: it could not be checked at all."""
        self._ephemeral.uncount(FAILURES, keys.identifier)
        self._ephemeral.uncount(DAY_OF_ACCOUNT, keys.person)

    def outlook(self, keys: TryKeys) -> Throttle:
        """What the next try would be told, without making it."""
        return self._decide(
            self._ephemeral.peek(FAILURES, keys.identifier), self._ephemeral.peek(DAY_OF_ACCOUNT, keys.person), self._last(keys)
        )

    def clear(self, keys: TryKeys) -> None:
        """Forget the failures: the person proved themselves, or an operator vouches for them."""
        self._ephemeral.forget(FAILURES, keys.identifier)
        self._ephemeral.forget(LAST, keys.identifier)
        self._ephemeral.forget(DAY_OF_ACCOUNT, keys.person)

    def clear_all(self, identifiers: Iterable[str], account_id: str) -> None:
        """Forget the failures under each normalised identifier of an account: how an operator unblocks somebody."""
        for identifier in identifiers:
            self.clear(self.keys(identifier, account_id))

    def _decide(self, failures: int, of_person: int, last: datetime | None) -> Throttle:
        # With a lock the count of the identifier outlives the day, so that only the other one says how many fell within it.
        in_a_day = max(failures, of_person) if self._window == DAY else of_person
        return decide(
            LockoutFacts(consecutive_failures=failures, failures_24h=in_a_day, last_failure_at=last, now=self._clock.now()), self._rules
        )

    def _last(self, keys: TryKeys) -> datetime | None:
        stored = self._ephemeral.get(LAST, keys.identifier)
        return datetime.fromisoformat(stored.decode()) if stored else None
