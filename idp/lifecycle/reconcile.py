"""`Reconciler`: makes the store say what a directory says of its people, in short transactions, so that sign-ins go on meanwhile.

One run of a directory at a time (a lease, checked in every transaction). A run that would end too many people (policies.lifecycle) changes nothing
and holds them for a human, who confirms or dismisses it. Reading and comparing are reading.py's; writing one person is idp.signin.linking's.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

import structlog

from connectors.base import Identity, PeopleSource, SourceMisbehaved, SourceUnreachable
from idp.audit import Author, EventType
from idp.clock import Clock
from idp.config import SyncSettings
from idp.errors import StoreUnavailable
from idp.lifecycle.reading import Ending, Progress, Reader, Reading, batches
from idp.lifecycle.runs import Failure, Report, Runs
from idp.signin.linking import Linking, OpenEstablishments
from idp.store.database import Database, Transaction
from idp.store.leases import LeaseLost
from policies.lifecycle import GONE, Brake, Verdict, lets_stay

# People a write transaction: 15 statements each. SQLite has one writer at a time, and a cut waits for it as everybody does: ten people hold it for
# some 15 ms, fifty for 60 to 200. The pause is longer than who waits in another process takes to look again (idp/store/gate.py), or they would wait
# for the end of the run.
BATCH = 10
PAUSE_SECONDS = 0.025
# People gone from the directory whose access had ended before: their word is brought up to date, so many a run.
SILENT_A_RUN = 500

T = TypeVar("T", Identity, Ending)
log = structlog.get_logger(__name__)


class Reconciler:
    """Runs for one directory, by one author. One thread at a time."""

    def __init__(
        self,
        database: Database,
        directory: PeopleSource,
        linking: Linking,
        *,
        settings: SyncSettings,
        author: Author,
        clock: Clock,
        refuse_to_go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """`refuse_to_go_on` is called before each transaction that writes people, and raises when there must be none any more."""
        self._refuse_to_go_on = refuse_to_go_on
        self._directory = directory
        self._linking = linking
        self._settings = settings
        self._author = author
        self._clock = clock
        self._database = database
        self._runs = Runs(database, directory.name, author, clock=clock)
        self._store = self._runs.store
        self._has_written = False
        self.name = directory.name

    def run(self, progress: Progress) -> Report:
        """Read everybody and write what is new. Raises SyncRefused when another run is going on, and StoreUnavailable."""
        with self._runs.alone():
            report = self._runs.open()
            try:
                reader = self._reader(keep=self._runs.keep)
                reading = reader.remember()
                if reading.known:
                    reader.read(reading, progress)
                if reading.is_braked:
                    self._hold(report, reading)
                else:
                    self._write(report, reader, reading, progress)
            except (SourceUnreachable, SourceMisbehaved) as error:
                report.fail(error)
                self._close(report, EventType.SYNC_FAILED)
            except BaseException:
                # Ctrl-C or a bug: the run must not look as if it were still going on. The store itself may be what failed.
                report.state, report.trouble = "failed", "interrupted"
                with suppress(StoreUnavailable, LeaseLost):
                    self._close(report, EventType.SYNC_FAILED)
                raise
        return report

    def dry_run(self, progress: Progress) -> Report:
        """What `run` would do, with nothing written: no run, no Event, nobody held."""
        report = Report("done")
        try:
            reader = self._reader(keep=lambda: None)
            reading = reader.remember()
            reader.read(reading, progress)
        except (SourceUnreachable, SourceMisbehaved) as error:
            report.fail(error)
            return report
        report.endings = tuple(reading.endings)
        report.state = "held" if reading.is_braked else "done"
        report.counts = Counter(added=reading.added, changed=reading.changed - reading.lost, **_noted(reading))
        report.counts["held" if reading.is_braked else "ended"] = len(reading.endings)
        return report

    def confirm(self, run_id: str, progress: Progress) -> Report:
        """End those whom a held run names and whom the directory, asked again now, still does not let in; nobody else. Raises SyncRefused."""
        with self._runs.alone():
            return self._confirm(run_id, progress)

    def dismiss(self, run_id: str) -> Report:
        """Let go of those whom a held run names; what the directory says of each counts again. Raises SyncRefused."""
        with self._database.write() as tx:
            released = self._runs.put_aside(tx, self._runs.waiting(tx, run_id), detail="dismissed by an operator")
        return Report("dismissed", run_id=run_id, counts=Counter(released=released))

    def _write(self, report: Report, reader: Reader, reading: Reading, progress: Progress) -> None:
        with self._store.write() as tx:
            for earlier in tx.links.runs(self.name, state="held"):
                self._runs.put_aside(tx, earlier, detail=f"the reading {report.run_id} found no such landslide any more")
        if not reading.known:
            # The first import: nobody can be missed, so what is listed is written at once.
            source: Iterable[Identity] = reader.changed(reading, progress, seen=set())
        else:
            progress.begin("writing", reading.added + reading.changed)
            source = reader.changed_again(reading) if reading.changes is None else reading.changes
        passed_over = reading.cleared | {ending.subject for ending in reading.endings}
        for batch in batches((one for one in source if one.subject not in passed_over), BATCH):
            self._write_each(report, batch, lambda tx, one: self._adopt(tx, one, reader.establishments))
            if reading.known:
                progress.advance(len(batch))
        for subjects in batches(reading.unchanged, 500):
            self._let_others_write()
            with self._store.write() as tx:
                tx.links.hear_again(self.name, tuple(subjects), at=reading.begun_at)
        self._end(report, reading.endings, reader.establishments, since=reading.begun_at)
        self._forget_silent(reading)
        report.counts.update(_noted(reading))
        self._close(report, EventType.SYNC_DONE)

    def _adopt(self, tx: Transaction, identity: Identity, establishments: OpenEstablishments) -> str | None:
        link = tx.links.get(self.name, identity.subject)
        if link is not None and link.word_at > identity.seen_at:
            return None  # a sign-in heard something later than our listing
        if link is not None and link.ended_at is not None:
            return None  # unlinked here: nobody's until a proven act
        adopted = self._linking.adopt(tx, identity, self._author, establishments=establishments)
        return "added" if adopted.is_new else "changed"

    def _end(self, report: Report, endings: Sequence[Ending], establishments: OpenEstablishments, *, since: datetime) -> None:
        def end(tx: Transaction, ending: Ending) -> str | None:
            link = tx.links.get(self.name, ending.subject)
            if link is None or link.ended_at is not None or (link.word_at > since and lets_stay(link.word)):
                return None  # a sign-in has let them in since
            word = GONE if ending.identity is None else str(ending.identity.state)
            if ending.identity is not None and lets_stay(word):
                adopted = self._linking.adopt(tx, ending.identity, self._author, establishments=establishments)
            else:
                adopted = self._linking.apply_word(tx, link, word, self._author)
            return "ended" if adopted.verdict is Verdict.SUSPEND or "attachments" in adopted.changes else None

        for batch in batches(endings, BATCH):
            self._write_each(report, batch, end)
        report.endings = tuple(endings)

    def _write_each(self, report: Report, items: list[T], write: Callable[[Transaction, T], str | None]) -> None:
        """A transaction for all; when it fails on one of them, one for each. What `write` answers is counted."""
        self._let_others_write()
        try:
            with self._store.write() as tx:
                # All at once and in one order: a sign-in that holds two people must not wait for us while we wait for it.
                links = (tx.links.get(self.name, item.subject) for item in items)
                tx.people.hold(*{link.account_id for link in links if link is not None})
                outcomes = [write(tx, item) for item in items]
        except LeaseLost:
            raise
        except Exception:
            # The store, or a fault of ours about one of them: which, each alone tells.
            self._refuse_to_go_on()
            outcomes = [self._write_alone(report, item, write) for item in items]
        report.counts.update(outcome for outcome in outcomes if outcome)

    def _write_alone(self, report: Report, item: T, write: Callable[[Transaction, T], str | None]) -> str | None:
        try:
            with self._store.write() as tx:
                return write(tx, item)
        except StoreUnavailable as error:
            if error.reason != "store_conflict":
                raise
            report.failures.append(Failure(item.subject, error.detail))
        except LeaseLost:
            raise
        except Exception as fault:
            # At every reading the same: whoever comes after them would be read never.
            log.exception("person_broken", connector=self.name, subject=item.subject)
            report.failures.append(Failure(item.subject, type(fault).__name__))
        return "failed"

    def _forget_silent(self, reading: Reading) -> None:
        gone = []
        for subject in reading.silent[:SILENT_A_RUN]:
            self._runs.keep()
            if self._directory.find(subject) is None:
                gone.append(subject)
        for batch in batches(gone, BATCH):
            self._let_others_write()
            with self._store.write() as tx:
                for link in filter(None, (tx.links.get(self.name, subject) for subject in batch)):
                    self._linking.apply_word(tx, link, GONE, self._author)

    def _hold(self, report: Report, reading: Reading) -> None:
        subjects = {ending.subject for ending in reading.endings}
        until = self._clock.now() + self._settings.brake_hold
        self._refuse_to_go_on()
        report.state, report.endings, report.held_until = "held", tuple(reading.endings), until
        report.counts = Counter(held=len(subjects))
        with self._store.write() as tx:
            # One run waits at a time: the newest. It takes over whom the earlier one held, and until when: a hold is never made longer.
            for earlier in tx.links.runs(self.name, state="held"):
                holds: dict[datetime, list[str]] = {}
                for link in tx.links.held_by(earlier.id):
                    if link.subject in subjects and link.held_until is not None:
                        holds.setdefault(link.held_until, []).append(link.subject)
                self._runs.put_aside(tx, earlier, detail=f"taken over by {report.run_id}")
                for earlier_until, held in holds.items():
                    tx.links.hold(self.name, tuple(held), run_id=report.run_id, until=earlier_until)
                    report.held_until = min(report.held_until, earlier_until)
            tx.links.hold(self.name, tuple(subjects), run_id=report.run_id, until=until)
            self._runs.close(tx, report, EventType.SYNC_HELD)

    def _confirm(self, run_id: str, progress: Progress) -> Report:
        report = Report("confirmed", run_id=run_id)
        with self._store.read() as tx:
            self._runs.waiting(tx, run_id)
            held = [link.subject for link in tx.links.held_by(run_id)]
        begun_at = self._clock.now()
        reader = self._reader(keep=self._runs.keep)
        progress.begin("asking again", len(held))
        endings: list[Ending] = []
        try:
            for subject in held:
                self._runs.keep()
                if ending := reader.ask_again(subject):
                    endings.append(ending)
                progress.advance(1)
        except (SourceUnreachable, SourceMisbehaved) as error:
            report.fail(error)
            with self._store.write() as tx:
                self._runs.record(tx, report, EventType.SYNC_FAILED)
            return report
        with self._store.write() as tx:
            self._runs.waiting(tx, run_id)
            tx.links.change_run(run_id, expected="held", state="confirmed")
            tx.links.release(run_id)
        released_at = self._clock.now()
        endings = self._sure(reader, endings, since=begun_at)
        self._end(report, endings, reader.establishments, since=released_at)
        report.counts["kept"] = len(held) - len(endings)
        with self._store.write() as tx:
            tx.links.change_run(run_id, expected="confirmed", counts=dict(report.counts), ended_at=self._clock.now())
            self._runs.record(tx, report, EventType.SYNC_CONFIRMED)
        return report

    def _sure(self, reader: Reader, endings: Sequence[Ending], *, since: datetime) -> list[Ending]:
        """Those who end still. Who was asked for meanwhile, by a sign-in or while they were held, has a later word than ours: it is heard anew."""
        sure: list[Ending] = []
        for ending in endings:
            self._runs.keep()
            with self._store.read() as tx:
                link = tx.links.get(self.name, ending.subject)
            try:
                again = reader.ask_again(ending.subject) if link is not None and link.word_at > since else ending
            except (SourceUnreachable, SourceMisbehaved):
                again = ending
            if again is not None:
                sure.append(again)
        return sure

    def _let_others_write(self) -> None:
        self._runs.keep()
        if self._database.is_sqlite and self._has_written:
            time.sleep(PAUSE_SECONDS)
        self._has_written = True
        self._refuse_to_go_on()

    def _close(self, report: Report, kind: EventType) -> None:
        with self._store.write() as tx:
            self._runs.close(tx, report, kind)

    def _reader(self, *, keep: Callable[[], None]) -> Reader:
        brake = Brake(self._settings.brake_people, self._settings.brake_percent)
        return Reader(self._directory, self._linking, self._store, brake=brake, clock=self._clock, keep=keep)


def _noted(reading: Reading) -> dict[str, int]:
    return {"unchanged": len(reading.unchanged), "unplaced": reading.unplaced, "unusable": reading.unusable}
