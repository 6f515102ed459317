"""Accounts: creating, changing, suspending, reinstating, ending; each act writes its Event in the caller's transaction.

An ended Account keeps its identifiers: an identifier names one person for ever, so that an old audit line never points at somebody else.
Calls idp.endings for what must stop; sends nothing.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.endings import Cause, Ended, cut_account
from idp.errors import VestibuleError
from idp.people import values
from idp.signals import Occasion, account_changed
from idp.signin.local import normalise_identifier
from idp.store.base import Account, Establishment
from idp.store.database import Transaction

BY_OPERATOR = "operator"


class AccountRefused(VestibuleError):
    """The act on an Account makes no sense; `detail` says why, in English, for an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """A person to be. At least one of username, e-mail and staff number; a staff number is unique in its establishment."""

    username: str | None = None
    email: str | None = None
    staff_number: str | None = None
    establishment: Establishment | None = None
    given_name: str = ""
    family_name: str = ""
    phone_number: str | None = None
    locale: str | None = None
    is_demo: bool = False

    def parsed(self) -> "NewAccount":
        """The same with every value in the form it is kept in; raises values.ValueRefused."""
        if self.staff_number and self.establishment is None:
            raise values.ValueRefused("staff_number", "a staff number needs its establishment")
        if not (self.username or self.email or self.staff_number):
            raise values.ValueRefused("username", "at least one of username, e-mail and staff number is needed")
        if self.locale and self.locale not in {"fr", "en"}:
            raise values.ValueRefused("locale", f"{self.locale!r}: fr or en")
        return dataclasses.replace(
            self,
            username=values.username(self.username) if self.username else None,
            email=values.email(self.email) if self.email else None,
            staff_number=values.staff_number(self.staff_number) if self.staff_number else None,
            given_name=values.person_name(self.given_name, "given_name"),
            family_name=values.person_name(self.family_name, "family_name"),
            phone_number=values.phone_number(self.phone_number) if self.phone_number else None,
            locale=self.locale or None,
        )

    def found_by(self) -> tuple[tuple[str, str, str], ...]:
        """The identifiers of a parsed one, as (kind, value, scope)."""
        found = [("username", self.username, ""), ("email", self.email, "")]
        if self.staff_number and self.establishment:
            found.append(("number", self.staff_number, self.establishment.id))
        return tuple((kind, value, scope) for kind, value, scope in found if value)


def taken(tx: Transaction, new: NewAccount) -> tuple[tuple[str, Account], ...]:
    """Identifiers of a parsed NewAccount that another Account carries, with that Account, whatever their kind."""
    found: list[tuple[str, Account]] = []
    for _, value, scope in new.found_by():
        # A username that is another person's staff number would make both ambiguous: values are compared across kinds.
        found.extend((value, account) for account in tx.people.matching(value, scope or None))
    return tuple(found)


def add(tx: Transaction, new: NewAccount, author: Author, *, clock: Clock) -> Account:
    """Create; raises values.ValueRefused, or AccountRefused("identifier_taken")."""
    new = new.parsed()
    for value, other in taken(tx, new):
        raise AccountRefused("identifier_taken", f"{value} already belongs to {other.name} ({other.id}, {other.status})")
    now = clock.now()
    account = Account(
        id=clock.new_id(),
        status="active",
        username=new.username,
        given_name=new.given_name,
        family_name=new.family_name,
        email=new.email,
        email_verified=False,
        phone_number=new.phone_number,
        phone_number_verified=False,
        address=None,
        locale=new.locale,
        is_demo=new.is_demo,
        last_establishment_id=None,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )
    tx.people.add(account, found_by=new.found_by())
    details: dict[str, str | int | bool | None] = {"demo": True} if new.is_demo else {}
    _record(tx, EventType.ACCOUNT_ADDED, account, author, clock=clock, details=details)
    return account


def suspend(tx: Transaction, account: Account, author: Author, *, clock: Clock) -> Ended:
    """Cut everything now; can be undone. Raises AccountRefused unless the Account is active."""
    return _cut(tx, account, author, clock=clock, status="suspended")


def end(tx: Transaction, account: Account, author: Author, *, clock: Clock) -> Ended:
    """Cut everything for good. Raises AccountRefused when it has ended already."""
    return _cut(tx, account, author, clock=clock, status="ended")


def reinstate(tx: Transaction, account: Account, author: Author, *, clock: Clock) -> None:
    """Make a suspended Account active again; nothing that was cut comes back. Raises AccountRefused unless it is suspended."""
    account = tx.people.held(account.id) or account
    if account.status != "suspended":
        raise AccountRefused("account_not_suspended", f"{account.name} is {account.status}")
    tx.people.change(account.id, clock.now(), status="active", cut_by=None)
    occasion = Occasion(author.actor, str(EventType.ACCOUNT_REINSTATED), author.origin)
    account_changed(tx, account.id, "enabled", occasion=occasion, clock=clock)
    _record(tx, EventType.ACCOUNT_REINSTATED, account, author, clock=clock)


def named(tx: Transaction, text: str, *, establishment_id: str | None = None) -> Account:
    """The Account that an operator names by id or identifier; raises AccountRefused when there is none, or several."""
    by_id = tx.people.get(text.strip().upper())
    if by_id is not None:
        return by_id
    found = tx.people.matching(normalise_identifier(text), establishment_id)
    if not found:
        raise AccountRefused("no_such_account", f"no account has the id or identifier {text!r}")
    if len(found) > 1:
        people = ", ".join(f"{account.name} ({account.id})" for account in found)
        raise AccountRefused("ambiguous_account", f"{text!r} names several accounts: {people}; give the id")
    return found[0]


def _cut(tx: Transaction, account: Account, author: Author, *, clock: Clock, status: Literal["suspended", "ended"]) -> Ended:
    account = tx.people.held(account.id) or account
    # What a directory has suspended an operator may still suspend: then its next word does not lift it.
    if account.status == "ended" or (account.status == status and account.cut_by == BY_OPERATOR):
        raise AccountRefused("account_already_cut", f"{account.name} is {account.status} already")
    return cut_account(
        tx, account.id, Cause(Reason.ACCOUNT_CUT, author.actor, author.origin), status=status, cut_by=BY_OPERATOR, clock=clock
    )


def _record(
    tx: Transaction,
    kind: EventType,
    account: Account,
    author: Author,
    *,
    clock: Clock,
    details: Mapping[str, str | int | bool | None] | None = None,
) -> None:
    tx.events.append(
        Event(type=kind, at=clock.now(), actor=author.actor, origin=author.origin, account_id=account.id, details=details or {})
    )
