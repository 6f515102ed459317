"""What the attributes of a user say of the account: usable, must change, locked, disabled, expired; and how near the domain is to locking it.

Pure, on values already read; the instant is given. Sources: [MS-ADTS] 2.2.16 (userAccountControl), 3.1.1.4.5.17 (msDS-User-Account-Control-Computed),
[MS-SAMR] 3.1.1.7 (password and lockout settings).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.active_directory.values import duration, instant, integer
from connectors.base import Exposure, SourceMisbehaved, State
from connectors.ldap.wire import Entry

DISABLED, LOCKED_NOW, PASSWORD_EXPIRED = 0x2, 0x10, 0x800000
CONTROL, COMPUTED = "userAccountControl", "msDS-User-Account-Control-Computed"
OWN_POLICY = "msDS-ResultantPSO"
# What may make a refused password right changes one of them.
MARK_ATTRIBUTES = (CONTROL, "accountExpires", "pwdLastSet", "lockoutTime", OWN_POLICY)
FAILURE_ATTRIBUTES = ("badPwdCount", "badPasswordTime")
STATE_ATTRIBUTES = (*MARK_ATTRIBUTES, COMPUTED, *FAILURE_ATTRIBUTES)
# Two clocks that differ must not make a failure that still counts look forgotten.
CLOCKS_MAY_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """A domain's password settings, or the fine-grained ones that apply. None: not shown, or no limit.

    `threshold`: wrong passwords after which it locks; 0: never. `window`: when they are forgotten, counted from the last.
    """

    threshold: int | None = None
    window: timedelta | None = None
    shortest: int | None = None
    youngest: timedelta | None = None


@dataclass(frozen=True, slots=True)
class PolicyNames:
    """The attributes that hold a Policy, in the order of its fields."""

    threshold: str
    window: str
    shortest: str
    youngest: str

    @property
    def all(self) -> tuple[str, ...]:
        """To ask for."""
        return (self.threshold, self.window, self.shortest, self.youngest)


DOMAIN_POLICY = PolicyNames("lockoutThreshold", "lockOutObservationWindow", "minPwdLength", "minPwdAge")
FINE_GRAINED = PolicyNames(
    "msDS-LockoutThreshold", "msDS-LockoutObservationWindow", "msDS-MinimumPasswordLength", "msDS-MinimumPasswordAge"
)


def read_policy(entry: Entry, names: PolicyNames) -> Policy:
    """What a domain's entry or a password settings object says."""
    return Policy(
        threshold=integer(entry, names.threshold),
        window=duration(integer(entry, names.window)),
        shortest=integer(entry, names.shortest),
        youngest=duration(integer(entry, names.youngest)),
    )


def state_of(entry: Entry, now: datetime) -> State:
    """The gravest thing that the entry says. Raises SourceMisbehaved when the service account cannot read how accounts are."""
    control, computed = integer(entry, CONTROL), integer(entry, COMPUTED)
    expires, set_at, locked_at = (integer(entry, name) for name in ("accountExpires", "pwdLastSet", "lockoutTime"))
    if control is None or computed is None:
        raise SourceMisbehaved(f"the service account cannot read {CONTROL if control is None else COMPUTED} of {entry.dn}")
    if control & DISABLED:
        return State.DISABLED
    if (ends := instant(expires)) is not None and ends <= now:
        return State.EXPIRED
    if computed & LOCKED_NOW and locked_at != 0:
        return State.LOCKED
    return State.MUST_CHANGE if computed & PASSWORD_EXPIRED or set_at == 0 else State.USABLE


def exposure_of(entry: Entry, policy: Policy, now: datetime) -> Exposure:
    """How near the domain is to locking this entry. A controller keeps the count after it has stopped counting it."""
    failures, last = integer(entry, "badPwdCount"), instant(integer(entry, "badPasswordTime"))
    next_fade_at = None
    if failures and policy.window is not None and last is not None:
        next_fade_at = last + policy.window + CLOCKS_MAY_DIFFER
        if next_fade_at <= now:
            failures, next_fade_at = 0, None
    said = "\n".join(f"{name}={' '.join(entry.texts(name))}" for name in MARK_ATTRIBUTES)
    return Exposure(
        threshold=policy.threshold,
        failures=failures,
        fades_after=policy.window,
        next_fade_at=next_fade_at,
        was_locked=bool(integer(entry, "lockoutTime")),
        mark=hashlib.sha256(said.encode()).hexdigest()[:16],
    )
