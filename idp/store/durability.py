"""Group commit for SQLite: what was answered survives a power cut, at one sync for all the transactions that wait for it.

In WAL mode a commit is whole and visible once its frames are in the log; it is durable once the log is synced. SQLite's own synchronous=FULL syncs
inside each commit, with the write lock held. Here the commit returns first, then the caller waits until a sync that began after it has ended:
requests that commit meanwhile share the next one. Nothing is answered before. SQLite takes no lock on the log file, so a descriptor of our own is
safe (its "How To Corrupt" section 2.2 is about the database file).
"""

import os
import threading
from pathlib import Path


class LogSync:
    """Syncs one database's write-ahead log. Safe between threads; other processes sync for themselves."""

    def __init__(self, database: Path) -> None:
        self._log = Path(f"{database}-wal")
        self._one_at_a_time = threading.Lock()
        self._counting = threading.Lock()
        self._next = 1
        self._done = 0
        self._descriptor: int | None = None

    def wait(self) -> None:
        """Return when everything this thread committed is on the disk. OSError when the disk refuses: what was committed may not last."""
        with self._counting:
            wanted = self._next  # a sync that has already begun may have missed our frames
        with self._one_at_a_time:
            if self._done >= wanted:
                return
            with self._counting:
                begun = self._next
                self._next += 1
            self._sync()
            self._done = begun

    def close(self) -> None:
        """Let go of the file."""
        with self._one_at_a_time:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _sync(self) -> None:
        try:
            os.fdatasync(self._opened())
        except FileNotFoundError:
            return  # no log: nothing was ever written to this database

    def _opened(self) -> int:
        """The log's descriptor, opened again when SQLite has made a new file (after the last connection closed)."""
        present = os.stat(self._log)
        if self._descriptor is not None:
            mine = os.fstat(self._descriptor)
            if (mine.st_ino, mine.st_dev) == (present.st_ino, present.st_dev):
                return self._descriptor
            os.close(self._descriptor)
            self._descriptor = None
        self._descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        return self._descriptor
