"""Cuts in SQL: access taken from people, each written in the transaction that takes it. Never changed after; a certificate is read from here and from
the outbox, which keeps what applications answered under the cut's id.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, insert, or_, select

from idp.store.base import Cut, Notice
from idp.store.canary import CUT_IS_NOBODYS
from idp.store.rows import columns, reader
from idp.store.tables import attachments, outbox
from idp.store.tables import cuts as t

_read = reader(Cut)
_COLUMNS = columns(Cut, t)
_notice = reader(Notice)
_NOTICES = select(*columns(Notice, outbox)).where(outbox.c.cut_id == bindparam("cut")).order_by(outbox.c.created_at, outbox.c.id)


class Answers(NamedTuple):
    """Of the notices that one cut made due: how many there are, were acknowledged, were given up."""

    told: int
    acknowledged: int
    given_up: int


class Cuts:
    """Departures and losses."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, cut: Cut) -> None:
        """Insert."""
        self._connection.execute(insert(t), {name: getattr(cut, name) for name in Cut.__slots__})

    def get(self, cut_id: str) -> Cut | None:
        """By id."""
        row = self._connection.execute(select(*_COLUMNS).where(t.c.id == cut_id)).first()
        return _read(row) if row else None

    def of_account(self, account_id: str, *, limit: int = 20) -> tuple[Cut, ...]:
        """A person's, newest first."""
        query = select(*_COLUMNS).where(t.c.account_id == account_id).order_by(t.c.decided_at.desc(), t.c.id.desc()).limit(limit)
        return tuple(_read(row) for row in self._connection.execute(query))

    def newest(self, *, before: datetime | None = None, limit: int = 50) -> tuple[Cut, ...]:
        """Everybody's, newest first, from an instant backwards."""
        query = select(*_COLUMNS).order_by(t.c.decided_at.desc(), t.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(t.c.decided_at < before)
        return tuple(_read(row) for row in self._connection.execute(query))

    def lately(self, actor: str, since: datetime) -> tuple[tuple[str, datetime], ...]:
        """The accounts that an actor took something from since an instant, each once with the last time, the earliest first."""
        last = func.max(t.c.decided_at)
        query = select(t.c.account_id, last).where(t.c.decided_at >= since, t.c.actor == actor).group_by(t.c.account_id).order_by(last)
        return tuple((account_id, at) for account_id, at in self._connection.execute(query))

    def since(self, connector: str, instant: datetime) -> tuple[Cut, ...]:
        """Those that a directory's word made since an instant, the earliest first."""
        query = select(*_COLUMNS).where(t.c.connector == connector, t.c.decided_at >= instant).order_by(t.c.decided_at, t.c.id)
        return tuple(_read(row) for row in self._connection.execute(query))

    def find(self, *, places: Collection[str] | None, account_id: str | None = None, skip: int = 0, limit: int = 50) -> tuple[Cut, ...]:
        """Those that may be seen from establishments (None: all), newest first, but the canary's (idp/lifecycle/canary.py)."""
        query = select(*_COLUMNS).where(*_seen_from(places), ~CUT_IS_NOBODYS).order_by(t.c.decided_at.desc(), t.c.id.desc())
        if account_id is not None:
            query = query.where(t.c.account_id == account_id)
        return tuple(_read(row) for row in self._connection.execute(query.offset(skip).limit(limit)))

    def is_seen_from(self, cut_id: str, places: Collection[str] | None) -> bool:
        """Whether one of these establishments (None: all) may see it."""
        query = select(t.c.id).where(t.c.id == cut_id, *_seen_from(places))
        return self._connection.execute(query).first() is not None

    def notices(self, cut_id: str) -> tuple[Notice, ...]:
        """What applications were owed because of it, with what they answered."""
        return tuple(_notice(row) for row in self._connection.execute(_NOTICES, {"cut": cut_id}))

    def answers(self, cut_ids: Collection[str]) -> dict[str, Answers]:
        """How far applications have answered, by cut; those that made nothing due are left out."""
        counts = (func.count(), func.count(outbox.c.delivered_at), func.count(outbox.c.abandoned_at))
        query = select(outbox.c.cut_id, *counts).where(outbox.c.cut_id.in_(sorted(cut_ids))).group_by(outbox.c.cut_id)
        return {row[0]: Answers(*row[1:]) for row in self._connection.execute(query)}


def _seen_from(places: Collection[str] | None) -> list[ColumnElement[bool]]:
    """A post that was lost is its establishment's; a person's departure is seen wherever they worked when they left."""
    if places is None:
        return []
    worked_there = exists().where(
        attachments.c.account_id == t.c.account_id,
        attachments.c.establishment_id.in_(places),
        or_(attachments.c.ended_at.is_(None), attachments.c.ended_at >= t.c.decided_at),
    )
    return [or_(t.c.establishment_id.in_(places), and_(t.c.establishment_id.is_(None), worked_there))]
