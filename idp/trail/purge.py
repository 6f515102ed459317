"""Purging the trail by retention class: lines past their time go, and signed records of where they stood stay, so that all others still verify.

Owns which lines are due and how their record is made; the database refuses to let go of a line without a record, and of one younger than six
months, whoever asks (migration 0006). A line that does not verify is not purged: it is what somebody will want to look at. CNIL, deliberation
2021-122: six months to a year, up to three for a written reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import structlog

from idp.audit import Event, EventType, Origin
from idp.clock import Clock
from idp.config import AuditSettings
from idp.store.chain import Notary
from idp.store.database import Database, Transaction
from idp.store.leases import Fenced
from idp.store.seals import SEALS, UNSIGNED
from idp.trail.value import micros

ACTOR = "system"
DEFAULT = "default"
BATCH = 1000
BATCHES = 5  # in one run: the worker has other jobs
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """A class of lines and how many months they are kept. `types` None: all those of no class before it, whose types are `but`."""

    name: str
    months: int
    types: tuple[str, ...] | None
    but: tuple[str, ...]


def retentions(settings: AuditSettings) -> tuple[Retention, ...]:
    """The classes of the configuration in its order; a line is of the first that fits, the last takes the rest."""
    found: list[Retention] = []
    taken: tuple[str, ...] = ()
    for one in settings.classes:
        found.append(Retention(one.name, one.months, one.types, taken))
        taken += one.types
    return (*found, Retention(DEFAULT, settings.months, None, taken))


def months_before(now: datetime, months: int) -> datetime:
    """The beginning of the day so many calendar months ago: of a month that is too short, its last day."""
    index = now.year * 12 + now.month - 1 - months
    year, month = divmod(index, 12)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for last in (now.day, 30, 29, 28):
        try:
            return day.replace(year=year, month=month + 1, day=min(now.day, last))
        except ValueError:
            continue
    raise ValueError(f"no day {months} months before {now}")


class Purge:
    """Takes out what is past its time. One a worker."""

    def __init__(self, database: Database | Fenced, notary: Notary, clock: Clock, *, settings: AuditSettings) -> None:
        self._database = database
        self._notary = notary
        self._clock = clock
        self._retentions = retentions(settings)
        self._is_on = settings.purge == "worker"

    def run_once(self) -> int:
        """Purge a few batches of each class, then old seals; how many lines went."""
        if not self._is_on:
            return 0
        gone = 0
        for retention in self._retentions:
            for _ in range(BATCHES):
                with self._database.write() as tx:
                    purged = self._purge(tx, retention)
                gone += purged
                if purged < BATCH:
                    break
        with self._database.write() as tx:
            self._purge_seals(tx)
        return gone

    def _purge(self, tx: Transaction, retention: Retention) -> int:
        now = self._clock.now()
        before = micros(months_before(now, retention.months))
        found = tx.trail.older(before, types=retention.types, but=retention.but, limit=BATCH)
        rows = [row for row in found if row["writer"] is None or self._notary.signed_line(row)]
        if len(rows) < len(found):
            log.error("audit_not_purged", detail="lines that do not verify are kept", lines=len(found) - len(rows))
        if not rows:
            return 0
        for run in _runs(rows):
            self._record(tx, run, retention.name, now=now)
        # Before the rows go: an empty table would begin its ids again.
        details: dict[str, str | int | bool | None] = {"retention": retention.name, "lines": len(rows), "months": retention.months}
        origin = Origin(self._clock.new_code(10), "local")
        tx.events.append(Event(type=EventType.AUDIT_PURGED, at=now, actor=ACTOR, origin=origin, details=details))
        return tx.trail.delete([row["id"] for row in rows])

    def _record(self, tx: Transaction, run: Sequence[dict[str, Any]], retention: str, *, now: datetime) -> None:
        first, last = run[0], run[-1]
        is_signed = first["writer"] is not None
        values = {
            "writer": first["writer"] if is_signed else UNSIGNED,
            "first": first["sequence"] if is_signed else first["id"],
            "last": last["sequence"] if is_signed else last["id"],
            "count": len(run),
            "previous": first["previous"] if is_signed else "",
            "last_mac": last["mac"] if is_signed else "",
            "until": max(row["at"] for row in run),
            "retention": retention,
            "purged_at": micros(now),
        }
        tx.seals.add_range({**values, "mac": self._notary.sign_range(values)})

    def _purge_seals(self, tx: Transaction) -> None:
        """Seals are kept as long as the lines that are kept longest; the newest is never old."""
        now = self._clock.now()
        before = micros(months_before(now, max(retention.months for retention in self._retentions)))
        newest = tx.seals.newest()
        last = tx.seals.get(tx.seals.last_before(before))
        if newest is None or last is None or last["number"] >= newest["number"]:
            return
        (first,) = tx.seals.page(0, 1)
        values = {
            "writer": SEALS,
            "first": first["number"],
            "last": last["number"],
            "count": last["number"] - first["number"] + 1,
            "previous": first["previous"],
            "last_mac": last["mac"],
            "until": last["at"],
            "retention": SEALS,
            "purged_at": micros(now),
        }
        tx.seals.add_range({**values, "mac": self._notary.sign_range(values)})
        tx.seals.delete_up_to(last["number"])


def _runs(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows of each writer that follow one another without a hole; those without a writer one by one where ids leave holes."""
    ordered = sorted(rows, key=lambda row: (row["writer"] or "", row["sequence"] or row["id"]))
    run = [ordered[0]]
    for before, row in pairwise(ordered):
        if row["writer"] == before["writer"] and _place(row) == _place(before) + 1:
            run.append(row)
        else:
            yield run
            run = [row]
    yield run


def _place(row: dict[str, Any]) -> int:
    place: int = row["sequence"] if row["writer"] is not None else row["id"]
    return place
