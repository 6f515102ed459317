"""Which lines of the trail are of somebody who reads only some establishments: one condition for the list, the export and the charts.

Owns the condition in SQL; who reads where is policies/acts.py's, and the lines themselves are events.py's.
"""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from idp.store.tables import attachments, establishments
from idp.store.tables import events as t


class Reach(NamedTuple):
    """The establishments that are read about (None: all of them), and the instant (UTC-aware) at which people are attached there."""

    places: frozenset[str] | None
    at: datetime


def within(reach: Reach) -> list[ColumnElement[bool]]:
    """Lines that name one of the establishments, and those that name none but a person who is attached there, now or later.

    A wrong password names no establishment. Whoever works in two homes is failed in the network of one: only that one reads of it; outside, both do.
    """
    if reach.places is None:
        return []
    places = sorted(reach.places)
    there: Any = select(attachments.c.account_id).where(
        attachments.c.establishment_id.in_(places),
        attachments.c.ended_at.is_(None),
        or_(attachments.c.valid_until.is_(None), attachments.c.valid_until > reach.at),
    )
    slug = establishments.c.slug
    in_its_network = exists().where(establishments.c.id.in_(places), func.substr(t.c.zone, 1, func.length(slug) + 1) == slug.concat("/"))
    of_nobody_else = and_(t.c.establishment_id.is_(None), or_(t.c.zone == "outside", in_its_network), t.c.account_id.in_(there))
    return [or_(t.c.establishment_id.in_(places), of_nobody_else)]
