"""Changing a password, ours or a directory's: forced inside a sign-in, or wished for on the account page.

Owns the order (present password, rules, reuse, hash, write), the ending of the other Sessions and Grants, and the Events. The rules are in
policies/passwords.py, and a directory has its own on top; the present password is throttled like a sign-in. No SQL transaction is open
while a hash is computed or a directory is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path

import structlog

from connectors.base import ChangeProblem, ChangeRefused, PersonNotUsable, SourceMisbehaved, SourceUnreachable, TryWithheld
from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import PasswordHasher
from idp.endings import Cause, end_devices, end_grant, end_session
from idp.errors import Refused
from idp.signals import Occasion, credential_changed
from idp.signin.bind_gate import Bearer, BindGates
from idp.signin.devices import Tell
from idp.signin.directories import Directories, password_set_at
from idp.signin.linking import Linking
from idp.signin.local import CONNECTOR, Candidate, verify
from idp.signin.throttle import LoginThrottle, TryKeys
from idp.signin.whereabouts import is_in_zone
from idp.store.base import Account, Password, Session
from idp.store.database import Database, Transaction
from policies.lockout import Standing
from policies.passwords import BlockList, PasswordFacts, check

REMEMBERED = 3
# What a page says for each of a directory's reasons; it may have rules of its own, which we do not know.
DIRECTORY_PROBLEMS: dict[ChangeProblem, str] = {
    "wrong_current": "wrong_current",
    "too_short": "too_short",
    "too_weak": "directory_too_weak",
    "reused": "reused",
    "too_young": "directory_too_young",
    "not_allowed": "directory_not_allowed",
}
log = structlog.get_logger(__name__)


class PasswordRefused(Refused):
    """The change was refused; `problems` are codes that the page has words for."""

    def __init__(self, reason: Reason, problems: tuple[str, ...]) -> None:
        super().__init__(reason, " ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassword:
    """What was typed: the new password twice, and the present one where it is asked.

    Inside a sign-in with a password of ours `current` is None, and `proven_at` says which password was just proven, by when it was set.
    """

    typed: str
    repeated: str
    current: str | None
    proven_at: datetime | None = None

    def __repr__(self) -> str:
        return "NewPassword(…)"  # a traceback or a log line must not show a password


@lru_cache(maxsize=2)  # read once a process
def load_block_list(extra: Path | None) -> BlockList:
    """The French list that comes with the program and the operator's own; read once. OSError when the operator's cannot be read."""
    lines = resources.files("policies").joinpath("data/passwords_fr.txt").read_text(encoding="utf-8").splitlines()
    if extra is not None:
        lines += extra.read_text(encoding="utf-8").splitlines()
    return BlockList.from_lines(lines)


class PasswordChange:
    """Replaces passwords."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        *,
        directories: Directories,
        linking: Linking,
        throttle: LoginThrottle,
        gates: BindGates,
        clock: Clock,
        blocked: BlockList,
        tell: Tell | None = None,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._directories = directories
        self._linking = linking
        self._throttle = throttle
        self._gates = gates
        self._clock = clock
        self._blocked = blocked
        self._tell = tell

    def change(self, account_id: str, new: NewPassword, *, connector: str, keep: Session | None, origin: Origin) -> datetime:
        """Replace the password and end every other Session and Grant of the account; `keep` is this browser's Session. When it was set.

        `connector` is what the person signed in with: where the password is kept. Raises PasswordRefused with at least one problem (the Event is
        written and nothing has changed), StoreUnavailable.
        """
        if connector != CONNECTOR:
            return self._change_in_directory(account_id, new, connector=connector, keep=keep, origin=origin)
        with self._database.read() as tx:
            account = tx.people.get(account_id)
            present = tx.people.password(account_id)
            words = _personal_words(tx, account) if account else ()
        if account is None or not account.is_active:
            raise self._refused(account_id, Reason.ACCOUNT_NOT_ACTIVE, ["account_not_active"], origin=origin)
        if account.is_break_glass:
            raise self._refused(account_id, Reason.PASSWORD_SEALED, ["no_password"], origin=origin)
        if present is None:
            raise self._refused(account_id, Reason.NO_PASSWORD, ["no_password"], origin=origin)
        if new.current is not None:
            self._prove(account, present, new.current, origin=origin)
        elif present.changed_at != new.proven_at:
            # An operator replaced the one that was proven: whoever knew it may not overwrite the new one.
            raise self._refused(account_id, Reason.CREDENTIAL_CHANGED, ["changed_meanwhile"], origin=origin)
        problems = self._problems(new, words)
        if not problems and self._is_reused(present, new.typed):
            problems.append("reused")
        if problems:
            reason = Reason.PASSWORD_REUSED if problems == ["reused"] else Reason.PASSWORD_TOO_WEAK
            raise self._refused(account_id, reason, problems, origin=origin)
        changed_at = self._replace(account, present, self._hasher.hash(new.typed), keep=keep, origin=origin)
        if changed_at is None:
            # Somebody replaced it while ours was being hashed (another tab, an operator): theirs stands.
            raise self._refused(account_id, Reason.CREDENTIAL_CHANGED, ["changed_meanwhile"], origin=origin)
        return changed_at

    def _problems(self, new: NewPassword, words: tuple[str, ...]) -> list[str]:
        problems: list[str] = list(check(PasswordFacts(new.typed, words), self._blocked))
        return [*problems, "mismatch"] if new.typed != new.repeated else problems

    def _change_in_directory(self, account_id: str, new: NewPassword, *, connector: str, keep: Session | None, origin: Origin) -> datetime:
        """Our rules first, then the directory's: it checks the present password itself, and has the last word on the new one."""
        with self._database.read() as tx:
            account = tx.people.get(account_id)
            link = next((one for one in tx.links.of_account(account_id) if one.connector == connector), None)
            words = _personal_words(tx, account) if account else ()
        directory = self._directories.get(connector)
        if account is None or not account.is_active:
            raise self._refused(account_id, Reason.ACCOUNT_NOT_ACTIVE, ["account_not_active"], origin=origin, connector=connector)
        if link is None or directory is None:
            raise self._refused(account_id, Reason.NO_PASSWORD, ["no_password"], origin=origin, connector=connector)
        if problems := self._problems(new, words):
            raise self._refused(account_id, Reason.PASSWORD_TOO_WEAK, problems, origin=origin, connector=connector)
        keys = self._keys(account_id, origin)
        # The directory's change is a way to try passwords that its own lockout may not see (facts of Active Directory): ours must.
        if not self._throttle.admit(keys).is_allowed:
            raise self._refused(account_id, Reason.THROTTLED, ["throttled"], origin=origin, connector=connector)
        current = new.current or ""
        own = frozenset({(connector, link.subject)})
        gate = self._gates.open(Bearer(keys=keys, identifier=f"account:{account_id}", password=current, own_subjects=own))
        try:
            identity = directory.change_password(link.subject, current, new=new.typed, gate=gate)
        except TryWithheld as withheld:
            self._throttle.forgive(keys)
            held = gate.held.get(connector)
            reason, problem = (
                (Reason.WRONG_PASSWORD, "wrong_current")
                if held is not None and held.kind == "repeated"
                else (Reason.THROTTLED, "throttled")
            )
            raise self._refused(account_id, reason, [problem], origin=origin, connector=connector) from withheld
        except ChangeRefused as refused:
            reason = Reason.WRONG_PASSWORD if refused.problem == "wrong_current" else Reason.DIRECTORY_REFUSED_CHANGE
            if refused.problem != "wrong_current":
                self._throttle.forgive(keys)
            else:
                self._note_wrong(keys, current)
            raise self._refused(account_id, reason, [DIRECTORY_PROBLEMS[refused.problem]], origin=origin, connector=connector) from refused
        except PersonNotUsable as refused:
            state = Reason.ACCOUNT_NOT_ACTIVE
            raise self._refused(account_id, state, ["account_not_active"], origin=origin, connector=connector) from refused
        except (SourceUnreachable, SourceMisbehaved) as away:
            self._throttle.forgive(keys)
            log.warning("password_change_failed", connector=connector, detail=away.detail, request_id=origin.request_id)
            unreachable = Reason.DIRECTORY_UNREACHABLE
            raise self._refused(account_id, unreachable, ["directory_unreachable"], origin=origin, connector=connector) from away
        self._throttle.clear(keys)
        self._throttle.begin_anew(connector, link.subject)
        set_at = password_set_at(directory, link.subject)
        now = self._clock.now()
        author = Author(f"account:{account_id}", origin)
        with self._database.write() as tx:
            self._linking.adopt(tx, identity, author)
            tx.links.change_password(connector, link.subject, now)
            if set_at is not None:
                tx.links.change(connector, link.subject, password_set_at=set_at)
            self._end_and_record(tx, account_id, keep, origin=origin, connector=connector, is_forced=keep is None)
        return now

    def _end_and_record(
        self, tx: Transaction, account_id: str, keep: Session | None, *, origin: Origin, connector: str, is_forced: bool
    ) -> None:
        actor = f"account:{account_id}"
        ended = _end_others(tx, account_id, keep, Cause(Reason.CREDENTIAL_CHANGED, actor, origin), clock=self._clock)
        occasion = Occasion(actor, str(Reason.CREDENTIAL_CHANGED), origin)
        credential_changed(tx, account_id, "password", change="update", occasion=occasion, clock=self._clock)
        tx.events.append(
            Event(
                type=EventType.PASSWORD_CHANGED,
                at=self._clock.now(),
                actor=actor,
                origin=origin,
                account_id=account_id,
                session_id=keep.id if keep else None,
                connector=connector,
                details={"forced": is_forced, "sessions_ended": ended},
            )
        )
        if self._tell is not None and (account := tx.people.get(account_id)) is not None:
            self._tell(tx, account, "password_changed", {}, author=Author(actor, origin))

    def _prove(self, account: Account, present: Password, typed: str, *, origin: Origin) -> None:
        keys = self._keys(account.id, origin)
        if not self._throttle.admit(keys).is_allowed:
            raise self._refused(account.id, Reason.THROTTLED, ["throttled"], origin=origin)
        reason = verify(self._hasher, Candidate(account, present, None), typed)
        if reason is not None:
            self._note_wrong(keys, typed)
            raise self._refused(account.id, reason, ["wrong_current"], origin=origin)
        self._throttle.clear(keys)

    def _keys(self, account_id: str, origin: Origin) -> TryKeys:
        """A Session may be a stolen one: from outside it has no more tries than a stranger, and the reserve stays the person's own."""
        standing = Standing.INSIDE if is_in_zone(origin) else Standing.OUTSIDE
        return self._throttle.keys(f"account:{account_id}", account_id, origin, standing=standing)

    def _note_wrong(self, keys: TryKeys, typed: str) -> None:
        if self._throttle.is_repeated(keys, typed):
            self._throttle.forgive(keys)
        else:
            self._throttle.note_failure(keys)

    def _is_reused(self, present: Password, typed: str) -> bool:
        return any(self._hasher.verify(encoded, typed) for encoded in (present.hash, *present.previous)[:REMEMBERED])

    def _replace(self, account: Account, present: Password, encoded: str, *, keep: Session | None, origin: Origin) -> datetime | None:
        with self._database.write() as tx:
            tx.people.hold(account.id)
            now = self._clock.now()
            latest = tx.people.password(account.id)
            if latest is None or latest.hash != present.hash:
                return None
            tx.people.set_password(account.id, encoded, must_change=False, now=now)
            # Without a Session to keep it is changed in the middle of a sign-in.
            is_forced = present.must_change or keep is None
            self._end_and_record(tx, account.id, keep, origin=origin, connector=CONNECTOR, is_forced=is_forced)
        return now

    def _refused(
        self, account_id: str, reason: Reason, problems: Sequence[str], *, origin: Origin, connector: str = CONNECTOR
    ) -> PasswordRefused:
        event = Event(
            type=EventType.PASSWORD_CHANGE_REFUSED,
            at=self._clock.now(),
            actor=f"account:{account_id}",
            origin=origin,
            reason=reason,
            account_id=account_id,
            connector=connector,
            details={"problems": " ".join(problems)},
        )
        with self._database.write() as tx:
            tx.events.append(event)
        return PasswordRefused(reason, tuple(problems))


def _end_others(tx: Transaction, account_id: str, keep: Session | None, cause: Cause, *, clock: Clock) -> int:
    """End what the old password may have opened: the other Sessions, offline Grants whose Session is long gone, and browsers known by it."""
    end_devices(tx, account_id, cause, clock=clock)
    kept = keep.id if keep else None
    ended = 0
    for session in tx.sessions.open_of(account_id):
        if session.id != kept:
            ended += end_session(tx, session, cause, clock=clock).sessions
    for grant in tx.grants.open_of_account(account_id):
        if grant.session_id != kept:
            end_grant(tx, grant, cause, clock=clock)
    return ended


def _personal_words(tx: Transaction, account: Account) -> tuple[str, ...]:
    """Words that the person's password may not contain: what they are called and found by, and where they work."""
    places = (tx.establishments.get(attachment.establishment_id) for attachment in tx.people.attachments(account.id))
    found = [value for _, value, _ in tx.people.identifiers(account.id)]
    return (account.given_name, account.family_name, account.email or "", *found, *(place.name for place in places if place))
