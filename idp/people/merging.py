"""Merging two Accounts that are one person, and undoing it: what moves, what ends, what stays; each is an Event in the caller's transaction.

Owns those decisions. The older `sub` lives; the other is retired: ended, pointing at the one that goes on, never issued again. Everybody signed in as
either signs in again. Passkeys (bound to the `sub`), recovery codes, known browsers, roles and consents never move. Calls idp.endings.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from idp.audit import Author, EventType, Reason
from idp.clock import Clock
from idp.endings import Cause, Ended, cut_account, end_account_access, end_attachment, end_resets
from idp.people.accounts import BY_OPERATOR, AccountRefused
from idp.signin.enrolment import has_strong
from idp.signin.links import record, speak_anew
from idp.store.base import Account, Merge
from idp.store.database import Transaction

MOVING_FACTORS = frozenset({"totp", "sms", "email"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A merge, or its undoing, and what ended with it."""

    merge: Merge
    ended: Ended


def merge(tx: Transaction, kept: Account, retired: Account, author: Author, *, why: str, clock: Clock) -> Outcome | None:
    """Make one Account of two; None when they were merged already. Raises AccountRefused, and then nothing is written."""
    tx.people.hold(kept.id, retired.id)
    kept, retired = _now(tx, kept), _now(tx, retired)
    if kept.id != retired.id and retired.merged_into == kept.id:
        return None
    _check(tx, kept, retired)
    now, cause = clock.now(), Cause(Reason.MERGED, author.actor, author.origin)
    ended = end_account_access(tx, kept.id, cause, clock=clock)
    end_resets(tx, kept.id, cause, clock=clock)
    ended += cut_account(tx, retired.id, cause, status="ended", cut_by=BY_OPERATOR, clock=clock)
    tx.people.change(retired.id, now, merged_into=kept.id)
    made = Merge(
        id=clock.new_id(),
        kept_id=kept.id,
        retired_id=retired.id,
        retired_status=retired.status,
        retired_cut_by=retired.cut_by,
        moved=_move(tx, kept, retired),
        actor=author.actor[:140],
        why=why,
        merged_at=now,
        undone_at=None,
    )
    tx.merges.add(made)
    speak_anew(tx, kept.id)
    details: dict[str, str | int | bool | None] = {"retired": retired.id, "why": why, **_counted(made.moved), **ended.counts}
    record(tx, EventType.ACCOUNT_MERGED, kept.id, author, connector=None, clock=clock, details=details)
    return Outcome(made, ended)


def unmerge(tx: Transaction, retired: Account, author: Author, *, why: str, clock: Clock) -> Outcome | None:
    """Give the retired Account back what moved and still stands; None when it is retired into nobody. Raises AccountRefused.

    What was said of the one that went on since (a suspension) is said of both: each source is asked about its own again.
    """
    found = next(
        (one for one in reversed(tx.merges.of_account(retired.id)) if one.retired_id == retired.id and one.undone_at is None), None
    )
    if found is None:
        return None
    tx.people.hold(found.kept_id, found.retired_id)
    retired = _now(tx, retired)
    kept = tx.people.get(found.kept_id)
    if kept is None or kept.status == "ended":
        way = f"undo the merge of {kept.name} first" if kept is not None and kept.merged_into else "it stays as it is"
        raise AccountRefused("account_ended", f"the account that {retired.name} went into has ended: {way}")
    _check_returning(tx, kept, retired, found)
    now = clock.now()
    if not tx.merges.undo(found.id, now):
        return None
    cause = Cause(Reason.MERGED, author.actor, author.origin)
    ended = end_account_access(tx, kept.id, cause, clock=clock) + end_account_access(tx, retired.id, cause, clock=clock)
    _take_back(tx, kept, found, author, clock=clock)
    back = _move_back(tx, found)
    is_cut = kept.status == "suspended"
    status = cast(Literal["active", "suspended"], "suspended" if is_cut else found.retired_status)
    cut_by = kept.cut_by if is_cut else found.retired_cut_by
    tx.people.change(retired.id, now, status=status, cut_by=cut_by, ended_at=None, merged_into=None)
    for one in (kept.id, retired.id):
        speak_anew(tx, one)
    details: dict[str, str | int | bool | None] = {"retired": retired.id, "why": why, **_counted(back), **ended.counts}
    record(tx, EventType.ACCOUNT_UNMERGED, kept.id, author, connector=None, clock=clock, details=details)
    return Outcome(found, ended)


def _check(tx: Transaction, kept: Account, retired: Account) -> None:
    """Whatever would give somebody more than they had, or hide who they are, is refused: an operator decides it first, and the trail shows it."""
    if kept.id == retired.id:
        raise AccountRefused("same_account", "an account cannot be merged with itself")
    for one in (kept, retired):
        if one.is_break_glass or one.is_demo:
            raise AccountRefused(
                "account_not_fit", f"{one.name} is no person's account ({'break-glass' if one.is_break_glass else 'demo'})"
            )
        if not one.is_active:
            raise AccountRefused("account_not_active", f"{one.name} ({one.id}) is {one.status}: decide about that first")
    if (kept.created_at, kept.id) > (retired.created_at, retired.id):
        raise AccountRefused("younger_account", f"{retired.id} is the older: applications have known it longer, so it is the one to keep")
    for one in (kept, retired):
        # What opened the other would open what this one administers.
        if tx.roles.open_of(one.id):
            raise AccountRefused(
                "account_privileged", f"{one.name} administers something: take that role first, a merge gives nobody a role"
            )
    moving = [one for one in tx.factors.open_of(retired.id) if one.kind in MOVING_FACTORS]
    keeps_strong = has_strong((*tx.factors.open_of(kept.id), *moving))
    for one in (kept, retired):
        # The next factor of theirs is brought by a reset alone: neither account's password, nor a factor of the other, stands for it.
        if tx.events.were_factors_taken(one.id) and not (keeps_strong and has_strong(tx.factors.open_of(one.id))):
            raise _taken_from(one)
    here = {one.connector for one in tx.links.of_account(kept.id)}
    both = sorted(here & {one.connector for one in tx.links.of_account(retired.id)})
    if both:
        raise AccountRefused("linked_already", f"both are linked to {', '.join(both)}: unlink the one that is not the person's")


def _check_returning(tx: Transaction, kept: Account, retired: Account, found: Merge) -> None:
    """What the desk took while they were one was the other's too: that one does not come back free to add a factor by its password."""
    theirs = set(found.moved.get("factors", ()))
    returning = [*tx.factors.open_of(retired.id), *(one for one in tx.factors.open_of(kept.id) if one.id in theirs)]
    if tx.events.were_factors_taken(kept.id) and not has_strong(returning):
        raise _taken_from(kept)


def _taken_from(one: Account) -> AccountRefused:
    return AccountRefused("factors_taken", f"the desk took second factors of {one.name} ({one.id}): let them add the next one first")


def _move(tx: Transaction, kept: Account, retired: Account) -> dict[str, Any]:
    """Everything that moves, and what did, by the keys of its rows."""
    way: dict[str, str] = {"from_id": retired.id, "to_id": kept.id}
    links = [(one.connector, one.subject) for one in tx.links.of_account(retired.id)]
    attachments = [one.id for one in tx.people.attachments(retired.id) if one.ended_at is None]
    factors = [one.id for one in tx.factors.open_of(retired.id) if one.kind in MOVING_FACTORS]
    # Beside a directory a password of ours would be a way in that the directory does not see.
    knows_password = tx.people.password(kept.id) is not None or any(one.kind == "directory" for one in tx.links.of_account(kept.id))
    password = None if knows_password else tx.people.password(retired.id)
    moved: dict[str, Any] = {
        "identifiers": tx.merges.move_identifiers(tx.people.identifiers(retired.id), **way),
        "attachments": tx.merges.move_attachments(attachments, **way),
        "factors": tx.merges.move_factors(factors, **way),
        "links": tx.merges.move_links(links, **way),
    }
    if password is not None and not links and tx.merges.move_password(**way):
        moved["password"] = password.changed_at.isoformat()
    return moved


def _take_back(tx: Transaction, kept: Account, found: Merge, author: Author, *, clock: Clock) -> None:
    """What the other's sources have given since: nobody would ever take it away from who is not theirs. The other has it at their next word."""
    theirs = set(found.moved.get("attachments", ()))
    returning = {connector for connector, _ in found.moved.get("links", ())}
    cause = Cause(Reason.MERGED, author.actor, author.origin)
    for attachment in tx.people.attachments(kept.id):
        if attachment.source in returning and attachment.ended_at is None and attachment.id not in theirs:
            end_attachment(tx, attachment, cause, clock=clock)


def _move_back(tx: Transaction, found: Merge) -> dict[str, Any]:
    way: dict[str, str] = {"from_id": found.kept_id, "to_id": found.retired_id}
    back: dict[str, Any] = {
        "identifiers": tx.merges.move_identifiers(found.moved.get("identifiers", ()), **way),
        "attachments": tx.merges.move_attachments(found.moved.get("attachments", ()), **way),
        "factors": tx.merges.move_factors(found.moved.get("factors", ()), **way),
        "links": tx.merges.move_links(found.moved.get("links", ()), **way),
    }
    password, changed_at = tx.people.password(found.kept_id), found.moved.get("password")
    is_as_it_was = password is not None and changed_at is not None and password.changed_at == datetime.fromisoformat(changed_at)
    if is_as_it_was and tx.people.password(found.retired_id) is None and tx.merges.move_password(**way):
        back["password"] = changed_at
    return back


def _counted(moved: dict[str, Any] | Any) -> dict[str, str | int | bool | None]:
    return {f"moved_{kind}": len(keys) if isinstance(keys, list) else 1 for kind, keys in moved.items() if keys}


def _now(tx: Transaction, account: Account) -> Account:
    found = tx.people.get(account.id)
    if found is None:
        raise AccountRefused("no_such_account", f"{account.id} is there no more")
    return found
