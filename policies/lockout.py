"""Whether another try at a secret may be made now: waits that grow, a cap per day, and a lock if it was chosen.

Owns the arithmetic over counted failures of one account (or one address: the caller says what it counts). Does not
count: signin/throttle does, and a try refused here is not a failure. Numbers: CNIL 2017-012 as kept in 2022-100
(a wait after 5 failures, 25 tries per 24 h, or a lock after at most 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

NOT_THROTTLED = "not_throttled"
WAIT_AFTER_FAILURES = "wait_after_failures"
DAILY_CAP_REACHED = "daily_cap_reached"
LOCKED_UNTIL_ADMIN = "locked_until_admin"

_DAY = timedelta(hours=24)


class LockoutMode(StrEnum):
    """TIMED: waits only. ADMIN: no wait, a lock that an administrator lifts. TIMED_THEN_ADMIN: waits, then the lock.

    A lock lets anybody who knows an identifier shut its owner out, so TIMED is the default and a lock is chosen.
    """

    TIMED = "timed"
    ADMIN = "admin"
    TIMED_THEN_ADMIN = "timed_then_admin"


@dataclass(frozen=True, slots=True)
class LockoutRules:
    """`waits[0]` follows the `first_wait_at`-th consecutive failure, `waits[1]` the next, and so on; the last repeats.

    `lock_at` consecutive failures lock in the two admin modes; `max_failures_24h` holds in every mode.
    Raises ValueError on rules that would never or always refuse.
    """

    mode: LockoutMode = LockoutMode.TIMED
    first_wait_at: int = 5
    waits: tuple[timedelta, ...] = (
        timedelta(minutes=1),
        timedelta(minutes=2),
        timedelta(minutes=4),
        timedelta(minutes=8),
        timedelta(minutes=15),
        timedelta(minutes=30),
    )
    max_failures_24h: int = 25
    lock_at: int = 10

    def __post_init__(self) -> None:
        if min(self.first_wait_at, self.max_failures_24h, self.lock_at) < 1:
            raise ValueError("every threshold is at least one failure")
        if not self.waits or min(self.waits) <= timedelta(0):
            raise ValueError("there is at least one wait, and each is longer than nothing")
        if any(later < earlier for earlier, later in pairwise(self.waits)):
            raise ValueError("the waits never get shorter")


@dataclass(frozen=True, slots=True)
class LockoutFacts:
    """Failures since the last success, failures within the last 24 h, and the last one (UTC-aware)."""

    consecutive_failures: int
    failures_24h: int
    last_failure_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Throttle:
    """The answer. `wait` is zero when allowed, and when waiting does not help (`locked_until_admin`).

    For `daily_cap_reached` it is the longest it can take. `tries_left_before_wait` counts this try: 1 means that
    one more failure brings a wait, the cap or the lock; 0 when not allowed.
    """

    is_allowed: bool
    wait: timedelta
    tries_left_before_wait: int
    reason: str


def decide(facts: LockoutFacts, rules: LockoutRules) -> Throttle:
    """Whether a try may be made at `facts.now`. The lock is looked at first, then the daily cap, then the wait.

    Failures without the instant of the last one are a broken record: refused for the whole wait.
    """
    failures = facts.consecutive_failures
    has_lock = rules.mode is not LockoutMode.TIMED
    has_waits = rules.mode is not LockoutMode.ADMIN
    if has_lock and failures >= rules.lock_at:
        return _refuse(LOCKED_UNTIL_ADMIN, timedelta(0))
    if facts.failures_24h >= rules.max_failures_24h:
        return _refuse(DAILY_CAP_REACHED, _remaining(facts, _DAY))
    if has_waits and failures >= rules.first_wait_at:
        remaining = _remaining(facts, rules.waits[min(failures - rules.first_wait_at, len(rules.waits) - 1)])
        if remaining > timedelta(0):
            return _refuse(WAIT_AFTER_FAILURES, remaining)
    thresholds = [rules.max_failures_24h - facts.failures_24h]
    if has_waits:
        thresholds.append(rules.first_wait_at - failures)
    if has_lock:
        thresholds.append(rules.lock_at - failures)
    return Throttle(is_allowed=True, wait=timedelta(0), tries_left_before_wait=max(1, min(thresholds)), reason=NOT_THROTTLED)


def _refuse(reason: str, wait: timedelta) -> Throttle:
    return Throttle(is_allowed=False, wait=wait, tries_left_before_wait=0, reason=reason)


def _remaining(facts: LockoutFacts, wait: timedelta) -> timedelta:
    if facts.last_failure_at is None:
        return wait
    # Two hosts disagree by milliseconds: a failure "in the future" must not lengthen the wait beyond itself.
    return max(timedelta(0), min(wait, facts.last_failure_at + wait - facts.now))
