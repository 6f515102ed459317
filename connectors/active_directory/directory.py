"""ActiveDirectory: a domain on Windows Server or Samba as a connectors.base.Directory.

Owns what is its own: a bind's sub-codes, the former password that still binds, a password exchanged in unicodePwd, whose ticket it is. The order of
exchanges is connectors.ldap.entry_directory's. Sources: [MS-ADTS], and what Samba 4.17 answers.
"""

from collections.abc import Iterator
from datetime import timedelta

from connectors.active_directory.bind import judge_bind
from connectors.active_directory.canary import ActiveDirectoryCanary
from connectors.active_directory.change import refuse_unless_changed
from connectors.active_directory.desk import ActiveDirectoryDesk
from connectors.active_directory.examination import product_of
from connectors.active_directory.groups import Groups
from connectors.active_directory.newest import PORT, NewestPassword, read_controller
from connectors.active_directory.people import LOGIN, ActiveDirectoryPeople
from connectors.active_directory.policies import Policies
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.state import state_of
from connectors.active_directory.values import instant, integer, raw_security_id
from connectors.active_directory.watch import ActiveDirectoryWatcher
from connectors.active_directory.watch_check import check_listening
from connectors.base import (
    Canary,
    ChangeRefused,
    CheckStep,
    Clock,
    CredentialsRefused,
    Identity,
    SourceMisbehaved,
    State,
    Ticket,
    TicketRefused,
    Watcher,
)
from connectors.ldap.entry_desk import EntryDesk
from connectors.ldap.entry_directory import EntryDirectory
from connectors.ldap.examination import examine
from connectors.ldap.filters import escape_bytes
from connectors.ldap.wire import Answer, Entry

CLOCKS_MAY_DIFFER = timedelta(minutes=5)  # as far as Kerberos lets clocks differ
SIGNING_IN = frozenset({State.USABLE, State.MUST_CHANGE})  # the others are barred whatever their ticket


class ActiveDirectory(EntryDirectory):
    """One domain. Safe to share between threads; connects at first use."""

    _people: ActiveDirectoryPeople
    _policies: Policies

    def __init__(self, name: str, settings: ActiveDirectorySettings, clock: Clock) -> None:
        """Raises ValueError for settings that check-config refuses: a filter that is none, passwords in clear."""
        people = ActiveDirectoryPeople(name, settings)
        super().__init__(
            name,
            settings,
            clock,
            people=people,
            groups=Groups(settings.groups, settings.domain_dn),
            policies=lambda pool: Policies(pool, clock, domain_dn=settings.domain_dn, decoy_dn=people.decoy_dn),
        )
        self._domain = settings
        self._acts = ActiveDirectoryDesk(name, settings, self._pool, lookup=self._lookup(), policies=self._policies, clock=clock)
        self._newest: NewestPassword | None = None
        if settings.old_password_window:
            written = [read_controller(one) for one in settings.kerberos_servers]
            controllers = written or [(address.host, PORT) for address in self._pool.servers]
            self._newest = NewestPassword(settings.realm, controllers, settings.connect_timeout)

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step (DirectoryConnector.check)."""
        product = product_of(self._domain, self._newest)
        yield from examine(self._domain, self._pool, self._people, self._groups, clock=self._clock, product=product)
        yield from check_listening(self._domain, self._pool, self._clock)
        yield from self._acts.check(self._some_people)

    def watcher(self) -> Watcher | None:
        """A new watcher with a connection of its own; None when the settings turn it off (WatchedDirectory.watcher)."""
        if not self._domain.watch.enabled:
            return None
        return ActiveDirectoryWatcher(self.name, self._domain, self._pool, people=self._people, clock=self._clock)

    def canary(self) -> Canary | None:
        """Its canary; None when the settings name none (CanaryDirectory.canary)."""
        return (
            ActiveDirectoryCanary(self.name, self._domain, self._pool, lookup=self._lookup()) if self._domain.canary is not None else None
        )

    @property
    def _desk(self) -> EntryDesk:
        return self._acts

    def holder_of(self, ticket: Ticket) -> Identity | None:
        """Whose Kerberos ticket it is, also out of scope (DirectoryConnector.holder_of): by the security id in it, which is never given again.

        A ticket without one is nobody's: whoever asks for a ticket may ask for one without, and names pass from one person to another.
        """
        if ticket.sid is None:
            return None
        try:
            raw = raw_security_id(ticket.sid)
        except ValueError:
            return None
        return self._holder(
            f"(objectSid={escape_bytes(raw)})",
            is_theirs=lambda entry: raw in entry.values.get("objectsid", ()),
            holds=lambda entry, state: state not in SIGNING_IN or self._is_of_this_password(entry, ticket),
        )

    def _is_of_this_password(self, entry: Entry, ticket: Ticket) -> bool:
        """True; raises TicketRefused when the password was set after the ticket was got, or may have been: whoever had the former one need not be
        who has this one, and no controller calls a ticket back."""
        written = integer(entry, "pwdLastSet")
        if written is None:
            raise SourceMisbehaved(f"{self.name}: cannot tell whether the ticket of {entry.dn} is of this password: let pwdLastSet be read")
        set_at = instant(written)  # None: it must be changed, and who set it, and when, is not said
        # A ticket says whole seconds. Controllers' clocks are not allowed for: whoever stole a password would have as long.
        if set_at is None or ticket.authenticated_at is None or set_at.replace(microsecond=0) > ticket.authenticated_at:
            raise TicketRefused(f"{self.name}: a ticket from before the password was set", problem="too_old")
        return True

    def _state(self, entry: Entry) -> State:
        return state_of(entry, self._clock.now())

    def _judge(self, entry: Entry, subject: str, answer: Answer) -> State:
        return judge_bind(self.name, entry, subject, answer=answer, said=self._state(entry))

    def _confirm(self, entry: Entry, subject: str, password: bytes) -> None:
        """Ask Kerberos while a controller may still take the former password: in the window after pwdLastSet, or when that is not known."""
        if self._newest is None:
            return
        set_at = instant(integer(entry, "pwdLastSet"))
        if set_at is not None and self._clock.now() > set_at + self._domain.old_password_window + CLOCKS_MAY_DIFFER:
            return
        login = entry.text(LOGIN)
        if login is None:
            raise SourceMisbehaved(f"{self.name}: the service account cannot read {LOGIN} of {entry.dn}")
        if not self._newest.is_newest(login, password):
            raise CredentialsRefused(f"{self.name}: {entry.dn} was bound with a former password", subject=subject)

    def _replace_password(self, entry: Entry, subject: str, current: bytes, *, new: bytes) -> None:
        """The person's own change, bound as themselves; by the service account when the controller takes no bind before the change (532, 773).

        The controller verifies the present password in either case, but counts no wrong one here: nothing is sent before a bind has proven it.
        """
        wire = self._pool.open_anonymous()  # never twice: a change whose answer was lost may have been made
        try:
            try:
                state = self._judge(entry, subject, self._prove(wire, entry.dn, current))
                self._confirm(entry, subject, current)
            except CredentialsRefused as error:
                raise ChangeRefused(error.detail, problem="wrong_current") from error
            if state is State.USABLE:
                changed = wire.exchange_password(entry.dn, current.decode(), new=new.decode())
        finally:
            wire.close()
        if state is not State.USABLE:
            wire = self._open_now()
            try:
                changed = wire.exchange_password(entry.dn, current.decode(), new=new.decode())
            finally:
                wire.close()
        typed = (current.decode(), new.decode())
        refuse_unless_changed(self.name, entry, changed, typed=typed, policy=self._policies.of(entry), now=self._clock.now())
