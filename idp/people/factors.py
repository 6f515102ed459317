"""Second factors of people, as operators act on them: taking them away, handing a one-time pass over, who has none yet.

Owns what an operator may do; each act is an Event in the caller's transaction. An operator never adds a factor for somebody, and never sees a secret:
the person enrols again, behind the guard (idp/signin/enrolment.py). A reset ends every Session and Grant: what they were opened with may be in other
hands.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.endings import Cause, Ended, end_account_access, end_devices
from idp.errors import VestibuleError
from idp.signals import Occasion, credential_changed
from idp.signin.devices import Tell
from idp.signin.enrolment import has_strong
from idp.signin.passes import NewPass, Passes
from idp.store.base import Account, Establishment, Factor, Pass
from idp.store.database import Transaction

LONGEST_REASON = 200


class FactorActRefused(VestibuleError):
    """The act makes no sense; `detail` says why, in English, for an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """What a reset ended."""

    factors: tuple[Factor, ...]
    recovery_codes: int
    passes: int
    devices: int
    ended: Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutFactor:
    """Somebody who has no second factor yet, at one place. `grace_ends_at` is None when no grace runs."""

    account: Account
    establishment: Establishment
    profile: str
    last_sign_in: datetime | None
    sign_ins_outside: int
    grace_ends_at: datetime | None


def reset(tx: Transaction, account: Account, author: Author, *, reason: str, clock: Clock, kind: str | None = None) -> Reset:
    """End every second factor of a person, or those of one kind; with the last one, the recovery codes. Passes not used and known browsers end too.

    `reason` is why, in the operator's words, for the audit trail. Raises FactorActRefused when there is nothing to end.
    """
    tx.people.hold(account.id)
    now = clock.now()
    present = tx.factors.open_of(account.id)
    chosen = tuple(factor for factor in present if kind in {None, factor.kind})
    if not chosen:
        raise FactorActRefused("no_such_factor", f"{account.name} has no second factor{f' of kind {kind}' if kind else ''}")
    if not reason.strip():
        raise FactorActRefused("reason_needed", "say why, for the audit trail")
    for factor in chosen:
        tx.factors.end(factor.id, now)
    cause = Cause(Reason.FACTORS_TAKEN_AWAY, author.actor, author.origin)
    for kind_taken in dict.fromkeys(factor.kind for factor in chosen):
        occasion = Occasion.by(author, Reason.FACTORS_TAKEN_AWAY)
        credential_changed(tx, account.id, kind_taken, change="revoke", occasion=occasion, clock=clock)
    keeps_strong = has_strong(factor for factor in present if factor not in chosen)
    done = Reset(
        factors=chosen,
        recovery_codes=0 if keeps_strong else tx.recovery_codes.end_all(account.id, now),
        passes=tx.passes.end_unused(account.id, now),
        devices=end_devices(tx, account.id, cause, clock=clock),
        ended=end_account_access(tx, account.id, cause, clock=clock),
    )
    tx.events.append(
        Event(
            type=EventType.FACTORS_RESET,
            at=now,
            actor=author.actor,
            origin=author.origin,
            account_id=account.id,
            details={
                "kinds": " ".join(factor.kind for factor in chosen),
                "why": " ".join(reason.split())[:LONGEST_REASON],
                "recovery_codes": done.recovery_codes,
                "passes": done.passes,
                "devices": done.devices,
                **done.ended.counts,
            },
        )
    )
    return done


def issue_pass(
    tx: Transaction,
    account: Account,
    purpose: Literal["enrol", "sign_in"],
    author: Author,
    *,
    passes: Passes,
    life: timedelta | None = None,
    tell: Tell | None = None,
) -> tuple[str, Pass]:
    """A one-time pass for a person: its code, to be shown once; `tell` is how they hear of it. Raises FactorActRefused for whom no pass can help."""
    if not account.is_active:
        raise FactorActRefused("account_not_active", f"{account.name} is {account.status}")
    if account.is_break_glass:
        raise FactorActRefused("break_glass", "the break-glass account has no second factor: its envelope is all it needs")
    issued = passes.issue(tx, NewPass(purpose=purpose, account_id=account.id, life=life), author)
    if tell is not None:
        tell(tx, account, "pass_issued", {}, author=author)
    return issued


def record_unblocked(tx: Transaction, account: Account, author: Author, *, clock: Clock) -> None:
    """The audit line of failed tries that an operator makes forgotten; the counters are idp/signin/factor_throttle.py's."""
    tx.events.append(
        Event(type=EventType.FACTORS_UNBLOCKED, at=clock.now(), actor=author.actor, origin=author.origin, account_id=account.id)
    )


def missing(tx: Transaction, *, now: datetime, establishment: Establishment | None = None) -> Iterator[WithoutFactor]:
    """Who has no second factor yet, by name, once for each place; streamed."""
    places: dict[str, Establishment] = {}
    for found in tx.factors.unequipped(now, establishment_id=establishment.id if establishment else None):
        place = places.get(found.establishment_id) or tx.establishments.get(found.establishment_id)
        if place is None:
            continue
        places[place.id] = place
        began, days = found.account.grace_began_at, place.enrolment_grace_days
        yield WithoutFactor(
            account=found.account,
            establishment=place,
            profile=found.profile,
            last_sign_in=found.last_sign_in,
            sign_ins_outside=found.sign_ins_outside,
            grace_ends_at=began + timedelta(days=days) if began is not None and days > 0 else None,
        )
