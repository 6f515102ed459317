"""Shared Signals streams in SQL: whose they are, whom each is told of, and the events that wait in the outbox for it.

An application is told of the people who signed in to it and were given tokens there, and of nobody else. Calls nothing.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, exists, func, insert, or_, select, update

from idp.store.base import Notice, Stream
from idp.store.rows import columns, reader
from idp.store.statement import insert_or_replace
from idp.store.tables import clients, grants, outbox, stream_subjects
from idp.store.tables import streams as t

_read = reader(Stream, events_requested=tuple)
_COLUMNS = columns(Stream, t)
_notice = reader(Notice)
_NOTICE = columns(Notice, outbox)
_OPEN = (outbox.c.delivered_at.is_(None), outbox.c.abandoned_at.is_(None))
_PUSHED = and_(outbox.c.kind == "set_push", outbox.c.next_attempt_at.is_not(None))
VERIFICATION = "verification"


class Signals:
    """Streams."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, stream: Stream) -> None:
        """Insert."""
        values = {name: getattr(stream, name) for name in Stream.__slots__}
        self._connection.execute(insert(t), {**values, "events_requested": list(stream.events_requested)})

    def get(self, stream_id: str) -> Stream | None:
        """By id; an ended one too."""
        return self._first(t.c.id == stream_id)

    def of_client(self, client_id: str) -> tuple[Stream, ...]:
        """An application's, the oldest first; none that has ended."""
        return self._all(t.c.client_id == client_id)

    def all(self) -> tuple[Stream, ...]:
        """Everybody's that has not ended, by application."""
        return self._all()

    def change(self, stream_id: str, now: datetime, **values: Any) -> None:
        """Set columns."""
        if "events_requested" in values:
            values["events_requested"] = list(values["events_requested"])
        self._connection.execute(update(t).where(t.c.id == stream_id).values(changed_at=now, **values))

    def verify(self, stream_id: str, now: datetime) -> None:
        """Its receiver acknowledged a verification event."""
        self._connection.execute(update(t).where(t.c.id == stream_id).values(verified_at=now))

    def told_of(self, account_id: str, *, client_id: str | None = None) -> tuple[Stream, ...]:
        """The streams that are told of a person, disabled ones apart: of every application, or of one."""
        is_left_out = exists().where(*_subject(account_id), stream_subjects.c.is_told.is_(False))
        is_taken_in = exists().where(*_subject(account_id), stream_subjects.c.is_told.is_(True))
        signed_in = exists().where(grants.c.client_id == t.c.client_id, grants.c.account_id == account_id, grants.c.has_tokens)
        is_open = exists().where(clients.c.client_id == t.c.client_id, clients.c.ended_at.is_(None))
        wanted: list[ColumnElement[bool]] = [t.c.status != "disabled", is_open, ~is_left_out, or_(is_taken_in, signed_in)]
        if client_id is not None:
            wanted.append(t.c.client_id == client_id)
        return self._all(*wanted)

    def knows(self, stream: Stream, account_id: str) -> bool:
        """Whether a person signed in to the stream's application, or was a subject of the stream before."""
        signed_in = exists().where(grants.c.client_id == stream.client_id, grants.c.account_id == account_id, grants.c.has_tokens)
        was_there = exists().where(stream_subjects.c.stream_id == stream.id, stream_subjects.c.account_id == account_id)
        return bool(self._connection.execute(select(or_(signed_in, was_there))).scalar())

    def set_subject(self, stream_id: str, account_id: str, now: datetime, *, is_told: bool) -> None:
        """Say whether a stream is told of a person."""
        values = {"stream_id": stream_id, "account_id": account_id, "is_told": is_told, "changed_at": now}
        insert_or_replace(self._connection, stream_subjects, values)

    def waiting(self, stream_id: str, *, limit: int) -> tuple[Notice, ...]:
        """What a stream has not acknowledged, in the order in which it happened; nothing that a pause holds back."""
        query = select(*_NOTICE).where(outbox.c.stream_id == stream_id, *_OPEN, outbox.c.next_attempt_at.is_not(None))
        query = query.order_by(outbox.c.created_at, outbox.c.id).limit(limit)
        return tuple(_notice(row) for row in self._connection.execute(query))

    def waiting_among(self, stream_id: str, notice_ids: Collection[str]) -> tuple[Notice, ...]:
        """Those of some events of a stream that it has not acknowledged."""
        query = select(*_NOTICE).where(outbox.c.stream_id == stream_id, outbox.c.id.in_(list(notice_ids)), *_OPEN)
        return tuple(_notice(row) for row in self._connection.execute(query))

    def count_waiting(self, stream_id: str) -> int:
        """How many events a stream has not acknowledged, those that a pause holds back too."""
        query = select(func.count()).select_from(outbox).where(outbox.c.stream_id == stream_id, *_OPEN)
        return self._connection.execute(query).scalar_one()

    def last_verification(self, stream_id: str) -> datetime | None:
        """When a verification event was last asked for."""
        query = select(func.max(outbox.c.created_at)).where(outbox.c.stream_id == stream_id, outbox.c.cause == VERIFICATION)
        return self._connection.execute(query).scalar()

    def hold_back(self, stream_id: str) -> None:
        """A stream is paused: what waits goes on waiting, and nobody tries."""
        self._connection.execute(update(outbox).where(outbox.c.stream_id == stream_id, *_OPEN).values(next_attempt_at=None))

    def let_go(self, stream_id: str, now: datetime, *, kind: Literal["set_push", "set_poll"]) -> None:
        """A stream is enabled, or delivered in another way: what waits is due now."""
        self._connection.execute(update(outbox).where(outbox.c.stream_id == stream_id, *_OPEN).values(kind=kind, next_attempt_at=now))

    def open_of(self, stream_id: str, *, limit: int) -> tuple[Notice, ...]:
        """What a stream has not acknowledged, whether it is due or held back."""
        query = select(*_NOTICE).where(outbox.c.stream_id == stream_id, *_OPEN).order_by(outbox.c.created_at).limit(limit)
        return tuple(_notice(row) for row in self._connection.execute(query))

    def uncollected(self, before: datetime, *, limit: int) -> tuple[Notice, ...]:
        """Events written before an instant that nobody has acknowledged: polled for, or held back. What is pushed is given up by its tries."""
        query = select(*_NOTICE).where(outbox.c.stream_id.is_not(None), *_OPEN, outbox.c.created_at < before, ~_PUSHED)
        return tuple(_notice(row) for row in self._connection.execute(query.order_by(outbox.c.created_at).limit(limit)))

    def overfull(self, most: int) -> dict[str, int]:
        """By stream, how many events beyond `most` wait for somebody to come, or for the end of a pause."""
        count = func.count()
        query = select(outbox.c.stream_id, count).where(outbox.c.stream_id.is_not(None), *_OPEN, ~_PUSHED)
        found = self._connection.execute(query.group_by(outbox.c.stream_id).having(count > most))
        return {stream_id: waiting - most for stream_id, waiting in found}

    def taken_since(self, notice: Notice) -> tuple[Notice, ...]:
        """What a stream took of the same person that happened after an event, the newest first; a few."""
        is_later = (outbox.c.created_at > notice.created_at, outbox.c.delivered_at.is_not(None))
        query = select(*_NOTICE).where(outbox.c.stream_id == notice.stream_id, outbox.c.account_id == notice.account_id, *is_later)
        return tuple(_notice(row) for row in self._connection.execute(query.order_by(outbox.c.created_at.desc()).limit(50)))

    def _first(self, *wanted: ColumnElement[bool]) -> Stream | None:
        row = self._connection.execute(select(*_COLUMNS).where(*wanted)).first()
        return _read(row) if row else None

    def _all(self, *wanted: ColumnElement[bool]) -> tuple[Stream, ...]:
        query = select(*_COLUMNS).where(t.c.ended_at.is_(None), *wanted).order_by(t.c.client_id, t.c.created_at, t.c.id)
        return tuple(_read(row) for row in self._connection.execute(query))


def _subject(account_id: str) -> tuple[ColumnElement[bool], ...]:
    return (stream_subjects.c.stream_id == t.c.id, stream_subjects.c.account_id == account_id)
