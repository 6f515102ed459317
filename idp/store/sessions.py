"""Sessions in SQL."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from idp.store.base import Session, StoredProof
from idp.store.rows import columns, reader, words
from idp.store.statement import Statement
from idp.store.tables import sessions as t


def _read_proofs(stored: Iterable[Any]) -> tuple[StoredProof, ...]:
    return tuple(StoredProof(method=method, at=datetime.fromisoformat(at), factor_id=factor_id) for method, at, factor_id in stored)


def _write_proofs(proofs: Iterable[StoredProof]) -> list[Any]:
    return [[proof.method, proof.at.isoformat(), proof.factor_id] for proof in proofs]


_read = reader(Session, amr=words, proofs=_read_proofs)
_COLUMNS = columns(Session, t)
_BY_COOKIE = Statement(select(*_COLUMNS).where(t.c.cookie_digest == bindparam("digest")))
_BY_ID = Statement(select(*_COLUMNS).where(t.c.id == bindparam("id")))
_OPEN = Statement(select(*_COLUMNS).where(t.c.account_id == bindparam("account_id"), t.c.ended_at.is_(None)).order_by(t.c.created_at))
_INSERT = Statement(insert(t), columns=Session.__slots__)
_TOUCH = Statement(update(t).where(t.c.id == bindparam("session"), t.c.ended_at.is_(None)).values(last_active_at=bindparam("now")))
_END = Statement(
    update(t)
    .where(t.c.id == bindparam("session"), t.c.ended_at.is_(None))
    .values(ended_at=bindparam("now"), ended_cause=bindparam("cause"))
)


class Sessions:
    """Signed-in browsers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def by_cookie(self, cookie_digest: str) -> Session | None:
        """By the digest of the cookie; an ended one too, so that the person can be told why."""
        row = _BY_COOKIE.first(self._connection, {"digest": cookie_digest})
        return _read(row) if row else None

    def get(self, session_id: str) -> Session | None:
        """By id (the `sid`)."""
        row = _BY_ID.first(self._connection, {"id": session_id})
        return _read(row) if row else None

    def open_of(self, account_id: str) -> tuple[Session, ...]:
        """Those of an account that have not ended, oldest first; idle ones too until the sweep ends them."""
        return tuple(_read(row) for row in _OPEN.all(self._connection, {"account_id": account_id}))

    def add(self, session: Session) -> None:
        """Insert."""
        values = {name: getattr(session, name) for name in Session.__slots__}
        _INSERT.run(self._connection, {**values, "amr": " ".join(session.amr), "proofs": _write_proofs(session.proofs)})

    def renew(
        self, session_id: str, *, cookie_digest: str, auth_time: datetime, amr: tuple[str, ...], acr: str, establishment_id: str
    ) -> bool:
        """The same person proved themselves again in the same browser; False when the session has ended meanwhile."""
        query = update(t).where(t.c.id == session_id, t.c.ended_at.is_(None))
        values = {
            "cookie_digest": cookie_digest,
            "auth_time": auth_time,
            "amr": " ".join(amr),
            "acr": acr,
            "establishment_id": establishment_id,
        }
        return self._connection.execute(query.values(last_active_at=auth_time, **values)).rowcount == 1

    def touch(self, session_id: str, now: datetime) -> bool:
        """Record activity; False when the session has ended."""
        return _TOUCH.run(self._connection, {"session": session_id, "now": now}) == 1

    def choose_establishment(self, session_id: str, establishment_id: str) -> None:
        """Make another establishment the active one."""
        self._connection.execute(update(t).where(t.c.id == session_id, t.c.ended_at.is_(None)).values(establishment_id=establishment_id))

    def end(self, session_id: str, now: datetime, *, cause: str) -> bool:
        """End it; False when it had ended. Only idp.endings calls this."""
        return _END.run(self._connection, {"session": session_id, "now": now, "cause": cause}) == 1

    def overdue(self, now: datetime, *, idle: timedelta, absolute: timedelta, limit: int) -> tuple[Session, ...]:
        """Open sessions past their idle or absolute limit, for the sweep."""
        past = or_(t.c.last_active_at <= now - idle, t.c.expires_at <= now, t.c.created_at <= now - absolute)
        query = select(*_COLUMNS).where(t.c.ended_at.is_(None), past).limit(limit)
        return tuple(_read(row) for row in self._connection.execute(query))

    def open_at(self, establishment_id: str) -> tuple[Session, ...]:
        """Those that stand on an establishment and have not ended."""
        query = select(*_COLUMNS).where(t.c.establishment_id == establishment_id, t.c.ended_at.is_(None))
        return tuple(_read(row) for row in self._connection.execute(query))

    def count_open(self, now: datetime, *, idle: timedelta) -> int:
        """How many are live now."""
        query = select(func.count()).select_from(t).where(t.c.ended_at.is_(None), t.c.last_active_at > now - idle, t.c.expires_at > now)
        return self._connection.execute(query).scalar_one()
