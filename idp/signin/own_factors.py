"""What a signed-in person sees and does about their own second factors, on the account page.

Owns the position from which they ask (where this request comes from, what their Session has proven) and that a factor they have just added is a proof
in their Session. The guard is enrolment.py's, each kind its own room's.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from idp.audit import Origin, Reason
from idp.clock import Clock
from idp.errors import Refused
from idp.signin.enrolment import Asking, Enrolment, latest_proof
from idp.signin.factor import FactorProof
from idp.signin.ground import Visitor
from idp.signin.passes import Passes
from idp.signin.recovery import CodesLeft, codes_left
from idp.signin.whereabouts import Locator
from idp.store.base import Account, Ephemeral, Establishment, Factor, Session, StoredProof
from idp.store.database import Database

SHOWN_PASS = "enrolment.pass"  # noqa: S105  # a kind of entry, not a password
SHOWN_FOR = timedelta(minutes=15)
MOST_NOTED = 24  # proofs of a Session: who adds and removes all day long must not make its row grow for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorOverview:
    """`obstacle` is why no factor may be added now; `must_confirm` that no change may be made before a factor is given again."""

    account: Account
    active: Establishment | None
    factors: tuple[Factor, ...]
    codes: CodesLeft
    obstacle: Reason | None
    must_confirm: bool


class OwnFactors:
    """A person's own factors, by their live Session. Safe between threads; build one per process."""

    def __init__(
        self, database: Database, ephemeral: Ephemeral, clock: Clock, *, enrolment: Enrolment, passes: Passes, locator: Locator
    ) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._clock = clock
        self._enrolment = enrolment
        self._passes = passes
        self._locator = locator

    def asking(self, session: Session, visitor: Visitor) -> Asking:
        """The position from which the person asks, at this request. Raises StoreUnavailable."""
        now = self._clock.now()
        shown = self._ephemeral.get(SHOWN_PASS, session.id)
        with self._database.read() as tx:
            attached = any(
                one.establishment_id == session.establishment_id and one.is_valid(now) for one in tx.people.attachments(session.account_id)
            )
            given = tx.passes.get(shown.decode()) if shown else None
            there = {one.id for one in tx.factors.open_of(session.account_id)}
            whereabouts = self._locator.where(
                tx,
                visitor.origin,
                establishment_id=session.establishment_id,
                has_attachment=attached,
                workstation=visitor.workstation,
            )
        return Asking(
            account_id=session.account_id,
            establishment_id=session.establishment_id,
            whereabouts=whereabouts,
            signed_in_at=session.auth_time,
            proved_at=latest_proof(one for one in session.proofs if one.factor_id is None or one.factor_id in there),
            session_id=session.id,
            pass_digest=given.digest if given is not None and given.used_at is None and given.ended_at is None else None,
        )

    def overview(self, session: Session, visitor: Visitor) -> FactorOverview:
        """Everything the page shows. Raises Refused(account_not_active) when the account was cut."""
        asking = self.asking(session, visitor)
        decision = self._enrolment.may(asking)
        with self._database.read() as tx:
            account = tx.people.get(session.account_id)
            if account is None or not account.is_active:
                raise Refused(Reason.ACCOUNT_NOT_ACTIVE, session.account_id)
            return FactorOverview(
                account=account,
                active=tx.establishments.get(session.establishment_id),
                factors=tx.factors.open_of(account.id),
                codes=codes_left(tx, account.id),
                obstacle=None if decision.is_allowed else Reason(decision.reasons[0]),
                must_confirm=not self._enrolment.is_recent(asking.proved_at),
            )

    def show_pass(self, session: Session, typed: str, origin: Origin) -> None:
        """Remember for a while that a pass to add a first factor was shown in this Session; it is used up with the addition. Raises FactorRefused."""
        digest = self._passes.check(session.account_id, typed, origin)
        self._ephemeral.put(SHOWN_PASS, session.id, digest.encode(), SHOWN_FOR)

    def note(self, session: Session, proof: FactorProof) -> Session:
        """The Session, which now knows that the person gave this; as it was when it has ended meanwhile."""
        with self._database.write() as tx:
            tx.people.hold(session.account_id)
            current = tx.sessions.get(session.id)
            if current is None or current.ended_at is not None or current.account_id != proof.account_id:
                return session
            given = StoredProof(method=proof.method, at=proof.at, factor_id=proof.factor_id)
            first, others = current.proofs[:1], current.proofs[1:]
            noted = replace(current, proofs=(*first, *others[-MOST_NOTED:], given))
            return noted if tx.sessions.renew(noted) else session
