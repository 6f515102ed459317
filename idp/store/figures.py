"""What the audit trail counts to, for charts: sign-ins by hour and zone, refusals by reason. Whoever reads only some establishments is counted those.

Writes nothing. Times to restore are read from resets.py. Which instants and how they are shown is idp/desk/figures.py's.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, func, literal_column, select, type_coerce

from idp.store.reach import Reach, within
from idp.store.tables import EPOCH
from idp.store.tables import events as t

REFUSALS = ("signin.refused", "factor.refused", "upstream.refused")
# Written out: PostgreSQL takes two parameters for two expressions, and would not group by the first.
_HOUR = type_coerce(t.c.at, BigInteger) // literal_column("3600000000", BigInteger)


class HourCount(NamedTuple):
    """How many sign-ins succeeded in the hour that begins at `hour`, from one kind of zone."""

    hour: datetime
    zone_kind: str
    times: int


class ReasonCount(NamedTuple):
    """How many refusals gave one reason."""

    reason: str
    times: int


class Figures:
    """Counts lines of the trail."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sign_ins(self, places: frozenset[str] | None, *, since: datetime, until: datetime) -> tuple[HourCount, ...]:
        """Sign-ins of [since, until) by hour (UTC) and kind of zone; hours without one are left out."""
        query = select(_HOUR, t.c.zone_kind, func.count()).where(
            t.c.type == "signin.succeeded", t.c.at >= since, t.c.at < until, *within(Reach(places, until))
        )
        rows = self._connection.execute(query.group_by(_HOUR, t.c.zone_kind).order_by(_HOUR, t.c.zone_kind))
        return tuple(HourCount(EPOCH + timedelta(hours=row[0]), row[1], row[2]) for row in rows)

    def refusals(self, places: frozenset[str] | None, *, since: datetime, until: datetime) -> tuple[ReasonCount, ...]:
        """Refused proofs of [since, until) by reason, the most frequent first."""
        count = func.count()
        query = select(t.c.reason, count).where(
            t.c.type.in_(REFUSALS), t.c.reason.is_not(None), t.c.at >= since, t.c.at < until, *within(Reach(places, until))
        )
        rows = self._connection.execute(query.group_by(t.c.reason).order_by(count.desc(), t.c.reason))
        return tuple(ReasonCount(*row) for row in rows)
