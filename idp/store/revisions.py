"""Revision numbers in SQL: one row for each thing that changes rarely and is kept in memory by every process."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from idp.store.tables import revisions as t

_GET = select(t.c.number, t.c.digest).where(t.c.name == bindparam("wanted"))


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

    def advance(self, name: str, *, digest: str | None = None) -> int:
        """One further; the new number."""
        present = self.get(name)
        if present is None:
            self._connection.execute(insert(t).values(name=name, number=1, digest=digest))
            return 1
        self._connection.execute(update(t).where(t.c.name == name).values(number=present.number + 1, digest=digest))
        return present.number + 1
