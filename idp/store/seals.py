"""Seals of the audit trail, the records of its purges, and how far each stream of it has got.

Seals and records are only added, and signed by whoever adds them (chain.py); values are as stored. Calls nothing but SQL; idp/trail decides.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import BigInteger, Connection, column, delete, func, insert, select, table

from idp.store.base import StreamCursor
from idp.store.chain import SIGNED_RANGE, SIGNED_SEAL
from idp.store.rows import columns, reader
from idp.store.statement import insert_or_replace
from idp.store.tables import purged_ranges, seals, stream_cursors

SEALS = "seals"  # the writer of seals in the records of purges
UNSIGNED = ""  # of lines from before
_INSTANTS = frozenset({"at", "until", "purged_at"})
_seals = table("seals", *(column(name, BigInteger() if name in _INSTANTS else seals.c[name].type) for name in (*SIGNED_SEAL, "mac")))
_ranges = table(
    "purged_ranges", *(column(name, BigInteger() if name in _INSTANTS else purged_ranges.c[name].type) for name in (*SIGNED_RANGE, "mac"))
)
_read_cursor = reader(StreamCursor)


class Seals:
    """Seals, records of purges, cursors of streams."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def newest(self) -> dict[str, Any] | None:
        """The last seal."""
        row = self._connection.execute(select(_seals).order_by(_seals.c.number.desc()).limit(1)).first()
        return dict(row._mapping) if row else None

    def get(self, number: int) -> dict[str, Any] | None:
        """A seal by its number."""
        row = self._connection.execute(select(_seals).where(_seals.c.number == number)).first()
        return dict(row._mapping) if row else None

    def page(self, after: int, count: int) -> list[dict[str, Any]]:
        """At most `count` seals with a higher number, in order."""
        rows = self._connection.execute(select(_seals).where(_seals.c.number > after).order_by(_seals.c.number).limit(count))
        return [dict(row._mapping) for row in rows]

    def add(self, values: Mapping[str, Any]) -> None:
        """Write a signed seal. Two with one number: the second is refused by the database (IntegrityError)."""
        self._connection.execute(insert(_seals).values(**values))

    def last_before(self, instant: int) -> int:
        """The number of the last seal made before an instant (microseconds); 0 when there is none."""
        return self._connection.execute(select(func.max(_seals.c.number)).where(_seals.c.at < instant)).scalar() or 0

    def delete_up_to(self, number: int) -> int:
        """Delete the seals up to a number, whose purge has been recorded in this transaction."""
        if self._connection.dialect.name == "sqlite":
            return self._connection.execute(delete(_seals).where(_seals.c.number <= number)).rowcount
        driver = cast(Any, self._connection.connection.driver_connection)
        return int(driver.execute("SELECT purge_seals(%s)", (number,)).fetchone()[0])

    def ranges(self) -> list[dict[str, Any]]:
        """Every record of a purge."""
        return [dict(row._mapping) for row in self._connection.execute(select(_ranges))]

    def add_range(self, values: Mapping[str, Any]) -> None:
        """Write the signed record of a purge."""
        self._connection.execute(insert(_ranges).values(**values))

    def cursor(self, name: str) -> StreamCursor | None:
        """How far a stream has got; None when it has not begun."""
        row = self._connection.execute(select(*columns(StreamCursor, stream_cursors)).where(stream_cursors.c.name == name)).first()
        return _read_cursor(row) if row else None

    def save_cursor(self, cursor: StreamCursor) -> None:
        """Keep how far a stream has got."""
        insert_or_replace(self._connection, stream_cursors, {name: getattr(cursor, name) for name in StreamCursor.__slots__})

    def count_since(self, since: datetime) -> int:
        """How many seals were made from an instant on."""
        return self._connection.execute(select(func.count()).where(seals.c.at >= since)).scalar_one()
