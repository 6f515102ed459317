"""Streams: lines and seals of the trail, sent to somewhere else as they are written, so that a copy is out of reach of whoever holds the database.

How far each stream has got is kept in SQL and moves once the other side has taken what it was sent: nothing is left out, and after an accident some
come twice (`id` tells). A stream begins with what is written after it was set up. Streams are side by side, each on a thread of its own: a server
that hangs holds up neither another stream nor the worker's other jobs. Run by the worker that holds the lease.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from connectors.streams.base import ALERT, INFORMATIONAL, WARNING, Record, Sink, StreamBroken
from idp.audit import EventType
from idp.clock import Clock
from idp.store.base import StreamCursor
from idp.store.database import Database
from idp.store.events import EventFilter
from idp.store.leases import Fenced
from idp.store.trail import Horizon
from idp.trail.value import instant, seal_value

PATIENCE = timedelta(milliseconds=500)
BATCH = 500
BATCHES = 20  # in one pass: then the cursors of the others move too
WAITS = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 30, 60))
SEALED = "audit.sealed"
ALARMS = frozenset(
    {
        EventType.AUDIT_BROKEN,
        EventType.BREAK_GLASS_USED,
        EventType.RESET_BURNT,
        EventType.RESET_MISUSED,
        EventType.RESET_STOPPED,
        EventType.SIGNIN_DISOWNED,
        EventType.SIGNIN_SPRAYING,
    }
)
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Stream:
    sink: Sink
    sending: Future[int] | None = None
    failures: int = 0
    due_at: datetime | None = None


class Streamer:
    """Sends what is new. One a worker; `run_once` is called every second."""

    def __init__(self, database: Database | Fenced, sinks: Mapping[str, Sink], clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._streams = {name: _Stream(sink) for name, sink in sinks.items()}
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(sinks)), thread_name_prefix="stream")

    def run_once(self) -> int:
        """One pass of each stream; how many lines and seals were taken by those that finished within PATIENCE, or since the last call.

        What goes wrong in a thread, other than the other side's trouble, is raised here by the call that finds it finished.
        """
        now = self._clock.now()
        for name, stream in self._streams.items():
            if stream.sending is None and (stream.due_at is None or now >= stream.due_at):
                stream.sending = self._pool.submit(self._pass, name, stream)
        busy = [stream.sending for stream in self._streams.values() if stream.sending is not None]
        done, _ = wait(busy, PATIENCE.total_seconds())
        sent = 0
        for stream in self._streams.values():
            if stream.sending is not None and stream.sending in done:
                finished, stream.sending = stream.sending, None
                sent += finished.result()
        return sent

    def close(self) -> None:
        """Wait for what is being sent, then let go."""
        self._pool.shutdown()
        for stream in self._streams.values():
            stream.sink.close()

    def _pass(self, name: str, stream: _Stream) -> int:
        self._begin(name)
        sent = 0
        for _ in range(BATCHES):
            cursor, records, after = self._gather(name)
            if records:
                try:
                    stream.sink.send(records)
                except StreamBroken as error:
                    self._fail(cursor, stream, error.detail)
                    return sent
            stream.failures, stream.due_at = 0, None
            now = self._clock.now()
            moved = replace(after, failing_since=None, trouble="", sent_at=now if records else cursor.sent_at)
            if moved != cursor:
                with self._database.write() as tx:
                    tx.seals.save_cursor(moved)
            if cursor.failing_since is not None:
                log.info("stream_recovered", stream=name, failing_seconds=(now - cursor.failing_since).total_seconds())
            sent += len(records)
            if len(records) < BATCH:
                break
        return sent

    def _fail(self, cursor: StreamCursor, stream: _Stream, detail: str) -> None:
        now = self._clock.now()
        stream.due_at = now + WAITS[min(stream.failures, len(WAITS) - 1)]
        stream.failures += 1
        if cursor.trouble == detail[:300]:
            return
        log.error("stream_failing", stream=cursor.name, detail=detail)
        with self._database.write() as tx:
            tx.seals.save_cursor(replace(cursor, failing_since=cursor.failing_since or now, trouble=detail[:300]))

    def _begin(self, name: str) -> None:
        """With what is written from now on, and the newest seal."""
        with self._database.read() as tx:
            if tx.seals.cursor(name) is not None:
                return
        with self._database.write() as tx:
            frontier = tx.trail.frontier()
            newest = tx.seals.newest()
            seal = newest["number"] - 1 if newest else 0
            tx.seals.save_cursor(StreamCursor(name=name, line=frontier.newest, settled=frontier.newest, seal=seal))

    def _gather(self, name: str) -> tuple[StreamCursor, list[Record], StreamCursor]:
        """How far the stream is, what comes next, and how far it is once that is taken."""
        with self._database.read() as tx:
            cursor = tx.seals.cursor(name)
            frontier = tx.trail.frontier()
            if cursor is None:
                raise LookupError(f"the stream {name} has not begun")
            horizon = Horizon(cursor.settled, cursor.seen, cursor.begun).moved(frontier)
            lines = list(tx.events.read(EventFilter(after_id=cursor.line), limit=BATCH))
            seals = tx.seals.page(cursor.seal, BATCH)
        taken = list(_without_gaps(lines, after=cursor.line, settled=horizon.settled))
        moved = replace(
            cursor,
            line=taken[-1]["id"] if taken else cursor.line,
            settled=horizon.settled,
            seen=horizon.seen,
            begun=horizon.begun,
            seal=seals[-1]["number"] if seals else cursor.seal,
        )
        return cursor, [*map(_of_line, taken), *map(_of_seal, seals)], moved


def _without_gaps(lines: Sequence[Mapping[str, Any]], *, after: int, settled: int) -> Iterator[Mapping[str, Any]]:
    """The lines before which no other can appear any more: those up to the horizon, then those whose ids follow one another."""
    for line in lines:
        if line["id"] > settled and line["id"] != after + 1:
            return
        after = line["id"]
        yield line


def _of_line(line: Mapping[str, Any]) -> Record:
    kind = str(line["type"])
    is_refusal = kind.rsplit(".", 1)[-1] in {"refused", "abandoned", "change_refused"}
    severity = ALERT if kind in ALARMS else WARNING if is_refusal else INFORMATIONAL
    text = json.dumps({name: value for name, value in line.items() if value not in (None, "", [], {})}, separators=(",", ":"))
    return Record(at=datetime.fromisoformat(line["at"]), kind=kind[:32], severity=severity, text=text)


def _of_seal(seal: Mapping[str, Any]) -> Record:
    at = instant(seal["at"])
    text = json.dumps({"type": SEALED, "at": at.isoformat(), "seal": seal_value(seal), "previous": seal["previous"]}, separators=(",", ":"))
    return Record(at=at, kind=SEALED, severity=INFORMATIONAL, text=text)
