"""LdapDirectory: OpenLDAP or 389 Directory Server as a connectors.base.Directory.

Owns what is theirs alone: what a bind's answer means (bind.py), how a password is replaced, whose Kerberos principal of an MIT realm it is.
The order of exchanges is entry_directory.py's.
"""

from collections.abc import Iterator

from connectors.base import (
    Canary,
    ChangeRefused,
    CheckStep,
    Clock,
    CredentialsRefused,
    Identity,
    SourceMisbehaved,
    SourceUnreachable,
    State,
    Ticket,
    Watcher,
)
from connectors.ldap.bind import judge_bind
from connectors.ldap.canary import LdapCanary
from connectors.ldap.change import refuse_unless_changed
from connectors.ldap.desk import LdapDesk
from connectors.ldap.entry_desk import EntryDesk
from connectors.ldap.entry_directory import EntryDirectory
from connectors.ldap.examination import examine, product_of
from connectors.ldap.groups import Groups
from connectors.ldap.people import LdapPeople, is_askable
from connectors.ldap.persistent import PersistentWatcher
from connectors.ldap.policies import Policies
from connectors.ldap.settings import LdapSettings
from connectors.ldap.state import created_at, state_of
from connectors.ldap.watch import SyncWatcher
from connectors.ldap.watch_check import check_listening
from connectors.ldap.wire import SUCCESS, UNWILLING, Answer, Entry, Wire


class LdapDirectory(EntryDirectory):
    """One directory. Safe to share between threads; connects at first use."""

    _people: LdapPeople
    _policies: Policies

    def __init__(self, name: str, settings: LdapSettings, clock: Clock) -> None:
        """Raises ValueError for settings that check-config refuses: a filter that is none, passwords in clear."""
        people, groups = LdapPeople(name, settings), Groups(settings.groups)
        super().__init__(
            name,
            settings,
            clock,
            people=people,
            groups=groups,
            policies=lambda pool: Policies(settings, pool, clock, decoy_dn=people.decoy_dn),
        )
        self._kind = settings
        self._acts = LdapDesk(name, settings, self._pool, lookup=self._lookup())

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step (DirectoryConnector.check)."""
        yield from examine(self._kind, self._pool, self._people, self._groups, clock=self._clock, product=product_of(self._kind))
        yield from check_listening(self._kind, self._pool, self._clock)
        yield from self._acts.check(self._some_people)

    def watcher(self) -> Watcher | None:
        """A new watcher with a connection of its own; None when the settings turn it off (WatchedDirectory.watcher)."""
        if not self._kind.watch.enabled:
            return None
        kind = PersistentWatcher if self._is_389 else SyncWatcher
        return kind(self.name, self._kind, self._pool, people=self._people, clock=self._clock)

    def canary(self) -> Canary | None:
        """Its canary; None when the settings name none (CanaryDirectory.canary)."""
        return LdapCanary(self.name, self._kind, self._pool, lookup=self._lookup()) if self._kind.canary is not None else None

    @property
    def _desk(self) -> EntryDesk:
        return self._acts

    def holder_of(self, ticket: Ticket) -> Identity | None:
        """Whose Kerberos ticket it is, also out of scope (DirectoryConnector.holder_of); nobody's where two entries name one principal.

        An MIT realm has no security ids: the name alone says who, so whoever came after the ticket was given does not hold it.
        """
        written = self._written_principal(ticket.principal)
        if written is None:
            return None
        people = self._people
        return self._holder(
            people.with_principal(written),
            is_theirs=lambda entry: people.has_principal(entry, written),
            holds=lambda entry, _: not self._is_newcomer(entry, ticket),
        )

    def _confirm(self, entry: Entry, subject: str, password: bytes) -> None:
        """These servers take the newest password alone."""

    def _state(self, entry: Entry) -> State:
        return state_of(entry, self._policies.of(entry), self._clock.now())

    def _prove(self, wire: Wire, dn: str, password: bytes) -> Answer:
        """A bind's answer. Raises SourceUnreachable when it says nothing of anybody, for a person as for nobody."""
        answer = wire.bind(dn, password)
        if answer.code == UNWILLING and not self._is_389:
            # OpenLDAP's `restrict bind` and `disallow bind_simple`; 389 Directory Server says so that a person is disabled.
            raise SourceUnreachable(f"{wire.address} is unwilling to take any bind: {answer.message}", trouble="unavailable")
        return answer

    @property
    def _is_389(self) -> bool:
        return self._kind.lasting_id == "nsUniqueId"

    def _judge(self, entry: Entry, subject: str, answer: Answer) -> State:
        return judge_bind(self.name, entry, subject, answer=answer, policy=self._policies.of(entry), now=self._clock.now())

    def _replace_password(self, entry: Entry, subject: str, current: bytes, *, new: bytes) -> None:
        wire = self._pool.open_anonymous()  # never twice: a change whose answer was lost may have been made
        try:
            answer = self._prove(wire, entry.dn, current)
            try:
                self._judge(entry, subject, answer)
            except CredentialsRefused as error:
                raise ChangeRefused(error.detail, problem="wrong_current") from error
            if answer.code == SUCCESS:
                changed = wire.replace_password(entry.dn, new=new) if self._is_389 else wire.change_password(entry.dn, current, new=new)
                refuse_unless_changed(self.name, changed, typed=(current, new))
                return
        finally:
            wire.close()
        # The password was right, as the policy's "expired" has just told, but binds are over: only a service account that may write can help.
        wire = self._open_now()
        try:
            refuse_unless_changed(self.name, wire.change_password(entry.dn, None, new=new), typed=(current, new))
        finally:
            wire.close()

    def _written_principal(self, principal: str) -> str | None:
        """What an entry says of a principal; None when it is of another realm, or nothing that may be looked for."""
        kerberos = self._kind.kerberos
        user, _, realm = principal.rpartition("@")
        if kerberos is None or realm != kerberos.realm or not is_askable(principal) or not user:
            return None
        return principal if kerberos.holds == "principal" else user

    def _is_newcomer(self, entry: Entry, ticket: Ticket) -> bool:
        """Whether the entry was made after whoever got the ticket had shown their password: names are given again."""
        made = created_at(entry)
        if made is None or ticket.authenticated_at is None:
            raise SourceMisbehaved(f"{self.name}: cannot tell whether {entry.dn} is older than the ticket: let createTimestamp be read")
        return made > ticket.authenticated_at
