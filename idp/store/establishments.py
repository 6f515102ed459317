"""Establishments in SQL."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from idp.store.base import Establishment
from idp.store.rows import columns, reader
from idp.store.statement import Statement
from idp.store.tables import establishments as t

_read = reader(Establishment)
_ALL = select(*columns(Establishment, t)).where(t.c.ended_at.is_(None)).order_by(t.c.name)
_OPEN_IDS = Statement(select(t.c.slug, t.c.id).where(t.c.ended_at.is_(None)))
_BY_SLUG = Statement(select(*columns(Establishment, t)).where(t.c.slug == bindparam("slug")))
_BY_ID = Statement(select(*columns(Establishment, t)).where(t.c.id == bindparam("id")))
_LOGO = select(t.c.logo, t.c.logo_type).where(t.c.slug == bindparam("slug"), t.c.ended_at.is_(None))


class Establishments:
    """Care homes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, establishment_id: str) -> Establishment | None:
        """By id; an ended one too."""
        row = _BY_ID.first(self._connection, {"id": establishment_id})
        return _read(row) if row else None

    def by_slug(self, slug: str) -> Establishment | None:
        """By slug; an ended one too."""
        row = _BY_SLUG.first(self._connection, {"slug": slug})
        return _read(row) if row else None

    def all(self) -> tuple[Establishment, ...]:
        """Those that have not ended, by name."""
        return tuple(_read(row) for row in self._connection.execute(_ALL))

    def open_ids(self) -> dict[str, str]:
        """The ids of those that have not ended, by slug."""
        return dict(_OPEN_IDS.all(self._connection, {}))

    def only(self) -> Establishment | None:
        """The one establishment of a deployment that serves a single one."""
        rows = self._connection.execute(_ALL.limit(2)).all()
        return _read(rows[0]) if len(rows) == 1 else None

    def logo(self, slug: str) -> tuple[bytes, str] | None:
        """The logo and its media type."""
        row = self._connection.execute(_LOGO, {"slug": slug}).first()
        return (row.logo, row.logo_type) if row and row.logo else None

    def add(self, establishment: Establishment, *, logo: bytes | None = None) -> None:
        """Insert; the slug must be free (IntegrityError otherwise)."""
        values = {name: getattr(establishment, name) for name in Establishment.__slots__}
        self._connection.execute(insert(t).values(**values, logo=logo))

    def change(self, establishment_id: str, values: dict[str, Any]) -> None:
        """Set columns."""
        self._connection.execute(update(t).where(t.c.id == establishment_id).values(**values))

    def end(self, establishment_id: str, now: datetime) -> None:
        """End it; its attachments stop being usable."""
        self._connection.execute(update(t).where(t.c.id == establishment_id, t.c.ended_at.is_(None)).values(ended_at=now))
