"""PostgreSQL: connections, how long they are waited for, and which of its errors mean that it is away.

Owns a small pool over psycopg, bounded by the number of threads; transactions are begun and ended by database.py. A server may be refused, stopped,
hung, read-only, full or at its limit: all of it is told apart from what is wrong with a statement. libpq reads the URL: its options are its own.
"""

import math
import threading
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from idp.errors import StoreUnavailable

Kind = Literal["read", "write"]
RV = TypeVar("RV")

BEGIN = {
    # One snapshot for everything a page shows; nothing is written by accident.
    "read": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # Each statement sees what is committed: rows are held first (People.hold), then looked at.
    "write": "BEGIN ISOLATION LEVEL READ COMMITTED",
}
SILENCE = timedelta(seconds=1)  # past statement_timeout the server itself would have said no
CONFLICTS = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected: the same again may well pass
# Not OperationalError in psycopg's eyes, and yet nothing is wrong with what was asked: read-only (a standby, a full disk), ended while idle,
# no tables yet, broken pages.
AWAY = frozenset({"25006", "25P03", "25P04", "42P01", "XX001", "XX002"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the server is waited for; see idp.config.DatabaseSettings."""

    connect: timedelta = timedelta(seconds=3)
    lock: timedelta = timedelta(seconds=10)
    statement: timedelta = timedelta(seconds=12)
    idle: timedelta = timedelta(seconds=30)


class PatientConnection(psycopg.Connection[Any]):
    """A connection on which no answer is waited for longer than `patience_seconds` (None: as long as it takes): a hung server still acknowledges
    what is sent to it, so that neither its own timeouts nor TCP's would ever end the wait."""

    patience_seconds: float | None = None

    def wait(self, gen: Generator[Any, Any, RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """See psycopg; OperationalError when the patience is over."""
        return super().wait(gen, interval, self.patience_seconds if timeout is None else timeout)


class Text(StrDumperUnknown):
    """Text on its way to the server, which can hold no NUL. Strangers send some; what they name by it is not there, as on SQLite.

    U+FFFD is in no identifier, slug, client_id or digest of ours, so that nothing is found by it either.
    """

    def dump(self, obj: str) -> Buffer | None:
        """See psycopg."""
        return super().dump(obj.replace("\x00", "\ufffd"))


class Pool:
    """Connections to one server, opened when needed, kept between transactions. Safe between threads.

    At most `size` threads are in a transaction at once. A thread that is in one already is never kept waiting for another (the keys, read again
    while a token is made): those who have all the connections may be waiting for the very rows that it holds.
    """

    def __init__(self, url: str, *, password: str | None, size: int, patience: Patience) -> None:
        self._conninfo = _conninfo(url, password, patience)
        self._patience = patience
        self._slots = threading.BoundedSemaphore(size)
        self._mine = threading.local()
        self._idle: deque[Connection] = deque()
        # The URL is libpq's to read: SQLAlchemy knows neither several hosts nor its options. hstore would cost a query for each connection.
        self.engine = create_engine(
            "postgresql+psycopg://",
            creator=self._open,
            poolclass=NullPool,
            pool_reset_on_return=None,
            hide_parameters=True,
            use_native_hstore=False,
        )

    def begin(self, kind: Kind) -> Connection:
        """A connection in a new transaction; StoreUnavailable when there is none to be had."""
        self._enter()
        try:
            return self._begun(kind)
        except BaseException as error:
            self._leave()
            if isinstance(error, psycopg.Error | DBAPIError):
                raise StoreUnavailable("store_unavailable", _first_line(error)) from error
            raise

    def end(self, connection: Connection, *, commits: bool) -> bool:
        """End a transaction and keep its connection; False when it could only be rolled back. StoreUnavailable when it is not known to be done."""
        if connection.invalidated:  # SQLAlchemy has seen it lost, and has let go of the driver's
            self.discard(connection)
            raise StoreUnavailable("store_unavailable", "the connection to the database was lost")
        driver: Any = connection.connection.driver_connection
        is_good = commits and driver.info.transaction_status != TransactionStatus.INERROR
        try:
            driver.execute("COMMIT" if is_good else "ROLLBACK")
        except BaseException as failure:
            self.discard(connection)
            if (away := self.unavailable(failure)) is not None:
                raise away from failure
            raise
        self._idle.append(connection)
        self._leave()
        return is_good

    def discard(self, connection: Connection) -> None:
        """Close a connection that may be in any state."""
        _close(connection)
        self._leave()

    def discard_idle(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            _close(self._idle.pop())

    def close(self) -> None:
        """Close every connection."""
        self.discard_idle()
        self.engine.dispose()

    @staticmethod
    def unavailable(error: BaseException | None) -> StoreUnavailable | None:
        """What to raise when an error is the server's and not the statement's; None when the statement is to blame."""
        if isinstance(error, DBAPIError):
            error = error.orig
        if not isinstance(error, psycopg.Error):
            return None
        if error.sqlstate in CONFLICTS:
            return StoreUnavailable("store_conflict", _first_line(error))
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or error.sqlstate in AWAY:
            return StoreUnavailable("store_unavailable", _first_line(error))
        return None

    def _enter(self) -> None:
        depth: int = getattr(self._mine, "depth", 0)
        if depth == 0 and not self._slots.acquire(timeout=self._patience.lock.total_seconds()):
            raise StoreUnavailable("store_unavailable", "every connection to the database stayed in use")
        self._mine.depth = depth + 1

    def _leave(self) -> None:
        self._mine.depth -= 1
        if self._mine.depth == 0:
            self._slots.release()

    def _begun(self, kind: Kind) -> Connection:
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._fresh(kind)
        try:
            self._say_begin(kept, kind)
        except psycopg.Error:
            # The server went away since, and perhaps came back, here or elsewhere. The others have lost it too.
            _close(kept)
            self.discard_idle()
            return self._fresh(kind)
        return kept

    def _fresh(self, kind: Kind) -> Connection:
        connection = self.engine.connect()
        try:
            self._say_begin(connection, kind)
        except BaseException:
            _close(connection)
            raise
        return connection

    def _say_begin(self, connection: Connection, kind: Kind) -> None:
        driver: Any = connection.connection.driver_connection
        driver.patience_seconds = self._patience.connect.total_seconds()
        driver.execute(BEGIN[kind])
        driver.patience_seconds = (self._patience.statement + SILENCE).total_seconds()

    def _open(self) -> PatientConnection:
        opened = PatientConnection.connect(self._conninfo, autocommit=True)
        opened.adapters.register_dumper(str, Text)
        opened.prepared_max = 400  # every statement of ours, so that none is prepared twice
        opened.patience_seconds = self._patience.connect.total_seconds()
        return opened


def _conninfo(url: str, password: str | None, patience: Patience) -> str:
    given = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    limits = {
        "statement_timeout": patience.statement,
        "lock_timeout": patience.lock,
        "idle_in_transaction_session_timeout": patience.idle,
    }
    ours = " ".join(f"-c {name}={_milliseconds(value)}" for name, value in limits.items())
    defaults: dict[str, Any] = {
        "connect_timeout": math.ceil(patience.connect.total_seconds()),
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _milliseconds(patience.statement),
        "fallback_application_name": "vestibule",
        "client_encoding": "UTF8",
    }
    if password is not None:
        defaults["password"] = password
    return make_conninfo(**{**defaults, **given, "options": f"{ours} {given.get('options', '')}".strip()})


def _milliseconds(value: timedelta) -> int:
    return max(1, value // timedelta(milliseconds=1))


def _close(connection: Connection) -> None:
    # Not Connection.close: it would say ROLLBACK first, to a server that may be gone or deaf.
    connection.invalidate()
    connection.close()


def _first_line(error: BaseException) -> str:
    """The server's words without what follows them (the statement, a hint)."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return next(iter(str(cause).splitlines()), "") or type(cause).__name__
