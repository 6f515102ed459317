"""WriterGate: one writer at a time on a SQLite file, among the threads of this process and among processes.

SQLite lets a second writer in by asking again after sleeps that grow to 100 ms, and whoever has just finished is back before a sleeper wakes: two
busy processes starve one another. Threads queue on a lock, processes on flock(2), asked every half millisecond; SQLite's own waiting stays behind
it for programs that are not ours. The kernel opens the gate of a process that dies.
"""

import fcntl
import os
import threading
import time
from pathlib import Path

from idp.errors import StoreUnavailable

PAUSE_SECONDS = 0.0005


class WriterGate:
    """The gate of one file, beside it; a process that forks must open its own afterwards."""

    def __init__(self, database: Path, timeout_seconds: float) -> None:
        self._database = database
        self._path = database.with_name(f"{database.name}-writer")
        self._timeout_seconds = timeout_seconds
        self._threads = threading.Lock()
        self._file: int | None = None

    def enter(self) -> None:
        """Wait for our turn. Raises StoreUnavailable when it does not come in time, or the folder refuses the gate's file."""
        if not self._threads.acquire(timeout=self._timeout_seconds):
            raise StoreUnavailable("store_unavailable", f"{self._path}: other threads write for longer than {self._timeout_seconds} s")
        try:
            if self._file is None:
                self._file = self._open()
            for _ in range(max(1, int(self._timeout_seconds / PAUSE_SECONDS))):
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(PAUSE_SECONDS)
                else:
                    return
        except OSError as error:
            self._threads.release()
            raise StoreUnavailable("store_unavailable", f"{self._path}: {error}") from error
        self._threads.release()
        raise StoreUnavailable("store_unavailable", f"{self._path}: another process writes for longer than {self._timeout_seconds} s")

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # As SQLite does with its own files beside the database: a command that root runs must not shut the server out.
        if os.geteuid() == 0 and self._database.exists():
            owner = self._database.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
        return file

    def leave(self) -> None:
        """Let the next one in."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
