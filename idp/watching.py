"""The worker's threads that nothing else may delay: one listens to each directory, one tells the applications.

Each is kept going: what breaks is logged, counted, written down beside the directory, and begun again after 1, 2, 4 ... 30 s. Nothing is done while
another host holds the lease; whoever lost it is refused at its next write and stops (idp/store/leases.py). Calls lifecycle/watch.py and
oauth/delivery.py; idp/work.py starts and stops it.
"""

import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from connectors.base import SourceMisbehaved, SourceUnreachable
from idp.errors import VestibuleError
from idp.lifecycle.watch import Watch
from idp.store.leases import LeaseLost

if TYPE_CHECKING:
    from idp.oauth.delivery import Deliverer
    from idp.telemetry import Metrics

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
STANDBY_SECONDS = 0.1
STOPS_WITHIN_SECONDS = 10.0
log = structlog.get_logger(__name__)


class Watching:
    """The threads. Start and stop from one thread, once."""

    def __init__(self, watches: Sequence[Watch], deliverer: "Deliverer", *, is_ours: Callable[[], bool], metrics: "Metrics") -> None:
        """`is_ours`: whether this worker holds the lease, as far as it knows."""
        self._watches = tuple(watches)
        self._deliverer = deliverer
        self._is_ours = is_ours
        self._metrics = metrics
        self._stopping = threading.Event()
        self._listeners = [threading.Thread(target=self._keep, args=(watch,), name=f"watch-{watch.name}", daemon=True) for watch in watches]
        self._teller = threading.Thread(
            target=deliverer.run, args=(lambda: self._is_ours(), self._delivery_failed), name="deliver", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        for thread in (*self._listeners, self._teller):
            thread.start()

    def is_alive(self) -> bool:
        """Whether every thread goes on: true of those that were not started, and of a directory that does not answer."""
        return all(thread.is_alive() for thread in (*self._listeners, self._teller) if thread.ident is not None)

    def stop(self) -> None:
        """First nobody decides any more, then nobody is told any more; what is being sent is waited for (Deliverer.close)."""
        self._stopping.set()
        for watch in self._watches:
            watch.close()
        for thread in self._listeners:
            if thread.ident is not None:
                thread.join(STOPS_WITHIN_SECONDS)
        for watch in self._watches:
            watch.release()
        self._deliverer.stop()
        if self._teller.ident is not None:
            self._teller.join(STOPS_WITHIN_SECONDS)

    def _keep(self, watch: Watch) -> None:
        wait = FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            if not self._is_ours():
                wait = FIRST_WAIT_SECONDS
                self._stopping.wait(STANDBY_SECONDS)
                continue
            began = perf_counter()
            trouble = self._listen(watch)
            if trouble:
                self._note(watch, trouble)
                if perf_counter() - began > LONGEST_WAIT_SECONDS:
                    wait = FIRST_WAIT_SECONDS
                self._stopping.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            else:
                self._stopping.wait(STANDBY_SECONDS)  # we may be told a moment later that the lease is another's

    def _note(self, watch: Watch, trouble: str) -> None:
        try:
            watch.fail(trouble)
        except Exception:
            # Saying why it does not listen must not keep it from listening again.
            log.exception("watch_trouble_not_noted", connector=watch.name)
            self._metrics.count_failure("watch")

    def _listen(self, watch: Watch) -> str:
        """Until it ends; why it did, "" when it was to end."""
        try:
            watch.run()
        except LeaseLost:
            return ""
        except SourceUnreachable as away:
            log.warning("watch_unreachable", connector=watch.name, trouble=away.trouble, detail=away.detail)
            return f"{away.trouble}: {away.detail}"
        except SourceMisbehaved as wrong:
            log.error("watch_misbehaved", connector=watch.name, detail=wrong.detail)
            return wrong.detail or "misbehaved"
        except VestibuleError as error:
            log.error("watch_failed", connector=watch.name, reason=error.reason, detail=error.detail)
            self._metrics.count_failure("watch")
            return error.detail or str(error.reason)
        except Exception:
            # The edge of the thread: it begins again.
            log.exception("watch_broken", connector=watch.name)
            self._metrics.count_failure("watch")
            return "broken: the log says how"
        return ""

    def _delivery_failed(self, error: Exception) -> None:
        if isinstance(error, LeaseLost):
            return
        self._metrics.count_failure("deliver")
        log.error("job_failed", job="deliver", exc_info=error)
