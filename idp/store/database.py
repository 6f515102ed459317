"""The SQL database: engines, transactions, health. Repositories are reached through a Transaction.

SQLite: WAL, foreign keys, BEGIN IMMEDIATE for every write (a read-then-write transaction would fail at once when another writer came
between), and one writer at a time within the process, so that threads queue in order instead of polling the file. PostgreSQL uses the same
interface. Calls: the repositories of this room; called by every room above.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from idp.audit import Event
from idp.errors import StoreUnavailable
from idp.store.clients import Clients
from idp.store.establishments import Establishments
from idp.store.events import Events
from idp.store.grants import Grants
from idp.store.keys import SigningKeys
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
        self._writer = threading.Lock() if self.is_sqlite else nullcontext()
        if self.is_sqlite:
            self._reading = _sqlite_engine(url, "BEGIN", synchronous, busy_timeout_seconds, pool_size)
            self._writing = _sqlite_engine(url, "BEGIN IMMEDIATE", synchronous, busy_timeout_seconds, 1)
        else:
            self._reading = self._writing = create_engine(url, pool_size=pool_size, max_overflow=0, pool_pre_ping=True)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads, on one consistent snapshot."""
        with _translated(), self._reading.begin() as connection:
            yield Transaction(connection)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that may write; commits at the end, rolls back on any exception."""
        with self._writer, _translated(), self._writing.begin() as connection:
            tx = Transaction(connection)
            yield tx
        if self._on_events is not None and "events" in tx.__dict__:
            self._on_events(tx.events.appended)

    def ping(self) -> None:
        """Answer or raise StoreUnavailable."""
        with self.read() as tx:
            tx.connection.execute(text("SELECT 1"))

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations only."""
        return self._writing

    def close(self) -> None:
        """Close every connection."""
        self._reading.dispose()
        self._writing.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise StoreUnavailable("store_unavailable", str(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable("store_unavailable", str(error)) from error
        raise


def _sqlite_engine(url: str, begin: str, synchronous: str, busy_timeout_seconds: float, pool_size: int) -> Engine:
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=0, connect_args={"timeout": busy_timeout_seconds, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling would begin deferred transactions behind our back.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -16000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
