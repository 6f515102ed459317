"""How far directories were listened to, in SQL: the cursor moves with what was done about what was heard, or after.

A cursor that moved first would lose, at the next death, what was heard and not yet done.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from idp.store.base import Watched
from idp.store.rows import columns, reader
from idp.store.statement import InsertUnlessThere
from idp.store.tables import watches as t

_read = reader(Watched)
_COLUMNS = columns(Watched, t)
_INSERT = InsertUnlessThere(t)


class Watches:
    """One row a directory."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, connector: str) -> Watched | None:
        """As it stands; None when it was never listened to."""
        row = self._connection.execute(select(*_COLUMNS).where(t.c.connector == connector)).first()
        return _read(row) if row else None

    def all(self) -> tuple[Watched, ...]:
        """Every one, by name."""
        return tuple(_read(row) for row in self._connection.execute(select(*_COLUMNS).order_by(t.c.connector)))

    def begin(self, connector: str, now: datetime) -> Watched:
        """The row, made when there is none."""
        new = Watched(connector=connector, cursor=None, state="reading", trouble="", since=now)
        _INSERT.run(self._connection, {name: getattr(new, name) for name in Watched.__slots__})
        found = self.get(connector)
        assert found is not None  # noqa: S101  # inserted above, or there before
        return found

    def change(self, connector: str, **values: Any) -> None:
        """Set columns; nothing is written when none are named."""
        if not values:
            return
        self._connection.execute(update(t).where(t.c.connector == connector).values(**values))
