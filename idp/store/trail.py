"""The audit trail as it is stored: whole rows with their signatures, for those who verify, seal, stream and purge it (idp/trail).

Values are the database's own (instants are microseconds since 1970): what is signed is computed from them. Also knows up to where no line can
appear any more: several processes write to PostgreSQL at once, and a line that was numbered earlier may be committed later. Calls nothing but SQL.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, column, delete, false, func, not_, or_, select, table, text

from idp.store.chain import SIGNED
from idp.store.statement import Statement
from idp.store.tables import events as t

NAMES = ("id", *SIGNED, "mac")
# `at` as a number: no instant is made of it only to be taken apart again.
raw = table("events", *(column(name, BigInteger() if name in {"id", "at"} else t.c[name].type) for name in NAMES))
_COLUMNS = [raw.c[name] for name in NAMES]
_PAGE = Statement(select(*_COLUMNS).where(raw.c.id > bindparam("after")).order_by(raw.c.id).limit(bindparam("count")))
_HEADS = Statement(
    select(raw.c.writer, raw.c.sequence, raw.c.mac)
    .where(
        raw.c.id.in_(
            select(func.max(raw.c.id))
            .where(raw.c.id > bindparam("after"), raw.c.id <= bindparam("until"), raw.c.writer.is_not(None))
            .group_by(raw.c.writer)
        )
    )
    .order_by(raw.c.writer)
)
_FRONTIER = text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text, pg_snapshot_xmin(pg_current_snapshot())::text")


class Frontier(NamedTuple):
    """What can still appear: the highest id there is, the number that the next transaction will get, that of the oldest that goes on."""

    newest: int
    begun: int
    oldest: int
    is_ordered: bool


class Horizon(NamedTuple):
    """Up to which id nothing can appear any more (`settled`), and what is waited for to move it: `seen`, once all that had begun then are over."""

    settled: int = 0
    seen: int = 0
    begun: int = 0

    def moved(self, frontier: Frontier) -> "Horizon":
        """As the frontier shows it now. An id is taken an instant before its transaction is numbered: callers look twice, a second apart or more."""
        if frontier.is_ordered:
            return Horizon(frontier.newest, frontier.newest)
        if frontier.oldest < self.begun:
            return self
        return Horizon(self.seen, frontier.newest, frontier.begun)


class Trail:
    """The rows of the trail."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _is_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"

    def page(self, after: int, count: int) -> list[dict[str, Any]]:
        """At most `count` rows with a higher id, in order."""
        return [dict(zip(NAMES, row, strict=True)) for row in self.rows(after, count)]

    def rows(self, after: int, count: int) -> list[list[Any]]:
        """The same as lists, in the order of NAMES: for whoever reads millions."""
        return _PAGE.all(self._connection, {"after": after, "count": count})

    def count(self) -> int:
        """How many there are."""
        return self._connection.execute(select(func.count()).select_from(raw)).scalar_one()

    def newest(self) -> int:
        """The highest id; 0 when there is none."""
        return self._connection.execute(select(func.max(raw.c.id))).scalar() or 0

    def frontier(self) -> Frontier:
        """What can still appear, as this transaction sees it."""
        newest = self.newest()
        if self._is_sqlite:
            return Frontier(newest, 0, 0, is_ordered=True)
        begun, oldest = self._connection.execute(_FRONTIER).one()
        return Frontier(newest, int(begun), int(oldest), is_ordered=False)

    def heads(self, after: int, until: int) -> list[list[Any]]:
        """[writer, sequence, signature] of the last line of each writer that wrote with an id in (after, until]. Within a chain ids only grow."""
        return _HEADS.all(self._connection, {"after": after, "until": until})

    def count_unsigned(self, after: int, until: int) -> int:
        """How many lines without a writer have an id in (after, until]."""
        query = select(func.count()).where(raw.c.id > after, raw.c.id <= until, raw.c.writer.is_(None))
        return self._connection.execute(query).scalar_one()

    def older(self, before: int, *, types: Sequence[str] | None, but: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Rows written before an instant (microseconds), oldest first, whose type begins with one of `types` (None: any) and with none of `but`."""
        which = and_(raw.c.at < before, not_(_begins(but)))
        if types is not None:
            which = and_(which, _begins(types))
        rows = self._connection.execute(select(*_COLUMNS).where(which).order_by(raw.c.at).limit(limit))
        return [dict(zip(NAMES, row, strict=True)) for row in rows]

    def delete(self, ids: Sequence[int]) -> int:
        """Delete rows whose purge has been recorded in this transaction; how many went. The database refuses all others."""
        if self._is_sqlite:
            return self._connection.execute(delete(raw).where(raw.c.id.in_(ids))).rowcount
        # The program's role has no right to delete: the function has (migration 0006).
        driver = cast(Any, self._connection.connection.driver_connection)
        return int(driver.execute("SELECT purge_events(%s)", (list(ids),)).fetchone()[0])

    def may_be_changed(self) -> bool:
        """PostgreSQL: whether this role has the right to change or delete lines, were it not for the triggers. A file is its owner's."""
        if self._is_sqlite:
            return True
        asked = text("SELECT has_table_privilege('events', 'UPDATE') OR has_table_privilege('events', 'DELETE')")
        return bool(self._connection.execute(asked).scalar())


def _begins(types: Sequence[str]) -> ColumnElement[bool]:
    return or_(false(), *(raw.c.type.startswith(one, autoescape=True) for one in types))
