"""Somebody who listens to a directory in a thread of its own and keeps what was heard, for tests to wait for."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from connectors.base import ConnectorError, Heard, Watcher

PATIENCE_SECONDS = 40
PATIENCE_WITH_QUIET_SECONDS = 60


class Ears:
    """One `Watcher.listen`. `cursor` is the newest one heard."""

    def __init__(self, watcher: Watcher, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> None:
        self.cursor = cursor
        self._watcher = watcher
        self._known = known
        self._heard: queue.SimpleQueue[Heard | ConnectorError | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(cursor,))
        self._thread.start()

    def _run(self, cursor: bytes | None) -> None:
        try:
            for heard in self._watcher.listen(cursor, self._known):
                self._heard.put(heard)
            self._heard.put(None)
        except ConnectorError as error:
            self._heard.put(error)

    def next(self) -> Heard:
        """What comes next, "quiet" too. Raises what `listen` raised, and AssertionError when nothing comes or it has ended."""
        found = self._heard.get(timeout=PATIENCE_SECONDS)
        assert found is not None, "it listens no longer"
        if isinstance(found, ConnectorError):
            raise found
        self.cursor = found.cursor or self.cursor
        return found

    def word(self) -> Heard:
        """What comes next but "quiet". AssertionError when nothing else comes for long."""
        deadline = time.monotonic() + PATIENCE_WITH_QUIET_SECONDS
        while (heard := self.next()).kind == "quiet":
            assert time.monotonic() < deadline, "it hears nothing"
        return heard

    def words(self) -> Sequence[Heard]:
        """Everything up to the next "quiet"."""
        found: list[Heard] = []
        while (heard := self.next()).kind != "quiet":
            found.append(heard)
        return found

    def close(self) -> None:
        """Stop listening, and wait for it."""
        self._watcher.close()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it still listens"


@contextmanager
def listening(directory: Any, cursor: bytes | None = None, known: Sequence[str] = ()) -> Iterator[Ears]:
    """Listen to a directory for the length of the block; `known` are the lasting ids that we say we know."""
    watcher = directory.watcher()
    assert watcher is not None
    ears = Ears(watcher, cursor, lambda: iter(known))
    try:
        yield ears
    finally:
        ears.close()
