"""Resets and their moves, in SQL: known by keyed hashes of their halves, never by the halves.

What happens once is one conditional UPDATE: an approval, a redemption, an end. Of several callers at once, in any process, exactly one is told True.
Which move may follow which is idp/desk/resets.py's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, or_, select, update

from idp.store.base import Reset, ResetMove
from idp.store.rows import columns, reader
from idp.store.statement import Statement
from idp.store.tables import reset_moves, resets

MOST_TRIES = 5
REDEEMED_LIFE = timedelta(minutes=20)

_reset = reader(Reset, barred=tuple)
_move = reader(ResetMove, details=dict)
_COLUMNS = columns(Reset, resets)
_BY_ID = Statement(select(*_COLUMNS).where(resets.c.id == bindparam("id")))
_BY_SPOKEN = Statement(select(*_COLUMNS).where(resets.c.spoken_digest == bindparam("digest")))
_BY_STOP = Statement(select(*_COLUMNS).where(resets.c.stop_digest == bindparam("digest")))
# Not FOR UPDATE: a move that is added meanwhile names the reset by its foreign key.
_HELD = Statement(select(*_COLUMNS).where(resets.c.id == bindparam("id")).with_for_update(key_share=True))
_IS_OPEN = resets.c.closed_at.is_(None)
_TRY = Statement(
    update(resets).where(resets.c.id == bindparam("reset"), resets.c.state == "issued", _IS_OPEN).values(tries=resets.c.tries + 1)
)
_TRIES = Statement(select(resets.c.tries).where(resets.c.id == bindparam("id")))
_REDEEM = Statement(
    update(resets)
    .where(
        resets.c.id == bindparam("reset"),
        resets.c.state == "issued",
        _IS_OPEN,
        resets.c.spoken_until > bindparam("now"),
        resets.c.sent_until > bindparam("now"),
        resets.c.tries < MOST_TRIES,
    )
    .values(state="redeemed", redeemed_at=bindparam("now"), expires_at=bindparam("until"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many Resets are open somewhere, and since when the oldest waits for somebody to act; None when none does."""

    open: int
    unhandled: int
    oldest_at: datetime | None


class Resets:
    """Gated acts on people's means of sign-in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, reset: Reset) -> None:
        """Insert."""
        values = {name: getattr(reset, name) for name in Reset.__slots__}
        self._connection.execute(insert(resets).values({**values, "barred": list(reset.barred)}))

    def get(self, reset_id: str) -> Reset | None:
        """By id, open or not."""
        row = _BY_ID.first(self._connection, {"id": reset_id})
        return _reset(row) if row else None

    def held(self, reset_id: str) -> Reset | None:
        """Hold it until the transaction ends, and how it is now. Hold its account first."""
        row = _HELD.first(self._connection, {"id": reset_id})
        return _reset(row) if row else None

    def of_account(self, account_id: str, *, limit: int = 20) -> tuple[Reset, ...]:
        """An account's, open or not, newest first."""
        query = select(*_COLUMNS).where(resets.c.account_id == account_id)
        return self._read(query.order_by(resets.c.asked_at.desc(), resets.c.id.desc()).limit(limit))

    def open_of(self, account_id: str) -> tuple[Reset, ...]:
        """Those of an account that are open, oldest first."""
        query = select(*_COLUMNS).where(resets.c.account_id == account_id, _IS_OPEN)
        return self._read(query.order_by(resets.c.asked_at, resets.c.id))

    def count_since(self, account_id: str, since: datetime) -> int:
        """How many were asked for an account by the person since an instant, open or not."""
        query = select(func.count()).select_from(resets)
        query = query.where(resets.c.account_id == account_id, resets.c.is_own, resets.c.asked_at >= since)
        return self._connection.execute(query).scalar_one()

    def by_spoken(self, digest: str) -> Reset | None:
        """By the keyed hash of its spoken half, open or not."""
        row = _BY_SPOKEN.first(self._connection, {"digest": digest})
        return _reset(row) if row else None

    def by_stop(self, digest: str) -> Reset | None:
        """By the keyed hash of its stop code, open or not."""
        row = _BY_STOP.first(self._connection, {"digest": digest})
        return _reset(row) if row else None

    def change(self, reset_id: str, *, expected: Collection[str] | None = None, **values: Any) -> bool:
        """Set columns of an open one, if it is in one of the expected states; False when it is not: of several at once exactly one is told True."""
        query = update(resets).where(resets.c.id == reset_id, _IS_OPEN)
        if expected is not None:
            query = query.where(resets.c.state.in_(expected))
        if "barred" in values:
            values["barred"] = list(values["barred"])
        return self._connection.execute(query.values(**values)).rowcount == 1

    def claim(self, reset_id: str, now: datetime, *, state: str, stale_before: datetime) -> bool:
        """Begin to carry it out: True for one caller at a time, until `release`, or until `stale_before` (whoever had begun is dead)."""
        t = resets.c
        query = update(resets).where(t.id == reset_id, _IS_OPEN, t.state == state, or_(t.carried_at.is_(None), t.carried_at < stale_before))
        return self._connection.execute(query.values(carried_at=now)).rowcount == 1

    def release(self, reset_id: str) -> None:
        """It was not carried out after all."""
        query = update(resets).where(resets.c.id == reset_id, _IS_OPEN, resets.c.state.in_(("proven", "approved")))
        self._connection.execute(query.values(carried_at=None))

    def count_try(self, reset_id: str) -> int:
        """Count a wrong sent half; how many there have been. An issued one only."""
        _TRY.run(self._connection, {"reset": reset_id})
        row = _TRIES.first(self._connection, {"id": reset_id})
        return int(row[0]) if row else MOST_TRIES

    def redeem(self, reset_id: str, now: datetime) -> bool:
        """From issued to redeemed, before both halves end and while it has not been guessed at: True for exactly one caller ever."""
        return _REDEEM.run(self._connection, {"reset": reset_id, "now": now, "until": now + REDEEMED_LIFE}) == 1

    def finish(self, reset_id: str, now: datetime) -> bool:
        """From redeemed to done: the person has a password, or a factor, of their own again. What was sealed is forgotten."""
        return self.change(reset_id, expected=("redeemed",), state="done", closed_at=now, closed_by=None, sealed=None)

    def close(self, reset_id: str, state: str, now: datetime, by: str) -> bool:
        """End an open one without its purpose (expired, cancelled, stopped, burnt); what was sealed is forgotten. False when it had ended."""
        return self.change(reset_id, state=state, closed_at=now, closed_by=by[:140], sealed=None)

    def moves(self, reset_id: str) -> tuple[ResetMove, ...]:
        """What was done with one, in order."""
        query = select(*columns(ResetMove, reset_moves)).where(reset_moves.c.reset_id == reset_id)
        return tuple(_move(row) for row in self._connection.execute(query.order_by(reset_moves.c.at, reset_moves.c.id)))

    def add_move(self, move: ResetMove) -> None:
        """Insert."""
        values = {name: getattr(move, name) for name in ResetMove.__slots__}
        self._connection.execute(insert(reset_moves).values({**values, "details": dict(move.details)}))

    def last_move(self, reset_id: str, move: str) -> ResetMove | None:
        """The newest one of a kind."""
        query = select(*columns(ResetMove, reset_moves)).where(reset_moves.c.reset_id == reset_id, reset_moves.c.move == move)
        row = self._connection.execute(query.order_by(reset_moves.c.at.desc(), reset_moves.c.id.desc()).limit(1)).first()
        return _move(row) if row else None

    def queue(self, places: frozenset[str] | None, *, is_open: bool, limit: int, offset: int = 0) -> tuple[Reset, ...]:
        """Those of some establishments (None: everywhere): open ones the oldest first, closed ones the newest first."""
        t = resets.c
        query = select(*_COLUMNS).where(_IS_OPEN if is_open else t.closed_at.is_not(None))
        if places is not None:
            query = query.where(t.establishment_id.in_(places))
        order = (t.asked_at, t.id) if is_open else (t.asked_at.desc(), t.id.desc())
        return self._read(query.order_by(*order).limit(limit).offset(offset))

    def waiting(self, places: frozenset[str] | None) -> Waiting:
        """How many are open in some establishments (None: everywhere), and how many of them wait for an agent or an approver."""
        is_unhandled = resets.c.state.in_(("asked", "proven", "approved"))
        query = select(func.count()).select_from(resets).where(_IS_OPEN)
        old = select(func.count(), func.min(resets.c.asked_at)).where(_IS_OPEN, is_unhandled)
        if places is not None:
            query = query.where(resets.c.establishment_id.in_(places))
            old = old.where(resets.c.establishment_id.in_(places))
        unhandled, oldest = self._connection.execute(old).one()
        return Waiting(open=self._connection.execute(query).scalar_one(), unhandled=unhandled, oldest_at=oldest)

    def due(self, now: datetime, *, limit: int = 100) -> tuple[Reset, ...]:
        """Open ones past their end."""
        return self._read(select(*_COLUMNS).where(_IS_OPEN, resets.c.expires_at <= now).order_by(resets.c.expires_at).limit(limit))

    def slow(self, before: datetime, *, limit: int = 100) -> tuple[Reset, ...]:
        """Those asked before an instant that still wait for an agent or an approver, and of which nobody was warned yet (no move `escalated`)."""
        told = select(reset_moves.c.id).where(reset_moves.c.reset_id == resets.c.id, reset_moves.c.move == "escalated").exists()
        query = select(*_COLUMNS).where(_IS_OPEN, resets.c.state.in_(("asked", "proven", "approved")), resets.c.asked_at <= before, ~told)
        return self._read(query.order_by(resets.c.asked_at).limit(limit))

    def done_between(
        self, places: frozenset[str] | None, *, since: datetime, until: datetime
    ) -> tuple[tuple[str, str, datetime, datetime], ...]:
        """Of each that was done in [since, until): establishment's id, kind, when it was asked and when it was done. For the time to restore."""
        t = resets.c
        query = select(t.establishment_id, t.kind, t.asked_at, t.closed_at).where(
            t.state == "done", t.closed_at >= since, t.closed_at < until
        )
        if places is not None:
            query = query.where(t.establishment_id.in_(places))
        return tuple((row[0], row[1], row[2], row[3]) for row in self._connection.execute(query.order_by(t.closed_at, t.id)))

    def usual_seconds(self, establishment_id: str, *, since: datetime, most: int = 200) -> float | None:
        """The median time, in seconds, from asking to done at an establishment; None while none was done."""
        t = resets.c
        query = select(t.asked_at, t.closed_at).where(t.establishment_id == establishment_id, t.state == "done", t.closed_at >= since)
        rows = self._connection.execute(query.order_by(t.closed_at.desc()).limit(most)).all()
        lasted = sorted((row[1] - row[0]).total_seconds() for row in rows)
        return lasted[len(lasted) // 2] if lasted else None

    def _read(self, query: Select[Any]) -> tuple[Reset, ...]:
        return tuple(_reset(row) for row in self._connection.execute(query))
