"""The end of a sign-in, as rows: opens, renews, replaces, steps up or simply touches the browser's Session, in the caller's transaction.

The browser's Device is settled with it (devices.py), and what was decided is kept with the Event. Called by idp/oauth (with a Grant and a code to
follow) and by the sign-in to our own account page. Calls idp.endings for what it replaces.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import SessionSettings
from idp.crypto import digest
from idp.endings import Cause, end_session
from idp.errors import Refused
from idp.signals import Occasion, assurance_changed
from idp.signin.devices import Issued, Tell, settle
from idp.signin.enrolment import has_strong, is_there, latest_proof
from idp.signin.facts import live_sessions
from idp.signin.interaction import Finish, Proof
from idp.signin.links import LinkRefused, NewLink, link, record, reserve
from idp.signin.standing_proof import still_stands
from idp.signin.whereabouts import told
from idp.store.base import Account, Session
from idp.store.database import Transaction
from policies.assurance import Method, strictest
from policies.enrolment import EnrolmentFacts, may_enrol
from policies.sessions import over_limit

# How long after its end an Interaction may still come back from a browser, and is then told apart from one that never was.
RESTARTABLE_FOR = timedelta(hours=12)
DECIDED = frozenset({EventType.SIGNIN_SUCCEEDED, EventType.SESSION_STEPPED_UP})


@dataclass(frozen=True, slots=True)
class Written:
    """The Session that stands at the end; the new tokens for the browser's two cookies, None where it keeps what it has."""

    session: Session
    cookie: str | None = None
    device: Issued | None = None

    def __repr__(self) -> str:
        return f"Written({self.session.id}, …)"  # a traceback or a log line must not show a secret


def write_session(tx: Transaction, finish: Finish, *, clock: Clock, settings: SessionSettings, origin: Origin, tell: Tell) -> Written:
    """Open, renew, step up or touch the Session. `tell` is how the person hears of a new browser.

    A proof always changes the cookie (no fixation). Refused("grant_not_alive") when the Session that was to answer has ended meanwhile,
    Refused("session_limit") when another sign-in of the same person was first, LinkRefused when who came by a provider cannot be this person.
    """
    if finish.interaction_digest and not spend_interaction(tx, finish.interaction_digest, clock=clock):
        raise Refused(Reason.INTERACTION_EXPIRED, "it was ended")
    if finish.grounds.workstation_id is not None:
        tx.share(f"workstation {finish.grounds.workstation_id}")
    if finish.pending_link is not None:
        reserve(tx, finish.pending_link.connector, finish.pending_link.subject)
    # In the browser may be another person's Session, which ends here too.
    tx.people.hold(finish.account_id, *((finish.session.account_id,) if finish.session else ()))
    actor = f"account:{finish.account_id}"
    origin = told(origin, finish.grounds.whereabouts)
    if finish.closing_session_id:
        closing = tx.sessions.get(finish.closing_session_id)
        if closing is not None and closing.account_id == finish.account_id:
            end_session(tx, closing, Cause(Reason.SESSION_LIMIT, actor, origin), clock=clock)
    _check_grounds(tx, finish)
    _link(tx, finish, Author(actor, origin), clock=clock, tell=tell)
    if finish.proof is None and not finish.factors:
        return Written(_answer(tx, finish, clock=clock))
    account = tx.people.get(finish.account_id)
    if account is None or not account.is_active:
        raise Refused(Reason.ACCOUNT_NOT_ACTIVE, "cut while signing in")
    if finish.proof is None:
        return _step_up(tx, finish, account, origin=origin, clock=clock, tell=tell)
    # Compared with what was proven and not with when: a change takes its instant before it commits, and a try in between reads the old hash.
    if not still_stands(tx, finish.proof):
        raise Refused(Reason.CREDENTIAL_CHANGED, "the password was replaced while signing in")
    return _sign_in(tx, finish, finish.proof, account=account, settings=settings, origin=origin, clock=clock, tell=tell)


def _sign_in(
    tx: Transaction, finish: Finish, proof: Proof, *, account: Account, settings: SessionSettings, origin: Origin, clock: Clock, tell: Tell
) -> Written:
    now = clock.now()
    if finish.grounds.begins_grace:
        tx.people.change(account.id, now, grace_began_at=now)
    alarm = (EventType.BREAK_GLASS_USED,) if account.is_break_glass else ()
    cookie, session = clock.new_token(), finish.session
    device_id, device = settle(tx, account, finish.grounds.device, clock=clock, origin=origin, tell=tell)
    opened = Session(
        id=clock.new_id(),
        cookie_digest=digest(cookie),
        account_id=finish.account_id,
        establishment_id=finish.establishment_id,
        auth_time=_auth_time(finish, proof),
        amr=finish.grounds.assurance.amr,
        acr=finish.grounds.assurance.acr,
        connector=proof.connector,
        zone=origin.zone,
        zone_kind=origin.zone_kind,
        zone_why=origin.zone_why,
        proofs=finish.grounds.proofs,
        device_id=device_id,
        workstation_id=finish.grounds.workstation_id,
        is_shared=finish.grounds.whereabouts.is_shared,
        address=origin.address,
        user_agent=origin.user_agent[:300],
        created_at=now,
        last_active_at=now,
        expires_at=now + settings.absolute,
        ended_at=None,
        ended_cause=None,
    )
    is_one_for_one = False
    if session is not None and session.account_id == finish.account_id and session.establishment_id == finish.establishment_id:
        renewed = replace(opened, id=session.id, created_at=session.created_at, expires_at=session.expires_at)
        unlocked = (EventType.SESSION_UNLOCKED,) if session.is_locked else ()
        if tx.sessions.renew(renewed):
            _tell_assurance(tx, session, renewed, origin=origin, clock=clock)
            _record(tx, renewed, finish, origin, types=(*alarm, EventType.SIGNIN_SUCCEEDED, *unlocked), clock=clock)
            return Written(renewed, cookie, device)
    elif session is not None:
        ended = end_session(tx, session, Cause(Reason.REPLACED, f"account:{finish.account_id}", origin), clock=clock)
        is_one_for_one = session.account_id == finish.account_id and ended.sessions == 1
    if not is_one_for_one:
        _check_limit(tx, finish.account_id, settings, now=now)
    tx.sessions.add(opened)
    tx.people.remember_establishment(finish.account_id, finish.establishment_id)
    _record(tx, opened, finish, origin, types=(*alarm, EventType.SIGNIN_SUCCEEDED, EventType.SESSION_OPENED), clock=clock)
    return Written(opened, cookie, device)


def _auth_time(finish: Finish, proof: Proof) -> datetime:
    """As old as the oldest proof that the claims speak of: who unlocks a Session shows one again, and the others are from before."""
    shown = [given.at for given in finish.grounds.proofs if given.method != Method.REMEMBERED_DEVICE]
    return min(shown, default=proof.auth_time)


def _step_up(tx: Transaction, finish: Finish, account: Account, *, origin: Origin, clock: Clock, tell: Tell) -> Written:
    """A second proof in a Session that was open: more is known of the person, and the first proof is as old as it was."""
    session = _answer(tx, finish, clock=clock)
    cookie = clock.new_token()
    device_id, device = settle(tx, account, finish.grounds.device, clock=clock, origin=origin, tell=tell)
    stepped = replace(
        session,
        cookie_digest=digest(cookie),
        establishment_id=finish.establishment_id,
        amr=finish.grounds.assurance.amr,
        acr=finish.grounds.assurance.acr,
        proofs=finish.grounds.proofs,
        zone=origin.zone,
        zone_kind=origin.zone_kind,
        zone_why=origin.zone_why,
        device_id=device_id,
        workstation_id=finish.grounds.workstation_id,
        is_shared=session.is_shared or finish.grounds.whereabouts.is_shared,
        address=origin.address,
        user_agent=origin.user_agent[:300],
        last_active_at=clock.now(),
    )
    if not tx.sessions.renew(stepped):
        raise Refused(Reason.GRANT_NOT_ALIVE, "the session ended while it was stepped up")
    _tell_assurance(tx, session, stepped, origin=origin, clock=clock)
    _record(tx, stepped, finish, origin, types=(EventType.SESSION_STEPPED_UP,), clock=clock)
    return Written(stepped, cookie, device)


def _tell_assurance(tx: Transaction, before: Session, now: Session, *, origin: Origin, clock: Clock) -> None:
    occasion = Occasion(f"account:{now.account_id}", str(EventType.SESSION_STEPPED_UP), origin)
    assurance_changed(tx, now.account_id, session_id=now.id, before=before.acr, now=now.acr, occasion=occasion, clock=clock)


def _check_grounds(tx: Transaction, finish: Finish) -> None:
    """What the decision stood on still stands. A factor that was removed or reset since it was proven proves nothing: whoever took it away meant
    this browser too; a workstation that was revoked is none.
    """
    given = [factor.factor_id for factor in finish.factors] + ([finish.proof.factor_id] if finish.proof else [])
    for factor_id in given:
        if factor_id is not None and ((factor := tx.factors.get(factor_id)) is None or factor.ended_at is not None):
            raise Refused(Reason.CREDENTIAL_CHANGED, "a factor was taken away while signing in")
    device_id = finish.grounds.device.device_id
    is_spared = any(proof.method == Method.REMEMBERED_DEVICE and proof.factor_id == device_id for proof in finish.grounds.proofs)
    if device_id is not None and is_spared and ((device := tx.devices.get(device_id)) is None or device.ended_at is not None):
        raise Refused(Reason.CREDENTIAL_CHANGED, "the browser was forgotten while signing in")
    workstation_id = finish.grounds.workstation_id
    if workstation_id is not None and ((machine := tx.workstations.get(workstation_id)) is None or machine.ended_at is not None):
        raise Refused(Reason.CREDENTIAL_CHANGED, "the workstation was ended while signing in")


def _link(tx: Transaction, finish: Finish, author: Author, *, clock: Clock, tell: Tell) -> None:
    """Who came by a provider is the person of this sign-in from now on, if both sides have said so, and a means of sign-in may be added."""
    pending = finish.pending_link
    if pending is None or pending.confirmed_by != finish.account_id:
        return
    seal = bytes.fromhex(pending.refresh_seal) if pending.refresh_seal else None
    new = NewLink(connector=pending.connector, subject=pending.subject, how="proven", refresh_seal=seal)
    opened_by = _leave_to_link(tx, finish, author, clock=clock)
    link(tx, finish.account_id, new, author=author, clock=clock, opened_by=opened_by)
    if (account := tx.people.get(finish.account_id)) is not None:
        tell(tx, account, "link_added", {"hint": pending.label}, author=author)


def _leave_to_link(tx: Transaction, finish: Finish, author: Author, *, clock: Clock) -> str:
    """What lets them add it, judged again on what is there now; a pass is used up. Raises LinkRefused."""
    leave, now = finish.link_leave, clock.now()
    shown = latest_proof(proof for proof in finish.grounds.proofs if is_there(tx, proof.factor_id))
    open_at = {one.establishment_id for one in tx.people.attachments(finish.account_id) if one.ended_at is None}
    places = [place for key in sorted(open_at) if (place := tx.establishments.get(key))]
    decision = may_enrol(
        EnrolmentFacts(
            level=strictest(place.regulatory_level for place in places),
            whereabouts=finish.grounds.whereabouts,
            signed_in_at=leave.signed_in_at,
            now=now,
            has_factor=has_strong(tx.factors.open_of(finish.account_id)),
            proved_factor_recently=shown is not None and now - shown <= leave.recent,
            has_pass=leave.pass_digest is not None,
        )
    )
    if not decision.is_allowed:
        raise LinkRefused(Reason(decision.reasons[0]), finish.account_id)
    if leave.pass_digest is not None:
        given = tx.passes.get(leave.pass_digest)
        if given is None or given.account_id != finish.account_id or not tx.passes.redeem(leave.pass_digest, "enrol", now):
            raise LinkRefused(Reason.PASS_NOT_VALID, finish.account_id)
        details = {"purpose": given.purpose, "issued_by": given.issued_by}
        record(tx, EventType.PASS_USED, finish.account_id, author, connector=None, details=details, clock=clock)
    return decision.trace[0].detail


def _check_limit(tx: Transaction, account_id: str, settings: SessionSettings, *, now: datetime) -> None:
    """The dispatcher has asked which Session to close; two sign-ins at once were both told that there was room for one."""
    limits = settings.limits
    if over_limit(len(live_sessions(tx, account_id, now=now, limits=limits, but=None)) + 1, limits):
        raise Refused(Reason.SESSION_LIMIT, "another sign-in was first")


def spend_interaction(tx: Transaction, interaction_digest: str, *, clock: Clock) -> bool:
    """Remember in SQL that an Interaction has ended: True the first time. The ephemeral store may forget it, or give an older state back."""
    return tx.grants.spend("interaction", interaction_digest, expires_at=clock.now() + RESTARTABLE_FOR)


def _answer(tx: Transaction, finish: Finish, *, clock: Clock) -> Session:
    session = finish.session
    if session is None or not tx.sessions.touch(session.id, clock.now()):
        raise Refused(Reason.GRANT_NOT_ALIVE, "the session ended, or was locked, while it was answering")
    if finish.grounds.whereabouts.is_shared and not session.is_shared:
        tx.sessions.mark_shared(session.id)
        session = replace(session, is_shared=True)
    if session.establishment_id != finish.establishment_id:
        tx.sessions.choose_establishment(session.id, finish.establishment_id)
        tx.people.remember_establishment(finish.account_id, finish.establishment_id)
        return replace(session, establishment_id=finish.establishment_id)
    return session


def _record(tx: Transaction, session: Session, finish: Finish, origin: Origin, *, types: tuple[EventType, ...], clock: Clock) -> None:
    for kind in types:
        tx.events.append(
            Event(
                type=kind,
                at=clock.now(),
                actor=f"account:{session.account_id}",
                origin=origin,
                account_id=session.account_id,
                client_id=finish.request.client_id if finish.request else None,
                establishment_id=session.establishment_id,
                session_id=session.id,
                connector=session.connector,
                amr=session.amr,
                acr=session.acr,
                device_id=session.device_id,
                workstation_id=session.workstation_id,
                # Once a sign-in: whoever judges the past again must not count it twice.
                decision=finish.grounds.decision if kind in DECIDED else None,
            )
        )
