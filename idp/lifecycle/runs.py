"""Runs of a directory: one at a time, each with its row, its Events and its report.

Owns the lease, the moves of a run's row (running; done, held or failed; then confirmed or dismissed) and what is recorded of them. What a run does is
reconcile.py's.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from connectors.base import SourceMisbehaved, SourceUnreachable
from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.errors import StoreUnavailable, VestibuleError
from idp.lifecycle.reading import Ending
from idp.store.base import Lease, SyncRun
from idp.store.database import Database, Transaction
from idp.store.leases import Fenced, LeaseLost

LEASE_TTL = timedelta(minutes=2)
REASONS = {"misbehaved": Reason.DIRECTORY_MISBEHAVED, "interrupted": Reason.INTERNAL_ERROR}

State = Literal["done", "held", "confirmed", "dismissed", "failed"]


class SyncRefused(VestibuleError):
    """The run cannot begin, or is not one that waits; `detail` says why, in English, for an operator."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Somebody who could not be written, and why, in English."""

    subject: str
    reason: str


@dataclass(slots=True)
class Report:
    """What a run did, or in a dry run would do. `trouble` says why it failed: a connectors.base.Trouble, `misbehaved` or `interrupted`.

    `counts` holds added, changed, unchanged, ended, held, kept (asked for again and there after all), released, failed, and of those listed
    `unplaced` (no rule places them) and `unusable` (not let in by the directory).
    """

    state: State
    run_id: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    endings: tuple[Ending, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    trouble: str | None = None
    detail: str = ""
    held_until: datetime | None = None

    def fail(self, error: SourceUnreachable | SourceMisbehaved) -> None:
        """The directory did not answer, or not to be believed."""
        self.state = "failed"
        self.trouble = error.trouble if isinstance(error, SourceUnreachable) else "misbehaved"
        self.detail = error.detail


def run_lease(connector: str) -> str:
    """The name of the lease that a run of a directory holds."""
    return f"sync:{connector}"


class Runs:
    """The runs of one directory, by one author."""

    def __init__(self, database: Database, connector: str, author: Author, *, clock: Clock) -> None:
        self._database = database
        self._connector = connector
        self._author = author
        self._clock = clock
        self._lease: Lease | None = None
        self.store = Fenced(database, self._check)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else runs this directory meanwhile; SyncRefused when somebody does."""
        with self._database.write() as tx:
            now = self._clock.now()
            self._lease = lease = tx.leases.take(run_lease(self._connector), self._clock.new_id(), now=now, ttl=LEASE_TTL)
        if lease is None:
            raise SyncRefused("sync_running", f"{self._connector} is being read by another run: wait for its end")
        try:
            yield
        finally:
            self._lease = None
            with suppress(StoreUnavailable), self._database.write() as tx:
                tx.leases.release(lease)

    def keep(self) -> None:
        """Keep the lease while the directory is slow; LeaseLost when another took it."""
        now = self._clock.now()
        if self._lease is not None and self._lease.expires_at - now < LEASE_TTL / 2:
            with self._database.write() as tx:
                self._lease = tx.leases.renew(self._lease, now=now, ttl=LEASE_TTL)

    def open(self) -> Report:
        """A run begins; one that was killed is closed."""
        now = self._clock.now()
        run = SyncRun(
            id=self._clock.new_id(), connector=self._connector, state="running", started_at=now, ended_at=None, counts={}, detail=""
        )
        with self.store.write() as tx:
            for earlier in tx.links.runs(self._connector, state="running"):
                # We hold the lease, so nobody is at work on it.
                tx.links.change_run(earlier.id, expected="running", state="failed", ended_at=now, detail="interrupted")
            tx.links.add_run(run)
        return Report("done", run_id=run.id)

    def close(self, tx: Transaction, report: Report, kind: EventType) -> None:
        """The run is over, or waits."""
        detail = f"{report.trouble}: {report.detail}" if report.trouble else report.detail
        values = {"state": report.state, "ended_at": self._clock.now(), "counts": dict(report.counts), "detail": detail}
        tx.links.change_run(report.run_id, expected="running", **values)
        self.record(tx, report, kind)

    def waiting(self, tx: Transaction, run_id: str) -> SyncRun:
        """A run that waits for a human; SyncRefused when it does not."""
        run = tx.links.run(run_id)
        if run is None or run.connector != self._connector:
            raise SyncRefused("no_such_run", f"{self._connector} has no run {run_id}")
        if run.state != "held":
            why = f" ({run.detail})" if run.detail else ""
            raise SyncRefused("run_not_held", f"the run {run_id} waits for nobody: it is {run.state}{why}")
        return run

    def put_aside(self, tx: Transaction, run: SyncRun, *, detail: str) -> int:
        """A waiting run is dismissed; how many people it lets go of."""
        released = len(tx.links.held_by(run.id))
        if not tx.links.change_run(run.id, expected="held", state="dismissed", detail=detail):
            raise SyncRefused("run_not_held", f"the run {run.id} was decided on a moment ago")
        tx.links.release(run.id)
        report = Report("dismissed", run_id=run.id, counts=Counter(released=released), detail=detail)
        self.record(tx, report, EventType.SYNC_DISMISSED)
        return released

    def record(self, tx: Transaction, report: Report, kind: EventType) -> None:
        """The Event of a report."""
        reason = Reason.SYNC_BRAKE if kind is EventType.SYNC_HELD else None
        details: dict[str, str | int | bool | None] = {"run": report.run_id, **report.counts}
        if report.trouble:
            reason = REASONS.get(report.trouble, Reason.DIRECTORY_UNREACHABLE)
            details["trouble"] = report.trouble
        elif report.detail:
            details["why"] = report.detail
        tx.events.append(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=self._author.actor,
                origin=self._author.origin,
                reason=reason,
                connector=self._connector,
                details=details,
            )
        )

    def _check(self, tx: Transaction) -> None:
        if self._lease is None:
            raise LeaseLost(f"sync:{self._connector}")
        tx.leases.check(self._lease.name, self._lease.fence)
