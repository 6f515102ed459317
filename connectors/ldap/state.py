"""What the attributes of an entry say of an account: usable, must change, locked, disabled, expired.

Pure, on values already read; the instant is given. Sources: draft-behera-ldap-password-policy-10 section 5.3 and slapo-ppolicy(5) for OpenLDAP,
RFC 2307 for shadowExpire (which slapd does not enforce), 389 Directory Server's nsAccountLock, accountUnlockTime and passwordExpirationTime.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.base import Exposure, State
from connectors.ldap.wire import Entry

STATE_ATTRIBUTES = (
    "pwdAccountLockedTime",
    "pwdReset",
    "pwdChangedTime",
    "pwdStartTime",
    "pwdEndTime",
    "pwdPolicySubentry",
    "shadowExpire",
    "nsAccountLock",
    "accountUnlockTime",
    "passwordExpirationTime",
    "pwdFailureTime",
    "passwordRetryCount",
    "retryCountResetTime",
)
# They change with every wrong password, and say nothing of whether one would be right now.
FAILURE_ATTRIBUTES = frozenset({"pwdFailureTime", "passwordRetryCount", "retryCountResetTime"})
# Not modifyTimestamp: OpenLDAP moves it with every wrong password.
MARK_ATTRIBUTES = (*(name for name in STATE_ATTRIBUTES if name not in FAILURE_ATTRIBUTES), "pwdUpdateTime")
POLICY_ATTRIBUTES = (
    "pwdLockout",
    "pwdLockoutDuration",
    "pwdMaxAge",
    "pwdMustChange",
    "pwdMaxFailure",
    "pwdFailureCountInterval",
    "passwordLockout",
    "passwordMaxFailure",
    "passwordResetFailureCount",
)
# Two clocks that differ must not make a failure that still counts look forgotten.
CLOCKS_MAY_DIFFER = timedelta(minutes=1)
DISABLED_FOR_GOOD = "000001010000z"  # pwdAccountLockedTime, whatever the policy says of durations
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER_EXPIRES = EPOCH + timedelta(
    seconds=1
)  # 389's passwordExpirationTime where passwords do not expire; the epoch itself: to be changed first
GENERALIZED_TIME = re.compile(r"^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?(?:[.,]\d+)?(Z|[+-]\d{4})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a password policy says of time. None: no limit, or not said. `must_change`: a password set by somebody else must be changed.

    `max_failures`: wrong passwords after which it locks; 0: it never does; None: not said. `failures_fade_after` None: only a success forgets them.
    """

    lockout_duration: timedelta | None = None
    max_age: timedelta | None = None
    must_change: bool = True
    max_failures: int | None = None
    failures_fade_after: timedelta | None = None


def read_policy(entry: Entry) -> Policy:
    """A pwdPolicy entry of OpenLDAP, or the configuration or a policy entry of 389 Directory Server."""
    return Policy(
        max_failures=_max_failures(entry),
        failures_fade_after=_seconds(entry.text("pwdFailureCountInterval")) or _seconds(entry.text("passwordResetFailureCount")),
        lockout_duration=_seconds(entry.text("pwdLockoutDuration")),
        max_age=_seconds(entry.text("pwdMaxAge")),
        must_change=(entry.text("pwdMustChange") or "TRUE").upper() == "TRUE",
    )


def state_of(entry: Entry, policy: Policy, now: datetime) -> State:
    """The gravest thing that the entry says. What cannot be read counts as locked: nobody is let in by a value that we do not understand."""
    locked = entry.text("pwdAccountLockedTime")
    starts, ends = generalized_time(entry.text("pwdStartTime")), generalized_time(entry.text("pwdEndTime"))
    if (locked or "").lower() == DISABLED_FOR_GOOD or (entry.text("nsAccountLock") or "").lower() == "true" or (starts and starts > now):
        return State.DISABLED
    if (ends and ends <= now) or is_past_shadow_expire(entry, now):
        return State.EXPIRED
    if (locked and _is_locked(locked, policy, now)) or _is_locked_by_389(entry.text("accountUnlockTime"), now):
        return State.LOCKED
    return State.MUST_CHANGE if _must_change(entry, policy, now) else State.USABLE


def exposure_of(entry: Entry, policy: Policy, now: datetime, *, is_shown: bool) -> Exposure:
    """How near the directory is to locking this entry. `is_shown`: the account that reads has seen failures on some entry before, so that none
    here means that there are none."""
    failures, next_fade_at = _failures(entry, policy, now)
    if failures is None and is_shown:
        failures = 0
    said = "\n".join(f"{name}={' '.join(entry.texts(name))}" for name in MARK_ATTRIBUTES)
    return Exposure(
        threshold=policy.max_failures,
        failures=failures,
        fades_after=policy.failures_fade_after,
        next_fade_at=next_fade_at,
        was_locked=entry.text("pwdAccountLockedTime") is not None or entry.text("accountUnlockTime") is not None,
        mark=hashlib.sha256(said.encode()).hexdigest()[:16],
    )


def shows_failures(entry: Entry) -> bool:
    """Whether the directory lets us see wrong passwords counted on this entry."""
    return any(entry.text(name) is not None for name in FAILURE_ATTRIBUTES)


def is_past_shadow_expire(entry: Entry, now: datetime) -> bool:
    """shadowExpire: the day, counted from 1970-01-01, from which the account is closed; 0 is a day like another, below 0 there is none."""
    day = _shadow_expire(entry)
    return day is not None and (now - EPOCH).days >= day


def ends_at(entry: Entry) -> datetime | None:
    """The instant from which `state_of` says EXPIRED, then or later; None: never, or in a year that is none."""
    day = _shadow_expire(entry)
    try:
        closes = None if day is None else EPOCH + timedelta(days=day)
    except OverflowError:
        closes = None
    return min((one for one in (closes, generalized_time(entry.text("pwdEndTime"))) if one is not None), default=None)


def password_set_at(entry: Entry) -> datetime | None:
    """pwdChangedTime (OpenLDAP with ppolicy, 389 Directory Server with passwordTrackUpdateTime as pwdUpdateTime), in whole seconds."""
    return generalized_time(entry.text("pwdChangedTime") or entry.text("pwdUpdateTime"))


def _shadow_expire(entry: Entry) -> int | None:
    value = entry.text("shadowExpire")
    return int(value) if value is not None and value.strip().isdecimal() else None


def created_at(entry: Entry) -> datetime | None:
    """When the entry was made; None when that is not shown."""
    return generalized_time(entry.text("createTimestamp"))


def _is_locked(since: str, policy: Policy, now: datetime) -> bool:
    begun = generalized_time(since)
    if begun is None or policy.lockout_duration is None:
        return True
    return now < begun + policy.lockout_duration


def _is_locked_by_389(until: str | None, now: datetime) -> bool:
    if until is None:
        return False
    ends = generalized_time(until)
    return ends is None or ends == EPOCH or now < ends  # the epoch stands for "until an administrator unlocks"


def _must_change(entry: Entry, policy: Policy, now: datetime) -> bool:
    if (entry.text("pwdReset") or "").upper() == "TRUE" and policy.must_change:
        return True
    changed, expires = generalized_time(entry.text("pwdChangedTime")), generalized_time(entry.text("passwordExpirationTime"))
    if changed and policy.max_age and changed + policy.max_age <= now:
        return True
    return expires is not None and expires <= now and expires != NEVER_EXPIRES


def _max_failures(entry: Entry) -> int | None:
    """What is switched off never locks; a number that is not shown is not known, and not none."""
    is_on = entry.text("pwdLockout") or {"on": "TRUE", "off": "FALSE"}.get((entry.text("passwordLockout") or "").lower())
    if is_on is None:
        return None
    if is_on.upper() != "TRUE":
        return 0
    number = entry.text("pwdMaxFailure") or entry.text("passwordMaxFailure")
    return int(number) if number is not None and number.strip().isdecimal() else None


def _failures(entry: Entry, policy: Policy, now: datetime) -> tuple[int | None, datetime | None]:
    """The wrong passwords that still count, and when the first of them will not; None for what the entry does not show."""
    if times := entry.texts("pwdFailureTime"):
        life = policy.failures_fade_after
        if life is None:
            return len(times), None
        # One that cannot be read still counts.
        ends = sorted((generalized_time(value) or now) + life + CLOCKS_MAY_DIFFER for value in times)
        counting = [end for end in ends if end > now]
        return len(counting), counting[0] if counting else None
    count = entry.text("passwordRetryCount")
    if count is None or not count.strip().isdecimal():
        return None, None
    forgotten_at = generalized_time(entry.text("retryCountResetTime"))
    if forgotten_at is None:
        return int(count), None
    forgotten_at += CLOCKS_MAY_DIFFER
    return (int(count), forgotten_at) if now < forgotten_at else (0, None)


def _seconds(value: str | None) -> timedelta | None:
    """A duration; None for 0, which a policy writes for "no limit"."""
    if value is None or not value.strip().isdecimal() or int(value) == 0:
        return None
    return timedelta(seconds=min(int(value), 10**10))


def generalized_time(value: str | None) -> datetime | None:
    """Generalized Time (RFC 4517 section 3.3.13) as an aware UTC instant; None when absent or not one (year 0 is none)."""
    match = GENERALIZED_TIME.match(value.strip()) if value else None
    if match is None:
        return None
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        # A leap second is the next second's beginning, near enough.
        instant = datetime(int(year), int(month), int(day), int(hour), int(minute or 0), min(int(second or 0), 59), tzinfo=UTC)
    except ValueError:
        return None
    if zone.upper() != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        instant += -offset if zone[0] == "+" else offset
    return instant
