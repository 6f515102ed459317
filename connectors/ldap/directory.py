"""LdapDirectory: OpenLDAP or 389 Directory Server as a connectors.base.Directory: sign in, look up, change a password, read everybody.

Owns the order of exchanges; what a bind's answer means is bind.py's, filters and readings are people.py's, servers pool.py's, how many ask at once
breaker.py's. `seen_at` is always the instant before the first question: an old answer must never look newer than what was heard meanwhile.
A person's password is only ever bound with on a fresh connection, as the entry that the service account found (RFC 4513 section 5.1.3).
"""

from collections.abc import Iterator, Sequence
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
    SourceUnreachable,
    State,
    TryWithheld,
)
from connectors.breaker import Guard
from connectors.ldap.bind import judge_bind
from connectors.ldap.change import refuse_unless_changed
from connectors.ldap.examination import examine
from connectors.ldap.groups import Groups, Membership
from connectors.ldap.people import NOBODY, People, is_askable, password_bytes
from connectors.ldap.policies import Policies
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import LdapSettings
from connectors.ldap.state import state_of
from connectors.ldap.wire import SUCCESS, UNWILLING, Answer, Entry, Found, Wire

GROUPS_KEPT_SEEN = timedelta(minutes=1)
NOTHING = b"-"  # bound with in place of what must not be sent, as nobody
NAMESAKES = 20  # of more entries with one identifier none is meant
NO_GROUPS: frozenset[str] = frozenset()
CUTTING = frozenset({State.DISABLED, State.EXPIRED, State.OUT_OF_SCOPE})  # whoever is so is not let in, whatever their groups


class LdapDirectory:
    """One directory. Safe to share between threads; connects at first use."""

    def __init__(self, name: str, settings: LdapSettings, clock: Clock) -> None:
        """Raises ValueError for settings that check-config refuses: a filter that is none, passwords in clear."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._people = People(name, settings)
        self._groups = Groups(settings.groups)
        self._pool = ServerPool(settings, clock)
        self._guard = Guard(
            name,
            clock,
            concurrency=settings.concurrency,
            failures=settings.breaker_failures,
            pause=settings.breaker_pause,
        )
        self._policies = Policies(settings, self._pool, clock, decoy_dn=self._people.decoy_dn)
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
                state = state_of(entry, self._policies.of(entry), self._clock.now())
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
                state = state_of(found[0], self._policies.of(found[0]), self._clock.now())
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

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step (DirectoryConnector.check)."""
        return examine(self._settings, self._pool, self._people, self._groups, clock=self._clock)

    def close(self) -> None:
        """Let go of connections."""
        self._pool.close()

    def _listed(self, entry: Entry, membership: Membership | None, seen_at: datetime) -> Identity:
        state = state_of(entry, self._policies.of(entry), self._clock.now())
        groups = NO_GROUPS
        if state not in CUTTING:
            groups = membership.of(entry.dn, self._people.username(entry)) if membership else self._member_of(entry)
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
        if not self._search(self._people.within(f"({self._settings.lasting_id}=*)"), ("1.1",), size_limit=1).entries:
            raise SourceMisbehaved(f"{self.name}: the service account sees nobody in scope at all any more")

    def _try(self, entry: Entry, subject: str, password: bytes, *, gate: Gate) -> State:
        """What a bind as the entry says, if the gate lets it be made; else the same bind as nobody, so that neither costs more."""
        with gate.passage(self.name, subject, seen=self._policies.exposure(entry), look=lambda: self._policies.look(entry)) as is_let:
            answer = self._bind(entry.dn if is_let else self._people.decoy_dn, password)
            if not is_let:
                raise TryWithheld(f"{self.name}: the password is not tried", subject=subject)
            return self._judge(entry, subject, answer)

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

    def _prove(self, wire: Wire, dn: str, password: bytes) -> Answer:
        """A bind's answer. Raises SourceUnreachable when it says nothing of anybody, for a person as for nobody."""
        answer = wire.bind(dn, password)
        if answer.code == UNWILLING and not self._is_389:
            # OpenLDAP's `restrict bind` and `disallow bind_simple`; 389 Directory Server says so that a person is disabled.
            raise SourceUnreachable(f"{wire.address} is unwilling to take any bind: {answer.message}", trouble="unavailable")
        return answer

    @property
    def _is_389(self) -> bool:
        return self._settings.lasting_id == "nsUniqueId"

    def _subject(self, entry: Entry) -> str:
        subject = self._people.subject(entry)
        if subject is None:
            raise SourceMisbehaved(f"{self.name}: the service account cannot read {self._settings.lasting_id} of {entry.dn}")
        return subject

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

    def _member_of(self, entry: Entry) -> frozenset[str]:
        groups = self._pool.as_service(lambda wire: self._groups.of(wire, entry.dn, self._people.username(entry)))
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
