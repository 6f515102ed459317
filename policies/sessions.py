"""How long a Session stands: idle and absolute limits, how many at once, and when a proof is too old.

Owns the arithmetic and the reason a person is told. Does not load, touch or end a Session: signin and oauth gather
the facts and idp.endings ends. OpenID Connect Core 1.0, 3.1.2.1 (max_age, auth_time).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

# When somebody was there, where nobody says: some time before the word of it reached us, perhaps weeks. Nothing that must be fresh stands on it, and
# no claim tells it.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """`idle` since the last activity, `absolute` since creation, `concurrent` live Sessions per account (None: any).

    `shared_idle` is `idle` where people follow one another at a machine; None: the same, and never more than `idle`. Raises ValueError on a limit
    that no Session could meet.
    """

    idle: timedelta
    absolute: timedelta
    concurrent: int | None
    shared_idle: timedelta | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        shared_idle = self.idle if self.shared_idle is None else self.shared_idle
        if min(self.idle, self.absolute, shared_idle) <= timedelta(0):
            raise ValueError("the idle and absolute limits are longer than nothing")
        if self.concurrent is not None and self.concurrent < 1:
            raise ValueError("the limit on concurrent sessions is at least 1")

    def idle_of(self, *, is_shared: bool) -> timedelta:
        """How long a Session may be idle, on a machine of one person's own or on a shared one."""
        return min(self.idle, self.shared_idle) if is_shared and self.shared_idle is not None else self.idle


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """All instants UTC-aware. `expires_at` is the end written down when the Session began, under the limits of then.

    `is_shared`: it was opened where people follow one another at a machine.
    """

    created_at: datetime
    last_active_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    is_shared: bool = field(default=False, kw_only=True)


class Standing(StrEnum):
    """What a Session is now; each value but LIVE is a reason told to the person."""

    LIVE = "live"
    IDLE_EXPIRED = "idle_expired"
    ABSOLUTE_EXPIRED = "absolute_expired"
    ENDED = "ended"


def standing(session: SessionFacts, limits: SessionLimits, now: datetime) -> Standing:
    """What this Session is at `now`. Of two limits both passed, the one passed first is the reason."""
    if session.ended_at is not None:
        return Standing.ENDED
    idle_end, absolute_end = _ends(session, limits)
    if now < min(idle_end, absolute_end):
        return Standing.LIVE
    return Standing.IDLE_EXPIRED if idle_end < absolute_end else Standing.ABSOLUTE_EXPIRED


def seconds_left(session: SessionFacts, limits: SessionLimits, now: datetime) -> int:
    """Seconds until the nearest limit, rounded up; 0 exactly when the Session is not LIVE."""
    if session.ended_at is not None:
        return 0
    return max(0, math.ceil((min(_ends(session, limits)) - now) / timedelta(seconds=1)))


def over_limit(live_count: int, limits: SessionLimits) -> bool:
    """Whether `live_count` live Sessions, the one being opened included, are more than the account may have."""
    return limits.concurrent is not None and live_count > limits.concurrent


def needs_fresh_authentication(auth_time: datetime, max_age_seconds: int | None, now: datetime) -> bool:
    """Whether the proof behind a Session is older than the client accepts.

    0 always asks again, as prompt=login does (OIDC Core 3.1.2.1). Ask about a Session that was there before the
    interaction: a proof given inside it satisfies every max_age, or 0 could never be met.
    """
    if max_age_seconds is None:
        return False
    if max_age_seconds <= 0:
        return True
    # Compared as numbers: a client may send a max_age beyond what timedelta holds, and that is no error.
    return (now - auth_time) / timedelta(seconds=1) > max_age_seconds


def _ends(session: SessionFacts, limits: SessionLimits) -> tuple[datetime, datetime]:
    # A limit shortened in the configuration reaches the Sessions already open; one made longer does not.
    idle = limits.idle_of(is_shared=session.is_shared)
    return session.last_active_at + idle, min(session.created_at + limits.absolute, session.expires_at)
