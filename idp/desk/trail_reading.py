"""What the pages of the console read and take away of the audit trail, and who has no second factor, within the reader's establishments.

Owns the scope (asked again in the transaction that reads) and the record of every export, kept in the same transaction as what it reads.
Pages are idp/web/admin/audit.py's. Requirements R46-R48, R97.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from idp.audit import Event, EventType
from idp.clock import Clock
from idp.desk.authority import Agent, Authority
from idp.desk.csv_text import csv_row
from idp.store.base import Account, Establishment
from idp.store.database import Database, Transaction
from idp.store.events import EventFilter
from idp.store.factors import Unequipped
from idp.store.reach import Reach
from policies.acts import Act

MOST_LINES = 20_000
BOARD = ("family_name", "given_name", "establishment", "profile", "last_sign_in", "sign_ins_outside", "grace_ends_at")


@dataclass(frozen=True, slots=True)
class TrailLine:
    """A line as the store gives it, the person it is about, and the name of its establishment ("" for none)."""

    line: Mapping[str, Any]
    account: Account | None
    establishment: str


@dataclass(frozen=True, slots=True)
class WithoutFactor:
    """Somebody of the board, the name of the establishment, and when its grace ends for them (UTC; None: it has not begun, or there is none)."""

    person: Unequipped
    establishment: str
    grace_ends_at: datetime | None


class TooManyLines(Exception):
    """More lines match than one export of the console gives; nothing was taken away."""


class TrailReading:
    """Safe between threads; one per process. Every method raises ActRefused."""

    def __init__(self, database: Database, authority: Authority, clock: Clock) -> None:
        self._database = database
        self._authority = authority
        self._clock = clock

    def people(self, agent: Agent, typed: str) -> tuple[Account, ...]:
        """At most two of those whom `typed` finds, as far as the agent may read about them."""
        with self._database.read() as tx:
            return tx.search.people(typed, places=self._places(tx, agent, Act.READ_AUDIT), now=self._clock.now(), skip=0, count=2)

    def find(self, agent: Agent, wanted: EventFilter, *, skip: int, count: int) -> tuple[TrailLine, ...]:
        """A page of the lines, newest first."""
        with self._database.read() as tx:
            lines = tx.events.last(self._scoped(tx, agent, wanted), count, skip=skip)
            accounts = {who: tx.people.get(who) for who in {line["account_id"] for line in lines} if who}
            names = {place.id: place.name for place in tx.establishments.all()}
            return tuple(
                TrailLine(line, accounts.get(line["account_id"]), names.get(line["establishment_id"], "")) for line in reversed(lines)
            )

    def export(self, agent: Agent, wanted: EventFilter, form: Literal["csv", "jsonl"], *, filters: Mapping[str, str]) -> str:
        """The lines, oldest first, as text; TooManyLines above MOST_LINES."""
        with self._database.write() as tx:
            lines = list(tx.events.read(self._scoped(tx, agent, wanted), MOST_LINES + 1))
            if len(lines) > MOST_LINES:
                raise TooManyLines
            self._record(tx, agent, {"format": form, "lines": len(lines), **filters})
        if form == "jsonl":
            return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        names = list(lines[0]) if lines else ["id", "at", "type"]
        return csv_row(names) + "".join(csv_row(line[name] for name in names) for line in lines)

    def without_factor(self, agent: Agent) -> tuple[WithoutFactor, ...]:
        """Who has no second factor, by name, once for each establishment of the agent's."""
        with self._database.read() as tx:
            return self._board(tx, agent)

    def export_without_factor(self, agent: Agent) -> str:
        """The board as CSV."""
        with self._database.write() as tx:
            found = self._board(tx, agent)
            self._record(tx, agent, {"format": "csv", "lines": len(found), "board": "without_factor"})
        return csv_row(BOARD) + "".join(
            csv_row(
                (
                    one.person.account.family_name,
                    one.person.account.given_name,
                    one.establishment,
                    one.person.profile,
                    one.person.last_sign_in.isoformat() if one.person.last_sign_in else "",
                    one.person.sign_ins_outside,
                    one.grace_ends_at.isoformat() if one.grace_ends_at else "",
                )
            )
            for one in found
        )

    def _board(self, tx: Transaction, agent: Agent) -> tuple[WithoutFactor, ...]:
        found = tx.factors.unequipped(self._clock.now(), places=self._places(tx, agent, Act.FIND))
        places = {place.id: place for place in tx.establishments.all()}
        return tuple(_without(one, places[one.establishment_id]) for one in found)

    def _scoped(self, tx: Transaction, agent: Agent, wanted: EventFilter) -> EventFilter:
        return replace(wanted, reach=Reach(self._places(tx, agent, Act.READ_AUDIT), self._clock.now()))

    def _places(self, tx: Transaction, agent: Agent, act: Act) -> frozenset[str] | None:
        self._authority.demand(tx, act, agent)
        return self._authority.actor(tx, agent).places(act)

    def _record(self, tx: Transaction, agent: Agent, details: Mapping[str, str | int | bool | None]) -> None:
        author = agent.author
        event = Event(type=EventType.AUDIT_EXPORTED, at=self._clock.now(), actor=author.actor, origin=author.origin, details=details)
        tx.events.append(event)


def _without(one: Unequipped, place: Establishment) -> WithoutFactor:
    began, days = one.account.grace_began_at, place.enrolment_grace_days
    return WithoutFactor(one, place.name, began + timedelta(days=days) if began is not None and days > 0 else None)
