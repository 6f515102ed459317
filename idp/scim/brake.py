"""The brake on what a source writes: an import gone wrong there comes as hundreds of single requests, each of which would end somebody.

Owns the counting and the holding. The first ones are cut at once, as single leavers are; when more have lost something within the window than a
reading of a whole directory may end (policies.lifecycle, the settings `sync`), whoever comes after is held for a human, in one run. settle.py lets go
of them.
"""

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import SyncSettings
from idp.scim.written import Written
from idp.store.base import Link, SyncRun
from idp.store.database import Transaction
from policies.lifecycle import Brake, Burst

WHY = "one after another"


class MassBrake:
    """Holds whoever comes after too many. Safe between threads."""

    def __init__(self, settings: SyncSettings, clock: Clock) -> None:
        self._brake = Brake(settings.brake_people, settings.brake_percent)
        self._hold = settings.brake_hold
        self._window = settings.brake_window
        self._clock = clock

    def holds(self, tx: Transaction, written: Written, link: Link) -> bool:
        """Whether this person, who would lose everything, is held instead; then it is written down. The source's lock is held."""
        now, connector = self._clock.now(), written.source.name
        if not written.is_braked:
            return False
        if link.held_until is not None and link.held_until > now:
            return True
        tally = written.tally
        if tally.lost is None:
            since = now - self._window
            tally.lost = tx.scim.losers_since(connector, since, held_until=since + self._hold)
        # One alone is a leaver (policies.lifecycle): everybody need not be counted for that.
        known = tx.links.count_let_in(connector) + tally.lost if tally.lost else 0
        is_too_many = bool(tally.lost) and Burst(tally.lost, known).brakes(self._brake)
        tally.lost += 1
        if not is_too_many:
            return False
        run = next(iter(tx.links.runs(connector, state="held")), None)
        if run is None:
            run = self._open(tx, written, link)
        tx.links.hold(connector, (link.subject,), run_id=run.id, until=now + self._hold)
        held = tx.links.get(connector, link.subject)
        if held is None or held.held_by_run != run.id:
            return False  # whoever was held before, for as long as the settings say, is not held again
        tx.links.change_run(run.id, expected="held", counts={"held": run.counts.get("held", 0) + 1}, ended_at=now)
        return True

    def _open(self, tx: Transaction, written: Written, link: Link) -> SyncRun:
        now, author, account = self._clock.now(), written.author(), tx.people.get(link.account_id)
        run = SyncRun(
            id=self._clock.new_id(), connector=written.source.name, state="held", started_at=now, ended_at=now, counts={}, detail=WHY
        )
        tx.links.add_run(run)
        tx.events.append(
            Event(
                type=EventType.SYNC_HELD,
                at=now,
                actor=author.actor,
                origin=author.origin,
                reason=Reason.SYNC_BRAKE,
                establishment_id=account.last_establishment_id if account else None,
                connector=written.source.name,
                details={"run": run.id, "left": written.tally.lost, "why": WHY},
            )
        )
        return run
