"""The end of a sign-in, as rows: opens, renews, replaces or simply touches the browser's Session, in the caller's transaction.

Called by idp/oauth (with a Grant and a code to follow) and by the sign-in to our own account page. Calls idp.endings for what it replaces.
"""

from datetime import datetime, timedelta

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import SessionSettings
from idp.crypto import digest
from idp.endings import Cause, end_session
from idp.errors import Refused
from idp.signin.facts import live_sessions
from idp.signin.interaction import Finish, Proof
from idp.store.base import Session
from idp.store.database import Transaction
from policies.sessions import SessionLimits, over_limit

# How long after its end an Interaction may still come back from a browser, and is then told apart from one that never was.
RESTARTABLE_FOR = timedelta(hours=12)


def write_session(
    tx: Transaction, finish: Finish, *, clock: Clock, settings: SessionSettings, origin: Origin
) -> tuple[Session, str | None]:
    """The Session that stands at the end, and its new cookie token, or None when the browser keeps the one it has.

    A proof always changes the cookie (no fixation). Refused("grant_not_alive") when the Session that was to answer has ended meanwhile,
    Refused("session_limit") when another sign-in of the same person was first.
    """
    if finish.interaction_digest and not spend_interaction(tx, finish.interaction_digest, clock=clock):
        raise Refused(Reason.INTERACTION_EXPIRED, "it was ended")
    # In the browser may be another person's Session, which ends here too.
    tx.people.hold(finish.account_id, *((finish.session.account_id,) if finish.session else ()))
    now = clock.now()
    actor = f"account:{finish.account_id}"
    if finish.closing_session_id:
        closing = tx.sessions.get(finish.closing_session_id)
        if closing is not None and closing.account_id == finish.account_id:
            end_session(tx, closing, Cause(Reason.SESSION_LIMIT, actor, origin), clock=clock)
    if finish.proof is None:
        return _answer(tx, finish, clock=clock), None
    account = tx.people.get(finish.account_id)
    if account is None or not account.is_active:
        raise Refused(Reason.ACCOUNT_NOT_ACTIVE, "cut while signing in")
    # Compared with what was proven and not with when: a change takes its instant before it commits, and a try in between reads the old hash.
    if not _still_stands(tx, finish.proof):
        raise Refused(Reason.CREDENTIAL_CHANGED, "the password was replaced while signing in")
    alarm = (EventType.BREAK_GLASS_USED,) if account.is_break_glass else ()
    cookie = clock.new_token()
    session = finish.session
    is_one_for_one = False
    if session is not None and session.account_id == finish.account_id and session.establishment_id == finish.establishment_id:
        renewed = _renew(tx, session, finish.proof, cookie=cookie, establishment_id=finish.establishment_id, now=now)
        if renewed is not None:
            _record(tx, renewed, origin, types=(*alarm, EventType.SIGNIN_SUCCEEDED), clock=clock)
            return renewed, cookie
    elif session is not None:
        ended = end_session(tx, session, Cause(Reason.REPLACED, actor, origin), clock=clock)
        is_one_for_one = session.account_id == finish.account_id and ended.sessions == 1
    if not is_one_for_one:
        _check_limit(tx, finish.account_id, settings, now=now)
    opened = Session(
        id=clock.new_id(),
        cookie_digest=digest(cookie),
        account_id=finish.account_id,
        establishment_id=finish.establishment_id,
        auth_time=finish.proof.auth_time,
        amr=finish.proof.amr,
        acr=finish.proof.acr,
        connector=finish.proof.connector,
        zone=origin.zone,
        device_id=None,
        address=origin.address,
        user_agent=origin.user_agent[:300],
        created_at=now,
        last_active_at=now,
        expires_at=now + settings.absolute,
        ended_at=None,
        ended_cause=None,
    )
    tx.sessions.add(opened)
    tx.people.remember_establishment(finish.account_id, finish.establishment_id)
    _record(tx, opened, origin, types=(*alarm, EventType.SIGNIN_SUCCEEDED, EventType.SESSION_OPENED), clock=clock)
    return opened, cookie


def _check_limit(tx: Transaction, account_id: str, settings: SessionSettings, *, now: datetime) -> None:
    """The dispatcher has asked which Session to close; two sign-ins at once were both told that there was room for one."""
    limits = SessionLimits(settings.idle, settings.absolute, settings.concurrent)
    if over_limit(len(live_sessions(tx, account_id, now=now, limits=limits, but=None)) + 1, limits):
        raise Refused(Reason.SESSION_LIMIT, "another sign-in was first")


def spend_interaction(tx: Transaction, interaction_digest: str, *, clock: Clock) -> bool:
    """Remember in SQL that an Interaction has ended: True the first time. The ephemeral store may forget it, or give an older state back."""
    return tx.grants.spend("interaction", interaction_digest, expires_at=clock.now() + RESTARTABLE_FOR)


def _still_stands(tx: Transaction, proof: Proof) -> bool:
    if proof.is_local:
        password = tx.people.password(proof.account_id)
        return password is not None and password.changed_at == proof.credential_at
    links = [link for link in tx.links.of_account(proof.account_id) if link.connector == proof.connector]
    return any(link.password_changed_at == proof.credential_at for link in links)


def _answer(tx: Transaction, finish: Finish, *, clock: Clock) -> Session:
    session = finish.session
    if session is None or not tx.sessions.touch(session.id, clock.now()):
        raise Refused(Reason.GRANT_NOT_ALIVE, "the session ended while it was answering")
    if session.establishment_id != finish.establishment_id:
        tx.sessions.choose_establishment(session.id, finish.establishment_id)
        tx.people.remember_establishment(finish.account_id, finish.establishment_id)
    return session


def _renew(tx: Transaction, session: Session, proof: Proof, *, cookie: str, establishment_id: str, now: datetime) -> Session | None:
    is_renewed = tx.sessions.renew(
        session.id, cookie_digest=digest(cookie), auth_time=proof.auth_time, amr=proof.amr, acr=proof.acr, establishment_id=establishment_id
    )
    if not is_renewed:
        return None
    tx.sessions.touch(session.id, now)  # the pages between the password and the end may have taken long
    return tx.sessions.get(session.id)


def _record(tx: Transaction, session: Session, origin: Origin, *, types: tuple[EventType, ...], clock: Clock) -> None:
    for kind in types:
        tx.events.append(
            Event(
                type=kind,
                at=clock.now(),
                actor=f"account:{session.account_id}",
                origin=origin,
                account_id=session.account_id,
                establishment_id=session.establishment_id,
                session_id=session.id,
                connector=session.connector,
                amr=session.amr,
                acr=session.acr,
            )
        )
