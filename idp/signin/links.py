"""Links as rows and Events: who of a directory or provider is which Account, made and unmade, in the caller's transaction.

Owns the two rules that no link breaks: a person of a source is one Account's at a time, and an Account has one person of a source. What a source says
of the person is linking.py's; who may ask for a link is the caller's. Calls idp.endings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from connectors.base import State
from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.endings import Cause, Ended, end_connector_access
from idp.errors import Refused, StoreUnavailable
from idp.signin.placing import place
from idp.store.base import Link
from idp.store.database import Transaction

CONFLICT = "store_conflict"
How = Literal["directory", "created", "immutable_id", "proven", "operator"]
# What a source that was joined by these says is said of the same natural person, whoever else speaks of them.
SAME_PERSON = frozenset({"directory", "immutable_id"})
RANKS = {"directory": 0, "pushed": 1}


class LinkRefused(Refused):
    """No link is made; the reason says why. Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A person of a source, to be linked. `refresh_seal`: the provider's refresh token, sealed (refresh_seal.py)."""

    connector: str
    subject: str
    kind: Literal["directory", "upstream", "pushed"] = "upstream"
    how: How = "proven"
    refresh_seal: bytes | None = None


def reserve(tx: Transaction, connector: str, subject: str) -> None:
    """Be alone with one person of a source until the transaction ends: before any Account is held."""
    tx.lock(f"link {connector}/{subject}")


def link(
    tx: Transaction, account_id: str, new: NewLink, *, author: Author, clock: Clock, why: str | None = None, opened_by: str | None = None
) -> Link:
    """Link, or link again somebody who was unlinked; the caller has reserved them. What the source says is read anew at its next word. `opened_by`:
    what let a person add it themselves.

    Raises LinkRefused: account_not_active (suspended, ended, break-glass or demonstration), linked_to_another, linked_already. One that stands is
    left as it is.
    """
    account = tx.people.held(account_id)
    if account is None or not account.is_active or account.is_break_glass or account.is_demo:
        raise LinkRefused(Reason.ACCOUNT_NOT_ACTIVE, account_id)
    if (reason := obstacle(tx, account_id, new.connector, new.subject)) is not None:
        raise LinkRefused(reason, f"{account_id} and {new.connector}/{new.subject}")
    present = tx.links.get(new.connector, new.subject)
    if present is not None and present.ended_at is None:
        return present
    now = clock.now()
    made = Link(
        connector=new.connector,
        subject=new.subject,
        account_id=account_id,
        word=State.USABLE,
        word_at=now,
        seen_digest="",
        held_by_run=None,
        held_until=None,
        password_changed_at=None,
        created_at=now,
        kind=new.kind,
        how=new.how,
        refresh_seal=new.refresh_seal,
    )
    if present is not None:
        again = ("account_id", "word", "word_at", "seen_digest", "created_at", "kind", "how", "refresh_seal", "ended_at")
        tx.links.change(new.connector, new.subject, **{name: getattr(made, name) for name in again})
    elif not tx.links.add(made):
        raise StoreUnavailable(CONFLICT, f"{new.connector}/{new.subject} is being linked elsewhere")
    details = {"how": new.how, "why": why, "opened_by": opened_by}
    record(tx, EventType.ACCOUNT_LINKED, account_id, author, connector=new.connector, details=details, clock=clock)
    return made


def obstacle(tx: Transaction, account_id: str, connector: str, subject: str) -> Reason | None:
    """Why a person of a source cannot be linked to an Account: linked_to_another, linked_already; None when they can, or are."""
    present = tx.links.get(connector, subject)
    if present is not None and present.ended_at is None:
        return None if present.account_id == account_id else Reason.LINKED_TO_ANOTHER
    is_somebody_there = any(one.connector == connector for one in tx.links.of_account(account_id))
    return Reason.LINKED_ALREADY if is_somebody_there else None


def unlink(tx: Transaction, given: Link, author: Author, *, clock: Clock, why: str | None = None) -> Ended:
    """Let a person of a source be nobody's: what began with the source's word ends, and the attachments that it gave. Twice changes nothing."""
    tx.people.hold(given.account_id)
    current = tx.links.get(given.connector, given.subject)
    account = tx.people.get(given.account_id)
    if current is None or account is None or current.ended_at is not None or current.account_id != given.account_id:
        return Ended()
    tx.links.change(current.connector, current.subject, ended_at=clock.now(), refresh_seal=None)
    place(tx, account, (), author, source=current.connector, clock=clock)
    cause = Cause(Reason.UNLINKED, author.actor, author.origin)
    ended = end_connector_access(tx, account.id, current.connector, cause=cause, clock=clock)
    speak_anew(tx, account.id)
    details = {"how": current.how, "why": why, **ended.counts}
    record(tx, EventType.ACCOUNT_UNLINKED, account.id, author, connector=current.connector, details=details, clock=clock)
    return ended


def speak_anew(tx: Transaction, account_id: str) -> None:
    """Another source may lead from now on: each one's next word is kept in full, although it says nothing new."""
    for one in tx.links.of_account(account_id):
        tx.links.change(one.connector, one.subject, seen_digest="")


def leads(tx: Transaction, given: Link) -> bool:
    """Whether this source says what the person is called: a directory before a source that pushes, and that before a provider; the older before the
    younger, none that has let them go.

    A provider names only whom it made: an Account that an operator made, and that was linked since, keeps the operator's words.
    """
    candidates = [one for one in tx.links.of_account(given.account_id) if one.kind in RANKS or one.how == "created"]
    standing = [one for one in candidates if one.word != "gone"] or candidates
    first = min(standing, key=lambda one: (RANKS.get(one.kind, len(RANKS)), one.created_at, one.connector), default=None)
    return first is not None and (first.connector, first.subject) == (given.connector, given.subject)


def record(
    tx: Transaction,
    kind: EventType,
    account_id: str | None,
    author: Author,
    *,
    connector: str | None,
    clock: Clock,
    reason: Reason | None = None,
    details: Mapping[str, str | int | bool | None] | None = None,
) -> None:
    """One Event of this room."""
    kept = {name: value for name, value in (details or {}).items() if value is not None}
    tx.events.append(
        Event(
            type=kind,
            at=clock.now(),
            actor=author.actor,
            origin=author.origin,
            reason=reason,
            account_id=account_id,
            connector=connector,
            details=kept,
        )
    )
