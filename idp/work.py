"""`vestibule work`: the jobs that no request should wait for: ending what is overdue, deleting what ended long ago, keys, messages.

One process goes round them, each when it is due; a job that fails is logged, counted and tried again at its next turn, and does not keep the
others from theirs. Listening to directories and telling applications have threads of their own (idp/watching.py). Of several hosts one does the jobs
that must be done once: it holds the lease, and each of their writes proves it (idp/store/leases.py). Owns the order and the pace; what each does is
the room's it calls. Stops between two jobs.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import structlog

from idp.admin import AdminListener
from idp.app import CONFIG_VARIABLE, build
from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.composition.application import Application
from idp.composition.cut import open_canary, open_deliverer, open_settler, open_watches
from idp.composition.outgoing import messenger, open_sinks, sender
from idp.composition.sources import credential_ends
from idp.config import MICROS, load
from idp.desk.reset_keeper import ResetKeeper
from idp.endings import Cause, end_session
from idp.errors import Refused, StoreUnavailable
from idp.lifecycle.clocks_ahead import ClocksAhead
from idp.lifecycle.last_days import EVERY, LastDays
from idp.messages.alerts import Alerts
from idp.messages.messenger import CHANNELS
from idp.oauth.keys import ensure, forget, rotate
from idp.oauth.signals.collecting import give_up
from idp.signin.facts import session_standing
from idp.signin.hidden_clients import LOOKS_BACK, find_suspicion, words
from idp.signin.presence import OVERDUE
from idp.signin.throttle import UNTIL_UNBLOCKED
from idp.store.base import Session
from idp.store.chain import Notary
from idp.store.events import EventFilter
from idp.store.leases import Fenced, LeaseLost
from idp.supervision import end_with_parent
from idp.telemetry import configure_logging, forget_dead_processes
from idp.tenure import Tenure
from idp.trail.purge import Purge
from idp.trail.sealer import Sealer
from idp.trail.stream import Streamer
from idp.trail.value import instant
from idp.watching import Watching
from policies.sessions import SessionLimits

ACTOR = "system"
TICK_SECONDS = 0.25
CANARY_RUNS_KEPT = timedelta(days=90)
RESETS_KEPT = timedelta(days=365)  # how long it takes to restore somebody's access is told over a year
BATCH = 200
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Job:
    """Something done every so often; `run` returns how many things it did, for the log. A single one is done by the lease's holder only."""

    name: str
    every: timedelta
    run: Callable[[], int]
    due_at: datetime
    is_single: bool = field(default=True, kw_only=True)


class ThreadDied(Exception):
    """A thread of the worker ended that nothing may end: a fault of ours."""


class Worker:
    """The jobs of one program."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.clock: Clock = application.clock
        self.tenure = Tenure(application.database, self.clock, ttl=application.config.work.lease)
        self.database = Fenced(application.database, self.tenure.check)
        self.deliverer = open_deliverer(application, self.database)
        self._has_taken_over = False  # what another had begun, before anything else is begun
        self.watching = Watching(
            open_watches(application, self.database, self.deliverer.wake, is_ours=self._is_active),
            self.deliverer,
            is_ours=self._is_active,
            metrics=application.metrics,
        )
        self.sender = sender(application, self.database)
        self.messenger = messenger(application)
        notary = Notary.of(application.keyring)
        self.last_days = LastDays(self.database, self.clock)
        self.clocks_ahead = ClocksAhead(self.database, self.clock, staleness_bound=application.config.standing.staleness_bound)
        self.sealer = Sealer(self.database, notary, self.clock)
        self.purge = Purge(self.database, notary, self.clock, settings=application.config.audit)
        self.streamer = Streamer(self.database, open_sinks(application.config), self.clock)
        desk = application.desk
        self.resets = ResetKeeper(
            self.database, facts=desk.reset_facts, record=desk.reset_record, settings=application.config.resets, clock=self.clock
        )
        self.alerts = Alerts(application.config, self.database, self.messenger, clock=self.clock, count=application.metrics.count_alert)
        self.stopping = threading.Event()
        self.last_beat: datetime | None = None
        now = self.clock.now()
        minute = timedelta(minutes=1)
        self.jobs = [
            Job("send_messages", timedelta(seconds=TICK_SECONDS), self.sender.run_once, now),
            Job("measure", timedelta(seconds=10), self.measure, now, is_single=False),
            Job("end_last_days", EVERY, self.end_last_days, now),
            Job("clocks_ahead", minute, self.clocks_ahead.run_once, now),
            Job("end_overdue_sessions", minute, self.end_overdue_sessions, now),
            Job("sweep_ephemeral", minute, application.ephemeral.sweep, now, is_single=False),
            Job("clear_answers", minute, self.clear_answers, now),
            Job("sweep", minute, self.sweep, now),
            Job("keys", minute, self.keep_keys, now),
            Job("resets", timedelta(seconds=30), self.resets.run_once, now),
            Job("seal_audit", minute, self.sealer.run_once, now),
            Job("purge_audit", 10 * minute, self.purge.run_once, now),
            Job("stream_audit", timedelta(seconds=1), self.streamer.run_once, now),
            Job("alerts", minute, self.alerts.run_once, now),
            Job("check_network", timedelta(hours=1), self.check_network, now),
            Job("forget_dead_processes", minute, self.forget_dead, now, is_single=False),
        ]
        self.canary = open_canary(application, self.database)
        if self.canary is not None:
            self.jobs.append(Job("canary", timedelta(seconds=TICK_SECONDS), self.canary.run_once, now))
        if application.config.scim:
            self.settler = open_settler(application, self.database)
            self.jobs.append(Job("settle_scim", minute, self.settle_scim, now))

    def run(self) -> None:
        """Go round until told to stop: first nothing is decided any more, then what is being sent is waited for, then the lease is given back.

        Raises ThreadDied when one of the threads is there no more: another worker does it all, and whoever started this one starts it again.
        """
        self.watching.start()
        while not self.stopping.is_set() and self.watching.is_alive():
            self.run_due()
            self.stopping.wait(TICK_SECONDS)
        has_died = not self.stopping.is_set()
        self.watching.stop()
        if self.canary is not None:
            self.canary.close()
        self.deliverer.close()
        self.sender.close()
        self.streamer.close()
        self._stand_down()
        if has_died:
            raise ThreadDied

    def run_due(self) -> None:
        """Every job whose turn has come and that is ours to do, once."""
        self.stand()
        for job in self.jobs:
            now = self.clock.now()
            if self.stopping.is_set() or now < job.due_at or (job.is_single and not self.tenure.is_active):
                continue
            job.due_at = now + job.every
            try:
                done = job.run()
            except LeaseLost:
                self._lose()
            except Exception:
                # The edge of the worker: the job is tried again at its next turn, and an alarm can stand on the counter.
                self.application.metrics.count_failure(job.name)
                log.exception("job_failed", job=job.name)
            else:
                if done:
                    log.info("job_done", job=job.name, done=done)
        self.last_beat = self.clock.now()
        self.application.metrics.beat(self.last_beat)

    def is_alive(self) -> bool:
        """Whether the jobs went round within the last minute, and the threads go on."""
        goes_round = self.last_beat is not None and self.clock.now() - self.last_beat < timedelta(minutes=1)
        return goes_round and self.watching.is_alive()

    def role(self) -> str:
        """active: the single jobs are done here; standby: another does them."""
        return "active" if self.tenure.is_active else "standby"

    def stand(self) -> None:
        """Keep the lease, or take it when nobody holds it."""
        try:
            fence = self.tenure.stand()
        except LeaseLost:
            self._lose()
        except StoreUnavailable as error:
            log.error("lease_unknown", detail=error.detail)
        else:
            if fence is not None:
                log.info("lease_taken", fence=fence)
                self._take_over()
                self._has_taken_over = True
            self.application.metrics.observe_lease(active=self.tenure.is_active, taken=fence is not None)

    def _is_active(self) -> bool:
        return self.tenure.is_active and self._has_taken_over

    def _take_over(self) -> None:
        try:
            taken = self.deliverer.take_over()
        except (LeaseLost, StoreUnavailable) as error:
            log.warning("notices_not_taken_over", detail=error.detail)  # they come back by themselves
        else:
            if taken:
                log.info("notices_taken_over", notices=taken)

    def _lose(self) -> None:
        log.warning("lease_lost")
        self.tenure.forget()
        self._has_taken_over = False
        self.application.metrics.observe_lease(active=False, taken=False)

    def _stand_down(self) -> None:
        try:
            self.tenure.release()
        except StoreUnavailable as error:
            log.error("lease_not_released", detail=error.detail)  # it ends by itself
        self.application.metrics.observe_lease(active=False, taken=False)

    def end_last_days(self) -> int:
        """End what stood on Attachments whose last day is over; their applications are told at once."""
        ended = self.last_days.run_once(Author(ACTOR, self._origin()))
        if ended:
            self.deliverer.wake()
        return ended

    def end_overdue_sessions(self) -> int:
        """End Sessions past their idle or absolute limit; their applications are told through the outbox."""
        limits = self.application.config.sessions.limits
        ended = 0
        while not self.stopping.is_set():
            with self.application.database.read() as tx:
                overdue = tx.sessions.overdue(self.clock.now(), limits, limit=BATCH)
            for session in overdue:
                ended += self._end_if_overdue(session.id, limits)
            if len(overdue) < BATCH:
                break
        return ended

    def _end_if_overdue(self, session_id: str, limits: SessionLimits) -> int:
        """One at a time and looked at again inside the transaction: the person may have come back since, and a sign-in must not wait long."""
        with self.database.write() as tx:
            session = tx.sessions.get(session_id)
            reason = None if session is None else _overdue_reason(session, limits, self.clock.now())
            if session is None or reason is None:
                return 0
            return end_session(tx, session, Cause(reason, ACTOR, self._origin()), clock=self.clock).sessions

    def clear_answers(self) -> int:
        """Forget refresh answers past the retry window."""
        before = self.clock.now() - self.application.config.tokens.refresh_retry_window
        with self.database.write() as tx:
            return tx.sweep.clear_sealed_answers(before)

    def sweep(self) -> int:
        """Delete what ended longer ago than it is kept, a batch of each kind."""
        now = self.clock.now()
        before = now - self.application.config.retention.ended
        with self.database.write() as tx:
            deleted = tx.sweep.delete_spent_identifiers(now)
        for name in ("delete_grants", "delete_sessions", "delete_notices", "delete_passes", "delete_devices"):
            with self.database.write() as tx:
                deleted += getattr(tx.sweep, name)(before)
        with self.database.write() as tx:
            deleted += tx.sweep.delete_messages(min(before, self.messenger.month_began()))
            deleted += tx.locks.sweep(now - UNTIL_UNBLOCKED)
        with self.database.write() as tx:
            deleted += tx.sweep.delete_resets(now - RESETS_KEPT)
        with self.database.write() as tx:
            deleted += tx.sweep.delete_cuts(now - self.application.config.retention.cuts)
        with self.database.write() as tx:
            deleted += tx.sweep.delete_canary_runs(now - CANARY_RUNS_KEPT)
        with self.database.write() as tx:
            signals = self.application.config.signals
            deleted += give_up(tx, now - signals.kept, self._origin(), most=signals.waiting, clock=self.clock)
        return deleted

    def check_network(self) -> int:
        """Say once a day that a proxy seems to hide who asks (idp/signin/hidden_clients.py); the metric stands for as long as it does."""
        now = self.clock.now()
        with self.application.database.read() as tx:
            found = find_suspicion(tx, now)
            said = tx.events.last(EventFilter(since=now - LOOKS_BACK, type_prefix=str(EventType.NETWORK_SUSPICIOUS)), 1)
        self.application.metrics.observe_network(suspicious=found is not None)
        if found is None or (said and said[0]["reason"] == found.reason):
            return 0
        log.warning("network_suspicious", detail=words(found), reason_code=str(found.reason))
        event = Event(
            type=EventType.NETWORK_SUSPICIOUS,
            at=now,
            actor=ACTOR,
            origin=self._origin(),
            reason=found.reason,
            details={"address": found.address, "sign_ins": found.sign_ins, "total": found.total, "people": found.people},
        )
        with self.database.write() as tx:
            tx.events.append(event)
        return 1

    def keep_keys(self) -> int:
        """Rotate the signing keys when their time has come, and delete those that nothing needs any more."""
        with self.database.write() as tx:
            forget(tx, self.clock)
        every = self.application.config.keys.rotate_every
        now = self.clock.now()
        with self.application.database.read() as tx:
            current = [key for key in tx.keys.all() if key.state == "current"]
        is_old = every is not None and any(key.activated_at is not None and now - key.activated_at >= every for key in current)
        if current and not is_old:
            return 0
        with self.database.write() as tx:
            if not current:
                ensure(tx, self.application.keyring, self.clock)
                return 1
            try:
                rotate(tx, self.application.keyring, self.clock, actor=ACTOR, origin=self._origin())
            except Refused as refused:
                log.info("keys_not_rotated", reason=refused.reason, detail=refused.detail)
                return 0
        return 1

    def measure(self) -> int:
        """Set the gauges that only the stores can tell."""
        now = self.clock.now()
        began = perf_counter()
        self.application.database.ping()
        ping = perf_counter() - began
        with self.application.database.read() as tx:
            waiting = tx.outbox.waiting()
            oldest = tx.outbox.oldest_waiting()
            sessions = tx.sessions.count_open(now, self.application.config.sessions.limits)
            messages = {channel: tx.messages.waiting(channel) for channel in CHANNELS}
            sms_micros = tx.messages.cost_since("sms", self.messenger.month_began())
            resets = tx.resets.waiting(None)
            sealed = tx.seals.newest()
            newest_line = tx.trail.newest()
            cursors = [tx.seals.cursor(stream.name) for stream in self.application.config.audit.streams]
        self.application.metrics.observe_sealed(instant(sealed["at"]) if sealed else None)
        for cursor in filter(None, cursors):
            self.application.metrics.observe_stream(cursor.name, failing=bool(cursor.trouble), behind=max(0, newest_line - cursor.line))
        age = (now - oldest).total_seconds() if oldest else 0.0
        self.application.metrics.observe_stores(waiting=waiting, oldest_seconds=age, sessions=sessions, ping_seconds=ping)
        for channel, (count, since) in messages.items():
            oldest_seconds = (now - since).total_seconds() if since else 0.0
            self.application.metrics.observe_messages(channel, waiting=count, oldest_seconds=oldest_seconds)
        waited = (now - resets.oldest_at).total_seconds() if resets.oldest_at else 0.0
        self.application.metrics.observe_resets(waiting=resets.unhandled, oldest_seconds=waited)
        self.application.metrics.observe_sms_cost(sms_micros / MICROS)
        for provider, ends_at in credential_ends(self.application.config).items():
            self.application.metrics.observe_credential(provider, left=ends_at - now)
        return 0

    def settle_scim(self) -> int:
        """End those whom the brake on a SCIM source has held for long enough."""
        return self.settler.run_once(Author(ACTOR, self._origin()))

    def forget_dead(self) -> int:
        """Take back what a server process that died was counting as in progress."""
        forget_dead_processes()
        return 0

    def _origin(self) -> Origin:
        return Origin(self.clock.new_code(10), "local")


def work(config_path: Path) -> None:
    """Run the jobs and the admin listener until SIGTERM or SIGINT."""
    config = load(config_path)
    configure_logging(config.log_level)
    with ExitStack() as stack:
        application = build(config)
        stack.callback(application.close)
        worker = Worker(application)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stopping.set())
        listener = AdminListener(config.server.admin_listen, render=application.metrics.render, is_alive=worker.is_alive, role=worker.role)
        stack.enter_context(listener)
        for warning in application.ephemeral.warnings():
            log.warning("ephemeral_store", detail=warning)
        log.info("work_started", admin_listen=config.server.admin_listen)
        try:
            worker.run()
        except ThreadDied:
            log.error("work_thread_died")
            sys.exit(1)
        log.info("work_stopped")


def _overdue_reason(session: Session, limits: SessionLimits, now: datetime) -> Reason | None:
    return OVERDUE.get(session_standing(session, limits, now))


if __name__ == "__main__":
    end_with_parent()
    work(Path(os.environ[CONFIG_VARIABLE]))
