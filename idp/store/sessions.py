"""Sessions in SQL."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, or_, select, update

from idp.store.base import Session, StoredProof
from idp.store.canary import SESSION_IS_NOBODYS
from idp.store.rows import columns, reader, words
from idp.store.statement import Statement
from idp.store.tables import sessions as t
from policies.sessions import SessionLimits


def _read_proofs(stored: Iterable[Any]) -> tuple[StoredProof, ...]:
    return tuple(
        StoredProof(method=method, at=datetime.fromisoformat(at), factor_id=factor_id, upstream_acr=more[0] if more else None)
        for method, at, factor_id, *more in stored
    )


def _write_proofs(proofs: Iterable[StoredProof]) -> list[Any]:
    return [
        [proof.method, proof.at.isoformat(), proof.factor_id, *((proof.upstream_acr,) if proof.upstream_acr else ())] for proof in proofs
    ]


_read = reader(Session, amr=words, proofs=_read_proofs)
_COLUMNS = columns(Session, t)
_BY_COOKIE = Statement(select(*_COLUMNS).where(t.c.cookie_digest == bindparam("digest")))
_BY_ID = Statement(select(*_COLUMNS).where(t.c.id == bindparam("id")))
_OPEN = Statement(select(*_COLUMNS).where(t.c.account_id == bindparam("account_id"), t.c.ended_at.is_(None)).order_by(t.c.created_at))
_INSERT = Statement(insert(t), columns=Session.__slots__)
_RENEWED = (
    "cookie_digest",
    "auth_time",
    "acr",
    "connector",
    "establishment_id",
    "zone",
    "zone_kind",
    "zone_why",
    "device_id",
    "workstation_id",
    "is_shared",
    "locked_at",
    "address",
    "user_agent",
    "last_active_at",
)
_TOUCH = Statement(
    update(t).where(t.c.id == bindparam("session"), t.c.ended_at.is_(None), t.c.locked_at.is_(None)).values(last_active_at=bindparam("now"))
)
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

    def renew(self, renewed: Session) -> bool:
        """The same person proved something more in the same browser: another cookie, and what that changes; False when the session has ended."""
        query = update(t).where(t.c.id == renewed.id, t.c.ended_at.is_(None))
        values = {name: getattr(renewed, name) for name in _RENEWED}
        values |= {"amr": " ".join(renewed.amr), "proofs": _write_proofs(renewed.proofs)}
        return self._connection.execute(query.values(values)).rowcount == 1

    def touch(self, session_id: str, now: datetime) -> bool:
        """Record activity; False when the session has ended, or is locked."""
        return _TOUCH.run(self._connection, {"session": session_id, "now": now}) == 1

    def choose_establishment(self, session_id: str, establishment_id: str) -> None:
        """Make another establishment the active one."""
        self._connection.execute(update(t).where(t.c.id == session_id, t.c.ended_at.is_(None)).values(establishment_id=establishment_id))

    def end(self, session_id: str, now: datetime, *, cause: str) -> bool:
        """End it; False when it had ended. Only idp.endings calls this."""
        return _END.run(self._connection, {"session": session_id, "now": now, "cause": cause}) == 1

    def lock(self, session_id: str, now: datetime) -> bool:
        """Lock it; False when it has ended or was locked."""
        query = update(t).where(t.c.id == session_id, t.c.ended_at.is_(None), t.c.locked_at.is_(None))
        return self._connection.execute(query.values(locked_at=now)).rowcount == 1

    def mark_shared(self, session_id: str) -> None:
        """Its browser is now where people follow one another: from here on it is held to their limits."""
        self._connection.execute(update(t).where(t.c.id == session_id, t.c.ended_at.is_(None)).values(is_shared=True))

    def overdue(self, now: datetime, limits: SessionLimits, *, limit: int) -> tuple[Session, ...]:
        """Open sessions past their idle or absolute limit, for the sweep."""
        past = or_(_is_idle(now, limits), t.c.expires_at <= now, t.c.created_at <= now - limits.absolute)
        query = select(*_COLUMNS).where(t.c.ended_at.is_(None), past).limit(limit)
        return tuple(_read(row) for row in self._connection.execute(query))

    def open_at(self, establishment_id: str) -> tuple[Session, ...]:
        """Those that stand on an establishment and have not ended."""
        query = select(*_COLUMNS).where(t.c.establishment_id == establishment_id, t.c.ended_at.is_(None))
        return tuple(_read(row) for row in self._connection.execute(query))

    def live_at(
        self, places: Collection[str] | None, now: datetime, *, limits: SessionLimits, skip: int, count: int
    ) -> tuple[Session, ...]:
        """Live ones that stand on some establishments (None: on any), last active first; not the canary's (idp/lifecycle/canary.py)."""
        query = select(*_COLUMNS).where(t.c.ended_at.is_(None), ~_is_idle(now, limits), t.c.expires_at > now, ~SESSION_IS_NOBODYS)
        if places is not None:
            query = query.where(t.c.establishment_id.in_(places))
        query = query.order_by(t.c.last_active_at.desc(), t.c.id).offset(skip).limit(count)
        return tuple(_read(row) for row in self._connection.execute(query))

    def count_open(self, now: datetime, limits: SessionLimits) -> int:
        """How many are live now, but for the canary's."""
        is_live = (t.c.ended_at.is_(None), ~_is_idle(now, limits), t.c.expires_at > now)
        return self._connection.execute(select(func.count()).select_from(t).where(*is_live, ~SESSION_IS_NOBODYS)).scalar_one()


def _is_idle(now: datetime, limits: SessionLimits) -> ColumnElement[bool]:
    """As policies/sessions.py says it of one; `last_active_at` of the shared ones against their own, shorter limit."""
    shared = limits.idle_of(is_shared=True)
    return or_(t.c.last_active_at <= now - limits.idle, t.c.is_shared & (t.c.last_active_at <= now - shared))
