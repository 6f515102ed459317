"""What is kept of a source, acted on again: everybody, once rules have changed; and those whom the brake held, at a human's word or when it is time.

Owns the moves of a held run of a source that pushes; reconcile.py's are those of directories that can be asked. Short transactions, so that sign-ins
go on meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from idp.audit import Author, Event, EventType
from idp.clock import Clock
from idp.config import ScimSettings
from idp.errors import Refused
from idp.scim.person import Keeper
from idp.scim.written import Written
from idp.signin.linking import open_establishments
from idp.store.base import Link, SyncRun
from idp.store.database import Database, Transaction
from idp.store.leases import Fenced

BATCH = 50


class RunNotHeld(Refused):
    """The run is not one of the source's that waits."""


class Settler:
    """Acts again on what sources have written."""

    def __init__(self, database: Database | Fenced, keeper: Keeper, sources: tuple[ScimSettings, ...], *, clock: Clock) -> None:
        self._database = database
        self._keeper = keeper
        self._sources = sources
        self._clock = clock

    def settle(self, source: ScimSettings, author: Author, *, progress: Callable[[int], None] = lambda _: None) -> Counter[str]:
        """Act on everybody again: how many are kept, and how many not, by reason. The brake holds. Raises StoreUnavailable."""
        counts: Counter[str] = Counter()
        with self._database.read() as tx:
            ids = [one.id for batch in tx.scim.batches(source.name, "User") for one in batch]
        for start in range(0, len(ids), BATCH):
            with self._database.write() as tx:
                tx.lock(f"scim {source.name}")
                counts += self._keep(tx, self._written(source, author), ids[start : start + BATCH])
            progress(min(BATCH, len(ids) - start))
        return counts

    def confirm(self, source: ScimSettings, run_id: str, author: Author) -> int:
        """End those whom a run holds and of whom the source still says no; how many it held. Raises RunNotHeld, StoreUnavailable."""
        ended = 0
        while True:
            with self._database.write() as tx:
                run = self._waiting(tx, source, run_id)
                ended += self._end(tx, source, tx.links.held_by(run.id, limit=BATCH), author=author)
                if self._close(tx, source, run, author, people=ended, detail=run.detail):
                    return ended

    def dismiss(self, source: ScimSettings, run_id: str, author: Author) -> int:
        """Hold nobody for a run any more: what the source writes next of each counts. How many. Raises RunNotHeld, StoreUnavailable."""
        with self._database.write() as tx:
            run = self._waiting(tx, source, run_id)
            held = len(tx.links.held_by(run.id))
            tx.links.change_run(run.id, expected="held", state="dismissed", detail="dismissed by an operator")
            tx.links.release(run.id)
            self._record(tx, source, run, EventType.SYNC_DISMISSED, author, people=held)
        return held

    def run_once(self, author: Author) -> int:
        """End those whose hold is over and of whom the source still says no: nobody is believed longer than the settings say. How many."""
        done = 0
        for source in self._sources:
            with self._database.read() as tx:
                runs = tx.links.runs(source.name, state="held")
            for run in runs:
                done += self._end_overdue(source, run, author)
        return done

    def _end_overdue(self, source: ScimSettings, run: SyncRun, author: Author) -> int:
        ended = 0
        while True:
            with self._database.write() as tx:
                tx.lock(f"scim {source.name}")
                current, now = tx.links.run(run.id), self._clock.now()
                if current is None or current.state != "held":
                    return ended
                due = [one for one in tx.links.held_by(run.id, limit=BATCH) if one.held_until is None or one.held_until <= now]
                ended += self._end(tx, source, due, author=author)
                if len(due) < BATCH:
                    self._close(tx, source, current, author, people=ended, detail="the hold was over")
                    return ended

    def _end(self, tx: Transaction, source: ScimSettings, held: Sequence[Link], *, author: Author) -> int:
        """End a few of those who are held, of whom the source still says no: they are held no more. How many were."""
        subjects = [one.subject for one in held]
        for subject in subjects:
            tx.links.change(source.name, subject, held_by_run=None, held_until=None)
        written = self._written(source, author, is_braked=False)
        self._keep(tx, written, subjects)
        there = {one.id for one in tx.scim.people(source.name, subjects)}
        for subject in subjects:
            if subject not in there:
                self._keeper.let_go(tx, written, subject)
        return len(subjects)

    def _close(self, tx: Transaction, source: ScimSettings, run: SyncRun, author: Author, *, people: int, detail: str) -> bool:
        """Confirm a run, once it holds nobody any more. Until then it waits: whoever dies in the middle is gone on from."""
        if tx.links.held_by(run.id, limit=1):
            return False
        tx.links.change_run(run.id, expected="held", state="confirmed", detail=detail, ended_at=self._clock.now())
        self._record(tx, source, run, EventType.SYNC_CONFIRMED, author, people=people)
        return True

    def _keep(self, tx: Transaction, written: Written, ids: list[str]) -> Counter[str]:
        groups, open_at = tx.scim.groups_of(ids), open_establishments(tx)
        people = tx.scim.people(written.source.name, ids)
        self._keeper.prepare(tx, written.source, people)
        return Counter(str(self._keeper.keep(tx, written, one, groups=groups[one.id], open_at=open_at) or "kept") for one in people)

    def _waiting(self, tx: Transaction, source: ScimSettings, run_id: str) -> SyncRun:
        tx.lock(f"scim {source.name}")
        run = tx.links.run(run_id)
        if run is None or run.connector != source.name or run.state != "held":
            raise RunNotHeld("run_not_held", f"{source.name} has no run {run_id} that waits")
        return run

    def _written(self, source: ScimSettings, author: Author, *, is_braked: bool = True) -> Written:
        return Written(source=source, origin=author.origin, heard_at=self._clock.now(), actor=author.actor, is_braked=is_braked)

    def _record(self, tx: Transaction, source: ScimSettings, run: SyncRun, kind: EventType, author: Author, *, people: int) -> None:
        tx.events.append(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=author.actor,
                origin=author.origin,
                connector=source.name,
                details={"run": run.id, "people": people},
            )
        )
