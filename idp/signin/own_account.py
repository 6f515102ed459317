"""What a signed-in person sees and does about their own account: attachments, open Sessions, the active establishment.

Owns the overview and these acts; not the password (password_change.py). Calls the store, policies/access.py and idp.endings.
"""

from dataclasses import dataclass
from datetime import datetime

from idp.audit import Origin, Reason
from idp.clock import Clock
from idp.endings import Cause, end_session
from idp.errors import Refused
from idp.signin.facts import Terms, gather, live_sessions
from idp.signin.interaction import Interaction
from idp.signin.local import CONNECTOR
from idp.store.base import Account, Attachment, Establishment, Session
from idp.store.database import Database
from policies.access import usable_attachments
from policies.rules import RuleSet
from policies.sessions import SessionLimits

UNJUDGED = Terms(RuleSet(()))  # the page only looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`usable` are the ids of attachments that open doors now; `others` the live Sessions elsewhere, oldest first; `choices` where one may work.

    `password_set_at`: when the local password was set; None for who signed in with no such password.
    """

    account: Account
    active: Establishment | None
    attachments: tuple[tuple[Attachment, Establishment], ...]
    usable: frozenset[str]
    choices: tuple[Establishment, ...]
    others: tuple[Session, ...]
    has_password: bool
    password_set_at: datetime | None = None


class OwnAccount:
    """A person's own account, by their live Session."""

    def __init__(self, database: Database, clock: Clock, *, limits: SessionLimits) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits

    def overview(self, session: Session) -> Overview:
        """Everything the page shows, of one instant. Raises Refused(account_not_active) when the account was cut."""
        now = self._clock.now()
        nobody = Interaction(id="", browser_digest="", created_at=now, request=None)
        with self._database.read() as tx:
            facts = gather(tx, nobody, session, now=now, limits=self._limits, terms=UNJUDGED, load_client=lambda _tx, _id: None)
            if facts.account is None or not facts.account.is_active:
                raise Refused(Reason.ACCOUNT_NOT_ACTIVE, session.account_id)
            places, password = facts.establishments, tx.people.password(facts.account.id)
            usable = usable_attachments(facts.access)
            open_here = {attachment.establishment_id for attachment in usable}
            return Overview(
                account=facts.account,
                active=places.get(session.establishment_id) or tx.establishments.get(session.establishment_id),
                attachments=tuple(
                    (attachment, places[attachment.establishment_id])
                    for attachment in tx.people.attachments(facts.account.id)
                    if attachment.ended_at is None and attachment.establishment_id in places
                ),
                usable=frozenset(attachment.id for attachment in usable),
                choices=tuple(sorted((place for key, place in places.items() if key in open_here), key=lambda place: place.name)),
                others=live_sessions(tx, facts.account.id, now=now, limits=self._limits, but=session),
                has_password=session.connector != CONNECTOR or password is not None,
                password_set_at=password.changed_at if password is not None and session.connector == CONNECTOR else None,
            )

    def end_other(self, session: Session, other_id: str, *, origin: Origin) -> bool:
        """End one other Session of the same person; False when it is not theirs, is this one, or has ended."""
        with self._database.write() as tx:
            other = tx.sessions.get(other_id)
            if other is None or other.account_id != session.account_id or other.id == session.id:
                return False
            return end_session(tx, other, self._cause(session, origin), clock=self._clock).sessions == 1

    def end_others(self, session: Session, origin: Origin) -> int:
        """End every other Session of the same person; how many."""
        with self._database.write() as tx:
            tx.people.hold(session.account_id)
            return sum(
                end_session(tx, other, self._cause(session, origin), clock=self._clock).sessions
                for other in tx.sessions.open_of(session.account_id)
                if other.id != session.id
            )

    def choose_establishment(self, session: Session, chosen: Establishment) -> None:
        """Make another of the overview's choices the active one and the one remembered; the caller has asked the rules."""
        with self._database.write() as tx:
            tx.people.hold(session.account_id)
            tx.sessions.choose_establishment(session.id, chosen.id)
            tx.people.remember_establishment(session.account_id, chosen.id)

    def _cause(self, session: Session, origin: Origin) -> Cause:
        return Cause(Reason.ENDED_BY_PERSON, f"account:{session.account_id}", origin)
