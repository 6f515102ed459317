"""Who sits at this browser: the Session behind a cookie, or why there is none any more; activity, the lock, signing out and changing the person.

Owns the reading of Sessions against their limits. A Session found past a limit is ended here and now, so that the applications are told without
waiting for the sweep. Calls policies/sessions.py and idp.endings.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import digest
from idp.endings import Cause, end_session
from idp.signin.facts import session_facts, session_standing
from idp.store.base import Session
from idp.store.database import Database
from policies.sessions import SessionLimits, Standing, seconds_left

TOUCH_EVERY = timedelta(seconds=30)
TOUCHES_AN_IDLE = 20  # or more often, so that a short limit is not cut by much
OVERDUE = {Standing.IDLE_EXPIRED: Reason.IDLE, Standing.ABSOLUTE_EXPIRED: Reason.ABSOLUTE_LIMIT}


@dataclass(frozen=True, slots=True)
class Presence:
    """`session` is live. When there is none, `ended` says why the one of the cookie is over; `is_stale` that the cookie leads nowhere any more."""

    session: Session | None = None
    ended: Reason | None = None
    is_stale: bool = False


class Presences:
    """Reads and touches Sessions."""

    def __init__(self, database: Database, clock: Clock, *, limits: SessionLimits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits

    def read(self, cookie: str | None, origin: Origin) -> Presence:
        """Who the cookie stands for; one statement when the Session is live."""
        if not cookie:
            return Presence()
        with self._database.read() as tx:
            session = tx.sessions.by_cookie(digest(cookie))
        if session is None:
            return Presence(is_stale=True)
        standing = session_standing(session, self._limits, self._clock.now())
        if standing is Standing.LIVE:
            return Presence(session)
        if standing is Standing.ENDED:
            return Presence(ended=Reason(session.ended_cause) if session.ended_cause else None, is_stale=True)
        with self._database.write() as tx:
            end_session(tx, session, Cause(OVERDUE[standing], "system", origin), clock=self._clock)
        return Presence(ended=OVERDUE[standing], is_stale=True)

    def touch(self, session: Session) -> Session:
        """The Session with its activity recorded, most often every 30 seconds at most.

        A page of ours or an authorization counts, a background refresh does not (R12), nor what happens while it is locked.
        """
        now = self._clock.now()
        often = min(TOUCH_EVERY, self._limits.idle_of(is_shared=session.is_shared) / TOUCHES_AN_IDLE)
        if session.is_locked or now - session.last_active_at < often:
            return session
        with self._database.write() as tx:
            tx.sessions.touch(session.id, now)
        return replace(session, last_active_at=now)

    def mark_shared(self, session: Session) -> Session:
        """Its browser is now where people follow one another: the Session is held to their limits until the next sign-in."""
        with self._database.write() as tx:
            tx.sessions.mark_shared(session.id)
        return replace(session, is_shared=True)

    def seconds_left(self, session: Session) -> int:
        """Seconds until the nearest limit if nothing happens."""
        return seconds_left(session_facts(session), self._limits, self._clock.now())

    def sign_out(self, session: Session, origin: Origin, *, client_id: str | None = None) -> None:
        """The person leaves, from our page or by way of an application: the Session and its Grants end, the applications are owed a notice."""
        self._leave(session, origin, Reason.SIGNED_OUT_BY_APPLICATION if client_id else Reason.SIGNED_OUT, client_id=client_id)

    def change_person(self, session: Session, origin: Origin) -> None:
        """Somebody else takes over: as a sign-out, and nothing that the applications were given goes on, offline either."""
        self._leave(session, origin, Reason.PERSON_CHANGED)

    def lock(self, session: Session, origin: Origin) -> bool:
        """From here on nothing goes on in the Session before its person shows again who they are; False when it has ended or was locked.

        Tokens that were given before stay good until the idle limit: applications are told of ends, not of locks.
        """
        with self._database.write() as tx:
            tx.people.hold(session.account_id)
            if not tx.sessions.lock(session.id, self._clock.now()):
                return False
            tx.events.append(self._event(EventType.SESSION_LOCKED, session, origin))
            return True

    def _leave(self, session: Session, origin: Origin, reason: Reason, *, client_id: str | None = None) -> None:
        actor = f"account:{session.account_id}"
        with self._database.write() as tx:
            tx.events.append(self._event(EventType.LOGOUT_REQUESTED, session, origin, reason=reason, client_id=client_id))
            end_session(tx, session, Cause(reason, actor, origin), clock=self._clock)

    def _event(
        self, kind: EventType, session: Session, origin: Origin, *, reason: Reason | None = None, client_id: str | None = None
    ) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            actor=f"account:{session.account_id}",
            origin=origin,
            reason=reason,
            account_id=session.account_id,
            client_id=client_id,
            establishment_id=session.establishment_id,
            session_id=session.id,
            workstation_id=session.workstation_id,
        )
