"""Establishments in SQL."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from idp.store.alphabet import in_order
from idp.store.base import Establishment
from idp.store.rows import columns, reader
from idp.store.statement import Statement
from idp.store.tables import attachments
from idp.store.tables import establishments as t

_read = reader(Establishment)
_ALL = select(*columns(Establishment, t)).where(t.c.ended_at.is_(None))
_OPEN_NAMES = Statement(select(t.c.id, t.c.slug, t.c.finess, t.c.siret).where(t.c.ended_at.is_(None)))
_BY_SLUG = Statement(select(*columns(Establishment, t)).where(t.c.slug == bindparam("slug")))
_BY_ID = Statement(select(*columns(Establishment, t)).where(t.c.id == bindparam("id")))
_OF_ACCOUNT = Statement(
    select(*columns(Establishment, t)).where(
        t.c.id.in_(
            select(attachments.c.establishment_id).where(attachments.c.account_id == bindparam("account"), attachments.c.ended_at.is_(None))
        )
    )
)
_LOGO = Statement(select(t.c.logo, t.c.logo_type).where(t.c.slug == bindparam("slug"), t.c.ended_at.is_(None)))
_ADD = Statement(insert(t), columns=(*Establishment.__slots__, "logo"))


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

    def of_account(self, account_id: str) -> dict[str, Establishment]:
        """Those of an account's attachments that have not ended, by id; ended establishments too. One statement, however many they are."""
        return {place.id: place for place in map(_read, _OF_ACCOUNT.all(self._connection, {"account": account_id}))}

    def all(self) -> tuple[Establishment, ...]:
        """Those that have not ended, by name."""
        return _by_name(self._connection.execute(_ALL))

    def page(self, ids: Collection[str] | None, *, named: str = "", offset: int = 0, limit: int = 50) -> tuple[Establishment, ...]:
        """Those that have not ended and are among `ids` (None: all), whose name or slug holds `named`, by name; at most `limit` of them.

        Put in order here and not by the database: there are hundreds of them, and it would order them by its own locale.
        """
        query = _ALL if ids is None else _ALL.where(t.c.id.in_(ids))
        if named:
            pattern = f"%{named.replace('/', '//').replace('%', '/%').replace('_', '/_')}%"
            query = query.where(or_(t.c.name.ilike(pattern, escape="/"), t.c.slug.ilike(pattern, escape="/")))
        return _by_name(self._connection.execute(query))[offset : offset + limit]

    def open_names(self) -> tuple[tuple[str, str, str | None, str | None], ...]:
        """Id, slug, FINESS and SIRET of those that have not ended: what a directory may call them."""
        return tuple((id, slug, finess, siret) for id, slug, finess, siret in _OPEN_NAMES.all(self._connection, {}))

    def only(self) -> Establishment | None:
        """The one establishment of a deployment that serves a single one."""
        rows = self._connection.execute(_ALL.limit(2)).all()
        return _read(rows[0]) if len(rows) == 1 else None

    def logo(self, slug: str) -> tuple[bytes, str] | None:
        """The logo and its media type."""
        row = _LOGO.first(self._connection, {"slug": slug})
        return (row[0], row[1]) if row and row[0] else None

    def add(self, establishment: Establishment, *, logo: bytes | None = None) -> None:
        """Insert; the slug must be free (IntegrityError otherwise)."""
        values = {name: getattr(establishment, name) for name in Establishment.__slots__}
        _ADD.run(self._connection, {**values, "logo": logo})

    def change(self, establishment_id: str, values: dict[str, Any]) -> None:
        """Set columns."""
        self._connection.execute(update(t).where(t.c.id == establishment_id).values(**values))

    def end(self, establishment_id: str, now: datetime) -> None:
        """End it; its attachments stop being usable."""
        self._connection.execute(update(t).where(t.c.id == establishment_id, t.c.ended_at.is_(None)).values(ended_at=now))


def _by_name(rows: Iterable[Row[Any]]) -> tuple[Establishment, ...]:
    return tuple(sorted(map(_read, rows), key=lambda place: (in_order(place.name), place.slug)))
