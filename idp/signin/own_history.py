"""A person's own sign-ins, as the audit trail has them, and "this was not me": one act that ends everything and raises the alarm.

Owns which lines a person sees of themselves, and what the act does; who is written to about it is idp/alerts.py's, by the Event. Reads and writes the
store. Source: requirement R91, CNIL délibération 2021-122 (people may see the accesses that are theirs).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.endings import Cause, Ended, end_account_access, end_resets
from idp.signin.devices import Tell
from idp.store.base import Session
from idp.store.database import Database
from idp.store.events import EventFilter

KEPT_FOR = timedelta(days=90)
PAGE = 30
SHOWN = frozenset({EventType.SIGNIN_SUCCEEDED, EventType.SIGNIN_REFUSED})
# What else begins with "signin.": a page is filled from a few more lines than it shows.
READ = 4 * PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSignIn:
    """One sign-in, or a try at one under the person's name. `reason`: why it was refused; None when it succeeded."""

    id: int
    at: datetime
    reason: str | None
    zone: str
    zone_kind: str
    address: str
    user_agent: str
    support_code: str
    is_here: bool

    @property
    def is_refused(self) -> bool:
        """Whether nothing was opened."""
        return self.reason is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A page of sign-ins, newest first. `older_than`: ask for the next page with it; None when this is the last."""

    lines: tuple[OwnSignIn, ...]
    older_than: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disowned:
    """What "this was not me" has done. `must_change`: a password kept here must be chosen anew at the next sign-in."""

    ended: Ended
    must_change: bool


class OwnHistory:
    """By the live Session of the person. Safe between threads; one per process."""

    def __init__(self, database: Database, clock: Clock, *, tell: Tell | None = None) -> None:
        self._database = database
        self._clock = clock
        self._tell = tell

    def page(self, session: Session, before: datetime | None = None) -> History:
        """The sign-ins of the last KEPT_FOR; `before` (UTC) pages on."""
        wanted = EventFilter(since=self._clock.now() - KEPT_FOR, until=before, type_prefix="signin.", account_id=session.account_id)
        with self._database.read() as tx:
            found = tx.events.last(wanted, READ)
        own = [_line(row, session) for row in reversed(found) if row["type"] in SHOWN]
        shown = tuple(own[:PAGE])
        has_more = len(own) > PAGE or len(found) == READ
        # Of what was read and is not shown nothing may be lost: the next page begins where this one ends.
        last = shown[-1].at if len(own) > PAGE else datetime.fromisoformat(found[0]["at"]) if found else None
        return History(lines=shown, older_than=last if has_more else None)

    def disown(self, session: Session, line_id: int, *, origin: Origin) -> Disowned | None:
        """ "This was not me": every Session, Grant, browser and pass of the person ends, and their password must be changed.

        None when the line is not one of theirs. Event signin.disowned. This browser's Session ends too: whoever opened it may be the other one.
        """
        now, account_id = self._clock.now(), session.account_id
        actor = f"account:{account_id}"
        with self._database.write() as tx:
            tx.people.hold(account_id)
            wanted = EventFilter(type_prefix="signin.", account_id=account_id, after_id=line_id - 1)
            line = next(iter(list(tx.events.read(wanted, limit=1))), None)  # to the end: a cursor left open is a warning
            account = tx.people.get(account_id)
            if line is None or line["id"] != line_id or line["type"] not in SHOWN or account is None:
                return None
            cause = Cause(Reason.DISOWNED, actor, origin)
            ended = end_account_access(tx, account_id, cause, clock=self._clock)
            # Whoever signed in as them may have asked for it.
            end_resets(tx, account_id, cause, clock=self._clock)
            passes = tx.passes.end_unused(account_id, now)
            # Whoever is half way into a sign-in with the password that is known has proven nothing.
            must_change = tx.people.expire_password(account_id, now)
            for link in tx.links.of_account(account_id):
                tx.links.change_password(link.connector, link.subject, now)
            told: Mapping[str, str | int | bool | None] = {
                "line": line_id,
                "line_at": line["at"],
                "line_type": line["type"],
                "line_address": line["address"],
                "line_zone": line["zone"],
                "passes": passes,
                "must_change": must_change,
                **ended.counts,
            }
            tx.events.append(
                Event(
                    type=EventType.SIGNIN_DISOWNED,
                    at=now,
                    actor=actor,
                    origin=origin,
                    account_id=account_id,
                    establishment_id=session.establishment_id,
                    session_id=session.id,
                    details=told,
                )
            )
            if self._tell is not None:
                self._tell(tx, account, "signin_disowned", {}, author=Author(actor, origin))
        return Disowned(ended=ended, must_change=must_change)


def _line(row: Mapping[str, Any], session: Session) -> OwnSignIn:
    is_refused = row["type"] == EventType.SIGNIN_REFUSED
    return OwnSignIn(
        id=row["id"],
        at=datetime.fromisoformat(row["at"]),
        reason=(row["reason"] or str(Reason.NOTHING_SAID)) if is_refused else None,
        zone=row["zone"],
        zone_kind=row["zone_kind"],
        address=row["address"],
        user_agent=row["user_agent"],
        support_code=row["request_id"],
        is_here=row["session_id"] == session.id,
    )
