"""What becomes of a Reset that nobody goes on with: it ends, or those who should act are told that it waits. For the worker.

Owns these two; each Reset in a transaction of its own, looked at again inside. Sends nothing (idp/messages/sender.py does).
"""

from datetime import timedelta

from idp.audit import Author, Origin
from idp.clock import Clock
from idp.config import ResetSettings
from idp.desk.reset_facts import ResetFactsOf, waited
from idp.desk.reset_record import Record
from idp.store.leases import Fenced

ACTOR = "system"


class ResetKeeper:
    """One for each worker; `database` is the store as the lease's holder sees it."""

    def __init__(self, database: Fenced, *, facts: ResetFactsOf, record: Record, settings: ResetSettings, clock: Clock) -> None:
        self._database = database
        self._facts = facts
        self._record = record
        self._settings = settings
        self._clock = clock

    def run_once(self) -> int:
        """End what is past its end, and say what waits too long; how many of both."""
        return self.expire() + self.escalate()

    def expire(self) -> int:
        """End those past their end; their people are told."""
        with self._database.read() as tx:
            due = tx.resets.due(self._clock.now())
        return sum(self._expire(reset.id, reset.account_id) for reset in due)

    def escalate(self) -> int:
        """Tell, once, of those that wait too long: whoever may carry them out, the approvers when one is wanted, the establishment's contact."""
        with self._database.read() as tx:
            slow = tx.resets.slow(self._clock.now() - self._settings.escalate_after)
        return sum(self._escalate(reset.id, reset.account_id) for reset in slow)

    def _expire(self, reset_id: str, account_id: str) -> int:
        with self._database.write() as tx:
            self._record.begin(tx)
            account, reset, now = tx.people.held(account_id), tx.resets.held(reset_id), self._clock.now()
            if account is None or reset is None or not reset.is_open or reset.expires_at > now:
                return 0
            tx.resets.close(reset.id, "expired", now, ACTOR)
            self._record.move(tx, reset, "expired", account=account, author=self._author(), details={"was": reset.state})
            return 1

    def _escalate(self, reset_id: str, account_id: str) -> int:
        with self._database.write() as tx:
            self._record.begin(tx)
            account, reset = tx.people.held(account_id), tx.resets.held(reset_id)
            place = tx.establishments.get(reset.establishment_id) if reset is not None else None
            if account is None or reset is None or place is None or not reset.is_open or tx.resets.last_move(reset_id, "escalated"):
                return 0
            to = self._facts.agents(tx, place, in_group=True)
            if reset.state == "proven" and reset.needs_second:
                to += self._facts.approvers(tx, reset, place)
            minutes = int(waited(reset, self._clock) / timedelta(minutes=1))
            told = self._record.tell_desk(tx, reset, "reset_waits", to, minutes=minutes, author=self._author())
            details = {"minutes": minutes, "told": told}
            self._record.move(tx, reset, "escalated", account=account, author=self._author(), details=details, is_told=False)
            return 1

    def _author(self) -> Author:
        return Author(ACTOR, Origin(self._clock.new_code(10), "local"))
