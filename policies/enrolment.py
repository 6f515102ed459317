"""Who may enrol a factor, from where and after which proof; and how long a person may go without one.

Owns the verdicts and their codes. Enrols nothing: idp.signin gathers the facts, asks here and acts. A factor is worth what was known of the person
when it was enrolled: with a password alone, from outside, that is what a thief has too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from policies.assurance import TOLERANT
from policies.decision import Decision, allow, deny
from policies.zones import Whereabouts

ENROLMENT_ALLOWED = "enrolment_allowed"
ENROLMENT_NEEDS_PASS = "enrolment_needs_pass"  # noqa: S105  # a code, not a password
ENROLMENT_NEEDS_TRUSTED_ZONE = "enrolment_needs_trusted_zone"
ENROLMENT_SIGN_IN_TOO_OLD = "enrolment_sign_in_too_old"
ENROLMENT_SHARED_ZONE = "enrolment_shared_zone"
ENROLMENT_NEEDS_FACTOR = "enrolment_needs_factor"

WITH_PASS = "pass"  # noqa: S105  # a detail of the trace
WITH_FACTOR = "factor"
WITH_PLACE = "place"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentFacts:
    """What is known at `now`; instants UTC-aware. `signed_in_at`: when the password, or what stands for it, was last proven here; None: not known.

    `has_factor`: a factor that satisfies a second-factor requirement is enrolled (an e-mail address is none). `proved_factor_recently`: one of them
    was really given in this Session, lately; a remembered device is no such proof. `has_pass`: a one-time pass for enrolment was just redeemed.
    `is_being_reset`: the desk has ended their factors, or handed out the two halves that bring the next one; none was enrolled since.
    """

    level: str
    whereabouts: Whereabouts
    signed_in_at: datetime | None
    now: datetime
    has_factor: bool
    proved_factor_recently: bool
    has_pass: bool
    is_being_reset: bool = False
    max_age: timedelta = timedelta(minutes=5)


def may_enrol(facts: EnrolmentFacts) -> Decision:
    """Whether a factor may be enrolled now.

    A pass opens it anywhere: whoever entitled handed it over knows the person. A further factor takes one that is already there, given in this
    Session, anywhere. A first one: in a `tolerant` establishment a sign-in at most `max_age` old from a trusted place that is neither shared nor a
    public address; on every other level, and outside, a pass. The trace's detail says what opened it.
    """
    if facts.has_pass:
        return allow(ENROLMENT_ALLOWED, detail=WITH_PASS)
    if facts.has_factor:
        return allow(ENROLMENT_ALLOWED, detail=WITH_FACTOR) if facts.proved_factor_recently else deny(ENROLMENT_NEEDS_FACTOR)
    if facts.is_being_reset:
        # Whoever holds the password alone, which a lost telephone often comes with, must not be faster than the person with both halves.
        return deny(ENROLMENT_NEEDS_PASS, detail="reset")
    if facts.level != TOLERANT:
        return deny(ENROLMENT_NEEDS_PASS, detail=facts.level)
    if facts.whereabouts.is_shared:
        return deny(ENROLMENT_SHARED_ZONE, detail=facts.whereabouts.zone)
    if not facts.whereabouts.may_enrol:
        return deny(ENROLMENT_NEEDS_TRUSTED_ZONE, detail=facts.whereabouts.why)
    # Two hosts disagree by milliseconds; an instant far ahead is a broken record and not a fresh sign-in.
    if facts.signed_in_at is None or abs(facts.now - facts.signed_in_at) > facts.max_age:
        return deny(ENROLMENT_SIGN_IN_TOO_OLD)
    return allow(ENROLMENT_ALLOWED, detail=WITH_PLACE)


class Grace(StrEnum):
    """What becomes of a person without a factor. SPARED: on with the sign-in. DUE: she must enrol before going on. OVERDUE: she is not let in."""

    SPARED = "spared"
    DUE = "due"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraceFacts:
    """`grace_days` from `grace_began_at` (UTC-aware; None: it begins now). `is_inside` as policies.zones concluded."""

    grace_days: int
    grace_began_at: datetime | None
    is_inside: bool
    now: datetime


def grace(facts: GraceFacts) -> Grace:
    """Ask it about a person without a factor of whom one is wanted.

    The grace spares on the LAN only: outside she is refused before and after, for there a password alone opens nothing. After the deadline the LAN is
    where she enrols, and must. No days of grace: at once.
    """
    if not facts.is_inside:
        return Grace.OVERDUE
    ends = deadline(facts)
    return Grace.SPARED if ends is not None and facts.now < ends else Grace.DUE


def deadline(facts: GraceFacts) -> datetime | None:
    """The instant at which the grace ends (UTC-aware), to be told to the person; None when there is none."""
    if facts.grace_days <= 0:
        return None
    return (facts.grace_began_at or facts.now) + timedelta(days=facts.grace_days)
