"""The brake of what is heard: people who leave one after another are counted, and from where it looks like a mistake they are held for a human.

A filter mistyped in the directory, or an import gone wrong there, comes as thousands of single changes. Owns the sliding window and the held run;
when a window is too full is policies.lifecycle's to say, and the run is confirmed or dismissed as any other (reconcile.py). Calls the store.
"""

from collections import OrderedDict
from datetime import datetime

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.config import SyncSettings
from idp.store.base import Link, SyncRun
from idp.store.database import Transaction
from policies.lifecycle import Brake, Burst

WHY = "one after another"


class WatchBrake:
    """Of one directory, for one thread. What it remembers changes only by `count`, after the transaction that ended or held somebody."""

    def __init__(self, connector: str, *, settings: SyncSettings, clock: Clock) -> None:
        self._connector = connector
        self._brake = Brake(settings.brake_people, settings.brake_percent)
        self._window = settings.brake_window
        self._hold = settings.brake_hold
        self._clock = clock
        self._left: OrderedDict[str, datetime] = OrderedDict()  # accounts, the earliest first
        self._known = 0

    def recall(self, tx: Transaction, actor: str) -> None:
        """Begin with those whom `actor` made leave lately: a worker that was restarted in the middle of a mistake goes on counting."""
        self._left = OrderedDict(tx.cuts.lately(actor, self._clock.now() - self._window))
        self._known = tx.links.count_let_in(self._connector) + len(self._left)

    def stops(self, tx: Transaction, account_id: str) -> bool:
        """Whether this person must be held: they would be one too many of those who left, or were held, within the window."""
        self._forget_old()
        others = len(self._left) - (account_id in self._left)  # who was held, and let go of by a human, may come again
        if not others:
            self._known = 0
            return False  # one alone is a leaver (policies.lifecycle): everybody need not be counted for that
        if not self._known:
            self._known = tx.links.count_let_in(self._connector) + others
        return Burst(others, self._known).brakes(self._brake)

    def count(self, account_id: str) -> None:
        """Somebody has left, or is held."""
        self._left[account_id] = self._clock.now()
        self._left.move_to_end(account_id)

    def hold(self, tx: Transaction, link: Link, author: Author) -> bool:
        """Let the last word on this person stand until a human decides: in the run that waits, or in a new one, which is told of.

        False: whoever was held before, for as long as the settings say, is not held again.
        """
        if link.held_by_run is not None:
            return False
        waiting = tx.links.runs(self._connector, state="held", limit=1)
        run = waiting[0] if waiting else self._open(tx, link, author)
        now = self._clock.now()
        tx.links.hold(self._connector, (link.subject,), run_id=run.id, until=now + self._hold)
        held = {**run.counts, "held": run.counts.get("held", 0) + 1}
        tx.links.change_run(run.id, expected="held", counts=held)
        return True

    def _open(self, tx: Transaction, link: Link, author: Author) -> SyncRun:
        now = self._clock.now()
        run = SyncRun(id=self._clock.new_id(), connector=self._connector, state="held", started_at=now, ended_at=now, counts={}, detail=WHY)
        tx.links.add_run(run)
        account = tx.people.get(link.account_id)
        details: dict[str, str | int | bool | None] = {"run": run.id, "left": len(self._left), "known": self._known, "why": WHY}
        tx.events.append(
            Event(
                type=EventType.SYNC_HELD,
                at=now,
                actor=author.actor,
                origin=author.origin,
                reason=Reason.SYNC_BRAKE,
                establishment_id=account.last_establishment_id if account else None,
                connector=self._connector,
                details=details,
            )
        )
        return run

    def _forget_old(self) -> None:
        before = self._clock.now() - self._window
        while self._left and next(iter(self._left.values())) < before:
            self._left.popitem(last=False)
