"""The ephemeral store that the settings name, and the embedded one: SQLite in a file of its own, shared by every process of one host; never memory.

Holds what may be lost (interactions, counters). synchronous=OFF: a power cut loses sign-ins in progress and nothing else. Implements
idp.store.base.Ephemeral; the contract suite in tests/contracts runs on every implementation.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy.engine import make_url

from idp.clock import Clock
from idp.config import EphemeralSettings
from idp.errors import ConfigurationError, EphemeralUnavailable, StoreUnavailable
from idp.store.base import Ephemeral
from idp.store.gate import WriterGate

BUSY_SECONDS = 10.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_expiry ON entries (expires_at);
CREATE TABLE IF NOT EXISTS counters (
    kind TEXT NOT NULL, key TEXT NOT NULL, count INTEGER NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counters_expiry ON counters (expires_at);
"""


def open_ephemeral(settings: EphemeralSettings, clock: Clock, *, connections: int = 4) -> Ephemeral:
    """The store of `settings.url`; `connections` is how many threads may ask it at once."""
    if settings.is_embedded:
        return EmbeddedEphemeral(settings.url, clock)
    from idp.store.redis import RedisEphemeral  # a client that embedded deployments need not load

    return RedisEphemeral(settings, clock, connections=connections)


class EmbeddedEphemeral:
    """Each call is one statement, and so atomic between threads and processes."""

    def __init__(self, url: str, clock: Clock) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database:
            raise ConfigurationError("configuration_invalid", f"ephemeral.url: {url!r} is not sqlite:///<path>")
        self._clock = clock
        self._lock = threading.Lock()
        self._gate = WriterGate(Path(parsed.database), BUSY_SECONDS)
        try:
            self._connection = sqlite3.connect(parsed.database, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise EphemeralUnavailable("store_unavailable", f"{parsed.database}: {error}") from error

    def put(self, kind: str, key: str, value: bytes, ttl: timedelta) -> None:
        """See Ephemeral."""
        with self._writing() as cursor:
            cursor.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", (kind, key, value, self._at(ttl)))

    def add(self, kind: str, key: str, value: bytes, ttl: timedelta) -> bool:
        """See Ephemeral."""
        with self._writing() as cursor:
            cursor.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
                " WHERE expires_at <= ?",
                (kind, key, value, self._at(ttl), self._at()),
            )
            return cursor.rowcount == 1

    def get(self, kind: str, key: str) -> bytes | None:
        """See Ephemeral."""
        with self._cursor() as cursor:
            row = cursor.execute(
                "SELECT value FROM entries WHERE kind = ? AND key = ? AND expires_at > ?", (kind, key, self._at())
            ).fetchone()
            return row[0] if row else None

    def take(self, kind: str, key: str) -> bytes | None:
        """See Ephemeral."""
        with self._writing() as cursor:
            row = cursor.execute("DELETE FROM entries WHERE kind = ? AND key = ? RETURNING value, expires_at", (kind, key)).fetchone()
            return row[0] if row and row[1] > self._at() else None

    def touch(self, kind: str, key: str, ttl: timedelta) -> bool:
        """See Ephemeral."""
        with self._writing() as cursor:
            now = self._at()
            cursor.execute(
                "UPDATE entries SET expires_at = ? WHERE kind = ? AND key = ? AND expires_at > ?", (self._at(ttl), kind, key, now)
            )
            return cursor.rowcount == 1

    def count(self, kind: str, key: str, window: timedelta) -> int:
        """See Ephemeral."""
        with self._writing() as cursor:
            row = cursor.execute(
                "INSERT INTO counters VALUES (?1, ?2, 1, ?3) ON CONFLICT DO UPDATE SET"
                " count = CASE WHEN expires_at <= ?4 THEN 1 ELSE count + 1 END,"
                " expires_at = CASE WHEN expires_at <= ?4 THEN ?3 ELSE expires_at END RETURNING count",
                (kind, key, self._at(window), self._at()),
            ).fetchone()
            return int(row[0])

    def uncount(self, kind: str, key: str) -> None:
        """See Ephemeral."""
        with self._writing() as cursor:
            cursor.execute("UPDATE counters SET count = count - 1 WHERE kind = ? AND key = ? AND count > 0", (kind, key))

    def peek(self, kind: str, key: str) -> int:
        """See Ephemeral."""
        with self._cursor() as cursor:
            row = cursor.execute(
                "SELECT count FROM counters WHERE kind = ? AND key = ? AND expires_at > ?", (kind, key, self._at())
            ).fetchone()
            return int(row[0]) if row else 0

    def forget(self, kind: str, key: str) -> None:
        """See Ephemeral."""
        with self._writing() as cursor:
            cursor.execute("DELETE FROM entries WHERE kind = ? AND key = ?", (kind, key))
            cursor.execute("DELETE FROM counters WHERE kind = ? AND key = ?", (kind, key))

    def sweep(self) -> int:
        """See Ephemeral."""
        with self._writing() as cursor:
            deleted = cursor.execute("DELETE FROM entries WHERE expires_at <= ?", (self._at(),)).rowcount
            return deleted + cursor.execute("DELETE FROM counters WHERE expires_at <= ?", (self._at(),)).rowcount

    def ping(self) -> None:
        """See Ephemeral."""
        with self._cursor() as cursor:
            cursor.execute("SELECT 1 FROM entries LIMIT 1").fetchone()

    def warnings(self) -> tuple[str, ...]:
        """See Ephemeral."""
        return ()

    def close(self) -> None:
        """Close the files."""
        self._connection.close()
        self._gate.close()

    def _at(self, later: timedelta = timedelta(0)) -> int:
        return int((self._clock.now() + later).timestamp() * 1_000_000)

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        with self._lock:
            try:
                yield self._connection.cursor()
            except sqlite3.Error as error:
                raise EphemeralUnavailable("store_unavailable", f"ephemeral: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        try:
            self._gate.enter()
        except StoreUnavailable as error:
            raise EphemeralUnavailable(error.reason, error.detail) from error
        try:
            with self._cursor() as cursor:
                yield cursor
        finally:
            self._gate.leave()
