"""Finding a person in two keystrokes: by the beginning of a name, a number, an e-mail address, or by the support code of a page they were shown.

Owns what an agent sees of it: people attached where they hold Act.FIND, and of a support code the lines of those establishments
about such people or about nobody known.
Calls the store's search; changes nothing.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from idp.audit import EventType, Reason
from idp.clock import Clock
from idp.desk.authority import Agent, Authority
from idp.store.base import Account, Attachment, Establishment, Session
from idp.store.database import Database, Transaction
from idp.store.events import EventFilter
from policies.acts import Act
from policies.sessions import SessionLimits

MOST_LINES = 12
SUPPORT_CODE = re.compile(r"[0-9A-HJKMNP-TV-Z]{10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where somebody is attached, of the establishments that the agent sees; `is_valid` now."""

    attachment: Attachment
    establishment: Establishment
    is_valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPerson:
    """One line of the answer. `elsewhere`: how many attachments they have where the agent sees nothing."""

    account: Account
    standings: tuple[Standing, ...]
    elsewhere: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLine:
    """What happened on the page that showed a support code; `account` when it was about somebody known."""

    at: datetime
    type: EventType
    reason: Reason | None
    account: Account | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of the answer. `is_code`: what was typed may be a support code, of which `lines` is all that may be told."""

    people: tuple[FoundPerson, ...]
    is_code: bool = False
    lines: tuple[CodeLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """One signed-in browser, whose it is and where."""

    session: Session
    account: Account
    establishment: Establishment


class PeopleSearch:
    """Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, authority: Authority, limits: SessionLimits) -> None:
        self._database = database
        self._clock = clock
        self._authority = authority
        self._limits = limits

    def find(self, agent: Agent, typed: str, *, skip: int = 0, count: int = 50) -> Found:
        """Who may be meant, by name, at most `count` after the first `skip`. Raises ActRefused."""
        places, now = agent.actor.places(Act.FIND), self._clock.now()
        code = re.sub(r"[\s-]", "", typed).upper()
        is_code = SUPPORT_CODE.fullmatch(code) is not None
        with self._database.read() as tx:
            self._authority.demand(tx, Act.FIND, agent)
            accounts = tx.search.people(typed, places=places, now=now, skip=skip, count=count)
            people = tuple(self._found(tx, account, places, now=now) for account in accounts)
            lines = self._lines(tx, code, places, now=now) if is_code else ()
        return Found(people=people, is_code=is_code, lines=lines)

    def sessions(
        self, agent: Agent, *, establishment: Establishment | None = None, skip: int = 0, count: int = 50
    ) -> tuple[OpenSession, ...]:
        """Who is signed in at the agent's establishments (or one of them), last active first. Raises ActRefused."""
        now = self._clock.now()
        with self._database.read() as tx:
            self._authority.demand(tx, Act.FIND, agent, establishment=establishment)
            places = agent.actor.places(Act.FIND) if establishment is None else frozenset({establishment.id})
            rows = tx.sessions.live_at(places, now, limits=self._limits, skip=skip, count=count)
            return tuple(
                OpenSession(session=session, account=account, establishment=place)
                for session in rows
                if (account := tx.people.get(session.account_id)) is not None
                and (place := tx.establishments.get(session.establishment_id)) is not None
            )

    def _found(self, tx: Transaction, account: Account, places: Collection[str] | None, *, now: datetime) -> FoundPerson:
        seen, elsewhere = standings(tx, account.id, places, now=now)
        return FoundPerson(account=account, standings=seen, elsewhere=elsewhere)

    def _lines(self, tx: Transaction, code: str, places: frozenset[str] | None, *, now: datetime) -> tuple[CodeLine, ...]:
        slugs = slugs_of(tx, places)
        found: list[CodeLine] = []
        for line in tx.events.read(EventFilter(request_id=code), limit=MOST_LINES):
            account = tx.people.get(line["account_id"]) if line["account_id"] else None
            if account is not None and not tx.search.is_seen(account.id, places=places, now=now):
                continue
            if places is not None and not is_near(line, places, slugs):
                continue
            reason = Reason(line["reason"]) if line["reason"] else None
            found.append(CodeLine(at=datetime.fromisoformat(line["at"]), type=EventType(line["type"]), reason=reason, account=account))
        return tuple(found)


def standings(tx: Transaction, account_id: str, places: Collection[str] | None, *, now: datetime) -> tuple[tuple[Standing, ...], int]:
    """Attachments that have not ended (or whose last day is past), where the agent sees them, and how many are elsewhere."""
    seen: list[Standing] = []
    elsewhere = 0
    for one in tx.people.attachments(account_id):
        if one.ended_at is not None:
            continue
        place = tx.establishments.get(one.establishment_id) if places is None or one.establishment_id in places else None
        if place is not None:
            seen.append(Standing(attachment=one, establishment=place, is_valid=one.is_valid(now)))
        else:
            elsewhere += 1
    return tuple(seen), elsewhere


def slugs_of(tx: Transaction, places: Collection[str] | None) -> frozenset[str]:
    """The slugs of these establishments; of all for None."""
    return frozenset(place.slug for place in tx.establishments.all() if places is None or place.id in places)


def is_near(line: Mapping[str, Any], places: Collection[str], slugs: Collection[str]) -> bool:
    """Whether a line of the trail happened at one of the establishments, or nowhere that is anybody's; `slugs`: theirs."""
    if line["establishment_id"] is not None:
        return line["establishment_id"] in places
    slug = str(line["zone"]).partition("/")[0]
    return slug in slugs or line["zone"] == "outside"
