"""Locks in SQL: which identifiers are closed until an operator opens them again. What closes one is policies/lockout.py's, counted by idp.signin.

They outlive whatever the counters of the ephemeral store have lost. An identifier that nobody carries is closed like any other, as a keyed hash, so
that nothing shows; such rows are swept after a while.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, or_, select

from idp.store.base import Lock
from idp.store.rows import columns, reader
from idp.store.statement import InsertUnlessThere, Statement
from idp.store.tables import locks as t

_read = reader(Lock)
_OF_KEY = Statement(select(*columns(Lock, t)).where(t.c.key == bindparam("key")))
_INSERT = InsertUnlessThere(t)


class Locks:
    """Locks by the keyed hash of an identifier."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, key: str) -> tuple[Lock, ...]:
        """Those on one key: of outside, of near, or both."""
        return tuple(_read(row) for row in _OF_KEY.all(self._connection, {"key": key}))

    def of_account(self, account_id: str) -> tuple[Lock, ...]:
        """Those that name an account, oldest first."""
        query = select(*columns(Lock, t)).where(t.c.account_id == account_id).order_by(t.c.at)
        return tuple(_read(row) for row in self._connection.execute(query))

    def add(self, lock: Lock) -> bool:
        """Close; False when it was closed already: of several at once exactly one is told True."""
        return _INSERT.run(self._connection, {name: getattr(lock, name) for name in Lock.__slots__})

    def lift(self, account_id: str, keys: Sequence[str]) -> int:
        """Open whatever names the account or is on one of these keys; how many there were."""
        return self._connection.execute(delete(t).where(or_(t.c.account_id == account_id, t.c.key.in_(keys)))).rowcount

    def sweep(self, before: datetime, *, batch: int = 500) -> int:
        """Delete locks on what names nobody that are older than an instant; how many."""
        old = select(t.c.key).where(t.c.account_id.is_(None), t.c.at < before).limit(batch)
        return self._connection.execute(delete(t).where(t.c.account_id.is_(None), t.c.key.in_(old), t.c.at < before)).rowcount
