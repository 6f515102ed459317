"""EntryDirectory: what every directory asked over LDAP does alike: find, try a password, look up, read everybody.

Owns the order of exchanges; what an entry or a bind's answer means and how a password is replaced is said by what derives from it (LdapDirectory,
ActiveDirectory), filters and readings are people.py's, servers pool.py's, how many ask at once breaker.py's.
`seen_at` is always the instant before the first question: an old answer must never look newer than what was heard meanwhile.
A person's password is only ever bound with on a fresh connection, as the entry that the service account found (RFC 4513 section 5.1.3).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from connectors.base import (
    OPEN_GATE,
    ChangeRefused,
    ChangeRequired,
    CheckStep,
    Clock,
    CredentialsRefused,
    Gate,
    Identity,
    PersonNotUsable,
    SourceMisbehaved,
    State,
    Ticket,
    TryWithheld,
)
from connectors.breaker import Guard
from connectors.ldap.entry_desk import EntryDesk, Lookup
from connectors.ldap.parts import AccountPolicies, GroupReader, Membership
from connectors.ldap.people import NOBODY, People, is_askable, password_bytes
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import EntrySettings
from connectors.ldap.wire import Answer, Entry, Found, Wire

GROUPS_KEPT_SEEN = timedelta(minutes=1)
NOTHING = b"-"  # bound with in place of what must not be sent, as nobody
SOME = 50  # people among whom one is looked for to try rights on
NAMESAKES = 20  # of more entries with one identifier none is meant
NO_GROUPS: frozenset[str] = frozenset()
CUTTING = frozenset({State.DISABLED, State.EXPIRED, State.OUT_OF_SCOPE})  # whoever is so is not let in, whatever their groups


class EntryDirectory(ABC):
    """One directory. Safe to share between threads; connects at first use."""

    def __init__(
        self,
        name: str,
        settings: EntrySettings,
        clock: Clock,
        *,
        people: People,
        groups: GroupReader,
        policies: Callable[[ServerPool], AccountPolicies],
    ) -> None:
        """Raises ValueError for settings that check-config refuses: passwords in clear."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._people = people
        self._groups = groups
        self._pool = ServerPool(settings, clock)
        self._guard = Guard(
            name,
            clock,
            concurrency=settings.concurrency,
            failures=settings.breaker_failures,
            pause=settings.breaker_pause,
        )
        self._policies = policies(self._pool)
        self._groups_seen_until: datetime | None = None

    def authenticate(self, identifier: str, password: str, *, gate: Gate = OPEN_GATE) -> Identity:
        """Who this is (PasswordConnector.authenticate). One search, what the gate asks, and one bind: whoever was found and whatever the password."""
        with self._guard.passage():
            asked_at = self._clock.now()
            found = self._named(identifier)
            sent = password_bytes(password)
            if found is None or sent is None:
                self._refuse_nobody(found, sent or NOTHING, gate)
            entry, subject = found
            state = self._try(entry, subject, sent, gate=gate)
            identity = self._people.identity(entry, subject, state=state, groups=self._member_of(entry), seen_at=asked_at, amr=("pwd",))
            if state is State.MUST_CHANGE:
                raise ChangeRequired(f"{self.name}: the directory wants a new password", identity=identity)
            return identity

    def change_password(self, subject: str, current: str, *, new: str, gate: Gate = OPEN_GATE) -> Identity:
        """Replace the person's own password (PasswordConnector.change_password): bound as themselves, RFC 3062 Password Modify.

        Once the directory has taken the new password nothing is asked any more, since nothing may fail: the Identity is of just before.
        """
        with self._guard.passage():
            asked_at = self._clock.now()
            entry = self._lasting(subject, is_scoped=True)
            if entry is None:
                self._refuse_blindness()
                raise PersonNotUsable(f"{self.name}: nobody in scope", state=State.OUT_OF_SCOPE, subject=subject, is_proven=False)
            old, wanted = password_bytes(current), password_bytes(new)
            if old is None:
                raise ChangeRefused(f"{self.name}: a present password that is none", problem="wrong_current")
            if wanted is None:
                raise ChangeRefused(f"{self.name}: a new password that cannot be sent", problem="too_weak" if new else "too_short")
            identity = self._people.identity(
                entry, subject, state=State.USABLE, groups=self._member_of(entry), seen_at=asked_at, amr=("pwd",)
            )
            with gate.passage(self.name, subject, seen=self._policies.exposure(entry), look=lambda: self._policies.look(entry)) as is_let:
                if not is_let:
                    self._bind(self._people.decoy_dn, old)
                    raise TryWithheld(f"{self.name}: the present password is not tried", subject=subject)
                self._replace_password(entry, subject, old, new=wanted)
            return identity

    def find(self, subject: str) -> Identity | None:
        """The person with a lasting id as the directory has them now, anywhere under the base (DirectoryConnector.find).

        Groups are not read of somebody who is not let in anyway: that they are disabled is said even when groups cannot be read.
        """
        with self._guard.lookup_passage():
            asked_at = self._clock.now()
            if (entry := self._lasting(subject, is_scoped=True)) is not None:
                state = self._state(entry)
                groups = NO_GROUPS if state in CUTTING else self._member_of(entry)
                return self._people.identity(entry, subject, state=state, groups=groups, seen_at=asked_at)
            entry = self._lasting(subject, is_scoped=False)
            self._refuse_blindness()
            if entry is None:
                return None
            return self._people.identity(entry, subject, state=State.OUT_OF_SCOPE, groups=NO_GROUPS, seen_at=asked_at)

    def look_up(self, identifier: str) -> Identity | None:
        """The person an identifier names, also out of scope (DirectoryConnector.look_up)."""
        with self._guard.lookup_passage():
            asked_at = self._clock.now()
            if (found := self._named(identifier)) is not None:
                state = self._state(found[0])
            elif (found := self._named(identifier, is_scoped=False)) is not None:
                self._refuse_blindness()
                state = State.OUT_OF_SCOPE
            else:
                return None
            return self._people.identity(*found, state=state, groups=self._member_of(found[0]), seen_at=asked_at)

    def count(self) -> int | None:
        """How many people are in scope: their names alone are read, page by page."""
        wire = self._open()
        try:
            return sum(1 for _ in self._read(wire, self._settings.base, self._people.scope, ("1.1",)))
        finally:
            wire.close()

    def people(self) -> Iterator[Identity]:
        """Everybody in scope (DirectoryConnector.people), on a connection of its own; groups are read once, before."""
        wire = self._open()
        try:
            begun_at = self._clock.now()
            membership = self._groups.everybody(lambda base, wanted, attributes: self._read(wire, base, wanted, attributes))
            for asked_at, entries in self._pages(wire, self._settings.base, self._people.scope, self._people.attributes):
                # Groups that were read before everybody are as old as that.
                seen_at = begun_at if membership and self._settings.groups.base else asked_at
                for entry in entries:
                    yield self._listed(entry, membership, seen_at)
        finally:
            wire.close()

    @property
    def is_delegated(self) -> bool:
        """Whether the reset desk may act there (DeskConnector.is_delegated)."""
        return self._desk.is_delegated

    def is_protected(self, subject: str) -> bool:
        """Whether nobody acts on this person from here (DeskConnector.is_protected)."""
        with self._guard.lookup_passage():
            return self._desk.is_protected(subject)

    def unlock(self, subject: str) -> bool:
        """Lift the directory's own lock (DeskConnector.unlock)."""
        with self._guard.lookup_passage():
            return self._desk.unlock(subject)

    def reset_password(self, subject: str, new: str) -> None:
        """Replace the password by one that must be changed first (DeskConnector.reset_password)."""
        with self._guard.lookup_passage():
            self._desk.reset_password(subject, new)

    @abstractmethod
    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step (DirectoryConnector.check)."""

    @abstractmethod
    def holder_of(self, ticket: Ticket) -> Identity | None:
        """Whose Kerberos ticket it is (DirectoryConnector.holder_of)."""

    def close(self) -> None:
        """Let go of connections."""
        self._pool.close()

    @property
    @abstractmethod
    def _desk(self) -> EntryDesk:
        """What the reset desk does there."""

    def _lookup(self) -> Lookup:
        """How that finds and judges people."""
        return Lookup(
            scoped=lambda subject: self._lasting(subject, is_scoped=True),
            anywhere=lambda subject: self._lasting(subject, is_scoped=False),
            state=self._state,
            groups=self._member_of,
        )

    def _some_people(self) -> Sequence[Entry]:
        return self._search(self._people.scope, self._people.attributes, size_limit=SOME).entries

    @abstractmethod
    def _state(self, entry: Entry) -> State:
        """What the entry says of the account now."""

    @abstractmethod
    def _judge(self, entry: Entry, subject: str, answer: Answer) -> State:
        """What the answer to a bind as the entry means: USABLE or MUST_CHANGE. Raises CredentialsRefused, PersonNotUsable or SourceMisbehaved."""

    @abstractmethod
    def _replace_password(self, entry: Entry, subject: str, current: bytes, *, new: bytes) -> None:
        """Change the password, both as UTF-8. Raises ChangeRefused, PersonNotUsable or the source's errors."""

    @abstractmethod
    def _confirm(self, entry: Entry, subject: str, password: bytes) -> None:
        """After a bind has proven a password: whether it is the newest, where a directory takes former ones too. Raises CredentialsRefused."""

    def _prove(self, wire: Wire, dn: str, password: bytes) -> Answer:
        """A bind's answer. Raises SourceUnreachable when it says nothing of anybody, for a person as for nobody."""
        return wire.bind(dn, password)

    def _listed(self, entry: Entry, membership: Membership | None, seen_at: datetime) -> Identity:
        state = self._state(entry)
        groups = NO_GROUPS
        if state not in CUTTING:
            groups = membership.of(entry, self._people.username(entry)) if membership else self._member_of(entry)
        return self._people.identity(entry, self._subject(entry), state=state, groups=groups, seen_at=seen_at)

    def _named(self, identifier: str, *, is_scoped: bool = True) -> tuple[Entry, str] | None:
        """The one entry that an identifier means, and its lasting id; None for nobody, and for several that have the same claim to it."""
        asked = identifier if is_askable(identifier) else NOBODY
        wanted = self._people.named(asked)
        found = self._search(self._people.within(wanted) if is_scoped else wanted, self._people.attributes, size_limit=NAMESAKES)
        entry = None if found.is_cut else self._people.meant(asked, found.entries)
        if entry is None or self._people.is_tombstone(entry):
            return None
        return entry, self._subject(entry)

    def _holder(self, wanted: str, *, is_theirs: Callable[[Entry], bool], holds: Callable[[Entry, State], bool]) -> Identity | None:
        """Whose entry a ticket's filter means, also out of scope; nobody's where two are meant, or where the ticket does not hold for the one there.

        `holds` may raise what holder_of does.
        """
        with self._guard.passage():
            asked_at = self._clock.now()
            for is_scoped in (True, False):
                found = self._search(self._people.within(wanted) if is_scoped else wanted, self._people.attributes, size_limit=NAMESAKES)
                if found.is_cut:
                    raise SourceMisbehaved(f"{self.name}: more than {NAMESAKES} entries have one principal")
                theirs = [one for one in found.entries if is_theirs(one) and not self._people.is_tombstone(one)]
                if len(theirs) > 1:
                    return None
                if theirs:
                    state = self._state(theirs[0]) if is_scoped else State.OUT_OF_SCOPE
                    if not holds(theirs[0], state):
                        return None
                    groups = NO_GROUPS if state in CUTTING else self._member_of(theirs[0])
                    return self._people.identity(theirs[0], self._subject(theirs[0]), state=state, groups=groups, seen_at=asked_at)
            self._refuse_blindness()
            return None

    def _lasting(self, subject: str, *, is_scoped: bool) -> Entry | None:
        wanted = self._people.lasting(subject)
        entries = self._search(self._people.within(wanted) if is_scoped else wanted, self._people.attributes, size_limit=2).entries
        if len(entries) > 1:
            raise SourceMisbehaved(f"{self.name}: several entries have one lasting id, among them {entries[0].dn}")
        return entries[0] if entries and not self._people.is_tombstone(entries[0]) else None

    def _search(self, search_filter: str, attributes: Sequence[str], *, size_limit: int) -> Found:
        base = self._settings.base
        found = self._pool.as_service(lambda wire: wire.search(base, search_filter, attributes, size_limit=size_limit))
        if found is None:
            raise SourceMisbehaved(f"{self.name}: the base {base} is not there, or is hidden from the service account")
        return found

    def _refuse_blindness(self) -> None:
        """Nobody is gone or out of scope because the service account was made blind: it must still see somebody in scope, with the lasting id."""
        if not self._search(self._people.within(f"({self._people.lasting_id}=*)"), ("1.1",), size_limit=1).entries:
            raise SourceMisbehaved(f"{self.name}: the service account sees nobody in scope at all any more")

    def _try(self, entry: Entry, subject: str, password: bytes, *, gate: Gate) -> State:
        """What a bind as the entry says, if the gate lets it be made; else the same bind as nobody, so that neither costs more."""
        with gate.passage(self.name, subject, seen=self._policies.exposure(entry), look=lambda: self._policies.look(entry)) as is_let:
            answer = self._bind(entry.dn if is_let else self._people.decoy_dn, password)
            if not is_let:
                raise TryWithheld(f"{self.name}: the password is not tried", subject=subject)
            state = self._judge(entry, subject, answer)
            self._confirm(entry, subject, password)
            return state

    def _refuse_nobody(self, found: tuple[Entry, str] | None, password: bytes, gate: Gate) -> NoReturn:
        """What is asked for somebody is asked for nobody. Whose password is none is named, but was not tried: the gate need not know them."""
        entry, subject = found or (None, None)
        policies = self._policies
        with gate.passage(self.name, None, seen=policies.exposure(None), look=lambda: policies.look(None)) as is_let:
            policies.of(entry)
            self._bind(self._people.decoy_dn, password)
            if not is_let:
                raise TryWithheld(f"{self.name}: nobody, and nothing is tried", subject=None)
            raise CredentialsRefused(f"{self.name}: nobody, or a password that is none", subject=subject)

    def _bind(self, dn: str, password: bytes) -> Answer:
        return self._pool.as_nobody(lambda wire: self._prove(wire, dn, password))

    def _subject(self, entry: Entry) -> str:
        subject = self._people.subject(entry)
        if subject is None:
            raise SourceMisbehaved(f"{self.name}: the service account cannot read {self._people.lasting_id} of {entry.dn}")
        return subject

    def _member_of(self, entry: Entry) -> frozenset[str]:
        groups = self._pool.as_service(lambda wire: self._groups.of(wire, entry, self._people.username(entry)))
        if not groups:
            self._refuse_hidden_groups()
        return groups

    def _refuse_hidden_groups(self) -> None:
        """Nobody has lost every group because groups were hidden: some are seen, or were a moment ago."""
        now = self._clock.now()
        if self._groups_seen_until is None or now >= self._groups_seen_until:
            self._pool.as_service(self._groups.refuse_blindness)
            self._groups_seen_until = now + GROUPS_KEPT_SEEN

    def _open(self) -> Wire:
        with self._guard.lookup_passage():
            return self._open_now()

    def _open_now(self) -> Wire:
        return self._pool.open_service()

    def _read(self, wire: Wire, base: str, search_filter: str, attributes: Sequence[str]) -> Iterator[Entry]:
        for _, entries in self._pages(wire, base, search_filter, attributes):
            yield from entries

    def _pages(self, wire: Wire, base: str, search_filter: str, attributes: Sequence[str]) -> Iterator[tuple[datetime, tuple[Entry, ...]]]:
        """Everything that matches, page by page, each with the instant before it was asked for; between pages nobody is kept waiting.

        Raises when the server holds anything back.
        """
        cookie = b""
        while True:
            with self._guard.lookup_passage():
                asked_at = self._clock.now()
                found = wire.search(base, search_filter, attributes, page=(self._settings.page_size, cookie))
            if found is None:
                raise SourceMisbehaved(f"{self.name}: {base} is not there, or is hidden from the service account")
            if found.is_cut:
                raise SourceMisbehaved(f"{self.name}: the size limit hides entries under {base}: raise it for the service account")
            yield asked_at, found.entries
            if not (cookie := found.cookie):
                return
