"""The SQL database: engines, transactions, health. Repositories are reached through a Transaction.

SQLite: WAL, foreign keys, BEGIN IMMEDIATE for every write (a read-then-write transaction would fail at once when another writer came
between), and one writer at a time within the process, so that threads queue in order instead of polling the file. PostgreSQL uses the same
interface. Calls: the repositories of this room; called by every room above.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from idp.audit import Event
from idp.errors import StoreUnavailable
from idp.store.clients import Clients
from idp.store.durability import LogSync
from idp.store.establishments import Establishments
from idp.store.events import Events
from idp.store.grants import Grants
from idp.store.keys import SigningKeys
from idp.store.links import Links
from idp.store.outbox import Outbox
from idp.store.people import People
from idp.store.revisions import Revisions
from idp.store.sessions import Sessions
from idp.store.sweep import Sweep


class Transaction:
    """One SQL transaction and the repositories bound to it. Nothing is seen by others until it commits."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @cached_property
    def people(self) -> People:
        """Accounts, identifiers, passwords, attachments."""
        return People(self.connection)

    @cached_property
    def establishments(self) -> Establishments:
        """Establishments."""
        return Establishments(self.connection)

    @cached_property
    def clients(self) -> Clients:
        """Clients and consents."""
        return Clients(self.connection)

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions."""
        return Sessions(self.connection)

    @cached_property
    def grants(self) -> Grants:
        """Grants, codes, refresh tokens, spent identifiers."""
        return Grants(self.connection)

    @cached_property
    def links(self) -> Links:
        """Who Accounts are in directories, and whole readings of directories."""
        return Links(self.connection)

    @cached_property
    def outbox(self) -> Outbox:
        """Notices waiting to be sent."""
        return Outbox(self.connection)

    @cached_property
    def events(self) -> Events:
        """The audit trail."""
        return Events(self.connection)

    @cached_property
    def keys(self) -> SigningKeys:
        """Signing keys."""
        return SigningKeys(self.connection)

    @cached_property
    def revisions(self) -> Revisions:
        """Revision numbers of what processes keep in memory."""
        return Revisions(self.connection)

    @cached_property
    def sweep(self) -> Sweep:
        """Deleting what ended long ago."""
        return Sweep(self.connection)


class Database:
    """Opens transactions. `url` is a SQLAlchemy URL; safe to share between threads; build one per process.

    `on_events` is told the audit lines of a transaction once it has committed (metrics are counted from them); it must not raise.
    """

    def __init__(
        self,
        url: str,
        *,
        synchronous: Literal["normal", "full"],
        busy_timeout_seconds: float,
        pool_size: int,
        on_events: Callable[[Sequence[Event]], None] | None = None,
    ) -> None:
        self._on_events = on_events
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._engine = _sqlite_engine(url, busy_timeout_seconds)
        else:
            self._engine = create_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True, hide_parameters=True)
        driver = cast(Any, self._engine.dialect.loaded_dbapi)
        self._driver_errors: tuple[type[Exception], ...] = (driver.OperationalError, OperationalError, PoolTimeout)
        # SQLite says plain DatabaseError of a file that is broken or is none; what derives from it blames the statement.
        self._broken: frozenset[type[Exception]] = frozenset({driver.DatabaseError, DatabaseError})
        self._log = LogSync(Path(self.url.database or "")) if self.is_sqlite and synchronous == "full" else None
        self._writer = threading.Lock()
        self._idle: deque[Connection] = deque()

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads, on one consistent snapshot."""
        return _Held(self, "BEGIN", None) if self.is_sqlite else self._pooled()

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write; commits at the end, rolls back on any exception."""
        return _Held(self, "BEGIN IMMEDIATE", self._writer) if self.is_sqlite else self._pooled()

    @contextmanager
    def _pooled(self) -> Iterator[Transaction]:
        try:
            with self._engine.begin() as connection:
                tx = Transaction(connection)
                yield tx
        except self._driver_errors as error:
            raise StoreUnavailable("store_unavailable", str(error)) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreUnavailable("store_unavailable", str(error)) from error
            raise
        self.committed(tx)

    def committed(self, tx: Transaction) -> None:
        """Tell whoever listens what a transaction recorded."""
        if self._on_events is not None and "events" in tx.__dict__:
            self._on_events(tx.events.appended)

    def make_durable(self) -> None:
        """Wait until what was committed would survive a power cut; StoreUnavailable when the disk refuses."""
        if self._log is not None:
            try:
                self._log.wait()
            except OSError as error:
                raise StoreUnavailable("store_unavailable", f"the log cannot be synced: {error}") from error

    def take(self) -> Connection:
        """An idle connection, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that is between transactions."""
        self._idle.append(connection)

    def is_driver_error(self, error: BaseException | None) -> bool:
        """Whether the store itself failed, as opposed to what was asked of it."""
        return isinstance(error, self._driver_errors) or type(error) in self._broken

    def ping(self) -> None:
        """Answer or raise StoreUnavailable."""
        with self.read() as tx:
            tx.connection.execute(text("SELECT 1"))

    @property
    def engine(self) -> Engine:
        """The engine, for migrations only."""
        return self._engine

    def close(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.pop().close()
        self._engine.dispose()
        if self._log is not None:
            self._log.close()


class _Held:
    """One SQLite transaction on a connection of ours, begun and ended on the driver itself.

    A pool that resets, and the events through which SQLAlchemy would let us say BEGIN IMMEDIATE, cost more than the transaction does.
    """

    __slots__ = ("_begin", "_connection", "_database", "_driver", "_lock", "_tx")

    def __init__(self, database: Database, begin: str, lock: "threading.Lock | None") -> None:
        self._database = database
        self._begin = begin
        self._lock = lock

    def __enter__(self) -> Transaction:
        if self._lock is not None:
            self._lock.acquire()
        connection: Connection | None = None
        try:
            self._connection = connection = self._database.take()
            self._driver = cast(Any, connection.connection.driver_connection)
            self._driver.execute(self._begin)
        except Exception as error:
            if connection is not None:
                connection.close()
            if self._lock is not None:
                self._lock.release()
            if self._database.is_driver_error(error):
                raise StoreUnavailable("store_unavailable", str(error)) from error
            raise
        self._tx = Transaction(self._connection)
        return self._tx

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._driver.execute("COMMIT")
                self._database.give_back(self._connection)
            elif self._database.is_driver_error(error):
                # The file may be gone or broken: the next transaction opens it anew.
                self._connection.close()
            else:
                self._driver.execute("ROLLBACK")
                self._database.give_back(self._connection)
        except Exception as failure:
            self._connection.close()
            if self._database.is_driver_error(failure):
                raise StoreUnavailable("store_unavailable", str(failure)) from failure
            raise
        finally:
            if self._lock is not None:
                self._lock.release()
        if kind is None:
            if self._lock is not None:
                self._database.make_durable()
            self._database.committed(self._tx)
        elif self._database.is_driver_error(error):
            raise StoreUnavailable("store_unavailable", str(error)) from error


def _sqlite_engine(url: str, busy_timeout_seconds: float) -> Engine:
    arguments = {"timeout": busy_timeout_seconds, "check_same_thread": False, "isolation_level": None, "cached_statements": 256}
    # hide_parameters: an error's text goes to the log, and a statement's values are what people typed.
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")  # durability.py syncs the log, many commits at a time
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -16000")
        cursor.close()

    return engine
