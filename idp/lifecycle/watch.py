"""Listening to one directory, and doing at once what its words mean: whoever changed is asked for, and what ends ends in one transaction.

A word is only a reason to ask: what counts is what the directory answers about the person now. The cursor moves with what was done, or after it, so
that a death loses nothing; twice changes nothing. When words may have been missed the whole directory is read (reconcile.py) while the watcher goes
on hearing. Owns one directory's listening for one thread, which idp/watching.py keeps going; the writing is idp.signin.linking's.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

import structlog

from connectors.base import Heard, PeopleSource, SourceMisbehaved, SourceUnreachable, WatchedDirectory, Watcher
from idp.audit import Author, Origin
from idp.clock import Clock
from idp.config import Config
from idp.errors import StoreUnavailable
from idp.lifecycle.background_reading import BackgroundReading, Interrupted
from idp.lifecycle.hearing import Hearing
from idp.lifecycle.reconcile import Reconciler
from idp.lifecycle.runs import Report, SyncRefused
from idp.signin.linking import CONFLICT, Linking
from idp.store.base import Watched
from idp.store.database import Database, Transaction
from idp.store.leases import Fenced, LeaseLost
from policies.lifecycle import GONE

if TYPE_CHECKING:
    from idp.telemetry import Metrics

READER = "system"  # as an operator's `vestibule sync` has their name, the nightly reading has nobody's
# Said to have changed, and as before when asked: the server that answers may be a moment behind the one that spoke.
ASK_AGAIN_AFTER = timedelta(seconds=2)
MOST_ASKED_AGAIN = 10_000
SAVE_EVERY = timedelta(seconds=10)
QUIET_EVERY_SECONDS = 5.0
NIGHTLY_AGAIN_AFTER = timedelta(hours=1)  # a reading that failed at night
# Accounts that end by themselves in the directory: nobody tells of an instant that passes.
LOOK_FOR_ENDS_EVERY = timedelta(seconds=1)
ENDS_AT_ONCE = 500
END_AGAIN_AFTER = timedelta(minutes=1)  # of whom the directory said something else, or nothing that can be read
TRIES = 3  # of a write that met another of the same person

State = Literal["reading", "live", "failing", "held"]
log = structlog.get_logger(__name__)


class Silence:
    """A watcher of a directory that is not listened to: it only keeps time, for the nightly reading."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._closed = threading.Event()

    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """See Watcher."""
        while not self._closed.wait(QUIET_EVERY_SECONDS):
            yield Heard(kind="quiet", heard_at=self._clock.now())

    def close(self) -> None:
        """See Watcher."""
        self._closed.set()


class Watch:
    """One directory. `run` for one thread, `close` from any."""

    def __init__(
        self,
        directory: PeopleSource,
        linking: Linking,
        database: Database,
        *,
        store: Fenced,
        config: Config,
        clock: Clock,
        metrics: "Metrics",
        wake: Callable[[], None],
        is_ours: Callable[[], bool],
        let_go: Callable[[], None] | None = None,
    ) -> None:
        """`store` is the database as the lease's holder sees it; `wake` is called when applications are owed something; `is_ours`: whether we still
        are the holder, as far as we know; `let_go` closes what was opened for this listening alone."""
        self.name = directory.name
        self._directory = directory
        self._linking = linking
        self._database = database
        self._store = store
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._wake = wake
        self._is_ours = is_ours
        self._let_go = let_go
        self._closing = threading.Event()
        self._hearing = Hearing(directory, linking, store, settings=config.sync, clock=clock, metrics=metrics, closing=self._closing)
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None
        self.is_listening = self._listener() is not None  # or else only read, at night
        self._forget()

    def run(self) -> None:
        """Listen until `close`, or until we are not the holder any more.

        Raises SourceUnreachable, SourceMisbehaved, StoreUnavailable, LeaseLost or SyncRefused (another reads the directory): begin again.
        """
        with self._store.write() as tx:
            watched = tx.watches.begin(self.name, self._clock.now())
            self._hearing.recall(tx)
        self._forget(watched)
        watcher = self._listener() or Silence(self.name, self._clock)
        with self._lock:
            self._watcher = watcher
            if self._closing.is_set():
                return
        words = watcher.listen(watched.cursor, self._known)
        try:
            for heard in words:
                if self._closing.is_set() or not self._is_ours():
                    return
                self._take(heard)
        finally:
            watcher.close()
            self._reading.stop()
            if isinstance(words, Generator):
                words.close()
            self._metrics.observe_watch(self.name, live=False)

    def close(self) -> None:
        """Stop, from any thread; `run` returns soon after."""
        with self._lock:
            self._closing.set()
            watcher = self._watcher
        if watcher is not None:
            watcher.close()

    def release(self) -> None:
        """Once `run` has returned for good: let go of connections."""
        if self._let_go is not None:
            self._let_go()

    def fail(self, trouble: str) -> None:
        """Write down why it does not listen at this moment; the next `run` begins anew."""
        self._metrics.observe_watch(self.name, live=False)
        with suppress(StoreUnavailable, LeaseLost), self._store.write() as tx:
            tx.watches.begin(self.name, self._clock.now())
            tx.watches.change(self.name, **self._state_values("failing", trouble))

    def _forget(self, watched: Watched | None = None) -> None:
        """What one `run` remembers."""
        now = self._clock.now()
        self._state: State | None = watched.state if watched else None
        self._trouble = watched.trouble if watched else ""
        self._reconciled_at = watched.reconciled_at if watched else None
        self._begun_at = self._saved_at = now
        self._cursor: bytes | None = None  # heard, acted on, not kept yet
        self._owes_reading = False
        self._reading = BackgroundReading(self.name, self._reconciler, self._is_ours)
        self._nightly_tried_at: datetime | None = None
        self._again: OrderedDict[str, tuple[datetime, Heard]] = OrderedDict()
        self._meanwhile: dict[str, Heard] = {}  # who was spoken of during a reading, which may have seen them before
        self._looked_for_ends_at: datetime | None = None
        self._ends_asked: dict[str, datetime] = {}

    def _listener(self) -> Watcher | None:
        return self._directory.watcher() if isinstance(self._directory, WatchedDirectory) else None

    def _known(self) -> Iterator[str]:
        with self._store.read() as tx:
            for link in tx.links.all(self.name):
                if link.word != GONE:
                    yield link.subject

    def _take(self, heard: Heard) -> None:
        self._end_reading()
        if heard.kind == "lost":
            self._owes_reading = True
            self._cursor = heard.cursor or self._cursor
            self._nightly_tried_at = None  # this one must succeed
        elif heard.kind in {"person", "gone"}:
            self._hear(heard.subject, heard, cursor=heard.cursor)
        elif heard.kind == "members":
            self._hear_members(heard)
        else:
            self._rest(heard)
        self._look_for_ends()
        if self._may_keep_cursor and self._is_night():
            self._nightly_tried_at = self._clock.now()
            self._owes_reading = True
        if self._owes_reading and not self._reading.is_going_on:
            self._begin_reading()

    def _hear_members(self, heard: Heard) -> None:
        for subject in sorted(heard.subjects or ()):
            self._hear(subject, heard)
        if heard.subjects is None and self._hearing.concerns(heard.groups):
            # Whoever was in it is not known there any more, and who is in it now only a listing says.
            self._owes_reading = True
        self._cursor = heard.cursor or self._cursor

    def _rest(self, heard: Heard) -> None:
        """Nothing is being said: what was put off."""
        self._cursor = heard.cursor or self._cursor
        now = self._clock.now()
        while self._again and next(iter(self._again.values()))[0] <= now:
            subject, (_, earlier) = self._again.popitem(last=False)
            self._hear(subject, earlier, is_again=True)
        if self._state == "held" and not self._is_waited_for():
            self._owes_reading = True  # what the held reading did not write
        if self._state not in {"live", "held"} and self._may_keep_cursor:
            self._keep("live")
        elif (self._cursor is not None and self._may_keep_cursor) or now - self._saved_at >= SAVE_EVERY:
            self._keep(self._state or "reading")
        self._metrics.observe_watch(self.name, live=self.is_listening)

    def _look_for_ends(self) -> None:
        """Ask for those whose account has ended by itself since the directory last let them in."""
        now = self._clock.now()
        if self._looked_for_ends_at is not None and timedelta(0) <= now - self._looked_for_ends_at < LOOK_FOR_ENDS_EVERY:
            return
        self._looked_for_ends_at = now
        self._ends_asked = {subject: at for subject, at in self._ends_asked.items() if now - at < END_AGAIN_AFTER}
        with self._store.read() as tx:
            due = tx.links.past_their_end(self.name, now, limit=ENDS_AT_ONCE)
        for link in due:
            if link.subject not in self._ends_asked:
                self._ends_asked[link.subject] = now
                self._hear(link.subject, Heard(kind="person", heard_at=now, subject=link.subject, written_at=link.ends_at), is_again=True)

    def _is_waited_for(self) -> bool:
        with self._store.read() as tx:
            return bool(tx.links.runs(self.name, state="held", limit=1))

    def _hear(self, subject: str, heard: Heard, *, cursor: bytes | None = None, is_again: bool = False) -> None:
        """Ask for one person, and do what the answer means; `cursor` is reached with it."""
        try:
            self._hear_one(subject, heard, cursor=cursor, is_again=is_again)
        except (SourceUnreachable, LeaseLost):
            raise
        except StoreUnavailable as error:
            if error.reason != CONFLICT:
                raise
            self._pass_over(subject, heard, cursor, why=error.detail)
        except SourceMisbehaved as wrong:
            self._pass_over(subject, heard, cursor, why=wrong.detail)
        except Exception as fault:
            # A fault of ours about one person, at every try the same: everybody after them would wait for it for ever.
            if not is_again:
                log.exception("person_broken", connector=self.name, subject=subject)
            self._pass_over(subject, heard, cursor, why=type(fault).__name__)

    def _pass_over(self, subject: str, heard: Heard, cursor: bytes | None, *, why: str) -> None:
        """One person who cannot be read or written must not keep everybody else's news away; they are asked for again."""
        log.error("person_passed_over", connector=self.name, subject=subject, detail=why)
        self._metrics.count_failure("watch")
        self._ask_again(subject, heard)
        self._cursor = cursor or self._cursor

    def _hear_one(self, subject: str, heard: Heard, *, cursor: bytes | None, is_again: bool) -> None:
        if self._reading.is_going_on and len(self._meanwhile) < MOST_ASKED_AGAIN:
            self._meanwhile[subject] = heard
        asked_at, identity = self._hearing.ask(subject, heard)
        if not self._hearing.is_news(subject, identity, is_again=is_again):
            self._hearing.note_as_before(subject, asked_at)
            self._cursor = cursor or self._cursor
            if not is_again:
                self._ask_again(subject, heard)
            return
        reached, has_taken = cursor or self._cursor, False
        for number in range(TRIES):
            try:
                has_taken = self._hearing.write(
                    subject, identity, heard, asked_at=asked_at, save=lambda tx: self._save(tx, reached, changed_at=self._clock.now())
                )
                break
            except StoreUnavailable as error:
                # A sign-in of the same person at this instant: it has their word by now, and we look again.
                if error.reason != CONFLICT or number == TRIES - 1:
                    raise
        self._cursor = None if self._may_keep_cursor else reached
        if has_taken:
            self._wake()
            # A sign-in that began before may have come after it, by the clock of another host.
            self._ask_again(subject, heard)
        elif self._hearing.is_late(subject, asked_at):
            self._ask_again(subject, heard)

    def _ask_again(self, subject: str, heard: Heard) -> None:
        if len(self._again) < MOST_ASKED_AGAIN:
            self._again[subject] = (self._clock.now() + ASK_AGAIN_AFTER, heard)
            self._again.move_to_end(subject)

    def _begin_reading(self) -> None:
        """Read the whole directory, beside the listening; until that is done no cursor is kept."""
        self._owes_reading = False
        self._reading.begin()
        self._keep("reading")

    def _end_reading(self) -> None:
        """Take note of what a reading did, once it is over."""
        is_nightly = self._nightly_tried_at is not None
        try:
            report = self._reading.result()
        except Interrupted:
            self._owes_reading = True  # the lease was ours again before we looked: what was missed is still to be read
            return
        except SyncRefused as refused:
            if not is_nightly:
                raise
            log.warning("nightly_reading_refused", connector=self.name, detail=refused.detail)  # an operator reads it at this moment
            self._keep("live")
            return
        if report is None:
            return
        self._ask_meanwhile()
        self._wake()
        if report.state == "failed":
            self._reading_failed(report, is_nightly=is_nightly)
            return
        log.info("directory_read", connector=self.name, state=report.state, **report.counts)
        self._nightly_tried_at = None
        self._reconciled_at = self._clock.now()
        self._keep("held" if report.state == "held" else "live", reconciled_at=self._reconciled_at)

    def _ask_meanwhile(self) -> None:
        """Ask for whoever was spoken of during the reading: it may have seen somebody before, whom nobody knew then, and written it after."""
        meanwhile, self._meanwhile = self._meanwhile, {}
        cursor, self._cursor = self._cursor, None  # reached once all are asked for
        for subject, heard in meanwhile.items():
            self._hear(subject, heard, is_again=True)
        self._cursor = cursor

    def _reading_failed(self, report: Report, *, is_nightly: bool) -> None:
        if is_nightly:
            # The line is alive: what it says is acted on, and the reading is tried again within the hour.
            log.error("nightly_reading_failed", connector=self.name, trouble=report.trouble, detail=report.detail)
            self._metrics.count_failure("nightly_reading")
            self._keep("live")
        elif report.trouble == "misbehaved":
            raise SourceMisbehaved(report.detail)
        else:
            raise SourceUnreachable(report.detail, trouble="unavailable")

    def _reconciler(self, refuse_to_go_on: Callable[[], None]) -> Reconciler:
        author = Author(READER, Origin(self._clock.new_code(10), "local"))
        return Reconciler(
            self._database,
            self._directory,
            self._linking,
            settings=self._config.sync,
            author=author,
            clock=self._clock,
            refuse_to_go_on=refuse_to_go_on,
        )

    @property
    def _may_keep_cursor(self) -> bool:
        return not self._owes_reading and not self._reading.is_going_on

    def _is_night(self) -> bool:
        """Whether the hour of the nightly reading has passed since the last one."""
        at = self._config.work.reconcile_at
        if at is None:
            return False
        now = self._clock.now()
        if self._nightly_tried_at is not None and now - self._nightly_tried_at < NIGHTLY_AGAIN_AFTER:
            return False
        local = now.astimezone(ZoneInfo(self._config.pages.time_zone))
        due = local.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
        if due > local:
            due -= timedelta(days=1)
        return (self._reconciled_at or self._begun_at) < due

    def _keep(self, state: State, **more: datetime) -> None:
        """Write down how it stands, and the cursor that was reached."""
        with self._store.write() as tx:
            self._save(tx, self._cursor, **self._state_values(state, ""), **more)
        if self._may_keep_cursor:
            self._cursor = None

    def _save(self, tx: Transaction, cursor: bytes | None, **values: object) -> None:
        self._saved_at = self._clock.now()
        if cursor is not None and self._may_keep_cursor:
            values["cursor"] = cursor
        tx.watches.change(self.name, heard_at=self._saved_at, **values)

    def _state_values(self, state: State, trouble: str) -> dict[str, object]:
        if (state, trouble) == (self._state, self._trouble):
            return {}
        self._state, self._trouble = state, trouble
        return {"state": state, "trouble": trouble[:300], "since": self._clock.now()}
