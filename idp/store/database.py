"""The SQL database: engines, transactions, health. Repositories are reached through a Transaction.

SQLite: WAL, foreign keys, BEGIN IMMEDIATE for every write (a read-then-write transaction would fail at once when another writer came
between), and one writer at a time (gate.py), so that threads and processes queue instead of sleeping on its lock. PostgreSQL (postgresql.py): a
read is one snapshot; a write sees what is committed at each statement, so that whoever decides on a person holds the account first (People.hold),
and whoever changes what all share takes it by name (Transaction.lock). Calls: the repositories of this room; called by every room above.
"""

import hashlib
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from idp.audit import Event
from idp.config import DatabaseSettings
from idp.errors import StoreUnavailable
from idp.store.alert_sums import AlertSums
from idp.store.canary import Canaries
from idp.store.chain import Pens
from idp.store.clients import Clients
from idp.store.cuts import Cuts
from idp.store.devices import Devices
from idp.store.durability import LogSync
from idp.store.establishments import Establishments
from idp.store.events import Events
from idp.store.factors import Factors, Passes, RecoveryCodes, Roles
from idp.store.figures import Figures
from idp.store.gate import WriterGate
from idp.store.grants import Grants
from idp.store.keys import SigningKeys
from idp.store.leases import Leases
from idp.store.links import Links
from idp.store.locks import Locks
from idp.store.means import MeansOfProof
from idp.store.merges import Merges
from idp.store.messages import Messages
from idp.store.outbox import Outbox
from idp.store.people import People
from idp.store.resets import Resets
from idp.store.revisions import Revisions
from idp.store.scim import Scim
from idp.store.seals import Seals
from idp.store.search import Search
from idp.store.sessions import Sessions
from idp.store.signals import Signals
from idp.store.sweep import Sweep
from idp.store.trail import Trail
from idp.store.watches import Watches
from idp.store.zones import Workstations, Zones

WAL_PAUSE_SECONDS = 0.01

if TYPE_CHECKING:
    # A driver that SQLite deployments need not load: a third of the time to their first answer.
    from idp.store.postgresql import Kind, Patience, Pool


class Transaction:
    """One SQL transaction and the repositories bound to it. Nothing is seen by others until it commits."""

    def __init__(self, connection: Connection, pens: Pens | None = None) -> None:
        self.connection = connection
        self._pens = pens

    def kept(self) -> None:
        """It has committed: what it wrote to the audit trail is the head of a chain."""
        if "events" in self.__dict__:
            self.events.kept()

    def undone(self) -> None:
        """It has been rolled back. Neither is said of one that may have committed or not."""
        if "events" in self.__dict__:
            self.events.undone()

    def lock(self, name: str) -> None:
        """Be alone with something that all share, until the transaction ends: `registry`, `keys`, `migration`. Before any `People.hold`."""
        self._advise("pg_advisory_xact_lock", name)

    def share(self, name: str) -> None:
        """Keep whoever would `lock` the same name waiting until the transaction ends; others may share it."""
        self._advise("pg_advisory_xact_lock_shared", name)

    def take_time(self) -> None:
        """No limit on how long this transaction's statements and waits last: for migrations."""
        if not self._is_sqlite:
            driver = cast(Any, self.connection.connection.driver_connection)
            driver.patience_seconds = None
            driver.execute("SET LOCAL statement_timeout = 0")
            driver.execute("SET LOCAL lock_timeout = 0")

    def _advise(self, function: str, name: str) -> None:
        # SQLite has one writer at a time: every write transaction is alone with everything.
        if not self._is_sqlite:
            key = int.from_bytes(hashlib.sha256(f"vestibule {name}".encode()).digest()[:8], signed=True)
            driver = cast(Any, self.connection.connection.driver_connection)
            driver.execute(f"SELECT {function}(%s)", (key,))

    @property
    def _is_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"

    @cached_property
    def people(self) -> People:
        """Accounts, identifiers, passwords, attachments."""
        return People(self.connection)

    @cached_property
    def search(self) -> Search:
        """Looking people up."""
        return Search(self.connection)

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
    def canary(self) -> Canaries:
        """Runs of the canary."""
        return Canaries(self.connection)

    @cached_property
    def cuts(self) -> Cuts:
        """Access taken from people."""
        return Cuts(self.connection)

    @cached_property
    def watches(self) -> Watches:
        """How far directories were listened to."""
        return Watches(self.connection)

    @cached_property
    def signals(self) -> Signals:
        """Shared Signals streams and their subjects."""
        return Signals(self.connection)

    @cached_property
    def scim(self) -> Scim:
        """What sources write to us themselves."""
        return Scim(self.connection)

    @cached_property
    def devices(self) -> Devices:
        """Browsers in which people have signed in."""
        return Devices(self.connection)

    @cached_property
    def means(self) -> MeansOfProof:
        """With what accounts can prove more than a password."""
        return MeansOfProof(self.connection)

    @cached_property
    def links(self) -> Links:
        """Who Accounts are in directories, and whole readings of directories."""
        return Links(self.connection)

    @cached_property
    def leases(self) -> Leases:
        """Who does what only one may do at a time."""
        return Leases(self.connection)

    @cached_property
    def outbox(self) -> Outbox:
        """Notices waiting to be sent."""
        return Outbox(self.connection)

    @cached_property
    def messages(self) -> Messages:
        """What people are to be told by SMS or e-mail."""
        return Messages(self.connection)

    @cached_property
    def events(self) -> Events:
        """The audit trail."""
        return Events(self.connection, self._pens)

    @cached_property
    def figures(self) -> Figures:
        """What the audit trail counts to."""
        return Figures(self.connection)

    @cached_property
    def trail(self) -> Trail:
        """The audit trail as it is stored: to verify, seal, stream and purge it."""
        return Trail(self.connection)

    @cached_property
    def seals(self) -> Seals:
        """Seals of the audit trail, records of its purges, and how far its streams are."""
        return Seals(self.connection)

    @cached_property
    def alert_sums(self) -> AlertSums:
        """What alerts have counted and not told yet."""
        return AlertSums(self.connection)

    @cached_property
    def keys(self) -> SigningKeys:
        """Signing keys."""
        return SigningKeys(self.connection)

    @cached_property
    def revisions(self) -> Revisions:
        """Revision numbers of what processes keep in memory."""
        return Revisions(self.connection)

    @cached_property
    def factors(self) -> Factors:
        """Enrolled second proofs."""
        return Factors(self.connection)

    @cached_property
    def recovery_codes(self) -> RecoveryCodes:
        """Recovery codes."""
        return RecoveryCodes(self.connection)

    @cached_property
    def passes(self) -> Passes:
        """One-time passes."""
        return Passes(self.connection)

    @cached_property
    def merges(self) -> Merges:
        """Accounts that were found to be one person."""
        return Merges(self.connection)

    @cached_property
    def locks(self) -> Locks:
        """Identifiers closed until an operator opens them."""
        return Locks(self.connection)

    @cached_property
    def resets(self) -> Resets:
        """Gated acts on people's means of sign-in."""
        return Resets(self.connection)

    @cached_property
    def roles(self) -> Roles:
        """Who administers what."""
        return Roles(self.connection)

    @cached_property
    def zones(self) -> Zones:
        """Places of establishments on the network."""
        return Zones(self.connection)

    @cached_property
    def workstations(self) -> Workstations:
        """Enrolled machines."""
        return Workstations(self.connection)

    @cached_property
    def sweep(self) -> Sweep:
        """Deleting what ended long ago."""
        return Sweep(self.connection)


class Database:
    """Opens transactions. `url` is sqlite:///path or what libpq reads; safe to share between threads; build one per process.

    `pens` write the audit trail; without them nothing can be written to it, which is enough to look. `on_events` is told the audit lines of a
    transaction once it has committed (metrics are counted from them); it must not raise.
    """

    def __init__(
        self,
        url: str,
        *,
        synchronous: Literal["normal", "full"],
        busy_timeout_seconds: float,
        pool_size: int,
        password: str | None = None,
        patience: "Patience | None" = None,
        pens: Pens | None = None,
        on_events: Callable[[Sequence[Event]], None] | None = None,
    ) -> None:
        self.pens = pens
        self._on_events = on_events
        self.is_sqlite = url.startswith("sqlite:")
        self._pool: Pool | None = None
        self._log: LogSync | None = None
        if self.is_sqlite:
            self._engine = _sqlite_engine(url, busy_timeout_seconds)
            driver = cast(Any, self._engine.dialect.loaded_dbapi)
            self._driver_errors: tuple[type[Exception], ...] = (driver.OperationalError, OperationalError)
            # SQLite says plain DatabaseError of a file that is broken or is none; what derives from it blames the statement.
            self._broken: frozenset[type[Exception]] = frozenset({driver.DatabaseError, DatabaseError})
            if synchronous == "full":
                self._log = LogSync(Path(make_url(url).database or ""))
        else:
            self._pool = _open_pool(url, password, size=pool_size, patience=patience, busy_timeout_seconds=busy_timeout_seconds)
            self._engine = self._pool.engine
        self._gate = WriterGate(Path(make_url(url).database or ""), busy_timeout_seconds) if self.is_sqlite else None
        self._idle: deque[Connection] = deque()

    @classmethod
    def of(
        cls,
        settings: DatabaseSettings,
        *,
        pool_size: int,
        pens: Pens | None = None,
        on_events: Callable[[Sequence[Event]], None] | None = None,
    ) -> "Database":
        """The database of a configuration; connects at first use. `pool_size` bounds the connections to a PostgreSQL server."""
        patience = None
        if not settings.is_embedded:
            from idp.store.postgresql import Patience

            patience = Patience(
                connect=settings.connect_timeout,
                lock=settings.busy_timeout,
                statement=settings.statement_timeout,
                idle=settings.idle_in_transaction_timeout,
            )
        return cls(
            settings.url,
            synchronous=settings.sqlite_synchronous,
            busy_timeout_seconds=settings.busy_timeout.total_seconds(),
            pool_size=pool_size,
            password=settings.password,
            patience=patience,
            pens=pens,
            on_events=on_events,
        )

    def read(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads, on one consistent snapshot."""
        return _Pooled(self, self._pool, "read") if self._pool is not None else _Held(self, "BEGIN", None)

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that may write; commits at the end, rolls back on any exception."""
        return _Pooled(self, self._pool, "write") if self._pool is not None else _Held(self, "BEGIN IMMEDIATE", self._gate)

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
        """An idle connection to the SQLite file, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that is between transactions."""
        self._idle.append(connection)

    def is_driver_error(self, error: BaseException | None) -> bool:
        """Whether the SQLite file itself failed, as opposed to what was asked of it."""
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
        if self._pool is not None:
            self._pool.close()
        self._engine.dispose()
        if self._gate is not None:
            self._gate.close()
        if self._log is not None:
            self._log.close()


class _Pooled:
    """One PostgreSQL transaction on a connection of the pool, begun and ended on the driver itself."""

    __slots__ = ("_connection", "_database", "_kind", "_pool", "_tx")

    def __init__(self, database: Database, pool: "Pool", kind: "Kind") -> None:
        self._database = database
        self._pool = pool
        self._kind: Kind = kind

    def __enter__(self) -> Transaction:
        self._connection = self._pool.begin(self._kind)
        self._tx = Transaction(self._connection, self._database.pens if self._kind == "write" else None)
        return self._tx

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        away = self._pool.unavailable(error)
        if away is not None:
            # The server may be gone, deaf or read-only by now: the next transaction asks anew.
            self._pool.discard(self._connection)
            self._tx.undone()
            raise away from error
        if error is not None:
            # Whether or not the server hears of it, it is not going to commit.
            self._tx.undone()
        is_done = self._pool.end(self._connection, commits=error is None)
        if error is None:
            (self._tx.kept if is_done else self._tx.undone)()
        if error is None and not is_done:
            # COMMIT would have rolled back without a word: somebody caught the error of a statement and went on.
            raise RuntimeError("a transaction went on after one of its statements had failed")
        if error is None:
            self._database.committed(self._tx)


class _Held:
    """One SQLite transaction on a connection of ours, begun and ended on the driver itself.

    A pool that resets, and the events through which SQLAlchemy would let us say BEGIN IMMEDIATE, cost more than the transaction does.
    """

    __slots__ = ("_begin", "_connection", "_database", "_driver", "_gate", "_tx")

    def __init__(self, database: Database, begin: str, gate: WriterGate | None) -> None:
        self._database = database
        self._begin = begin
        self._gate = gate

    def __enter__(self) -> Transaction:
        if self._gate is not None:
            self._gate.enter()
        connection: Connection | None = None
        try:
            self._connection = connection = self._database.take()
            self._driver = cast(Any, connection.connection.driver_connection)
            self._driver.execute(self._begin)
        except Exception as error:
            if connection is not None:
                connection.close()
            if self._gate is not None:
                self._gate.leave()
            if self._database.is_driver_error(error):
                raise StoreUnavailable("store_unavailable", str(error)) from error
            raise
        self._tx = Transaction(self._connection, self._database.pens if self._gate is not None else None)
        return self._tx

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._driver.execute("COMMIT")
                self._database.give_back(self._connection)
                self._tx.kept()  # before the gate opens: with one writer at a time, one pen writes all that a process writes
            elif self._database.is_driver_error(error):
                # The file may be gone or broken: the next transaction opens it anew.
                self._connection.close()
                self._tx.undone()
            else:
                self._driver.execute("ROLLBACK")
                self._database.give_back(self._connection)
                self._tx.undone()
        except Exception as failure:
            self._connection.close()
            if self._database.is_driver_error(failure):
                raise StoreUnavailable("store_unavailable", str(failure)) from failure
            raise
        finally:
            if self._gate is not None:
                self._gate.leave()
        if kind is None:
            if self._gate is not None:
                self._database.make_durable()
            self._database.committed(self._tx)
        elif self._database.is_driver_error(error):
            raise StoreUnavailable("store_unavailable", str(error)) from error


def _open_pool(url: str, password: str | None, *, size: int, patience: "Patience | None", busy_timeout_seconds: float) -> "Pool":
    from idp.store.postgresql import Patience, Pool

    return Pool(url, password=password, size=size, patience=patience or Patience(lock=timedelta(seconds=busy_timeout_seconds)))


def _sqlite_engine(url: str, busy_timeout_seconds: float) -> Engine:
    arguments = {"timeout": busy_timeout_seconds, "check_same_thread": False, "isolation_level": None, "cached_statements": 256}
    # hide_parameters: an error's text goes to the log, and a statement's values are what people typed.
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        _use_wal(cursor, patience_seconds=busy_timeout_seconds)
        cursor.execute("PRAGMA synchronous = NORMAL")  # durability.py syncs the log, many commits at a time
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -16000")
        cursor.close()

    return engine


def _use_wal(cursor: sqlite3.Cursor, *, patience_seconds: float) -> None:
    """The mode of the file, kept in it. Two processes that open a new file at once: the change asks for it alone, and does not wait by itself."""
    for left in reversed(range(max(1, int(patience_seconds / WAL_PAUSE_SECONDS)))):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if left == 0 or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            sleep(WAL_PAUSE_SECONDS)
        else:
            return
