"""Guard: what stands before every source, so that one that hangs or is down takes nothing else with it.

Owns how many ask at once and when a source is left alone for a while (a circuit breaker); knows nothing of what is asked. A wrong password is an
answer, not a failure: only SourceUnreachable counts. Every connector passes through one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from connectors.base import Clock, ConnectorError, SourceUnreachable

SLOT_WAIT = timedelta(milliseconds=250)


class Guard:
    """Bounded concurrency and a breaker for one source in one process. Safe to share between threads."""

    def __init__(
        self, name: str, clock: Clock, *, concurrency: int, failures: int, pause: timedelta, slot_wait: timedelta = SLOT_WAIT
    ) -> None:
        """At most `concurrency` at once, others wait `slot_wait`; after `failures` in a row nobody asks for `pause`, then one tries."""
        self._name = name
        self._clock = clock
        self._concurrency = concurrency
        self._failures = failures
        self._pause = pause
        self._slot_wait = slot_wait
        self._slots = threading.BoundedSemaphore(concurrency)
        self._lock = threading.Lock()
        self._failed_in_a_row = 0
        self._paused_until: datetime | None = None
        self._trial: object | None = None  # whoever is trying the source again; others stay paused meanwhile

    @property
    def is_paused(self) -> bool:
        """Whether the source is being left alone now."""
        with self._lock:
            return self._paused_until is not None and self._clock.now() < self._paused_until

    @contextmanager
    def passage(self) -> Iterator[None]:
        """The block may ask the source. Raises SourceUnreachable (busy or paused) at once when it may not.

        What the block raises is seen: SourceUnreachable is a failure, any other answer of the family shows that the source lives.
        """
        token = object()
        self._refuse_if_paused(token)
        if not self._slots.acquire(timeout=self._slot_wait.total_seconds()):
            self._forget_trial(token)
            raise SourceUnreachable(f"{self._name}: {self._concurrency} requests are waiting for it already", trouble="busy")
        try:
            self._refuse_if_paused(token)  # it may have been given up while we waited for a slot
            try:
                yield
            except SourceUnreachable:
                self._note_failure(token)
                raise
            except ConnectorError:
                self._note_answer()
                raise
            else:
                self._note_answer()
        finally:
            self._forget_trial(token)
            self._slots.release()

    def _refuse_if_paused(self, token: object) -> None:
        with self._lock:
            if self._paused_until is None or self._trial is token:
                return
            if self._trial is None and self._clock.now() >= self._paused_until:
                self._trial = token
                return
            until = self._paused_until
        raise SourceUnreachable(f"{self._name}: left alone until {until:%H:%M:%S} UTC after failing", trouble="paused")

    def _note_failure(self, token: object) -> None:
        with self._lock:
            self._failed_in_a_row += 1
            # Failures of requests that were under way when the pause began do not make it longer.
            if self._trial is token or (self._paused_until is None and self._failed_in_a_row >= self._failures):
                self._paused_until = self._clock.now() + self._pause

    def _note_answer(self) -> None:
        with self._lock:
            self._failed_in_a_row = 0
            self._paused_until = None

    def _forget_trial(self, token: object) -> None:
        with self._lock:
            if self._trial is token:
                self._trial = None
