"""Who acts, and whether they may: gathers what policies/acts.py judges by, and keeps the Event of every refusal.

Owns no act. Pages (idp/web/admin) and commands (idp/cli) ask here before anything is done, in the transaction that does it, so that a role taken away
meanwhile counts. Calls the store.
"""

from dataclasses import dataclass
from datetime import datetime

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.errors import VestibuleError
from idp.people import roles
from idp.signin.enrolment import latest_proof
from idp.signin.gate import proofs_of
from idp.store.base import Account, Establishment, Session
from idp.store.database import Database, Transaction
from policies import acts
from policies.acts import LOOKING, OPERATOR, Act, Actor, Holding, Person, may


class ActRefused(VestibuleError):
    """The act may not be done; `reason` is an idp.audit.Reason. `Authority.record` keeps its Event, in a transaction of its own."""

    def __init__(
        self, reason: Reason, act: Act, *, detail: str = "", account_id: str | None = None, establishment_id: str | None = None
    ) -> None:
        super().__init__(str(reason), detail)
        self.code = reason
        self.act = act
        self.account_id = account_id
        self.establishment_id = establishment_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Somebody who acts at the desk, as known at one request. `account` and `session` are None for an operator's command.

    `proved_at`: when a second factor was last really given in their Session; None when it was not.
    """

    author: Author
    actor: Actor
    account: Account | None = None
    session: Session | None = None
    proved_at: datetime | None = None

    @property
    def name(self) -> str:
        """Who, for people to read."""
        return self.account.name if self.account is not None else self.author.actor


class Authority:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def agent_of(self, tx: Transaction, session: Session, origin: Origin) -> Agent | None:
        """Whoever is signed in, with what they hold now; None when the Account may not be used, or holds nothing."""
        account = tx.people.get(session.account_id)
        holdings = holdings_of(tx, session.account_id)
        if account is None or not account.is_active or not holdings:
            return None
        return Agent(
            author=Author(f"account:{account.id}", origin),
            actor=Actor(account_id=account.id, holdings=holdings),
            account=account,
            session=session,
            proved_at=latest_proof(proofs_of(session)),
        )

    def ask(
        self, tx: Transaction, act: Act, agent: Agent, *, account: Account | None = None, establishment: Establishment | None = None
    ) -> Reason | None:
        """Why the act may not be done, as things are in this transaction; None when it may."""
        person = self.person(tx, account) if account is not None else None
        actor = self.actor(tx, agent)
        decision = may(act, actor, person=person, establishment_id=establishment.id if establishment is not None else None)
        return None if decision.is_allowed else Reason(decision.reasons[0])

    def demand(
        self, tx: Transaction, act: Act, agent: Agent, *, account: Account | None = None, establishment: Establishment | None = None
    ) -> None:
        """Raises ActRefused unless the act may be done; the caller's transaction is given up with it.

        On somebody who holds a role, one at a time: of two administrators who take each other's away at one moment, the second has none any more.
        The caller holds the account first, so that what is judged stays true; whoever has `roles` then waits for no other account.
        """
        if account is not None and act not in LOOKING and tx.roles.open_of(account.id):
            tx.lock(roles.LOCK)
        reason = self.ask(tx, act, agent, account=account, establishment=establishment)
        if reason is not None:
            raise ActRefused(
                reason,
                act,
                detail=reason.description,
                account_id=account.id if account is not None else None,
                establishment_id=establishment.id if establishment is not None else None,
            )

    def actor(self, tx: Transaction, agent: Agent) -> Actor:
        """What an agent holds as things are in this transaction: a role taken away, or an Account suspended, since the request began opens nothing.

        What an operator holds is the configuration's to say.
        """
        if agent.account is None:
            return agent.actor
        account = tx.people.get(agent.account.id)
        is_usable = account is not None and account.is_active
        return Actor(account_id=agent.account.id, holdings=holdings_of(tx, agent.account.id) if is_usable else ())

    def record(self, refused: ActRefused, author: Author) -> None:
        """Keep the Event of a refusal."""
        event = Event(
            type=EventType.DESK_REFUSED,
            at=self._clock.now(),
            actor=author.actor,
            origin=author.origin,
            reason=refused.code,
            account_id=refused.account_id,
            establishment_id=refused.establishment_id,
            details={"act": str(refused.act)},
        )
        with self._database.write() as tx:
            tx.events.append(event)

    def note_entry(self, agent: Agent) -> None:
        """Keep the Event of an administrator who has entered the console."""
        event = Event(
            type=EventType.CONSOLE_OPENED,
            at=self._clock.now(),
            actor=agent.author.actor,
            origin=agent.author.origin,
            account_id=agent.actor.account_id,
            establishment_id=agent.session.establishment_id if agent.session is not None else None,
            session_id=agent.session.id if agent.session is not None else None,
        )
        with self._database.write() as tx:
            tx.events.append(event)

    def person(self, tx: Transaction, account: Account) -> Person:
        """An Account as policies/acts.py sees it."""
        now = self._clock.now()
        places = frozenset(
            one.establishment_id
            for one in tx.people.attachments(account.id)
            if one.ended_at is None and (one.valid_until is None or now < one.valid_until)
        )
        return Person(
            account_id=account.id,
            establishments=places,
            holdings=holdings_of(tx, account.id),
            is_break_glass=account.is_break_glass,
        )


def operator(author: Author, actor: Actor = OPERATOR) -> Agent:
    """Whoever runs a command: everything, everywhere, unless the configuration names operators (idp/cli/place.py says which `actor` they are)."""
    return Agent(author=author, actor=actor)


def holdings_of(tx: Transaction, account_id: str) -> tuple[Holding, ...]:
    """The roles of an Account that have not ended."""
    return tuple(Holding(role.role, role.establishment_id) for role in tx.roles.open_of(account_id))


def is_privileged(tx: Transaction, account: Account) -> bool:
    """Whether whoever gets hold of this Account gets hold of others: a reset of it takes two."""
    return any(acts.ROLES.get(role.role) != frozenset() for role in tx.roles.open_of(account.id))
