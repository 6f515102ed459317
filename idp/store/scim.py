"""What sources write to us themselves (SCIM), in SQL: people, groups and who is in which.

A source sees its own alone: every question names its connector. Names are folded by whoever calls (idp/scim), and unique within a source and kind.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, union, update

from idp.store.base import ScimResource
from idp.store.rows import columns, reader
from idp.store.tables import attachments, cuts, links
from idp.store.tables import scim_members as members
from idp.store.tables import scim_resources as t

_read = reader(ScimResource)
_COLUMNS = columns(ScimResource, t)
# As many as a statement may name on either store.
_BATCH = 500
Kind = Literal["User", "Group"]


class Scim:
    """People and groups of sources."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, connector: str, kind: Kind, resource_id: str) -> ScimResource | None:
        """By our id."""
        return self._first(t.c.id == resource_id, t.c.connector == connector, t.c.kind == kind)

    def by_name(self, connector: str, kind: Kind, name: str) -> ScimResource | None:
        """By its folded name."""
        return self._first(t.c.connector == connector, t.c.kind == kind, t.c.name == name)

    def by_external_id(self, connector: str, kind: Kind, external_id: str) -> tuple[ScimResource, ...]:
        """By the source's own id, letter for letter."""
        return self._all(t.c.connector == connector, t.c.kind == kind, t.c.external_id == external_id)

    def page(self, connector: str, kind: Kind, *, offset: int, limit: int) -> tuple[ScimResource, ...]:
        """Some, in the order in which they were added."""
        query = select(*_COLUMNS).where(t.c.connector == connector, t.c.kind == kind).order_by(t.c.id).offset(offset).limit(limit)
        return tuple(_read(row) for row in self._connection.execute(query))

    def batches(self, connector: str, kind: Kind) -> Iterator[tuple[ScimResource, ...]]:
        """Everything, a few hundred at a time, in the same order."""
        after = ""
        while found := self._all(t.c.connector == connector, t.c.kind == kind, t.c.id > after, limit=_BATCH):
            yield found
            after = found[-1].id

    def count(self, connector: str, kind: Kind, *, is_active: bool | None = None) -> int:
        """How many."""
        query = select(func.count()).select_from(t).where(t.c.connector == connector, t.c.kind == kind)
        if is_active is not None:
            query = query.where(t.c.is_active == is_active)
        return self._connection.execute(query).scalar_one()

    def changed_at(self, connector: str) -> datetime | None:
        """When the source last changed anything."""
        query = select(_COLUMNS[-1]).where(t.c.connector == connector).order_by(t.c.changed_at.desc()).limit(1)
        return self._connection.execute(query).scalar()

    def add(self, resource: ScimResource) -> None:
        """Insert."""
        values = {name: getattr(resource, name) for name in ScimResource.__slots__}
        self._connection.execute(insert(t), {**values, "body": dict(resource.body)})

    def change(self, resource_id: str, **values: Any) -> None:
        """Set columns."""
        self._connection.execute(update(t).where(t.c.id == resource_id).values(**values))

    def touch(self, resource_ids: Collection[str], now: datetime) -> None:
        """What is shown of these is another thing now: new versions."""
        for some in _batches(resource_ids):
            self._connection.execute(update(t).where(t.c.id.in_(some)).values(version=t.c.version + 1, changed_at=now))

    def remove(self, resource_id: str) -> None:
        """Delete, with its memberships."""
        self._connection.execute(delete(members).where(or_(members.c.group_id == resource_id, members.c.user_id == resource_id)))
        self._connection.execute(delete(t).where(t.c.id == resource_id))

    def people(self, connector: str, ids: Collection[str]) -> tuple[ScimResource, ...]:
        """Those of the ids that are people of the source."""
        found: list[ScimResource] = []
        for some in _batches(ids):
            found.extend(self._all(t.c.connector == connector, t.c.kind == "User", t.c.id.in_(some)))
        return tuple(found)

    def member_ids(self, group_id: str) -> frozenset[str]:
        """Who is in a group."""
        return frozenset(self._connection.execute(select(members.c.user_id).where(members.c.group_id == group_id)).scalars())

    def add_members(self, group_id: str, user_ids: Collection[str]) -> None:
        """Put people in a group who are not in it."""
        if user_ids:
            self._connection.execute(insert(members), [{"group_id": group_id, "user_id": one} for one in sorted(user_ids)])

    def remove_members(self, group_id: str, user_ids: Collection[str]) -> None:
        """Take people out of a group."""
        for some in _batches(user_ids):
            self._connection.execute(delete(members).where(members.c.group_id == group_id, members.c.user_id.in_(some)))

    def groups_of(self, user_ids: Collection[str]) -> dict[str, tuple[ScimResource, ...]]:
        """The groups of each of these people, by the group's id; nobody is missing."""
        found: dict[str, list[ScimResource]] = {one: [] for one in user_ids}
        for some in _batches(user_ids):
            query = select(members.c.user_id, *_COLUMNS).join(t, members.c.group_id == t.c.id).where(members.c.user_id.in_(some))
            for row in self._connection.execute(query.order_by(t.c.id)):
                found[row[0]].append(_read(row[1:]))
        return {one: tuple(groups) for one, groups in found.items()}

    def losers_since(self, connector: str, since: datetime, *, held_until: datetime) -> int:
        """From how many people the source has taken something since: their access, or every place that it had given them; and who is held until
        `held_until` or longer, instead."""
        cut = select(cuts.c.account_id).where(cuts.c.connector == connector, cuts.c.kind != "attachment", cuts.c.decided_at >= since)
        another = attachments.alias()
        still = exists().where(
            another.c.account_id == attachments.c.account_id, another.c.source == connector, another.c.ended_at.is_(None)
        )
        displaced = select(attachments.c.account_id).where(attachments.c.source == connector, attachments.c.ended_at >= since, ~still)
        held = select(links.c.account_id).where(links.c.connector == connector, links.c.held_until >= held_until)
        return self._connection.execute(select(func.count()).select_from(union(cut, displaced, held).subquery())).scalar_one()

    def _first(self, *conditions: Any) -> ScimResource | None:
        row = self._connection.execute(select(*_COLUMNS).where(*conditions)).first()
        return _read(row) if row else None

    def _all(self, *conditions: Any, limit: int | None = None) -> tuple[ScimResource, ...]:
        query = select(*_COLUMNS).where(*conditions).order_by(t.c.id).limit(limit)
        return tuple(_read(row) for row in self._connection.execute(query))


def _batches(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]
