"""Guard: what stands before every source, so that one that hangs or is down takes nothing else with it.

Owns how many ask at once and when a source is left alone for a while (a circuit breaker); knows nothing of what is asked. A wrong password is an
answer, not a failure: only SourceUnreachable counts. Every connector passes through one.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta

from connectors.base import Clock, ConnectorError, SourceUnreachable

SLOT_WAIT = timedelta(seconds=1)
SLOW = timedelta(milliseconds=500)
LOOKUP_WAIT = timedelta(seconds=1)


class Guard:
    """Bounded concurrency and a breaker for one source in one process. Safe to share between threads.

    At a shift change sign-ins wait for one another for a moment. When somebody inside has been there for longer than `slow`, the source may be
    hanging: then nobody waits, so that its trouble holds as many threads of ours as it has slots and no more.

    Whoever may type at a sign-in page can fill every slot that sign-ins have. One is therefore kept for look-ups: a flood of sign-ins must not keep
    the source from saying that somebody is disabled.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        concurrency: int,
        failures: int,
        pause: timedelta,
        slot_wait: timedelta = SLOT_WAIT,
        lookup_wait: timedelta = LOOKUP_WAIT,
        slow: timedelta = SLOW,
    ) -> None:
        """At most `concurrency` at once, one fewer (but one) of them sign-ins; others wait `slot_wait`, look-ups `lookup_wait`. After `failures` in a
        row nobody asks for `pause`, then one tries. `slow`: longer than an answer usually takes."""
        self._name = name
        self._clock = clock
        self._concurrency = concurrency
        self._failures = failures
        self._pause = pause
        self._most_sign_ins = max(1, concurrency - 1)
        self._slot_wait = slot_wait
        self._lookup_wait = lookup_wait
        self._slow = slow
        self._room = threading.Condition()
        self._inside: dict[object, datetime] = {}  # since when
        self._signing_in = 0  # of those inside
        self._sign_ins: deque[object] = deque()  # waiting
        self._look_ups: deque[object] = deque()
        self._lock = threading.Lock()
        self._failed_in_a_row = 0
        self._paused_until: datetime | None = None
        self._asked_for_rest_until: datetime | None = None  # by the source itself; no answer that was under way shortens it
        self._trial: object | None = None  # whoever is trying the source again; others stay paused meanwhile

    @property
    def is_paused(self) -> bool:
        """Whether the source is being left alone now."""
        with self._lock:
            return self._paused_until is not None and self._clock.now() < self._paused_until

    def leave_alone(self, wait: timedelta) -> None:
        """The source asked to be left alone for that long (Retry-After): nobody asks until then."""
        with self._lock:
            until = self._clock.now() + wait
            self._paused_until = max(until, self._paused_until or until)
            self._asked_for_rest_until = max(until, self._asked_for_rest_until or until)

    def passage(self) -> AbstractContextManager[None]:
        """For what a stranger may cause, a sign-in: the block may ask the source. Raises SourceUnreachable (busy or paused) when it may not.

        What the block raises is seen: SourceUnreachable is a failure, any other answer of the family shows that the source lives.
        """
        return self._passage(sign_ins=1, wait=self._slot_wait)

    def lookup_passage(self) -> AbstractContextManager[None]:
        """For what we ask by ourselves (standing, a listing's page, an operator's question): every slot, and a longer wait. Raises as `passage`."""
        return self._passage(sign_ins=0, wait=self._lookup_wait)

    @contextmanager
    def _passage(self, *, sign_ins: int, wait: timedelta) -> Iterator[None]:
        token = object()
        self._refuse_if_paused(token)
        if not self._enter(token, sign_ins=sign_ins, wait=wait):
            self._forget_trial(token)
            raise SourceUnreachable(f"{self._name}: {self._concurrency} requests at once are all that it is asked", trouble="busy")
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
            self._leave(token, sign_ins)

    def _enter(self, token: object, *, sign_ins: int, wait: timedelta) -> bool:
        """Take a slot, each kind in the order of coming; False when there was none in time."""
        queue = self._sign_ins if sign_ins else self._look_ups

        def is_turn() -> bool:
            return queue[0] is token and len(self._inside) < self._concurrency and self._signing_in + sign_ins <= self._most_sign_ins

        with self._room:
            queue.append(token)
            if sign_ins and not is_turn() and any(self._clock.now() - since > self._slow for since in self._inside.values()):
                wait = timedelta(0)
            try:
                if not self._room.wait_for(is_turn, wait.total_seconds()):
                    return False
                self._inside[token] = self._clock.now()
                self._signing_in += sign_ins
                return True
            finally:
                queue.remove(token)
                self._room.notify_all()  # it may be the turn of who comes next

    def _leave(self, token: object, sign_ins: int) -> None:
        with self._room:
            del self._inside[token]
            self._signing_in -= sign_ins
            self._room.notify_all()

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
                until = self._clock.now() + self._pause
                self._paused_until = max(until, self._asked_for_rest_until or until)

    def _note_answer(self) -> None:
        with self._lock:
            self._failed_in_a_row = 0
            if self._asked_for_rest_until is not None and self._clock.now() < self._asked_for_rest_until:
                return
            self._paused_until = self._asked_for_rest_until = None

    def _forget_trial(self, token: object) -> None:
        with self._lock:
            if self._trial is token:
                self._trial = None
