"""Guarded enrolment: who may add a second factor now, and what an addition or a removal writes.

Owns the Permit that every kind of factor needs, the one transaction in which a factor comes to be (a one-time pass is used in it, or nothing
happens), and the Events. The rules are policies/enrolment.py's; how each kind is proven is its own room's. Adding a factor ends no Session, nor does
its removal by the person, who has just proven one: what is open was opened with as much. An operator's reset (idp/people/factors.py) ends them all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import FactorSettings
from idp.errors import Refused
from idp.signals import Occasion, credential_changed
from idp.signin.devices import Tell
from idp.signin.interaction import Interaction
from idp.signin.standing_proof import still_stands
from idp.store.base import Account, Factor, Session, StoredProof
from idp.store.database import Database, Transaction
from idp.store.means import EnrolledFactor
from policies.assurance import Method, strictest
from policies.decision import Decision
from policies.enrolment import EnrolmentFacts, may_enrol
from policies.zones import Whereabouts

# Any of them shows that whoever is there holds a factor of the person; a one-time pass to sign in was only handed over.
SHOWING = frozenset({Method.TOTP, Method.PASSKEY, Method.PASSKEY_VERIFIED, Method.SMS, Method.RECOVERY})
KINDS_THAT_SHOW = frozenset({"totp", "passkey", "sms", "recovery"})
WEAK_KINDS = frozenset({"email"})
GIVEN_OUT = frozenset({"issued", "redeemed"})  # states of a Reset whose halves are out
MOST_FACTORS = 12
LONGEST_LABEL = 80
Details = Mapping[str, str | int | bool | None]
WantsFactor = Callable[[Transaction, Account], bool]


class EnrolmentRefused(Refused):
    """A factor may not be added, changed or removed now; the Event is written. The person is told the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who asks to change their factors, and from what position. `signed_in_at` is when the password or what stands for it was proven.

    `proved_at`: when a factor of theirs was last really given in this Session or sign-in (`latest_proof`). `pass_digest`: of an enrolment pass that
    was checked and is used with the addition. `within` is the sign-in in the middle of which they ask, None on the pages of a Session.
    """

    account_id: str
    establishment_id: str | None
    whereabouts: Whereabouts
    signed_in_at: datetime | None
    proved_at: datetime | None
    session_id: str | None = None
    pass_digest: str | None = None
    within: Interaction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The rules let this person add a factor, now. It is judged again in `add`, which writes down what opened it."""

    asking: Asking

    @property
    def account_id(self) -> str:
        """Whose factor it would be."""
        return self.asking.account_id

    @property
    def zone(self) -> str:
        """Where they ask from."""
        return self.asking.whereabouts.zone


def latest_proof(proofs: Iterable[StoredProof]) -> datetime | None:
    """When a factor was last really given, among what was proven in a Session."""
    return max((proof.at for proof in proofs if proof.method in SHOWING), default=None)


class Enrolment:
    """The guard. `wants_factor` answers whether some rule, or an establishment's level, would ask a second factor of this person somewhere."""

    def __init__(
        self, database: Database, clock: Clock, *, settings: FactorSettings, wants_factor: WantsFactor, tell: Tell | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._wants_factor = wants_factor
        self._tell = tell

    def may(self, asking: Asking) -> Decision:
        """Whether a factor may be added now, for a page that offers it; nothing is written."""
        with self._database.read() as tx:
            return self._judge(tx, asking)

    def permit(self, asking: Asking, kind: str, origin: Origin) -> Permit:
        """Leave to add a factor of a kind; ask for it in the request that adds it. Raises EnrolmentRefused."""
        with self._database.read() as tx:
            decision = self._judge(tx, asking)
        if kind not in self._settings.offered:
            raise self.refused(asking, Reason.NO_SUCH_FACTOR, origin, kind=kind)
        if not decision.is_allowed:
            raise self.refused(asking, Reason(decision.reasons[0]), origin, kind=kind)
        return Permit(asking=asking)

    def add(self, permit: Permit, factor: Factor, origin: Origin) -> Factor:
        """Write a factor whose first proof was right, if all that it was permitted on still stands.

        Raises EnrolmentRefused: the pass was used meanwhile, the offer before, the account cut; the password changed, the Session ended or locked,
        the factor was taken away that had been given; another was added.
        """
        try:
            with self._database.write() as tx:
                self._add(tx, permit, factor, origin)
        except Refused as refused:
            reason = Reason(refused.reason)
            raise self._refused(permit.account_id, reason, origin, kind=factor.kind, session_id=permit.asking.session_id) from refused
        return factor

    def check_change(self, asking: Asking, origin: Origin) -> None:
        """A change of what is there already (removal, new recovery codes) needs a factor that was just proven. Raises EnrolmentRefused."""
        if not self.is_recent(asking.proved_at):
            raise self.refused(asking, Reason.ENROLMENT_NEEDS_FACTOR, origin)

    def remove(self, asking: Asking, factor_id: str, origin: Origin) -> Factor:
        """End one of the person's own factors; with the last one the recovery codes end. Raises EnrolmentRefused."""
        self.check_change(asking, origin)
        with self._database.write() as tx:
            tx.people.hold(asking.account_id)
            account, present = tx.people.get(asking.account_id), tx.factors.open_of(asking.account_id)
            factor = next((one for one in present if one.id == factor_id), None)
            reason = self._check_standing(tx, asking) or self._check_removal(tx, account, factor, present)
            if reason is None and factor is not None:
                now = self._clock.now()
                tx.factors.end(factor.id, now)
                # What a browser was remembered for may have been this factor: it is asked again everywhere.
                for device in tx.devices.open_of(asking.account_id):
                    if device.remembered_until is not None:
                        tx.devices.remember(device.id, device.remembered_at or now, until=now)
                if all(one.id == factor.id or one.kind in WEAK_KINDS for one in present):
                    tx.recovery_codes.end_all(asking.account_id, now)
                details: Details = {"kind": factor.kind, "factor": factor.id, "left": len(present) - 1}
                tx.events.append(
                    self._event(EventType.FACTOR_REMOVED, asking.account_id, origin, session_id=asking.session_id, details=details)
                )
                if account is not None:
                    occasion = Occasion(f"account:{account.id}", str(EventType.FACTOR_REMOVED), origin)
                    credential_changed(tx, account.id, factor.kind, change="delete", occasion=occasion, clock=self._clock)
                    self._tell_of(tx, account, "factor_removed", factor, origin=origin)
        if factor is None or reason is not None:
            raise self.refused(asking, reason or Reason.NO_SUCH_FACTOR, origin)
        return factor

    def rename(self, asking: Asking, factor_id: str, label: str, *, origin: Origin) -> bool:
        """Give one of the person's own factors another label; False when there is no such factor, or no such label."""
        name = tidy_label(label)
        with self._database.write() as tx:
            factor = tx.factors.get(factor_id)
            if not name or factor is None or factor.account_id != asking.account_id or factor.ended_at is not None:
                return False
            tx.factors.rename(factor_id, name)
            details = {"kind": factor.kind, "factor": factor.id}
            tx.events.append(
                self._event(EventType.FACTOR_RENAMED, asking.account_id, origin, session_id=asking.session_id, details=details)
            )
        return True

    def refused(self, asking: Asking, reason: Reason, origin: Origin, *, kind: str | None = None) -> EnrolmentRefused:
        """Write the Event of a refusal; the exception to raise."""
        return self._refused(asking.account_id, reason, origin, kind=kind, session_id=asking.session_id)

    def _judge(self, tx: Transaction, asking: Asking) -> Decision:
        open_at = {one.establishment_id for one in tx.people.attachments(asking.account_id) if one.ended_at is None}
        places = [place for key in sorted(open_at) if (place := tx.establishments.get(key))] if asking.establishment_id else []
        present = tx.factors.open_of(asking.account_id)
        return may_enrol(
            EnrolmentFacts(
                # A factor serves in every home of the person, so the strictest level holds; where none is known, the place opens nothing.
                level=strictest(place.regulatory_level for place in places),
                whereabouts=asking.whereabouts,
                signed_in_at=asking.signed_in_at,
                now=self._clock.now(),
                has_factor=has_strong(present),
                proved_factor_recently=self.is_recent(asking.proved_at),
                has_pass=asking.pass_digest is not None,
                is_being_reset=not has_strong(present) and is_desks(tx, asking.account_id),
            )
        )

    def is_recent(self, proved_at: datetime | None) -> bool:
        """Whether a factor that was given then still speaks for a change of factors."""
        return proved_at is not None and self._clock.now() - proved_at <= self._settings.recent

    def _add(self, tx: Transaction, permit: Permit, factor: Factor, origin: Origin) -> None:
        now, asking = self._clock.now(), permit.asking
        account = tx.people.held(permit.account_id)
        if account is None or not account.is_active or factor.account_id != permit.account_id:
            raise Refused(Reason.ACCOUNT_NOT_ACTIVE)
        # The account is held: from here on nothing changes that this stands on, and the permit and the writing are one decision.
        decision = self._judge(tx, self._as_it_stands(tx, asking))
        if not decision.is_allowed:
            raise Refused(decision.reasons[0])
        present = tx.factors.open_of(account.id)
        if len(present) >= MOST_FACTORS:
            raise Refused(Reason.TOO_MANY_FACTORS)
        if tx.factors.get(factor.id) is not None:
            raise Refused(Reason.OFFER_EXPIRED)
        if asking.pass_digest is not None:
            given = tx.passes.get(asking.pass_digest)
            if given is None or given.account_id != account.id or not tx.passes.redeem(asking.pass_digest, "enrol", now):
                raise Refused(Reason.PASS_NOT_VALID)
            details = {"purpose": given.purpose, "issued_by": given.issued_by}
            tx.events.append(self._event(EventType.PASS_USED, account.id, origin, session_id=asking.session_id, details=details))
        if not tx.factors.add(factor):
            raise Refused(Reason.OFFER_EXPIRED, "its credential is enrolled already")
        if account.grace_began_at is not None and factor.kind not in WEAK_KINDS:
            tx.people.change(account.id, now, grace_began_at=None)
        added: Details = {
            "kind": factor.kind,
            "factor": factor.id,
            "opened_by": decision.trace[0].detail,
            "first": not present,
        }
        tx.events.append(self._event(EventType.FACTOR_ENROLLED, account.id, origin, session_id=asking.session_id, details=added))
        occasion = Occasion(f"account:{account.id}", str(EventType.FACTOR_ENROLLED), origin)
        credential_changed(tx, account.id, factor.kind, change="create", occasion=occasion, clock=self._clock)
        self._tell_of(tx, account, "factor_added", factor, origin=origin)

    def _as_it_stands(self, tx: Transaction, asking: Asking) -> Asking:
        """The same position, with what is left of the proofs under it. Raises Refused when nothing is: a factor must not outlive a stolen proof.

        In the middle of a sign-in the first proof must stand, else the Session that answers. A second proof counts while its factor is there.
        """
        session = tx.sessions.get(asking.session_id) if asking.session_id else None
        if session is not None and (session.account_id != asking.account_id or not _is_alive(session, self._clock.now())):
            session = None
        first = asking.within.proof if asking.within is not None else None
        if first is not None:
            if first.account_id != asking.account_id or not still_stands(tx, first) or not is_there(tx, first.factor_id):
                raise Refused(Reason.CREDENTIAL_CHANGED, "what they signed in with is theirs no more")
        elif (asking.session_id is not None or asking.within is not None) and (session is None or session.is_locked):
            raise Refused(Reason.GRANT_NOT_ALIVE, "the session ended, or was locked")
        if asking.proved_at is None or (asking.session_id is None and asking.within is None):
            return asking
        proofs = [*(session.proofs if session is not None else ()), *_given_in(asking)]
        standing = (proof for proof in proofs if proof.at <= asking.proved_at and is_there(tx, proof.factor_id))
        return replace(asking, proved_at=latest_proof(standing))

    def _tell_of(self, tx: Transaction, account: Account, purpose: str, factor: Factor, *, origin: Origin) -> None:
        """By mail, so that who did not do it themselves hears of it; never the label, which whoever did it chose."""
        if self._tell is not None:
            self._tell(tx, account, purpose, {"kind": factor.kind, "hint": factor.hint}, author=Author(f"account:{account.id}", origin))

    def _check_standing(self, tx: Transaction, asking: Asking) -> Reason | None:
        try:
            proved_at = self._as_it_stands(tx, asking).proved_at
        except Refused as refused:
            return Reason(refused.reason)
        return None if self.is_recent(proved_at) else Reason.ENROLMENT_NEEDS_FACTOR

    def _check_removal(self, tx: Transaction, account: Account | None, factor: Factor | None, present: tuple[Factor, ...]) -> Reason | None:
        if account is None or not account.is_active:
            return Reason.ACCOUNT_NOT_ACTIVE
        if factor is None:
            return Reason.NO_SUCH_FACTOR
        if any(one.id != factor.id and one.kind not in WEAK_KINDS for one in present) or factor.kind in WEAK_KINDS:
            return None
        return Reason.LAST_FACTOR_NEEDED if self._wants_factor(tx, account) else None

    def _refused(
        self, account_id: str, reason: Reason, origin: Origin, *, kind: str | None, session_id: str | None = None
    ) -> EnrolmentRefused:
        details: Details = {"kind": kind} if kind else {}
        event = self._event(EventType.ENROLMENT_REFUSED, account_id, origin, session_id=session_id, details=details, reason=reason)
        with self._database.write() as tx:
            tx.events.append(event)
        return EnrolmentRefused(reason)

    def _event(
        self,
        kind: EventType,
        account_id: str,
        origin: Origin,
        *,
        session_id: str | None,
        details: Details,
        reason: Reason | None = None,
    ) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            actor=f"account:{account_id}",
            origin=origin,
            reason=reason,
            account_id=account_id,
            session_id=session_id,
            details=details,
        )


def has_strong(factors: Iterable[Factor | EnrolledFactor]) -> bool:
    """Whether one of these can count as a second factor; a code by e-mail only helps, and alone brings no recovery codes."""
    return any(factor.kind not in WEAK_KINDS for factor in factors)


def is_desks(tx: Transaction, account_id: str) -> bool:
    """Whether the next factor is only the desk's to let in: it has given halves of a reset out for one, or has taken the factors that were there.

    The latter lasts until one is enrolled: a reset that ran out, was burnt or stopped must not leave the way open to whoever holds the password.
    """
    is_out = any(one.kind != "password" and one.state in GIVEN_OUT for one in tx.resets.open_of(account_id))
    return is_out or tx.events.were_factors_taken(account_id)


def _is_alive(session: Session, now: datetime) -> bool:
    return session.ended_at is None and now < session.expires_at


def is_there(tx: Transaction, factor_id: str | None) -> bool:
    """Whether the factor that a proof was given with has not been taken away since; proofs without one always stand."""
    if factor_id is None:
        return True
    factor = tx.factors.get(factor_id)
    return factor is not None and factor.ended_at is None


def _given_in(asking: Asking) -> list[StoredProof]:
    """What was proven in the sign-in itself."""
    if asking.within is None:
        return []
    first = asking.within.proof
    given = [StoredProof(method=first.method, at=first.auth_time, factor_id=first.factor_id)] if first is not None else []
    factors = (one for one in asking.within.factors if one.account_id == asking.account_id)
    return [*given, *(StoredProof(method=one.method, at=one.at, factor_id=one.factor_id) for one in factors)]


def tidy_label(typed: str) -> str:
    """A name that a person gave a factor: printable, spaces collapsed, cut to what is kept; "" when nothing is left."""
    printable = "".join(character if character.isprintable() else " " for character in typed[:400])
    return " ".join(printable.split())[:LONGEST_LABEL].rstrip()
