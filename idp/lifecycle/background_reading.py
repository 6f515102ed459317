"""A whole reading of a directory beside the listening: whoever is disabled meanwhile is cut at once all the same, however long the reading takes.

Owns the thread and how it is told to stop; what is read and written is reconcile.py's. One reading at a time.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import structlog

from idp.lifecycle.reconcile import Reconciler
from idp.lifecycle.runs import Report

STOPS_WITHIN_SECONDS = 5.0
log = structlog.get_logger(__name__)


class Interrupted(Exception):
    """A reading stops in the middle, because the worker does."""


class BackgroundReading:
    """Of one directory; used by one thread. `make` gives a Reconciler that is told when to stop; `is_ours`: whether this worker still holds the
    lease, as far as it knows."""

    def __init__(self, name: str, make: Callable[[Callable[[], None]], Reconciler], is_ours: Callable[[], bool]) -> None:
        self._make = make
        self._is_ours = is_ours
        self._stopping = threading.Event()
        self._name = name
        self._thread: threading.Thread | None = None
        self._reading: Future[Report] | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether it was begun, and its result was not taken yet."""
        return self._reading is not None

    def begin(self) -> None:
        """Begin; nothing when one is going on, or after `stop`."""
        if self._reading is not None or self._stopping.is_set():
            return
        self._reading = Future()
        # A daemon, which an executor's thread is not: one that does not stop must not keep the process from its end.
        self._thread = threading.Thread(target=self._run, args=(self._reading,), name=f"read-{self._name}", daemon=True)
        self._thread.start()

    def result(self) -> Report | None:
        """What it did, once it is done; None while it is not. Raises what `Reconciler.run` raises."""
        if self._reading is None or not self._reading.done():
            return None
        done, self._reading = self._reading, None
        return done.result()

    def stop(self, within_seconds: float | None = None) -> bool:
        """Stop it between two people, and wait for that, but not for ever; it cannot begin again. Whether nothing goes on any more.

        What does not stop, because the directory does not answer, writes nobody any more: it is refused before each transaction, and the run's own
        lease ends by itself.
        """
        self._stopping.set()
        if self._thread is None:
            return True
        patience = STOPS_WITHIN_SECONDS if within_seconds is None else within_seconds
        self._thread.join(patience)
        has_stopped = not self._thread.is_alive()
        if not has_stopped:
            log.error("reading_does_not_stop", connector=self._name, waited_seconds=patience)
        return has_stopped

    def _run(self, reading: "Future[Report]") -> None:
        try:
            report = self._make(self._refuse_to_go_on).run(_Unseen(self._refuse_to_go_on))
        except BaseException as error:
            # The edge of the thread: whoever asks for the result is told.
            reading.set_exception(error)
        else:
            reading.set_result(report)

    def _refuse_to_go_on(self) -> None:
        if self._stopping.is_set() or not self._is_ours():
            raise Interrupted


class _Unseen:
    """The progress of a reading that nobody sees."""

    is_watched = False

    def __init__(self, refuse_to_go_on: Callable[[], None]) -> None:
        self._refuse_to_go_on = refuse_to_go_on

    def begin(self, phase: str, total: int | None) -> None:
        """See Progress."""
        self._refuse_to_go_on()

    def advance(self, people: int) -> None:
        """See Progress."""
        self._refuse_to_go_on()
