"""The durable outbox, told to applications: claimed, sent by the Sender of its kind, settled with what was answered, tried again or given up.

Owns the order (one notice at a time to each application, applications side by side, so that a dead one never delays the others) and the pace; what is
said, and how, is the Senders'. Each notice is claimed before it is sent, so that two workers do not send it twice, and a dead one's comes back.
Woken at once by whoever decided something in this process; looks by itself for what other processes decided.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

import structlog

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import LogoutSettings
from idp.errors import StoreUnavailable
from idp.store.base import Notice
from idp.store.database import Database
from idp.store.leases import Fenced, LeaseLost

LOOK_EVERY = timedelta(milliseconds=100)
PATIENCE = timedelta(seconds=1)
AT_A_LOOK = 50
APPLICATIONS_AT_ONCE = 64  # each that hangs keeps a thread until its timeout
Lane = tuple[str, str]  # kind and application
Observe = Callable[[str, timedelta], None]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one try. `failed`: to be tried again; `hopeless`: never again. `words`: what was answered, for certificates; no secret.
    `reason`: of what was not delivered."""

    outcome: Literal["delivered", "failed", "hopeless"]
    words: str
    reason: Reason = Reason.DELIVERY_FAILED


@dataclass(frozen=True, slots=True)
class Told:
    """The Events of a kind of notice."""

    delivered: EventType
    retried: EventType
    abandoned: EventType


class Sender(Protocol):
    """Sends the notices of one kind. Safe between threads."""

    told: Told

    def send(self, notice: Notice) -> Receipt:
        """Tell the application, once. What goes wrong there is a receipt; raises StoreUnavailable when the store does."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def unobserved(kind: str, took: timedelta) -> None:
    """Measure nothing."""


class Deliverer:
    """Sends what is due. One instance a worker. `run` for a thread of its own; or `run_once`, which waits for what it began."""

    def __init__(
        self,
        settings: LogoutSettings,
        database: Database | Fenced,
        senders: Mapping[str, Sender],
        clock: Clock,
        *,
        observe: Observe = unobserved,
    ) -> None:
        """`senders` by kind of notice; `observe` is told, of each notice of a departure that was delivered, how long after the decision."""
        self._settings = settings
        self._database = database
        self._senders = dict(senders)
        self._clock = clock
        self._observe = observe
        self._pool = ThreadPoolExecutor(max_workers=APPLICATIONS_AT_ONCE, thread_name_prefix="outbox")
        self._sending: dict[Lane, Future[int]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """Something may be due: look now. From any thread."""
        self._wake.set()

    def run(self, is_ours: Callable[[], bool], fail: Callable[[Exception], None]) -> None:
        """Go on until `stop`. Nothing is begun while `is_ours` says no; `fail` is told what broke, and it is tried again."""
        while not self._stopping.is_set():
            self._wake.wait(LOOK_EVERY.total_seconds())
            self._wake.clear()
            try:
                if is_ours() and not self._stopping.is_set():
                    self._begin()
                self._finish()
            except Exception as error:  # the edge of the thread: the outbox waits for us and for nobody else
                fail(error)
                self._stopping.wait(PATIENCE.total_seconds())

    def run_once(self) -> int:
        """Begin to send every notice that is due; how many were tried.

        Returns when that is done or after PATIENCE: an application that has not answered by then keeps its own thread, and only its own later
        notices wait for it. What goes wrong in a thread is raised here, by the call that finds it finished.
        """
        self._begin()
        wait(self._sending.values(), PATIENCE.total_seconds())
        return self._finish()

    def take_over(self) -> int:
        """Whoever delivered before is there no more: what they had claimed is due at once. How many."""
        with self._database.write() as tx:
            return tx.outbox.release_claims(self._clock.now())

    def stop(self) -> None:
        """Begin nothing more; `run` ends soon after."""
        self._stopping.set()
        self._wake.set()

    def close(self) -> None:
        """Wait for what is being sent, then let go."""
        self.stop()
        self._pool.shutdown()
        for sender in self._senders.values():
            sender.close()

    def _begin(self) -> None:
        now = self._clock.now()
        lanes: dict[Lane, list[Notice]] = {}
        with self._database.read() as tx:
            for kind in self._senders:
                busy = [client_id for one, client_id in self._sending if one == kind]
                due = tx.outbox.due(now, AT_A_LOOK, kind=kind, except_clients=busy)
                for notice in due:
                    lanes.setdefault((kind, notice.client_id), []).append(notice)
                if len(due) == AT_A_LOOK:
                    self._wake.set()  # there may be others behind
        for lane, notices in lanes.items():
            sending = self._pool.submit(self._send_all, notices)
            self._sending[lane] = sending
            sending.add_done_callback(lambda _: self._wake.set())

    def _finish(self) -> int:
        finished = [lane for lane, sending in self._sending.items() if sending.done()]
        return sum(sending.result() for sending in [self._sending.pop(lane) for lane in finished])

    def _send_all(self, notices: Sequence[Notice]) -> int:
        tried = 0
        for notice in notices:
            if self._stopping.is_set():
                break
            tried += self._send(notice)
        return tried

    def _send(self, notice: Notice) -> bool:
        with self._database.write() as tx:
            if not tx.outbox.claim(notice, self._clock.now() + self._settings.timeout * 4):
                return False
        sender = self._senders[notice.kind]
        try:
            receipt = sender.send(notice)
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as fault:
            # A fault of ours about one notice, at every try the same: it is tried again and given up like any other, and delays nobody.
            log.exception("notice_broken", notice=notice.id, kind=notice.kind, client=notice.client_id)
            receipt = Receipt("failed", type(fault).__name__)
        waits = self._settings.retries
        if receipt.outcome == "delivered":
            self._settle(notice, sender.told.delivered, receipt)
        elif receipt.outcome == "hopeless" or notice.attempts >= len(waits):
            self._settle(notice, sender.told.abandoned, receipt)
        else:
            self._settle(notice, sender.told.retried, receipt, wait=waits[notice.attempts])
        return True

    def _settle(self, notice: Notice, kind: EventType, receipt: Receipt, wait: timedelta | None = None) -> None:
        now = self._clock.now()
        is_delivered = kind is self._senders[notice.kind].told.delivered
        with self._database.write() as tx:
            if is_delivered:
                tx.outbox.delivered(notice.id, now, receipt.words)
            elif wait is not None:
                tx.outbox.postpone(notice.id, now + wait, receipt.words)
            else:
                tx.outbox.abandon(notice.id, now, receipt.words)
            tx.events.append(
                Event(
                    type=kind,
                    at=now,
                    actor="system",
                    origin=Origin(request_id=self._clock.new_code(10), address="local"),
                    reason=None if is_delivered else receipt.reason,
                    account_id=notice.account_id or None,  # what a stream says of itself is about nobody
                    client_id=notice.client_id,
                    session_id=notice.session_id,
                    details={"notice": notice.id, "attempt": notice.attempts + 1, "receipt": receipt.words},
                )
            )
        if is_delivered and notice.cut_id is not None:
            self._observe(notice.kind, now - notice.created_at)
