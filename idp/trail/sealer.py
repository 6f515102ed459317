"""The sealer: signs the heads of all chains together, every minute, chained to the seal before.

A line that was sealed cannot be changed, taken away or added by whoever holds the database without the key, and a seal that was noted elsewhere
(the log, a stream, paper) shows a database that was put back as a whole. Owns when there is something to seal and what it says; run by the worker
that holds the lease, whose every write proves it.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import same
from idp.store.chain import Notary
from idp.store.database import Database
from idp.store.leases import Fenced
from idp.store.trail import Horizon
from idp.trail.value import micros, seal_value

ACTOR = "system"
# After the first seal: while an upgrade goes from host to host, those that are not upgraded yet write lines without a writer.
UPGRADE = timedelta(days=1)
log = structlog.get_logger(__name__)


class Sealer:
    """Seals what moved. One a worker; `run_once` is called every minute."""

    def __init__(self, database: Database | Fenced, notary: Notary, clock: Clock) -> None:
        self._database = database
        self._notary = notary
        self._clock = clock
        self._mine: dict[str, Any] | None = None
        self._said: str | None = None

    def run_once(self) -> int:
        """Write a seal when a head has moved since the last; how many heads it holds."""
        now = self._clock.now()
        with self._database.read() as tx:
            tx.take_time()  # the first seal reads the whole trail
            last = tx.seals.newest()
            horizon = Horizon(last["horizon"], last["seen"], last["begun"]) if last else Horizon()
            frontier = tx.trail.frontier()
            sealed = {tuple(head) for head in json.loads(last["heads"])} if last and self._notary.signed_seal(last) else set()
            heads = [head for head in tx.trail.heads(horizon.settled, frontier.newest) if tuple(head) not in sealed]
            moved = horizon.moved(frontier)
            first = tx.seals.get(1)
            is_counting = last is None or (first is not None and counts_unsigned(first, horizon, micros(now)))
            unsigned = tx.trail.count_unsigned(horizon.settled, moved.settled) if is_counting else 0
        self._look_back(last)
        if not heads and not unsigned:
            return 0
        seal: dict[str, Any] = {
            "number": last["number"] + 1 if last else 1,
            "at": micros(now),
            "heads": json.dumps(heads, separators=(",", ":")),
            "unsigned": unsigned,
            "horizon": moved.settled,
            "seen": moved.seen,
            "begun": moved.begun,
            "previous": last["mac"] if last else "",
        }
        seal["mac"] = self._notary.sign_seal(seal)
        with self._database.write() as tx:
            tx.seals.add(seal)
        self._mine = seal
        log.info("audit_sealed", seal=seal_value(seal), writers=len(heads))
        return len(heads)

    def _look_back(self, last: dict[str, Any] | None) -> None:
        """Whether the last seal is what a seal must be, and what this process left: said once, as an alarm."""
        mine = self._mine
        if mine is not None and (last is None or last["number"] < mine["number"]):
            self._alarm(Reason.AUDIT_ROLLED_BACK, mine)
            return
        if last is None:
            return
        is_replaced = mine is not None and last["number"] == mine["number"] and not same(last["mac"], mine["mac"])
        if is_replaced or not self._notary.signed_seal(last):
            self._alarm(Reason.AUDIT_SEAL_CHANGED, last)

    def _alarm(self, reason: Reason, seal: dict[str, Any]) -> None:
        value = seal_value(seal)
        self._mine = None
        if self._said == value:
            return
        self._said = value
        log.error("audit_broken", reason_code=str(reason), seal=value)
        event = Event(
            type=EventType.AUDIT_BROKEN,
            at=self._clock.now(),
            actor=ACTOR,
            origin=Origin(self._clock.new_code(10), "local"),
            reason=reason,
            details={"seal": value},
        )
        with self._database.write() as tx:
            tx.events.append(event)


def counts_unsigned(first: Mapping[str, Any], horizon: Horizon, now: int) -> bool:
    """Whether lines without a writer are still counted by seals: of the past that the first seal found, and while an upgrade may last."""
    seen: int = first["seen"]
    made: int = first["at"]
    return horizon.settled < seen or now - made <= UPGRADE // timedelta(microseconds=1)
