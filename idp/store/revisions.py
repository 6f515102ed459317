"""Revision numbers in SQL: one row for each thing that changes rarely and is kept in memory by every process."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from idp.store.statement import Statement, insert_into
from idp.store.tables import revisions as t

_GET = select(t.c.number, t.c.digest).where(t.c.name == bindparam("wanted"))
_ADVANCE = Statement(
    update(t).where(t.c.name == bindparam("wanted")).values(number=t.c.number + 1, digest=bindparam("becomes")).returning(t.c.number)
)
_NUMBER = Statement(select(t.c.number).where(t.c.name == bindparam("wanted")))


@dataclass(frozen=True, slots=True)
class Revision:
    """`number` moves with every change; `digest` recognises what was last written, where the writer gave one."""

    number: int
    digest: str | None


class Revisions:
    """Revision numbers by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> Revision | None:
        """The present revision; None when the thing was never written."""
        row = self._connection.execute(_GET, {"wanted": name}).first()
        return Revision(row.number, row.digest) if row else None

    def number(self, name: str) -> int:
        """The present number alone, cheap enough for every request; 0 when the thing was never written."""
        row = _NUMBER.first(self._connection, {"wanted": name})
        return row[0] if row else 0

    def advance(self, name: str, *, digest: str | None = None) -> int:
        """One further; the new number. Each of these statements by itself makes a step, also of two at once."""
        row = _ADVANCE.first(self._connection, {"wanted": name, "becomes": digest})
        if row is not None:
            return int(row[0])
        query = insert_into(self._connection, t).values(name=name, number=1, digest=digest)
        moved = query.on_conflict_do_update(index_elements=[t.c.name], set_={"number": t.c.number + 1, "digest": digest})
        return int(self._connection.execute(moved.returning(t.c.number)).scalar_one())
