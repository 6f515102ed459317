"""The outbox in SQL: notices written in the transaction that makes them due, sent after it commits."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from idp.store.base import Notice
from idp.store.rows import columns, reader
from idp.store.tables import outbox as t

_read = reader(Notice)
_COLUMNS = columns(Notice, t)
_DUE = (
    select(*_COLUMNS)
    .where(
        t.c.next_attempt_at <= bindparam("now"),
        t.c.kind == bindparam("kind"),
        t.c.client_id.not_in(bindparam("busy", expanding=True)),
    )
    .order_by(t.c.next_attempt_at, t.c.id)
    .limit(bindparam("limit"))
)
_CLAIM = (
    update(t)
    .where(t.c.id == bindparam("notice"), t.c.next_attempt_at == bindparam("seen"))
    .values(attempts=t.c.attempts + 1, next_attempt_at=bindparam("until"), receipt=None)
)
# What a failed try leaves has a receipt.
_CLAIMED = (t.c.next_attempt_at.is_not(None), t.c.attempts > 0, t.c.receipt.is_(None))


class Outbox:
    """Notices to applications."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, notice: Notice) -> None:
        """Insert."""
        self._connection.execute(insert(t), {name: getattr(notice, name) for name in Notice.__slots__})

    def get(self, notice_id: str) -> Notice | None:
        """By id."""
        row = self._connection.execute(select(*_COLUMNS).where(t.c.id == notice_id)).first()
        return _read(row) if row else None

    def due(
        self, now: datetime, limit: int = 50, *, kind: str = "backchannel_logout", except_clients: Collection[str] = ()
    ) -> tuple[Notice, ...]:
        """Notices of a kind whose next attempt has come, oldest first, but those for clients that are being told at this moment."""
        values = {"now": now, "limit": limit, "kind": kind, "busy": list(except_clients)}
        return tuple(_read(row) for row in self._connection.execute(_DUE, values))

    def claim(self, notice: Notice, until: datetime) -> bool:
        """Take a notice for one attempt; it is due again at `until` if we die. False when another sender took it."""
        values = {"notice": notice.id, "seen": notice.next_attempt_at, "until": until}
        return self._connection.execute(_CLAIM, values).rowcount == 1

    def release_claims(self, now: datetime) -> int:
        """What a sender that is there no more had claimed is due now, and the try that nobody finished does not count. How many."""
        query = update(t).where(*_CLAIMED).values(next_attempt_at=now, attempts=t.c.attempts - 1, receipt="interrupted")
        return self._connection.execute(query).rowcount

    def delivered(self, notice_id: str, now: datetime, receipt: str) -> None:
        """The application acknowledged it."""
        self._set(notice_id, delivered_at=now, next_attempt_at=None, receipt=receipt[:300])

    def postpone(self, notice_id: str, until: datetime, receipt: str) -> None:
        """It failed; try again at `until`."""
        self._set(notice_id, next_attempt_at=until, receipt=receipt[:300])

    def abandon(self, notice_id: str, now: datetime, receipt: str) -> None:
        """It failed for the last time."""
        self._set(notice_id, abandoned_at=now, next_attempt_at=None, receipt=receipt[:300])

    def waiting(self) -> int:
        """How many notices are neither delivered nor abandoned."""
        return self._connection.execute(select(func.count()).select_from(t).where(t.c.next_attempt_at.is_not(None))).scalar_one()

    def oldest_waiting(self) -> datetime | None:
        """When the oldest notice that is neither delivered nor abandoned was written."""
        return self._connection.execute(select(func.min(t.c.created_at)).where(t.c.next_attempt_at.is_not(None))).scalar()

    def recent(self, limit: int = 50) -> tuple[Notice, ...]:
        """The newest notices, for operators."""
        return tuple(_read(row) for row in self._connection.execute(select(*_COLUMNS).order_by(t.c.created_at.desc()).limit(limit)))

    def _set(self, notice_id: str, **values: object) -> None:
        self._connection.execute(update(t).where(t.c.id == notice_id).values(**values))
