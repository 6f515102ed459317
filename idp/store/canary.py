"""The canary's runs in SQL: what a whole pass through the path took, stage by stage, or what broke it. One is open at most for each directory."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, or_, select, update

from idp.store.base import CanaryRun
from idp.store.rows import columns, reader
from idp.store.tables import accounts, cuts, sessions
from idp.store.tables import canary_runs as t

_read = reader(CanaryRun)
_COLUMNS = columns(CanaryRun, t)

# A run's Session has its id. What took its Account's access while it was open is the run's own, however late it was heard.
OF_RUN: ColumnElement[bool] = and_(
    t.c.account_id == cuts.c.account_id,
    t.c.began_at <= cuts.c.decided_at,
    or_(t.c.restored_at.is_(None), t.c.restored_at >= cuts.c.decided_at),
)
CUT_IS_NOBODYS: ColumnElement[bool] = exists().where(OF_RUN)
SESSION_IS_NOBODYS: ColumnElement[bool] = exists().where(t.c.id == sessions.c.id)
ACCOUNT_IS_NOBODYS: ColumnElement[bool] = exists().where(t.c.account_id == accounts.c.id)


class Canaries:
    """Runs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, run: CanaryRun) -> None:
        """Insert."""
        self._connection.execute(insert(t), {name: getattr(run, name) for name in CanaryRun.__slots__})

    def change(self, run_id: str, **values: Any) -> None:
        """Set columns."""
        self._connection.execute(update(t).where(t.c.id == run_id).values(**values))

    def get(self, run_id: str) -> CanaryRun | None:
        """By id."""
        row = self._connection.execute(select(*_COLUMNS).where(t.c.id == run_id)).first()
        return _read(row) if row else None

    def open_of(self, connector: str) -> CanaryRun | None:
        """The run whose person has not been enabled again; None when there is none."""
        query = select(*_COLUMNS).where(t.c.connector == connector, t.c.restored_at.is_(None)).order_by(t.c.began_at.desc()).limit(1)
        row = self._connection.execute(query).first()
        return _read(row) if row else None

    def last(self, connector: str, count: int) -> tuple[CanaryRun, ...]:
        """The newest runs of a directory, oldest first."""
        query = select(*_COLUMNS).where(t.c.connector == connector).order_by(t.c.began_at.desc(), t.c.id.desc()).limit(count)
        return tuple(reversed([_read(row) for row in self._connection.execute(query)]))

    def began_at(self, connector: str) -> datetime | None:
        """When the newest run began."""
        newest = self.last(connector, 1)
        return newest[0].began_at if newest else None

    def had(self, connector: str, account_id: str) -> bool:
        """Whether an Account was the canary of one of a directory's runs."""
        query = select(t.c.id).where(t.c.account_id == account_id, t.c.connector == connector).limit(1)
        return self._connection.execute(query).first() is not None

    def connectors(self) -> tuple[str, ...]:
        """The directories that have runs, by name."""
        return tuple(self._connection.execute(select(t.c.connector).distinct().order_by(t.c.connector)).scalars())
