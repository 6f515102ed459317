"""All that an agent is shown of a person: who they are, where they work, with what they sign in and from where, and which acts are open on them.

Reads; never a secret, a number or an address in full that the person alone was told. Where they are stuck is idp/desk/diagnosis.py's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from idp.audit import Reason
from idp.clock import Clock
from idp.desk.access import needs_request
from idp.desk.authority import Agent, Authority
from idp.desk.search import Standing, standings
from idp.signin.recovery import CodesLeft, codes_left
from idp.store.base import Account, Device, Establishment, Factor, Link, Pass, Reset, Role, Session
from idp.store.database import Database
from policies.acts import Act

ACTS = (
    Act.UNLOCK,
    Act.RESET_PASSWORD,
    Act.RESET_FACTOR,
    Act.ISSUE_PASS,
    Act.END_SESSIONS,
    Act.SUSPEND,
    Act.EDIT_ACCOUNT,
    Act.ATTACH,
    Act.DETACH,
)
# Of a person whom one of these brought, names and addresses are the source's: what is typed here would be overwritten at its next word.
OWNING = frozenset({"directory", "immutable_id", "created"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`refused`: why each act is not open to this agent on this person; an act that is open is not in it. `owner`: the directory or provider
    whose word names and addresses are; None when they are kept here. `elsewhere`: attachments at establishments that the agent does not see;
    Sessions, requests and roles there are left out, but for roles in the whole group."""

    account: Account
    identifiers: tuple[tuple[str, str, str], ...]
    standings: tuple[Standing, ...]
    elsewhere: int
    links: tuple[Link, ...]
    owner: str | None
    has_password: bool
    factors: tuple[Factor, ...]
    codes: CodesLeft
    devices: tuple[Device, ...]
    sessions: tuple[tuple[Session, Establishment | None], ...]
    passes: tuple[Pass, ...]
    roles: tuple[tuple[Role, Establishment | None], ...]
    resets: tuple[Reset, ...]
    last_sign_in: datetime | None
    pass_needs_request: bool
    refused: Mapping[Act, Reason]

    @property
    def has_strong(self) -> bool:
        """Whether they have a second factor that is theirs to hold."""
        return any(one.kind != "email" for one in self.factors)


class Cards:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, authority: Authority) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority

    def of(self, agent: Agent, account: Account) -> Card:
        """The card of a person, on one snapshot. Raises ActRefused."""
        places, now = agent.actor.places(Act.FIND), self._clock.now()
        with self._database.read() as tx:
            self._authority.demand(tx, Act.FIND, agent, account=account)
            current = tx.people.get(account.id) or account
            links = tuple(one for one in tx.links.of_account(account.id) if one.ended_at is None)
            seen, elsewhere = standings(tx, account.id, places, now=now)
            sessions = [one for one in tx.sessions.open_of(account.id) if places is None or one.establishment_id in places]
            asked = {act: self._authority.ask(tx, act, agent, account=account) for act in ACTS}
            return Card(
                account=current,
                identifiers=tx.people.identifiers(account.id),
                standings=seen,
                elsewhere=elsewhere,
                links=links,
                owner=owner_of(links),
                has_password=tx.people.password(account.id) is not None,
                factors=tx.factors.open_of(account.id),
                codes=codes_left(tx, account.id),
                devices=tx.devices.open_of(account.id),
                sessions=tuple((one, tx.establishments.get(one.establishment_id)) for one in sessions),
                passes=tx.passes.open_of(account.id, now),
                roles=tuple(
                    (role, tx.establishments.get(role.establishment_id) if role.establishment_id else None)
                    for role in tx.roles.open_of(account.id)
                    if places is None or role.establishment_id is None or role.establishment_id in places
                ),
                resets=tuple(one for one in tx.resets.of_account(account.id, limit=5) if places is None or one.establishment_id in places),
                last_sign_in=tx.events.last_sign_in(account.id),
                pass_needs_request=needs_request(tx, current),
                refused={act: reason for act, reason in asked.items() if reason is not None},
            )


def owner_of(links: Iterable[Link]) -> str | None:
    """The source whose word a person's names and addresses are; None when they are kept here."""
    return next((link.connector for link in links if link.ended_at is None and link.how in OWNING), None)
