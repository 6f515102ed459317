"""Who administers: roles given and taken, from the console and by command, each asked of authority.py in the transaction that does it.

Nobody gives a role that opens more than they hold, nobody changes their own, and the group keeps an administrator. Whoever gains or loses one is told
by mail. What is written is idp/people/roles.py's.
"""

from dataclasses import dataclass
from typing import cast

from idp.audit import Reason
from idp.clock import Clock
from idp.desk.authority import ActRefused, Agent, Authority
from idp.desk.wrong_input import Problem, WrongInput
from idp.people import accounts, roles
from idp.people.accounts import AccountRefused
from idp.people.roles import RoleName, RoleRefused
from idp.signin.devices import Tell
from idp.store.base import Account, Establishment, Role
from idp.store.database import Database, Transaction
from policies.acts import GROUP_ONLY, Act, Holding, may_give

_ACT = Act.MANAGE_ADMINISTRATORS
_FIELDS = {"account_not_fit": "who", "role_there_already": "role", "role_misplaced": "establishment"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A role held, with whose it is and where (`place` None: in the whole group)."""

    role: Role
    account: Account
    place: Establishment | None
    has_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A role to be given."""

    account: Account
    role: RoleName
    place: Establishment | None


class Administrators:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, authority: Authority, tell: Tell) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority
        self._tell = tell

    def page(self, agent: Agent, *, named: str, offset: int, limit: int) -> tuple[Given, ...]:
        """Who administers what, by name, a part of the list. Raises ActRefused."""
        with self._database.read() as tx:
            self._authority.demand(tx, _ACT, agent)
            return tuple(
                Given(role=role, account=account, place=self._place(tx, role), has_factor=has_factor)
                for role, account, has_factor in tx.roles.page(named=named, offset=offset, limit=limit)
            )

    def read(self, agent: Agent, *, who: str, role: str, where: str) -> Wanted:
        """What a form says: an id or identifier, a role, and the short name of an establishment or "". Raises WrongInput, ActRefused."""
        problems: list[Problem] = []
        with self._database.read() as tx:
            account = self._named(tx, who, problems)
            place = tx.establishments.by_slug(where.strip().lower()) if where.strip() else None
            if role not in roles.ROLES:
                problems.append(Problem("role", "one of the roles"))
            if where.strip() and (place is None or place.ended_at is not None):
                problems.append(Problem("establishment", f"no establishment {where.strip()[:80]}"))
            if role in GROUP_ONLY and where.strip():
                problems.append(Problem("establishment", f"{role} is for the whole group"))
            if problems or account is None:
                raise WrongInput(problems)
            wanted = Wanted(account=account, role=cast(RoleName, role), place=place)
            self._demand(tx, agent, wanted)
            try:
                roles.refuse_unfit(tx, account, wanted.role, establishment=place)
            except RoleRefused as refused:
                raise _wrong(refused) from refused
        return wanted

    def give(self, agent: Agent, wanted: Wanted) -> Role:
        """Give it. Raises WrongInput, ActRefused."""
        with self._database.write() as tx:
            return self.give_in(tx, agent, wanted)

    def give_in(self, tx: Transaction, agent: Agent, wanted: Wanted) -> Role:
        """The same in the caller's transaction."""
        tx.lock(roles.LOCK)
        account = tx.people.get(wanted.account.id)
        if account is None:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT)
        self._demand(tx, agent, wanted)
        try:
            given = roles.give(tx, account, wanted.role, agent.author, establishment=wanted.place, clock=self._clock)
        except RoleRefused as refused:
            raise _wrong(refused) from refused
        self._tell(tx, account, "role_given", {"hint": _said(given, wanted.place)}, author=agent.author)
        return given

    def held(self, account: Account, role_id: str) -> Given:
        """A role of somebody that has not ended; ActRefused when there is none."""
        with self._database.read() as tx:
            role = next((one for one in tx.roles.open_of(account.id) if one.id == role_id), None)
            if role is None:
                raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT, account_id=account.id)
            return Given(role=role, account=account, place=self._place(tx, role), has_factor=False)

    def take(self, agent: Agent, account: Account, role_id: str) -> Role:
        """Take one role away. Raises ActRefused: also when it is the last of the group's administrators."""
        with self._database.write() as tx:
            (taken,) = self.take_in(tx, agent, account, role_id=role_id)
        return taken

    def take_in(
        self,
        tx: Transaction,
        agent: Agent,
        account: Account,
        *,
        role_id: str | None = None,
        role: str | None = None,
        establishment: Establishment | None = None,
    ) -> tuple[Role, ...]:
        """Take roles away in the caller's transaction: all, or those that fit. Raises ActRefused, and RoleRefused when none does."""
        tx.lock(roles.LOCK)
        self._authority.demand(tx, _ACT, agent, account=account)
        try:
            taken = roles.take(tx, account, agent.author, clock=self._clock, role=role, establishment=establishment, role_id=role_id)
        except RoleRefused as refused:
            if refused.reason == "last_administrator":
                raise ActRefused(Reason.LAST_ADMINISTRATOR, _ACT, detail=refused.detail, account_id=account.id) from refused
            if role_id is not None:
                raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT, detail=refused.detail, account_id=account.id) from refused
            raise
        for one in taken:
            self._tell(tx, account, "role_taken", {"hint": _said(one, self._place(tx, one))}, author=agent.author)
        return taken

    def _demand(self, tx: Transaction, agent: Agent, wanted: Wanted) -> None:
        self._authority.demand(tx, _ACT, agent, account=wanted.account, establishment=wanted.place)
        place_id = wanted.place.id if wanted.place is not None else None
        decision = may_give(self._authority.actor(tx, agent), Holding(wanted.role, place_id))
        if not decision.is_allowed:
            raise ActRefused(Reason(decision.reasons[0]), _ACT, account_id=wanted.account.id, establishment_id=place_id)

    def _named(self, tx: Transaction, who: str, problems: list[Problem]) -> Account | None:
        try:
            return accounts.named(tx, who)
        except AccountRefused as refused:
            problems.append(Problem("who", refused.detail[:300]))
            return None

    def _place(self, tx: Transaction, role: Role) -> Establishment | None:
        return tx.establishments.get(role.establishment_id) if role.establishment_id else None


def _said(role: Role, place: Establishment | None) -> str:
    return f"{role.role} ({place.name})" if place is not None else role.role


def _wrong(refused: RoleRefused) -> WrongInput:
    return WrongInput([Problem(_FIELDS.get(refused.reason, "who"), refused.detail)])
