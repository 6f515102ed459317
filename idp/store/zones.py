"""Zones and enrolled workstations in SQL.

Owns the rows only: what a zone means is policies/zones.py's, who may write one idp/zones.py's. Whoever writes a zone moves the revision `zones`, by
which every process knows that what it keeps in memory is old.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from idp.store.base import Workstation, Zone
from idp.store.rows import columns, reader
from idp.store.statement import Statement
from idp.store.tables import establishments, sessions
from idp.store.tables import workstations as w
from idp.store.tables import zones as t

_zone = reader(Zone, networks=tuple)
_workstation = reader(Workstation)
_ZONE = columns(Zone, t)
_WORKSTATION = columns(Workstation, w)
_OF = Statement(select(*_ZONE).where(t.c.establishment_id == bindparam("establishment"), t.c.ended_at.is_(None)).order_by(t.c.name))
_GET = Statement(select(*_ZONE).where(t.c.id == bindparam("id")))
_ADD = Statement(insert(t), columns=Zone.__slots__)
_WORKSTATION_BY_ID = Statement(select(*_WORKSTATION).where(w.c.id == bindparam("id")))
_ROTATE = Statement(
    update(w)
    .where(w.c.id == bindparam("which"), w.c.secret_digest == bindparam("present"), w.c.ended_at.is_(None))
    .values(
        secret_digest=bindparam("next"), previous_digest=bindparam("former"), rotated_at=bindparam("now"), last_seen_at=bindparam("seen")
    )
)


class Zones:
    """Places of establishments on the network."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_with_slugs(self) -> tuple[tuple[Zone, str], ...]:
        """Every zone that has not ended, of an establishment that has not either, with the establishment's slug; in no order that means anything."""
        query = select(*_ZONE, establishments.c.slug).join(establishments, establishments.c.id == t.c.establishment_id)
        query = query.where(t.c.ended_at.is_(None), establishments.c.ended_at.is_(None)).order_by(establishments.c.slug, t.c.name)
        return tuple((_zone(row[:-1]), row[-1]) for row in self._connection.execute(query))

    def of(self, establishment_id: str) -> tuple[Zone, ...]:
        """Those of an establishment that have not ended, by name."""
        return tuple(_zone(row) for row in _OF.all(self._connection, {"establishment": establishment_id}))

    def get(self, zone_id: str) -> Zone | None:
        """By id; an ended one too."""
        row = _GET.first(self._connection, {"id": zone_id})
        return _zone(row) if row else None

    def named(self, establishment_id: str, name: str) -> Zone | None:
        """The open one of this name."""
        return next((zone for zone in self.of(establishment_id) if zone.name == name), None)

    def add(self, zone: Zone) -> None:
        """Insert."""
        values = {name: getattr(zone, name) for name in Zone.__slots__}
        _ADD.run(self._connection, {**values, "networks": list(zone.networks)})

    def change(self, zone_id: str, values: dict[str, Any]) -> None:
        """Set columns."""
        if "networks" in values:
            values = {**values, "networks": list(values["networks"])}
        self._connection.execute(update(t).where(t.c.id == zone_id).values(**values))

    def end(self, zone_id: str, now: datetime) -> bool:
        """End it; False when it had ended."""
        query = update(t).where(t.c.id == zone_id, t.c.ended_at.is_(None)).values(ended_at=now)
        return self._connection.execute(query).rowcount == 1


class Workstations:
    """Machines that a contact has enrolled. Only idp/zones.py ends one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, workstation_id: str) -> Workstation | None:
        """By id; an ended one too."""
        row = _WORKSTATION_BY_ID.first(self._connection, {"id": workstation_id})
        return _workstation(row) if row else None

    def open(self, establishment_id: str | None = None, *, zone_id: str | None = None) -> tuple[Workstation, ...]:
        """Those that have not ended, by name: all, of an establishment, or of a zone."""
        query = select(*_WORKSTATION).where(w.c.ended_at.is_(None)).order_by(w.c.establishment_id, w.c.name)
        if establishment_id is not None:
            query = query.where(w.c.establishment_id == establishment_id)
        if zone_id is not None:
            query = query.where(w.c.zone_id == zone_id)
        return tuple(_workstation(row) for row in self._connection.execute(query))

    def page(self, establishment_id: str, *, offset: int = 0, limit: int = 50) -> tuple[Workstation, ...]:
        """Those of an establishment that have not ended, by name; at most `limit` of them."""
        query = select(*_WORKSTATION).where(w.c.ended_at.is_(None), w.c.establishment_id == establishment_id)
        query = query.order_by(w.c.name, w.c.id).offset(offset).limit(limit)
        return tuple(_workstation(row) for row in self._connection.execute(query))

    def add(self, workstation: Workstation) -> None:
        """Insert."""
        values = {name: getattr(workstation, name) for name in Workstation.__slots__}
        self._connection.execute(insert(w).values(**values))

    def rotate(self, workstation_id: str, *, present: str, next_digest: str, now: datetime) -> bool:
        """Give it the next secret in the place of the present one, which becomes the one before; False when another request was first."""
        values = {"which": workstation_id, "present": present, "next": next_digest, "former": present, "now": now, "seen": now}
        return _ROTATE.run(self._connection, values) == 1

    def end(self, workstation_id: str, now: datetime) -> bool:
        """End it; False when it had ended."""
        query = update(w).where(w.c.id == workstation_id, w.c.ended_at.is_(None)).values(ended_at=now)
        return self._connection.execute(query).rowcount == 1

    def open_session_ids(self, workstation_id: str) -> Sequence[str]:
        """The Sessions that were opened on it and have not ended, by account: whoever ends several holds accounts in one order."""
        query = select(sessions.c.id).where(sessions.c.workstation_id == workstation_id, sessions.c.ended_at.is_(None))
        return self._connection.execute(query.order_by(sessions.c.account_id, sessions.c.id)).scalars().all()
