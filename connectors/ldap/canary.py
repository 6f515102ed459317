"""EntryCanary: one entry of a directory that is nobody's, disabled and enabled again to know that what a disabling sets off is whole.

Owns the one write that is made on it: by the canary's own account, else the reset desk's, else the one that looks people up; that account needs the
right on this one entry. Nobody else's entry is ever disabled or enabled from here. What says "disabled" is said by what derives from it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from connectors.base import NotDelegated, PersonNotUsable, PersonProtected, SourceMisbehaved, SourceUnreachable, State
from connectors.ldap.desk import DISABLED, LOCK
from connectors.ldap.entry_desk import Lookup
from connectors.ldap.names import normal_name
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import DeskSettings, EntrySettings, LdapSettings
from connectors.ldap.wire import INSUFFICIENT_ACCESS, NO_SUCH_ATTRIBUTE, SUCCESS, Change, Entry

LOCKED_389 = "nsAccountLock"


class EntryCanary(ABC):
    """One directory's (connectors.base.Canary). Safe between threads."""

    def __init__(self, name: str, settings: EntrySettings, pool: ServerPool, *, lookup: Lookup) -> None:
        """Raises ValueError when the settings name no canary."""
        if settings.canary is None:
            raise ValueError(f"{name} has no canary")
        self.login = settings.canary.login
        self._name = name
        self._pool = pool
        self._lookup = lookup
        own = settings.canary
        desk = settings.desk or DeskSettings()
        self._account = (
            desk if own.bind_dn is None else desk.model_copy(update={"bind_dn": own.bind_dn, "bind_password": own.bind_password})
        )
        self._ours = {normal_name(dn) for dn in (settings.bind_dn, desk.bind_dn, own.bind_dn) if dn is not None}

    def disable(self, subject: str) -> None:
        """See connectors.base.Canary."""
        entry = self._entry(subject)
        self._write(entry, self._disabling(entry))

    def enable(self, subject: str) -> None:
        """See connectors.base.Canary."""
        entry = self._entry(subject)
        if self._lookup.state(entry) is State.DISABLED:
            self._write(entry, self._enabling(entry))

    @abstractmethod
    def _disabling(self, entry: Entry) -> Sequence[Change]:
        """What an administrator writes to disable somebody."""

    @abstractmethod
    def _enabling(self, entry: Entry) -> Sequence[Change]:
        """What takes exactly that back."""

    def _entry(self, subject: str) -> Entry:
        entry = self._lookup.scoped(subject)
        if entry is None:
            raise PersonNotUsable(f"{self._name}: the canary is not in scope", state=State.OUT_OF_SCOPE, subject=subject, is_proven=False)
        if normal_name(entry.dn) in self._ours:
            raise PersonProtected(f"{self._name}: {entry.dn} is our own service account: a canary is nobody")
        return entry

    def _write(self, entry: Entry, changes: Sequence[Change]) -> None:
        try:
            wire = self._pool.open_desk(self._account)
        except SourceUnreachable as error:
            if error.trouble == "service_account":
                raise NotDelegated(error.detail) from error
            raise
        try:
            answer = wire.alter(entry.dn, changes)
        finally:
            wire.close()
        if answer.code == INSUFFICIENT_ACCESS:
            raise NotDelegated(f"{self._name}: the canary's account may not disable and enable {entry.dn}")
        if answer.code not in {SUCCESS, NO_SUCH_ATTRIBUTE}:
            raise SourceMisbehaved(f"{self._name}: a change of {entry.dn} was answered by {answer.code} {answer.message}")


class LdapCanary(EntryCanary):
    """On OpenLDAP (slapo-ppolicy: pwdAccountLockedTime) and 389 Directory Server (nsAccountLock)."""

    def __init__(self, name: str, settings: LdapSettings, pool: ServerPool, *, lookup: Lookup) -> None:
        super().__init__(name, settings, pool, lookup=lookup)
        self._is_389 = settings.lasting_id == "nsUniqueId"

    def _disabling(self, entry: Entry) -> Sequence[Change]:
        return (Change("replace", LOCKED_389, (b"TRUE",)) if self._is_389 else Change("replace", LOCK, (DISABLED.encode(),)),)

    def _enabling(self, entry: Entry) -> Sequence[Change]:
        return (Change("delete", LOCKED_389) if self._is_389 else Change("delete", LOCK, (DISABLED.encode(),)),)
