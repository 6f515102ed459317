"""Whether another try at a secret may be made now: waits that grow, a cap per day, and a lock if it was chosen.

Owns the arithmetic over counted failures, what of it outside may use up, what stays below a directory's own lock, and when failures look like
spraying. Does not count: idp.signin does, and a try refused here is not a failure. Numbers: CNIL 2017-012 as kept in 2022-100 (a wait after 5
failures, 25 tries per 24 h, or a lock after at most 10). Whatever strangers do outside, a part of each number is left to whoever is at work.
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
# Why a password is not tried at a directory.
OUTSIDE_BUDGET_SPENT = "outside_budget_spent"
DIRECTORY_NEAR_ITS_LOCK = "directory_near_its_lock"
TRIES_UNDER_WAY = "tries_under_way"

NEVER_LOCKS = 0
_DAY = timedelta(hours=24)


class Standing(StrEnum):
    """Where a try is made from, as far as throttles care. KNOWN_DEVICE: in a browser where this very person has signed in to the end before."""

    INSIDE = "inside"
    KNOWN_DEVICE = "known_device"
    OUTSIDE = "outside"

    @property
    def is_near(self) -> bool:
        """Whether it has the part that strangers cannot use up."""
        return self is not Standing.OUTSIDE


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

    `lock_at` consecutive failures lock in the two admin modes; `max_failures_24h` holds in every mode. Both bound the failures of everywhere
    together; outside may use up no more than its part of them. Raises ValueError on rules that would never or always refuse.
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

    @property
    def outside_part_of_lock(self) -> int:
        """Consecutive failures from outside that lock outside, and only outside: half."""
        return max(1, self.lock_at // 2)

    @property
    def outside_part_of_day(self) -> int:
        """Failures from outside within 24 h after which outside waits: three fifths."""
        return max(1, self.max_failures_24h * 3 // 5)


@dataclass(frozen=True, slots=True)
class LockoutFacts:
    """Failures since the last success, failures within the last 24 h, and the last one (UTC-aware), of the side that the try is made on.

    The sides are outside, and near (inside or on a known device). `elsewhere` and `elsewhere_24h` are the same counts of the other side.
    """

    consecutive_failures: int
    failures_24h: int
    last_failure_at: datetime | None
    now: datetime
    standing: Standing = Standing.INSIDE
    elsewhere: int = 0
    elsewhere_24h: int = 0


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
    left_of_lock = rules.lock_at - failures - facts.elsewhere
    left_of_day = rules.max_failures_24h - facts.failures_24h - facts.elsewhere_24h
    if not facts.standing.is_near:
        left_of_lock = min(left_of_lock, rules.outside_part_of_lock - failures)
        left_of_day = min(left_of_day, rules.outside_part_of_day - facts.failures_24h)
    has_lock = rules.mode is not LockoutMode.TIMED
    has_waits = rules.mode is not LockoutMode.ADMIN
    if has_lock and left_of_lock <= 0:
        return _refuse(LOCKED_UNTIL_ADMIN, timedelta(0))
    if left_of_day <= 0:
        return _refuse(DAILY_CAP_REACHED, _remaining(facts, _DAY))
    if has_waits and failures >= rules.first_wait_at:
        remaining = _remaining(facts, rules.waits[min(failures - rules.first_wait_at, len(rules.waits) - 1)])
        if remaining > timedelta(0):
            return _refuse(WAIT_AFTER_FAILURES, remaining)
    thresholds = [left_of_day]
    if has_waits:
        thresholds.append(rules.first_wait_at - failures)
    if has_lock:
        thresholds.append(left_of_lock)
    return Throttle(is_allowed=True, wait=timedelta(0), tries_left_before_wait=max(1, min(thresholds)), reason=NOT_THROTTLED)


def _refuse(reason: str, wait: timedelta) -> Throttle:
    return Throttle(is_allowed=False, wait=wait, tries_left_before_wait=0, reason=reason)


def _remaining(facts: LockoutFacts, wait: timedelta) -> timedelta:
    if facts.last_failure_at is None:
        return wait
    # Two hosts disagree by milliseconds: a failure "in the future" must not lengthen the wait beyond itself.
    return max(timedelta(0), min(wait, facts.last_failure_at + wait - facts.now))


@dataclass(frozen=True, slots=True)
class Budget:
    """Wrong passwords that a directory may count against one person before we stop trying: `outside`, and `whole` for who is near."""

    outside: int
    whole: int


def budget_below(threshold: int, *, reserve: int) -> Budget:
    """What may be spent below a directory's own lock after `threshold` (1 or more) wrong passwords, `reserve` of it kept for who is near.

    One try below the lock is always left alone. Where the rest is too small for both, near comes first, and outside gets what remains.
    """
    whole = max(0, threshold - 1)
    kept = whole if whole < 2 else min(reserve, whole - 1)
    return Budget(outside=whole - kept, whole=whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class BindFacts:
    """What stands between one person and their directory's own lock, at the instant before a password is tried there.

    `threshold`: wrong passwords at which the directory locks; NEVER_LOCKS when it does not. `failures`: how many it counts now, or we do where it
    does not show them. `under_way`: other tries at this person that have not been answered yet. `was_locked`: the directory has locked them before
    us, be it still so or not.
    """

    standing: Standing
    threshold: int
    failures: int
    under_way: int = 0
    was_locked: bool = False


@dataclass(frozen=True, slots=True)
class BindVerdict:
    """Whether the password may be tried there. `tries_left` counts this one; None where the directory never locks."""

    is_allowed: bool
    tries_left: int | None
    reason: str


def may_bind(facts: BindFacts, *, reserve: int) -> BindVerdict:
    """Whether one more wrong password leaves the directory below its lock, and what is kept for who is near untouched.

    When every try under way turns out wrong the directory must still be below its threshold: they count as failures. Who was locked elsewhere, and
    has waited as the directory told them, may try again from near: only a success makes its count forgotten, and no lock is left to spare them.
    """
    if facts.threshold == NEVER_LOCKS or (facts.was_locked and facts.standing.is_near):
        return BindVerdict(is_allowed=True, tries_left=None, reason=NOT_THROTTLED)
    budget = budget_below(facts.threshold, reserve=reserve)
    left = (budget.whole if facts.standing.is_near else budget.outside) - facts.failures
    if left <= 0:
        reason = DIRECTORY_NEAR_ITS_LOCK if facts.standing.is_near or facts.failures >= budget.whole else OUTSIDE_BUDGET_SPENT
        return BindVerdict(is_allowed=False, tries_left=0, reason=reason)
    if left <= facts.under_way:
        return BindVerdict(is_allowed=False, tries_left=0, reason=TRIES_UNDER_WAY)
    return BindVerdict(is_allowed=True, tries_left=left - facts.under_way, reason=NOT_THROTTLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SprayFacts:
    """Within one window, from one address or from everywhere: how many identifiers were tried in vain, and how many let somebody in."""

    names_refused: int
    names_let_in: int


def is_spraying(facts: SprayFacts, *, names: int) -> bool:
    """Whether so many identifiers fail, and so few succeed, that nobody's typing errors explain it.

    A home behind one address has many people and most get in: only where at least three of four names fail is it guessing.
    """
    return facts.names_refused >= names and facts.names_refused >= 3 * facts.names_let_in
