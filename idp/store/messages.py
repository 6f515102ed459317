"""Messages to people in SQL: written in the transaction that makes them due, sealed; claimed by one sender, and forgotten once sent or given up.

The rows stay, without whom and what, for as long as they count: how many a person was sent in a day, and what a month has cost.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Update, bindparam, case, func, insert, or_, select, update

from idp.store.base import Message
from idp.store.rows import columns, reader
from idp.store.tables import messages as t

_read = reader(Message)
_COLUMNS = columns(Message, t)
_DUE = (
    select(*_COLUMNS)
    .where(
        t.c.channel == bindparam("of_channel"), t.c.next_attempt_at <= bindparam("now"), t.c.id.not_in(bindparam("busy", expanding=True))
    )
    .order_by(t.c.next_attempt_at, t.c.id)
    .limit(bindparam("limit"))
)
_CLAIM = (
    update(t)
    .where(t.c.id == bindparam("message"), t.c.next_attempt_at == bindparam("seen"))
    .values(attempts=t.c.attempts + 1, next_attempt_at=bindparam("until"))
)


class Messages:
    """What people are to be told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, message: Message) -> None:
        """Insert."""
        self._connection.execute(insert(t), {name: getattr(message, name) for name in Message.__slots__})

    def get(self, message_id: str) -> Message | None:
        """By id."""
        row = self._connection.execute(select(*_COLUMNS).where(t.c.id == message_id)).first()
        return _read(row) if row else None

    def due(self, channel: str, now: datetime, *, limit: int, but: Collection[str] = ()) -> tuple[Message, ...]:
        """Messages of a channel whose next attempt has come, the one that has waited longest first."""
        values = {"of_channel": channel, "now": now, "limit": limit, "busy": list(but)}
        return tuple(_read(row) for row in self._connection.execute(_DUE, values))

    def claim(self, message: Message, until: datetime) -> bool:
        """Take a message for one attempt; it is due again at `until` if we die. False when another sender took it."""
        values = {"message": message.id, "seen": message.next_attempt_at, "until": until}
        return self._connection.execute(_CLAIM, values).rowcount == 1

    def sent(self, message_id: str, now: datetime, receipt: str) -> None:
        """A gateway took it: whom and what is forgotten."""
        self._close(message_id, sent_at=now, receipt=receipt[:300])

    def abandon(self, message_id: str, now: datetime, *, receipt: str, less_micros: int) -> None:
        """It is given up, and forgotten. `less_micros` was counted for an attempt that surely cost nothing."""
        cost = case((t.c.cost_micros > less_micros, t.c.cost_micros - less_micros), else_=0)
        self._close(message_id, abandoned_at=now, receipt=receipt[:300], cost_micros=cost)

    def postpone(self, message_id: str, until: datetime, *, receipt: str, more_micros: int) -> None:
        """It failed; try again at `until`, which may cost `more_micros` more than was counted."""
        query = self._open(message_id).values(next_attempt_at=until, receipt=receipt[:300], cost_micros=t.c.cost_micros + more_micros)
        self._connection.execute(query)

    def count_since(self, account_id: str, channel: str, since: datetime, *, purposes: Collection[str]) -> int:
        """How many messages of some purposes were written for an account since an instant, sent or not."""
        query = select(func.count()).select_from(t)
        query = query.where(t.c.account_id == account_id, t.c.channel == channel, t.c.created_at >= since, t.c.purpose.in_(purposes))
        return self._connection.execute(query).scalar_one()

    def cost_since(self, channel: str, since: datetime, *, establishment_id: str | None = None) -> int:
        """What the messages of a channel have cost since an instant, or may yet, in millionths; of one establishment, or of all."""
        query = select(func.coalesce(func.sum(t.c.cost_micros), 0)).where(t.c.channel == channel, t.c.created_at >= since)
        if establishment_id is not None:
            query = query.where(t.c.establishment_id == establishment_id)
        return int(self._connection.execute(query).scalar_one())

    def waiting(self, channel: str) -> tuple[int, datetime | None]:
        """How many messages of a channel are neither sent nor given up, and since when the oldest of them waits."""
        query = select(func.count(), func.min(t.c.created_at)).where(t.c.channel == channel, t.c.next_attempt_at.is_not(None))
        count, oldest = self._connection.execute(query).one()
        return count, oldest

    def recent(self, limit: int, *, is_failed: bool | None = None) -> tuple[Message, ...]:
        """The newest messages, for operators; with `is_failed`, those that were given up or have failed at least once and wait."""
        query = select(*_COLUMNS).order_by(t.c.created_at.desc(), t.c.id.desc()).limit(limit)
        if is_failed:
            query = query.where(or_(t.c.abandoned_at.is_not(None), t.c.sent_at.is_(None) & t.c.receipt.is_not(None)))
        return tuple(_read(row) for row in self._connection.execute(query))

    def _close(self, message_id: str, **values: Any) -> None:
        self._connection.execute(self._open(message_id).values(sealed=None, next_attempt_at=None, **values))

    def _open(self, message_id: str) -> Update:
        return update(t).where(t.c.id == message_id, t.c.sent_at.is_(None), t.c.abandoned_at.is_(None))
