"""Roles: who administers what. The first administrator is made by whoever holds the machine, the others by administrators.

Each act is an Event in the caller's transaction. That administrators are always asked a second factor is a rule (policies/rules.py), not decided
here.
"""

from typing import get_args

from idp.audit import Author, Event, EventType
from idp.clock import Clock
from idp.errors import VestibuleError
from idp.people.factors import issue_pass
from idp.signin.passes import Passes
from idp.store.base import Account, Establishment, Role
from idp.store.database import Transaction
from policies import acts
from policies.acts import ESTABLISHMENT_ONLY, GROUP_ONLY

RoleName = acts.RoleName
ROLES: tuple[str, ...] = get_args(RoleName)
GROUP: RoleName = "group_administrator"
LOCK = "roles"


class RoleRefused(VestibuleError):
    """The change of roles makes no sense; `detail` says why, in English, for an operator."""


def give(
    tx: Transaction, account: Account, role: RoleName, author: Author, *, clock: Clock, establishment: Establishment | None = None
) -> Role:
    """Make somebody an administrator, of the group or of one establishment. Raises RoleRefused."""
    tx.lock(LOCK)
    refuse_unfit(tx, account, role, establishment=establishment)
    given = Role(
        id=clock.new_id(),
        account_id=account.id,
        role=role,
        establishment_id=establishment.id if establishment else None,
        given_by=author.actor[:140],
        created_at=clock.now(),
        ended_at=None,
    )
    tx.roles.add(given)
    _record(tx, EventType.ROLE_GIVEN, given, author, clock=clock)
    return given


def refuse_unfit(tx: Transaction, account: Account, role: RoleName, *, establishment: Establishment | None) -> None:
    """Raises RoleRefused when somebody cannot be given a role: they are not fit, it is not held there, or they have it."""
    if not account.is_active or account.is_break_glass or account.is_demo:
        raise RoleRefused("account_not_fit", f"{account.name} is {_unfit(account)} and cannot administer anything")
    if role in GROUP_ONLY and establishment is not None:
        raise RoleRefused("role_misplaced", f"{role} is for the whole group")
    if role in ESTABLISHMENT_ONLY and establishment is None:
        raise RoleRefused("role_misplaced", f"{role} is for one establishment: name it")
    place = establishment.id if establishment else None
    if any(one.role == role and one.establishment_id == place for one in tx.roles.open_of(account.id)):
        raise RoleRefused("role_there_already", f"{account.name} is {role} already")


def take(
    tx: Transaction,
    account: Account,
    author: Author,
    *,
    clock: Clock,
    role: str | None = None,
    establishment: Establishment | None = None,
    role_id: str | None = None,
) -> tuple[Role, ...]:
    """End somebody's roles: all, those of one name, those at one establishment, or one by its id.

    Raises RoleRefused when there is none, and when nobody would administer the group any more.
    """
    tx.lock(LOCK)
    had_one = _has_administrator(tx)
    chosen = tuple(
        one
        for one in tx.roles.open_of(account.id)
        if role in {None, one.role} and role_id in {None, one.id} and (establishment is None or one.establishment_id == establishment.id)
    )
    if not chosen:
        raise RoleRefused("no_such_role", f"{account.name} has no such role")
    for one in chosen:
        tx.roles.end(one.id, clock.now())
        _record(tx, EventType.ROLE_TAKEN, one, author, clock=clock)
    if had_one and not _has_administrator(tx):
        raise RoleRefused(
            "last_administrator", f"{account.name} is the last who administers the group: give the role to somebody else first"
        )
    return chosen


def administrators(tx: Transaction) -> tuple[tuple[Role, Account], ...]:
    """Every role that has not ended, with whose it is; of accounts that may still be used."""
    found = ((role, tx.people.get(role.account_id)) for role in tx.roles.holders())
    return tuple((role, account) for role, account in found if account is not None and account.is_active)


def bootstrap(tx: Transaction, account: Account, author: Author, *, passes: Passes, clock: Clock) -> str:
    """Make the first group administrator, and a pass with which they add a second factor from anywhere: the code, to be shown once.

    Raises RoleRefused when the group has an administrator: from then on that one gives roles, and whoever holds the machine leaves more trace.
    """
    tx.lock(LOCK)
    present = next((holder for role, holder in administrators(tx) if role.role == GROUP), None)
    if present is not None:
        raise RoleRefused(
            "administrator_there_already", f"{present.name} administers the group already: `vestibule admin give` makes others"
        )
    give(tx, account, GROUP, author, clock=clock)
    code, _ = issue_pass(tx, account, "enrol", author, passes=passes)
    return code


def _has_administrator(tx: Transaction) -> bool:
    return any(role.role == GROUP for role, _ in administrators(tx))


def _unfit(account: Account) -> str:
    if account.is_break_glass:
        return "the break-glass account"
    return account.status if not account.is_active else "a demonstration account"


def _record(tx: Transaction, kind: EventType, role: Role, author: Author, *, clock: Clock) -> None:
    tx.events.append(
        Event(
            type=kind,
            at=clock.now(),
            actor=author.actor,
            origin=author.origin,
            account_id=role.account_id,
            establishment_id=role.establishment_id,
            details={"role": role.role},
        )
    )
