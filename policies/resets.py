"""The rules of the reset desk: which move may follow which, when two people are needed, who may be the second, which channel may carry a half.

Pure: frozen facts in, an answer out. The facts are gathered and the moves made by idp/desk/resets.py. Sources: the requirements R14 to R16, R35, R36,
R62 to R67; CNIL 2017-012 as kept in 2022-100 (a reset serves for 24 hours at most, and is renewed once).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Literal

from policies.decision import Decision, allow, deny

RESET_ALLOWED = "reset_allowed"
SECOND_IS_ASKER = "reset_second_is_asker"
SECOND_IS_PERSON = "act_on_oneself"
SECOND_UNKNOWN = "reset_second_unknown"
SECOND_NOT_PASSKEY = "reset_second_not_passkey"
PASS_NOT_NOW = "reset_pass_not_now"  # noqa: S105  # a reason code
PASS_NOT_ENOUGH = "reset_pass_not_enough"  # noqa: S105  # a reason code
CHANNEL_MISSING = "reset_channel_missing"
CHANNEL_TOO_NEW = "reset_channel_too_new"

Kind = Literal["password", "factor", "both"]
Mode = Literal["admin", "admin+email_code", "self"]
MODES: tuple[Mode, ...] = ("admin", "admin+email_code", "self")


class Move(StrEnum):
    """What is done with a Reset."""

    PROVE = "proven"
    APPROVE = "approved"
    CARRY_OUT = "issued"
    SPEAK_AGAIN = "spoken_again"
    WITNESS = "witnessed"
    REDEEM = "redeemed"
    FINISH = "done"
    CANCEL = "cancelled"
    STOP = "stopped"
    BURN = "burnt"
    EXPIRE = "expired"


# From which states a move may be made. Whoever it concerns stops it in any; nobody cancels what the person has begun to use.
FROM: Mapping[Move, frozenset[str]] = {
    Move.PROVE: frozenset({"asked"}),
    Move.APPROVE: frozenset({"proven"}),
    Move.CARRY_OUT: frozenset({"proven", "approved"}),
    Move.SPEAK_AGAIN: frozenset({"issued"}),
    Move.WITNESS: frozenset({"issued"}),
    Move.REDEEM: frozenset({"issued"}),
    Move.FINISH: frozenset({"redeemed"}),
    Move.CANCEL: frozenset({"asked", "proven", "approved", "issued"}),
    Move.STOP: frozenset({"asked", "proven", "approved", "issued", "redeemed"}),
    Move.BURN: frozenset({"issued"}),
    Move.EXPIRE: frozenset({"asked", "proven", "approved", "issued", "redeemed"}),
}


class Why(StrEnum):
    """Why two people are needed."""

    BOTH = "both"  # the password and the second factor at once: nothing of the person's own is left
    PRIVILEGED = "privileged"  # whoever gets hold of the account gets hold of others
    NO_FACTOR = "no_factor"  # a password alone was all that the person had
    NIGHT = "night"


ALWAYS = frozenset({Why.BOTH, Why.PRIVILEGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRules:
    """What an operator has set. `night_from` and `night_until` are local times of the establishment; equal: there is no night.

    `channel_age`: how long a channel was the same before a half is sent to it; `detail_age`: the same before it serves for asking or calling back.
    """

    second_person: frozenset[Why] = frozenset(Why)
    night_from: time = time(21)
    night_until: time = time(7)
    channel_age: timedelta = timedelta(days=7)
    detail_age: timedelta = timedelta(hours=72)
    approves_by_passkey: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetFacts:
    """What is asked of whom. `local_time` is of the establishment; `has_factor`: a second factor that is not to be reset is left."""

    kind: Kind
    has_factor: bool
    is_privileged: bool
    local_time: datetime


def is_night(local: datetime, rules: ResetRules) -> bool:
    """Whether an establishment's clock shows night."""
    start, end, at = rules.night_from, rules.night_until, local.time()
    return start <= at < end if start <= end else at >= start or at < end


def needs_second(facts: ResetFacts, rules: ResetRules) -> tuple[Why, ...]:
    """Why two people are needed; nothing when one is enough. Both at once, and somebody privileged, always take two."""
    found = []
    if facts.kind == "both":
        found.append(Why.BOTH)
    if facts.is_privileged:
        found.append(Why.PRIVILEGED)
    if facts.kind == "password" and not facts.has_factor:
        found.append(Why.NO_FACTOR)
    if is_night(facts.local_time, rules):
        found.append(Why.NIGHT)
    return tuple(why for why in found if why in rules.second_person | ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """Who would be the second person, and with what they have just proven who they are. `account_id` None: an operator's command."""

    account_id: str | None
    has_fresh_passkey: bool = False


def may_be_second(second: Second, *, person_id: str, touched_by: frozenset[str], rules: ResetRules) -> Decision:
    """Whether somebody may approve: neither the person, nor anybody who asked, recorded the proof or carried it out (`touched_by`)."""
    if second.account_id is None:
        return deny(SECOND_UNKNOWN, detail="an operator's command is nobody's approval")
    if second.account_id == person_id:
        return deny(SECOND_IS_PERSON, detail=second.account_id)
    if second.account_id in touched_by:
        return deny(SECOND_IS_ASKER, detail=second.account_id)
    if rules.approves_by_passkey and not second.has_fresh_passkey:
        return deny(SECOND_NOT_PASSKEY, detail=second.account_id)
    return allow(RESET_ALLOWED, detail=second.account_id)


def may_use_pass(facts: ResetFacts, rules: ResetRules) -> Decision:
    """Whether a sealed pass from the site stands for the second person: at night, and never for somebody privileged."""
    if not is_night(facts.local_time, rules):
        return deny(PASS_NOT_NOW, detail=facts.local_time.isoformat())
    if facts.is_privileged:
        return deny(PASS_NOT_ENOUGH, detail=Why.PRIVILEGED)
    return allow(RESET_ALLOWED, detail="pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A way to reach somebody. `changed_at`: since when it is this one; None when it is as it was when the account was made."""

    is_there: bool
    changed_at: datetime | None = None


def may_ask_by(detail: Detail, now: datetime, rules: ResetRules) -> Decision:
    """Whether it serves to ask for a reset, or to call somebody back."""
    return _aged(detail, now, rules.detail_age)


def may_carry_half(detail: Detail, now: datetime, rules: ResetRules) -> Decision:
    """Whether a half of the result may be sent there."""
    return _aged(detail, now, rules.channel_age)


def _aged(detail: Detail, now: datetime, age: timedelta) -> Decision:
    if not detail.is_there:
        return deny(CHANNEL_MISSING, detail="")
    if detail.changed_at is not None and now - detail.changed_at < age:
        return deny(CHANNEL_TOO_NEW, detail=detail.changed_at.isoformat())
    return allow(RESET_ALLOWED, detail="channel")


def lets_person_ask(mode: Mode) -> bool:
    """Whether the sign-in page offers "forgotten password"."""
    return mode != "admin"


def serves_oneself(
    mode: Mode, kind: Kind, *, has_factor: bool, whys: Collection[Why], email: Detail, now: datetime, rules: ResetRules
) -> bool:
    """Whether the person does it without an agent: a password only, with the second factor they still have and an address that is old enough.

    Never where two people are always needed (`whys`, by needs_second): somebody privileged is seen by both.
    """
    if not ALWAYS.isdisjoint(whys):
        return False
    return mode == "self" and kind == "password" and has_factor and may_carry_half(email, now, rules).is_allowed
