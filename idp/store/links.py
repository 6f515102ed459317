"""Links between Accounts and directories, and the runs that read whole directories, in SQL."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from idp.store.base import Link, SyncRun
from idp.store.rows import columns, reader
from idp.store.statement import InsertUnlessThere, Statement
from idp.store.tables import links as t
from idp.store.tables import sync_runs as runs

LET_IN = ("usable", "must_change", "locked", "not_now")  # policies.lifecycle.lets_stay
_link = reader(Link)
_run = reader(SyncRun, counts=dict)
_COLUMNS = columns(Link, t)
_BY_SUBJECT = Statement(select(*_COLUMNS).where(t.c.connector == bindparam("connector"), t.c.subject == bindparam("subject")))
_OF_ACCOUNT = Statement(
    select(*_COLUMNS).where(t.c.account_id == bindparam("id"), t.c.ended_at.is_(None)).order_by(t.c.created_at, t.c.connector)
)
_INSERT = InsertUnlessThere(t)
_HEAR = Statement(
    update(t)
    .where(t.c.connector == bindparam("name"), t.c.subject == bindparam("who"))
    .values(word=bindparam("said"), word_at=bindparam("at"), seen_digest=bindparam("seen"))
)


class Links:
    """Who Accounts are in directories."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, connector: str, subject: str) -> Link | None:
        """By the source and its lasting id; one that was unlinked too (`ended_at`)."""
        row = _BY_SUBJECT.first(self._connection, {"connector": connector, "subject": subject})
        return _link(row) if row else None

    def of_account(self, account_id: str) -> tuple[Link, ...]:
        """Every one of an Account that stands, oldest first."""
        return tuple(_link(row) for row in _OF_ACCOUNT.all(self._connection, {"id": account_id}))

    def add(self, link: Link) -> bool:
        """Insert; False when the person is linked already."""
        values = {name: getattr(link, name) for name in Link.__slots__}
        return _INSERT.run(self._connection, values)

    def hear(self, connector: str, subject: str, *, word: str, at: datetime, seen_digest: str) -> None:
        """Keep the directory's word of this instant."""
        _HEAR.run(self._connection, {"name": connector, "who": subject, "said": word, "at": at, "seen": seen_digest})

    def hear_again(self, connector: str, subjects: tuple[str, ...], *, at: datetime) -> None:
        """These were said to be as before at `at`; of whom something was heard since is left alone."""
        query = update(t).where(t.c.connector == connector, t.c.subject.in_(subjects), t.c.word_at < at)
        self._connection.execute(query.values(word_at=at))

    def is_heard_after(self, instant: datetime) -> bool:
        """Whether any word is of later than that."""
        return self._connection.execute(select(t.c.account_id).where(t.c.word_at > instant).limit(1)).first() is not None

    def take_back(self, later_than: datetime, *, at: datetime) -> int:
        """Words of later than that are of `at` from now on; how many."""
        return self._connection.execute(update(t).where(t.c.word_at > later_than).values(word_at=at)).rowcount

    def past_their_end(self, connector: str, now: datetime, *, limit: int) -> tuple[Link, ...]:
        """Those whom a directory let in at its last word and whose account has ended by itself since, the earliest first; none who are held."""
        query = select(*_COLUMNS).where(
            t.c.connector == connector,
            t.c.ends_at <= now,
            t.c.ended_at.is_(None),
            t.c.word.in_(LET_IN),
            or_(t.c.held_until.is_(None), t.c.held_until <= now),
        )
        return tuple(_link(row) for row in self._connection.execute(query.order_by(t.c.ends_at, t.c.subject).limit(limit)))

    def change_password(self, connector: str, subject: str, at: datetime) -> None:
        """Remember that the directory's password was changed on our page."""
        query = update(t).where(t.c.connector == connector, t.c.subject == subject)
        self._connection.execute(query.values(password_changed_at=at))

    def change(self, connector: str, subject: str, **values: Any) -> None:
        """Set columns: who it is linked to, `ended_at`, `refresh_seal`."""
        self._connection.execute(update(t).where(t.c.connector == connector, t.c.subject == subject).values(**values))

    def count(self, connector: str) -> int:
        """How many people are linked to a directory and were not gone at its last word."""
        query = select(func.count()).select_from(t).where(t.c.connector == connector, t.c.word != "gone", t.c.ended_at.is_(None))
        return self._connection.execute(query).scalar_one()

    def count_let_in(self, connector: str) -> int:
        """How many of them it let in at its last word (policies.lifecycle.lets_stay)."""
        kept = t.c.word.in_(LET_IN)
        query = select(func.count()).select_from(t).where(t.c.connector == connector, kept, t.c.ended_at.is_(None))
        return self._connection.execute(query).scalar_one()

    def all(self, connector: str) -> Iterator[Link]:
        """Every one of a directory, by subject, streamed."""
        query = select(*_COLUMNS).where(t.c.connector == connector, t.c.ended_at.is_(None)).order_by(t.c.subject)
        for row in self._connection.execute(query, execution_options={"yield_per": 1000}):
            yield _link(row)

    def hold(self, connector: str, subjects: tuple[str, ...], *, run_id: str, until: datetime) -> None:
        """Let the last word on these people stand until `until`, because a run waits for a human."""
        query = update(t).where(t.c.connector == connector, t.c.subject == bindparam("who"), t.c.held_by_run.is_(None))
        if subjects:
            values = [{"who": subject} for subject in subjects]
            self._connection.execute(query.values(held_by_run=run_id, held_until=until), values)

    def held_by(self, run_id: str, *, limit: int | None = None) -> tuple[Link, ...]:
        """Those that a run holds, whose hold is over first before the others."""
        query = select(*_COLUMNS).where(t.c.held_by_run == run_id).order_by(t.c.held_until, t.c.subject).limit(limit)
        return tuple(_link(row) for row in self._connection.execute(query))

    def release(self, run_id: str) -> None:
        """Hold nobody for this run any more."""
        self._connection.execute(update(t).where(t.c.held_by_run == run_id).values(held_by_run=None, held_until=None))

    def add_run(self, run: SyncRun) -> None:
        """Insert."""
        values = {name: getattr(run, name) for name in SyncRun.__slots__}
        self._connection.execute(insert(runs), {**values, "counts": dict(run.counts)})

    def run(self, run_id: str) -> SyncRun | None:
        """By id."""
        row = self._connection.execute(select(*columns(SyncRun, runs)).where(runs.c.id == run_id)).first()
        return _run(row) if row else None

    def runs(self, connector: str, *, state: str | None = None, limit: int = 20) -> tuple[SyncRun, ...]:
        """The newest ones of a directory."""
        query = select(*columns(SyncRun, runs)).where(runs.c.connector == connector)
        if state is not None:
            query = query.where(runs.c.state == state)
        return tuple(_run(row) for row in self._connection.execute(query.order_by(runs.c.started_at.desc(), runs.c.id).limit(limit)))

    def change_run(self, run_id: str, *, expected: str, **values: Any) -> bool:
        """Set columns of a run that is in the expected state; False when it is in another."""
        query = update(runs).where(runs.c.id == run_id, runs.c.state == expected).values(**values)
        return self._connection.execute(query).rowcount == 1
