"""The audit trail in SQL: rows are added, each signed in its writer's chain (chain.py), and never changed: triggers refuse it.

A row is deleted only when it is old and the record of its purge is there (seals.py); trail.py reads it as it is stored, to verify, seal and stream.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, and_, bindparam, column, func, insert, or_, select, table, text

from idp.audit import Event
from idp.store.chain import Pen, Pens, line_form
from idp.store.reach import Reach, within
from idp.store.statement import Statement
from idp.store.tables import EPOCH, MICROSECOND
from idp.store.tables import events as t

NUL = "\\u0000"  # in JSON
_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes one for each call that wants what is not the default
# The row's transaction is older than every one that is still going on.
_SETTLED = text("age(events.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)")
# inline: nobody asks for the id, so PostgreSQL need not send it back.
# `at` as it is stored: what is signed and what is written are one value.
_raw = table("events", *(column(each.name, BigInteger() if each.name == "at" else each.type) for each in t.c if each.name != "id"))
_INSERT = Statement(insert(_raw).inline(), columns=[column.name for column in t.c if column.name != "id"])
_DECIDED = Statement(
    select(t.c.id, t.c.at, t.c.type, t.c.account_id, t.c.client_id, t.c.establishment_id, t.c.request_id, t.c.decision)
    .where(t.c.id >= bindparam("first"), t.c.id <= bindparam("last"))
    .where(or_(t.c.type == "signin.succeeded", t.c.type == "signin.refused", t.c.type == "authorization.granted"))
    .order_by(t.c.id)
    .limit(bindparam("count"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to read; None means any. `after_id` pages on.

    `is_settled`: only lines before which no other can appear any more. Several processes write to PostgreSQL at once, and a line that was numbered
    earlier may be committed later: whoever pages on would never see it. `reach`: only lines of
    the establishments that are read about, and of their people.
    """

    since: datetime | None = None
    until: datetime | None = None
    type_prefix: str | None = None
    account_id: str | None = None
    client_id: str | None = None
    establishment_id: str | None = None
    request_id: str | None = None
    reason: str | None = None
    zone_prefix: str | None = None
    reach: Reach | None = None
    after_id: int = 0
    is_settled: bool = False


class DecidedLine(NamedTuple):
    """What a line says of a sign-in that rules may have decided on. `decision` is its JSON as written, None where no rule was asked."""

    id: int
    at: datetime
    type: str
    account_id: str | None
    client_id: str | None
    establishment_id: str | None
    request_id: str
    decision: str | None


class AddressCount(NamedTuple):
    """How many sign-ins succeeded from one address, concluded in one way, at how many establishments."""

    address: str
    zone_why: str
    sign_ins: int
    establishments: int


class Events:
    """The append-only trail. `appended` holds the lines of this transaction. Without `pens` it is for reading: a line is never written unsigned."""

    def __init__(self, connection: Connection, pens: Pens | None = None) -> None:
        self._connection = connection
        self._pens = pens
        self._taken: Pen | None = None
        self._pen: Pen | None = None
        self.appended: list[Event] = []

    def append(self, event: Event) -> None:
        """Write one line, in the transaction of what it records. RuntimeError where the store was opened without pens, or for reading."""
        if self._pens is None:
            raise RuntimeError("the audit trail is written by transactions that may write, of a store that was opened with pens")
        pen = self._pen
        if pen is None:
            pen = self._taken = self._pens.take()
        values = self._values(event, pen)
        form = line_form(values)
        if NUL in form:
            # Strangers send some, and PostgreSQL can hold none: what is signed is what is stored.
            values = {name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value for name, value in values.items()}
            form = line_form(values)
        mac = values["mac"] = self._pens.notary.sign_form(form)
        _INSERT.run(self._connection, values)
        self._pen = Pen(pen.writer, pen.sequence + 1, mac)
        self.appended.append(event)

    def kept(self) -> None:
        """The transaction has committed: the pen goes back with its new head."""
        self._give_back(self._pen)

    def undone(self) -> None:
        """The transaction has been rolled back: the pen goes back as it was."""
        self._give_back(self._taken)

    def _give_back(self, pen: Pen | None) -> None:
        if pen is not None and self._pens is not None:
            self._pens.give_back(pen)
        self._pens = self._taken = self._pen = None

    @staticmethod
    def _values(event: Event, pen: Pen) -> dict[str, Any]:
        """The row, but for its signature."""
        origin = event.origin
        values: dict[str, Any] = {
            "at": (event.at - EPOCH) // MICROSECOND,
            "type": str(event.type),
            "reason": str(event.reason) if event.reason else None,
            "actor": event.actor,
            "account_id": event.account_id,
            "identifier_hash": event.identifier_hash,
            "client_id": event.client_id,
            "establishment_id": event.establishment_id,
            "session_id": event.session_id,
            "grant_id": event.grant_id,
            "connector": event.connector,
            "zone": origin.zone,
            "zone_kind": origin.zone_kind,
            "zone_why": origin.zone_why,
            "device_id": event.device_id,
            "workstation_id": event.workstation_id,
            "decision": _encode(event.decision) if event.decision else None,
            "address": origin.address,
            "network_chain": " ".join(origin.network_chain),
            "user_agent": origin.user_agent[:300],
            "amr": " ".join(event.amr),
            "acr": event.acr,
            "request_id": origin.request_id,
            "details": _encode(event.details) if event.details else "{}",
            "writer": pen.writer,
            "sequence": pen.sequence + 1,
            "previous": pen.mac,
        }
        return values

    def read(self, wanted: EventFilter, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Lines in order, oldest first, as plain mappings ready for export; streamed."""
        query = self._select(wanted).order_by(t.c.id).limit(limit)
        for row in self._connection.execute(query, execution_options={"yield_per": 1000}):
            yield _plain(row)

    def last(self, wanted: EventFilter, count: int, *, skip: int = 0) -> list[dict[str, Any]]:
        """The last lines that match but for the `skip` newest, oldest first."""
        rows = self._connection.execute(self._select(wanted).order_by(t.c.id.desc()).offset(skip).limit(count)).all()
        return [_plain(row) for row in reversed(rows)]

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The last lines, oldest first."""
        rows = self._connection.execute(select(t).order_by(t.c.id.desc()).limit(count)).all()
        return [_plain(row) for row in reversed(rows)]

    def span(self, since: datetime, until: datetime) -> tuple[int, int] | None:
        """The first and the last id among the lines of [since, until); None when there is none."""
        first, last = self._connection.execute(select(func.min(t.c.id), func.max(t.c.id)).where(t.c.at >= since, t.c.at < until)).one()
        return None if first is None else (first, last)

    def decided(self, first: int, last: int, count: int) -> list[DecidedLine]:
        """At most `count` sign-ins and authorizations with an id in [first, last], oldest first: a page of what rules decided on."""
        return [DecidedLine(*row) for row in _DECIDED.all(self._connection, {"first": first, "last": last, "count": count})]

    def sign_in_addresses(self, since: datetime) -> list[AddressCount]:
        """Where the sign-ins from `since` on came from, most first."""
        count = func.count()
        query = select(t.c.address, t.c.zone_why, count, func.count(t.c.establishment_id.distinct()))
        query = query.where(t.c.at >= since, t.c.type == "signin.succeeded").group_by(t.c.address, t.c.zone_why).order_by(count.desc())
        return [AddressCount(*row) for row in self._connection.execute(query)]

    def count_signed_in(self, since: datetime) -> int:
        """How many people signed in from `since` on."""
        query = select(func.count(t.c.account_id.distinct())).where(t.c.at >= since, t.c.type == "signin.succeeded")
        return self._connection.execute(query).scalar_one()

    def last_sign_in(self, account_id: str) -> datetime | None:
        """When the account last signed in."""
        query = select(t.c.at).where(t.c.account_id == account_id, t.c.type == "signin.succeeded").order_by(t.c.id.desc()).limit(1)
        return self._connection.execute(query).scalar()

    def were_factors_taken(self, account_id: str) -> bool:
        """Whether somebody at the console has ended factors of the account since a factor was last enrolled; a code by e-mail is none.

        An operator's command is not the console: whoever runs it says how the next factor comes to be.
        """
        taken = and_(t.c.type == "factors.reset", t.c.actor.startswith("account:", autoescape=True))
        enrolled = and_(t.c.type == "factor.enrolled", t.c.details.not_like('%"kind": "email"%'))
        query = select(t.c.type).where(t.c.account_id == account_id, or_(taken, enrolled)).order_by(t.c.id.desc()).limit(1)
        return self._connection.execute(query).scalar() == "factors.reset"

    def _select(self, wanted: EventFilter) -> Select[Any]:
        query = select(t).where(t.c.id > wanted.after_id)
        if wanted.is_settled and self._connection.dialect.name != "sqlite":
            query = query.where(_SETTLED)
        if wanted.since:
            query = query.where(t.c.at >= wanted.since)
        if wanted.until:
            query = query.where(t.c.at < wanted.until)
        if wanted.type_prefix:
            query = query.where(t.c.type.startswith(wanted.type_prefix, autoescape=True))
        if wanted.zone_prefix:
            query = query.where(t.c.zone.startswith(wanted.zone_prefix, autoescape=True))
        if wanted.reach is not None:
            query = query.where(*within(wanted.reach))
        for name in ("account_id", "client_id", "establishment_id", "request_id", "reason"):
            if (value := getattr(wanted, name)) is not None:
                query = query.where(t.c[name] == value)
        return query


def _plain(row: Any) -> dict[str, Any]:
    line = dict(row._mapping)
    line["at"] = row.at.isoformat()
    line["network_chain"] = row.network_chain.split()
    line["amr"] = row.amr.split()
    line["details"] = json.loads(row.details)
    line["decision"] = json.loads(row.decision) if row.decision else None
    return line
