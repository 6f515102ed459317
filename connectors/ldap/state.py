"""What the attributes of an entry say of an account: usable, must change, locked, disabled, expired.

Pure, on values already read; the instant is given. Sources: draft-behera-ldap-password-policy-10 section 5.3 and slapo-ppolicy(5) for OpenLDAP,
RFC 2307 for shadowExpire (which slapd does not enforce), 389 Directory Server's nsAccountLock, accountUnlockTime and passwordExpirationTime.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.base import State
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
)
POLICY_ATTRIBUTES = ("pwdLockout", "pwdLockoutDuration", "pwdMaxAge", "pwdMustChange")
DISABLED_FOR_GOOD = "000001010000z"  # pwdAccountLockedTime, whatever the policy says of durations
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER_EXPIRES = EPOCH + timedelta(
    seconds=1
)  # 389's passwordExpirationTime where passwords do not expire; the epoch itself: to be changed first
GENERALIZED_TIME = re.compile(r"^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?(?:[.,]\d+)?(Z|[+-]\d{4})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a password policy says of time. None: no limit, or not said. `must_change`: a password set by somebody else must be changed."""

    lockout_duration: timedelta | None = None
    max_age: timedelta | None = None
    must_change: bool = True


def read_policy(entry: Entry) -> Policy:
    """A pwdPolicy entry of OpenLDAP."""
    return Policy(
        lockout_duration=_seconds(entry.text("pwdLockoutDuration")),
        max_age=_seconds(entry.text("pwdMaxAge")),
        must_change=(entry.text("pwdMustChange") or "TRUE").upper() == "TRUE",
    )


def state_of(entry: Entry, policy: Policy, now: datetime) -> State:
    """The gravest thing that the entry says. What cannot be read counts as locked: nobody is let in by a value that we do not understand."""
    locked = entry.text("pwdAccountLockedTime")
    starts, ends = _time(entry.text("pwdStartTime")), _time(entry.text("pwdEndTime"))
    if (locked or "").lower() == DISABLED_FOR_GOOD or (entry.text("nsAccountLock") or "").lower() == "true" or (starts and starts > now):
        return State.DISABLED
    if (ends and ends <= now) or is_past_shadow_expire(entry, now):
        return State.EXPIRED
    if (locked and _is_locked(locked, policy, now)) or _is_locked_by_389(entry.text("accountUnlockTime"), now):
        return State.LOCKED
    return State.MUST_CHANGE if _must_change(entry, policy, now) else State.USABLE


def is_past_shadow_expire(entry: Entry, now: datetime) -> bool:
    """shadowExpire: the day, counted from 1970-01-01, from which the account is closed; 0 is a day like another, below 0 there is none."""
    value = entry.text("shadowExpire")
    if value is None or not value.strip().isdecimal():
        return False
    return (now - EPOCH).days >= int(value)


def _is_locked(since: str, policy: Policy, now: datetime) -> bool:
    begun = _time(since)
    if begun is None or policy.lockout_duration is None:
        return True
    return now < begun + policy.lockout_duration


def _is_locked_by_389(until: str | None, now: datetime) -> bool:
    if until is None:
        return False
    ends = _time(until)
    return ends is None or ends == EPOCH or now < ends  # the epoch stands for "until an administrator unlocks"


def _must_change(entry: Entry, policy: Policy, now: datetime) -> bool:
    if (entry.text("pwdReset") or "").upper() == "TRUE" and policy.must_change:
        return True
    changed, expires = _time(entry.text("pwdChangedTime")), _time(entry.text("passwordExpirationTime"))
    if changed and policy.max_age and changed + policy.max_age <= now:
        return True
    return expires is not None and expires <= now and expires != NEVER_EXPIRES


def _seconds(value: str | None) -> timedelta | None:
    """A duration; None for 0, which a policy writes for "no limit"."""
    if value is None or not value.strip().isdecimal() or int(value) == 0:
        return None
    return timedelta(seconds=min(int(value), 10**10))


def _time(value: str | None) -> datetime | None:
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
