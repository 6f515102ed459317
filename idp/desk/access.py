"""What an agent does to a person's access: end what is open, suspend and reinstate, hand a one-time pass over, block a telephone that was lost.

Each act asks the authority in the transaction that does it, is an Event with the agent's own words for why, and the person is told. A pass is no
way around a reset: it adds a first factor for who has none, and stands once for the factor of who has left it at home; of somebody privileged, and
while a request is open, neither. Source: requirements R35, R82.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.desk.authority import ActRefused, Agent, Authority, is_privileged
from idp.desk.factor_state import were_taken
from idp.desk.reach import Reach
from idp.endings import Cause, Ended, end_account_access, end_devices, end_resets, end_session
from idp.people import accounts
from idp.people.accounts import BY_OPERATOR, AccountRefused
from idp.people.factors import FactorActRefused, issue_pass
from idp.signin.devices import Tell
from idp.signin.enrolment import WEAK_KINDS, has_strong
from idp.signin.passes import Passes
from idp.store.base import Account, Factor, Pass
from idp.store.database import Database, Transaction
from policies.acts import Act

Proof = Literal["call_back", "in_person", "manager"]
Details = Mapping[str, str | int | bool | None]
LONGEST_WHY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What a lost telephone took with it. `is_last`: the person has no second factor to hold any more, and needs one."""

    factors: tuple[Factor, ...]
    devices: int
    passes: int
    ended: Ended
    is_last: bool


class Access:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, authority: Authority, reach: Reach, passes: Passes, tell: Tell) -> None:
        self._reach = reach
        self._database = database
        self._clock = clock
        self._authority = authority
        self._passes = passes
        self._tell = tell

    def suspend(self, agent: Agent, account: Account, *, why: str) -> Ended:
        """Cut a person off now, here and at every application; `reinstate` undoes it. Raises ActRefused."""
        with self._database.write() as tx:
            self._admit(tx, Act.SUSPEND, agent, account, why=why)
            try:
                ended = accounts.suspend(tx, account, agent.author, clock=self._clock)
            except AccountRefused as refused:
                raise self._refused(Reason.ACT_DONE_ALREADY, Act.SUSPEND, account) from refused
            self._record(tx, Act.SUSPEND, agent, account, {"why": tidy(why), "to": "suspended"})
            self._tell(tx, account, "account_suspended", {}, author=agent.author)
        return ended

    def reinstate(self, agent: Agent, account: Account, *, why: str) -> None:
        """Let a person in again whom an administrator had suspended. Raises ActRefused: what a source decided, it takes back itself."""
        with self._database.write() as tx:
            current = self._admit(tx, Act.SUSPEND, agent, account, why=why)
            if current.status == "suspended" and current.cut_by not in {BY_OPERATOR, None}:
                raise self._refused(Reason.ACT_OF_SOURCE, Act.SUSPEND, account)
            try:
                accounts.reinstate(tx, account, agent.author, clock=self._clock)
            except AccountRefused as refused:
                raise self._refused(Reason.ACT_DONE_ALREADY, Act.SUSPEND, account) from refused
            self._record(tx, Act.SUSPEND, agent, account, {"why": tidy(why), "to": "active"})
            self._tell(tx, account, "account_reinstated", {}, author=agent.author)

    def end_sessions(self, agent: Agent, account: Account) -> Ended:
        """End all that is open to a person, and forget their browsers. Raises ActRefused."""
        with self._database.write() as tx:
            self._admit(tx, Act.END_SESSIONS, agent, account)
            cause = self._cause(agent)
            ended = end_account_access(tx, account.id, cause, clock=self._clock)
            self._record(tx, Act.END_SESSIONS, agent, account, ended.counts)
            self._tell(tx, account, "sessions_ended", {}, author=agent.author)
        return ended

    def end_session(self, agent: Agent, account: Account, session_id: str) -> Ended:
        """End one signed-in browser of a person. Raises ActRefused(ACT_DONE_ALREADY) when it is not theirs or has ended."""
        with self._database.write() as tx:
            self._admit(tx, Act.END_SESSIONS, agent, account)
            session = tx.sessions.get(session_id)
            if session is None or session.account_id != account.id or session.ended_at is not None:
                raise self._refused(Reason.ACT_DONE_ALREADY, Act.END_SESSIONS, account)
            ended = end_session(tx, session, self._cause(agent), clock=self._clock)
            self._tell(tx, account, "sessions_ended", {}, author=agent.author)
        return ended

    def lose(self, agent: Agent, account: Account, *, factor_ids: Collection[str], why: str, takes_number: bool = True) -> Lost:
        """A telephone, or another machine, is in strange hands: end every session, every known browser, every pass, and the factors that were on it.

        `takes_number`: it is the telephone whose number is noted, so that the number proves nothing until it is as old as one that was changed.
        What is open at the reset desk is cancelled. The last factor of somebody privileged is only taken by a reset. Raises ActRefused, OutOfReach
        when factors are to be taken and a directory does not let anybody act on the person; then nothing was done.
        """
        if factor_ids:
            self._demand_reach(Act.RESET_FACTOR, agent, account)
        with self._database.write() as tx:
            current = self._admit(tx, Act.END_SESSIONS, agent, account, why=why)
            present = tx.factors.open_of(account.id)
            chosen = tuple(one for one in present if one.id in factor_ids)
            keeps_strong = has_strong(one for one in present if one not in chosen)
            if chosen:
                self._authority.demand(tx, Act.RESET_FACTOR, agent, account=account)
                if not keeps_strong and is_privileged(tx, account):
                    raise self._refused(Reason.ACT_NEEDS_RESET, Act.RESET_FACTOR, account)
            now, cause = self._clock.now(), self._cause(agent)
            for factor in chosen:
                tx.factors.end(factor.id, now)
            if chosen and not keeps_strong:
                tx.recovery_codes.end_all(account.id, now)
            has_number = takes_number and current.phone_number is not None
            if has_number:
                tx.people.change(account.id, now, phone_number_verified=False, phone_changed_at=now)
            resets = end_resets(tx, account.id, cause, clock=self._clock)
            lost = Lost(
                factors=chosen,
                devices=end_devices(tx, account.id, cause, clock=self._clock),
                passes=tx.passes.end_unused(account.id, now),
                ended=end_account_access(tx, account.id, cause, clock=self._clock),
                is_last=bool(chosen) and not keeps_strong,
            )
            details: Details = {
                "why": tidy(why),
                "lost": True,
                "number": has_number,
                "resets": resets,
                "devices": lost.devices,
                "passes": lost.passes,
                **lost.ended.counts,
            }
            if chosen:
                kinds = " ".join(factor.kind for factor in chosen)
                self._append(tx, EventType.FACTORS_RESET, agent, account, {"kinds": kinds, **details})
            self._record(tx, Act.END_SESSIONS, agent, account, details)
            self._tell(tx, account, "device_lost", {}, author=agent.author)
        return lost

    def issue_pass(self, agent: Agent, account: Account, *, proof: Proof | None, why: str) -> tuple[str, Pass]:
        """A one-time pass: its code, to be shown once. What it is for is not asked: to enrol for who has no factor, to sign in for who has.

        Raises ActRefused, also where only a reset does it; OutOfReach when a directory does not let anybody act on the person.
        """
        self._demand_reach(Act.ISSUE_PASS, agent, account)
        with self._database.write() as tx:
            self._admit(tx, Act.ISSUE_PASS, agent, account, why=why)
            if proof is None:
                raise self._refused(Reason.ACT_WITHOUT_WHY, Act.ISSUE_PASS, account)
            is_equipped = has_strong(tx.factors.open_of(account.id))
            if needs_request(tx, account):
                raise self._refused(Reason.ACT_NEEDS_RESET, Act.ISSUE_PASS, account)
            try:
                code, made = issue_pass(
                    tx, account, "sign_in" if is_equipped else "enrol", agent.author, passes=self._passes, tell=self._tell
                )
            except FactorActRefused as refused:
                raise self._refused(Reason.ACCOUNT_NOT_ACTIVE, Act.ISSUE_PASS, account) from refused
            self._record(tx, Act.ISSUE_PASS, agent, account, {"why": tidy(why), "proof": proof, "purpose": made.purpose})
        return code, made

    def _demand_reach(self, act: Act, agent: Agent, account: Account) -> None:
        """Ask the person's directories, with no SQL transaction open. Whoever may not do it learns nothing from them: they are refused after this."""
        with self._database.read() as tx:
            is_refused = self._authority.ask(tx, act, agent, account=account) is not None
            links = tx.links.of_account(account.id)
        if not is_refused:
            self._reach.demand(account.id, links, act)

    def _admit(self, tx: Transaction, act: Act, agent: Agent, account: Account, *, why: str | None = None) -> Account:
        """The person, held, once the act is allowed and said why."""
        current = tx.people.held(account.id) or account
        self._authority.demand(tx, act, agent, account=current)
        if why is not None and not tidy(why):
            raise self._refused(Reason.ACT_WITHOUT_WHY, act, account)
        return current

    def _refused(self, reason: Reason, act: Act, account: Account) -> ActRefused:
        return ActRefused(reason, act, detail=reason.description, account_id=account.id)

    def _cause(self, agent: Agent) -> Cause:
        return Cause(Reason.ENDED_BY_OPERATOR, agent.author.actor, agent.author.origin)

    def _record(self, tx: Transaction, act: Act, agent: Agent, account: Account, details: Details) -> None:
        self._append(tx, EventType.DESK_ACTED, agent, account, {"act": str(act), **details})

    def _append(self, tx: Transaction, kind: EventType, agent: Agent, account: Account, details: Details) -> None:
        author = agent.author
        tx.events.append(
            Event(type=kind, at=self._clock.now(), actor=author.actor, origin=author.origin, account_id=account.id, details=details)
        )


def needs_request(tx: Transaction, account: Account) -> bool:
    """Whether a pass would be a way around a reset: one is open, or the person is privileged, or somebody took their last factor away."""
    if any(one.is_open for one in tx.resets.of_account(account.id)):
        return True
    if has_strong(tx.factors.open_of(account.id)):
        return is_privileged(tx, account)
    return were_taken(tx, account.id)


def tidy(why: str) -> str:
    """What somebody wrote for the audit trail, on one line of at most 200 characters."""
    return " ".join(why.split())[:LONGEST_WHY]


def is_on_telephone(factor: Factor) -> bool:
    """Whether a factor is most likely on the person's telephone: all but a mailbox are."""
    return factor.kind not in WEAK_KINDS
