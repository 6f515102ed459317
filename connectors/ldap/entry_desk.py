"""EntryDesk: what the reset desk does to a person in a directory asked over LDAP: unlock, reset the password; and whom it never touches.

Owns the order, and the settings of `desk`; which attributes are written, and who is privileged by nature, is said by what derives from it (LdapDesk,
ActiveDirectoryDesk). Everything is read again just before it is written, by the account that looks people up; written once, on a fresh connection of
the desk's own account: an answer that was lost is never followed by a second try.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from connectors.base import (
    ChangeRefused,
    CheckStep,
    NotDelegated,
    PersonNotUsable,
    PersonProtected,
    SourceMisbehaved,
    SourceUnreachable,
    State,
)
from connectors.ldap.examination import WHAT_TO_DO
from connectors.ldap.filters import escape
from connectors.ldap.names import normal_name
from connectors.ldap.people import password_bytes
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import EntrySettings
from connectors.ldap.wire import ASSERTION_FAILED, INSUFFICIENT_ACCESS, NO_SUCH_ATTRIBUTE, SUCCESS, Answer, Change, Depth, Entry, Wire

UNTOUCHED = frozenset({State.DISABLED, State.EXPIRED, State.OUT_OF_SCOPE})
LOOKS = 3  # at somebody whose lock changes between the look and the act


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """How the directory finds and judges an entry: in scope or anywhere under the base; its State; its groups' names, in lower case."""

    scoped: Callable[[str], Entry | None]
    anywhere: Callable[[str], Entry | None]
    state: Callable[[Entry], State]
    groups: Callable[[Entry], frozenset[str]]


class EntryDesk(ABC):
    """One directory's. Safe to share between threads."""

    def __init__(self, name: str, settings: EntrySettings, pool: ServerPool, *, lookup: Lookup, groups_base: str | None) -> None:
        """`groups_base`: where the groups are that `lookup.groups` knows; None: nowhere."""
        self._name = name
        self._groups = (groups_base, settings.groups.name)
        self._settings = settings.desk
        self._pool = pool
        self._lookup = lookup
        desk = settings.desk
        self._bases = tuple(normal_name(base) for base in (desk.bases if desk is not None else ()))
        self._own = {normal_name(dn) for dn in (settings.bind_dn, desk.bind_dn if desk is not None else None) if dn is not None}
        self._protected_groups = frozenset(normal_name(name) for name in (desk.protected_groups if desk is not None else ()))

    @property
    def is_delegated(self) -> bool:
        """See DeskConnector."""
        return self._settings is not None

    def is_protected(self, subject: str) -> bool:
        """See DeskConnector; False for nobody."""
        entry = self._lookup.anywhere(subject)
        return entry is not None and self._why_protected(entry) is not None

    def unlock(self, subject: str) -> bool:
        """See DeskConnector."""
        for _ in range(LOOKS):
            entry = self._admitted(subject)
            was_locked = self._lookup.state(entry) is State.LOCKED
            changes = self._unlocking(entry)
            if not changes:
                return False
            answer = self._write(entry, changes)
            if answer.code != NO_SUCH_ATTRIBUTE:
                self._refuse_unless_allowed(answer, "lift a lock")
                if answer.code != SUCCESS:
                    raise SourceMisbehaved(f"{self._name}: lifting the lock of {entry.dn} was answered by {answer.code} {answer.message}")
                return was_locked
        raise SourceMisbehaved(f"{self._name}: the lock of {entry.dn} changes each time before it is lifted")

    def reset_password(self, subject: str, new: str) -> None:
        """See DeskConnector."""
        sent = password_bytes(new)
        if sent is None:
            raise ChangeRefused(f"{self._name}: a new password that cannot be sent", problem="too_weak" if new else "too_short")
        for _ in range(LOOKS):
            entry = self._admitted(subject)
            answer = self._reset(entry, sent)
            if answer.code == ASSERTION_FAILED:
                detail = f"{self._name}: {entry.dn} is disabled, or that cannot be seen"
                raise PersonNotUsable(detail, state=State.DISABLED, subject=subject, is_proven=False)
            if answer.code != NO_SUCH_ATTRIBUTE:
                self._refuse_unless_allowed(answer, "reset a password")
                self._refuse_unless_changed(entry, answer, new)
                return self._insist(entry)
        raise SourceMisbehaved(f"{self._name}: the lock of {entry.dn} changes each time before it is lifted")

    def check(self, people: Callable[[], Sequence[Entry]]) -> Iterator[CheckStep]:
        """The desk's account and its rights, tried on somebody whom it may act on, without changing anything. Raises nothing of the family."""
        title = "Reset desk"
        if self._settings is None:
            return
        try:
            someone = next((entry for entry in people() if self._why_protected(entry) is None), None)
            wire = self._pool.open_desk(self._settings)
        except SourceUnreachable as error:
            advice = WHAT_TO_DO.get(error.trouble, "Try again in a moment.")
            if error.trouble == "service_account":
                advice = "Check `desk.bind_dn` and `desk.bind_password`, and that the account is neither locked nor expired."
            yield CheckStep(title=title, outcome="failed", explanation=f"{error.detail}. {advice}")
            return
        except SourceMisbehaved as error:
            yield CheckStep(title=title, outcome="failed", explanation=error.detail)
            return
        try:
            if someone is None:
                say = "there is nobody whom it may act on: check `desk.bases`, `desk.protected` and `desk.protected_groups`."
                yield CheckStep(title=title, outcome="failed", explanation=say)
                return
            yield from self._check_groups()
            yield from self._rights(wire, someone)
        except (SourceUnreachable, SourceMisbehaved) as error:
            yield CheckStep(title=title, outcome="failed", explanation=error.detail)
        finally:
            wire.close()

    @property
    @abstractmethod
    def _disabled_by(self) -> tuple[str, str] | None:
        """An attribute and its value that mean "disabled", and that a new password would take away."""

    @abstractmethod
    def _unlocking(self, entry: Entry) -> Sequence[Change]:
        """What lifts the lock that was read, and no other; empty when there is none."""

    @abstractmethod
    def _resetting(self, entry: Entry, new: bytes) -> Sequence[Change]:
        """A new password (UTF-8) that must be changed first, and the lock lifted."""

    def _reset(self, entry: Entry, new: bytes) -> Answer:
        return self._write(entry, self._resetting(entry, new), unless=self._disabled_by)

    @abstractmethod
    def _refuse_unless_changed(self, entry: Entry, answer: Answer, new: str) -> None:
        """Raises ChangeRefused with the closest problem."""

    @abstractmethod
    def _insist(self, entry: Entry) -> None:
        """What a directory has to be told apart, after a new password, so that it wants another one of the person."""

    @abstractmethod
    def _is_privileged(self, entry: Entry) -> str | None:
        """Why the directory itself counts somebody as privileged; None when it does not."""

    @abstractmethod
    def _rights(self, wire: Wire, someone: Entry) -> Iterator[CheckStep]:
        """Each right that the acts need, tried on somebody by the desk's account."""

    def _check_groups(self) -> Iterator[CheckStep]:
        """A name in `protected_groups` that is no group's protects nobody."""
        desk, (base, name) = self._settings, self._groups
        if desk is None or base is None:
            return
        for named in desk.protected_groups:
            is_full = "=" in named
            place, wanted = (named, "(objectClass=*)") if is_full else (base, f"({name}={escape(named)})")
            if not self._pool.as_service(partial(_finds, place=place, wanted=wanted, depth="base" if is_full else "subtree")):
                say = f"no group {named} of `desk.protected_groups` is seen{'' if is_full else f' under {base}'}: it protects nobody."
                yield CheckStep(title="Reset desk", outcome="failed", explanation=say)

    def _admitted(self, subject: str) -> Entry:
        """The entry of somebody who may be acted on. Raises NotDelegated, PersonProtected or PersonNotUsable."""
        if self._settings is None:
            raise NotDelegated(f"{self._name}: the settings delegate nothing (`desk` is null)")
        entry = self._lookup.scoped(subject)
        if entry is None:
            raise PersonNotUsable(f"{self._name}: nobody in scope", state=State.OUT_OF_SCOPE, subject=subject, is_proven=False)
        if (why := self._why_protected(entry)) is not None:
            raise PersonProtected(f"{self._name}: {entry.dn} is never acted on: {why}")
        if (state := self._lookup.state(entry)) in UNTOUCHED:
            raise PersonNotUsable(f"{self._name}: {entry.dn} is {state}", state=state, subject=subject, is_proven=False)
        return entry

    def _why_protected(self, entry: Entry) -> str | None:
        name = normal_name(entry.dn)
        if name in self._own:
            return "it is our own service account"
        if self._bases and not any(name == base or name.endswith(f",{base}") for base in self._bases):
            return "it is outside `desk.bases`"
        if (why := self._is_privileged(entry)) is not None:
            return why
        desk = self._settings
        if desk is not None and desk.protected is not None and self._matches(entry, desk.protected):
            return "it matches `desk.protected`"
        if self._protected_groups and not self._protected_groups.isdisjoint(self._lookup.groups(entry)):
            return "it is in one of `desk.protected_groups`"
        return None

    def _matches(self, entry: Entry, wanted: str) -> bool:
        found = self._pool.as_service(lambda wire: wire.search(entry.dn, wanted, ("1.1",), depth="base"))
        if found is None:
            raise SourceMisbehaved(f"{self._name}: {entry.dn} is not there any more, or is hidden from the service account")
        return bool(found.entries)

    def _write(self, entry: Entry, changes: Sequence[Change], *, unless: tuple[str, str] | None = None) -> Answer:
        if self._settings is None:
            raise NotDelegated(f"{self._name}: the settings delegate nothing (`desk` is null)")
        try:
            wire = self._pool.open_desk(self._settings)
        except SourceUnreachable as error:
            if error.trouble == "service_account":  # the directory is well, and sign-ins go on
                raise NotDelegated(error.detail) from error
            raise
        try:
            return wire.alter(entry.dn, changes, unless=unless)
        finally:
            wire.close()

    def _refuse_unless_allowed(self, answer: Answer, what: str) -> None:
        if answer.code == INSUFFICIENT_ACCESS:
            raise NotDelegated(f"{self._name}: the service account of the desk may not {what} {answer.message.strip()}".rstrip())


def _finds(wire: Wire, *, place: str, wanted: str, depth: Depth) -> bool:
    found = wire.search(place, wanted, ("1.1",), depth=depth, size_limit=1)
    return found is not None and bool(found.entries)
