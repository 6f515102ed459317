"""Unlock: open a person's way in where it is closed: our counters and locks, tries at second factors, the lock of each directory of theirs.

Owns the order. The directories are asked first whether anybody may act on the person at all (reach.py): whoever is disabled or expired in one, or
privileged there, is refused before anything is touched, as is whoever is suspended here. Then ours are opened, in the transaction that asks who may;
then each directory lifts its own lock, which is an Event whatever comes of it. Nobody is ever enabled. Source: requirements R35.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from connectors.base import NotDelegated, PersonNotUsable, PersonProtected, SourceMisbehaved, SourceUnreachable
from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.desk.authority import Agent, Authority
from idp.desk.reach import OutOfReach, Reach, Reached
from idp.people.factors import record_unblocked
from idp.signin.devices import Tell
from idp.signin.directories import REASON_OF_STATE, AskStanding
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.throttle import LoginThrottle
from idp.store.base import Account, Link
from idp.store.database import Database, Transaction
from policies.acts import Act

Outcome = Literal["unlocked", "was_not_locked", "refused"]
TOLD_AS = "account_unlocked"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AtDirectory:
    """What came of it at one directory; `reason` says why it refused."""

    connector: str
    outcome: Outcome
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """What was opened. `was_closed_here`: tries at passwords were, by a lock or a wait; `factors`: the kinds of second factors that were."""

    was_closed_here: bool
    factors: tuple[str, ...]
    directories: tuple[AtDirectory, ...]

    @property
    def is_whole(self) -> bool:
        """Whether no directory refused to lift its lock."""
        return all(one.outcome != "refused" for one in self.directories)

    @property
    def is_anything(self) -> bool:
        """Whether anything had been closed at all."""
        return self.was_closed_here or bool(self.factors) or any(one.outcome == "unlocked" for one in self.directories)


class Unlock:
    """Safe between threads; one per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        authority: Authority,
        reach: Reach,
        throttle: LoginThrottle,
        factor_throttle: FactorThrottle,
        ask_standing: AskStanding,
        tell: Tell,
    ) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority
        self._reach = reach
        self._throttle = throttle
        self._factor_throttle = factor_throttle
        self._ask_standing = ask_standing
        self._tell = tell

    def unlock(self, agent: Agent, account: Account) -> Unlocked:
        """Open what is closed to the person. Raises ActRefused: OutOfReach when nobody acts on them from here; then nothing was changed anywhere.

        A directory that would not lift its lock is in the answer, and ours is open all the same: what the agent does next is to say so to its people.
        """
        with self._database.read() as tx:
            links = self._admit(tx, agent, account)
        reached = self._reach.demand(account.id, links, Act.UNLOCK)
        factors = tuple(sorted(self._factor_throttle.blocked(account.id)))
        with self._database.write() as tx:
            tx.people.hold(account.id)
            self._admit(tx, agent, account)
            was_closed = bool(self._throttle.closed(tx, account.id))
            self._throttle.unblock(tx, account.id, agent.author)
            if factors:
                record_unblocked(tx, account, agent.author, clock=self._clock)
                self._factor_throttle.clear_all(account.id)
            is_told = was_closed or bool(factors)
            if is_told:
                self._tell(tx, account, TOLD_AS, {}, author=agent.author)
        outcomes = tuple(self._unlock_at(one, account, agent) for one in reached)
        unlocked = Unlocked(was_closed_here=was_closed, factors=factors, directories=outcomes)
        if unlocked.is_anything and not is_told:
            with self._database.write() as tx:
                self._tell(tx, account, TOLD_AS, {}, author=agent.author)
        if any(one.outcome == "unlocked" for one in outcomes):
            self._ask_standing(account.id, agent.author.origin)  # its last word was that they are locked
        return unlocked

    def _admit(self, tx: Transaction, agent: Agent, account: Account) -> Sequence[Link]:
        """The links of an Account that may be unlocked by this agent, as things are now."""
        self._authority.demand(tx, Act.UNLOCK, agent, account=account)
        current = tx.people.get(account.id)
        if current is None or not current.is_active:
            raise OutOfReach(Reason.ACCOUNT_NOT_ACTIVE, Act.UNLOCK, account_id=account.id)
        return tx.links.of_account(account.id)

    def _unlock_at(self, reached: Reached, account: Account, agent: Agent) -> AtDirectory:
        connector, reason = reached.link.connector, None
        outcome: Outcome = "refused"
        try:
            outcome = "unlocked" if reached.directory.unlock(reached.link.subject) else "was_not_locked"
        except PersonProtected as refused:
            reason, detail = Reason.ACT_ON_PROTECTED, refused.detail
        except PersonNotUsable as refused:
            reason, detail = REASON_OF_STATE[refused.state], refused.detail
        except NotDelegated as refused:
            reason, detail = Reason.DIRECTORY_NOT_DELEGATED, refused.detail
        except SourceUnreachable as away:
            reason, detail = Reason.DIRECTORY_UNREACHABLE, away.detail
        except SourceMisbehaved as wrong:
            reason, detail = Reason.DIRECTORY_MISBEHAVED, wrong.detail
        if reason is not None:
            log.warning("directory_unlock_refused", connector=connector, reason=str(reason), detail=detail)
        if outcome != "was_not_locked":
            self._record(account, agent, connector, reason)
        return AtDirectory(connector, outcome, reason)

    def _record(self, account: Account, agent: Agent, connector: str, reason: Reason | None) -> None:
        event = Event(
            type=EventType.DIRECTORY_UNLOCKED if reason is None else EventType.DIRECTORY_ACT_REFUSED,
            at=self._clock.now(),
            actor=agent.author.actor,
            origin=agent.author.origin,
            reason=reason,
            account_id=account.id,
            connector=connector,
            details={} if reason is None else {"act": str(Act.UNLOCK)},
        )
        with self._database.write() as tx:
            tx.events.append(event)
