"""Leases in SQL: who does what only one may do at a time, and the fence that keeps a holder who was put aside from writing.

A lease ends by clocks, and clocks of hosts differ: that only moves the instant at which another takes over. What is right never depends on them:
every write of a holder checks its fence in the same transaction, on a row that nobody can take meanwhile, and is refused once another took over.
`Fenced` is the Database as a holder sees it. Calls nothing but SQL; idp/work.py decides who stands for what.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, update

from idp.errors import VestibuleError
from idp.store.base import Lease
from idp.store.rows import columns, reader
from idp.store.statement import InsertUnlessThere
from idp.store.tables import leases as t

if TYPE_CHECKING:
    from idp.store.database import Database, Transaction

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_read = reader(Lease)
_BY_NAME = select(*columns(Lease, t))


class LeaseLost(VestibuleError):
    """Somebody else holds the lease by now, or nobody does: nothing of this transaction is written."""

    def __init__(self, name: str) -> None:
        super().__init__("lease_lost", f"the lease {name} is not ours any more")


_INSERT = InsertUnlessThere(t)


class Leases:
    """The leases by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> Lease | None:
        """As it stands, over or not; None when nobody ever took it."""
        row = self._connection.execute(_BY_NAME.where(t.c.name == name)).first()
        return _read(row) if row else None

    def take(self, name: str, holder: str, *, now: datetime, ttl: timedelta, instead_of: Lease | None = None) -> Lease | None:
        """Take what nobody holds at `now`, with a fence that was never given before; None when another was first.

        `instead_of` is a lease whose holder is known to be dead: it is not waited for.
        """
        lease = Lease(name=name, holder=holder, fence=1, expires_at=now + ttl)
        if _INSERT.run(self._connection, {field: getattr(lease, field) for field in Lease.__slots__}):
            return lease
        # Judged again by the database on the row as it is when its turn comes: of several at once one finds it over.
        is_free = t.c.expires_at <= now
        if instead_of is not None:
            is_free |= t.c.fence == instead_of.fence
        query = update(t).where(t.c.name == name, is_free).values(holder=holder, fence=t.c.fence + 1, expires_at=now + ttl)
        return self.get(name) if self._connection.execute(query).rowcount == 1 else None

    def renew(self, lease: Lease, *, now: datetime, ttl: timedelta) -> Lease:
        """Keep it until `now + ttl`; LeaseLost when another took it. One that is over but that nobody took is kept."""
        renewed = replace(lease, expires_at=now + ttl)
        query = update(t).where(t.c.name == lease.name, t.c.fence == lease.fence, t.c.expires_at > LONG_AGO)
        if self._connection.execute(query.values(expires_at=renewed.expires_at)).rowcount != 1:
            raise LeaseLost(lease.name)
        return renewed

    def release(self, lease: Lease) -> bool:
        """Give it back, so that another may take it at once whatever its clock says; False when it was not ours any more."""
        query = update(t).where(t.c.name == lease.name, t.c.fence == lease.fence).values(expires_at=LONG_AGO)
        return self._connection.execute(query).rowcount == 1

    def check(self, name: str, fence: int) -> None:
        """LeaseLost when the fence is not the present one; otherwise nobody can take the lease until this transaction ends."""
        held = select(t.c.fence).where(t.c.name == name, t.c.expires_at > LONG_AGO)
        # SQLite has one writer at a time and no such clause; PostgreSQL keeps the row for us until we commit.
        if self._connection.execute(held.with_for_update(read=True)).scalar() != fence:
            raise LeaseLost(name)


class Fenced:
    """A Database whose every write is the lease holder's. `check(tx)` raises LeaseLost, and may renew the lease in passing."""

    def __init__(self, database: "Database", check: "Callable[[Transaction], None]") -> None:
        self._database = database
        self._check = check

    def read(self) -> "AbstractContextManager[Transaction]":
        """See Database."""
        return self._database.read()

    @contextmanager
    def write(self) -> "Iterator[Transaction]":
        """See Database; LeaseLost before anything is done when the lease is not held."""
        with self._database.write() as tx:
            self._check(tx)
            yield tx
